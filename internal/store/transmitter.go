package store

import "github.com/ostiary/ostiary/internal/model"

const transmitterColumns = `id, issuer, settings, secret_hash, sealed, created_at, updated_at, seen_at, problem`

func scanTransmitter(row scanner) (t model.Transmitter, err error) {
	err = row.Scan((*string)(&t.ID), &t.Issuer, document{&t.TransmitterSettings}, &t.SecretHash, &t.Sealed, &t.CreatedAt, &t.UpdatedAt, &t.SeenAt, &t.Problem)
	return t, err
}

// InsertTransmitter adds a transmitter. It fails with ErrConflict if its ID is
// taken.
func (tx *Tx) InsertTransmitter(t model.Transmitter) error {
	settings, err := document{t.TransmitterSettings}.text()
	if err != nil {
		return err
	}
	return tx.insert(`INSERT INTO transmitters (`+transmitterColumns+`, lease_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 0) ON CONFLICT DO NOTHING`,
		string(t.ID), t.Issuer, settings, t.SecretHash, t.Sealed, t.CreatedAt, t.UpdatedAt)
}

// Transmitter returns a transmitter, disabled or not, or ErrNotFound.
func (tx *Tx) Transmitter(id model.TransmitterID) (model.Transmitter, error) {
	return one(tx, scanTransmitter, `SELECT `+transmitterColumns+` FROM transmitters WHERE id = $1`, string(id))
}

// Transmitters lists them by their ID.
func (tx *Tx) Transmitters() ([]model.Transmitter, error) {
	return many(tx, scanTransmitter, `SELECT `+transmitterColumns+` FROM transmitters ORDER BY id LIMIT $1`, page(0))
}

// UpdateTransmitter writes what an operator says of one, and forgets its last
// problem. It fails with ErrNotFound.
func (tx *Tx) UpdateTransmitter(t model.Transmitter) error {
	settings, err := document{t.TransmitterSettings}.text()
	if err != nil {
		return err
	}
	return tx.must(`UPDATE transmitters SET issuer = $2, settings = $3, secret_hash = $4, sealed = $5, updated_at = $6, problem = '' WHERE id = $1`,
		string(t.ID), t.Issuer, settings, t.SecretHash, t.Sealed, t.UpdatedAt)
}

// DeleteTransmitter removes one with all that is known by it; whoever it has
// locked stays locked. It fails with ErrNotFound.
func (tx *Tx) DeleteTransmitter(id model.TransmitterID) error {
	return tx.must(`DELETE FROM transmitters WHERE id = $1`, string(id))
}

// NoteTransmitter writes when something good last came from a transmitter, 0 if
// that has not changed, and what went wrong.
func (tx *Tx) NoteTransmitter(id model.TransmitterID, seen int64, problem string) error {
	_, err := tx.exec(`UPDATE transmitters SET seen_at = CASE WHEN $2 > 0 THEN $2 ELSE seen_at END, problem = $3 WHERE id = $1`,
		string(id), seen, problem)
	return err
}

// LeaseTransmitter makes a transmitter the caller's to poll until the time until,
// again if the caller has it until held. It fails with ErrNotFound if another
// polls it.
func (tx *Tx) LeaseTransmitter(id model.TransmitterID, due Due, held, until int64) error {
	return tx.must(`UPDATE transmitters SET lease_at = $5 WHERE id = $1 AND (lease_at <= $2 OR lease_at > $3 OR lease_at = $4)`,
		string(id), due.Now, due.Latest, held, until)
}

// LinkSubject says who of ours it is whom a transmitter calls subject, in place of
// what was said before; both exist.
func (tx *Tx) LinkSubject(id model.TransmitterID, subject string, user model.UserID) error {
	_, err := tx.exec(`INSERT INTO transmitter_subjects (transmitter_id, subject, user_id) VALUES ($1, $2, $3)
		ON CONFLICT (transmitter_id, subject) DO UPDATE SET user_id = excluded.user_id`, string(id), subject, string(user))
	return err
}

// UnlinkSubject forgets that. It fails with ErrNotFound.
func (tx *Tx) UnlinkSubject(id model.TransmitterID, subject string) error {
	return tx.must(`DELETE FROM transmitter_subjects WHERE transmitter_id = $1 AND subject = $2`, string(id), subject)
}

// LinkedSubject returns who of ours it is whom a transmitter calls subject, or
// ErrNotFound.
func (tx *Tx) LinkedSubject(id model.TransmitterID, subject string) (model.UserID, error) {
	user, err := one(tx, scanString, `SELECT user_id FROM transmitter_subjects WHERE transmitter_id = $1 AND subject = $2`, string(id), subject)
	return model.UserID(user), err
}

// SubjectLink is a line of Links.
type SubjectLink struct {
	Subject string       `json:"subject"`
	UserID  model.UserID `json:"user_id"`
}

// Links lists whom a transmitter calls how, from the subject that follows after.
func (tx *Tx) Links(id model.TransmitterID, after string, limit int) ([]SubjectLink, error) {
	return many(tx, func(row scanner) (l SubjectLink, err error) {
		err = row.Scan(&l.Subject, (*string)(&l.UserID))
		return l, err
	}, `SELECT subject, user_id FROM transmitter_subjects WHERE transmitter_id = $1 AND subject > $2 ORDER BY subject LIMIT $3`,
		string(id), after, page(limit))
}

// TakeToken remembers that an event token of a transmitter was taken. It fails with
// ErrConflict if it was before. The caller bounds the length of the jti.
func (tx *Tx) TakeToken(id model.TransmitterID, jti string, expiresAt int64) error {
	return tx.insert(`INSERT INTO transmitter_tokens (transmitter_id, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		string(id), jti, expiresAt)
}

// PutVerdict writes what a transmitter said of an account at a time, and whether
// it is locked by that word. It fails with ErrConflict if it has said something
// later.
func (tx *Tx) PutVerdict(id model.TransmitterID, user model.UserID, at int64, locked bool) error {
	n, err := tx.exec(`INSERT INTO transmitter_verdicts (transmitter_id, user_id, at, locked) VALUES ($1, $2, $3, $4)
		ON CONFLICT (transmitter_id, user_id) DO UPDATE SET at = excluded.at, locked = excluded.locked
		WHERE transmitter_verdicts.at <= excluded.at`, string(id), string(user), at, locked)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

// LockedBy reports whether an account is locked by the word of a transmitter.
func (tx *Tx) LockedBy(id model.TransmitterID, user model.UserID) (bool, error) {
	n, err := one(tx, scanInt, `SELECT count(*) FROM transmitter_verdicts WHERE transmitter_id = $1 AND user_id = $2 AND locked = 1`, string(id), string(user))
	return n > 0, err
}

// OverruleVerdicts takes from every transmitter's word what it did to an account:
// somebody here has decided.
func (tx *Tx) OverruleVerdicts(user model.UserID) error {
	_, err := tx.exec(`UPDATE transmitter_verdicts SET locked = 0 WHERE user_id = $1 AND locked = 1`, string(user))
	return err
}
