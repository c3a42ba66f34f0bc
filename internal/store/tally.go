package store

// Tally adds one to a count and returns it. A count that has expired at the
// time now begins anew; one that begins expires at the time expires. All nodes
// count together.
func (tx *Tx) Tally(name string, now, expires int64) (int64, error) {
	return change(tx, scanInt, `INSERT INTO tallies (name, amount, expires_at) VALUES ($1, 1, $3)
		ON CONFLICT (name) DO UPDATE SET
			amount = CASE WHEN tallies.expires_at <= $2 THEN 1 ELSE tallies.amount + 1 END,
			expires_at = CASE WHEN tallies.expires_at <= $2 THEN excluded.expires_at ELSE tallies.expires_at END
		RETURNING amount`, name, now, expires)
}

// Tallied returns a count and when it expires; nothing of one that has expired at
// the time now, or that is not there.
func (tx *Tx) Tallied(name string, now int64) (amount, expires int64, err error) {
	type row struct{ amount, expires int64 }
	list, err := many(tx, func(s scanner) (r row, err error) { err = s.Scan(&r.amount, &r.expires); return r, err },
		`SELECT amount, expires_at FROM tallies WHERE name = $1 AND expires_at > $2`, name, now)
	if err != nil || len(list) == 0 {
		return 0, 0, err
	}
	return list[0].amount, list[0].expires, nil
}

// Untally takes one from a count again.
func (tx *Tx) Untally(name string) error {
	_, err := tx.exec(`UPDATE tallies SET amount = amount - 1 WHERE name = $1 AND amount > 0`, name)
	return err
}

// ForgetTally begins a count anew.
func (tx *Tx) ForgetTally(name string) error {
	_, err := tx.exec(`DELETE FROM tallies WHERE name = $1`, name)
	return err
}
