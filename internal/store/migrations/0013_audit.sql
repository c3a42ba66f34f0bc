-- The audit log shows what was done to it: each entry carries a mark of who wrote
-- it, and once it is committed gets a position and a seal, which says what it is
-- and what came before. Empty and 0: not yet, or from before there were any.
ALTER TABLE events ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN seal TEXT NOT NULL DEFAULT '';
CREATE INDEX events_position ON events (position, sequence);
-- Nobody waits for it: whoever writes an entry leaves its seal empty.
CREATE INDEX events_user ON events (user_id, position) WHERE seal <> '' AND user_id <> '';
