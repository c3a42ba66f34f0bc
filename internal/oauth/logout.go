package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Logout is a checked request to sign out, OpenID Connect RP-Initiated Logout
// §2.
type Logout struct {
	Client    model.Client    // zero: nobody says which application asks
	SessionID model.SessionID // from the hint; empty: there was none
	to        string
	state     string
}

// BeginLogout checks a logout request. Whatever is wrong is shown to the
// person: an address that is not registered is never followed (§3).
//
// Errors: *Error, shown.
func (a *Authority) BeginLogout(ctx context.Context, form url.Values) (Logout, error) {
	p, e := parse(form)
	if e != nil {
		return Logout{}, e
	}
	var l Logout
	id := model.ClientID(p.get("client_id"))
	if hint := p.get("id_token_hint"); hint != "" {
		claims, _, err := a.hint(ctx, hint)
		if err != nil && !errors.Is(err, errNoHint) {
			return Logout{}, inner(err)
		}
		if err != nil {
			return Logout{}, errHint(err)
		}
		aud := model.ClientID(claims.Audience[0])
		if id != "" && id != aud {
			return Logout{}, fail(InvalidRequest, "The client_id and the id_token_hint differ") // §2
		}
		id, l.SessionID = aud, model.SessionID(claims.SessionID)
	}
	to := p.get("post_logout_redirect_uri")
	if id == "" {
		if to != "" {
			return Logout{}, fail(InvalidRequest, "A post_logout_redirect_uri needs an id_token_hint or a client_id") // §3
		}
		return l, nil
	}
	c, err := a.Registrar.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) && l.SessionID != "" && to == "" {
		return l, nil // the client was removed meanwhile; the person may leave all the same
	}
	if errors.Is(err, store.ErrNotFound) {
		return Logout{}, fail(UnauthorizedClient, "No application is registered here under this client_id")
	}
	if err != nil {
		return Logout{}, inner(err)
	}
	if to != "" && !slices.Contains(c.PostLogoutRedirectURIs, to) {
		return Logout{}, fail(InvalidRequest, "The post_logout_redirect_uri is not registered for this client") // §3.1
	}
	l.Client, l.to, l.state = c.Client, to, p.get("state")
	return l, nil
}

// Confirmed reports whether the request proves, by an ID token of ours that was
// issued in it, that it is about this very session, so that the person need not
// be asked (§2: "the OP … SHOULD ask").
func (l Logout) Confirmed(s model.Session) bool {
	return l.SessionID != "" && l.SessionID == s.ID
}

// Back returns where the browser goes after it, "" where it stays here.
func (l Logout) Back() string {
	if l.to == "" || l.state == "" {
		return l.to
	}
	u, err := url.Parse(l.to)
	if err != nil {
		return ""
	}
	if u.RawQuery != "" {
		u.RawQuery += "&" // what is registered is retained, byte for byte
	}
	u.RawQuery += url.Values{"state": {l.state}}.Encode()
	return u.String()
}
