// Package shop is a small web shop without a database: an ID token tells the
// page who is there, an access token buys at the shop's own API, and the cart is
// a third, signed token in a cookie.
//
// It shows how little an application has to do: package client signs people in,
// package resource guards the API, package jwt keeps the cart. Every page works
// without a script. A page of attacks performs the classic ones against the running
// shop and API, and tells from their answers what came of it.
package shop

import (
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwk"
)

//go:embed static
var static embed.FS

// Config says where the shop stands and who signs its customers in.
type Config struct {
	Issuer       string // the authorization server
	ClientID     string // the shop's registration there
	ClientSecret string // empty: a public client
	BaseURL      string // of the shop, as browsers see it, such as "http://localhost:8081"
	APIURL       string // of its API, such as "http://localhost:8082"

	FormPost    bool // sign in by "id_token token" and form_post, unless a visitor turns the switch; the client must be registered for it
	EncryptCart bool // likewise, encrypt carts

	// OtherSite is an address at another site that leads to this handler as well: there
	// stands the page of a thief, whose image tries to fill carts. Default: where BaseURL
	// is localhost, the same port of 127.0.0.1, and the other way round; else none, and
	// that attack is left out.
	OtherSite string

	CartKey    []byte // signs carts; at least 32 random bytes; none: random, carts end with the process
	SessionKey []byte // encrypts sessions; likewise

	HTTP   *http.Client     // for requests to the authorization server and to the API; default: 10 s each
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// Shop is the web application.
type Shop struct {
	signIn   *client.Client
	issuer   string
	clientID string
	keys     jwk.Source // of the issuer
	api      string
	base     *url.URL
	other    *url.URL // nil: there is none
	http     *http.Client
	now      func() time.Time
	log      *slog.Logger
	carts    *carts
	normal   switches
	said     comments
	seen     witnesses
	stolen   pockets
	policy   string // Content-Security-Policy of every page
}

// Scopes are what the shop asks for: who somebody is, and to order in their name.
var Scopes = []string{"openid", "profile", "email", ScopeOrder}

// ResponseTypes are those that the shop is registered for, so that both ways to sign in
// can be had.
var ResponseTypes = []string{client.ResponseCode, client.ResponseTokens}

// New checks c and returns a Shop. It does no I/O.
func New(c Config) (*Shop, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("shop: BaseURL %q is not a URL", c.BaseURL)
	}
	if api, err := url.Parse(c.APIURL); err != nil || api.Host == "" {
		return nil, fmt.Errorf("shop: APIURL %q is not a URL", c.APIURL)
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
	attacks() // which panics where one of them points to no line
	s := &Shop{
		issuer: c.Issuer, clientID: c.ClientID, base: base, api: strings.TrimSuffix(c.APIURL, "/"), http: c.HTTP, now: c.Now, log: c.Logger,
		normal: switches{Tokens: c.FormPost, Encrypted: c.EncryptCart},
	}
	if s.other, err = otherSite(base, c.OtherSite); err != nil {
		return nil, err
	}
	if s.carts, err = newCarts(keyOf(c.CartKey), base.Scheme == "https", c.Now); err != nil {
		return nil, err
	}
	root := base.Scheme + "://" + base.Host
	s.signIn, err = client.New(client.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		RedirectURI: root + "/callback", PostLogoutRedirectURI: root + "/",
		Scopes: Scopes, SessionKeys: [][]byte{keyOf(c.SessionKey)},
		HTTP: c.HTTP, Now: c.Now, Logger: c.Logger, Failed: s.failed,
	})
	if err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	s.keys = &issuerKeys{signIn: s.signIn, http: c.HTTP, now: c.Now}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("shop: Issuer: %w", err)
	}
	// Browsers apply form-action to redirects too: signing out and buying
	// without a session are forms whose answers lead to the issuer.
	s.policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"form-action 'self' " + issuer.Scheme + "://" + issuer.Host
	return s, nil
}

func keyOf(key []byte) []byte {
	if len(key) > 0 {
		return key
	}
	key = make([]byte, 32)
	rand.Read(key)
	return key
}

// Handler serves the shop. It is the site map: what changes something is a POST,
// and a POST from another site is turned away before it gets anywhere.
func (s *Shop) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.front)
	mux.HandleFunc("POST /cart", s.changeCart)
	mux.HandleFunc("POST /orders", s.buy)
	mux.HandleFunc("GET /orders/{id}", s.receipt)
	mux.HandleFunc("POST /comments", s.comment)
	mux.HandleFunc("GET /inside", s.inside)
	mux.HandleFunc("POST /inside", s.turn)
	mux.HandleFunc("GET /login", s.login)
	mux.Handle("GET /callback", s.signIn.Callback())
	mux.Handle("POST /callback", s.signIn.Callback())
	mux.HandleFunc("POST /logout", s.signOut)
	mux.Handle("POST /signed-out-elsewhere", s.signIn.BackChannelLogout())
	mux.HandleFunc("GET /attacks", s.showAttacks)
	mux.HandleFunc("POST /attacks/{name}", s.attack)
	mux.HandleFunc("GET /attacks/image", s.afterImage)
	mux.HandleFunc("GET /attacks/token", s.afterToken)
	mux.HandleFunc("GET /source/{file...}", s.source)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such page."})
	})

	protection := http.NewCrossOriginProtection()
	// The answer to a sign-in is posted by the page of the authorization server. What
	// proves it is "state", and the cookie of the sign-in (RFC 6749 §10.12).
	protection.AddInsecureBypassPattern("POST /callback")
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.message(w, r, notice{http.StatusForbidden, "Not from there", "This request came from another site."})
	}))
	site := http.NewServeMux()
	site.Handle("GET /static/", http.FileServerFS(static)) // needs nobody's session
	site.Handle("/", protection.Handler(s.signIn.Attach(mux)))
	return s.elsewhere(s.secured(site))
}

// secured sets the headers that every answer has, and bounds what is read.
func (s *Shop) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // a page tells who is there
		if strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "public, max-age=3600")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		out := &outgoing{ResponseWriter: w, secure: keepsSecure(r.UserAgent())}
		next.ServeHTTP(out, r)
		s.seen.note(r, out.status)
	})
}

// failed answers a sign-in that did not work.
func (s *Shop) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, sentence := client.Status(err)
	s.message(w, r, notice{status, "Signing in", sentence})
}

// login sends the person to sign in, in the way that they have chosen.
func (s *Shop) login(w http.ResponseWriter, r *http.Request) {
	s.begin(w, r, r.FormValue("return_to"))
}

// signOut ends the session here and at the authorization server. The cart of a person
// is nobody's when they are gone.
func (s *Shop) signOut(w http.ResponseWriter, r *http.Request) {
	if client.SessionFrom(r.Context()) != nil {
		s.carts.clear(w)
	}
	s.signIn.Logout().ServeHTTP(w, r)
}

// owner says to whom the cart of a request must belong.
func (s *Shop) owner(r *http.Request) owner {
	o := owner{browser: s.carts.browser(r)}
	if p := client.SessionFrom(r.Context()); p != nil {
		o.subject = p.Subject
	}
	return o
}

func (s *Shop) front(w http.ResponseWriter, r *http.Request) {
	if client.SessionFrom(r.Context()) == nil && s.stolen.of(r, s.now()) != nil { // the attack goes on here
		http.Redirect(w, r, "/attacks/token", http.StatusSeeOther)
		return
	}
	s.showFront(w, r, http.StatusOK, "")
}

// changeCart adds or removes one item, or takes out all.
func (s *Shop) changeCart(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.message(w, r, notice{http.StatusBadRequest, "That did not work", "The form could not be read."})
		return
	}
	o := s.owner(r)
	cart, _ := s.carts.read(r, o) // one that is no good is empty, and is replaced
	if item, ok := itemByID(r.PostForm.Get("item")); ok {
		cart.Items[item.ID] = min(cart.Items[item.ID]+1, maxOfOne)
	}
	delete(cart.Items, r.PostForm.Get("remove"))
	if r.PostForm.Has("clear") {
		clear(cart.Items)
	}
	if err := s.carts.write(w, o, cart, s.switches(r).Encrypted); err != nil {
		s.oops(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// buy orders what is in the cart, in the name of the person who is signed in.
func (s *Shop) buy(w http.ResponseWriter, r *http.Request) {
	person := client.SessionFrom(r.Context())
	if person == nil {
		s.begin(w, r, "/")
		return
	}
	cart, _ := s.carts.read(r, s.owner(r))
	if len(cart.Items) == 0 {
		s.showFront(w, r, http.StatusUnprocessableEntity, "There is nothing in your cart.")
		return
	}
	name, err := s.buyer(r.Context(), person)
	if s.refused(w, r, err) {
		return
	}
	order, err := s.order(r.Context(), person, cart, name)
	if s.refused(w, r, err) {
		return
	}
	s.carts.clear(w)
	http.Redirect(w, r, "/orders/"+url.PathEscape(order.ID), http.StatusSeeOther)
}

// receipt shows an order that the API knows.
func (s *Shop) receipt(w http.ResponseWriter, r *http.Request) {
	person := client.SessionFrom(r.Context())
	if person == nil {
		s.begin(w, r, r.URL.RequestURI())
		return
	}
	order, err := s.lookUp(r.Context(), person, r.PathValue("id"))
	if s.refused(w, r, err) {
		return
	}
	list, _, _ := lines(order.Items)
	s.render(w, http.StatusOK, "receipt", page{
		Title: "Receipt", Person: nameOf(person), Buyer: order.Name, Lines: list, Total: order.Total, Order: order.ID,
	})
}

// fresh is how new a sign-in must be for another one to be pointless: an API
// that refuses even its token would send the browser in circles.
const fresh = 10 * time.Second

// refused answers for the API when it said no, and reports whether it did. The
// status is all it takes: 401 asks for a new sign-in, 403 for nothing.
func (s *Shop) refused(w http.ResponseWriter, r *http.Request, err error) bool {
	no, said := errors.AsType[*apiError](err)
	person := client.SessionFrom(r.Context())
	switch {
	case err == nil:
		return false
	case errors.Is(err, client.ErrExpired), (errors.Is(err, errBuyer) || said && no.status == http.StatusUnauthorized) && s.now().Sub(person.Began) > fresh:
		back := "/"
		if r.Method == http.MethodGet {
			back = r.URL.RequestURI()
		}
		s.begin(w, r, back)
	case said && no.status == http.StatusNotFound:
		s.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such order of yours."})
	case said && no.status == http.StatusForbidden:
		s.showFront(w, r, http.StatusForbidden, no.detail)
	default:
		s.log.ErrorContext(r.Context(), "the API did not answer", "error", err)
		s.showFront(w, r, http.StatusServiceUnavailable, "The till is closed for a moment. Your cart is kept: please try again.")
	}
	return true
}

// begin sends the person to sign in and back to where a GET makes sense.
func (s *Shop) begin(w http.ResponseWriter, r *http.Request, back string) {
	err := s.signIn.Begin(w, r, client.AuthOptions{
		ReturnTo: back, ResponseType: s.switches(r).responseType(), Extra: url.Values{"claims": {nameInToken}},
	})
	if err != nil {
		s.log.WarnContext(r.Context(), "sign-in did not begin", "error", err)
		s.failed(w, r, err)
	}
}

func (s *Shop) oops(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	s.message(w, r, notice{http.StatusInternalServerError, "That did not work", "Something went wrong on our side."})
}
