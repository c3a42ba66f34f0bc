package store

import "github.com/ostiary/ostiary/internal/model"

// Link is a secret address that lets whoever holds it do one thing once.
type Link struct {
	Hash      string // Secret.Hash of the token in it
	Purpose   string
	UserID    model.UserID // for whom; empty: for nobody yet
	ExpiresAt int64
}

const linkColumns = `hash, purpose, user_id, expires_at`

func scanLink(row scanner) (l Link, err error) {
	err = row.Scan(&l.Hash, &l.Purpose, (*string)(&l.UserID), &l.ExpiresAt)
	return l, err
}

// InsertLink adds a link. It fails with ErrConflict if its hash is known.
func (tx *Tx) InsertLink(l Link) error {
	return tx.insert(`INSERT INTO links (`+linkColumns+`) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		l.Hash, l.Purpose, string(l.UserID), l.ExpiresAt)
}

// Link returns an unused link for that purpose that has not expired, or
// ErrNotFound.
func (tx *Tx) Link(hash, purpose string, now int64) (Link, error) {
	return one(tx, scanLink, `SELECT `+linkColumns+` FROM links
		WHERE hash = $1 AND purpose = $2 AND expires_at > $3`, hash, purpose, now)
}

// UseLink uses such a link up, or fails with ErrNotFound: of many who try at
// the same time, one succeeds.
func (tx *Tx) UseLink(hash, purpose string, now int64) (Link, error) {
	return change(tx, scanLink, `DELETE FROM links
		WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING `+linkColumns, hash, purpose, now)
}
