package store

import "github.com/ostiary/ostiary/internal/model"

// PutRecoveryCodes gives a person who exists new recovery codes, as hashes, in
// place of those that they had.
func (tx *Tx) PutRecoveryCodes(user model.UserID, hashes []string) error {
	if _, err := tx.exec(`DELETE FROM recovery_codes WHERE user_id = $1`, string(user)); err != nil {
		return err
	}
	for _, hash := range hashes {
		if err := tx.insert(`INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING`, string(user), hash); err != nil {
			return err
		}
	}
	return nil
}

// UseRecoveryCode uses a code up, or fails with ErrNotFound: of many who try at
// the same time, one succeeds.
func (tx *Tx) UseRecoveryCode(user model.UserID, hash string) error {
	return tx.must(`DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2`, string(user), hash)
}

// CountRecoveryCodes returns how many codes a person has left.
func (tx *Tx) CountRecoveryCodes(user model.UserID) (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM recovery_codes WHERE user_id = $1`, string(user))
}
