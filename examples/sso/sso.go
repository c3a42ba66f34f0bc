// Package sso is two applications of one house, each on a host and with an API of its
// own: an almanac and a ledger. Somebody who has signed in to one is signed in to the
// other without a screen, and who signs out of one is signed out of both.
//
// It shows how little of that an application has to do. Package client asks the
// authorization server with prompt=none, and hears of the end of a session by the back
// channel or the front channel; package resource lets only tokens through that are for
// this API. Every page works without a script; the only one there is looks whether the
// session is over, so that an open page says so at once.
package sso

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwa"
)

// Way is a way in that leads to an identity provider at once, without the server's
// sign-in page.
type Way struct {
	ID   string // as the server knows the provider: it is sent as idp_hint
	Name string // on the button
}

// Config says which application it is, where it stands and who signs its people in.
type Config struct {
	Trade        Trade
	Issuer       string // the authorization server
	ClientID     string // the application's registration there
	ClientSecret string // empty: a public client
	// IDTokenAlgorithm is the one that the client is registered with. Default RS256.
	IDTokenAlgorithm jwa.Algorithm

	BaseURL string // as browsers see it, such as "http://app1.localhost:8081"
	APIURL  string // of its own API, such as "http://localhost:8083"

	OtherURL    string // of the other application
	OtherAPIURL string // of its API, which is not for this one
	Ways        []Way

	// FrontChannel says that the client is registered to be told of the end of a
	// session by the browser, with frontchannel_logout_uri BaseURL + FrontChannelPath.
	// Otherwise it is told by the server, with backchannel_logout_uri, which ends in
	// BackChannelPath and has a host that the server can reach.
	FrontChannel bool

	SessionKey []byte           // encrypts sessions; at least 32 random bytes; none: random, people are signed out when the process ends
	HTTP       *http.Client     // for requests to the authorization server and to the APIs; default: 10 s each
	Now        func() time.Time // default time.Now
	Logger     *slog.Logger     // default: nothing is logged
}

// Where the application has what its registration names.
const (
	CallbackPath     = "/callback"
	SignedOutPath    = "/signed-out"
	FrontChannelPath = "/front-channel-logout"
	BackChannelPath  = "/back-channel-logout"
)

// App is one of the two applications.
type App struct {
	config Config
	trade  trade
	other  trade
	base   *url.URL
	signIn *client.Client
	heard  heard
	policy string // Content-Security-Policy of every page
}

// New checks c and returns an application. It does no I/O.
func New(c Config) (*App, error) {
	a := &App{}
	var ok bool
	if a.trade, ok = trades[c.Trade]; !ok {
		return nil, fmt.Errorf("sso: Trade %q is neither %s nor %s", c.Trade, Almanac, Ledger)
	}
	a.other = trades[a.trade.Other]
	for name, address := range map[string]string{"BaseURL": c.BaseURL, "APIURL": c.APIURL, "OtherURL": c.OtherURL, "OtherAPIURL": c.OtherAPIURL, "Issuer": c.Issuer} {
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			return nil, fmt.Errorf("sso: %s %q is not a URL", name, address)
		}
	}
	for i, way := range c.Ways {
		if way.ID == "" || way.Name == "" {
			return nil, fmt.Errorf("sso: Ways[%d] needs an ID and a Name", i)
		}
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
	if len(c.SessionKey) == 0 {
		c.SessionKey = make([]byte, 32)
		rand.Read(c.SessionKey)
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("sso: BaseURL: %w", err)
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("sso: Issuer: %w", err)
	}
	root := base.Scheme + "://" + base.Host
	a.config, a.base, a.heard.now = c, base, c.Now
	a.signIn, err = client.New(client.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		RedirectURI: root + CallbackPath, PostLogoutRedirectURI: root + SignedOutPath,
		Scopes: Scopes(c.Trade), IDTokenAlgorithm: c.IDTokenAlgorithm, SessionKeys: [][]byte{c.SessionKey},
		HTTP: c.HTTP, Now: c.Now, Logger: c.Logger, Failed: a.failed,
	})
	if err != nil {
		return nil, fmt.Errorf("sso: %w", err)
	}
	// Browsers apply form-action to redirects too: signing out is a form whose answer
	// leads to the issuer.
	a.policy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"form-action 'self' " + issuer.Scheme + "://" + issuer.Host
	return a, nil
}

// Handler serves the application; it is its site map.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.front)
	mux.HandleFunc("GET /welcome", a.welcome)
	mux.HandleFunc("GET /session", a.session)
	mux.HandleFunc("GET /login", a.login)
	mux.Handle("GET "+CallbackPath, a.timed(a.signIn.Callback()))
	mux.HandleFunc("GET /other-api", a.tryOther)
	mux.Handle("POST /logout", a.signIn.Logout())
	mux.HandleFunc("GET "+SignedOutPath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/welcome?said=signed_out", http.StatusSeeOther)
	})
	if a.config.FrontChannel {
		mux.Handle("GET "+FrontChannelPath, a.hearing("front channel", a.signIn.FrontChannelLogout()))
	} else {
		mux.Handle("POST "+BackChannelPath, a.hearing("back channel", a.signIn.BackChannelLogout()))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.message(w, http.StatusNotFound, "There is no such page.")
	})
	site := http.NewServeMux()
	site.Handle("GET /static/", http.FileServerFS(static)) // needs nobody's session
	site.Handle("/", a.signIn.Attach(mux))
	return a.secured(site)
}

// secured sets the headers that every answer has, and bounds what is read.
func (a *App) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // a page tells who is there
		if strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "public, max-age=3600")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// front shows who is here. Who is not is asked for without a screen: that is all of
// single sign-on on this side.
func (a *App) front(w http.ResponseWriter, r *http.Request) {
	if client.SessionFrom(r.Context()) == nil {
		// What comes back is a session, or an error that leads to /welcome; there
		// nobody is asked again, so nobody is sent in circles.
		a.begin(w, r, quietly, client.AuthOptions{Prompt: []string{"none"}})
		return
	}
	a.show(w, r, nil)
}

// login begins a sign-in with a screen, or at a provider straight away.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	how, o := byPage, client.AuthOptions{}
	if id := r.URL.Query().Get("with"); id != "" {
		i := slices.IndexFunc(a.config.Ways, func(way Way) bool { return way.ID == id })
		if i < 0 {
			a.message(w, http.StatusBadRequest, "There is no such way in.")
			return
		}
		how, o.Extra = a.config.Ways[i].ID, url.Values{"idp_hint": {id}}
	}
	a.begin(w, r, how, o)
}

func (a *App) begin(w http.ResponseWriter, r *http.Request, how string, o client.AuthOptions) {
	a.leaves(w, how)
	if err := a.signIn.Begin(w, r, o); err != nil {
		a.config.Logger.WarnContext(r.Context(), "sign-in did not begin", "error", err)
		a.failed(w, r, err)
	}
}

// answers are what the server says when it signs nobody in, and that is no fault: OpenID
// Connect Core §3.1.2.6, RFC 6749 §4.1.2.1.
var answers = []string{"login_required", "interaction_required", "consent_required", "account_selection_required", "access_denied"}

// failed answers a sign-in that did not work.
func (a *App) failed(w http.ResponseWriter, r *http.Request, err error) {
	if no, said := errors.AsType[*client.Error](err); said && slices.Contains(answers, no.Code) {
		http.Redirect(w, r, "/welcome?said="+no.Code, http.StatusSeeOther)
		return
	}
	status, sentence := client.Status(err)
	a.message(w, status, sentence)
}

// session tells the script of an open page whether it still holds.
func (a *App) session(w http.ResponseWriter, r *http.Request) {
	if client.SessionFrom(r.Context()) == nil {
		http.Error(w, "Nobody is signed in.", http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// tryOther takes the person's token to the API of the other application, for which it
// is not meant.
func (a *App) tryOther(w http.ResponseWriter, r *http.Request) {
	person := client.SessionFrom(r.Context())
	if person == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	tried := a.call(r.Context(), person, a.config.OtherAPIURL)
	a.show(w, r, &tried)
}
