package store

import "github.com/ostiary/ostiary/internal/model"

const requestColumns = `id, browser_hash, client_id, created_at, expires_at, asked, session_id, chosen_id, approved`

func scanRequest(row scanner) (r model.Request, err error) {
	err = row.Scan((*string)(&r.ID), &r.BrowserHash, (*string)(&r.ClientID), &r.CreatedAt, &r.ExpiresAt,
		document{&r.Asked}, (*string)(&r.SessionID), (*string)(&r.Chosen), (*list)(&r.Approved))
	return r, err
}

// InsertRequest adds a pending request. It fails with ErrConflict if its ID is
// known.
func (tx *Tx) InsertRequest(r model.Request) error {
	asked, err := document{r.Asked}.text()
	if err != nil {
		return err
	}
	return tx.insert(`INSERT INTO requests (`+requestColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		string(r.ID), r.BrowserHash, string(r.ClientID), r.CreatedAt, r.ExpiresAt,
		asked, string(r.SessionID), string(r.Chosen), list(r.Approved).text())
}

// Request returns a pending request, expired or not, or ErrNotFound.
func (tx *Tx) Request(id model.RequestID) (model.Request, error) {
	return one(tx, scanRequest, `SELECT `+requestColumns+` FROM requests WHERE id = $1`, string(id))
}

// CountRequests returns how many requests there are, or most if there are more.
func (tx *Tx) CountRequests(most int) (int, error) {
	return one(tx, func(row scanner) (n int, err error) { err = row.Scan(&n); return n, err },
		`SELECT count(*) FROM (SELECT 1 FROM requests LIMIT $1) AS first`, most)
}

// UpdateRequest writes what has been proven, SessionID, Chosen and Approved,
// and ExpiresAt, or fails with ErrNotFound.
func (tx *Tx) UpdateRequest(r model.Request) error {
	return tx.must(`UPDATE requests SET session_id = $2, chosen_id = $3, approved = $4, expires_at = $5 WHERE id = $1`,
		string(r.ID), string(r.SessionID), string(r.Chosen), list(r.Approved).text(), r.ExpiresAt)
}

// DeleteRequest removes a pending request. It fails with ErrNotFound, so that
// of two who finish the same request one does.
func (tx *Tx) DeleteRequest(id model.RequestID) error {
	return tx.must(`DELETE FROM requests WHERE id = $1`, string(id))
}
