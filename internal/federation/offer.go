package federation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

// Asking is what is known when a sign-in page is about to be shown.
type Asking struct {
	Allowed []string         // the providers that the client takes; nil: all
	Hint    string           // the provider that the request names ("idp_hint"), or else the client
	Login   string           // what was typed, or the login_hint: its domain may belong to a provider
	Last    model.UpstreamID // that this browser used last; empty: none
	// Page says that a page has to be shown: the request wants it (prompt=login,
	// select_account), or somebody has just come back without success.
	Page bool
}

// Offer is what a sign-in page has to offer.
type Offer struct {
	// Go is a provider that is gone to at once, without the page; empty: the page is
	// shown.
	Go        model.UpstreamID
	Directory bool     // that is one whose people type their password here
	Buttons   []Button // that used last first, then by their position
	Realms    bool     // there are logins that belong to a provider by their domain
}

// Button leads to a provider.
type Button struct {
	Choice
	Directory   bool // to a page of ours that asks for login and password
	Unavailable bool // it does not work at the moment
	Last        bool // this browser used it last
}

// Offer says which providers are offered, and whether one is gone to at once: because
// it is hinted at, because the typed login belongs there, or because it is the default
// one. A provider that does not work is never gone to like that.
func (f *Federation) Offer(ctx context.Context, a Asking) (Offer, error) {
	list, err := f.all(ctx)
	if err != nil {
		return Offer{}, err
	}
	var o Offer
	var hinted, theirs, usual *entry
	for _, e := range list {
		if e.Disabled || e.problem != nil || !allowed(a.Allowed, e.ID) {
			continue
		}
		b := Button{Choice: e.choice(), Unavailable: f.paused(e.Health), Last: e.ID == a.Last}
		_, b.Directory = e.connector.(upstream.Directory)
		if !e.Hidden || string(e.ID) == a.Hint {
			o.Buttons = append(o.Buttons, b)
		}
		o.Realms = o.Realms || len(e.Domains) > 0
		if b.Unavailable {
			continue
		}
		if a.Hint != "" && string(e.ID) == a.Hint {
			hinted = e
		}
		if d := domainOf(a.Login); d != "" && slices.Contains(e.Domains, d) {
			theirs = e
		}
		if e.Default {
			usual = e
		}
	}
	position := map[model.UpstreamID]int64{}
	for _, e := range list {
		position[e.ID] = e.Position
	}
	slices.SortStableFunc(o.Buttons, func(a, b Button) int {
		if a.Last != b.Last {
			return map[bool]int{true: -1, false: 1}[a.Last]
		}
		return cmp.Compare(position[a.ID], position[b.ID])
	})
	if e := cmp.Or(hinted, theirs, usual); e != nil && !a.Page {
		o.Go = e.ID
		_, o.Directory = e.connector.(upstream.Directory)
	}
	return o, nil
}

// Realm returns the provider to which a typed login belongs by its domain, as a button
// would lead there; the zero value: to none that works. It is what the sign-in page asks
// when a login was typed, whatever the request wants to be shown.
func (f *Federation) Realm(ctx context.Context, a Asking) (Button, error) {
	d := domainOf(a.Login)
	if d == "" {
		return Button{}, nil
	}
	list, err := f.all(ctx)
	for _, e := range list {
		if !e.Disabled && e.problem == nil && allowed(a.Allowed, e.ID) && !f.paused(e.Health) && slices.Contains(e.Domains, d) {
			_, directory := e.connector.(upstream.Directory)
			return Button{Choice: e.choice(), Directory: directory}, err
		}
	}
	return Button{}, err
}

func allowed(list []string, id model.UpstreamID) bool {
	return len(list) == 0 || slices.Contains(list, string(id))
}

// domainOf is the domain of an address in lower case; empty: it is none.
func domainOf(login string) string {
	login = strings.TrimSpace(login)
	i := strings.LastIndexByte(login, '@')
	if i < 1 || len(login) > 320 {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(login[i+1:], "."))
}
