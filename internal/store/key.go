package store

import (
	"slices"

	"github.com/ostiary/ostiary/internal/model"
)

const keyColumns = `id, algorithm, sealed, created_at, active_at, drop_at`

func scanKey(row scanner) (k model.SigningKey, err error) {
	err = row.Scan((*string)(&k.ID), &k.Algorithm, &k.Sealed, &k.CreatedAt, &k.ActiveAt, &k.DropAt)
	return k, err
}

// InsertSigningKey adds a signing key. It fails with ErrConflict if its ID is
// known.
func (tx *Tx) InsertSigningKey(k model.SigningKey) error {
	return tx.changes(SigningKeys, tx.insert(`INSERT INTO signing_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		string(k.ID), k.Algorithm, k.Sealed, k.CreatedAt, k.ActiveAt, k.DropAt))
}

// SigningKeys lists the signing keys, the oldest first. Should there be more than a list
// holds, the oldest are missing: they sign no more.
func (tx *Tx) SigningKeys() ([]model.SigningKey, error) {
	list, err := many(tx, scanKey, `SELECT `+keyColumns+` FROM signing_keys ORDER BY created_at DESC, id DESC LIMIT $1`, page(0))
	slices.Reverse(list)
	return list, err
}

// UpdateSigningKey writes ActiveAt and DropAt, or fails with ErrNotFound.
func (tx *Tx) UpdateSigningKey(k model.SigningKey) error {
	return tx.changes(SigningKeys, tx.must(`UPDATE signing_keys SET active_at = $2, drop_at = $3 WHERE id = $1`,
		string(k.ID), k.ActiveAt, k.DropAt))
}

// DeleteSigningKey removes a signing key, or fails with ErrNotFound.
func (tx *Tx) DeleteSigningKey(id model.KeyID) error {
	return tx.changes(SigningKeys, tx.must(`DELETE FROM signing_keys WHERE id = $1`, string(id)))
}
