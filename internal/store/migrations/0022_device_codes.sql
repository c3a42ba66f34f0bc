-- Devices without a browser that wait for their person, RFC 8628.
CREATE TABLE device_codes (
    hash       TEXT NOT NULL PRIMARY KEY, -- of what the device holds
    user_hash  TEXT NOT NULL UNIQUE,      -- of what it shows, under a key: it is short
    client_id  TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    asked      TEXT NOT NULL,
    grant_id   TEXT NOT NULL, -- empty: nobody has agreed, so no reference
    denied     BIGINT NOT NULL,
    pause      BIGINT NOT NULL, -- seconds that the device must wait before it asks again
    asked_at   BIGINT NOT NULL, -- when it asked last, in milliseconds
    used_at    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX device_codes_client ON device_codes (client_id);
CREATE INDEX device_codes_expires ON device_codes (expires_at);
