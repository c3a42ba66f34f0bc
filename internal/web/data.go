package web

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/model"
)

// dataPage offers what is stored of a person, and to delete it. It posts nothing but
// that it was pressed.
type dataPage struct {
	shell
	Action string
	Delete string // address of the page that deletes the account
}

func (dataPage) view() string { return "data" }

func (s *Web) showData(w http.ResponseWriter, r *http.Request, me visitor) error {
	page := dataPage{shell: s.shell(r, me), Action: s.base + "/account/data", Delete: s.base + "/account/delete"}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// export is all that is stored of a person, without secrets.
type export struct {
	Issuer       string              `json:"issuer"`
	ExportedAt   int64               `json:"exported_at"`
	Account      model.User          `json:"account"`
	Methods      map[string]any      `json:"sign_in_methods"`
	Sessions     []exportSession     `json:"sessions"`
	Browsers     []exportBrowser     `json:"known_browsers"`
	Applications []exportApplication `json:"applications"`
	Events       []exportEvent       `json:"events"` // comes last: it is written as it is read
}

type exportSession struct {
	model.Session
	Browser      string   `json:"browser,omitempty"`
	System       string   `json:"system,omitempty"`
	Place        string   `json:"place,omitempty"`
	Applications []string `json:"applications"`
}

// exportBrowser is a browser that is known to be the person's.
type exportBrowser struct {
	Since     int64 `json:"since"`
	Seen      int64 `json:"last_seen"`
	TrustedTo int64 `json:"trusted_until,omitempty"`
}

// exportApp is an app that makes codes, without its secret.
type exportApp struct {
	Name    string `json:"name"`
	AddedAt int64  `json:"added_at"`
	UsedAt  int64  `json:"used_at,omitempty"`
}

type exportApplication struct {
	ClientID model.ClientID `json:"client_id"`
	Name     string         `json:"name,omitempty"`
	Scope    []string       `json:"scope"`
	Claims   []string       `json:"claims,omitempty"`
	Since    int64          `json:"since"`
	LastUsed int64          `json:"last_used,omitempty"`
}

type exportEvent struct {
	At       int64           `json:"at"`
	Action   string          `json:"action"`
	By       model.ActorKind `json:"by"`
	Self     bool            `json:"self"` // it was the person
	Address  string          `json:"address,omitempty"`
	ClientID model.ClientID  `json:"client_id,omitempty"`
	Detail   string          `json:"detail,omitempty"`
}

// exportData hands out one file with all that is stored of a person.
func (s *Web) exportData(w http.ResponseWriter, r *http.Request, me visitor) error {
	e, err := s.export(r, me)
	if err != nil {
		return err
	}
	if err := s.Accounts.NoteExport(r.Context(), s.actor(r, me.UserID), me.UserID); err != nil {
		return err
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="account.json"`)
	s.pages.write(w, http.StatusOK, pageHeaders{kind: "application/json", policy: contentPolicy, opener: openerOwn}, append(text, '\n'))
	return nil
}

func (s *Web) export(r *http.Request, me visitor) (export, error) {
	e := export{Issuer: s.Authority.Issuer, ExportedAt: s.Authority.Now().Unix(), Account: me.User, Methods: map[string]any{}}
	if me.User.PasswordAt != 0 {
		e.Methods["password"] = map[string]int64{"changed_at": me.User.PasswordAt}
	}
	if err := s.exportMethods(r, me, &e); err != nil {
		return e, err
	}
	stays, err := s.Accounts.Stays(r.Context(), me.UserID)
	if err != nil {
		return e, err
	}
	for _, stay := range stays {
		d := device.Parse(stay.UserAgent)
		one := exportSession{stay.Session, d.Browser, d.System, s.Places.Of(stay.Address), []string{}}
		for _, c := range stay.Applications {
			one.Applications = append(one.Applications, string(c.ID))
		}
		e.Sessions = append(e.Sessions, one)
	}
	list, err := s.Authority.Accesses(r.Context(), me.UserID)
	if err != nil {
		return e, err
	}
	for _, a := range list {
		e.Applications = append(e.Applications, exportApplication{a.Client.ID, a.Client.Name, a.Scope, a.Claims, a.Since, a.LastUsed})
	}
	e.Events, err = s.exportEvents(r, me)
	return e, err
}

// exportMethods tells by what a person can prove who they are, and in which browsers
// less of it is asked.
func (s *Web) exportMethods(r *http.Request, me visitor, e *export) error {
	passkeys, _, err := s.Accounts.Passkeys(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	if len(passkeys) > 0 {
		e.Methods["passkeys"] = passkeys
	}
	own, err := s.Accounts.Factors(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	var apps []exportApp
	for _, app := range own.Apps {
		apps = append(apps, exportApp{app.Name, app.CreatedAt, app.UsedAt})
	}
	if len(apps) > 0 {
		e.Methods["apps"] = apps
	}
	if own.Codes > 0 {
		e.Methods["recovery_codes_left"] = own.Codes
	}
	elsewhere, err := s.Federation.Identities(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	var identities []model.Identity
	for _, i := range elsewhere {
		identities = append(identities, i.Identity)
	}
	if len(identities) > 0 {
		e.Methods["identities"] = identities
	}
	devices, err := s.Accounts.Devices(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	for _, d := range devices {
		e.Browsers = append(e.Browsers, exportBrowser{d.CreatedAt, d.SeenAt, d.TrustedTo})
	}
	return nil
}

// maxExported bounds how many events a file has: the last ones.
const maxExported = 20_000

func (s *Web) exportEvents(r *http.Request, me visitor) (all []exportEvent, err error) {
	const chunk = 1000
	for before := int64(0); len(all) < maxExported; {
		list, err := s.Accounts.Activity(r.Context(), me.UserID, before, chunk)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			self := e.Actor.Kind == model.ActorUser && e.Actor.ID == string(me.UserID)
			all = append(all, exportEvent{e.At, e.Action, e.Actor.Kind, self, e.Actor.Address, e.ClientID, e.Detail})
			before = e.Position
		}
		if len(list) < chunk {
			break
		}
	}
	return all, nil
}

// deletePage asks whether somebody really wants to delete their account. It posts
// login, typed.
type deletePage struct {
	shell
	Action string
	Cancel string // address of the page before
	Login  string // that has to be typed
	Wrong  string // what is wrong with what was typed; empty: nothing
}

func (deletePage) view() string { return "delete" }

func (s *Web) deletePage(r *http.Request, me visitor) deletePage {
	return deletePage{shell: s.shell(r, me), Action: s.base + "/account/delete", Cancel: s.base + "/account/data", Login: me.User.Login}
}

func (s *Web) showDelete(w http.ResponseWriter, r *http.Request, me visitor) error {
	page := s.deletePage(r, me)
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// deleteAccount deletes it, once its login was typed.
func (s *Web) deleteAccount(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	page := s.deletePage(r, me)
	if account.Called(f.Get("login"), []model.User{{Login: me.User.Login}}) < 0 {
		page.Error, page.Wrong = s.pages.text(r, "account.delete.failed"), s.pages.text(r, "account.delete.login.wrong")
		s.pages.self(w, r, page.Status(), page)
		return nil
	}
	err = s.Accounts.Delete(r.Context(), s.actor(r, me.UserID), me.UserID)
	switch {
	case errors.Is(err, account.ErrLastAdmin):
		page.Error = s.pages.text(r, "account.delete.admin")
		s.pages.self(w, r, http.StatusConflict, page)
		return nil
	case err != nil && !errors.Is(err, account.ErrNoUser):
		return err
	}
	s.cookies.dropSession(w, me.UserID)
	s.keepState(w, r, me.others())
	s.pages.self(w, r, http.StatusOK, deletedPage{Home: s.base + "/"})
	return nil
}

// deletedPage says that there is no account any more.
type deletedPage struct{ Home string }

func (deletedPage) view() string { return "deleted" }
