package store

import (
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

const signInColumns = `holder, user_id, factors, remember, trust, declined, tries, waits, expires_at`

func scanSignIn(row scanner) (s model.SignIn, err error) {
	err = row.Scan(&s.Holder, (*string)(&s.UserID), (*factors)(&s.Factors), &s.Remember, &s.Trust, &s.Declined, &s.Tries, document{&s.Waits}, &s.ExpiresAt)
	return s, err
}

// PutSignIn writes all of a sign-in, in place of what its holder had.
func (tx *Tx) PutSignIn(s model.SignIn) error {
	factors, err := document{s.Factors}.text()
	if err != nil {
		return err
	}
	waits, err := document{s.Waits}.text()
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO sign_ins (`+signInColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (holder) DO UPDATE SET user_id = excluded.user_id, factors = excluded.factors, remember = excluded.remember,
			trust = excluded.trust, declined = excluded.declined, tries = excluded.tries, waits = excluded.waits, expires_at = excluded.expires_at`,
		s.Holder, string(s.UserID), factors, s.Remember, s.Trust, s.Declined, s.Tries, waits, s.ExpiresAt)
	return err
}

// SignIn returns the sign-in of a holder that has not expired at the time now, or
// ErrNotFound.
func (tx *Tx) SignIn(holder string, now int64) (model.SignIn, error) {
	return one(tx, scanSignIn, `SELECT `+signInColumns+` FROM sign_ins WHERE holder = $1 AND expires_at > $2`, holder, now)
}

// FactorCount is how many factors of a kind a person has. Elsewhere are the identities
// by which they can sign in: those of providers that are not disabled.
type FactorCount struct{ Passkeys, Apps, Codes, Elsewhere int64 }

// factorCount are the columns of the FactorCount of a person, and how many they are.
func factorCount(user string) (string, int) {
	return strings.ReplaceAll(`(SELECT count(*) FROM passkeys WHERE user_id = ?), (SELECT count(*) FROM totps WHERE user_id = ?),
		(SELECT count(*) FROM recovery_codes WHERE user_id = ?),
		(SELECT count(*) FROM identities i JOIN upstreams p ON p.id = i.upstream_id WHERE i.user_id = ? AND p.disabled = 0)`, "?", user), 4
}

// Those of $1, and of the user u.
var (
	factorCountOf, _        = factorCount("$1")
	factorsOf, factorsWidth = factorCount("u.id")
)

func scanFactorCount(row scanner) (n FactorCount, err error) {
	err = row.Scan(&n.Passkeys, &n.Apps, &n.Codes, &n.Elsewhere)
	return n, err
}

// CountFactors counts what a person has set up.
func (tx *Tx) CountFactors(user model.UserID) (FactorCount, error) {
	return one(tx, scanFactorCount, `SELECT `+factorCountOf, string(user))
}

// UserAndFactors is User and CountFactors at once.
func (tx *Tx) UserAndFactors(id model.UserID) (u model.User, n FactorCount, err error) {
	u, err = one(tx, func(row scanner) (u model.User, err error) {
		if n, err = scanFactorCount(sectionOf(row, userWidth, factorsWidth)); err != nil {
			return u, err
		}
		return scanUser(sectionOf(row, 0, userWidth))
	}, `SELECT `+userOf+`, `+factorsOf+` FROM users u WHERE u.id = $1`, string(id))
	return u, n, err
}

// DeleteSignIn removes the sign-in of a holder, if there is one.
func (tx *Tx) DeleteSignIn(holder string) error {
	_, err := tx.exec(`DELETE FROM sign_ins WHERE holder = $1`, holder)
	return err
}

// DeleteSignIns removes what a person has proven on the way to a session.
func (tx *Tx) DeleteSignIns(user model.UserID) error {
	if user == "" {
		return nil // those of nobody are nobody's
	}
	_, err := tx.exec(`DELETE FROM sign_ins WHERE user_id = $1`, string(user))
	return err
}
