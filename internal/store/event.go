package store

import "github.com/ostiary/ostiary/internal/model"

const eventColumns = `at, actor_kind, actor_id, actor_address, action, user_id, client_id, detail`

func scanEvent(row scanner) (e model.Event, err error) {
	err = row.Scan(&e.Sequence, &e.At, (*string)(&e.Actor.Kind), &e.Actor.ID, &e.Actor.Address,
		&e.Action, (*string)(&e.UserID), (*string)(&e.ClientID), &e.Detail)
	return e, err
}

// Record adds an entry to the audit log; a zero At becomes the present time,
// and the Sequence is given by the store.
func (tx *Tx) Record(e model.Event) error {
	if e.At == 0 {
		e.At = tx.now().Unix()
	}
	_, err := tx.exec(`INSERT INTO events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		e.At, string(e.Actor.Kind), e.Actor.ID, e.Actor.Address, e.Action, string(e.UserID), string(e.ClientID), e.Detail)
	if err == nil {
		tx.recorded = true
	}
	return err
}

// Events lists the audit log from the entry that follows after.
func (tx *Tx) Events(after int64, limit int) ([]model.Event, error) {
	return many(tx, scanEvent, `SELECT sequence, `+eventColumns+` FROM events
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}
