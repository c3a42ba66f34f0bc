package store

import "github.com/ostiary/ostiary/internal/model"

// TakePart notes that a client has a part in a session, both of which exist: it
// is to learn when the session is over. Once is enough.
func (tx *Tx) TakePart(session model.SessionID, client model.ClientID, now int64) error {
	return tx.later(`INSERT INTO participants (session_id, client_id, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		string(session), string(client), now)
}

// Participants lists the clients, but for the disabled ones, that have a part in
// a session, live or not, those that came last first.
func (tx *Tx) Participants(session model.SessionID, limit int) ([]model.Client, error) {
	return many(tx, scanClient, `SELECT `+clientColumns+` FROM clients JOIN participants ON client_id = id
		WHERE session_id = $1 AND disabled = 0 ORDER BY since DESC, id LIMIT $2`, string(session), page(limit))
}
