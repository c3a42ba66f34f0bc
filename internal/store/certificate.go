package store

import "github.com/ostiary/ostiary/internal/model"

const certificateColumns = `host, directory, sealed, expires_at, tries, tried_at, next_at, claim, claimed_until, challenge`

func scanCertificate(row scanner) (c model.Certificate, err error) {
	err = row.Scan(&c.Host, &c.Directory, &c.Sealed, &c.ExpiresAt, &c.Tries, &c.TriedAt, &c.NextAt, &c.Claim, &c.ClaimedUntil, &c.Challenge)
	return c, err
}

// Certificate returns what there is for a host, or ErrNotFound.
func (tx *Tx) Certificate(host string) (model.Certificate, error) {
	return one(tx, scanCertificate, `SELECT `+certificateColumns+` FROM certificates WHERE host = $1`, host)
}

// CertificateClaim asks to be the one who gets the next certificate for a host.
type CertificateClaim struct {
	Host, Directory string
	Claim           string // a name that nobody else has
	Now, Until      int64
	// Eager takes the pause after a try that came to nothing for over, if it was
	// made by this time.
	Eager int64
	// Anew does not wait where the last try was with another authority.
	Anew bool
}

// ClaimCertificate counts a try, which nobody else makes before the claim lapses. It
// fails with ErrNotFound if somebody is at it, or it is not time: that comes with
// NextAt, or as Eager and Anew say.
func (tx *Tx) ClaimCertificate(c CertificateClaim) (model.Certificate, error) {
	_, err := tx.exec(`INSERT INTO certificates (`+certificateColumns+`) VALUES ($1, $2, '', 0, 0, 0, 0, '', 0, '') ON CONFLICT DO NOTHING`, c.Host, c.Directory)
	if err != nil {
		return model.Certificate{}, err
	}
	return change(tx, scanCertificate, `UPDATE certificates SET directory = $2, claim = $3, claimed_until = $5, next_at = $5, challenge = '',
		tries = tries + 1, tried_at = $4
		WHERE host = $1 AND claimed_until <= $4 AND (next_at <= $4 OR $7 AND directory <> $2 OR tries > 0 AND tried_at <= $6) RETURNING `+certificateColumns,
		c.Host, c.Directory, c.Claim, c.Now, c.Until, c.Eager, c.Anew)
}

// ChallengeCertificate writes the challenge that is to be met, for whoever has the
// claim; ErrNotFound: it has lapsed and somebody else has one.
func (tx *Tx) ChallengeCertificate(host, claim, challenge string) error {
	return tx.must(`UPDATE certificates SET challenge = $3 WHERE host = $1 AND claim = $2`, host, claim, challenge)
}

// IssueCertificate ends a claim with the new certificate, or fails with ErrNotFound as
// ChallengeCertificate does.
func (tx *Tx) IssueCertificate(c model.Certificate) error {
	return tx.must(`UPDATE certificates SET sealed = $3, expires_at = $4, next_at = $5, tries = 0, claim = '', claimed_until = 0, challenge = ''
		WHERE host = $1 AND claim = $2`, c.Host, c.Claim, c.Sealed, c.ExpiresAt, c.NextAt)
}

// ReleaseCertificate ends a claim that came to nothing, or fails with ErrNotFound as
// ChallengeCertificate does.
func (tx *Tx) ReleaseCertificate(host, claim string, next int64) error {
	return tx.must(`UPDATE certificates SET next_at = $3, claim = '', claimed_until = 0, challenge = '' WHERE host = $1 AND claim = $2`, host, claim, next)
}
