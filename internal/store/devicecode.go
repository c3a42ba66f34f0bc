package store

import "github.com/ostiary/ostiary/internal/model"

const deviceCodeColumns = `hash, user_hash, client_id, asked, grant_id, denied, pause, asked_at, used_at, created_at, expires_at`

func scanDeviceCode(row scanner) (d model.DeviceCode, err error) {
	err = row.Scan(&d.Hash, &d.UserHash, (*string)(&d.ClientID), document{&d.Asked}, (*string)(&d.GrantID), &d.Denied,
		&d.Pause, &d.AskedAt, &d.UsedAt, &d.CreatedAt, &d.ExpiresAt)
	return d, err
}

// InsertDeviceCode adds a device code of a client that exists. It fails with
// ErrConflict if one of its hashes is known.
func (tx *Tx) InsertDeviceCode(d model.DeviceCode) error {
	asked, err := document{d.Asked}.text()
	if err != nil {
		return err
	}
	return tx.insert(`INSERT INTO device_codes (`+deviceCodeColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		d.Hash, d.UserHash, string(d.ClientID), asked, string(d.GrantID), d.Denied, d.Pause, d.AskedAt, d.UsedAt, d.CreatedAt, d.ExpiresAt)
}

// DeviceCode returns the device code of a hash, whatever has become of it, or
// ErrNotFound.
func (tx *Tx) DeviceCode(hash string) (model.DeviceCode, error) {
	return one(tx, scanDeviceCode, `SELECT `+deviceCodeColumns+` FROM device_codes WHERE hash = $1`, hash)
}

// DeviceCodeShown returns the device code whose device shows what has that hash, or
// ErrNotFound.
func (tx *Tx) DeviceCodeShown(userHash string) (model.DeviceCode, error) {
	return one(tx, scanDeviceCode, `SELECT `+deviceCodeColumns+` FROM device_codes WHERE user_hash = $1`, userHash)
}

// CountDeviceCodes returns how many device codes there are, or most if there are
// more.
func (tx *Tx) CountDeviceCodes(most int) (int, error) {
	return one(tx, func(row scanner) (n int, err error) { err = row.Scan(&n); return n, err },
		`SELECT count(*) FROM (SELECT 1 FROM device_codes LIMIT $1) AS first`, most)
}

// AskDeviceCode notes that a device has asked at a time, in milliseconds, and how
// long it must wait now, in seconds. It fails with ErrNotFound.
func (tx *Tx) AskDeviceCode(hash string, at, pause int64) error {
	return tx.must(`UPDATE device_codes SET asked_at = $2, pause = $3 WHERE hash = $1`, hash, at, pause)
}

// ApproveDeviceCode gives a device a grant, and time until expiresAt to fetch it. It
// fails with ErrNotFound unless it waits at the time now: of many answers, the first
// one counts.
func (tx *Tx) ApproveDeviceCode(hash string, grant model.GrantID, now, expiresAt int64) error {
	return tx.must(`UPDATE device_codes SET grant_id = $2, expires_at = $4
		WHERE hash = $1 AND grant_id = '' AND denied = 0 AND expires_at > $3`, hash, string(grant), now, expiresAt)
}

// DenyDeviceCode refuses a device. It fails with ErrNotFound unless it waits at the
// time now.
func (tx *Tx) DenyDeviceCode(hash string, now int64) error {
	return tx.must(`UPDATE device_codes SET denied = 1
		WHERE hash = $1 AND grant_id = '' AND denied = 0 AND expires_at > $2`, hash, now)
}

// RedeemDeviceCode uses up a device code to which somebody has agreed. It fails with
// ErrNotFound if nobody has, it is used already or it has expired: of many who try at
// the same time, one succeeds.
func (tx *Tx) RedeemDeviceCode(hash string, now int64) (model.DeviceCode, error) {
	return change(tx, scanDeviceCode, `UPDATE device_codes SET used_at = $2
		WHERE hash = $1 AND grant_id <> '' AND used_at = 0 AND expires_at > $2 RETURNING `+deviceCodeColumns, hash, now)
}
