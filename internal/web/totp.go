package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// totpPath is the page about apps that make codes, and about recovery codes.
const totpPath = "/account/sign-in/totp"

// totpSection is what the page about all methods tells of apps and codes.
type totpSection struct {
	Address string
	Apps    int
	Codes   int64 // recovery codes that are left
}

// Left is Codes for people.
func (v totpSection) Left() string { return strconv.FormatInt(v.Codes, 10) }

// totpPage is where people see to their apps and recovery codes. It posts decision
// ("add", "rename", "remove" or "codes") with code, name and app.
type totpPage struct {
	shell
	Action string
	Apps   []ownApp
	New    *appView // that can be added; nil: no more
	Name   string   // what was typed before
	Codes  int64    // recovery codes that are left
}

// Left is Codes for people.
func (v totpPage) Left() string { return strconv.FormatInt(v.Codes, 10) }

// ownApp is an app of the person whose page it is.
type ownApp struct {
	ID, Name    string
	Added, Used moment
}

func (totpPage) view() string { return "totp" }

func (s *Web) totpSection(r *http.Request, me visitor) (totpSection, error) {
	f, err := s.Accounts.Factors(r.Context(), me.UserID)
	return totpSection{Address: s.base + totpPath, Apps: len(f.Apps), Codes: f.Codes}, err
}

// totpHolder is under what an app is kept that a person sets up in their account area.
func totpHolder(me visitor) string { return "app of " + string(me.ID) }

func (s *Web) totpPage(r *http.Request, me visitor) (totpPage, error) {
	page := totpPage{shell: s.shell(r, me), Action: s.base + totpPath}
	f, err := s.Accounts.Factors(r.Context(), me.UserID)
	if err != nil {
		return page, err
	}
	page.Codes = f.Codes
	for _, app := range f.Apps {
		page.Apps = append(page.Apps, ownApp{app.ID, app.Name, s.moment(r, me, app.CreatedAt), s.moment(r, me, app.UsedAt)})
	}
	page.New, err = s.appView(r, totpHolder(me), me.User)
	if errors.Is(err, account.ErrTooMany) {
		err = nil
	}
	return page, err
}

func (s *Web) showTOTP(w http.ResponseWriter, r *http.Request, me visitor) error {
	page, err := s.totpPage(r, me)
	if err != nil {
		return err
	}
	page.Notice = notice(r, map[string]string{
		"add": s.pages.text(r, "totp.done.add"), "rename": s.pages.text(r, "totp.done.rename"), "remove": s.pages.text(r, "totp.done.remove"),
	})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// changeTOTP adds, renames or removes an app, or gives new recovery codes.
func (s *Web) changeTOTP(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	ctx, actor, word := r.Context(), s.actor(r, me.UserID), f.Get("decision")
	var codes []model.Secret
	switch word {
	case "add":
		codes, err = s.Accounts.ConfirmTOTP(ctx, actor, totpHolder(me), account.NewTOTP{User: me.UserID, Name: f.Get("name"), Code: f.Get("code"), Session: me.ID})
	case "rename":
		err = s.Accounts.RenameTOTP(ctx, actor, me.UserID, f.Get("app"), f.Get("name"))
	case "remove":
		err = s.Accounts.RemoveTOTP(ctx, actor, me.UserID, f.Get("app"))
	case "codes":
		codes, err = s.Accounts.NewRecoveryCodes(ctx, actor, me.UserID, me.ID)
	default:
		return errForm
	}
	var wrong account.ErrInvalid
	key := ""
	switch {
	case err == nil && len(codes) > 0:
		s.pages.codes(w, r, newCodesPage(codes, s.base+totpPath, userOf(me.User)))
		return nil
	case err == nil, errors.Is(err, account.ErrNoFactor), errors.Is(err, account.ErrFactor), errors.Is(err, account.ErrTooMany):
		s.done(w, r, totpPath, word) // or it was done meanwhile
		return nil
	case errors.Is(err, account.ErrCredentials):
		key = "enrol.error"
	case errors.As(err, &wrong):
		key = "totp.name.long"
	default:
		return err
	}
	page, err := s.totpPage(r, me)
	if err != nil {
		return err
	}
	page.Error, page.Name = s.pages.text(r, key), f.Get("name")
	s.pages.self(w, r, page.Status(), page)
	return nil
}
