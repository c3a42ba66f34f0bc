package store

import "github.com/ostiary/ostiary/internal/model"

const clientColumns = `id, disabled, settings, created_at, updated_at, origin`

func scanClient(row scanner) (c model.Client, err error) {
	err = row.Scan((*string)(&c.ID), &c.Disabled, document{&c.ClientSettings}, &c.CreatedAt, &c.UpdatedAt, (*string)(&c.Origin))
	return c, err
}

// InsertClient adds a client. It fails with ErrConflict if its ID is taken.
func (tx *Tx) InsertClient(c model.Client) error {
	settings, err := document{c.ClientSettings}.text()
	if err != nil {
		return err
	}
	return tx.insert(`INSERT INTO clients (`+clientColumns+`, told) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		string(c.ID), c.Disabled, settings, c.CreatedAt, c.UpdatedAt, string(c.Origin), c.BackchannelURI != "")
}

// Client returns a client, disabled or not, or ErrNotFound.
func (tx *Tx) Client(id model.ClientID) (model.Client, error) {
	return one(tx, scanClient, `SELECT `+clientColumns+` FROM clients WHERE id = $1`, string(id))
}

// Clients lists clients by their ID, from the one that follows after.
func (tx *Tx) Clients(after model.ClientID, limit int) ([]model.Client, error) {
	return many(tx, scanClient, `SELECT `+clientColumns+` FROM clients WHERE id > $1 ORDER BY id LIMIT $2`,
		string(after), page(limit))
}

// UpdateClient writes everything but the origin and the time of creation, or fails with
// ErrNotFound. To disable a client does not end its grants: EndClient does.
func (tx *Tx) UpdateClient(c model.Client) error {
	settings, err := document{c.ClientSettings}.text()
	if err != nil {
		return err
	}
	return tx.changes(Clients, tx.must(`UPDATE clients SET disabled = $2, settings = $3, updated_at = $4, told = $5 WHERE id = $1`,
		string(c.ID), c.Disabled, settings, c.UpdatedAt, c.BackchannelURI != ""))
}

// DeleteClient removes a client with its secrets, grants and consents, or fails
// with ErrNotFound. Tokens die by the revocation log, not by absence, so
// EndClient comes first.
func (tx *Tx) DeleteClient(id model.ClientID) error {
	return tx.changes(Clients, tx.must(`DELETE FROM clients WHERE id = $1`, string(id)))
}

const secretColumns = `id, client_id, hash, sealed, created_at, expires_at`

func scanSecret(row scanner) (s model.ClientSecret, err error) {
	err = row.Scan((*string)(&s.ID), (*string)(&s.ClientID), &s.Hash, &s.Sealed, &s.CreatedAt, &s.ExpiresAt)
	return s, err
}

// InsertClientSecret adds a secret to a client that exists. It fails with
// ErrConflict if its ID is known.
func (tx *Tx) InsertClientSecret(s model.ClientSecret) error {
	return tx.changes(Clients, tx.insert(`INSERT INTO client_secrets (`+secretColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		string(s.ID), string(s.ClientID), s.Hash, s.Sealed, s.CreatedAt, s.ExpiresAt))
}

// ClientSecrets lists the secrets of a client, expired or not, the oldest
// first.
func (tx *Tx) ClientSecrets(id model.ClientID) ([]model.ClientSecret, error) {
	return many(tx, scanSecret, `SELECT `+secretColumns+` FROM client_secrets
		WHERE client_id = $1 ORDER BY created_at, id LIMIT $2`, string(id), page(0))
}

// DeleteClientSecret removes a secret, or fails with ErrNotFound.
func (tx *Tx) DeleteClientSecret(id model.SecretID) error {
	return tx.changes(Clients, tx.must(`DELETE FROM client_secrets WHERE id = $1`, string(id)))
}

// UseAssertion remembers that a client has used an assertion, until it expires.
// It fails with ErrConflict if it is used already: a replay. The caller bounds
// the length of the jti; PostgreSQL indexes some 2,000 bytes.
func (tx *Tx) UseAssertion(client model.ClientID, jti string, expiresAt int64) error {
	return tx.insert(`INSERT INTO assertions (client_id, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		string(client), jti, expiresAt)
}
