-- Beside: 22
-- Where the audit log is streamed to, and how far it has got there.
CREATE TABLE audit_outlets (
    name     TEXT NOT NULL PRIMARY KEY, -- "file", "stdout" or "webhook"
    position BIGINT NOT NULL,           -- of the last entry that has arrived
    claim    TEXT NOT NULL,             -- names whoever is at work; empty: nobody is
    next_at  BIGINT NOT NULL,           -- of the next attempt; later while one is under way
    attempts BIGINT NOT NULL            -- that have failed since the last that did not
);
