package store

import (
	"encoding/base64"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
)

const logoColumns = `client_id, uri, hash, type, body, fetched_at`

func scanLogo(row scanner) (l model.Logo, err error) {
	var body string
	if err = row.Scan((*string)(&l.ClientID), &l.URI, &l.Hash, &l.Type, &body, &l.FetchedAt); err != nil {
		return l, err
	}
	if l.Body, err = base64.StdEncoding.DecodeString(body); err != nil {
		err = fmt.Errorf("%w: a logo is not base64", ErrCorrupt)
	}
	return l, err
}

// PutLogo writes the logo of a client that exists, in place of what was there,
// and removes the oldest of all where there are more than max.
func (tx *Tx) PutLogo(l model.Logo, max int64) error {
	_, err := tx.exec(`INSERT INTO logos (`+logoColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (client_id) DO UPDATE SET uri = excluded.uri, hash = excluded.hash, type = excluded.type,
		body = excluded.body, fetched_at = excluded.fetched_at`,
		string(l.ClientID), l.URI, l.Hash, l.Type, base64.StdEncoding.EncodeToString(l.Body), l.FetchedAt)
	if err != nil {
		return err
	}
	n, err := one(tx, scanInt, `SELECT COUNT(*) FROM logos`)
	if err != nil || n <= max {
		return err
	}
	_, err = tx.exec(`DELETE FROM logos WHERE client_id IN (SELECT client_id FROM logos ORDER BY fetched_at, client_id LIMIT $1)`, n-max)
	return err
}

// LogoOf returns a client's logo without its body, or ErrNotFound.
func (tx *Tx) LogoOf(id model.ClientID) (model.Logo, error) {
	return one(tx, scanLogo, `SELECT client_id, uri, hash, type, '', fetched_at FROM logos WHERE client_id = $1`, string(id))
}

// Logo returns the logo with that hash, whosoever it is, or ErrNotFound.
func (tx *Tx) Logo(hash string) (model.Logo, error) {
	return one(tx, scanLogo, `SELECT `+logoColumns+` FROM logos WHERE hash = $1 LIMIT 1`, hash)
}
