-- The claims that a client asked for one by one: what a grant tells, and what a
-- person has allowed.
ALTER TABLE grants ADD COLUMN claims TEXT NOT NULL DEFAULT '{}';
ALTER TABLE consents ADD COLUMN claims TEXT NOT NULL DEFAULT '';
