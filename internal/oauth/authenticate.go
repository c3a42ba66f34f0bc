package oauth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// Call is a request of a program to one of the endpoints for programs.
type Call struct {
	Authorization string // the header, if there was one
	Form          url.Values
	Address       string // of the caller, for the audit log
}

// credentials is what a call presents as proof of the client: a secret by one of
// the two methods for it, an assertion, or nothing (the method none).
type credentials struct {
	method    string // empty with an assertion: the client's registration says which kind it must be
	id        model.ClientID
	secret    model.Secret
	assertion string
}

// errNotThisClient is the single answer to every failed authentication: it
// does not tell whether the client exists.
func errNotThisClient(cause error) *Error {
	return &Error{Code: InvalidClient, Description: "Client authentication failed", cause: cause}
}

// authenticate finds the client of a call to the endpoint with a path and holds
// it to its one registered method, RFC 6749 §2.3 and §3.2.1.
func (a *Authority) authenticate(ctx context.Context, call Call, path string, p params) (*registration.Client, *Error) {
	cred, e := present(call.Authorization, p)
	if e != nil {
		return nil, e
	}
	c, err := a.Registrar.Client(ctx, cred.id)
	if errors.Is(err, store.ErrNotFound) {
		subtle.ConstantTimeCompare([]byte(cred.secret.Hash()), make([]byte, 43)) // the work of a known one
		return nil, errNotThisClient(err)
	}
	if err != nil {
		return nil, inner(err).(*Error)
	}
	switch {
	case cred.assertion != "" && c.AssertionAlgorithms() != nil:
		err = a.checkAssertion(ctx, c, path, cred.assertion)
	case cred.assertion != "" || c.AuthMethod != cred.method:
		err = errors.New("the client is registered for " + c.AuthMethod + " and came with something else")
	case c.UsesSecret():
		err = c.CheckSecret(cred.secret, a.unix())
	}
	switch e := (*Error)(nil); {
	case errors.As(err, &e):
		return nil, e
	case err != nil:
		return nil, errNotThisClient(err)
	}
	if e := a.admitCaller(c, call.Address); e != nil {
		return nil, e
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
	if err1 != nil || err2 != nil || !clean(id) || !clean(secret) || len(id) > registration.MaxClientID {
		return credentials{}, false
	}
	return credentials{method: model.AuthBasic, id: model.ClientID(id), secret: model.Secret(secret)}, true
}
