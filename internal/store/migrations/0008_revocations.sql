-- Whom a revocation concerns: a list of the "aud" values of tokens that it can put
-- out, empty for everybody, as it is for what was written before; and, where APIs
-- know a person by other names than the account, those names by "aud".
ALTER TABLE revocations ADD COLUMN audiences TEXT NOT NULL DEFAULT '';
ALTER TABLE revocations ADD COLUMN subjects TEXT NOT NULL DEFAULT '';
