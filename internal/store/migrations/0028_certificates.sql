-- Beside: 22
-- What an authority has issued for the server's own TLS, for all nodes.
CREATE TABLE certificates (
    host          TEXT NOT NULL PRIMARY KEY,
    directory     TEXT NOT NULL, -- of the authority that was last asked
    sealed        TEXT NOT NULL, -- certificates and key; empty: none was issued yet
    expires_at    BIGINT NOT NULL,
    tries         BIGINT NOT NULL, -- since the last that came to something
    tried_at      BIGINT NOT NULL,
    next_at       BIGINT NOT NULL, -- when to ask for a new one
    claim         TEXT NOT NULL,   -- of the node that asks for it now
    claimed_until BIGINT NOT NULL,
    challenge     TEXT NOT NULL    -- what the authority will look for meanwhile
);
