-- The secret itself, sealed under the master key, of a client that signs with it
-- (client_secret_jwt); empty where the hash is enough.
ALTER TABLE client_secrets ADD COLUMN sealed TEXT NOT NULL DEFAULT '';
