package oauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwt"
)

// assertionMediaType is the "client_assertion_type", RFC 7523 §2.2.
const assertionMediaType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionKind is the "typ" of an assertion that has one, draft-ietf-oauth-rfc7523bis.
const assertionKind = "client-authentication+jwt"

// maxAssertionLife bounds how far ahead an assertion may expire: its "jti" has
// to be remembered until then.
const maxAssertionLife = time.Hour

// assertionClaims are what is read of an assertion, RFC 7523 §3.
type assertionClaims struct {
	Audience  assertedAudience `json:"aud"`
	ExpiresAt jwt.Time         `json:"exp"`
	ID        string           `json:"jti"`
}

// assertedAudience is an audience that remembers whether it was a list.
type assertedAudience struct {
	names jwt.Audience
	list  bool
}

func (a *assertedAudience) UnmarshalJSON(data []byte) error {
	a.list = len(data) > 0 && data[0] == '['
	return a.names.UnmarshalJSON(data)
}

// assertion reads RFC 7521 §4.2. The client is named by the assertion's "sub",
// which is taken unverified: it only says whose keys to verify with.
func assertion(p params) (credentials, *Error) {
	if p.get("client_assertion_type") != assertionMediaType {
		return credentials{}, fail(InvalidRequest, "The client_assertion_type must be %s", assertionMediaType)
	}
	t, err := jwt.DecodeUnverified[jwt.Registered](p.get("client_assertion"))
	if err != nil {
		return credentials{}, errNotThisClient(err)
	}
	return credentials{id: model.ClientID(t.Claims.Subject), assertion: p.get("client_assertion")}, nil
}

// checkAssertion verifies what a client signed to prove itself at the endpoint
// with a path, RFC 7523 §3 and OpenID Connect Core §9, and uses it up. An *Error
// says that nobody can tell; any other, that it proves nothing.
func (a *Authority) checkAssertion(ctx context.Context, c *registration.Client, path, token string) error {
	keys, err := c.AssertionKeys(a.unix())
	if err != nil {
		return err
	}
	now, mine := a.Now(), a.assertionAudiences(c, path)
	t, err := jwt.Verify[assertionClaims](ctx, token, keys, jwt.VerifyOptions{
		Algorithms: c.AssertionAlgorithms(),
		Issuers:    []string{string(c.ID)}, // RFC 7523 §3(1)
		Subject:    string(c.ID),           // RFC 7523 §3(2)
		Audiences:  mine,                   // RFC 7523 §3(3)
		Leeway:     model.Leeway,
		Now:        a.Now,
	})
	switch {
	case err != nil:
		return err
	case !isKind(t.Header.Type, assertionKind):
		return errors.New("the assertion says that it is something else") // RFC 8725 §3.11
	case len(without(t.Claims.Audience.names, mine)) > 0:
		// Nobody else's audience beside ours: an assertion that another server
		// takes too is one that it may have asked for, to use it here.
		return errors.New("the assertion is for somebody else, too")
	case t.Claims.Audience.list && c.AssertionAudience == model.AudienceIssuer:
		return errors.New("the audience of the assertion is a list") // FAPI 2.0 Security Profile §5.3.2.1
	case t.Claims.ExpiresAt.After(now.Add(maxAssertionLife + model.Leeway)):
		return errors.New("the assertion expires too far ahead")
	case t.Claims.ID == "" || len(t.Claims.ID) > 256 || !clean(t.Claims.ID):
		return errors.New("the assertion has no usable jti") // OpenID Connect Core §9: REQUIRED
	}
	// The use is stored before anything is issued and shared by all nodes. Who
	// gets here holds the client's key, so nobody else can fill the table.
	err = a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		return tx.UseAssertion(c.ID, t.Claims.ID, t.Claims.ExpiresAt.Add(model.Leeway).Unix())
	})
	if errors.Is(err, store.ErrConflict) {
		return errors.New("the assertion was used before")
	}
	return inner(err)
}

// assertionAudiences says whom an assertion may be meant for: the issuer, and
// unless the client is held to that, the token endpoint and the endpoint that is
// called.
//
// OpenID Connect Core §9 told clients for ten years to name the token endpoint,
// and they do; a server that took the issuer alone would lock most of them out.
// But a client that believes what a server says of its own token endpoint can be
// made to sign for ours by another server, which then proves itself here in its
// name. The client decides what it signs, not we; so one that is known to name
// the issuer is registered for that, and then what was coaxed out of it is
// worthless.
func (a *Authority) assertionAudiences(c *registration.Client, path string) []string {
	if c.AssertionAudience == model.AudienceIssuer {
		return []string{a.Issuer}
	}
	return unique([]string{a.Issuer, a.Endpoint(PathToken), a.Endpoint(path)})
}

// isKind reports whether a "typ" lets a token be of a kind: that one, or, as most
// clients have it, none in particular. Any other kind is somebody else's token in
// the wrong place (RFC 8725 §3.11, §3.12).
func isKind(typ, kind string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/") // RFC 7515 §4.1.9
	return typ == "" || typ == "jwt" || typ == kind
}
