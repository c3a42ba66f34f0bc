package store

import "errors"

// Setting returns the value of a setting, or ErrNotFound.
func (tx *Tx) Setting(name string) (string, error) {
	return one(tx, scanString, `SELECT value FROM settings WHERE name = $1`, name)
}

// PutSetting writes a setting, in place of what was there.
func (tx *Tx) PutSetting(name, value string) error {
	_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// InsertSetting writes a setting that is not there yet, or fails with
// ErrConflict: of many who try at the same time, one succeeds.
func (tx *Tx) InsertSetting(name, value string) error {
	return tx.insert(`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, value)
}

// Replacement is a new value for a setting, in place of one that is known.
type Replacement struct{ Name, Was, Is string }

// replace fails with ErrConflict if the setting is not what it was.
func (r Replacement) replace(tx *Tx) error {
	err := tx.must(`UPDATE settings SET value = $3 WHERE name = $1 AND value = $2`, r.Name, r.Was, r.Is)
	if errors.Is(err, ErrNotFound) {
		return ErrConflict
	}
	return err
}
