package store

import "github.com/ostiary/ostiary/internal/model"

const deviceColumns = `hash, user_id, trusted_to, created_at, seen_at, expires_at`

func scanDevice(row scanner) (d model.Device, err error) {
	err = row.Scan(&d.Hash, (*string)(&d.UserID), &d.TrustedTo, &d.CreatedAt, &d.SeenAt, &d.ExpiresAt)
	return d, err
}

// PutDevice writes all of a device of a person who exists.
func (tx *Tx) PutDevice(d model.Device) error {
	return tx.must(`INSERT INTO devices (`+deviceColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (hash) DO UPDATE SET trusted_to = excluded.trusted_to, seen_at = excluded.seen_at, expires_at = excluded.expires_at
		WHERE devices.user_id = excluded.user_id`,
		d.Hash, string(d.UserID), d.TrustedTo, d.CreatedAt, d.SeenAt, d.ExpiresAt)
}

// Device returns a person's device that has not expired at the time now, or
// ErrNotFound.
func (tx *Tx) Device(user model.UserID, hash string, now int64) (model.Device, error) {
	return one(tx, scanDevice, `SELECT `+deviceColumns+` FROM devices WHERE hash = $1 AND user_id = $2 AND expires_at > $3`, hash, string(user), now)
}

// DevicesOf lists a person's devices that have not expired at the time now, the one
// that was seen last first.
func (tx *Tx) DevicesOf(user model.UserID, now int64) ([]model.Device, error) {
	return many(tx, scanDevice, `SELECT `+deviceColumns+` FROM devices WHERE user_id = $1 AND expires_at > $2 ORDER BY seen_at DESC, hash LIMIT $3`, string(user), now, page(0))
}

// DropDevices forgets the devices of a person but the most that were seen last.
func (tx *Tx) DropDevices(user model.UserID, most int) error {
	_, err := tx.exec(`DELETE FROM devices WHERE user_id = $1 AND hash NOT IN (
		SELECT hash FROM devices WHERE user_id = $1 ORDER BY seen_at DESC, hash LIMIT $2)`, string(user), most)
	return err
}

// DistrustDevices asks for a second factor again in every browser of a person.
func (tx *Tx) DistrustDevices(user model.UserID) error {
	_, err := tx.exec(`UPDATE devices SET trusted_to = 0 WHERE user_id = $1 AND trusted_to <> 0`, string(user))
	return err
}
