// Package api is the door for programs: all that is called with JSON or a form
// and answered with JSON. It owns discovery, the key set, and the endpoints for
// tokens, introspection, revocation, userinfo, registration, the revocation feed,
// signing in without a browser, administration, and streams of security events.
//
// It parses, calls one rule of oauth, registration or account, and writes the answer;
// where who somebody is and what an application may both have to be asked, it asks
// account and oauth. It never decides, never shows a page, and never touches the
// store.
package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/signal"
)

// Config says what the endpoints work with; all but Logger, MaxFollowers and Refused is
// required.
type Config struct {
	Registrar  *registration.Registrar
	Authority  *oauth.Authority
	Accounts   *account.Accounts
	Federation *federation.Federation
	Streams    *signal.Streams
	Receiver   *signal.Receiver
	Keys       KeySet
	Feed       *signal.Feed
	Logger     *slog.Logger                 // nil: slog.Default
	RequestID  func(r *http.Request) string // names a request in the log
	Address    func(r *http.Request) string // of the caller

	Refused func(grant, code string) // is told of refusals of the token endpoint; nil: nobody is

	MaxFollowers int // how often one client may follow the revocation feed at once, at this node; 0: 100
}

// KeySet is the published JWK set with its entity tag.
type KeySet interface {
	Published() (set []byte, etag string)
}

// API serves the endpoints.
type API struct {
	Config
	metadata  document
	packed    func() document // the metadata as gzip
	streams   []Route
	followers crowd
	importing sync.Mutex // one list at a time
}

// New returns the endpoints.
func New(c Config) (*API, error) {
	if c.Registrar == nil || c.Authority == nil || c.Accounts == nil || c.Federation == nil || c.Streams == nil || c.Receiver == nil || c.Keys == nil || c.Feed == nil || c.RequestID == nil || c.Address == nil {
		return nil, errors.New("api: Registrar, Authority, Accounts, Federation, Streams, Receiver, Keys, Feed, RequestID and Address are required")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxFollowers == 0 {
		c.MaxFollowers = 100
	}
	metadata, err := json.Marshal(c.Authority.Metadata())
	if err != nil {
		return nil, err
	}
	s := &API{Config: c, metadata: newDocument(metadata)}
	s.packed = sync.OnceValue(s.metadata.packed)
	go s.packed() // it takes milliseconds, which a start can be without
	if s.streams, err = s.streamRoutes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Route is one endpoint: what a mux needs to know of it, and what a reader does.
type Route struct {
	Path string // from the root of the host
	For  string // who may call, in words
	Endpoint
}

// Endpoint answers at an address, and knows by which methods.
type Endpoint struct {
	http.Handler
	Methods []Method
}

// Method is one of an endpoint.
type Method struct {
	Name   string
	Scopes []string // of which an access token needs one; empty: no token of ours is asked for
}

// Who may call.
const (
	forAll       = "everybody"
	forProofs    = "a client that proves who it is"
	forTokens    = "whoever holds an access token of a person"
	forSelf      = "a client, with an access token of its own"
	forAdmins    = "an administrator, or a client"
	forNewcomers = "everybody, or whoever holds an initial access token, as the settings say"
	forOwners    = "the application, with its registration access token"
	forProviders = "the identity provider, with a logout token that it has signed"
	forSenders   = "the transmitter, as it was set up"
)

// Routes lists the endpoints. The paths are exact, but for that of a client's
// registration, which ends in its client_id, and those that name a stream, a
// transmitter or an identity provider.
func (s *API) Routes() []Route {
	base := s.Authority.BasePath()
	metadata := s.published(s.discovery, "GET")
	routes := []Route{
		// OpenID Connect Discovery §4: appended to the issuer.
		{base + "/.well-known/openid-configuration", forAll, metadata},
		// RFC 8414 §3.1: put between the host and the issuer's path.
		{"/.well-known/oauth-authorization-server" + base, forAll, metadata},
		{base + oauth.PathKeys, forAll, s.published(s.keySet, "GET")},
		{base + oauth.PathToken, forProofs, s.public(s.token, "POST")},
		{base + oauth.PathUserInfo, forTokens, s.public(s.userInfo, "GET", "POST").behind("openid")},
		{base + oauth.PathRevoke, forProofs, s.public(s.revoke, "POST")},
		{base + oauth.PathIntrospect, forProofs, s.private(s.introspect, "POST")},
		{base + oauth.PathRevocations, forSelf, s.private(s.revocations, "GET").behind(oauth.ScopeFeed)},
		{base + oauth.PathDeviceAuthorization, forProofs, s.private(s.authorizeDevice, "POST")},
		// No script of a page: draft-ietf-oauth-first-party-apps-04 §9.8.
		{base + oauth.PathChallenge, forProofs, s.private(s.authorize, "POST")},
		{base + registration.Path, forNewcomers, s.public(s.register, "POST")},
		{base + registration.Path + "/{client}", forOwners, s.public(s.registration, "GET", "PUT", "DELETE")},
		{base + "/upstream/{upstream}/metadata", forAll, s.public(s.upstreamMetadata, "GET")},
		{base + oauth.PathGlobalRevocation, forSelf, s.forClients(method{"POST", []string{oauth.ScopeRevoke}, s.revokeAll})},
	}
	routes = append(routes, s.adminRoutes(base)...)
	routes = append(routes, s.upstreamRoutes(base)...)
	routes = append(routes, s.streams...)
	if base != "" {
		// Some clients append the second one too, and put the first between.
		routes = append(routes,
			Route{base + "/.well-known/oauth-authorization-server", forAll, metadata},
			Route{"/.well-known/openid-configuration" + base, forAll, metadata})
	}
	return routes
}

// Body returns how large a body may be that comes to a path, in bytes, where that is
// more than anywhere else; 0: it is not.
func (s *API) Body(path string) int64 {
	if path == s.Authority.BasePath()+pathImport {
		return maxImport
	}
	return 0
}

// endpoint answers a request, or returns why not.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func serve(methods []string, h http.HandlerFunc) Endpoint {
	e := Endpoint{Handler: h}
	for _, name := range methods {
		e.Methods = append(e.Methods, Method{Name: name})
	}
	return e
}

// behind notes the scope that the endpoint itself asks a token for.
func (e Endpoint) behind(scope string) Endpoint {
	for i := range e.Methods {
		e.Methods[i].Scopes = []string{scope}
	}
	return e
}

// private serves programs on servers: no browser script of another site may
// read the answer. Who asks too often gets another one, whatever they ask.
func (s *API) private(e endpoint, methods ...string) Endpoint {
	return s.answer(func(w http.ResponseWriter, r *http.Request) error {
		if err := s.Authority.Admit(s.Address(r)); err != nil {
			return err
		}
		return e(w, r)
	}, methods...)
}

// answer serves by some methods.
func (s *API) answer(e endpoint, methods ...string) Endpoint {
	allow := strings.Join(methods, ", ")
	return serve(methods, func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			if r.Method == m || r.Method == http.MethodHead && m == http.MethodGet {
				if err := e(w, r); err != nil {
					s.refuse(w, r, err)
				}
				return
			}
		}
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, oauth.InvalidRequest, "The method must be "+allow)
	})
}

// public is private that also serves scripts of any site.
func (s *API) public(e endpoint, methods ...string) Endpoint {
	return across(s.private(e, methods...), methods, "WWW-Authenticate, Retry-After, ETag")
}

// published is public for documents that lie ready: everybody may have them as often
// as they like. Of their headers a script needs none, and each that is left out counts
// with what is asked for so often: beyond eight, net/http makes room for them anew.
func (s *API) published(e endpoint, methods ...string) Endpoint {
	return across(s.answer(e, methods...), methods, "")
}

// across lets scripts of any site have the answer (CORS), and those of its headers. The
// wildcard never goes with credentials: no cookie means anything here.
func across(next Endpoint, methods []string, headers string) Endpoint {
	allow := strings.Join(append(methods, http.MethodOptions), ", ")
	return serve(methods, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		if headers != "" {
			h.Set("Access-Control-Expose-Headers", headers)
		}
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", allow)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// errBody says that a body could not be read as a form.
var errBody = errors.New("the body is not a form")

// call reads a request to an endpoint for programs. Parameters are taken from
// the body alone: what stands in a URL ends up in logs (RFC 6749 §2.3.1).
func (s *API) call(r *http.Request) (oauth.Call, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return oauth.Call{}, errBody
	}
	if err := r.ParseForm(); err != nil {
		return oauth.Call{}, errors.Join(errBody, err)
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return oauth.Call{}, errBody
	}
	return oauth.Call{Authorization: r.Header.Get("Authorization"), Form: r.PostForm, Address: s.Address(r)}, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // RFC 6749 §5.1
	h.Set("Pragma", "no-cache")
	body = append(body, '\n')
	h.Set("Content-Length", strconv.Itoa(len(body))) // two tokens are long enough for chunks
	w.WriteHeader(status)
	w.Write(body) // a peer that has gone cannot be told
	return nil
}
