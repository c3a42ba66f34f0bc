package store

import (
	"encoding/base64"

	"github.com/ostiary/ostiary/internal/model"
)

const passkeyColumns = `id, user_id, credential, public_key, counter, eligible, backed_up, aaguid, transports, name, created_at, used_at`

func scanPasskey(row scanner) (k model.Passkey, err error) {
	var key string
	err = row.Scan((*string)(&k.ID), (*string)(&k.UserID), &k.Credential, &key, &k.Counter, &k.Eligible, &k.BackedUp,
		&k.AAGUID, (*list)(&k.Transports), &k.Name, &k.CreatedAt, &k.UsedAt)
	if err == nil {
		k.PublicKey, err = base64.RawStdEncoding.DecodeString(key)
	}
	return k, err
}

// InsertPasskey adds a passkey. It fails with ErrConflict if somebody has a passkey
// of that credential.
func (tx *Tx) InsertPasskey(k model.Passkey) error {
	return tx.insert(`INSERT INTO passkeys (`+passkeyColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`,
		string(k.ID), string(k.UserID), k.Credential, base64.RawStdEncoding.EncodeToString(k.PublicKey), int64(k.Counter), k.Eligible, k.BackedUp,
		k.AAGUID, list(k.Transports).text(), k.Name, k.CreatedAt, k.UsedAt)
}

// Passkey returns a passkey, or ErrNotFound.
func (tx *Tx) Passkey(id model.PasskeyID) (model.Passkey, error) {
	return one(tx, scanPasskey, `SELECT `+passkeyColumns+` FROM passkeys WHERE id = $1`, string(id))
}

// PasskeyByCredential returns the passkey that an authenticator calls so, or
// ErrNotFound.
func (tx *Tx) PasskeyByCredential(credential string) (model.Passkey, error) {
	return one(tx, scanPasskey, `SELECT `+passkeyColumns+` FROM passkeys WHERE credential = $1`, credential)
}

// PasskeysOf lists the passkeys of a person, the oldest first.
func (tx *Tx) PasskeysOf(id model.UserID) ([]model.Passkey, error) {
	return many(tx, scanPasskey, `SELECT `+passkeyColumns+` FROM passkeys WHERE user_id = $1 ORDER BY created_at, id LIMIT $2`, string(id), maxPage)
}

// UsePasskey notes a use, or fails with ErrNotFound.
func (tx *Tx) UsePasskey(k model.Passkey) error {
	return tx.must(`UPDATE passkeys SET counter = $2, backed_up = $3, used_at = $4 WHERE id = $1`,
		string(k.ID), int64(k.Counter), k.BackedUp, k.UsedAt)
}

// RenamePasskey gives a passkey another name, or fails with ErrNotFound.
func (tx *Tx) RenamePasskey(id model.PasskeyID, name string) error {
	return tx.must(`UPDATE passkeys SET name = $2 WHERE id = $1`, string(id), name)
}

// DeletePasskey removes a passkey, or fails with ErrNotFound.
func (tx *Tx) DeletePasskey(id model.PasskeyID) error {
	return tx.must(`DELETE FROM passkeys WHERE id = $1`, string(id))
}

// Handle returns what authenticators call a person, or ErrNotFound.
func (tx *Tx) Handle(id model.UserID) (string, error) {
	return one(tx, scanString, `SELECT handle FROM user_handles WHERE user_id = $1`, string(id))
}

// InsertHandle fixes what authenticators call a person. It fails with ErrConflict
// if that is fixed already.
func (tx *Tx) InsertHandle(id model.UserID, handle string) error {
	return tx.insert(`INSERT INTO user_handles (user_id, handle) VALUES ($1, $2) ON CONFLICT DO NOTHING`, string(id), handle)
}

// PutCeremony keeps what was asked of an authenticator, in place of what was asked
// for the same holder before.
func (tx *Tx) PutCeremony(holder, content string, expires int64) error {
	_, err := tx.exec(`INSERT INTO ceremonies (holder, content, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (holder) DO UPDATE SET content = excluded.content, expires_at = excluded.expires_at`, holder, content, expires)
	return err
}

// TakeCeremony returns what was asked for a holder and forgets it, or fails with
// ErrNotFound: of many who answer, one is heard.
func (tx *Tx) TakeCeremony(holder string, now int64) (string, error) {
	return change(tx, scanString, `DELETE FROM ceremonies WHERE holder = $1 AND expires_at > $2 RETURNING content`, holder, now)
}
