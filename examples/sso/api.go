package sso

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/resource"
)

// APIConfig says whose tokens an API accepts.
type APIConfig struct {
	Trade    Trade
	Issuer   string // the authorization server
	Audience string // what its tokens must be for: the name of this API and of no other
	URL      string // where the API stands; for its metadata; default: Audience

	Keys jwk.Source     // default: found through the issuer
	Feed *resource.Feed // what the issuer has revoked; whoever has made it runs it; default: a token is good until it expires

	HTTP   *http.Client     // for finding the keys
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// API keeps the entries of one application. It knows nothing of pages and cookies.
type API struct {
	guard *resource.Guard
	trade trade
}

// NewAPI checks c and returns an API. It does no I/O.
func NewAPI(c APIConfig) (*API, error) {
	t, ok := trades[c.Trade]
	if !ok {
		return nil, fmt.Errorf("sso: Trade %q is neither %s nor %s", c.Trade, Almanac, Ledger)
	}
	guard, err := resource.New(resource.Config{
		Issuer: c.Issuer, Audience: c.Audience, Keys: c.Keys, Feed: c.Feed,
		Metadata: resource.Metadata{Resource: c.URL, Scopes: []string{t.scope}, Name: t.Name + ", entries"},
		HTTP:     c.HTTP, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("sso: %w", err)
	}
	return &API{guard: guard, trade: t}, nil
}

// Handler serves the API.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+a.guard.MetadataPath(), a.guard.Metadata())
	mux.Handle("GET /entries", a.guard.RequireFunc(a.entries, a.trade.scope))
	return mux
}

// answer is what the API tells.
type answer struct {
	For     string  `json:"for"`    // whose token it was
	Client  string  `json:"client"` // which application came with it
	Entries []Entry `json:"entries"`
}

func (a *API) entries(w http.ResponseWriter, r *http.Request) {
	t := resource.Token(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(answer{For: t.Subject, Client: t.ClientID, Entries: a.trade.list}) // the status is out: nothing to do on failure
}

// call is what came of a request to an API.
type call struct {
	URL       string
	Status    int // 0: there was no answer
	Challenge string
	Entries   []Entry
}

// Words is the status for people.
func (c call) Words() string {
	if c.Status == 0 {
		return "no answer"
	}
	return fmt.Sprintf("%d %s", c.Status, http.StatusText(c.Status))
}

// Good says that the API has answered what it was asked.
func (c call) Good() bool { return c.Status == http.StatusOK }

// call asks an API for its entries with the person's access token.
func (a *App) call(ctx context.Context, person *client.Session, api string) call {
	c := call{URL: strings.TrimSuffix(api, "/") + "/entries"}
	err := func() error {
		token, err := person.AccessToken()
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := a.config.HTTP.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		c.Status, c.Challenge = res.StatusCode, res.Header.Get("WWW-Authenticate")
		if c.Status != http.StatusOK {
			return nil
		}
		var said answer
		if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&said); err != nil {
			c.Status = 0
			return err
		}
		c.Entries = said.Entries
		return nil
	}()
	if err != nil {
		a.config.Logger.WarnContext(ctx, "the API did not answer", "url", c.URL, "error", err)
	}
	return c
}
