// Package client is the application's side of OAuth 2.0 and OpenID Connect: it
// finds the authorization server, signs people in with the authorization code
// flow, keeps them signed in, renews tokens and signs people out, also when they
// sign out elsewhere.
//
// A web application uses New and then the ready-made Login, Callback and Logout,
// and RequireSignIn or Attach around its own pages. Those who keep sessions their
// own way use AuthCodeURL, Exchange, Refresh, Userinfo and LogoutURL. A program on a
// person's machine uses Loopback, a device without a browser Device and DeviceTokens.
//
// Every sign-in uses PKCE (S256), state and nonce; none of them can be switched
// off. For servers that speak nothing better there is ResponseTokens, whose answer
// counts only as a posted form. The package never shows a refresh token to a browser in readable form, never
// follows a redirect of the authorization server's programs, and never sends a
// browser to another site than the authorization server.
package client

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// How the client proves itself at the token endpoint, OpenID Connect Core §9.
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthSecretJWT  = "client_secret_jwt"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// Config says who the application is and whom it trusts.
type Config struct {
	Issuer   string // of the authorization server, exactly as it names itself; required
	ClientID string // required

	// Discovery is where the metadata is, if that is not below Issuer.
	Discovery string
	// Metadata is that of a server which does not publish it: nothing is discovered
	// then. Of its members AuthorizationEndpoint and TokenEndpoint are needed, and
	// JWKSURI to ask for an ID token. Its Issuer may be left out.
	Metadata *Metadata
	// Tenants is for a server with an issuer for each tenant, as Microsoft's is:
	// Issuer has "{tenantid}" in the place of the tenant, which an ID token names by
	// its claim "tid". Tenants says whether people of that tenant are welcome. It is
	// asked of verified tokens.
	Tenants func(tenant string) bool

	ClientSecret string
	// NewSecret makes the secret of a request in place of ClientSecret, for servers
	// that want a fresh one, as Apple's does.
	NewSecret  func() (string, error)
	AuthMethod string   // default AuthPrivateKey with a Key, AuthBasic with a secret, else AuthNone
	Key        *jwk.Key // a private key, for AuthPrivateKey
	// AssertionAudience is whom assertions by a key or a secret are for, RFC 7523 §3.
	// Default: Issuer; some servers insist on their token endpoint.
	AssertionAudience string

	RedirectURI           string   // where Callback is mounted; not needed for client credentials alone
	PostLogoutRedirectURI string   // where people land after signing out; empty: the server's own page
	Scopes                []string // default "openid"; none with Metadata without JWKSURI

	// IDTokenAlgorithm is the one that this client is registered with. Default
	// RS256, OpenID Connect Core §3.1.3.7 rule 7.
	IDTokenAlgorithm jwa.Algorithm
	// UserinfoAlgorithm is the one that answers of the userinfo endpoint are signed
	// with, if the client is registered for that. Default: they are not signed.
	UserinfoAlgorithm jwa.Algorithm
	// TrustedAudiences may stand beside ClientID in an ID token's "aud".
	TrustedAudiences []string
	Leeway           time.Duration // for clocks that differ; default 30 s, negative: none

	HTTP   *http.Client     // transport and, if set, time limit of requests; default: 10 s
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged

	// SessionKeys are random and of at least 32 bytes each. The first encrypts
	// cookies, all of them decrypt, so that keys can be changed: put the new
	// one in front and drop the old one after SessionLife. None: a random one,
	// and people are signed out when the process ends.
	SessionKeys [][]byte
	// SessionLife is how long a person stays signed in at most. Default 12 h.
	SessionLife time.Duration
	// Store keeps sessions at the application instead of in the cookie, and what
	// BackChannelLogout and FrontChannelLogout were told. Default: cookies, and
	// the memory of this process.
	Store Store
	// CookieName of the session; it gets the prefix "__Host-" on https.
	// Default: a name derived from Issuer and ClientID, so that applications on
	// several ports of one host do not overwrite each other's.
	CookieName string
	// NoUserinfo leaves the userinfo endpoint unasked at sign-in: the session
	// then knows what the ID token says.
	NoUserinfo bool
	// Failed answers a sign-in or sign-out that failed. Default: a plain page.
	Failed func(w http.ResponseWriter, r *http.Request, err error)
}

// Client is one application at one authorization server. It is safe for use by
// several goroutines. Nothing is fetched before it is needed, so an application
// starts while its authorization server is down.
type Client struct {
	config Config
	http   *http.Client
	now    func() time.Time
	log    *slog.Logger
	seal   *seal
	secure bool // cookies travel over https only
	cookie string

	given    *upstream          // as Config.Metadata says; nil: it is discovered
	found    *shared[*upstream] // discovery
	renewals *shared[Tokens]    // by hash of the refresh token
	machine  *shared[Tokens]    // client credentials, by scope
	ended    *once              // sessions that were signed out
	spent    *once              // states and logout tokens that were used
	notices  Store              // sessions that are over at the authorization server
	framed   Store              // those of which a frame says so, which anybody can make
	frames   atomic.Bool        // there is FrontChannelLogout
	last     lastGood           // the last good discovery
}

// Bounds on what is remembered.
const (
	maxRenewals = 10_000
	maxEnded    = 100_000
	maxMachine  = 64
)

// New checks c and returns a Client. It does no I/O.
func New(c Config) (*Client, error) {
	if err := c.fill(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	keys := c.SessionKeys
	if len(keys) == 0 {
		key := make([]byte, minSessionKey)
		rand.Read(key)
		keys = [][]byte{key}
	}
	s, err := newSeal(keys)
	if err != nil {
		return nil, err
	}
	notices, framed := c.Store, c.Store
	if c.Store == nil {
		if notices, err = NewMemory(MemoryConfig{Sessions: maxEnded, Now: c.Now}); err != nil {
			return nil, err
		}
		if framed, err = NewMemory(MemoryConfig{Sessions: maxEnded, Now: c.Now}); err != nil {
			return nil, err
		}
	}
	k := &Client{
		config:   c,
		http:     withoutRedirects(c.HTTP),
		now:      c.Now,
		log:      c.Logger,
		seal:     s,
		secure:   !strings.HasPrefix(c.RedirectURI, "http://"),
		cookie:   c.CookieName,
		found:    newShared[*upstream](c.Now, 1),
		renewals: newShared[Tokens](c.Now, maxRenewals),
		machine:  newShared[Tokens](c.Now, maxMachine),
		ended:    newOnce(c.Now, maxEnded),
		spent:    newOnce(c.Now, maxEnded),
		notices:  notices,
		framed:   framed,
	}
	if k.secure {
		k.cookie = "__Host-" + k.cookie
	}
	if c.Metadata != nil {
		if k.given, err = k.known(); err != nil {
			return nil, fmt.Errorf("client: Metadata: %w", err)
		}
	}
	return k, nil
}

// fill sets the defaults and checks every setting.
func (c *Config) fill() error {
	if err := checkIssuer(c.Issuer); err != nil {
		return fmt.Errorf("Issuer: %w", err)
	}
	if strings.Contains(c.Issuer, tenantPlace) != (c.Tenants != nil) {
		return errors.New("Issuer: " + tenantPlace + " and Tenants need each other")
	}
	if c.ClientID == "" {
		return errors.New("ClientID is missing")
	}
	if err := c.fillAuth(); err != nil {
		return err
	}
	for name, uri := range map[string]string{
		"RedirectURI": c.RedirectURI, "PostLogoutRedirectURI": c.PostLogoutRedirectURI, "Discovery": c.Discovery,
	} {
		if uri == "" {
			continue
		}
		if err := checkWebURL(uri, true); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(c.Scopes) == 0 && (c.Metadata == nil || c.Metadata.JWKSURI != "") {
		c.Scopes = []string{"openid"}
	}
	for _, s := range c.Scopes {
		if !validScope(s) {
			return fmt.Errorf("Scopes: %q is not a scope", s)
		}
	}
	if err := c.fillAlgorithms(); err != nil {
		return err
	}
	if c.Metadata != nil {
		m := *c.Metadata
		m.Issuer = cmp.Or(m.Issuer, c.Issuer)
		if err := c.checkMetadata(m); err != nil {
			return fmt.Errorf("Metadata: %w", err)
		}
	}
	c.AssertionAudience = cmp.Or(c.AssertionAudience, c.Issuer)
	c.fillTimes()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.CookieName == "" {
		sum := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ClientID))
		c.CookieName = "session-" + hex.EncodeToString(sum[:4])
	}
	if !validToken(c.CookieName) || strings.HasPrefix(c.CookieName, "__") {
		return fmt.Errorf("CookieName: %q is not a name for a cookie", c.CookieName)
	}
	if c.Failed == nil {
		c.Failed = failed
	}
	return nil
}

func (c *Config) fillAlgorithms() error {
	c.IDTokenAlgorithm = cmp.Or(c.IDTokenAlgorithm, "RS256")
	if !publicAlgorithm(c.IDTokenAlgorithm) {
		return fmt.Errorf("IDTokenAlgorithm: %q is not an algorithm of public keys", c.IDTokenAlgorithm)
	}
	if c.UserinfoAlgorithm != "" && !publicAlgorithm(c.UserinfoAlgorithm) {
		return fmt.Errorf("UserinfoAlgorithm: %q is not an algorithm of public keys", c.UserinfoAlgorithm)
	}
	return nil
}

func publicAlgorithm(a jwa.Algorithm) bool {
	_, ok := a.Signature()
	return ok && !strings.HasPrefix(string(a), "HS")
}

func (c *Config) fillTimes() {
	if c.Leeway == 0 {
		c.Leeway = 30 * time.Second
	}
	c.Leeway = max(c.Leeway, 0)
	if c.SessionLife <= 0 {
		c.SessionLife = 12 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// fillAuth settles how the client proves itself.
func (c *Config) fillAuth() error {
	if c.AuthMethod == "" {
		switch {
		case c.Key != nil:
			c.AuthMethod = AuthPrivateKey
		case c.ClientSecret != "" || c.NewSecret != nil:
			c.AuthMethod = AuthBasic
		default:
			c.AuthMethod = AuthNone
		}
	}
	switch c.AuthMethod {
	case AuthBasic, AuthPost:
		if (c.ClientSecret == "") == (c.NewSecret == nil) {
			return fmt.Errorf("AuthMethod %s needs a ClientSecret or NewSecret", c.AuthMethod)
		}
	case AuthSecretJWT:
		// RFC 7518 §3.2: a secret shorter than the hash can be guessed from one assertion.
		key, err := jwk.New([]byte(c.ClientSecret), jwk.Params{Algorithm: "HS256"})
		if err != nil {
			return fmt.Errorf("AuthMethod %s needs a ClientSecret of at least 32 bytes: %w", c.AuthMethod, err)
		}
		c.Key = key
	case AuthPrivateKey:
		if c.Key == nil || !c.Key.Private() || c.Key.Symmetric() {
			return fmt.Errorf("AuthMethod %s needs a private Key", c.AuthMethod)
		}
	case AuthNone:
		if c.ClientSecret != "" || c.NewSecret != nil {
			return fmt.Errorf("AuthMethod %s does not use a ClientSecret", c.AuthMethod)
		}
	default:
		return fmt.Errorf("AuthMethod %q is not known", c.AuthMethod)
	}
	return nil
}

// withoutRedirects returns a client that follows no redirect: a token request
// must not carry a secret to an address that nobody checked.
func withoutRedirects(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Timeout: 10 * time.Second}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	return &own
}

// checkIssuer: OpenID Connect Discovery §3, a URL without query and fragment.
func checkIssuer(s string) error {
	if err := checkWebURL(s, true); err != nil {
		return err
	}
	if strings.ContainsAny(s, "?#") {
		return errors.New("must have no query and no fragment")
	}
	return nil
}

// checkWebURL accepts absolute https URLs and, where loopback is true, http
// ones to this machine.
func checkWebURL(s string, loopback bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || s == "":
		return errors.New("is missing or not a URL")
	case u.Host == "" || u.User != nil || u.Fragment != "" || strings.Contains(s, "#"):
		return errors.New("must be an absolute URL without user and fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback && isLoopback(u.Hostname()):
		return nil
	default:
		return errors.New("must be https, or http on this machine only")
	}
}

// isLoopback recognises names and addresses of this machine, RFC 6761 §6.3.
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return isLoopbackAddress(host)
}

// validScope: scope-token, RFC 6749 §3.3.
func validScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// validToken: RFC 9110 §5.6.2, what a cookie's name is made of.
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// random returns 256 bits in base64url: 43 characters, which is also the
// shortest code verifier, RFC 7636 §4.1.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest returns the SHA-256 of s in base64url.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
