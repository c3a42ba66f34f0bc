// Package elsewhere is other people's houses: two small identity providers that
// stand in for those out there, so that signing in with somebody else's account can
// be tried on a machine without a network.
//
// OpenID is an OpenID Provider, with a session of its own that ends everywhere when
// it ends there. OAuth is a plain OAuth 2.0 server with an API that tells who the
// owner of a token is, as those have that are older than OpenID Connect.
//
// They are strict about what they are sent, and ask nobody for a password: whoever
// comes chooses who to be. So they are for demonstrations and tests, and listen on
// this machine alone. What they know is in memory and gone with them.
package elsewhere

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Person is somebody who has an account here.
type Person struct {
	ID            string // never changes and is never given to somebody else
	Login         string // can change
	Name          string
	Email         string
	EmailVerified bool
	About         string // one sentence for the page on which people are chosen
}

// Client is the one application that may send people here.
type Client struct {
	ID, Secret  string
	Name        string // on the page
	RedirectURI string

	// What the OpenID Provider knows beside.
	PostLogoutRedirectURI string
	BackchannelURI        string // is told when a session is over; empty: nobody is
}

// Config is what both have to know.
type Config struct {
	// URL is where the house stands for browsers and for clients: an origin such as
	// "http://127.0.0.1:8091". It is the issuer.
	URL    string
	Name   string
	Client Client
	People []Person

	HTTP   *http.Client     // for the back channel; default: 5 s for a request
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// Bounds on what is kept, and for how long.
const (
	maxKept     = 1000
	maxBody     = 64 << 10 // bytes of a request
	maxValue    = 2048     // bytes of a parameter
	requestLife = 10 * time.Minute
	codeLife    = time.Minute
	tokenLife   = time.Hour
	sessionLife = 12 * time.Hour
)

// house is what both have in common: a page on which people say who they are, and
// codes that become tokens.
type house struct {
	config Config
	openid bool     // it knows ID tokens and sessions
	scopes []string // those that mean something here
	// Of the OpenID Provider alone; else nil.
	idToken func(c code, access string) (string, error)
	notice  func(s session) (string, error)

	mu       sync.Mutex
	requests *drawer[request] // by the identifier in the page
	leaving  *drawer[departure]
	codes    *drawer[code]
	tokens   *drawer[access]
	sessions *drawer[session] // by the cookie
}

func newHouse(c Config) (*house, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("elsewhere: URL %q is not an origin", c.URL)
	}
	switch {
	case c.Name == "":
		return nil, errors.New("elsewhere: Name is missing")
	case c.Client.ID == "" || c.Client.Secret == "":
		return nil, errors.New("elsewhere: Client needs an ID and a Secret")
	case !absolute(c.Client.RedirectURI):
		return nil, errors.New("elsewhere: Client.RedirectURI is not an absolute URL without a fragment")
	case len(c.People) == 0:
		return nil, errors.New("elsewhere: there are no People")
	}
	for i, p := range c.People {
		if p.ID == "" || p.Name == "" || p.Login == "" || slices.ContainsFunc(c.People[:i], func(o Person) bool { return o.ID == p.ID }) {
			return nil, fmt.Errorf("elsewhere: People[%d] needs an ID of its own, a Login and a Name", i)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 5 * time.Second}
	}
	return &house{
		config:   c,
		requests: newDrawer[request](requestLife, c.Now), leaving: newDrawer[departure](requestLife, c.Now),
		// A code is kept beyond its life, so that one that comes again is known.
		codes: newDrawer[code](requestLife, c.Now), tokens: newDrawer[access](tokenLife, c.Now), sessions: newDrawer[session](sessionLife, c.Now),
	}, nil
}

func absolute(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Fragment == "" && u.User == nil
}

// person finds somebody who has an account here.
func (h *house) person(id string) (Person, bool) {
	i := slices.IndexFunc(h.config.People, func(p Person) bool { return p.ID == id })
	if i < 0 {
		return Person{}, false
	}
	return h.config.People[i], true
}

// secured sets the headers that every answer has, and bounds what is read.
func (h *house) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		// form-action is left out: browsers apply it to all redirects that follow, and
		// where those end, somebody else decides.
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer") // RFC 9700 §4.2.4
		header.Set("Cache-Control", "no-store")
		if strings.HasPrefix(r.URL.Path, "/static/") {
			header.Set("Cache-Control", "public, max-age=3600")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// fromHere lets only forms through that this house has drawn.
func (h *house) fromHere(next http.HandlerFunc) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.tell(w, http.StatusForbidden, "This form came from another site.")
	}))
	return protection.Handler(next)
}

// parameters reads the parameters of a request. RFC 6749 §3.1, §3.2: none may be
// there twice, and one without a value counts as left out.
func parameters(r *http.Request) (map[string]string, error) {
	if err := r.ParseForm(); err != nil {
		return nil, errors.New("the parameters cannot be read")
	}
	form := r.Form
	if r.Method == http.MethodPost {
		if len(r.URL.RawQuery) > 0 {
			return nil, errors.New("a form has no parameters in its address")
		}
		form = r.PostForm
	}
	p := map[string]string{}
	for name, values := range form {
		if len(values) > 1 {
			return nil, errors.New("a parameter is there twice")
		}
		if len(values[0]) > maxValue && name != "id_token_hint" { // which a whole token is
			return nil, errors.New("a parameter is too long")
		}
		if values[0] != "" {
			p[name] = values[0]
		}
	}
	return p, nil
}

// same compares secrets without telling by the time that it takes where they differ.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// drawer keeps values for a while under names that nobody can guess. When it is full,
// the oldest gives way. Its owner holds a lock.
type drawer[T any] struct {
	life time.Duration
	now  func() time.Time
	kept map[[sha256.Size]byte]*kept[T] // by the hash, so that looking one up tells nothing by its time
	age  [][sha256.Size]byte            // oldest first
}

type kept[T any] struct {
	value   T
	expires time.Time
}

func newDrawer[T any](life time.Duration, now func() time.Time) *drawer[T] {
	return &drawer[T]{life: life, now: now, kept: map[[sha256.Size]byte]*kept[T]{}}
}

// put keeps a value and returns its name.
func (d *drawer[T]) put(v T) string {
	if len(d.age) >= maxKept {
		delete(d.kept, d.age[0])
		d.age = d.age[1:]
	}
	name := rand.Text() // 130 bits
	hash := sha256.Sum256([]byte(name))
	d.kept[hash] = &kept[T]{v, d.now().Add(d.life)}
	d.age = append(d.age, hash)
	return name
}

// find returns what is kept under a name, to be changed by whoever holds the lock;
// nil if there is nothing.
func (d *drawer[T]) find(name string) *T {
	k := d.kept[sha256.Sum256([]byte(name))]
	if k == nil || !d.now().Before(k.expires) {
		return nil
	}
	return &k.value
}

// drop forgets a name. It keeps its place in the line until that has moved on.
func (d *drawer[T]) drop(name string) { delete(d.kept, sha256.Sum256([]byte(name))) }

// dropAll forgets what matches.
func (d *drawer[T]) dropAll(match func(T) bool) {
	for hash, k := range d.kept {
		if match(k.value) {
			delete(d.kept, hash)
		}
	}
}
