package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// oauth2Connection is the connection of a provider of the kind "oauth2", which knows
// nothing of OpenID Connect and tells who somebody is by an API of its own. Its secrets
// are client_secret and private_key, as those of oidcConnection.
type oauth2Connection struct {
	// Issuer is the name under which people of this provider are known here, and what it
	// calls itself in its answers, if it does (RFC 9207). Empty: the origin of
	// TokenEndpoint. To change it is to make everybody another person.
	Issuer                string `json:"issuer,omitempty"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	SendsIssuer           bool   `json:"authorization_response_iss_parameter_supported,omitempty"`

	ClientID   string   `json:"client_id"`
	AuthMethod string   `json:"token_endpoint_auth_method,omitempty"` // as in oidcConnection
	KeyID      string   `json:"key_id,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`

	ResponseMode string            `json:"response_mode,omitempty"`
	Parameters   map[string]string `json:"parameters,omitempty"`

	// UserinfoEndpoint tells who somebody is: a JSON object, in which Subject is the path
	// of what never changes and is nobody else's.
	UserinfoEndpoint string `json:"userinfo_endpoint"`
	Subject          string `json:"subject"`
	// Requests ask for more. What each answers stands beside the members of the first
	// answer, under its name.
	Requests []oauth2Request `json:"requests,omitempty"`
	// Headers are sent to the userinfo endpoint and with the requests.
	Headers map[string]string `json:"headers,omitempty"`
	// Claims are made of what was told: the name of a claim, and its path.
	Claims map[string]string `json:"claims,omitempty"`

	AllowInternal bool `json:"allow_internal,omitempty"`
}

type oauth2Request struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

const (
	maxRequests   = 5
	maxClaimPaths = 50
)

// oauth2 is a provider that hands out access tokens, and tells by them who somebody is.
type oauth2 struct {
	config  Config
	client  *client.Client
	issuer  string
	carries carries
	extra   url.Values
	wishes  func(w Wish) url.Values // further parameters for a wish; nil: none
	// person asks for everything that is told of the owner of an access token.
	person func(ctx context.Context, access string) (subject any, claims map[string]any, err error)
}

var _ Visitor = (*oauth2)(nil)

func openOAuth2(c Config) (Connector, error) {
	var o oauth2Connection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	if o.Issuer == "" {
		u, err := url.Parse(o.TokenEndpoint)
		if err != nil {
			return nil, ErrInvalid{"token_endpoint", "is not a URL"}
		}
		o.Issuer = u.Scheme + "://" + u.Host
	}
	k := client.Config{
		Issuer: o.Issuer, ClientID: o.ClientID, AuthMethod: o.AuthMethod, Scopes: o.Scopes,
		Metadata: &client.Metadata{AuthorizationEndpoint: o.AuthorizationEndpoint, TokenEndpoint: o.TokenEndpoint, SendsIssuer: o.SendsIssuer},
	}
	if err := c.proof(&k, o.KeyID); err != nil {
		return nil, err
	}
	extra, err := extraParameters(o.Parameters, o.ResponseMode)
	if err != nil {
		return nil, err
	}
	reader, err := o.reader(c)
	if err != nil {
		return nil, err
	}
	connector := &oauth2{carries: carries{}, extra: extra, person: reader.person}
	return connector.open(c, k)
}

// open completes a connector with its client.
func (o *oauth2) open(c Config, k client.Config) (Connector, error) {
	if slices.Contains(k.Scopes, "openid") {
		return nil, ErrInvalid{"scopes", "has openid, of which nobody would check the answer: use the kind oidc"}
	}
	o.config, o.issuer = c, k.Issuer
	var err error
	o.client, err = newClient(c, k)
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (o *oauth2) Probe(ctx context.Context) error { return told(o.client.Probe(ctx)) }

func (o *oauth2) Begin(ctx context.Context, w Wish) (Departure, error) {
	extra := url.Values{}
	for name, values := range o.extra {
		extra[name] = values
	}
	if o.wishes != nil {
		for name, values := range o.wishes(w) {
			extra[name] = values
		}
	}
	return begin(ctx, o.client, o.carries, w, extra)
}

func (o *oauth2) Finish(ctx context.Context, kept Kept, a Answer) (Person, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	tokens, _, err := redeem(ctx, o.client, kept, a)
	if err != nil {
		return Person{}, err
	}
	named, claims, err := o.person(ctx, tokens.Access)
	if err != nil {
		return Person{}, err
	}
	subject, err := subjectOf(named)
	if err != nil {
		return Person{}, err
	}
	if err := settleClaims(claims); err != nil {
		return Person{}, err
	}
	claims["iss"], claims["sub"] = o.issuer, subject
	return Person{
		Issuer: o.issuer, Subject: subject, Claims: claims,
		Stay: Stay{Issuer: o.issuer, Subject: subject}, Tokens: tokensOf(tokens),
	}, nil
}

// reader asks as an operator has said.
type reader struct {
	config   Config
	userinfo string
	subject  path
	requests []oauth2Request
	header   http.Header
	claims   map[string]path
}

func (o oauth2Connection) reader(c Config) (reader, error) {
	r := reader{config: c, userinfo: o.UserinfoEndpoint, requests: o.Requests, header: http.Header{}, claims: map[string]path{}}
	if err := checkEndpoint(o.UserinfoEndpoint, o.TokenEndpoint); err != nil {
		return r, ErrInvalid{"userinfo_endpoint", err.Error()}
	}
	if len(o.Requests) > maxRequests || len(o.Claims) > maxClaimPaths {
		return r, ErrInvalid{"requests", fmt.Sprintf("are at most %d, and claims %d", maxRequests, maxClaimPaths)}
	}
	for _, q := range o.Requests {
		if q.Name == "" || protocol[q.Name] || strings.ContainsAny(q.Name, ".[]") {
			return r, ErrInvalid{"requests", "have a name each, which is no claim of the protocol and without . and []"}
		}
		if err := checkEndpoint(q.URL, o.TokenEndpoint); err != nil {
			return r, ErrInvalid{"requests", q.Name + " " + err.Error()}
		}
	}
	for name, value := range o.Headers {
		name = textproto.CanonicalMIMEHeaderKey(name)
		// What they are about is ours to say.
		if name == "Authorization" || name == "Host" || name == "Cookie" || name == "Content-Length" || strings.ContainsAny(value, "\r\n") {
			return r, ErrInvalid{"headers", "must not have " + name}
		}
		r.header.Set(name, value)
	}
	var err error
	if r.subject, err = parsePath(o.Subject); err != nil {
		return r, ErrInvalid{"subject", err.Error()}
	}
	for claim, where := range o.Claims {
		if protocol[claim] {
			return r, ErrInvalid{"claims", "must not have " + claim}
		}
		if r.claims[claim], err = parsePath(where); err != nil {
			return r, ErrInvalid{"claims", claim + " " + err.Error()}
		}
	}
	return r, nil
}

// checkEndpoint accepts an https address, or where the token endpoint is on this machine
// one there: an access token goes to it.
func checkEndpoint(address, beside string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("must be an absolute URL without user and fragment")
	}
	b, err := url.Parse(beside)
	if u.Scheme == "https" || err == nil && u.Scheme == "http" && b.Scheme == "http" && u.Hostname() == b.Hostname() {
		return nil
	}
	return fmt.Errorf("must be https")
}

func (r reader) person(ctx context.Context, access string) (any, map[string]any, error) {
	v, err := r.config.ask(ctx, question{r.userinfo, access, r.header})
	if err != nil {
		return nil, nil, err
	}
	claims, ok := v.(map[string]any)
	if !ok {
		return nil, nil, failed(Unavailable, host(r.userinfo)+" answers with something else than an object")
	}
	subject := r.subject.in(claims)
	// Its own members of these names are not what OpenID Connect means by them.
	for name := range protocol {
		delete(claims, name)
	}
	for _, q := range r.requests {
		if claims[q.Name], err = r.config.ask(ctx, question{q.URL, access, r.header}); err != nil {
			return nil, nil, err
		}
	}
	made := map[string]any{}
	for claim, where := range r.claims {
		if v := where.in(claims); v != nil {
			made[claim] = v
		}
	}
	addClaims(claims, made)
	return subject, claims, nil
}
