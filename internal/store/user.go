package store

import (
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

const userColumns = `id, login, password_hash, status, admin, profile, created_at, updated_at, password_at, sign_in`

func scanUser(row scanner) (u model.User, err error) {
	err = row.Scan((*string)(&u.ID), &u.Login, &u.PasswordHash, (*string)(&u.Status), &u.Admin,
		document{&u.Profile}, &u.CreatedAt, &u.UpdatedAt, &u.PasswordAt, document{&u.SignIn})
	return u, err
}

// InsertUser adds a person. It fails with ErrConflict if the login is taken.
func (tx *Tx) InsertUser(u model.User) error {
	profile, err := document{u.Profile}.text()
	if err != nil {
		return err
	}
	policy, err := document{u.SignIn}.text()
	if err != nil {
		return err
	}
	if err := tx.insert(`INSERT INTO users (`+userColumns+`, email)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		string(u.ID), u.Login, u.PasswordHash, string(u.Status), u.Admin,
		profile, u.CreatedAt, u.UpdatedAt, u.PasswordAt, policy, strings.ToLower(u.Profile.Email)); err != nil {
		return err
	}
	return tx.indexUser(u)
}

// User returns a person, or ErrNotFound.
func (tx *Tx) User(id model.UserID) (model.User, error) {
	return one(tx, scanUser, `SELECT `+userColumns+` FROM users WHERE id = $1`, string(id))
}

// UserByLogin returns the person with that very login, or ErrNotFound.
func (tx *Tx) UserByLogin(login string) (model.User, error) {
	return one(tx, scanUser, `SELECT `+userColumns+` FROM users WHERE login = $1`, login)
}

// UsersByEmail lists the people who have that address, verified, in whichever case;
// three at most, for nobody asks who has one that several have. Those who only say
// that it is theirs are nobody's affair: anybody can.
func (tx *Tx) UsersByEmail(email string) ([]model.User, error) {
	email = strings.ToLower(email)
	list, err := many(tx, scanUser, `SELECT `+userColumns+` FROM users
		WHERE (email = $1 OR email = '?' AND lower(profile) LIKE $2) AND profile LIKE '%"email_verified":true%' ORDER BY id LIMIT 3`, email, `%"email":"%`+anything.Replace(email)+`"%`)
	return slices.DeleteFunc(list, func(u model.User) bool { return strings.ToLower(u.Profile.Email) != email || !u.Profile.EmailVerified }), err
}

// anything stands where JSON or LIKE could write a character in another way: the
// addresses that are found are compared once more.
var anything = strings.NewReplacer("%", "_", "&", "%", "<", "%", ">", "%", `\`, "_")

// Users lists people by their ID, from the one that follows after.
func (tx *Tx) Users(after model.UserID, limit int) ([]model.User, error) {
	return many(tx, scanUser, `SELECT `+userColumns+` FROM users WHERE id > $1 ORDER BY id LIMIT $2`,
		string(after), page(limit))
}

// CountUsers returns how many people there are.
func (tx *Tx) CountUsers() (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM users`)
}

// CountAdmins returns how many administrators can sign in.
func (tx *Tx) CountAdmins() (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM users WHERE admin = 1 AND status = $1`, string(model.UserActive))
}

// UpdateUser writes everything but the password and the time of creation. To
// lock a person does not end what they hold: EndUser does. It fails with
// ErrNotFound, or with ErrConflict if the login is taken.
func (tx *Tx) UpdateUser(u model.User) error {
	profile, err := document{u.Profile}.text()
	if err != nil {
		return err
	}
	policy, err := document{u.SignIn}.text()
	if err != nil {
		return err
	}
	before, err := tx.User(u.ID)
	if err != nil {
		return err
	}
	if err := tx.must(`UPDATE users SET login = $2, status = $3, admin = $4, profile = $5, updated_at = $6, email = $7, sign_in = $8 WHERE id = $1`,
		string(u.ID), u.Login, string(u.Status), u.Admin, profile, u.UpdatedAt, strings.ToLower(u.Profile.Email), policy); err != nil {
		return err
	}
	return tx.indexAgain(before, u)
}

// PasswordHashAt returns the password hash of the first person from that ID on, or of
// the first of all; ErrNotFound if nobody has a password.
func (tx *Tx) PasswordHashAt(id string) (string, error) {
	const next = `SELECT password_hash FROM users WHERE id >= $1 AND password_hash <> '' ORDER BY id LIMIT 1`
	hash, err := one(tx, scanString, next, id)
	if errors.Is(err, ErrNotFound) {
		return one(tx, scanString, next, "")
	}
	return hash, err
}

// SetPassword replaces the hash of a password, set at that time, or fails with
// ErrNotFound.
func (tx *Tx) SetPassword(id model.UserID, hash string, at int64) error {
	return tx.must(`UPDATE users SET password_hash = $2, password_at = $3 WHERE id = $1`, string(id), hash, at)
}

// DeleteUser removes a person with their sessions, grants, consents and links,
// or fails with ErrNotFound. Tokens die by the revocation log, not by absence,
// so EndUser comes first.
func (tx *Tx) DeleteUser(id model.UserID) error {
	if err := tx.must(`DELETE FROM users WHERE id = $1`, string(id)); err != nil {
		return err
	}
	if id == "" {
		return nil // links for nobody are nobody's
	}
	if err := tx.DropConfirmations(id, ""); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM links WHERE user_id = $1`, string(id))
	return err
}
