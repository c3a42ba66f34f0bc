package store

import "github.com/ostiary/ostiary/internal/model"

const upstreamColumns = `id, disabled, settings, sealed, created_at, updated_at, failures, failing_since, retry_at, problem, worked_at`

func scanUpstream(row scanner) (u model.Upstream, err error) {
	h := &u.Health
	err = row.Scan((*string)(&u.ID), &u.Disabled, document{&u.UpstreamSettings}, &u.Sealed, &u.CreatedAt, &u.UpdatedAt,
		&h.Failures, &h.FailingSince, &h.RetryAt, &h.Problem, &h.WorkedAt)
	return u, err
}

// InsertUpstream adds an identity provider. It fails with ErrConflict if its ID is
// taken.
func (tx *Tx) InsertUpstream(u model.Upstream) error {
	settings, err := document{u.UpstreamSettings}.text()
	if err != nil {
		return err
	}
	return tx.changes(Upstreams, tx.insert(`INSERT INTO upstreams (`+upstreamColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, '', 0) ON CONFLICT DO NOTHING`,
		string(u.ID), u.Disabled, settings, u.Sealed, u.CreatedAt, u.UpdatedAt))
}

// Upstream returns an identity provider, disabled or not, or ErrNotFound.
func (tx *Tx) Upstream(id model.UpstreamID) (model.Upstream, error) {
	return one(tx, scanUpstream, `SELECT `+upstreamColumns+` FROM upstreams WHERE id = $1`, string(id))
}

// Upstreams lists them by their ID.
func (tx *Tx) Upstreams() ([]model.Upstream, error) {
	return many(tx, scanUpstream, `SELECT `+upstreamColumns+` FROM upstreams ORDER BY id LIMIT $1`, page(0))
}

// UpdateUpstream writes what an operator says of one, and forgets how it fared. It
// fails with ErrNotFound.
func (tx *Tx) UpdateUpstream(u model.Upstream) error {
	settings, err := document{u.UpstreamSettings}.text()
	if err != nil {
		return err
	}
	return tx.changes(Upstreams, tx.must(`UPDATE upstreams SET disabled = $2, settings = $3, sealed = $4, updated_at = $5,
		failures = 0, failing_since = 0, retry_at = 0, problem = '' WHERE id = $1`,
		string(u.ID), u.Disabled, settings, u.Sealed, u.UpdatedAt))
}

// DeleteUpstream removes one with all that is known by it. It fails with
// ErrNotFound.
func (tx *Tx) DeleteUpstream(id model.UpstreamID) error {
	return tx.changes(Upstreams, tx.must(`DELETE FROM upstreams WHERE id = $1`, string(id)))
}

// FailUpstream counts a failure and returns how many there were in a row, or
// ErrNotFound.
func (tx *Tx) FailUpstream(id model.UpstreamID, now int64, problem string) (int64, error) {
	return change(tx, scanInt, `UPDATE upstreams SET failures = failures + 1, problem = $3,
		failing_since = CASE WHEN failures = 0 THEN $2 ELSE failing_since END WHERE id = $1 RETURNING failures`, string(id), now, problem)
}

// PauseUpstream says that nobody is to be sent there until a time. It fails with
// ErrNotFound unless the last such time was before: of many who would try, one does.
func (tx *Tx) PauseUpstream(id model.UpstreamID, now, until int64) error {
	return tx.changes(Upstreams, tx.must(`UPDATE upstreams SET retry_at = $3 WHERE id = $1 AND retry_at <= $2`, string(id), now, until))
}

// HealUpstream notes that a provider works.
func (tx *Tx) HealUpstream(id model.UpstreamID, now int64) error {
	_, err := tx.exec(`UPDATE upstreams SET failures = 0, failing_since = 0, retry_at = 0, problem = '', worked_at = $2 WHERE id = $1`, string(id), now)
	return err
}

const visitColumns = `holder, state_hash, browser_hash, upstream_id, purpose, user_id, session_id, kept, answer, expires_at`

func scanVisit(row scanner) (v model.Visit, err error) {
	err = row.Scan(&v.Holder, &v.StateHash, &v.BrowserHash, (*string)(&v.UpstreamID), &v.Purpose, (*string)(&v.UserID),
		(*string)(&v.SessionID), &v.Kept, &v.Answer, &v.ExpiresAt)
	return v, err
}

// PutVisit writes a visit, in place of the one that its holder had.
func (tx *Tx) PutVisit(v model.Visit) error {
	_, err := tx.exec(`INSERT INTO upstream_visits (`+visitColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (holder) DO UPDATE SET state_hash = excluded.state_hash, browser_hash = excluded.browser_hash, upstream_id = excluded.upstream_id,
			purpose = excluded.purpose, user_id = excluded.user_id, session_id = excluded.session_id, kept = excluded.kept,
			answer = excluded.answer, expires_at = excluded.expires_at`,
		v.Holder, v.StateHash, v.BrowserHash, string(v.UpstreamID), v.Purpose, string(v.UserID), string(v.SessionID), v.Kept, v.Answer, v.ExpiresAt)
	return err
}

// KeepAnswer keeps what came to a visit without its cookie. It fails with
// ErrNotFound if there is no such visit at that provider at the time now, or if
// something has come already.
func (tx *Tx) KeepAnswer(state string, id model.UpstreamID, now int64, sealed string) error {
	return tx.must(`UPDATE upstream_visits SET answer = $4 WHERE state_hash = $1 AND upstream_id = $2 AND expires_at > $3 AND answer = ''`,
		state, string(id), now, sealed)
}

// TakeVisit returns the visit of a browser to a provider and forgets it, or fails
// with ErrNotFound: of many answers, one is heard.
func (tx *Tx) TakeVisit(state, browser string, id model.UpstreamID, now int64) (model.Visit, error) {
	return change(tx, scanVisit, `DELETE FROM upstream_visits
		WHERE state_hash = $1 AND browser_hash = $2 AND upstream_id = $3 AND expires_at > $4 RETURNING `+visitColumns,
		state, browser, string(id), now)
}

const strangerColumns = `holder, upstream_id, user_id, content, expires_at`

func scanStranger(row scanner) (s model.Stranger, err error) {
	err = row.Scan(&s.Holder, (*string)(&s.UpstreamID), (*string)(&s.UserID), &s.Content, &s.ExpiresAt)
	return s, err
}

// PutStranger writes of whom a provider has told, in place of whom its holder had.
func (tx *Tx) PutStranger(s model.Stranger) error {
	_, err := tx.exec(`INSERT INTO upstream_strangers (`+strangerColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (holder) DO UPDATE SET upstream_id = excluded.upstream_id, user_id = excluded.user_id, content = excluded.content,
			expires_at = excluded.expires_at`, s.Holder, string(s.UpstreamID), string(s.UserID), s.Content, s.ExpiresAt)
	return err
}

// Stranger returns whom a holder has at the time now, or ErrNotFound.
func (tx *Tx) Stranger(holder string, now int64) (model.Stranger, error) {
	return one(tx, scanStranger, `SELECT `+strangerColumns+` FROM upstream_strangers WHERE holder = $1 AND expires_at > $2`, holder, now)
}

// TakeStranger returns them and forgets them, or fails with ErrNotFound.
func (tx *Tx) TakeStranger(holder string, now int64) (model.Stranger, error) {
	return change(tx, scanStranger, `DELETE FROM upstream_strangers WHERE holder = $1 AND expires_at > $2 RETURNING `+strangerColumns, holder, now)
}

// DropStranger forgets whom a holder has, if it has somebody.
func (tx *Tx) DropStranger(holder string) error {
	_, err := tx.exec(`DELETE FROM upstream_strangers WHERE holder = $1`, holder)
	return err
}

// TakeMessage remembers that a message of a provider was taken. It fails with
// ErrConflict if it was before.
func (tx *Tx) TakeMessage(id model.UpstreamID, hash string, expiresAt int64) error {
	return tx.insert(`INSERT INTO upstream_messages (upstream_id, hash, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		string(id), hash, expiresAt)
}
