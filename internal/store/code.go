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

// RedeemCode uses a code up, and returns it with what it stands for. It fails with
// ErrNotFound if there is none, it is used already or it has expired: of many who try at
// the same time, one succeeds.
func (tx *Tx) RedeemCode(hash string, now int64) (c model.Code, h Holding, err error) {
	if tx.mode.reads() {
		return c, h, ErrReadOnly
	}
	h, err = one(tx, func(row scanner) (h Holding, err error) {
		if c, err = scanCode(sectionOf(row, 0, codeWidth)); err != nil {
			return h, err
		}
		return scanHolding(sectionOf(row, codeWidth, holdingWidth))
	}, `SELECT `+codeOf+`, `+holdingOf+` FROM codes k JOIN grants g ON g.id = k.grant_id `+holdingJoins+` WHERE k.hash = $1`, hash)
	if err == nil && (c.UsedAt != 0 || c.ExpiresAt <= now) {
		err = ErrNotFound
	}
	if err != nil {
		return model.Code{}, Holding{}, err
	}
	c.UsedAt = now
	return c, h, tx.later(`UPDATE codes SET used_at = $2 WHERE hash = $1`, hash, now)
}
