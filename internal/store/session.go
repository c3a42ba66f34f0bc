package store

import "github.com/ostiary/ostiary/internal/model"

const sessionColumns = `id, cookie_hash, user_id, auth_time, acr, amr, remember,
	created_at, seen_at, idle_at, expires_at, ended_at, user_agent, address, factors`

func scanSession(row scanner) (s model.Session, err error) {
	err = row.Scan((*string)(&s.ID), &s.CookieHash, (*string)(&s.UserID), &s.AuthTime, &s.ACR, (*list)(&s.AMR), &s.Remember,
		&s.CreatedAt, &s.SeenAt, &s.IdleAt, &s.ExpiresAt, &s.EndedAt, &s.UserAgent, &s.Address, (*factors)(&s.Factors))
	return s, err
}

// InsertSession adds a session of a person who exists. It fails with
// ErrConflict if its ID or its cookie is known.
func (tx *Tx) InsertSession(s model.Session) error {
	factors, err := document{s.Factors}.text()
	if err != nil {
		return err
	}
	if err := tx.insert(`INSERT INTO sessions (`+sessionColumns+`, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		string(s.ID), s.CookieHash, string(s.UserID), s.AuthTime, s.ACR, list(s.AMR).text(), s.Remember,
		s.CreatedAt, s.SeenAt, s.IdleAt, s.ExpiresAt, s.EndedAt, s.UserAgent, s.Address, factors, dueAt(s)); err != nil {
		return err
	}
	return tx.tie(s)
}

// RenewSession writes all of a session that nobody ended but its ID, its person
// and its beginning: they proved anew who they are. It fails with ErrNotFound.
func (tx *Tx) RenewSession(s model.Session) error {
	factors, err := document{s.Factors}.text()
	if err != nil {
		return err
	}
	if err := tx.must(`UPDATE sessions SET cookie_hash = $2, auth_time = $3, acr = $4, amr = $5, remember = $6,
		seen_at = $7, idle_at = $8, expires_at = $9, user_agent = $10, address = $11, due_at = $12, factors = $13
		WHERE id = $1 AND ended_at = 0`,
		string(s.ID), s.CookieHash, s.AuthTime, s.ACR, list(s.AMR).text(), s.Remember,
		s.SeenAt, s.IdleAt, s.ExpiresAt, s.UserAgent, s.Address, dueAt(s), factors); err != nil {
		return err
	}
	if err := tx.tie(s); err != nil {
		return err
	}
	return tx.untie(s)
}

// dueAt is when a session is over by itself, 0 if it has been ended.
func dueAt(s model.Session) int64 {
	if s.EndedAt != 0 {
		return 0
	}
	return min(s.IdleAt, s.ExpiresAt)
}

// Session returns a session, live or not, or ErrNotFound.
func (tx *Tx) Session(id model.SessionID) (model.Session, error) {
	return one(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, string(id))
}

// SessionLives fails with ErrNotFound unless there is such a session and it is live
// at the time now.
func (tx *Tx) SessionLives(id model.SessionID, now int64) error {
	_, err := one(tx, scanInt, `SELECT 1 FROM sessions
		WHERE id = $1 AND ended_at = 0 AND idle_at > $2 AND expires_at > $2`, string(id), now)
	return err
}

// SessionByCookie returns the session, live or not, whose cookie has that hash,
// or ErrNotFound.
func (tx *Tx) SessionByCookie(hash string) (model.Session, error) {
	return one(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE cookie_hash = $1`, hash)
}

// Visitor is SessionByCookie, with the person whose session it is and what they have
// set up.
func (tx *Tx) Visitor(hash string) (s model.Session, u model.User, n FactorCount, err error) {
	_, err = one(tx, func(row scanner) (none struct{}, err error) {
		if s, err = scanSession(sectionOf(row, 0, sessionWidth)); err != nil {
			return none, err
		}
		if u, err = scanUser(sectionOf(row, sessionWidth, userWidth)); err != nil {
			return none, err
		}
		n, err = scanFactorCount(sectionOf(row, sessionWidth+userWidth, factorsWidth))
		return none, err
	}, `SELECT `+sessionOf+`, `+userOf+`, `+factorsOf+` FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.cookie_hash = $1`, hash)
	return s, u, n, err
}

// SessionFor returns a session, live or not, or ErrNotFound, and whether there is such a
// client, which is not disabled.
func (tx *Tx) SessionFor(id model.SessionID, client model.ClientID) (s model.Session, enabled bool, err error) {
	s, err = one(tx, func(row scanner) (model.Session, error) {
		if err := sectionOf(row, sessionWidth, 1).Scan(&enabled); err != nil {
			return model.Session{}, err
		}
		return scanSession(sectionOf(row, 0, sessionWidth))
	}, `SELECT `+sessionOf+`, CASE WHEN c.id IS NULL THEN 0 ELSE 1 END
		FROM sessions s LEFT JOIN clients c ON c.id = $2 AND c.disabled = 0 WHERE s.id = $1`, string(id), string(client))
	return s, enabled, err
}

// TouchSession writes when a session that nobody ended was last seen and when
// it will be idle. It fails with ErrNotFound.
func (tx *Tx) TouchSession(id model.SessionID, seen, idleAt int64) error {
	return tx.must(`UPDATE sessions SET seen_at = $2, idle_at = $3,
		due_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END WHERE id = $1 AND ended_at = 0`,
		string(id), seen, idleAt)
}

// DueSessions lists sessions that are over by themselves at the time now and that
// nobody has ended yet, those that are over for longest first.
func (tx *Tx) DueSessions(now int64, limit int) ([]model.Session, error) {
	return many(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE due_at <> 0 AND due_at <= $1 ORDER BY due_at LIMIT $2`, now, page(limit))
}

// SessionsOf lists the live sessions of a person, the youngest first.
func (tx *Tx) SessionsOf(user model.UserID) ([]model.Session, error) {
	return many(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE user_id = $1 AND ended_at = 0 AND idle_at > $2 AND expires_at > $2
		ORDER BY created_at DESC, id LIMIT $3`,
		string(user), tx.now().Unix(), page(0))
}

// SessionsBeside lists the sessions of a person that are not the one to keep and that
// nobody has ended, the youngest first. That one is over by itself does not keep whoever
// looked just before, or by a slower clock, from using it and making it live on.
func (tx *Tx) SessionsBeside(user model.UserID, keep model.SessionID) ([]model.Session, error) {
	return many(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE user_id = $1 AND id <> $2 AND ended_at = 0
		ORDER BY created_at DESC, id LIMIT $3`, string(user), string(keep), page(0))
}

// SessionsBegun is SessionsBeside for those that stand on a proof of a time or of before.
func (tx *Tx) SessionsBegun(user model.UserID, at int64) ([]model.Session, error) {
	return many(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE user_id = $1 AND auth_time <= $2 AND ended_at = 0
		ORDER BY created_at DESC, id LIMIT $3`, string(user), at, page(0))
}

// SessionFilter narrows a listing of sessions; what is empty does not.
type SessionFilter struct {
	User   model.UserID
	Client model.ClientID  // that has a part in it
	After  model.SessionID // the last one of the page before
	Limit  int             // 1000 at most
}

// Sessions lists the live sessions by their ID.
func (tx *Tx) Sessions(f SessionFilter) ([]model.Session, error) {
	return many(tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE id > $1 AND ended_at = 0 AND idle_at > $2 AND expires_at > $2
		AND ($3 = '' OR user_id = $3)
		AND ($4 = '' OR id IN (SELECT session_id FROM participants WHERE client_id = $4))
		ORDER BY id LIMIT $5`,
		string(f.After), tx.now().Unix(), string(f.User), string(f.Client), page(f.Limit))
}
