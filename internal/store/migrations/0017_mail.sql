-- What waits until somebody answers a letter: by its code, in the browser that asked
-- for it, or by its link. Both are hashes; that of a code is made with the secret of
-- that browser, which is nowhere here. What nobody may learn of, an account that
-- does not exist, has a row as well.
CREATE TABLE confirmations (
    id           TEXT NOT NULL PRIMARY KEY,
    purpose      TEXT NOT NULL,
    user_id      TEXT NOT NULL, -- empty: nobody, or nobody yet, so no reference
    address      TEXT NOT NULL,
    holder       TEXT NOT NULL, -- the request of a sign-in that it belongs to, or empty
    browser_hash TEXT NOT NULL, -- empty: any browser will do
    code_hash    TEXT NOT NULL,
    link_hash    TEXT NOT NULL,
    data         TEXT NOT NULL,
    tries        BIGINT NOT NULL,
    proven_at    BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX confirmations_link ON confirmations (link_hash);
CREATE INDEX confirmations_user ON confirmations (user_id);
CREATE INDEX confirmations_holder ON confirmations (holder);
CREATE INDEX confirmations_expires ON confirmations (expires_at);
