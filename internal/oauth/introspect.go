package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// Introspection is what an API is told about a token, RFC 7662 §2.2. Of a token
// that is dead, unknown, or none of the caller's business it says Active:
// false and nothing else.
type Introspection struct {
	Active    bool         `json:"active"`
	Scope     string       `json:"scope,omitempty"`
	ClientID  string       `json:"client_id,omitempty"`
	TokenType string       `json:"token_type,omitempty"`
	ExpiresAt int64        `json:"exp,omitempty"`
	IssuedAt  int64        `json:"iat,omitempty"`
	Subject   string       `json:"sub,omitempty"`
	Audience  jwt.Audience `json:"aud,omitempty"`
	Issuer    string       `json:"iss,omitempty"`
	ID        string       `json:"jti,omitempty"`
	SessionID string       `json:"sid,omitempty"`
	GrantID   string       `json:"grant_id,omitempty"`
	AuthTime  int64        `json:"auth_time,omitempty"` // RFC 9470 §6.2
	ACR       string       `json:"acr,omitempty"`
	AMR       []string     `json:"amr,omitempty"`
}

// Introspect answers whether a token is good now, whatever its own text says:
// the revocation log has the last word.
//
// Errors: *Error.
func (a *Authority) Introspect(ctx context.Context, call Call) (Introspection, error) {
	ctx, span := trace.Start(ctx, "oauth.Introspect")
	defer span.End()
	c, token, e := a.asker(ctx, call)
	if e != nil {
		return Introspection{}, e
	}
	return a.introspect(ctx, c, token)
}

// introspectionClaims is an answer that proves who gave it to whom, RFC 9701 §5. It
// has no "sub" and no "exp", so that it passes for no access token.
type introspectionClaims struct {
	Issuer        string        `json:"iss"`
	Audience      string        `json:"aud"` // who asked
	IssuedAt      int64         `json:"iat"`
	Introspection Introspection `json:"token_introspection"`
}

// IntrospectSigned is Introspect with its answer as a JWT, signed, and then
// encrypted where the client is registered for that, RFC 9701 §5.
//
// Errors: *Error.
func (a *Authority) IntrospectSigned(ctx context.Context, call Call) (string, error) {
	ctx, span := trace.Start(ctx, "oauth.IntrospectSigned")
	defer span.End()
	c, token, e := a.asker(ctx, call)
	if e != nil {
		return "", e
	}
	var to recipient
	if c.IntrospectionEncryption != "" {
		if to, e = a.recipient(ctx, c, c.IntrospectionEncryption, c.IntrospectionContent); e != nil {
			return "", e
		}
	}
	answer, err := a.introspect(ctx, c, token)
	if err != nil {
		return "", err
	}
	alg := jwa.Algorithm(c.IntrospectionAlgorithm)
	if alg == "" {
		alg = registration.IDAlgorithms[0] // RFC 9701 §6: RS256
	}
	claims := introspectionClaims{Issuer: a.Issuer, Audience: string(c.ID), IssuedAt: a.unix(), Introspection: answer}
	signed, err := a.Keys.Sign(alg, introspectionType, claims)
	if err == nil && c.IntrospectionEncryption != "" {
		signed, err = to.seal(signed)
	}
	if err != nil {
		return "", inner(err)
	}
	return signed, nil
}

// asker finds who asks about which token. It must prove itself as a client, RFC 7662
// §2.1: a bearer token in place of that would say less about who asks.
func (a *Authority) asker(ctx context.Context, call Call) (*registration.Client, string, *Error) {
	p, e := parse(call.Form)
	if e != nil {
		return nil, "", e
	}
	c, e := a.authenticate(ctx, call, PathIntrospect, p)
	switch {
	case e != nil:
		return nil, "", e
	case c.Public():
		return nil, "", errNotThisClient(errors.New("a public client asked")) // RFC 7662 §2.1
	case p.get("token") == "":
		return nil, "", fail(InvalidRequest, "The parameter token is missing")
	}
	return c, p.get("token"), nil
}

func (a *Authority) introspect(ctx context.Context, c *registration.Client, token string) (Introspection, error) {
	if t, ok := parseRefresh(token); ok {
		return a.introspectRefresh(ctx, c, t)
	}
	claims, err := a.accessToken(ctx, token)
	if errors.Is(err, errDead) {
		return Introspection{}, nil
	}
	if err != nil {
		return Introspection{}, inner(err)
	}
	// RFC 7662 §4: only to the client that holds the token, and to the APIs
	// that it is for.
	mine := claims.ClientID == string(c.ID) || slices.ContainsFunc(c.Resources, func(r string) bool {
		return slices.Contains(claims.Audience, r)
	})
	if !mine {
		return Introspection{}, nil
	}
	return Introspection{
		Active: true, Scope: claims.Scope, ClientID: claims.ClientID, TokenType: "Bearer",
		ExpiresAt: claims.ExpiresAt, IssuedAt: claims.IssuedAt, Subject: claims.Subject, Audience: claims.Audience,
		Issuer: claims.Issuer, ID: claims.ID, SessionID: claims.SessionID, GrantID: claims.GrantID,
		AuthTime: claims.AuthTime, ACR: claims.ACR, AMR: claims.AMR,
	}, nil
}

func (a *Authority) introspectRefresh(ctx context.Context, c *registration.Client, t refreshToken) (Introspection, error) {
	var out Introspection
	err := a.ask(ctx, func(tx *store.Tx) error {
		h, err := tx.Holding(t.grant)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		g := h.Grant
		if g.Salt == "" || !same(a.refreshMAC(g, t.generation), t.mac) || g.ClientID != c.ID || g.Generation != t.generation {
			return nil
		}
		switch _, e := a.standing(c, h); {
		case e != nil && e.Code == InvalidGrant:
			return nil
		case e != nil:
			return e
		}
		sub, _, err := issuance{client: c, grant: g}.sub()
		if err != nil {
			return err
		}
		out = Introspection{
			Active: true, Scope: joinScope(g.Scope), ClientID: string(g.ClientID), Subject: sub, Issuer: a.Issuer,
			ExpiresAt: min(g.ExpiresAt, g.IdleAt), IssuedAt: max(g.CreatedAt, g.RotatedAt),
			SessionID: string(g.SessionID), GrantID: string(g.ID), AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR,
		}
		return nil
	})
	return out, err
}

// errDead says that a token is not good, for whatever reason.
var errDead = errors.New("the token is not valid")

// bearer is an access token of ours that is good.
type bearer struct {
	accessClaims
	user   model.UserID // whose it is, which "sub" need not tell; empty: the client's own
	grant  model.Grant  // zero: it was not read, because "sub" tells
	person model.User   // zero: it was not read
}

// ref is what the revocation log is asked about.
func (b bearer) ref(now int64) store.TokenRef {
	ref := store.TokenRef{
		JTI: b.ID, SessionID: model.SessionID(b.SessionID), GrantID: model.GrantID(b.GrantID),
		UserID: b.user, ClientID: model.ClientID(b.ClientID), IssuedAt: b.IssuedAt,
	}
	if b.SessionID != b.GrantID { // else it has no session, or its grant outlives it
		ref.Now = now
	}
	return ref
}

// accessToken verifies an access token of ours and asks the revocation log about
// it, and its session, which may be over by itself and not in the log yet. It
// returns errDead, wrapped with the reason, for a token that is not good, and
// another error where that cannot be found out.
func (a *Authority) accessToken(ctx context.Context, token string) (bearer, error) {
	return a.bearer(ctx, token, false)
}

// accessTokenOf is accessToken, and reads the grant of the token and its person, if it
// has them.
func (a *Authority) accessTokenOf(ctx context.Context, token string) (bearer, error) {
	return a.bearer(ctx, token, true)
}

func (a *Authority) bearer(ctx context.Context, token string, whose bool) (bearer, error) {
	t, err := a.access.Verify(ctx, token)
	if err != nil {
		return bearer{}, errors.Join(errDead, err)
	}
	b := bearer{accessClaims: t.Claims}
	var cause model.Cause
	var ended bool
	err = a.Store.Ask(ctx, func(tx *store.Tx) (err error) {
		if b.GrantID != "" && (whose || b.SubjectType == model.SubjectPairwise) { // whose subject does not tell
			known, err := tx.Bearing(b.ref(a.unix()))
			if errors.Is(err, store.ErrNotFound) {
				return errors.Join(errDead, errors.New("the grant is gone"))
			}
			b.grant, b.person, b.user = known.Grant, known.User, known.Grant.UserID
			cause, ended = known.Cause, known.Ended
			return err
		}
		if b.GrantID != "" { // else it is the client's own
			b.user = model.UserID(b.Subject)
		}
		cause, ended, err = tx.TokenEnded(b.ref(a.unix()))
		return err
	})
	if err != nil {
		return bearer{}, err
	}
	if ended {
		return bearer{}, errors.Join(errDead, errors.New("revoked: "+string(cause)))
	}
	return b, nil
}
