-- How a client knows a person, where it may not know the account (OpenID Connect
-- Core §8.1): one name for each sector. They could be computed anew each time, but
-- not once the master key is another, and never backwards.
CREATE TABLE subjects (
    subject TEXT NOT NULL PRIMARY KEY,
    sector  TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    UNIQUE (user_id, sector)
);

ALTER TABLE grants ADD COLUMN subject TEXT NOT NULL DEFAULT '';
