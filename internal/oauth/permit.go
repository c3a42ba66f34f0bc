package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Permit is an access token of ours with which this server itself is asked for
// something: whose it is and what it permits.
type Permit struct {
	Client    model.Client
	User      model.UserID // empty: the client acts for itself
	Scope     []string
	ExpiresAt int64

	token bearer
}

// Permit reads an access token that has to permit a scope here: one for another
// audience does not, though it be ours.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1).
func (a *Authority) Permit(ctx context.Context, token, scope string) (Permit, error) {
	t, err := a.accessToken(ctx, token)
	if errors.Is(err, errDead) {
		return Permit{}, errNotAlive(err)
	}
	if err != nil {
		return Permit{}, inner(err)
	}
	if !slices.Contains(t.Audience, a.Issuer) {
		return Permit{}, fail(InvalidToken, "The access token is for another audience") // RFC 9068 §4
	}
	c, err := a.client(ctx, model.ClientID(t.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return Permit{}, errNotAlive(err)
	}
	if err != nil {
		return Permit{}, inner(err)
	}
	p := Permit{Client: c.Client, User: t.user, Scope: strings.Fields(t.Scope), ExpiresAt: t.ExpiresAt, token: t}
	// What an operator has taken from the client, its older tokens lose as well.
	if !slices.Contains(p.Scope, scope) || !slices.Contains(c.Scopes, scope) {
		return Permit{}, fail(InsufficientScope, "The scope %s is required", scope)
	}
	return p, nil
}

// EndedBy reports whether an entry of the revocation log puts the token out.
func (p Permit) EndedBy(r model.Revocation) bool {
	t := p.token
	switch r.Kind {
	case model.KindSession:
		return r.Value == t.SessionID
	case model.KindGrant:
		return r.Value == t.GrantID
	case model.KindToken:
		return r.Value == t.ID
	case model.KindSubject:
		return r.Value == string(t.user) && t.IssuedAt <= r.CutOff
	case model.KindClient:
		return r.Value == t.ClientID && t.IssuedAt <= r.CutOff
	}
	return t.IssuedAt <= r.CutOff // all, and what this program does not know
}

// Follow lets a client follow the revocation feed. The APIs that it stands for are
// the audiences that it sees.
//
// Errors: *Error with InvalidToken, InsufficientScope, or AccessDenied for a client
// that stands for no API.
func (a *Authority) Follow(ctx context.Context, token string) (Permit, error) {
	p, err := a.Permit(ctx, token, ScopeFeed)
	switch {
	case err != nil:
		return Permit{}, err
	case p.token.GrantID != "":
		return Permit{}, fail(InsufficientScope, "The access token is a person's: a client has to get one for itself, with client_credentials")
	case len(p.Client.Resources) == 0:
		return Permit{}, fail(AccessDenied, "The client stands for no API, so nothing concerns it: an operator names one with ostiary client update %s --resource URI", plain(string(p.Client.ID)))
	}
	return p, nil
}
