-- The session, of several that a browser may have, that a waiting request is for.
ALTER TABLE requests ADD COLUMN chosen_id TEXT NOT NULL DEFAULT '';

-- How often strangers did a thing lately, such as signing up or registering an
-- application from one address.
CREATE TABLE tallies (
    name       TEXT NOT NULL PRIMARY KEY,
    amount     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tallies_expires ON tallies (expires_at);
