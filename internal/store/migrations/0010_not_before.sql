-- Tokens of a grant say that they were issued then at the earliest: what was put
-- out together, up to a second, must not put out what was granted in that second.
ALTER TABLE grants ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
