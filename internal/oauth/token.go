package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Tokens is a successful answer of the token endpoint, RFC 6749 §5.1 and
// OpenID Connect Core §3.1.3.3.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	AuthSession  string `json:"auth_session,omitempty"` // draft-ietf-oauth-first-party-apps-04 §6.1
}

// issuance is what a grant has earned: what is to be minted.
type issuance struct {
	client  *registration.Client
	grant   model.Grant // zero ID: the client acts for itself
	scope   []string    // of the access token; never more than the grant's
	refresh model.Secret
	auth    model.Secret // the auth session under which it was proven
	// audience of the access token; never more than the grant's, or the client's
	audience []string
	idToken  bool
	at       int64      // when: "iat", see issuedAt
	user     model.User // whom an ID token is about; read only where it tells about them

	// What an ID token is issued together with, what else it tells, and to whom
	// it is encrypted.
	access, code string
	claims       map[string]any
	to           recipient
}

// grants are the ways to earn tokens, by grant_type. Each does what is its own
// and nothing else; what all of them need stands in Token.
var grants = map[string]func(*Authority, context.Context, *registration.Client, params) (issuance, *Error){
	model.GrantAuthorizationCode: (*Authority).redeemCode,        // RFC 6749 §4.1.3
	model.GrantRefreshToken:      (*Authority).redeemRefresh,     // RFC 6749 §6
	model.GrantClientCredentials: (*Authority).redeemCredentials, // RFC 6749 §4.4
	model.GrantDeviceCode:        (*Authority).redeemDeviceCode,  // RFC 8628 §3.4
}

// Token is the token endpoint: authenticate the client, pick the grant, redeem
// it, mint. Redeeming is durable before anything is signed, and begins when all
// that comes from elsewhere is there.
//
// Errors: *Error.
func (a *Authority) Token(ctx context.Context, call Call) (Tokens, error) {
	ctx, span := trace.Start(ctx, "oauth.Token")
	defer span.End()
	p, e := parse(call.Form)
	if e != nil {
		return Tokens{}, e
	}
	// 1. Authenticate the client.
	c, e := a.authenticate(ctx, call, PathToken, p)
	if e != nil {
		return Tokens{}, e
	}
	c = calling(c, call)
	// 2. Pick the grant.
	kind := p.get("grant_type")
	redeem, ok := grants[kind]
	switch {
	case kind == "":
		return Tokens{}, fail(InvalidRequest, "The parameter grant_type is missing")
	case !ok:
		return Tokens{}, fail(UnsupportedGrantType, "The grant_type %s is not supported", plain(kind))
	case !slices.Contains(c.GrantTypes, kind):
		return Tokens{}, fail(UnauthorizedClient, "The client is not registered for the %s grant", kind)
	}
	var to recipient
	if kind != model.GrantClientCredentials {
		if to, e = a.idRecipient(ctx, c); e != nil {
			return Tokens{}, e
		}
	}
	// 3. Redeem it.
	i, e := redeem(a, ctx, c, p)
	if e != nil {
		return Tokens{}, e
	}
	i.to = to
	if err := a.await(ctx, i.at); err != nil {
		return Tokens{}, inner(err)
	}
	// 4. Mint.
	t, err := a.mint(i)
	if err != nil {
		return Tokens{}, inner(err)
	}
	t.AuthSession = i.auth.Reveal()
	a.Registrar.NoteUse(ctx, c.ID)
	if a.Issued != nil {
		a.Issued(kind, c.Client)
	}
	return t, nil
}

// calling is a client with the address from where it calls.
func calling(c *registration.Client, call Call) *registration.Client {
	it := *c
	it.Address = call.Address
	return &it
}

// redeemCredentials lets a client act for itself, RFC 6749 §4.4. Without a
// scope it gets what it is registered for, but for reserved scopes: an API that is
// sent a token is not to find the run of this server in it unasked.
func (a *Authority) redeemCredentials(ctx context.Context, c *registration.Client, p params) (issuance, *Error) {
	asked := p.list("scope")
	if len(asked) == 0 {
		asked = slices.DeleteFunc(without(c.Scopes, registration.StandardScopes), registration.ReservedScope)
	}
	for _, s := range asked {
		if slices.Contains(registration.StandardScopes, s) {
			return issuance{}, fail(InvalidScope, "The scope %s is about a person, and there is none", plain(s))
		}
	}
	if e := allowScope(c.Client, asked); e != nil {
		return issuance{}, e
	}
	aud, e := a.target(p.all("resource"), asked, a.audience(c.Client, asked))
	if e != nil {
		return issuance{}, e
	}
	// The client may have been disabled since it was read, and its tokens put out. The
	// time is that before the question: what ends after it has a cut-off that is no
	// earlier than the answer (see store.Ending).
	now := a.unix()
	var cut int64
	err := a.Store.Ask(ctx, func(tx *store.Tx) (err error) { cut, err = tx.OwnCutOff(c.ID); return err })
	if errors.Is(err, store.ErrNotFound) {
		return issuance{}, errNotThisClient(err)
	}
	if err != nil {
		return issuance{}, inner(err).(*Error)
	}
	at, e := issuedAt(now, cut+1)
	return issuance{client: c, scope: asked, audience: aud, at: at}, e
}

// person returns the account behind a grant if it may hold tokens. A locked
// one is told apart, so that an application can stop asking.
func person(tx *store.Tx, id model.UserID) (model.User, *Error) {
	u, err := tx.User(id)
	if err != nil {
		return model.User{}, errNoAccount(err)
	}
	return u, mayHold(u.Status)
}

// holder is person for a grant whose tokens a client gets. All that is known of
// somebody is read only where a token tells some of it; else whether they may hold it.
func holder(tx *store.Tx, c *registration.Client, h store.Holding) (model.User, *Error) {
	id := h.Grant.UserID
	if h.Grant.Claims.IDToken != nil || len(c.GroupsIn) > 0 {
		return person(tx, id)
	}
	if h.Status == "" {
		return model.User{}, errNoAccount(store.ErrNotFound)
	}
	return model.User{ID: id, Status: h.Status}, mayHold(h.Status)
}

func errNoAccount(cause error) *Error {
	return &Error{Code: InvalidGrant, Description: "The account no longer exists", cause: cause}
}

func mayHold(status model.UserStatus) *Error {
	if status != model.UserActive {
		return errEnded(model.CauseAccountDisabled)
	}
	return nil
}

// unreserved reports whether s consists of the unreserved characters of RFC
// 3986 §2.3, the alphabet of RFC 7636 §4.1.
func unreserved(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
