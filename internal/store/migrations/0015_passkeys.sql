-- Passkeys, by the name that their authenticator knows them by, and what it calls
-- the person to whom they belong: a random value, made once, that says nothing of
-- who they are here (WebAuthn Level 3 §14.6.1).
CREATE TABLE passkeys (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL,
    counter    BIGINT NOT NULL,
    eligible   BIGINT NOT NULL,
    backed_up  BIGINT NOT NULL,
    aaguid     TEXT NOT NULL,
    transports TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX passkeys_user ON passkeys (user_id);

CREATE TABLE user_handles (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    handle  TEXT NOT NULL UNIQUE
);

-- What was asked of an authenticator and waits for its answer: one thing for each
-- holder, a sign-in or a session.
CREATE TABLE ceremonies (
    holder     TEXT NOT NULL PRIMARY KEY,
    content    TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ceremonies_expires ON ceremonies (expires_at);
