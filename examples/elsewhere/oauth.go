package elsewhere

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// OAuth is a plain OAuth 2.0 server with an API that tells whose an access token is, as
// those of developers' sites are. There are no ID tokens. It asks each time who one is.
type OAuth struct{ *house }

// ScopeEmail of the OAuth server allows to read somebody's addresses.
const ScopeEmail = "user:email"

// NewOAuth checks c and returns an OAuth 2.0 server. The IDs of its people are numbers.
// It does no I/O.
func NewOAuth(c Config) (*OAuth, error) {
	h, err := newHouse(c)
	if err != nil {
		return nil, err
	}
	for _, p := range c.People {
		if _, err := strconv.ParseUint(p.ID, 10, 53); err != nil {
			return nil, fmt.Errorf("elsewhere: the ID of %s is not a number", p.Login)
		}
	}
	h.scopes = []string{ScopeEmail}
	return &OAuth{h}, nil
}

// Handler serves the house; it is its site map.
func (o *OAuth) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth/authorize", o.authorize)
	mux.Handle("POST /choice", o.fromHere(o.decide))
	mux.HandleFunc("POST /oauth/token", o.token)
	mux.HandleFunc("GET /api/user", o.user)
	mux.HandleFunc("GET /api/user/emails", o.emails)
	mux.HandleFunc("GET /{$}", o.home)
	mux.Handle("GET /static/", http.FileServerFS(static))
	return o.secured(mux)
}

// user tells who somebody is: a number for ever, a login for now. The address is the
// one that they want to show, which here nobody does.
func (o *OAuth) user(w http.ResponseWriter, r *http.Request) {
	if p, _, ok := o.owner(w, r, ""); ok {
		writeJSON(w, http.StatusOK, map[string]any{"id": json.Number(p.ID), "login": p.Login, "name": p.Name, "email": nil, "type": "User"})
	}
}

// emails tells which addresses somebody has, and whether anybody has made sure of them.
func (o *OAuth) emails(w http.ResponseWriter, r *http.Request) {
	p, _, ok := o.owner(w, r, ScopeEmail)
	if !ok {
		return
	}
	list := []map[string]any{}
	if p.Email != "" {
		list = append(list, map[string]any{"email": p.Email, "primary": true, "verified": p.EmailVerified, "visibility": "private"})
	}
	writeJSON(w, http.StatusOK, list)
}
