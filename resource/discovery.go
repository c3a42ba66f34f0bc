package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/jwk"
)

const (
	discoveryTime  = 10 * time.Second
	discoveryRetry = 2 * time.Second // a failure is remembered so long
	discoveryAge   = time.Hour       // a jwks_uri that changed is noticed after that
	discoveryBytes = 256 << 10
)

// discovered is the key set of an issuer, found through its metadata when the
// first token arrives: an API starts while its authorization server is down.
type discovered struct {
	issuer string
	http   *http.Client
	now    func() time.Time

	mu     sync.Mutex
	keys   *jwk.Remote
	uri    string
	err    error     // of the last try
	next   time.Time // no other try before
	flight chan struct{}
}

var _ jwk.Source = (*discovered)(nil)

// Find implements jwk.Source.
func (d *discovered) Find(ctx context.Context, kid string) ([]*jwk.Key, error) {
	keys, err := d.remote(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", jwk.ErrUnavailable, err)
	}
	return keys.Find(ctx, kid)
}

// remote returns the key set. One request at a time asks the issuer; while it
// does, others go on with the key set that is known, or wait for the first.
func (d *discovered) remote(ctx context.Context) (*jwk.Remote, error) {
	d.mu.Lock()
	if d.flight == nil && !d.now().Before(d.next) {
		d.flight = make(chan struct{})
		// Detached: a caller that gives up must not fail the others.
		go d.discover(context.WithoutCancel(ctx), d.flight)
	}
	flight, keys, err := d.flight, d.keys, d.err
	d.mu.Unlock()
	if keys != nil {
		return keys, nil
	}
	if flight == nil {
		return nil, err
	}
	select {
	case <-flight:
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.keys != nil {
			return d.keys, nil
		}
		return nil, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *discovered) discover(ctx context.Context, flight chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTime)
	defer cancel()
	doc, err := discover(ctx, d.http, d.issuer)
	uri := doc.JWKSURI
	if err == nil {
		err = doc.check("jwks_uri", uri)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(flight)
	d.flight = nil
	d.next = d.now().Add(discoveryAge)
	if err == nil && uri != d.uri {
		var keys *jwk.Remote
		if keys, err = jwk.NewRemote(jwk.RemoteConfig{URL: uri, Client: d.http, Now: d.now}); err == nil {
			d.keys, d.uri = keys, uri
		}
	}
	if err != nil {
		d.err, d.next = err, d.now().Add(discoveryRetry)
	}
}

// document is what an issuer tells of itself, as far as an API needs it.
type document struct {
	Issuer        string `json:"issuer"`
	JWKSURI       string `json:"jwks_uri"`
	Token         string `json:"token_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Feed          string `json:"revocation_feed_endpoint"`
}

// check: secrets go to this address, and keys come from it.
func (d *document) check(name, uri string) error {
	if uri == "" {
		return fmt.Errorf("resource: discovery: %s has no %s", d.Issuer, name)
	}
	if err := checkURL(uri); err != nil {
		return fmt.Errorf("resource: discovery: %s %w", name, err)
	}
	// An https issuer that points to http would let anybody on the way in.
	if strings.HasPrefix(d.Issuer, "https:") && !strings.HasPrefix(uri, "https:") {
		return fmt.Errorf("resource: discovery: %s must be https", name)
	}
	return nil
}

// discover asks for the issuer's metadata, OpenID Connect Discovery §4, and where
// there is none RFC 8414 §3.
func discover(ctx context.Context, web *http.Client, issuer string) (document, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return document{}, fmt.Errorf("resource: discovery: %w", err)
	}
	d, err := readDocument(ctx, web, issuer, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if errors.Is(err, errNoDocument) {
		path := "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/")
		d, err = readDocument(ctx, web, issuer, u.Scheme+"://"+u.Host+path)
	}
	return d, err
}

var errNoDocument = errors.New("resource: discovery: no such document")

func readDocument(ctx context.Context, web *http.Client, issuer, where string) (document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return document{}, fmt.Errorf("resource: discovery: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := web.Do(req)
	if err != nil {
		return document{}, fmt.Errorf("resource: discovery: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return document{}, errNoDocument
	}
	if res.StatusCode != http.StatusOK {
		return document{}, fmt.Errorf("resource: discovery: %s answered %d", where, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, discoveryBytes+1))
	if err != nil {
		return document{}, fmt.Errorf("resource: discovery: %w", err)
	}
	var d document
	if len(body) > discoveryBytes || json.Unmarshal(body, &d) != nil {
		return document{}, fmt.Errorf("resource: discovery: %s is not a document of metadata", where)
	}
	// OpenID Connect Discovery §4.3, RFC 8414 §3.3: identical.
	if d.Issuer != issuer {
		return document{}, fmt.Errorf("resource: discovery: the document is another issuer's, not of %s", issuer)
	}
	return d, nil
}
