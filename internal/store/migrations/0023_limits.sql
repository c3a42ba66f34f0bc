-- Beside: 22
-- How much of their share the busiest callers have used up, of all nodes together:
-- a bucket that runs empty. Whoever is quiet has no row.
CREATE TABLE levels (
    name       TEXT NOT NULL PRIMARY KEY,
    amount     BIGINT NOT NULL, -- in sixty-thousandths of a request
    at         BIGINT NOT NULL, -- when it was so full, in milliseconds
    expires_at BIGINT NOT NULL
);
CREATE INDEX levels_expires ON levels (expires_at);
