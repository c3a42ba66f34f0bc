-- Clients that no operator registered: by dynamic registration, or by a document
-- at the address that is their client_id.

ALTER TABLE clients ADD COLUMN origin TEXT NOT NULL DEFAULT '';

CREATE TABLE registrations (
    client_id   TEXT NOT NULL PRIMARY KEY REFERENCES clients (id) ON DELETE CASCADE,
    token_hash  TEXT NOT NULL, -- of the registration access token; empty: it has none
    address     TEXT NOT NULL,
    used_at     BIGINT NOT NULL,
    fresh_until BIGINT NOT NULL -- of a document
);
CREATE INDEX registrations_used ON registrations (used_at);
CREATE INDEX registrations_fresh ON registrations (fresh_until);

CREATE TABLE registration_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    uses       BIGINT NOT NULL, -- how many it is good for; 0: any number
    used       BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE logos (
    client_id  TEXT NOT NULL PRIMARY KEY REFERENCES clients (id) ON DELETE CASCADE,
    uri        TEXT NOT NULL,
    hash       TEXT NOT NULL,
    type       TEXT NOT NULL,
    body       TEXT NOT NULL, -- base64
    fetched_at BIGINT NOT NULL
);
CREATE INDEX logos_hash ON logos (hash);
CREATE INDEX logos_fetched ON logos (fetched_at);
