-- Every sign-in looks for somebody with a password, from a place on that says nothing
-- (PasswordHashAt): it shall not take longer where many have none.
CREATE INDEX users_password ON users (id) WHERE password_hash <> '';
