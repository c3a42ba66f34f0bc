-- What an application that signs people in without a browser holds in place of a
-- cookie: the request that waits for its person, and after that who they are and
-- in which session.
CREATE TABLE auth_sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    client_id  TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL, -- empty: nobody has proven who they are, so no reference
    session_id TEXT NOT NULL, -- likewise
    asked      TEXT NOT NULL, -- empty: no request waits
    tries      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX auth_sessions_client ON auth_sessions (client_id);
CREATE INDEX auth_sessions_expires ON auth_sessions (expires_at);

ALTER TABLE codes ADD COLUMN auth_session TEXT NOT NULL DEFAULT '';
