-- What somebody has proven before a session begins: under the request that waits
-- for them, or under another holder.
CREATE TABLE sign_ins (
    holder     TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL, -- empty: nobody is known yet, so no reference
    factors    TEXT NOT NULL,
    remember   BIGINT NOT NULL,
    trust      BIGINT NOT NULL,
    declined   BIGINT NOT NULL,
    tries      BIGINT NOT NULL,
    waits      TEXT NOT NULL, -- what ceremonies under way have to remember, by their names
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_user ON sign_ins (user_id);
CREATE INDEX sign_ins_expires ON sign_ins (expires_at);

-- What a session stands on. Until now that was the password.
ALTER TABLE sessions ADD COLUMN factors TEXT NOT NULL DEFAULT '[]';
UPDATE sessions SET factors = '[{"method":"password","at":' || auth_time || '}]';

-- What an administrator asks of a person at sign-in, as a document.
ALTER TABLE users ADD COLUMN sign_in TEXT NOT NULL DEFAULT '{}';

-- The apps that make codes by the time (RFC 6238), one row for each secret.
CREATE TABLE totps (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    sealed     TEXT NOT NULL, -- the secret, under the master key
    step       BIGINT NOT NULL, -- of the last code that was taken
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX totps_user ON totps (user_id);

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    TEXT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- The browsers with which a person has signed in before.
CREATE TABLE devices (
    hash       TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    trusted_to BIGINT NOT NULL, -- so long no second factor is asked there; 0: it is
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX devices_user ON devices (user_id);
CREATE INDEX devices_expires ON devices (expires_at);
