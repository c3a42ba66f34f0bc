package web

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/model"
)

// activityPage tells what has lately happened to an account.
type activityPage struct {
	shell
	Events []eventView
	Older  string // address of what was before; empty: that is all
	Newest string // address of the first page; empty: this is it
}

func (activityPage) view() string { return "activity" }

// eventView is one thing that has happened, in words.
type eventView struct {
	Text, By       string
	At             moment
	Device         string // empty: not known
	Address, Place string
	Alarming       bool // the person should know whether it was them
}

// eventsOnPage is how many are shown at once.
const eventsOnPage = 25

// alarming are the actions by which somebody else could get in, or has tried to.
var alarming = map[string]bool{"password.throttle": true, "grant.reuse": true, "code.replay": true, "user.lock": true,
	"identity.link": true, "identity.tokens": true, "identity.unlink": true, "passkey.add": true, "passkey.remove": true, "passkey.fail": true, "passkey.regress": true}

// silent are the actions of which a person is told nothing: the server's own work,
// what happens all the time, and the end of the account, which nobody reads of here.
var silent = map[string]bool{
	"user.delete": true, "password.rehash": true, "password.export": true, "code.redeem": true, "grant.renew": true,
	"logout.undelivered": true, "signal.refused": true, "totp.use": true,
	"device.refuse": true, // of whoever it is: nobody need be signed in
}

func (s *Web) showActivity(w http.ResponseWriter, r *http.Request, me visitor) error {
	before, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	page := activityPage{shell: s.shell(r, me)}
	if before > 0 {
		page.Newest = s.base + me.path
	}
	list, err := s.Accounts.Activity(r.Context(), me.UserID, before, eventsOnPage+1, slices.Sorted(maps.Keys(silent))...)
	if err != nil {
		return err
	}
	if len(list) > eventsOnPage {
		list = list[:eventsOnPage]
		page.Older = s.base + me.path + "?before=" + strconv.FormatInt(list[eventsOnPage-1].Position, 10)
	}
	for _, e := range list {
		page.Events = append(page.Events, s.eventView(r, me, e))
	}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

func (s *Web) eventView(r *http.Request, me visitor, e model.Event) eventView {
	v := eventView{
		At: s.moment(r, me, e.At), Address: e.Actor.Address, Place: s.Places.Of(e.Actor.Address),
		Text: s.eventText(r, e), By: s.eventBy(r, me, e), Alarming: alarming[e.Action],
	}
	if d := device.FromDetail(e.Detail); d.Browser+d.System != "" {
		v.Device = s.deviceName(r, d)
	}
	return v
}

// eventText says what has happened. What this program has no words for is told by
// the name that it has in the audit log: nothing is kept from the person.
func (s *Web) eventText(r *http.Request, e model.Event) string {
	key := eventKey(e.Action)
	if !s.pages.edition(r).words.Has(key) {
		return s.pages.text(r, "account.event", "action", e.Action)
	}
	if e.ClientID != "" {
		return s.pages.text(r, key, "client", s.clientName(r, e.ClientID))
	}
	return s.pages.text(r, key)
}

// eventKey is the text of an action.
func eventKey(action string) string { return "account.event." + strings.ReplaceAll(action, "_", ".") }

// clientName is what a client is called, or was.
func (s *Web) clientName(r *http.Request, id model.ClientID) string {
	name, err := s.Authority.ClientName(r.Context(), id)
	if err != nil || name == "" {
		return hostOf(string(id))
	}
	return tidy(name)
}

// eventBy says who did it; nothing where it was the person.
func (s *Web) eventBy(r *http.Request, me visitor, e model.Event) string {
	switch e.Actor.Kind {
	case model.ActorUser:
		if e.Actor.ID == string(me.UserID) {
			return ""
		}
		return s.pages.text(r, "account.by.admin")
	case model.ActorShell:
		return s.pages.text(r, "account.by.admin")
	case model.ActorSystem:
		return s.pages.text(r, "account.by.system")
	case model.ActorTransmitter:
		return s.pages.text(r, "account.by.transmitter")
	case model.ActorUpstream:
		return s.pages.text(r, "account.by.upstream")
	case model.ActorClient:
		return s.pages.text(r, "account.by.client")
	}
	return s.pages.text(r, "account.by.somebody")
}
