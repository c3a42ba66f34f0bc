package web

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// proof is what a page of the account area wants to be sure of.
type proof int

const (
	live  proof = iota // that somebody is signed in
	fresh              // that they have just proven who they are, account.Fresh ago at most
)

// mine is a page of the account area: it is shown to the current one of those who
// are signed in, and is about nobody else.
type mine func(w http.ResponseWriter, r *http.Request, me visitor) error

// visitor is the person whose page it is.
type visitor struct {
	signedIn
	accounts []signedIn // all who are signed in here, this one first
	path     string     // of the page, below the base path
}

// guard lets a page be seen by whom it is for. Whoever is not signed in, or not
// freshly enough, is asked to, and is back at the page after that.
func (s *Web) guard(need proof, h mine) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		me, here, err := s.visitor(r)
		if err != nil {
			return err
		}
		if !here {
			return s.proceed(w, r, s.Authority.BeginOwn(oauth.Own{Path: me.path}))
		}
		if err := s.Authority.AdmitPerson(me.User.ID, s.Address(r)); err != nil {
			return err
		}
		if need == live {
			return s.within(w, r, me, h)
		}
		weak, err := s.Accounts.Weak(r.Context(), me.Session)
		if err != nil {
			return err
		}
		if weak || !s.fresh(me.Session) {
			age := int64(account.Fresh / time.Second)
			o := oauth.Own{Path: me.path, Session: me.Session.ID, MaxAge: &age}
			if weak {
				o.ACR = account.ACRMulti
			}
			return s.proceed(w, r, s.Authority.BeginOwn(o))
		}
		return s.within(w, r, me, h)
	}
}

// within calls a page of somebody whose session may end while it works: then they are
// asked who they are, as if it had been over before.
func (s *Web) within(w http.ResponseWriter, r *http.Request, me visitor, h mine) error {
	err := h(w, r, me)
	if errors.Is(err, account.ErrNoSession) {
		redirect(w, r, s.base+me.path)
		return nil
	}
	return err
}

// visitor finds out whose page it is; here is false where nobody is signed in.
func (s *Web) visitor(r *http.Request) (me visitor, here bool, err error) {
	me.path = s.pageAt(strings.TrimPrefix(r.URL.Path, s.base))
	if me.accounts, err = s.accounts(r); err != nil || len(me.accounts) == 0 {
		return me, false, err
	}
	who, err := s.use(r, me.accounts[0])
	if err != nil || who == nil {
		return me, false, err
	}
	me.signedIn, me.accounts[0] = *who, *who
	return me, true, nil
}

// pageAt is the page that an address belongs to: what forms are sent to may lie
// below it.
func (s *Web) pageAt(address string) string {
	for ; len(address) > 1; address = path.Dir(address) {
		if s.ours[address] {
			return address
		}
	}
	return oauth.PathAccount
}

func (s *Web) fresh(session model.Session) bool {
	return s.Authority.Now().Unix()-session.AuthTime < int64(account.Fresh/time.Second)
}

// signIn begins a sign-in that no application asks for. Where people are signed in
// already, it asks which of them it is for, or who else.
func (s *Web) signIn(w http.ResponseWriter, r *http.Request) error {
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	o := oauth.Own{Path: oauth.PathAccount}
	if len(accounts) > 0 {
		o.Prompt = []string{"select_account"}
	}
	return s.proceed(w, r, s.Authority.BeginOwn(o))
}
