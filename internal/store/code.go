package store

import "github.com/ostiary/ostiary/internal/model"

const codeColumns = `hash, grant_id, client_id, redirect_uri, redirect_sent, code_challenge, created_at, expires_at, used_at, auth_session`

func scanCode(row scanner) (c model.Code, err error) {
	err = row.Scan(&c.Hash, (*string)(&c.GrantID), (*string)(&c.ClientID), &c.RedirectURI, &c.RedirectSent,
		&c.CodeChallenge, &c.CreatedAt, &c.ExpiresAt, &c.UsedAt, &c.AuthSession)
	return c, err
}

// InsertCode adds a code of a grant that exists. It fails with ErrConflict if
// its hash is known.
func (tx *Tx) InsertCode(c model.Code) error {
	return tx.later(`INSERT INTO codes (`+codeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.Hash, string(c.GrantID), string(c.ClientID), c.RedirectURI, c.RedirectSent,
		c.CodeChallenge, c.CreatedAt, c.ExpiresAt, c.UsedAt, c.AuthSession)
}

// Code returns a code, used, expired or neither, or ErrNotFound.
func (tx *Tx) Code(hash string) (model.Code, error) {
	return one(tx, scanCode, `SELECT `+codeColumns+` FROM codes WHERE hash = $1`, hash)
}

// RedeemCode uses a code up. It fails with ErrNotFound if there is none, it is
// used already or it has expired: of many who try at the same time, one
// succeeds.
func (tx *Tx) RedeemCode(hash string, now int64) (model.Code, error) {
	return change(tx, scanCode, `UPDATE codes SET used_at = $2
		WHERE hash = $1 AND used_at = 0 AND expires_at > $2 RETURNING `+codeColumns, hash, now)
}
