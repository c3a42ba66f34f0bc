package store

import "github.com/ostiary/ostiary/internal/model"

const authSessionColumns = `id, hash, client_id, user_id, session_id, asked, tries, expires_at`

func scanAuthSession(row scanner) (s model.AuthSession, err error) {
	err = row.Scan(&s.ID, &s.Hash, (*string)(&s.ClientID), (*string)(&s.UserID), (*string)(&s.SessionID),
		optional{&s.Asked}, &s.Tries, &s.ExpiresAt)
	return s, err
}

// PutAuthSession writes all of an auth session, in place of what had its ID. It
// fails with ErrNotFound if that belongs to another client.
func (tx *Tx) PutAuthSession(s model.AuthSession) error {
	asked := ""
	if s.Asked != nil {
		var err error
		if asked, err = (document{s.Asked}).text(); err != nil {
			return err
		}
	}
	return tx.must(`INSERT INTO auth_sessions (`+authSessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, user_id = excluded.user_id, session_id = excluded.session_id,
			asked = excluded.asked, tries = excluded.tries, expires_at = excluded.expires_at
		WHERE auth_sessions.client_id = excluded.client_id`,
		s.ID, s.Hash, string(s.ClientID), string(s.UserID), string(s.SessionID), asked, s.Tries, s.ExpiresAt)
}

// AuthSession returns the auth session of that hash that has not expired at the
// time now, or ErrNotFound.
func (tx *Tx) AuthSession(hash string, now int64) (model.AuthSession, error) {
	return one(tx, scanAuthSession, `SELECT `+authSessionColumns+` FROM auth_sessions WHERE hash = $1 AND expires_at > $2`, hash, now)
}

// TryAuthSession counts a try at an auth session, and returns how many there were. It
// fails with ErrNotFound.
func (tx *Tx) TryAuthSession(id string) (int64, error) {
	return change(tx, scanInt, `UPDATE auth_sessions SET tries = tries + 1 WHERE id = $1 RETURNING tries`, id)
}

// RotateAuthSession gives an auth session another hash, or fails with ErrNotFound.
func (tx *Tx) RotateAuthSession(id, hash string) error {
	return tx.must(`UPDATE auth_sessions SET hash = $2 WHERE id = $1`, id, hash)
}

// DeleteAuthSession removes an auth session, or fails with ErrNotFound.
func (tx *Tx) DeleteAuthSession(id string) error {
	return tx.must(`DELETE FROM auth_sessions WHERE id = $1`, id)
}

// CountAuthSessions returns how many auth sessions expire by a time, or most if
// there are more.
func (tx *Tx) CountAuthSessions(by int64, most int) (int, error) {
	return one(tx, func(row scanner) (n int, err error) { err = row.Scan(&n); return n, err },
		`SELECT count(*) FROM (SELECT 1 FROM auth_sessions WHERE expires_at <= $1 LIMIT $2) AS first`, by, most)
}
