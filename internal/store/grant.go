package store

import "github.com/ostiary/ostiary/internal/model"

const grantColumns = `id, user_id, client_id, session_id, scope, audience, claims, nonce, auth_time, acr, amr, offline,
	created_at, expires_at, ended_at, end_cause, salt, generation, rotated_at, replays, idle_at, subject, not_before`

func scanGrant(row scanner) (g model.Grant, err error) {
	err = row.Scan((*string)(&g.ID), (*string)(&g.UserID), (*string)(&g.ClientID), (*string)(&g.SessionID),
		(*list)(&g.Scope), (*list)(&g.Audience), document{&g.Claims}, &g.Nonce, &g.AuthTime, &g.ACR, (*list)(&g.AMR), &g.Offline,
		&g.CreatedAt, &g.ExpiresAt, &g.EndedAt, (*string)(&g.EndCause),
		&g.Salt, &g.Generation, &g.RotatedAt, &g.Replays, &g.IdleAt, &g.Subject, &g.NotBefore)
	return g, err
}

// InsertGrant adds a grant of a person to a client, who both exist. It fails
// with ErrConflict if its ID is known.
func (tx *Tx) InsertGrant(g model.Grant) error { return tx.insertGrant(g, `$4`) }

// IssueGrant is InsertGrant for a grant that a person gives in a session: it fails with
// ErrLapsed unless that is live at the time now and the client is not disabled. Nobody
// waits for what it finds: the commit fails with it, at the latest.
func (tx *Tx) IssueGrant(g model.Grant, now int64) error {
	return tx.insertGrant(g, `(SELECT s.id FROM sessions s JOIN clients c ON c.id = $3 AND c.disabled = 0
		WHERE s.id = $4 AND s.ended_at = 0 AND s.idle_at > $24 AND s.expires_at > $24)`, now)
}

// insertGrant adds a grant, and fails with ErrLapsed where the expression finds no session
// for it.
func (tx *Tx) insertGrant(g model.Grant, session string, further ...any) error {
	claims, err := document{g.Claims}.text()
	if err != nil {
		return err
	}
	return tx.later(`INSERT INTO grants (`+grantColumns+`) VALUES ($1, $2, $3, `+session+`, $5, $6, $7, $8, $9, $10,
		$11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)`,
		append([]any{string(g.ID), string(g.UserID), string(g.ClientID), string(g.SessionID),
			list(g.Scope).text(), list(g.Audience).text(), claims, g.Nonce, g.AuthTime, g.ACR, list(g.AMR).text(), g.Offline,
			g.CreatedAt, g.ExpiresAt, g.EndedAt, string(g.EndCause),
			g.Salt, g.Generation, g.RotatedAt, g.Replays, g.IdleAt, g.Subject, g.NotBefore}, further...)...)
}

// Grant returns a grant, live or not, or ErrNotFound.
func (tx *Tx) Grant(id model.GrantID) (model.Grant, error) {
	return one(tx, scanGrant, `SELECT `+grantColumns+` FROM grants WHERE id = $1`, string(id))
}

// Holding is a grant with what it stands and falls with.
type Holding struct {
	Grant   model.Grant
	Session model.Session    // a zero one: it is gone
	Status  model.UserStatus // of the person; empty: there is nobody
}

// What is read of a Holding, whose grant is g.
var (
	holdingOf    = grantOf + `, COALESCE(u.status, ''), CASE WHEN s.id IS NULL THEN 0 ELSE 1 END, ` + sessionOf
	holdingWidth = grantWidth + 2 + sessionWidth
)

const holdingJoins = `LEFT JOIN users u ON u.id = g.user_id LEFT JOIN sessions s ON s.id = g.session_id`

func scanHolding(row section) (h Holding, err error) {
	if h.Grant, err = scanGrant(row.section(0, grantWidth)); err != nil {
		return h, err
	}
	var session bool
	if err = row.section(grantWidth, 2).Scan((*string)(&h.Status), &session); err != nil || !session {
		return h, err
	}
	h.Session, err = scanSession(row.section(grantWidth+2, sessionWidth))
	return h, err
}

// Holding returns a grant, live or not, with its session and what is known of its
// person, or ErrNotFound.
func (tx *Tx) Holding(id model.GrantID) (Holding, error) {
	return one(tx, func(row scanner) (Holding, error) { return scanHolding(sectionOf(row, 0, holdingWidth)) },
		`SELECT `+holdingOf+` FROM grants g `+holdingJoins+` WHERE g.id = $1`, string(id))
}

// GrantsOf lists the live grants of a person, the youngest first.
func (tx *Tx) GrantsOf(user model.UserID) ([]model.Grant, error) {
	return many(tx, scanGrant, `SELECT `+grantColumns+` FROM grants
		WHERE user_id = $1 AND ended_at = 0 AND expires_at > $2
		ORDER BY created_at DESC, id LIMIT $3`, string(user), tx.now().Unix(), page(0))
}

// redeemedLate is for how long after its end a grant counts as live for those who are
// about to end it, in seconds: its code may be redeemed this moment, and make it live on,
// where another node's clock is behind.
const redeemedLate = 60

// GrantsBeside lists the grants of a person that are not of one session and are to end
// with the others, live ones and those that may become so, the youngest first.
func (tx *Tx) GrantsBeside(user model.UserID, session model.SessionID) ([]model.Grant, error) {
	return many(tx, scanGrant, `SELECT `+grantColumns+` FROM grants
		WHERE user_id = $1 AND session_id <> $2 AND ended_at = 0 AND expires_at > $3
		ORDER BY created_at DESC, id LIMIT $4`, string(user), string(session), tx.now().Unix()-redeemedLate, page(0))
}

// grantBegun is when the person of a grant proved who they are, as far as it tells.
const grantBegun = `CASE WHEN auth_time = 0 THEN created_at ELSE auth_time END`

// GrantsBegun is GrantsBeside for those that stand on a proof of a time or of before.
func (tx *Tx) GrantsBegun(user model.UserID, at int64) ([]model.Grant, error) {
	return many(tx, scanGrant, `SELECT `+grantColumns+` FROM grants
		WHERE user_id = $1 AND `+grantBegun+` <= $2 AND ended_at = 0 AND expires_at > $3
		ORDER BY created_at DESC, id LIMIT $4`, string(user), at, tx.now().Unix()-redeemedLate, page(0))
}

// CountBegunSince counts the live sessions and grants of a person that stand on a proof
// of after a time.
func (tx *Tx) CountBegunSince(user model.UserID, at int64) (int64, error) {
	return one(tx, scanInt, `SELECT
		(SELECT count(*) FROM sessions WHERE user_id = $1 AND auth_time > $2 AND ended_at = 0 AND idle_at > $3 AND expires_at > $3) +
		(SELECT count(*) FROM grants WHERE user_id = $1 AND `+grantBegun+` > $2 AND ended_at = 0 AND expires_at > $3)`,
		string(user), at, tx.now().Unix())
}

// GrantsTo is GrantsBeside for those to one client.
func (tx *Tx) GrantsTo(user model.UserID, client model.ClientID) ([]model.Grant, error) {
	return many(tx, scanGrant, `SELECT `+grantColumns+` FROM grants
		WHERE user_id = $1 AND client_id = $2 AND ended_at = 0 AND expires_at > $3
		ORDER BY created_at DESC, id LIMIT $4`, string(user), string(client), tx.now().Unix()-redeemedLate, page(0))
}

// Use is when a client had something of a person.
type Use struct {
	ClientID    model.ClientID
	Since, Last int64 // the first grant that is remembered, and the last that it did with one
}

// UsesOf lists by client when it had something of a person, live or not.
func (tx *Tx) UsesOf(user model.UserID) ([]Use, error) {
	return many(tx, func(row scanner) (u Use, err error) {
		err = row.Scan((*string)(&u.ClientID), &u.Since, &u.Last)
		return u, err
	}, `SELECT client_id, min(created_at), max(CASE WHEN rotated_at > created_at THEN rotated_at ELSE created_at END)
		FROM grants WHERE user_id = $1 GROUP BY client_id ORDER BY client_id LIMIT $2`, string(user), page(0))
}

// ExtendGrant makes a grant that nobody ended live until expiresAt. It fails with
// ErrNotFound.
func (tx *Tx) ExtendGrant(id model.GrantID, expiresAt int64) error {
	return tx.must(`UPDATE grants SET expires_at = $2 WHERE id = $1 AND ended_at = 0`, string(id), expiresAt)
}

// The next two take a grant as it was read in the same transaction, which is why nothing
// can have become of it since, and return it as it is after them.

// StartRefresh is ExtendGrant, and begins the family of refresh tokens of a live grant
// that has none: generation 1 is live until idleAt. It fails with ErrNotFound.
func (tx *Tx) StartRefresh(g model.Grant, salt string, now, idleAt, expiresAt int64) (model.Grant, error) {
	if g.Salt != "" || !g.Live(now) {
		return model.Grant{}, ErrNotFound
	}
	g.Salt, g.Generation, g.RotatedAt, g.Replays, g.IdleAt, g.ExpiresAt = salt, 1, now, 0, idleAt, expiresAt
	return g, tx.later(`UPDATE grants SET salt = $2, generation = 1, rotated_at = $3, replays = 0, idle_at = $4, expires_at = $5
		WHERE id = $1 AND salt = ''`, string(g.ID), salt, now, idleAt, expiresAt)
}

// RotateRefresh uses up the refresh token of that generation and makes the next
// one live until idleAt. It fails with ErrNotFound unless the grant is live and
// that generation is its live one: of many who try at the same time, one
// succeeds.
func (tx *Tx) RotateRefresh(g model.Grant, generation, now, idleAt int64) (model.Grant, error) {
	if g.Generation != generation || g.Salt == "" || !g.Live(now) || g.IdleAt <= now {
		return model.Grant{}, ErrNotFound
	}
	g.Generation, g.RotatedAt, g.Replays, g.IdleAt = generation+1, now, 0, idleAt
	return g, tx.later(`UPDATE grants SET generation = $3, rotated_at = $4, replays = 0, idle_at = $5
		WHERE id = $1 AND generation = $2`, string(g.ID), generation, generation+1, now, idleAt)
}

// ReplayRefresh counts that the live refresh token, which is of that generation,
// was handed out once more. It fails with ErrNotFound if another generation is
// live, if the grant was ended, or if that has happened max times already.
func (tx *Tx) ReplayRefresh(id model.GrantID, generation, max int64) (model.Grant, error) {
	return change(tx, scanGrant, `UPDATE grants SET replays = replays + 1
		WHERE id = $1 AND generation = $2 AND replays < $3 AND salt <> '' AND ended_at = 0
		RETURNING `+grantColumns, string(id), generation, max)
}
