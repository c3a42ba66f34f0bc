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
