package store

import "github.com/ostiary/ostiary/internal/model"

const identityColumns = `id, upstream_id, issuer, subject, user_id, name, in_groups, created_at, used_at, tokens`

func scanIdentity(row scanner) (i model.Identity, err error) {
	err = row.Scan((*string)(&i.ID), (*string)(&i.UpstreamID), &i.Issuer, &i.Subject, (*string)(&i.UserID), &i.Name,
		(*list)(&i.Groups), &i.CreatedAt, &i.UsedAt, &i.Tokens)
	return i, err
}

// InsertIdentity connects somebody at a provider with a person. It fails with
// ErrConflict if they are connected with anybody already.
func (tx *Tx) InsertIdentity(i model.Identity) error {
	return tx.insert(`INSERT INTO identities (`+identityColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		string(i.ID), string(i.UpstreamID), i.Issuer, i.Subject, string(i.UserID), i.Name, list(i.Groups).text(), i.CreatedAt, i.UsedAt, i.Tokens)
}

// IdentityAt returns somebody as a provider knows them, or ErrNotFound.
func (tx *Tx) IdentityAt(id model.UpstreamID, issuer, subject string) (model.Identity, error) {
	return one(tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE upstream_id = $1 AND issuer = $2 AND subject = $3`,
		string(id), issuer, subject)
}

// Identity returns an identity, or ErrNotFound.
func (tx *Tx) Identity(id model.IdentityID) (model.Identity, error) {
	return one(tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE id = $1`, string(id))
}

// IdentitiesOf lists the identities of a person, the oldest first.
func (tx *Tx) IdentitiesOf(user model.UserID) ([]model.Identity, error) {
	return many(tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE user_id = $1 ORDER BY created_at, id LIMIT $2`, string(user), page(0))
}

// IdentitiesAt lists those of a provider by their ID, from the one that follows after.
func (tx *Tx) IdentitiesAt(id model.UpstreamID, after model.IdentityID, limit int) ([]model.Identity, error) {
	return many(tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE upstream_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
		string(id), string(after), page(limit))
}

// CountPeopleOf returns how many people are known by a provider, and how many of them
// have neither a password, nor a passkey, nor an identity at another one.
func (tx *Tx) CountPeopleOf(id model.UpstreamID) (people, alone int64, err error) {
	people, err = one(tx, scanInt, `SELECT count(DISTINCT user_id) FROM identities WHERE upstream_id = $1`, string(id))
	if err != nil {
		return 0, 0, err
	}
	alone, err = one(tx, scanInt, `SELECT count(DISTINCT i.user_id) FROM identities i JOIN users p ON p.id = i.user_id
		WHERE i.upstream_id = $1 AND p.password_hash = ''
			AND NOT EXISTS (SELECT 1 FROM passkeys k WHERE k.user_id = i.user_id)
			AND NOT EXISTS (SELECT 1 FROM identities o JOIN upstreams u ON u.id = o.upstream_id
				WHERE o.user_id = i.user_id AND o.upstream_id <> $1 AND u.disabled = 0)`, string(id))
	return people, alone, err
}

// UseIdentity notes a sign-in: its name, groups, tokens and time. It fails with
// ErrNotFound.
func (tx *Tx) UseIdentity(i model.Identity) error {
	return tx.must(`UPDATE identities SET name = $2, in_groups = $3, used_at = $4, tokens = $5 WHERE id = $1`,
		string(i.ID), i.Name, list(i.Groups).text(), i.UsedAt, i.Tokens)
}

// DeleteIdentity removes an identity, or fails with ErrNotFound.
func (tx *Tx) DeleteIdentity(id model.IdentityID) error {
	return tx.must(`DELETE FROM identities WHERE id = $1`, string(id))
}
