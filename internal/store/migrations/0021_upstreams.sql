-- The identity providers whose people may sign in here.
CREATE TABLE upstreams (
    id         TEXT NOT NULL PRIMARY KEY,
    disabled   BIGINT NOT NULL,
    settings   TEXT NOT NULL,
    sealed     TEXT NOT NULL, -- its secrets; empty: it has none
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,

    failures      BIGINT NOT NULL, -- in a row
    failing_since BIGINT NOT NULL,
    retry_at      BIGINT NOT NULL, -- nobody is sent there until then
    problem       TEXT NOT NULL,
    worked_at     BIGINT NOT NULL
);

-- Whose account theirs is here: one pair of issuer and subject is one person's.
CREATE TABLE identities (
    id          TEXT NOT NULL PRIMARY KEY,
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    in_groups   TEXT NOT NULL, -- of ours, by the provider's word
    created_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    tokens      TEXT NOT NULL, -- sealed; empty: none are kept
    UNIQUE (upstream_id, issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- The browsers that have gone there: one for each sign-in, taken out by the answer.
CREATE TABLE upstream_visits (
    holder       TEXT NOT NULL PRIMARY KEY,
    state_hash   TEXT NOT NULL UNIQUE,
    browser_hash TEXT NOT NULL,
    upstream_id  TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    purpose      TEXT NOT NULL,
    user_id      TEXT NOT NULL, -- who connects; empty: nobody, so no reference
    session_id   TEXT NOT NULL, -- likewise
    kept         TEXT NOT NULL, -- sealed: what its connector has to know
    answer       TEXT NOT NULL, -- sealed: what came without the cookie; empty: nothing did
    expires_at   BIGINT NOT NULL
);
CREATE INDEX upstream_visits_upstream ON upstream_visits (upstream_id);
CREATE INDEX upstream_visits_expires ON upstream_visits (expires_at);

-- Those who have come back and are not known here: one for each sign-in.
CREATE TABLE upstream_strangers (
    holder      TEXT NOT NULL PRIMARY KEY,
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL, -- whose account has their address; empty: nobody's
    content     TEXT NOT NULL, -- sealed: who they are over there
    expires_at  BIGINT NOT NULL
);
CREATE INDEX upstream_strangers_upstream ON upstream_strangers (upstream_id);
CREATE INDEX upstream_strangers_expires ON upstream_strangers (expires_at);

-- The sessions over there on which sessions of ours stand. They are there a while
-- longer than ours, so that both can be ended.
CREATE TABLE upstream_stays (
    id          TEXT NOT NULL PRIMARY KEY,
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    holder      TEXT NOT NULL, -- of the sign-in that tells of it
    session_id  TEXT NOT NULL, -- of ours; empty: none has begun
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    session     TEXT NOT NULL,
    hint        TEXT NOT NULL, -- sealed
    expires_at  BIGINT NOT NULL
);
CREATE INDEX upstream_stays_subject ON upstream_stays (upstream_id, subject);
CREATE INDEX upstream_stays_name ON upstream_stays (upstream_id, session);
CREATE INDEX upstream_stays_session ON upstream_stays (session_id);
CREATE INDEX upstream_stays_holder ON upstream_stays (holder);
CREATE INDEX upstream_stays_expires ON upstream_stays (expires_at);

-- Messages of providers that count once.
CREATE TABLE upstream_messages (
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    hash        TEXT NOT NULL, -- of what the provider calls it
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (upstream_id, hash)
);
CREATE INDEX upstream_messages_expires ON upstream_messages (expires_at);
