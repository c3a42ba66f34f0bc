package store

import "github.com/ostiary/ostiary/internal/model"

const totpColumns = `id, user_id, name, sealed, step, created_at, used_at`

func scanTOTP(row scanner) (t model.TOTP, err error) {
	err = row.Scan(&t.ID, (*string)(&t.UserID), &t.Name, &t.Sealed, &t.Step, &t.CreatedAt, &t.UsedAt)
	return t, err
}

// InsertTOTP adds an app of a person who exists. It fails with ErrConflict if its
// ID is known.
func (tx *Tx) InsertTOTP(t model.TOTP) error {
	return tx.insert(`INSERT INTO totps (`+totpColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		t.ID, string(t.UserID), t.Name, t.Sealed, t.Step, t.CreatedAt, t.UsedAt)
}

// TOTPs lists the apps of a person, the oldest first.
func (tx *Tx) TOTPs(user model.UserID) ([]model.TOTP, error) {
	return many(tx, scanTOTP, `SELECT `+totpColumns+` FROM totps WHERE user_id = $1 ORDER BY created_at, id LIMIT $2`, string(user), page(0))
}

// UseTOTP notes that the code of a step was taken, or fails with ErrNotFound: of
// many who send one code, one succeeds, and none that is older is taken after it.
func (tx *Tx) UseTOTP(id string, step, at int64) error {
	return tx.must(`UPDATE totps SET step = $2, used_at = $3 WHERE id = $1 AND step < $2`, id, step, at)
}

// RenameTOTP gives an app of a person another name, or fails with ErrNotFound.
func (tx *Tx) RenameTOTP(user model.UserID, id, name string) error {
	return tx.must(`UPDATE totps SET name = $3 WHERE id = $1 AND user_id = $2`, id, string(user), name)
}

// DeleteTOTP removes an app of a person, or fails with ErrNotFound.
func (tx *Tx) DeleteTOTP(user model.UserID, id string) error {
	return tx.must(`DELETE FROM totps WHERE id = $1 AND user_id = $2`, id, string(user))
}
