package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/model"
)

const pathPasskeys = "/account/sign-in/passkeys"

// passkeysPage lists the passkeys of a person. A form for each posts do=rename with
// name, or do=remove.
type passkeysPage struct {
	shell
	Passkeys []passkeyRow
	Add      *passkeyView // nil: there are as many as there may be
	Most     string       // how many that is
}

func (passkeysPage) view() string   { return "passkeys" }
func (passkeysPage) policy() string { return passkeyPolicy }

// passkeyRow is one of them.
type passkeyRow struct {
	ID, Name    string
	Where       string // what made it, where it is known
	Synced      bool   // it is at several devices
	Single      bool   // it can be at one only
	Added, Used moment
	Action      string
}

func (s *Web) showPasskeys(w http.ResponseWriter, r *http.Request, me visitor) error {
	return s.passkeys(w, r, me, "")
}

// passkeys draws the page; wrong says what is.
func (s *Web) passkeys(w http.ResponseWriter, r *http.Request, me visitor, wrong string) error {
	if s.Accounts.PasskeySite() == "" {
		return s.notFound(w, r)
	}
	list, handle, err := s.Accounts.Passkeys(r.Context(), me.User.ID)
	if err != nil {
		return err
	}
	page := passkeysPage{shell: s.shell(r, me), Most: strconv.Itoa(account.MaxPasskeys)}
	page.Error = wrong
	page.Notice = notice(r, map[string]string{
		"added": s.pages.text(r, "passkey.done.added"), "renamed": s.pages.text(r, "passkey.done.renamed"), "removed": s.pages.text(r, "passkey.done.removed"),
	})
	add := passkeyView{Action: s.base + pathPasskeys, New: true, Site: s.Accounts.PasskeySite(), Handle: handle}
	for _, k := range list {
		add.Accepted = append(add.Accepted, k.Credential)
		row := passkeyRow{
			ID: string(k.ID), Name: k.Name, Where: credential.AuthenticatorName(k.AAGUID), Synced: k.BackedUp, Single: !k.Eligible,
			Added: s.moment(r, me, k.CreatedAt), Used: s.moment(r, me, k.UsedAt), Action: s.base + pathPasskeys + "/" + string(k.ID),
		}
		if row.Name == "" {
			row.Name = s.pages.text(r, "passkey.unnamed")
		}
		if row.Where == row.Name {
			row.Where = ""
		}
		page.Passkeys = append(page.Passkeys, row)
	}
	page.Add = &add
	if len(list) >= account.MaxPasskeys {
		page.Add = nil
	}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// passkeysSection says on the page of all methods how many there are.
type passkeysSection struct {
	Address string
	Count   string // empty: none
}

func (s *Web) passkeysSection(r *http.Request, me visitor) (*passkeysSection, error) {
	if s.Accounts.PasskeySite() == "" {
		return nil, nil
	}
	list, _, err := s.Accounts.Passkeys(r.Context(), me.User.ID)
	if err != nil {
		return nil, err
	}
	v := &passkeysSection{Address: s.base + pathPasskeys}
	if len(list) > 0 {
		v.Count = strconv.Itoa(len(list))
	}
	return v, nil
}

// holderOf is under what a new passkey waits for the person at a session.
func holderOf(me visitor) string { return "session " + string(me.Session.ID) }

func (s *Web) askNewPasskey(w http.ResponseWriter, r *http.Request, me visitor) error {
	options, err := s.Accounts.AskNewPasskey(r.Context(), holderOf(me), me.User.ID)
	return s.sendOptions(w, options, err)
}

func (s *Web) addPasskey(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	_, err = s.Accounts.AddPasskey(r.Context(), s.actor(r, me.User.ID), account.NewPasskey{
		Holder: holderOf(me), User: me.User.ID, Answer: []byte(f.Get("answer")), Session: me.Session.ID,
	})
	if err != nil {
		return s.passkeysFailed(w, r, me, err)
	}
	s.done(w, r, pathPasskeys, "added")
	return nil
}

func (s *Web) changePasskey(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	ref := account.PasskeyRef{User: me.User.ID, ID: model.PasskeyID(r.PathValue("passkey"))}
	word := ""
	switch f.Get("do") {
	case "rename":
		word, err = "renamed", s.Accounts.RenamePasskey(r.Context(), s.actor(r, me.User.ID), ref, f.Get("name"))
	case "remove":
		word, err = "removed", s.Accounts.RemovePasskey(r.Context(), s.actor(r, me.User.ID), ref)
	default:
		return errForm
	}
	if err != nil {
		return s.passkeysFailed(w, r, me, err)
	}
	s.done(w, r, pathPasskeys, word)
	return nil
}

func (s *Web) passkeysFailed(w http.ResponseWriter, r *http.Request, me visitor, err error) error {
	text := s.passkeyFault(r, err)
	var wrong account.ErrInvalid
	switch {
	case errors.As(err, &wrong):
		text = s.pages.text(r, "passkey.error.name")
	case errors.Is(err, account.ErrPasskeyUnknown):
		text = s.pages.text(r, "passkey.error.gone")
	case errors.Is(err, account.ErrLastMethod):
		text = s.pages.text(r, "passkey.error.last")
	case text == "":
		return err
	}
	s.Logger.InfoContext(r.Context(), "passkey not changed", "error", err, "request", s.RequestID(r))
	return s.passkeys(w, r, me, text)
}

// passkeyFault says what is wrong with a passkey's answer; "" of what is no fault of
// it.
func (s *Web) passkeyFault(r *http.Request, err error) string {
	switch {
	case errors.Is(err, credential.ErrPasskeyCopied):
		return s.pages.text(r, "passkey.error.copied")
	case errors.Is(err, credential.ErrPasskey):
		return s.pages.text(r, "passkey.error.answer")
	case errors.Is(err, account.ErrPasskeyStale):
		return s.pages.text(r, "passkey.error.stale")
	case errors.Is(err, account.ErrPasskeyUnknown), errors.Is(err, account.ErrPasskeysOff):
		return s.pages.text(r, "passkey.error.unknown")
	case errors.Is(err, account.ErrPasskeyTaken):
		return s.pages.text(r, "passkey.error.taken")
	case errors.Is(err, account.ErrPasskeyMany):
		return s.pages.text(r, "passkey.most", "count", strconv.Itoa(account.MaxPasskeys))
	}
	return ""
}
