package shop

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/resource"
)

// ScopeOrder allows to order in a person's name.
const ScopeOrder = "orders:write"

// APIConfig says whose tokens the shop's API accepts.
type APIConfig struct {
	Issuer   string     // the authorization server
	Audience string     // what its tokens must be for, such as "https://api.shop.example"
	URL      string     // where the API stands; for its metadata; default: Audience
	Keys     jwk.Source // default: found through the issuer

	// The API's own registration there, with which it follows the revocation feed; see
	// Run. Without one, a token is good until it expires, whatever became of its person.
	ClientID     string
	ClientSecret string

	HTTP   *http.Client     // for finding the keys
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// API takes orders. It knows nothing of the shop's pages and cookies: who may
// order what is in the access token.
type API struct {
	guard *resource.Guard
	feed  *resource.Feed // nil: none is followed
	now   func() time.Time

	mu     sync.Mutex
	orders map[string]*Order // by ID
	keys   map[string]string // owner and idempotency key to ID
	queue  []*Order          // oldest first
}

// Order is what somebody bought.
type Order struct {
	ID    string         `json:"id"`
	Items map[string]int `json:"items"`
	Total Cents          `json:"total"`
	Name  string         `json:"name"` // for the receipt, as the shop says

	owner string // "iss" and "sub" of who bought it
	key   string
}

const (
	maxOrders = 1000 // that are remembered; the oldest gives way
	maxName   = 300  // bytes, on a receipt
)

// NewAPI checks c and returns an API. It does no I/O.
func NewAPI(c APIConfig) (*API, error) {
	a := &API{orders: make(map[string]*Order), keys: make(map[string]string), now: c.Now}
	if a.now == nil {
		a.now = time.Now
	}
	var err error
	if c.ClientID != "" {
		a.feed, err = resource.NewFeed(resource.FeedConfig{
			Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Now: c.Now, Logger: c.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("shop: %w", err)
		}
	}
	a.guard, err = resource.New(resource.Config{
		Issuer: c.Issuer, Audience: c.Audience, Keys: c.Keys,
		Metadata: resource.Metadata{Resource: c.URL, Scopes: []string{ScopeOrder}, Name: "The Gatehouse, orders"},
		Feed:     a.feed,
		HTTP:     c.HTTP, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	return a, nil
}

// Run follows the revocation feed until ctx is done: from then on a session that is
// ended is refused within a second. Until the feed is ready, and while it is cut off for
// longer than ten seconds, the API answers 503. Without a ClientID there is none.
func (a *API) Run(ctx context.Context) error {
	if a.feed == nil {
		<-ctx.Done()
		return nil
	}
	return a.feed.Run(ctx)
}

// Handler serves the API.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+a.guard.MetadataPath(), a.guard.Metadata())
	mux.Handle("GET /me", a.guard.RequireFunc(a.me))
	mux.Handle("POST /orders", a.guard.RequireFunc(a.create, ScopeOrder))
	mux.Handle("GET /orders/{id}", a.guard.RequireFunc(a.show))
	return mux
}

// Me is what GET /me answers: as whom the API knows the caller.
type Me struct {
	Subject   string   `json:"sub"`
	ClientID  string   `json:"client_id"`
	Scope     []string `json:"scope"`
	ExpiresIn int64    `json:"expires_in"` // seconds; as the token says, not as the feed does
}

func (a *API) me(w http.ResponseWriter, r *http.Request) {
	t := resource.Token(r.Context())
	answer(w, http.StatusOK, Me{t.Subject, t.ClientID, t.Scope, int64(t.ExpiresAt.Sub(a.now()) / time.Second)})
}

// create takes an order. The price comes from the catalogue, the buyer from the
// token; the body says only how many of what.
func (a *API) create(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Items map[string]int `json:"items"`
		Name  string         `json:"name"` // is printed and decides nothing
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&asked); err != nil {
		problem(w, http.StatusBadRequest, "The body is not a JSON order")
		return
	}
	list, total, _ := lines(asked.Items)
	if len(list) == 0 || len(list) != len(asked.Items) {
		problem(w, http.StatusUnprocessableEntity, "The order is empty, or names what is not sold")
		return
	}
	if total > maxOrder {
		// No token would help: it is a rule of the shop.
		resource.Forbid(w, resource.Problem{
			Title: "Too much for one order", Detail: fmt.Sprintf("One order may cost %s at most.", maxOrder),
		})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 64 || len(asked.Name) > maxName {
		problem(w, http.StatusBadRequest, "The Idempotency-Key or the name is too long")
		return
	}
	order := a.keep(&Order{
		ID: rand.Text(), Items: asked.Items, Total: total, Name: asked.Name,
		owner: ownerOf(resource.Token(r.Context())), key: key,
	})
	w.Header().Set("Location", "/orders/"+order.ID)
	answer(w, http.StatusCreated, order)
}

// keep remembers an order. One that comes twice under the same key, because
// somebody pressed the button twice, is the same order.
func (a *API) keep(o *Order) *Order {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := o.owner + "\x00" + o.key
	if o.key != "" {
		if id, again := a.keys[key]; again {
			return a.orders[id]
		}
		a.keys[key] = o.ID
	}
	a.orders[o.ID] = o
	a.queue = append(a.queue, o)
	if len(a.queue) > maxOrders {
		old := a.queue[0]
		a.queue = a.queue[1:]
		delete(a.orders, old.ID)
		delete(a.keys, old.owner+"\x00"+old.key)
	}
	return o
}

// show tells about one order. Somebody else's does not exist: not even its
// number is anybody's business.
func (a *API) show(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	order, ok := a.orders[r.PathValue("id")]
	a.mu.Unlock()
	if !ok || order.owner != ownerOf(resource.Token(r.Context())) {
		problem(w, http.StatusNotFound, "There is no such order")
		return
	}
	answer(w, http.StatusOK, order)
}

func ownerOf(t *resource.AccessToken) string { return t.Issuer + "\x00" + t.Subject }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the status is out: nothing to do on failure
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
