package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
)

const pathIdentities = "/account/sign-in/elsewhere"

// identitiesPage lists the accounts that a person has elsewhere. A form for each posts
// do=disconnect; another posts connect, the ID of a provider.
type identitiesPage struct {
	shell
	Action     string
	Identities []identityRow
	Connect    []connectRow
}

func (identitiesPage) view() string { return "identities" }

// identityRow is one of them.
type identityRow struct {
	ID          string
	Kind, Name  string // of the provider
	There       string // by which the person knows it; empty: it has no name
	Disabled    bool   // one cannot sign in with it now
	Added, Used moment
	Action      string
}

// connectRow is a provider of which an account can be connected.
type connectRow struct {
	ID, Kind, Name string
	Unavailable    bool
}

func (s *Web) showIdentities(w http.ResponseWriter, r *http.Request, me visitor) error {
	return s.identities(w, r, me, s.refused(r))
}

// identities draws the page; wrong says what is.
func (s *Web) identities(w http.ResponseWriter, r *http.Request, me visitor, wrong string) error {
	list, err := s.Federation.Identities(r.Context(), me.User.ID)
	if err != nil {
		return err
	}
	o, err := s.Federation.Offer(r.Context(), federation.Asking{Page: true})
	if err != nil {
		return err
	}
	if len(list) == 0 && len(o.Buttons) == 0 {
		return s.notFound(w, r)
	}
	page := identitiesPage{shell: s.shell(r, me), Action: s.base + pathIdentities}
	page.Error = wrong
	page.Notice = notice(r, map[string]string{
		"connected": s.pages.text(r, "identity.done.connected"), "disconnected": s.pages.text(r, "identity.done.disconnected"),
	})
	for _, one := range list {
		page.Identities = append(page.Identities, identityRow{
			ID: string(one.ID), Kind: one.Upstream.Kind, Name: one.Upstream.Name, There: one.Name, Disabled: one.Disabled,
			Added: s.moment(r, me, one.CreatedAt), Used: s.moment(r, me, one.UsedAt), Action: s.base + pathIdentities + "/" + string(one.ID),
		})
	}
	for _, b := range o.Buttons {
		page.Connect = append(page.Connect, connectRow{string(b.ID), b.Kind, b.Name, b.Unavailable})
	}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// identitiesSection says on the page of all methods how many there are.
type identitiesSection struct {
	Address string
	Count   string // empty: none
}

// identitiesSection is nil where there are no providers.
func (s *Web) identitiesSection(r *http.Request, me visitor) (*identitiesSection, error) {
	list, err := s.Federation.Identities(r.Context(), me.User.ID)
	if err != nil {
		return nil, err
	}
	v := &identitiesSection{Address: s.base + pathIdentities}
	if len(list) > 0 {
		v.Count = strconv.Itoa(len(list))
		return v, nil
	}
	o, err := s.Federation.Offer(r.Context(), federation.Asking{Page: true})
	if err != nil || len(o.Buttons) == 0 {
		return nil, err
	}
	return v, nil
}

// connectIdentity sends a person to a provider, from where they come back with an
// account to connect.
func (s *Web) connectIdentity(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	id := model.UpstreamID(f.Get("connect"))
	o, err := s.Federation.Offer(r.Context(), federation.Asking{Page: true})
	if err != nil {
		return err
	}
	for _, b := range o.Buttons {
		if b.ID == id && b.Directory {
			redirect(w, r, s.base+pathIdentities+"/at/"+url.PathEscape(string(id)))
			return nil
		}
	}
	leaving, err := s.Federation.Begin(r.Context(), federation.Departing{
		Upstream: id, Holder: holderOf(me), Connect: me.Session.ID,
		Wish: federation.Wish{Locales: []string{s.pages.edition(r).words.Tag}, Prompt: []string{"select_account"}},
	})
	if err != nil {
		return s.identitiesFailed(w, r, me, err)
	}
	s.setOut(w, r, leaving)
	return nil
}

func (s *Web) identitiesFailed(w http.ResponseWriter, r *http.Request, me visitor, err error) error {
	var no *federation.Refusal
	text := ""
	switch {
	case errors.As(err, &no):
		id := model.UpstreamID(r.PostForm.Get("connect"))
		s.logRefusal(r, id, no)
		text = s.refusedText(r, no.Code, id)
	case errors.Is(err, federation.ErrNoIdentity):
		text = s.pages.text(r, "identity.error.gone")
	case errors.Is(err, account.ErrLastMethod):
		text = s.pages.text(r, "identity.error.last")
	case errors.Is(err, account.ErrNoSession):
		redirect(w, r, s.base+pathIdentities) // where the person is asked who they are
		return nil
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "identity not changed", "error", err, "request", s.RequestID(r))
	return s.identities(w, r, me, text)
}

// disconnectIdentity takes an account elsewhere from a person.
func (s *Web) disconnectIdentity(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("do") != "disconnect" {
		return errForm
	}
	err = s.Federation.Disconnect(r.Context(), s.actor(r, me.User.ID), federation.Disconnecting{
		User: me.User.ID, ID: model.IdentityID(r.PathValue("identity")),
	})
	if err != nil {
		return s.identitiesFailed(w, r, me, err)
	}
	s.done(w, r, pathIdentities, "disconnected")
	return nil
}

// connectPage is directoryPage for somebody who is signed in.
func (s *Web) connectPage(r *http.Request) (directoryPage, error) {
	id := model.UpstreamID(r.PathValue("upstream"))
	page := directoryPage{
		Upstream: federation.Choice{ID: id}, Action: s.base + pathIdentities + "/at/" + url.PathEscape(string(id)),
		Back: s.base + pathIdentities, Connecting: true,
	}
	c, err := s.Federation.Choice(r.Context(), id)
	if err == nil {
		page.Upstream = c
	}
	return page, err
}

func (s *Web) showConnectDirectory(w http.ResponseWriter, r *http.Request, me visitor) error {
	page, err := s.connectPage(r)
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holderOf(me), Connecting: true, Upstream: page.Upstream}, err)
	}
	s.pages.directory(w, r, page)
	return nil
}

// connectDirectory connects an account in a directory, whose password was typed.
func (s *Web) connectDirectory(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	page, err := s.connectPage(r)
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holderOf(me), Connecting: true, Upstream: page.Upstream}, err)
	}
	if f.Get("decision") == "cancel" {
		redirect(w, r, page.Back)
		return nil
	}
	out, err := s.Federation.Password(r.Context(), federation.Typing{
		Upstream: page.Upstream.ID, Holder: holderOf(me), Attempt: s.typed(r), Connect: me.Session.ID,
	})
	if errors.Is(err, account.ErrNoSession) {
		redirect(w, r, page.Back)
		return nil
	}
	if err != nil {
		return s.directoryFailed(w, r, page, err)
	}
	s.arrived(w, r, out)
	return nil
}
