package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/jwk"
)

// Metadata is what the authorization server says about itself, OpenID Connect
// Discovery §3 and RFC 8414 §2, as far as a client uses it.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	ChallengeEndpoint     string   `json:"authorization_challenge_endpoint"` // of Challenge
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`    // of Device
	ScopesSupported       []string `json:"scopes_supported"`
	// SendsIssuer: every authorization response carries "iss", RFC 9207 §3.
	SendsIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// upstream is a discovered authorization server.
type upstream struct {
	Metadata
	keys *jwk.Remote // nil: it has none
}

// lastGood is the last discovery that went well: it serves on while a later
// one fails.
type lastGood struct {
	mu sync.Mutex
	up *upstream
}

const (
	metadataAge   = time.Hour       // asked again after that
	metadataRetry = 2 * time.Second // a failure is remembered so long
	metadataStale = time.Minute     // the last good one serves on so long after a failure
	metadataBytes = 256 << 10
)

// Metadata returns the authorization server's metadata, fetched when first
// needed and again every hour. Errors: ErrUnavailable, ErrIssuer, ErrResponse.
func (c *Client) Metadata(ctx context.Context) (Metadata, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Metadata{}, err
	}
	return up.Metadata, nil
}

func (c *Client) discover(ctx context.Context) (*upstream, error) {
	if c.given != nil {
		return c.given, nil
	}
	return c.found.do(ctx, "", func(ctx context.Context) (*upstream, time.Duration, error) {
		c.last.mu.Lock()
		defer c.last.mu.Unlock()
		up, err := c.fetchMetadata(ctx, c.last.up)
		switch {
		case err == nil:
			c.last.up = up
			return up, metadataAge, nil
		case c.last.up != nil && !errors.Is(err, ErrIssuer): // which has become another
			c.log.WarnContext(ctx, "discovery failed, the last answer serves on", "issuer", c.config.Issuer, "error", err)
			return c.last.up, metadataStale, nil
		default:
			return nil, metadataRetry, err
		}
	})
}

func (c *Client) fetchMetadata(ctx context.Context, before *upstream) (*upstream, error) {
	// OpenID Connect Discovery §4: a terminating slash is removed first.
	where := c.config.Discovery
	if where == "" {
		where = strings.TrimSuffix(c.config.Issuer, "/") + "/.well-known/openid-configuration"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, fmt.Errorf("client: discovery: %w", err)
	}
	a, err := c.send(req, metadataBytes)
	if err != nil {
		return nil, fmt.Errorf("client: discovery: %w", err)
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("client: discovery: %w", a.unexpected())
	}
	up := &upstream{}
	if err := json.Unmarshal(a.body, &up.Metadata); err != nil {
		return nil, fmt.Errorf("client: discovery: %w: not a JSON object of metadata", ErrResponse)
	}
	if err := c.config.checkMetadata(up.Metadata); err != nil {
		return nil, fmt.Errorf("client: discovery: %w", err)
	}
	if before != nil && before.JWKSURI == up.JWKSURI {
		up.keys = before.keys // with what it has cached
		return up, nil
	}
	up.keys, err = jwk.NewRemote(jwk.RemoteConfig{URL: up.JWKSURI, Client: c.http, Now: c.now})
	if err != nil {
		return nil, fmt.Errorf("client: discovery: jwks_uri: %w", err)
	}
	return up, nil
}

// known is the authorization server as Config.Metadata describes it.
func (c *Client) known() (*upstream, error) {
	up := &upstream{Metadata: *c.config.Metadata}
	up.Issuer = c.config.Issuer
	if up.JWKSURI == "" {
		return up, nil
	}
	var err error
	up.keys, err = jwk.NewRemote(jwk.RemoteConfig{URL: up.JWKSURI, Client: c.http, Now: c.now})
	return up, err
}

// Probe asks the authorization server now, whatever is remembered, whether it can be
// spoken to. Errors: ErrUnavailable, ErrIssuer, ErrResponse.
func (c *Client) Probe(ctx context.Context) error {
	up := c.given
	if up == nil {
		c.last.mu.Lock()
		before := c.last.up
		c.last.mu.Unlock()
		var err error
		if up, err = c.fetchMetadata(ctx, before); err != nil {
			return err
		}
		c.last.mu.Lock()
		c.last.up = up
		c.last.mu.Unlock()
	}
	if up.keys != nil {
		if _, err := up.keys.Find(ctx, ""); err != nil {
			return fmt.Errorf("client: keys: %w: %w", ErrUnavailable, err)
		}
		return nil
	}
	// Without keys the one address to ask is where codes are redeemed. It will not
	// like the question, and that it says so is the answer.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, up.TokenEndpoint, nil)
	if err != nil {
		return fmt.Errorf("client: token_endpoint: %w", err)
	}
	a, err := c.send(req, answerBytes)
	if err == nil && a.status >= 500 {
		err = fmt.Errorf("%w: status %d", ErrUnavailable, a.status)
	}
	if err != nil {
		return fmt.Errorf("client: token_endpoint: %w", err)
	}
	return nil
}

func (c *Config) checkMetadata(m Metadata) error {
	// OpenID Connect Discovery §4.3: identical, no normalisation.
	if m.Issuer != c.Issuer {
		return fmt.Errorf("%w: the document names %q, configured is %q", ErrIssuer, printable(m.Issuer, 200), c.Issuer)
	}
	loopback := strings.HasPrefix(c.Issuer, "http://")
	for _, e := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", m.AuthorizationEndpoint, c.RedirectURI != ""},
		{"token_endpoint", m.TokenEndpoint, true},
		{"jwks_uri", m.JWKSURI, c.Metadata == nil || slices.Contains(c.Scopes, "openid")},
		{"userinfo_endpoint", m.UserinfoEndpoint, false},
		{"end_session_endpoint", m.EndSessionEndpoint, false},
		{"revocation_endpoint", m.RevocationEndpoint, false},
		{"authorization_challenge_endpoint", m.ChallengeEndpoint, false},
		{"device_authorization_endpoint", m.DeviceEndpoint, false},
	} {
		if e.url == "" && !e.required {
			continue
		}
		// An https issuer that points to http would give tokens away.
		if err := checkWebURL(e.url, loopback); err != nil {
			return fmt.Errorf("%w: %s %w", ErrResponse, e.name, err)
		}
	}
	return nil
}

func isLoopbackAddress(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
