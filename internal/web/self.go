package web

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// shell is what stands around each page of the account area. The pages hold it.
type shell struct {
	Me      userView
	Menu    []menuLink
	Several bool   // others are signed in at this browser as well
	Zone    string // in which times are told
	Notice  string // what has just been done; empty: nothing
	Error   string // why it was not; empty: it was
}

// menuLink is a page of the account area.
type menuLink struct {
	Address, Text string
	Here          bool
}

// Status is that of the page: one that says what is wrong is not what was asked for.
func (v shell) Status() int {
	if v.Error != "" {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// shell draws up what stands around a page.
func (s *Web) shell(r *http.Request, me visitor) shell {
	v := shell{Me: userOf(me.User), Several: len(me.accounts) > 1, Zone: language.Zone(me.User.Profile.Zoneinfo).String()}
	for _, p := range []menuLink{
		{Address: oauth.PathAccount, Text: s.pages.text(r, "account.menu.overview")},
		{Address: "/account/profile", Text: s.pages.text(r, "account.menu.profile")},
		{Address: "/account/sign-in", Text: s.pages.text(r, "account.menu.methods")},
		{Address: "/account/mail", Text: s.pages.text(r, "account.menu.mail")},
		{Address: "/account/sessions", Text: s.pages.text(r, "account.menu.sessions")},
		{Address: "/account/applications", Text: s.pages.text(r, "account.menu.applications")},
		{Address: "/account/activity", Text: s.pages.text(r, "account.menu.activity")},
		{Address: "/account/data", Text: s.pages.text(r, "account.menu.data")},
	} {
		p.Here = p.Address == me.path || p.Address != oauth.PathAccount && strings.HasPrefix(me.path, p.Address+"/")
		p.Address = s.base + p.Address
		v.Menu = append(v.Menu, p)
	}
	return v
}

// done sends the browser back to a page after a change, where a word says what has
// been done. The page knows the words that there are.
func (s *Web) done(w http.ResponseWriter, r *http.Request, page, word string) {
	redirect(w, r, s.base+page+"?done="+word)
}

// notice is the text of the word that done left in an address, if it is one of
// those of the page.
func notice(r *http.Request, texts map[string]string) string { return texts[r.URL.Query().Get("done")] }

// moment is a time for people and for programs.
type moment struct{ Text, Machine string }

// moment tells a time in the zone of the person whose page it is; nothing, where
// there was none.
func (s *Web) moment(r *http.Request, me visitor, unix int64) moment {
	if unix == 0 {
		return moment{}
	}
	zone := language.Zone(me.User.Profile.Zoneinfo)
	text, err := s.pages.edition(r).words.Moment(unix, zone)
	if err != nil {
		slog.ErrorContext(r.Context(), "time not told", "error", err)
	}
	return moment{text, time.Unix(unix, 0).In(zone).Format(time.RFC3339)}
}

// overviewPage is the first page of the account area.
type overviewPage struct {
	shell
	SignedIn     moment // when the person last proved who they are in this browser
	Before       moment // and when they last did elsewhere
	BeforeDevice string
	Cautions     []caution
	Sessions     string // how many there are
	Applications string // and how many of these
}

// caution is what needs the person's attention, and where they see to it.
type caution struct{ Text, Address string }

func (overviewPage) view() string { return "account" }

// overview tells people what there is to know of their account, and offers a
// sign-in to those who are not signed in: nobody is sent to one who only looked.
func (s *Web) overview(w http.ResponseWriter, r *http.Request) error {
	me, here, err := s.visitor(r)
	if err != nil {
		return err
	}
	if !here {
		return s.home(w, r)
	}
	theirs, err := s.Accounts.Sessions(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	access, err := s.Authority.Accesses(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	page := overviewPage{
		shell: s.shell(r, me), SignedIn: s.moment(r, me, me.AuthTime), Cautions: s.cautions(r, me),
		Sessions: strconv.Itoa(len(theirs)), Applications: strconv.Itoa(len(access)),
	}
	var before model.Session
	for _, one := range theirs {
		if one.ID != me.ID && one.AuthTime > before.AuthTime {
			before = one
		}
	}
	if page.Before = s.moment(r, me, before.AuthTime); before.ID != "" {
		page.BeforeDevice = s.deviceName(r, device.Parse(before.UserAgent))
	}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// cautions are what a person should see to.
func (s *Web) cautions(r *http.Request, me visitor) (list []caution) {
	if p := me.User.Profile; p.Email != "" && !p.EmailVerified {
		list = append(list, caution{s.pages.text(r, "account.overview.unverified"), s.base + "/account/mail"})
	}
	return list
}

// others are those who are signed in here beside the one whose page it is.
func (me visitor) others() []signedIn { return slices.Clone(me.accounts[1:]) }
