package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// errUserBody says that a body does not say what a person is like.
var errUserBody = errors.New("the body must be one JSON object with the members that the endpoint takes")

// userBody is what a program says about a person; what is absent is left as it is.
type userBody struct {
	Login    *string        `json:"login"`
	Password *string        `json:"password"`
	Admin    *bool          `json:"admin"`
	Profile  *model.Profile `json:"profile"` // the whole of it

	Invite       bool     `json:"invite"` // they choose their password, by a link
	AddGroups    []string `json:"add_groups"`
	RemoveGroups []string `json:"remove_groups"`

	SignIn *model.SignInPolicy `json:"sign_in"` // the whole of it
}

func readUser(r *http.Request) (b userBody, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return b, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a misspelt member must not be left out of a change
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("%w: %v", errUserBody, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return b, errUserBody
	}
	return b, nil
}

// users lists people by their ID, or adds one.
func (s *API) users(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	if r.Method == http.MethodPost {
		return s.createUser(w, r, by)
	}
	q, limit, ok := listing(w, r, "after", "limit", "login", "search", "group", "status", "admin")
	if !ok {
		return nil
	}
	f, err := userFilter(q)
	if err != nil {
		return err
	}
	f.After, f.Limit = model.UserID(q["after"]), limit
	list, err := s.findUsers(r, f, q["login"])
	if err != nil {
		return err
	}
	out := struct {
		Users []model.User `json:"users"`
		Next  model.UserID `json:"next,omitempty"`
	}{Users: append([]model.User{}, list...)}
	if len(list) == limit {
		out.Next = list[limit-1].ID
	}
	return writeJSON(w, http.StatusOK, out)
}

// userFilter reads whom a query is about.
func userFilter(q map[string]string) (account.UserFilter, error) {
	f := account.UserFilter{Search: q["search"], Group: q["group"], Status: model.UserStatus(q["status"]), Admin: q["admin"] == "true"}
	if f.Status != "" && f.Status != model.UserActive && f.Status != model.UserLocked || q["admin"] != "" && !f.Admin {
		return f, fmt.Errorf("%w: status is active or locked, and admin is true", errQuery)
	}
	return f, nil
}

func (s *API) findUsers(r *http.Request, f account.UserFilter, login string) ([]model.User, error) {
	if login == "" {
		return s.Accounts.List(r.Context(), f)
	}
	u, err := s.Accounts.ByLogin(r.Context(), login)
	if errors.Is(err, account.ErrNoUser) {
		return nil, nil
	}
	return []model.User{u}, err
}

func (s *API) createUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	b, err := readUser(r)
	if err != nil {
		return err
	}
	if b.Login == nil || b.RemoveGroups != nil || b.SignIn != nil || b.Invite && b.Password != nil {
		return fmt.Errorf("%w: login, and password or invite, admin, profile, add_groups", errUserBody)
	}
	n := account.NewUser{Login: *b.Login}
	if b.Password != nil {
		n.Password = model.Secret(*b.Password)
	}
	if b.Admin != nil {
		n.Admin = *b.Admin
	}
	if b.Profile != nil {
		n.Profile = *b.Profile
	}
	n.Profile.Groups = append(n.Profile.Groups, b.AddGroups...)
	if b.Invite {
		in, err := s.Accounts.Invite(r.Context(), by, n)
		if err != nil {
			return err
		}
		return writeLink(w, http.StatusCreated, in)
	}
	u, err := s.Accounts.Create(r.Context(), by, n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, u)
}

// user shows, changes or deletes a person.
func (s *API) user(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	id := model.UserID(r.PathValue("id"))
	switch r.Method {
	case http.MethodDelete:
		return done(w, s.Accounts.Delete(r.Context(), by, id))
	case http.MethodPatch:
		return s.changeUser(w, r, by)
	}
	u, err := s.Accounts.User(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

// changeUser changes what is said; a password is a change of its own.
func (s *API) changeUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	id := model.UserID(r.PathValue("id"))
	b, err := readUser(r)
	if err != nil {
		return err
	}
	other := b.Login != nil || b.Admin != nil || b.Profile != nil || len(b.AddGroups)+len(b.RemoveGroups) > 0 || b.SignIn != nil
	if b.Invite || other == (b.Password != nil) {
		return fmt.Errorf("%w: login, admin, profile, add_groups, remove_groups, sign_in; or password alone", errUserBody)
	}
	if b.Password != nil {
		if err := s.Accounts.SetPassword(r.Context(), by, id, account.NewPassword{Password: model.Secret(*b.Password)}); err != nil {
			return err
		}
		u, err := s.Accounts.User(r.Context(), id)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, u)
	}
	u, err := s.Accounts.Update(r.Context(), by, id, account.Change{
		Login: b.Login, Admin: b.Admin, Profile: b.Profile, AddGroups: b.AddGroups, RemoveGroups: b.RemoveGroups, SignIn: b.SignIn,
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

// resetUser makes a link by which a person chooses a new password.
func (s *API) resetUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	in, err := s.Accounts.Reset(r.Context(), by, model.UserID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return writeLink(w, http.StatusOK, in)
}

// resetFactors takes away the second factors of somebody who has lost them.
func (s *API) resetFactors(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return done(w, s.Accounts.ResetFactors(r.Context(), by, model.UserID(r.PathValue("id"))))
}

func writeLink(w http.ResponseWriter, status int, in account.Invitation) error {
	return writeJSON(w, status, map[string]any{"user": in.User, "link": in.Link, "expires_at": in.ExpiresAt, "mailed": in.Mailed})
}

// groups lists the groups that people are in.
func (s *API) groups(w http.ResponseWriter, r *http.Request, _ model.Actor) error {
	list, err := s.Accounts.Groups(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"groups": append([]account.Group{}, list...)})
}
