// Package federation knows the identity providers whose people may sign in here:
// what an operator has said of them, their sealed secrets, which account belongs to
// whom over there, and how they fare.
//
// It is a rule book like account, and stands above it: a sign-in elsewhere becomes a
// proof of account's. It never speaks a provider's protocol, which is upstream's.
package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// What goes through here from the pages to the connectors and back.
type (
	Wish      = upstream.Wish
	Answer    = upstream.Answer
	Departure = upstream.Departure
)

// Config says which house this is, and how providers are reached from it.
type Config struct {
	Store    *store.Store
	Keys     *keys.Ring
	Accounts *account.Accounts
	Issuer   string

	// Client and Dial reach the public Internet, Internal and InternalDial our own
	// network as well: for connections of which an operator has said so.
	Client, Internal   *http.Client
	Dial, InternalDial upstream.Dial

	// Kinds are the ways in which providers are spoken to; nil: those of package
	// upstream.
	Kinds []Kind

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// Kind is one way in which providers are spoken to.
type Kind struct {
	Name    string
	Secrets []string                                             // by name
	Makers  map[string]func(now time.Time) (model.Secret, error) // of those that are ours to make
	Open    func(upstream.Config) (upstream.Connector, error)
}

// kinds are those of package upstream.
func kinds() []Kind {
	var list []Kind
	for _, name := range upstream.Kinds() {
		list = append(list, Kind{Name: name, Secrets: upstream.Secrets(name), Makers: upstream.Makers(name), Open: upstream.Open})
	}
	return list
}

// Federation is the rule book about identity providers. Its methods may be called
// from many goroutines at once.
type Federation struct {
	Config
	mu    sync.Mutex
	known snapshot
}

// New returns the identity providers in c.Store.
func New(c Config) (*Federation, error) {
	switch {
	case c.Store == nil, c.Keys == nil, c.Accounts == nil:
		return nil, errors.New("federation: Config lacks Store, Keys or Accounts")
	case c.Issuer == "":
		return nil, errors.New("federation: Config.Issuer is missing, with which our addresses begin")
	case c.Client == nil, c.Internal == nil, c.Dial == nil, c.InternalDial == nil:
		return nil, errors.New("federation: Config does not say how providers are reached")
	}
	if c.Kinds == nil {
		c.Kinds = kinds()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Federation{Config: c}, nil
}

func (f *Federation) unix() int64 { return f.Now().Unix() }

// kind finds a way in which providers are spoken to.
func (f *Federation) kind(name string) (Kind, bool) {
	i := slices.IndexFunc(f.Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return f.Kinds[i], true
}

// snapshotLife is how long the providers may be known from memory: a change made by
// another node or by the command takes effect within it.
const snapshotLife = time.Second

// maxCalls is how many people may wait for one provider at a node at once.
const maxCalls = 64

// snapshot is what was in the database a moment ago.
type snapshot struct {
	list  []*entry
	until time.Time
}

// entry is a provider that can be spoken to.
type entry struct {
	model.Upstream
	connector upstream.Connector // nil: it cannot be made, see problem
	problem   error
	calls     chan struct{}
}

// all returns the providers by their ID.
func (f *Federation) all(ctx context.Context) ([]*entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Now()
	if now.Before(f.known.until) && f.known.until.Sub(now) <= snapshotLife {
		return f.known.list, nil
	}
	var rows []model.Upstream
	err := f.Store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.Upstreams()
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]*entry, 0, len(rows))
	for _, row := range rows {
		list = append(list, f.entry(ctx, row))
	}
	f.known = snapshot{list, now.Add(snapshotLife)}
	return list, nil
}

// entry keeps the connector of a provider as long as what an operator said of it
// stands: it has fetched what the provider says of itself.
func (f *Federation) entry(ctx context.Context, row model.Upstream) *entry {
	e := &entry{Upstream: row}
	i := slices.IndexFunc(f.known.list, func(e *entry) bool { return e.ID == row.ID })
	if i >= 0 {
		if old := f.known.list[i]; old.Sealed == row.Sealed && reflect.DeepEqual(old.UpstreamSettings, row.UpstreamSettings) {
			e.connector, e.problem, e.calls = old.connector, old.problem, old.calls
			return e
		}
	}
	e.calls = make(chan struct{}, maxCalls)
	secrets, err := f.unseal(row)
	if err == nil {
		e.connector, err = f.open(row.ID, row.UpstreamSettings, secrets)
	}
	if err != nil {
		e.problem = err
		f.Logger.ErrorContext(ctx, "an identity provider cannot be used", "upstream", row.ID, "error", err)
	}
	return e
}

// LookAgain lets the next look go to the database, because a provider has changed.
func (f *Federation) LookAgain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.until = time.Time{}
}

// find returns a provider that is not disabled, or a Refusal.
func (f *Federation) find(ctx context.Context, id model.UpstreamID) (*entry, error) {
	list, err := f.all(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(e *entry) bool { return e.ID == id && !e.Disabled })
	if i < 0 {
		return nil, refuse(Unknown, "there is no provider "+quoted(string(id)))
	}
	if e := list[i]; e.problem != nil {
		return nil, refuse(Misconfigured, e.problem.Error())
	}
	return list[i], nil
}

// open makes the connector of a provider. It returns ErrInvalid.
func (f *Federation) open(id model.UpstreamID, s model.UpstreamSettings, secrets map[string]model.Secret) (upstream.Connector, error) {
	k, ok := f.kind(s.Kind)
	if !ok {
		return nil, ErrInvalid{"kind", fmt.Sprintf("%q is not one of %s", s.Kind, strings.Join(f.KindNames(), ", "))}
	}
	var reach struct {
		Internal bool `json:"allow_internal"`
	}
	if err := json.Unmarshal(s.Connection, &reach); err != nil {
		return nil, ErrInvalid{"connection", "must be an object"}
	}
	at := f.Addresses(id)
	c := upstream.Config{
		ID: id, Kind: s.Kind, Connection: s.Connection, Secrets: secrets,
		Callback: at.Callback, Logout: at.Logout, Metadata: at.Metadata,
		Client: f.Client, Dial: f.Dial, Now: f.Now,
	}
	if reach.Internal {
		c.Client, c.Dial = f.Internal, f.InternalDial
	}
	connector, err := k.Open(c)
	var invalid upstream.ErrInvalid
	if errors.As(err, &invalid) {
		err = ErrInvalid{"connection: " + invalid.Member, invalid.Reason}
	}
	return connector, err
}

// KindNames lists the kinds of provider.
func (f *Federation) KindNames() []string {
	var names []string
	for _, k := range f.Kinds {
		names = append(names, k.Name)
	}
	return names
}

// unseal returns the secrets of a provider.
func (f *Federation) unseal(u model.Upstream) (map[string]model.Secret, error) {
	if u.Sealed == "" {
		return nil, nil
	}
	text, err := f.Keys.Unseal(keys.PurposeUpstream, string(u.ID), u.Sealed)
	if err != nil {
		return nil, err
	}
	plain := map[string]string{}
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	secrets := map[string]model.Secret{}
	for name, value := range plain {
		secrets[name] = model.Secret(value)
	}
	return secrets, nil
}

// Choice is a provider as people see it.
type Choice struct {
	ID   model.UpstreamID
	Kind string
	Name string
}

func (e *entry) choice() Choice { return Choice{e.ID, e.Kind, e.Name} }
