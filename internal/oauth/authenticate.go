package oauth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// AuthMethods are the ways in which a client may prove itself.
var AuthMethods = []string{model.AuthBasic, model.AuthPost, model.AuthPrivateKey, model.AuthNone}

// AssertionAlgorithms are the algorithms in which a client may sign.
var AssertionAlgorithms = []jwa.Algorithm{
	jwa.ES256, jwa.ES384, jwa.ES512, jwa.EdDSA, jwa.PS256, jwa.PS384, jwa.PS512, jwa.RS256, jwa.RS384, jwa.RS512,
}

// assertionType is the one "client_assertion_type", RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxAssertionLife bounds how far ahead an assertion may expire: its "jti" has
// to be remembered until then.
const maxAssertionLife = time.Hour

// Call is a request of a program to one of the endpoints for programs.
type Call struct {
	Authorization string // the header, if there was one
	Form          url.Values
	Address       string // of the caller, for the audit log
}

// credentials is what a call presents as proof of the client.
type credentials struct {
	method    string
	id        model.ClientID
	secret    model.Secret
	assertion string
}

// errNotThisClient is the single answer to every failed authentication: it
// does not tell whether the client exists.
func errNotThisClient(cause error) *Error {
	return &Error{Code: InvalidClient, Description: "Client authentication failed", cause: cause}
}

// authenticate finds the client of a call and holds it to its one registered
// method, RFC 6749 §2.3 and §3.2.1.
func (a *Authority) authenticate(ctx context.Context, call Call, p params) (*client, *Error) {
	cred, e := present(call.Authorization, p)
	if e != nil {
		return nil, e
	}
	c, err := a.client(ctx, cred.id)
	if errors.Is(err, store.ErrNotFound) {
		subtle.ConstantTimeCompare([]byte(cred.secret.Hash()), make([]byte, 43)) // the work of a known one
		return nil, errNotThisClient(err)
	}
	if err != nil {
		return nil, inner(err).(*Error)
	}
	if c.AuthMethod != cred.method {
		return nil, errNotThisClient(errors.New("the client is registered for " + c.AuthMethod + " and came with " + cred.method))
	}
	switch {
	case usesSecret(cred.method):
		err = a.checkSecret(c, cred.secret)
	case cred.method == model.AuthPrivateKey:
		err = a.checkAssertion(ctx, c, cred.assertion)
	}
	if err != nil {
		return nil, errNotThisClient(err)
	}
	return c, nil
}

// present finds out how a call proves its client. RFC 6749 §2.3: "The client
// MUST NOT use more than one authentication method in each request."
func present(header string, p params) (credentials, *Error) {
	var found []credentials
	if header != "" {
		c, ok := basic(header)
		if !ok {
			return credentials{}, fail(InvalidClient, "The Authorization header is not a valid Basic one")
		}
		if c.secret == "" {
			// RFC 6749 §2.3.1 lets a client without a secret send an empty
			// one; some programs always do. It proves nothing, and counts as
			// no authentication.
			c.method = model.AuthNone
		}
		found = append(found, c)
	}
	if p.has("client_secret") {
		found = append(found, credentials{method: model.AuthPost, id: model.ClientID(p.get("client_id")), secret: model.Secret(p.get("client_secret"))})
	}
	if p.has("client_assertion") || p.has("client_assertion_type") {
		c, e := assertion(p)
		if e != nil {
			return credentials{}, e
		}
		found = append(found, c)
	}
	switch {
	case len(found) > 1:
		return credentials{}, fail(InvalidRequest, "The client authenticates in more than one way")
	case len(found) == 0:
		found = []credentials{{method: model.AuthNone, id: model.ClientID(p.get("client_id"))}}
	}
	c := found[0]
	switch {
	case c.id == "":
		return credentials{}, fail(InvalidClient, "The request names no client")
	case p.has("client_id") && p.get("client_id") != string(c.id):
		return credentials{}, fail(InvalidRequest, "The client_id and the client that authenticates differ")
	}
	return c, nil
}

// basic reads the header of RFC 6749 §2.3.1, in which both halves are
// form-encoded before they are joined.
func basic(header string) (credentials, bool) {
	scheme, text, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") || len(text) > 2048 {
		return credentials{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return credentials{}, false
	}
	id, secret, ok := strings.Cut(string(raw), ":")
	if !ok {
		return credentials{}, false
	}
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil || !clean(id) || !clean(secret) || len(id) > limits["client_id"] {
		return credentials{}, false
	}
	return credentials{method: model.AuthBasic, id: model.ClientID(id), secret: model.Secret(secret)}, true
}

// assertion reads RFC 7521 §4.2. The client is named by the assertion's "sub",
// which is taken unverified: it only says whose keys to verify with.
func assertion(p params) (credentials, *Error) {
	if p.get("client_assertion_type") != assertionType {
		return credentials{}, fail(InvalidRequest, "The client_assertion_type must be %s", assertionType)
	}
	t, err := jwt.DecodeUnverified[jwt.Registered](p.get("client_assertion"))
	if err != nil {
		return credentials{}, errNotThisClient(err)
	}
	return credentials{method: model.AuthPrivateKey, id: model.ClientID(t.Claims.Subject), assertion: p.get("client_assertion")}, nil
}

func (a *Authority) checkSecret(c *client, s model.Secret) error {
	hash := []byte(s.Hash())
	ok := 0
	for _, row := range c.secrets {
		same := subtle.ConstantTimeCompare(hash, []byte(row.Hash))
		if row.ExpiresAt == 0 || row.ExpiresAt > a.unix() {
			ok |= same
		}
	}
	if ok == 0 {
		return errors.New("wrong client secret")
	}
	return nil
}

// checkAssertion verifies a client's assertion, RFC 7523 §3 and OpenID Connect
// Core §9, and uses it up.
func (a *Authority) checkAssertion(ctx context.Context, c *client, token string) error {
	if c.keys == nil {
		return errors.New("the client has no keys")
	}
	now, mine := a.Now(), []string{a.Issuer, a.Endpoint(PathToken)}
	t, err := jwt.Verify[jwt.Registered](ctx, token, c.keys, jwt.VerifyOptions{
		Algorithms: AssertionAlgorithms,
		Issuers:    []string{string(c.ID)}, // RFC 7523 §3(1)
		Subject:    string(c.ID),           // RFC 7523 §3(2)
		Audiences:  mine,                   // RFC 7523 §3(3)
		Leeway:     Leeway,
		Now:        a.Now,
	})
	switch {
	case err != nil:
		return err
	case len(without(t.Claims.Audience, mine)) > 0:
		// Nobody else's audience beside ours: an assertion that another server
		// takes too is one that it may have asked for, to use it here.
		return errors.New("the assertion is for somebody else, too")
	case t.Claims.ExpiresAt.After(now.Add(maxAssertionLife + Leeway)):
		return errors.New("the assertion expires too far ahead")
	case t.Claims.ID == "" || len(t.Claims.ID) > 256 || !clean(t.Claims.ID):
		return errors.New("the assertion has no usable jti") // OpenID Connect Core §9: REQUIRED
	}
	// The use is stored before anything is issued and shared by all nodes.
	return a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		return tx.UseAssertion(c.ID, t.Claims.ID, t.Claims.ExpiresAt.Add(Leeway).Unix())
	})
}
