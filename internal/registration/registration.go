// Package registration is what is known about clients, and how it comes to be
// known: an operator registers them, they register themselves (RFC 7591, RFC
// 7592), or they publish a document about themselves. It owns the checks of what
// is said about a client, its secrets and keys, its sector and its logo, and it
// finds a client for whoever has to recognise one.
//
// It never decides about a request: what a client may do with what is registered
// is for oauth to say, which imports this package and not the other way round. It
// writes no HTTP and knows no SQL.
package registration

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
)

// Config says what a Registrar works with. Store, Keys and Issuer are required.
type Config struct {
	Store  *store.Store
	Keys   *keys.Ring
	Issuer string           // see oauth.Config
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
	Fetch  *http.Client     // for what clients name by URL; nil: one that reaches public addresses only

	Policy Policy // who may register clients; nobody but the operator
}

// Path is where the client registration endpoint stands, below the issuer.
const Path = "/register"

// Registrar keeps the clients. It is safe for concurrent use.
type Registrar struct {
	Config
	clients    *cache
	statements map[string]jwk.Source // of those who vouch for software, by "iss"
	documents  documents
	logos      logos
}

// New checks the configuration and returns a Registrar.
func New(c Config) (*Registrar, error) {
	if c.Store == nil || c.Keys == nil || c.Issuer == "" {
		return nil, errors.New("registration: Store, Keys and Issuer are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Fetch == nil {
		c.Fetch = fetch.New(fetch.Config{})
	}
	if err := c.Policy.Check(); err != nil {
		return nil, err
	}
	statements, err := statementKeys(c)
	if err != nil {
		return nil, err
	}
	r := &Registrar{Config: c, statements: statements, logos: newLogos()}
	r.clients = &cache{load: r.load, now: c.Now}
	return r, nil
}

func (r *Registrar) unix() int64 { return r.Now().Unix() }
