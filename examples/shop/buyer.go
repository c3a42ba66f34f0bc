package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// nameInToken asks for the person's name in the ID token itself, OpenID Connect Core
// §5.5, because that is what a purchase verifies.
const nameInToken = `{"id_token":{"name":null}}`

// errBuyer says that the ID token is not good, or not good any more: sign in again.
var errBuyer = errors.New("shop: the ID token does not tell who buys")

// buyer returns the name for the receipt. The ID token was verified when the person
// signed in; whoever sells something looks once more: signature, issuer, audience,
// expiry, and that it is about the person who is signed in (OpenID Connect Core
// §3.1.3.7).
func (s *Shop) buyer(ctx context.Context, person *client.Session) (string, error) {
	token, err := jwt.Verify[struct {
		Name string `json:"name"`
	}](ctx, person.IDToken(), s.keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256},
		Issuers:    []string{s.issuer}, Audiences: []string{s.clientID}, Subject: person.Subject,
		Leeway: 30 * time.Second, Now: s.now,
	})
	if _, bad := errors.AsType[*jwt.JSONWebTokenError](err); bad {
		return "", fmt.Errorf("%w: %w", errBuyer, err)
	}
	if err != nil {
		return "", fmt.Errorf("shop: the keys of the authorization server: %w", err)
	}
	if token.Claims.Name != "" && len(token.Claims.Name) <= maxName {
		return token.Claims.Name, nil
	}
	return "Customer " + person.Subject, nil
}

// issuerKeys are the keys that the authorization server publishes, found through its
// metadata and cached. It is a jwk.Source.
type issuerKeys struct {
	signIn *client.Client
	http   *http.Client
	now    func() time.Time

	mu     sync.Mutex
	url    string
	remote *jwk.Remote
}

func (k *issuerKeys) Find(ctx context.Context, kid string) ([]*jwk.Key, error) {
	m, err := k.signIn.Metadata(ctx) // which remembers them for an hour
	if err != nil {
		return nil, err
	}
	remote, err := k.at(m.JWKSURI)
	if err != nil {
		return nil, err
	}
	return remote.Find(ctx, kid)
}

func (k *issuerKeys) at(url string) (*jwk.Remote, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.url == url {
		return k.remote, nil
	}
	remote, err := jwk.NewRemote(jwk.RemoteConfig{URL: url, Client: k.http, Now: k.now})
	if err != nil {
		return nil, err
	}
	k.url, k.remote = url, remote
	return remote, nil
}
