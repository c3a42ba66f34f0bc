package resource

import (
	"net/http"
	"slices"
	"time"
)

// Authentication is how a person must have signed in for a route.
type Authentication struct {
	MaxAge time.Duration // the sign-in is so old at most; 0: any
	ACR    []string      // it was done in one of these ways; empty: any
}

// RequireAuthentication lets only requests through whose access token tells of a
// sign-in that is young and strong enough, RFC 9470. Others are told what to ask
// the authorization server for. It panics if a value of a cannot be written into
// a challenge.
func (g *Guard) RequireAuthentication(a Authentication) func(http.Handler) http.Handler {
	for _, acr := range a.ACR {
		if !quotable(acr) {
			panic("resource: an ACR cannot be written into a challenge")
		}
	}
	if a.MaxAge < 0 || a.MaxAge%time.Second != 0 {
		panic("resource: MaxAge is not a number of seconds")
	}
	return g.require(func(t *AccessToken) error {
		description := ""
		switch {
		case a.MaxAge > 0 && t.AuthTime.Before(g.now().Add(-a.MaxAge-g.leeway)): // also when it is not told
			description = "A more recent authentication is required"
		case len(a.ACR) > 0 && !slices.Contains(a.ACR, t.ACR):
			description = "A stronger authentication is required"
		default:
			return nil
		}
		return &Refusal{ // RFC 9470 §3
			Status: http.StatusUnauthorized, Code: CodeInsufficientSignIn, Description: description,
			ACR: a.ACR, MaxAge: a.MaxAge,
		}
	})
}
