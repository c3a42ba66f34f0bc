package store

import "github.com/ostiary/ostiary/internal/model"

const registrationColumns = `client_id, token_hash, address, used_at, fresh_until`

func scanRegistration(row scanner) (r model.Registration, err error) {
	err = row.Scan((*string)(&r.ClientID), &r.TokenHash, &r.Address, &r.UsedAt, &r.FreshUntil)
	return r, err
}

// InsertRegistration adds what is known of a client that exists. It fails with
// ErrConflict if there is something already.
func (tx *Tx) InsertRegistration(r model.Registration) error {
	return tx.insert(`INSERT INTO registrations (`+registrationColumns+`) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		string(r.ClientID), r.TokenHash, r.Address, r.UsedAt, r.FreshUntil)
}

// Registration returns what is known of a client that no operator registered, or
// ErrNotFound.
func (tx *Tx) Registration(id model.ClientID) (model.Registration, error) {
	return one(tx, scanRegistration, `SELECT `+registrationColumns+` FROM registrations WHERE client_id = $1`, string(id))
}

// RotateRegistration replaces one registration access token by another. It fails
// with ErrNotFound if the old one is not the client's any more: of many who try
// at the same time, one succeeds.
func (tx *Tx) RotateRegistration(id model.ClientID, old, hash string) error {
	return tx.must(`UPDATE registrations SET token_hash = $3 WHERE client_id = $1 AND token_hash = $2 AND token_hash <> ''`,
		string(id), old, hash)
}

// UseRegistration notes that a client was used, if that is later than what is
// noted.
func (tx *Tx) UseRegistration(id model.ClientID, at int64) error {
	_, err := tx.exec(`UPDATE registrations SET used_at = $2 WHERE client_id = $1 AND used_at < $2`, string(id), at)
	return err
}

// RefreshDocument notes until when a client's document is fresh, or fails with
// ErrNotFound.
func (tx *Tx) RefreshDocument(id model.ClientID, until int64) error {
	return tx.must(`UPDATE registrations SET fresh_until = $2 WHERE client_id = $1`, string(id), until)
}

// CountDocuments returns how many clients are known by a document.
func (tx *Tx) CountDocuments() (int64, error) {
	return one(tx, scanInt, `SELECT COUNT(*) FROM clients WHERE origin = 'document'`)
}

// idleDocuments are clients known by a document that nobody has anything to do
// with: no person has let them in, and no operator has shut them out.
const idleDocuments = `SELECT r.client_id FROM registrations r JOIN clients c ON c.id = r.client_id
	WHERE c.origin = 'document' AND c.disabled = 0
	AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client_id = r.client_id)
	AND NOT EXISTS (SELECT 1 FROM consents s WHERE s.client_id = r.client_id)`

// IdleDocument reports whether a client is one of those.
func (tx *Tx) IdleDocument(id model.ClientID) (bool, error) {
	n, err := one(tx, scanInt, `SELECT count(*) FROM (`+idleDocuments+` AND r.client_id = $1) AS idle`, string(id))
	return n > 0, err
}

// EvictDocument removes the one of those clients whose document is the stalest,
// or fails with ErrNotFound.
func (tx *Tx) EvictDocument() error {
	return tx.must(`DELETE FROM clients WHERE id IN (` + idleDocuments + ` ORDER BY r.fresh_until, r.client_id LIMIT 1)`)
}

// UnusedClients lists clients that no operator registered, were not used since
// before and have no grant.
func (tx *Tx) UnusedClients(before int64, limit int) ([]model.ClientID, error) {
	ids, err := many(tx, scanString, `SELECT r.client_id FROM registrations r JOIN clients c ON c.id = r.client_id
		WHERE r.used_at <= $1 AND c.disabled = 0
		AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client_id = r.client_id)
		ORDER BY r.used_at LIMIT $2`, before, page(limit))
	list := make([]model.ClientID, 0, len(ids))
	for _, id := range ids {
		list = append(list, model.ClientID(id))
	}
	return list, err
}

const registrationTokenColumns = `id, hash, name, uses, used, created_at, expires_at`

func scanRegistrationToken(row scanner) (t model.RegistrationToken, err error) {
	err = row.Scan(&t.ID, &t.Hash, &t.Name, &t.Uses, &t.Used, &t.CreatedAt, &t.ExpiresAt)
	return t, err
}

// InsertRegistrationToken adds an initial access token. It fails with
// ErrConflict if its ID or hash is known.
func (tx *Tx) InsertRegistrationToken(t model.RegistrationToken) error {
	return tx.insert(`INSERT INTO registration_tokens (`+registrationTokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		t.ID, t.Hash, t.Name, t.Uses, t.Used, t.CreatedAt, t.ExpiresAt)
}

// RegistrationToken returns the initial access token with that hash, good or
// not, or ErrNotFound.
func (tx *Tx) RegistrationToken(hash string) (model.RegistrationToken, error) {
	return one(tx, scanRegistrationToken, `SELECT `+registrationTokenColumns+` FROM registration_tokens WHERE hash = $1`, hash)
}

// UseRegistrationToken uses an initial access token once. It fails with
// ErrNotFound if it has expired, is used up or was revoked: of many who try its
// last use at the same time, one succeeds.
func (tx *Tx) UseRegistrationToken(hash string, now int64) (model.RegistrationToken, error) {
	return change(tx, scanRegistrationToken, `UPDATE registration_tokens SET used = used + 1
		WHERE hash = $1 AND (uses = 0 OR used < uses) AND (expires_at = 0 OR expires_at > $2)
		RETURNING `+registrationTokenColumns, hash, now)
}

// RegistrationTokens lists the initial access tokens, good or not, the oldest
// first.
func (tx *Tx) RegistrationTokens() ([]model.RegistrationToken, error) {
	return many(tx, scanRegistrationToken, `SELECT `+registrationTokenColumns+` FROM registration_tokens ORDER BY created_at, id LIMIT $1`, page(0))
}

// DeleteRegistrationToken revokes an initial access token, or fails with
// ErrNotFound.
func (tx *Tx) DeleteRegistrationToken(id string) error {
	return tx.must(`DELETE FROM registration_tokens WHERE id = $1`, id)
}
