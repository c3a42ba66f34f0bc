package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// oidcConnection is the connection of a provider of the kind "oidc". Its members have the
// names of OpenID Connect Dynamic Client Registration §2 where that knows them. Its
// secrets are client_secret and private_key, a key in PEM or as a JWK.
type oidcConnection struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// AuthMethod is private_key_jwt when empty and there is a private key, or
	// client_secret_basic with a secret, else none.
	AuthMethod string `json:"token_endpoint_auth_method,omitempty"`
	KeyID      string `json:"key_id,omitempty"` // of private_key, as the provider knows it; empty: its thumbprint
	// AssertionAudience is whom private_key_jwt and client_secret_jwt are for; empty: the
	// issuer. Some providers insist on their token endpoint.
	AssertionAudience string `json:"assertion_audience,omitempty"`

	Scopes            []string      `json:"scopes,omitempty"`                       // empty: openid, profile and email
	ResponseMode      string        `json:"response_mode,omitempty"`                // "query" when empty, or "form_post"
	IDTokenAlgorithm  jwa.Algorithm `json:"id_token_signed_response_alg,omitempty"` // RS256 when empty
	UserinfoAlgorithm jwa.Algorithm `json:"userinfo_signed_response_alg,omitempty"` // empty: it is not signed
	NoUserinfo        bool          `json:"no_userinfo,omitempty"`                  // the ID token tells enough

	// TrustedAudiences may stand beside us in an ID token's "aud".
	TrustedAudiences []string `json:"trusted_audiences,omitempty"`
	// Parameters are further ones of the authorization request.
	Parameters map[string]string `json:"parameters,omitempty"`
	// AllowInternal is read by whoever makes Client.
	AllowInternal bool `json:"allow_internal,omitempty"`
}

// oidc is a provider that speaks OpenID Connect.
type oidc struct {
	client     *client.Client
	carries    carries
	extra      url.Values
	noUserinfo bool
	issues     func(issuer string) bool
	// settle makes of what a provider tells what it means by it; nil: it means that.
	settle func(p *Person, a Answer) error
}

var (
	_ Visitor = (*oidc)(nil)
	_ Leaver  = (*oidc)(nil)
	_ Hearer  = (*oidc)(nil)
)

// carries says which wishes a provider understands. What it does not understand is not
// sent; a wish that must be kept is then for whoever reads the answer to see to.
type carries struct {
	prompts                    []string
	maxAge, hint, acr, locales bool
}

var carriesAll = carries{prompts: []string{"none", "login", "consent", "select_account"}, maxAge: true, hint: true, acr: true, locales: true}

func openOIDC(c Config) (Connector, error) {
	var o oidcConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	k := client.Config{
		Issuer: o.Issuer, ClientID: o.ClientID, AuthMethod: o.AuthMethod, AssertionAudience: o.AssertionAudience, Scopes: o.Scopes,
		IDTokenAlgorithm: o.IDTokenAlgorithm, UserinfoAlgorithm: o.UserinfoAlgorithm, TrustedAudiences: o.TrustedAudiences,
	}
	if err := c.proof(&k, o.KeyID); err != nil {
		return nil, err
	}
	connector := &oidc{carries: carriesAll, noUserinfo: o.NoUserinfo}
	var err error
	if connector.extra, err = extraParameters(o.Parameters, o.ResponseMode); err != nil {
		return nil, err
	}
	return connector.open(c, k)
}

// open completes a connector with its client.
func (o *oidc) open(c Config, k client.Config) (Connector, error) {
	if len(k.Scopes) == 0 {
		k.Scopes = []string{"openid", "profile", "email"}
	}
	// OpenID Connect Core §3.1.2.1: without it there is no ID token.
	if !slices.Contains(k.Scopes, "openid") {
		return nil, ErrInvalid{"scopes", "must have openid among them"}
	}
	var err error
	if o.client, err = newClient(c, k); err != nil {
		return nil, err
	}
	if o.issues == nil {
		o.issues = func(issuer string) bool { return issuer == k.Issuer }
	}
	return o, nil
}

// newClient makes the relying party that we are at a provider.
func newClient(c Config, k client.Config) (*client.Client, error) {
	k.RedirectURI, k.HTTP, k.Now = c.Callback, c.Client, c.Now
	secret := k.AuthMethod == client.AuthBasic || k.AuthMethod == client.AuthPost || k.AuthMethod == client.AuthSecretJWT
	switch {
	case k.Issuer == "":
		return nil, ErrInvalid{"issuer", "is missing"}
	case k.ClientID == "":
		return nil, ErrInvalid{"client_id", "is missing"}
	case secret && k.ClientSecret == "" && k.NewSecret == nil:
		return nil, ErrInvalid{"client_secret", "is missing"}
	case k.AuthMethod == client.AuthPrivateKey && k.Key == nil:
		return nil, ErrInvalid{"private_key", "is missing"}
	}
	made, err := client.New(k)
	if err != nil {
		return nil, ErrInvalid{"connection", "cannot be used: " + err.Error()}
	}
	return made, nil
}

// proof gives a client the secrets that we prove ourselves with.
func (c Config) proof(k *client.Config, keyID string) error {
	k.ClientSecret = c.Secrets["client_secret"].Reveal()
	private := c.Secrets["private_key"].Reveal()
	if private == "" {
		return nil
	}
	if k.ClientSecret != "" {
		return ErrInvalid{"private_key", "and client_secret are two ways to prove the same"}
	}
	key, err := jwk.Parse([]byte(private))
	if err != nil {
		key, err = jwk.ParsePEM([]byte(private), jwk.Params{ID: keyID})
	}
	if err != nil || !key.Private() || key.Symmetric() {
		return ErrInvalid{"private_key", "is not a private key in PEM or as a JWK"} // and what it is is not told
	}
	if key.ID() == "" || keyID != "" && key.ID() != keyID {
		if key, err = withID(key, keyID); err != nil {
			return ErrInvalid{"private_key", "cannot be given a key_id"}
		}
	}
	k.Key = key
	return nil
}

// withID names a key, by its thumbprint if by nothing else (RFC 7638).
func withID(key *jwk.Key, id string) (*jwk.Key, error) {
	text, err := key.MarshalPrivatePEM()
	if err != nil {
		return nil, err
	}
	return jwk.ParsePEM(text, jwk.Params{ID: cmp.Or(id, key.Thumbprint()), Algorithm: key.Algorithm()})
}

// extraParameters are those that an operator adds to the authorization request.
func extraParameters(parameters map[string]string, responseMode string) (url.Values, error) {
	extra := url.Values{}
	for name, value := range parameters {
		// What the protocol has there it sets itself, and a second way to ask for
		// another answer is one too many.
		if slices.Contains([]string{"", "response_type", "response_mode", "request", "request_uri", "nonce", "max_age"}, name) || name == "prompt" && value == "none" {
			return nil, ErrInvalid{"parameters", "must not have " + name}
		}
		extra.Set(name, value)
	}
	switch responseMode {
	case "", "query":
	case "form_post":
		extra.Set("response_mode", responseMode)
	default:
		return nil, ErrInvalid{"response_mode", "is query or form_post"}
	}
	return extra, nil
}

func (o *oidc) Probe(ctx context.Context) error { return told(o.client.Probe(ctx)) }

func (o *oidc) Begin(ctx context.Context, w Wish) (Departure, error) {
	return begin(ctx, o.client, o.carries, w, o.extra)
}

// begin sends a browser to an authorization endpoint.
func begin(ctx context.Context, c *client.Client, may carries, w Wish, extra url.Values) (Departure, error) {
	options := client.AuthOptions{State: w.State, Extra: extra}
	for _, prompt := range w.Prompt {
		switch {
		case slices.Contains(may.prompts, prompt):
			options.Prompt = append(options.Prompt, prompt)
		case prompt == "none":
			return Departure{}, failed(Asks, "the provider may always ask")
		case prompt == "login" && slices.Contains(may.prompts, "select_account"):
			options.Prompt = append(options.Prompt, "select_account") // the nearest that there is
		}
	}
	if w.MaxAge != nil && may.maxAge {
		options.MaxAge = time.Duration(min(max(*w.MaxAge, 0), maxMaxAge)) * time.Second
		if options.MaxAge == 0 {
			options.MaxAge = -1
		}
	}
	if may.hint {
		options.LoginHint = w.LoginHint
	}
	if may.acr {
		options.ACRValues = w.ACRValues
	}
	if may.locales {
		options.UILocales = w.Locales
	}
	address, attempt, err := c.AuthCodeURL(ctx, options)
	if err != nil {
		return Departure{}, told(err)
	}
	kept, err := json.Marshal(attempt)
	if err != nil {
		return Departure{}, told(err)
	}
	return Departure{Address: address, Kept: Kept{"attempt": string(kept)}}, nil
}

// maxMaxAge is the longest age that is asked for, in seconds: a hundred years.
const maxMaxAge = 100 * 365 * 24 * 3600

// finishTime is how long somebody waits for all that a provider is asked about them.
const finishTime = 15 * time.Second

// redeem exchanges the code of an answer.
func redeem(ctx context.Context, c *client.Client, kept Kept, a Answer) (client.Tokens, client.Identity, error) {
	if err := checkAnswer(a); err != nil {
		return client.Tokens{}, client.Identity{}, err
	}
	var attempt client.Attempt
	if err := json.Unmarshal([]byte(kept["attempt"]), &attempt); err != nil {
		return client.Tokens{}, client.Identity{}, failed(Untrusted, "nothing is known of a way there")
	}
	tokens, id, err := c.Exchange(ctx, attempt, a.Values)
	return tokens, id, told(err)
}

func (o *oidc) Finish(ctx context.Context, kept Kept, a Answer) (Person, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	tokens, id, err := redeem(ctx, o.client, kept, a)
	if err != nil {
		return Person{}, err
	}
	claims, err := o.claims(ctx, tokens, id)
	if err != nil {
		return Person{}, err
	}
	p := Person{
		Issuer: id.Issuer, Subject: id.Subject, Claims: claims, ACR: id.ACR, AMR: id.AMR,
		Stay:   Stay{Issuer: id.Issuer, Subject: id.Subject, Session: id.SessionID, Hint: tokens.ID},
		Tokens: tokensOf(tokens),
	}
	if !id.AuthTime.IsZero() {
		p.AuthTime = id.AuthTime.Unix()
	}
	if o.settle != nil {
		if err := o.settle(&p, a); err != nil {
			return Person{}, err
		}
	}
	if err := settleClaims(p.Claims); err != nil {
		return Person{}, err
	}
	return p, nil
}

// claims are those of the ID token, and above them those of userinfo, which has been
// asked later.
func (o *oidc) claims(ctx context.Context, tokens client.Tokens, id client.Identity) (map[string]any, error) {
	var raw json.RawMessage
	if err := id.Decode(&raw); err != nil {
		return nil, told(err)
	}
	claims, err := readClaims(raw)
	if err != nil || o.noUserinfo {
		return claims, err
	}
	// A sign-in without it would take away what is told there alone, such as groups.
	profile, err := o.client.Userinfo(ctx, tokens, id.Subject)
	if errors.Is(err, client.ErrUnsupported) {
		return claims, nil
	}
	if err != nil {
		return nil, told(err)
	}
	if err := profile.Decode(&raw); err != nil {
		return nil, told(err)
	}
	more, err := readClaims(raw)
	if err != nil {
		return nil, err
	}
	addClaims(claims, more)
	return claims, nil
}

// Leave sends the browser to the end_session_endpoint, OpenID Connect RP-Initiated
// Logout §2.
func (o *oidc) Leave(ctx context.Context, p Stay, back, state string) (Departure, error) {
	address, err := o.client.LogoutURL(ctx, p.Hint, state)
	if errors.Is(err, client.ErrUnsupported) {
		return Departure{}, ErrUnsupported
	}
	if err != nil {
		return Departure{}, told(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return Departure{}, told(err)
	}
	if back != "" {
		q := u.Query()
		q.Set("post_logout_redirect_uri", back)
		u.RawQuery = q.Encode()
	}
	return Departure{Address: u.String()}, nil
}

// Ended reads a logout token that was posted, OpenID Connect Back-Channel Logout §2.5, or
// the address that a browser loads in a frame, OpenID Connect Front-Channel Logout §2.
func (o *oidc) Ended(ctx context.Context, a Answer) (Ending, error) {
	for _, name := range []string{"logout_token", "iss", "sid"} {
		if len(a.Values[name]) > 1 {
			return Ending{}, failed(Untrusted, "the notice has "+name+" twice")
		}
	}
	if a.Method == http.MethodPost {
		n, err := o.client.Notice(ctx, a.Values.Get("logout_token"))
		if err != nil {
			return Ending{}, told(err)
		}
		return Ending{
			Issuer: n.Issuer, Subject: n.Subject, Session: n.SessionID,
			ID: n.ID, ExpiresAt: n.ExpiresAt.Add(time.Minute).Unix(), // a little longer than any leeway
		}, nil
	}
	// Whoever knows a session's name may end it, for it is told to nobody but us and the
	// browser; so it must be named.
	issuer, session := a.Values.Get("iss"), a.Values.Get("sid")
	if !o.issues(issuer) || session == "" || len(session) > 255 {
		return Ending{}, failed(Untrusted, "the notice names no session of this provider's")
	}
	return Ending{Issuer: issuer, Session: session}, nil
}

func tokensOf(t client.Tokens) *Tokens {
	kept := &Tokens{Access: t.Access, Refresh: t.Refresh, Type: "Bearer", Scope: strings.Join(t.Scope, " ")}
	if !t.ExpiresAt.IsZero() {
		kept.ExpiresAt = t.ExpiresAt.Unix()
	}
	return kept
}
