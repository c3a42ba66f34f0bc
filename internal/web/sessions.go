package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/model"
)

// sessionsPage lists where a person is signed in. It posts end, the ID of one of the
// sessions or "others".
type sessionsPage struct {
	shell
	Action   string
	SignOut  string // address of the page that ends this session
	Sessions []sessionView
	Others   bool // there are others than this one
}

func (sessionsPage) view() string { return "sessions" }

// sessionView is one session in words.
type sessionView struct {
	ID             string
	Device         string // browser and system
	Kind           string // of the device, for its picture
	Address, Place string
	First, Last    moment
	Applications   []string
	Current        bool
}

// othersWord is what the form says in the place of one session.
const othersWord = "others"

func (s *Web) showSessions(w http.ResponseWriter, r *http.Request, me visitor) error {
	stays, err := s.Accounts.Stays(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	page := sessionsPage{shell: s.shell(r, me), Action: s.base + "/account/sessions", SignOut: s.base + "/logout", Others: len(stays) > 1}
	for _, stay := range stays {
		page.Sessions = append(page.Sessions, s.sessionView(r, me, stay))
	}
	// The one that looks comes first, then those that were used last.
	slices.SortStableFunc(page.Sessions, func(a, b sessionView) int {
		switch {
		case a.Current:
			return -1
		case b.Current:
			return 1
		}
		return 0
	})
	page.Notice = notice(r, map[string]string{"one": s.pages.text(r, "account.sessions.ended"), othersWord: s.pages.text(r, "account.sessions.ended.others")})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

func (s *Web) sessionView(r *http.Request, me visitor, stay account.Stay) sessionView {
	d := device.Parse(stay.UserAgent)
	v := sessionView{
		ID: string(stay.ID), Device: s.deviceName(r, d), Kind: string(d.Kind), Address: stay.Address, Place: s.Places.Of(stay.Address),
		First: s.moment(r, me, stay.CreatedAt), Last: s.moment(r, me, stay.SeenAt), Current: stay.ID == me.ID,
	}
	for _, c := range stay.Applications {
		v.Applications = append(v.Applications, nameOf(c))
	}
	return v
}

// deviceName is a device in words.
func (s *Web) deviceName(r *http.Request, d device.Device) string {
	switch {
	case d.Browser != "" && d.System != "":
		return s.pages.text(r, "account.device", "browser", d.Browser, "system", d.System)
	case d.Browser != "" || d.System != "":
		return d.Browser + d.System
	}
	return s.pages.text(r, "account.device.unknown")
}

// nameOf is what people know a client by.
func nameOf(c model.Client) string {
	if c.Name != "" {
		return c.Name
	}
	return string(c.ID)
}

// endSession ends one of a person's sessions, or all but this one.
func (s *Web) endSession(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	which := f.Get("end")
	if which == othersWord {
		if err := s.Accounts.SignOutOthers(r.Context(), s.actor(r, me.UserID), me.UserID, me.ID); err != nil && !errors.Is(err, account.ErrNoSession) {
			return err
		}
		s.done(w, r, "/account/sessions", othersWord)
		return nil
	}
	err = s.Accounts.SignOutOf(r.Context(), s.actor(r, me.UserID), me.UserID, model.SessionID(which))
	if err != nil && !errors.Is(err, account.ErrNoSession) { // somebody else's, or over
		return err
	}
	s.done(w, r, "/account/sessions", "one")
	return nil
}
