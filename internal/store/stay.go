package store

import "github.com/ostiary/ostiary/internal/model"

const stayColumns = `id, upstream_id, holder, session_id, issuer, subject, session, hint, expires_at`

func scanStay(row scanner) (s model.Stay, err error) {
	err = row.Scan(&s.ID, (*string)(&s.UpstreamID), &s.Holder, (*string)(&s.SessionID), &s.Issuer, &s.Subject, &s.Session, &s.Hint, &s.ExpiresAt)
	return s, err
}

// InsertStay adds a session at a provider.
func (tx *Tx) InsertStay(s model.Stay) error {
	return tx.insert(`INSERT INTO upstream_stays (`+stayColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		s.ID, string(s.UpstreamID), s.Holder, string(s.SessionID), s.Issuer, s.Subject, s.Session, s.Hint, s.ExpiresAt)
}

// StaysOf lists the sessions at providers on which a session of ours stands.
func (tx *Tx) StaysOf(id model.SessionID) ([]model.Stay, error) {
	if id == "" {
		return nil, nil // those of no session are nobody's
	}
	return many(tx, scanStay, `SELECT `+stayColumns+` FROM upstream_stays WHERE session_id = $1 ORDER BY id LIMIT $2`, string(id), page(0))
}

// StaysAt lists the sessions at a provider that one of its messages is about: by their
// subject, or what it calls the session, or both; what is empty does not narrow. It lists
// a page of them, from the one that follows after.
func (tx *Tx) StaysAt(id model.UpstreamID, subject, session, after string) ([]model.Stay, error) {
	if subject == "" && session == "" {
		return nil, nil
	}
	if subject == "" {
		return many(tx, scanStay, `SELECT `+stayColumns+` FROM upstream_stays WHERE upstream_id = $1 AND session = $2 AND id > $3 ORDER BY id LIMIT $4`,
			string(id), session, after, page(0))
	}
	return many(tx, scanStay, `SELECT `+stayColumns+` FROM upstream_stays WHERE upstream_id = $1 AND subject = $2 AND ($3 = '' OR session = $3) AND id > $4 ORDER BY id LIMIT $5`,
		string(id), subject, session, after, page(0))
}

// DeleteStay forgets one, if it is there.
func (tx *Tx) DeleteStay(id string) error {
	_, err := tx.exec(`DELETE FROM upstream_stays WHERE id = $1`, id)
	return err
}

// tie gives the sessions at providers on which a session of ours stands to it. One
// that has ended meanwhile is not there, nor is the sign-in that would tell of it.
func (tx *Tx) tie(s model.Session) error {
	for _, f := range s.Factors {
		if f.Stay == "" {
			continue
		}
		if _, err := tx.exec(`UPDATE upstream_stays SET session_id = $2, expires_at = $3 WHERE id = $1`, f.Stay, string(s.ID), s.ExpiresAt+grace); err != nil {
			return err
		}
	}
	return nil
}

// untie forgets those on which a session of ours stands no more.
func (tx *Tx) untie(s model.Session) error {
	had, err := tx.StaysOf(s.ID)
	for i := 0; err == nil && i < len(had); i++ {
		if !standsOn(s, had[i].ID) {
			err = tx.DeleteStay(had[i].ID)
		}
	}
	return err
}

func standsOn(s model.Session, stay string) bool {
	for _, f := range s.Factors {
		if f.Stay == stay {
			return true
		}
	}
	return false
}
