package store

import "github.com/ostiary/ostiary/internal/model"

const subjectColumns = `subject, sector, user_id`

func scanSubject(row scanner) (s model.Subject, err error) {
	err = row.Scan(&s.Value, &s.Sector, (*string)(&s.UserID))
	return s, err
}

// InsertSubject adds the name of a person in a sector. It fails with ErrConflict if they
// have one there, or if the name is taken, and with ErrLapsed if there is no such person.
func (tx *Tx) InsertSubject(s model.Subject) error {
	return tx.insert(`INSERT INTO subjects (`+subjectColumns+`) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		s.Value, s.Sector, string(s.UserID))
}

// SubjectOf returns the name of a person in a sector, or ErrNotFound.
func (tx *Tx) SubjectOf(user model.UserID, sector string) (model.Subject, error) {
	return one(tx, scanSubject, `SELECT `+subjectColumns+` FROM subjects WHERE user_id = $1 AND sector = $2`,
		string(user), sector)
}

// Subject returns whose name a value is, or ErrNotFound.
func (tx *Tx) Subject(value string) (model.Subject, error) {
	return one(tx, scanSubject, `SELECT `+subjectColumns+` FROM subjects WHERE subject = $1`, value)
}
