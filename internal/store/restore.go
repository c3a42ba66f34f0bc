package store

import (
	"context"
	"errors"
	"os"
)

// RevocationLog is the setting that holds the name of the revocation log. A sequence
// number means nothing under another name.
const RevocationLog = "revocation_log"

// restoringSetting is there from when a database was filled until what has to follow
// is done: until then no server may let anybody in.
const restoringSetting = "restoring"

// Restoring reports whether a restore was begun and not finished.
func (tx *Tx) Restoring() (bool, error) {
	_, err := tx.Setting(restoringSetting)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// FinishRestore notes that it is.
func (tx *Tx) FinishRestore() error {
	_, err := tx.exec(`DELETE FROM settings WHERE name = $1`, restoringSetting)
	return err
}

// Hold lets no server be started on what Commit makes durable until FinishRestore.
func (t *Target) Hold() { t.held = true }

// InUse reports whether somebody has an SQLite file open, as a server has all the
// time. A file that is damaged, or not there, nobody uses.
func InUse(ctx context.Context, address string) (bool, error) {
	kind, path, err := kindOf(address)
	if err != nil || kind != "sqlite" {
		return false, err
	}
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	r, err := openRawSQLite(ctx, path, "busy_timeout=2000", "locking_mode=exclusive")
	if err != nil {
		return false, err
	}
	defer r.close()
	return errors.Is(r.exec(ctx, `BEGIN EXCLUSIVE`), ErrBusy), nil
}

// open lists what counts once, or waits for an answer: after a restore nobody knows
// what of it has been used already.
var open = []string{
	`DELETE FROM requests`, `DELETE FROM auth_sessions`, `DELETE FROM sign_ins`, `DELETE FROM ceremonies`, `DELETE FROM codes`,
	`DELETE FROM device_codes`, `DELETE FROM confirmations`, `DELETE FROM links`, `DELETE FROM upstream_visits`, `DELETE FROM upstream_strangers`,
}

// DropOpen deletes what counts once or waits for an answer: sign-ins under way, codes,
// links in letters, invitations.
func (tx *Tx) DropOpen() error {
	for _, statement := range open {
		if _, err := tx.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// DistrustAllDevices asks for a second factor again at every browser.
func (tx *Tx) DistrustAllDevices() error {
	_, err := tx.exec(`UPDATE devices SET trusted_to = 0 WHERE trusted_to <> 0`)
	return err
}
