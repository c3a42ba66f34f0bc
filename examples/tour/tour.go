// Package tour is a walk through Ostiary in six scenes, for somebody who has never
// seen it: sign in, look at the tokens, go on to another application, renew, lock
// somebody out and watch, break a token.
//
// Nothing is played: the tour is an application of its own, which signs people in by
// package client, calls the sample API with their token, and does what an operator
// does by the API for programs. It knows nothing of how the server works inside.
package tour

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
)

//go:embed static
var static embed.FS

// Config says where everything stands that the tour leads through.
type Config struct {
	Issuer       string // the authorization server
	ClientID     string // the tour's registration there
	ClientSecret string
	BaseURL      string // of the tour, as browsers see it, such as "http://localhost:8081"

	// The operator's own client: it may read and lock people and read sessions.
	OperatorID     string
	OperatorSecret string

	// NotesURL is where examples/restapi stands: access tokens of the tour are for it,
	// and it is where Bob works.
	NotesURL string
	Bob      Person   // who is locked
	People   []Person // whom one may be; the first leads the tour

	// Applications are those that one may go on to, by their ID at the server.
	Applications []Application
	// Places are whatever else is worth a visit.
	Places []Place

	SessionKey []byte // encrypts sessions; at least 32 random bytes; none: random, and people are signed out with the process

	HTTP   *http.Client     // for requests to the authorization server and to the API; default: 10 s each
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// Person is a test user. The password is shown to everybody who comes to the tour.
type Person struct {
	Login, Password, Name, Note string
}

// Application is one to go on to.
type Application struct {
	ID, Name, URL string
}

// Place is an address with a word about it.
type Place struct {
	Name, URL, What string
}

// Tour is the web application.
type Tour struct {
	config   Config
	signIn   *client.Client
	operator *operator
	bob      *bob
	seen     *memory
	now      func() time.Time
	log      *slog.Logger
	policy   string // Content-Security-Policy of every page
	cookie   string // that holds which scenes are done

	closing   chan struct{} // ends what streams
	closeOnce sync.Once
}

// Scopes are what the tour asks for: who somebody is, and to read notes in their name.
var Scopes = []string{"openid", "profile", "email", "notes:read"}

// OperatorScopes are what the operator's client must be allowed.
var OperatorScopes = []string{"ostiary:users", "ostiary:sessions"}

// New checks c and returns a Tour. It does no I/O.
func New(c Config) (*Tour, error) {
	t, err := build(c)
	if err != nil {
		return nil, fmt.Errorf("tour: %w", err)
	}
	return t, nil
}

func build(c Config) (*Tour, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("BaseURL %q is not a URL", c.BaseURL)
	}
	if notes, err := url.Parse(c.NotesURL); err != nil || notes.Host == "" {
		return nil, fmt.Errorf("NotesURL %q is not a URL", c.NotesURL)
	}
	if len(c.People) == 0 || c.Bob.Login == "" {
		return nil, errors.New("People and Bob are missing: there is nobody to sign in as")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	c.NotesURL, c.Issuer = strings.TrimSuffix(c.NotesURL, "/"), strings.TrimSuffix(c.Issuer, "/")
	t := &Tour{config: c, now: c.Now, log: c.Logger, bob: newBob(c), seen: newMemory(), closing: make(chan struct{})}
	root := base.Scheme + "://" + base.Host
	settings := client.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		RedirectURI: root + "/callback", PostLogoutRedirectURI: root + "/",
		Scopes: Scopes, HTTP: c.HTTP, Now: c.Now, Logger: c.Logger, Failed: t.failed,
	}
	if len(c.SessionKey) > 0 {
		settings.SessionKeys = [][]byte{c.SessionKey}
	}
	if t.signIn, err = client.New(settings); err != nil {
		return nil, err
	}
	if t.operator, err = newOperator(c); err != nil {
		return nil, err
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("Issuer: %w", err)
	}
	// Browsers apply form-action to redirects too: signing out is a form whose
	// answer leads to the issuer.
	t.policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"form-action 'self' " + issuer.Scheme + "://" + issuer.Host
	t.cookie = doneCookie(c.Issuer, c.ClientID)
	return t, nil
}

// Close ends what streams to open windows, so that a server can shut down.
func (t *Tour) Close() { t.closeOnce.Do(func() { close(t.closing) }) }

// Handler serves the tour. It is the site map: what changes something is a POST,
// and a POST from another site is turned away before it gets anywhere.
func (t *Tour) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", t.front)
	for _, s := range scenes {
		mux.HandleFunc("GET /"+s.Path, t.scene(s))
	}

	mux.HandleFunc("GET /login", t.login)
	mux.Handle("GET /callback", t.signIn.Callback())
	mux.Handle("POST /logout", t.signIn.Logout())
	mux.Handle("POST /signed-out-elsewhere", t.signIn.BackChannelLogout())

	mux.HandleFunc("GET /debugger/{which}", t.openDebugger)
	mux.HandleFunc("POST /renew", t.renew)
	mux.HandleFunc("POST /break", t.breakToken)
	mux.HandleFunc("POST /again", t.again)

	mux.HandleFunc("GET /bob", t.window)
	mux.HandleFunc("GET /bob/calls", t.watch)
	mux.HandleFunc("POST /bob/sign-in", t.bobSignsIn)
	mux.HandleFunc("POST /bob/lock", t.lock)
	mux.HandleFunc("POST /bob/unlock", t.unlock)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such page."})
	})

	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.message(w, r, notice{http.StatusForbidden, "Not from there", "This request came from another site."})
	}))
	site := http.NewServeMux()
	site.Handle("GET /static/", http.FileServerFS(static)) // needs nobody's session
	site.Handle("/", protection.Handler(t.signIn.Attach(mux)))
	return t.secured(site)
}

// secured sets the headers that every answer has, and bounds what is read.
func (t *Tour) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", t.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // a page tells who is there, and has their tokens
		if strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-cache")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// failed answers a sign-in that did not work.
func (t *Tour) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, sentence := client.Status(err)
	t.message(w, r, notice{status, "Signing in", sentence})
}

// login begins a sign-in. The page to come back to is named by its path, and so is
// whom one wants to be.
func (t *Tour) login(w http.ResponseWriter, r *http.Request) {
	o := client.AuthOptions{ReturnTo: r.FormValue("return_to")}
	for _, p := range t.config.People {
		if p.Login == r.FormValue("as") {
			o.LoginHint = p.Login
		}
	}
	if err := t.signIn.Begin(w, r, o); err != nil {
		t.log.WarnContext(r.Context(), "sign-in did not begin", "error", err)
		t.failed(w, r, err)
	}
}
