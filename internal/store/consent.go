package store

import "github.com/ostiary/ostiary/internal/model"

const consentColumns = `user_id, client_id, scope, claims, granted_at`

func scanConsent(row scanner) (c model.Consent, err error) {
	err = row.Scan((*string)(&c.UserID), (*string)(&c.ClientID), (*list)(&c.Scope), (*list)(&c.Claims), &c.GrantedAt)
	return c, err
}

// Consent returns what a person has allowed a client, or ErrNotFound.
func (tx *Tx) Consent(user model.UserID, client model.ClientID) (model.Consent, error) {
	return one(tx, scanConsent, `SELECT `+consentColumns+` FROM consents WHERE user_id = $1 AND client_id = $2`,
		string(user), string(client))
}

// PutConsent writes what a person allows a client, in place of what was there.
func (tx *Tx) PutConsent(c model.Consent) error {
	_, err := tx.exec(`INSERT INTO consents (`+consentColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_id, client_id) DO UPDATE SET scope = excluded.scope, claims = excluded.claims, granted_at = excluded.granted_at`,
		string(c.UserID), string(c.ClientID), list(c.Scope).text(), list(c.Claims).text(), c.GrantedAt)
	return err
}

// DeleteConsent takes back what a person has allowed a client, or fails with
// ErrNotFound. It does not end the client's grants: EndGrant does.
func (tx *Tx) DeleteConsent(user model.UserID, client model.ClientID) error {
	return tx.must(`DELETE FROM consents WHERE user_id = $1 AND client_id = $2`, string(user), string(client))
}

// ConsentsOf lists what a person has allowed, by client.
func (tx *Tx) ConsentsOf(user model.UserID) ([]model.Consent, error) {
	return many(tx, scanConsent, `SELECT `+consentColumns+` FROM consents
		WHERE user_id = $1 ORDER BY client_id LIMIT $2`, string(user), page(0))
}

// DeleteConsentsTo takes back what all people have allowed a client: it is not
// any more what they agreed to.
func (tx *Tx) DeleteConsentsTo(client model.ClientID) error {
	_, err := tx.exec(`DELETE FROM consents WHERE client_id = $1`, string(client))
	return err
}
