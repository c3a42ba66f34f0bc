package store

// Outlet is a place to which the audit log is streamed.
type Outlet struct {
	Name     string
	Position int64 // of the last entry that has arrived there
	Attempts int64 // that have failed since the last that did not
	NextAt   int64 // of the next one; while one is under way, when it counts as lost
}

const outletColumns = `name, position, attempts, next_at`

func scanOutlet(row scanner) (o Outlet, err error) {
	err = row.Scan(&o.Name, &o.Position, &o.Attempts, &o.NextAt)
	return o, err
}

// Outlet returns an outlet, or ErrNotFound.
func (tx *Tx) Outlet(name string) (Outlet, error) {
	return one(tx, scanOutlet, `SELECT `+outletColumns+` FROM audit_outlets WHERE name = $1`, name)
}

// InsertOutlet adds an outlet to which nothing has gone. It fails with ErrConflict if
// it is there.
func (tx *Tx) InsertOutlet(name string) error {
	return tx.insert(`INSERT INTO audit_outlets (name, position, claim, next_at, attempts) VALUES ($1, 0, '', 0, 0) ON CONFLICT DO NOTHING`, name)
}

// ClaimOutlet takes an outlet that is due at the time now: until the time until it is
// nobody else's, or until AdvanceOutlet. So of many nodes one is at work, and what is
// streamed stays in order. It fails with ErrNotFound if it is not due.
func (tx *Tx) ClaimOutlet(name, claim string, due Due, until int64) (Outlet, error) {
	return change(tx, scanOutlet, `UPDATE audit_outlets SET claim = $2, next_at = $5
		WHERE name = $1 AND (next_at <= $3 OR next_at > $4) RETURNING `+outletColumns, name, claim, due.Now, due.Latest, until)
}

// AdvanceOutlet ends a claim and writes down how far the outlet is. It fails with
// ErrNotFound if the claim was lapsed and somebody else is at work.
func (tx *Tx) AdvanceOutlet(claim string, o Outlet) error {
	return tx.must(`UPDATE audit_outlets SET claim = '', position = $3, next_at = $4, attempts = $5 WHERE name = $1 AND claim = $2`,
		o.Name, claim, o.Position, o.NextAt, o.Attempts)
}
