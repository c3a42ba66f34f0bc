package resource

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// What goes on after the check, such as a stream, is ended by what ends its token,
// and by nothing else.
func TestRevoked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		g, err := New(Config{Issuer: feedIssuer, Audience: "https://api.example", Feed: h.feed, Now: h.now})
		if err != nil {
			t.Fatal(err)
		}
		token := &AccessToken{Issuer: feedIssuer, Subject: "alice", ClientID: "shop", SessionID: "s1", ID: "t1", IssuedAt: h.now()}
		long := &AccessToken{Issuer: feedIssuer, SessionID: "s2", ExpiresAt: h.now().Add(-time.Hour)}
		other := &AccessToken{Issuer: "https://other.example", SessionID: "s1"}
		for _, one := range []*AccessToken{token, long, other} {
			if err := g.Revoked(one); err != nil {
				t.Errorf("before: %v", err)
			}
		}
		h.end("session", "s1")
		h.want(t, "the session has ended", soon, func() bool { return g.Revoked(token) != nil })
		refusal, _ := errors.AsType[*Refusal](g.Revoked(token))
		if refusal == nil || refusal.Status != http.StatusUnauthorized || refusal.Description != "The session has ended" || !errors.Is(refusal, ErrRevoked) {
			t.Errorf("%v", refusal)
		}
		for _, one := range []*AccessToken{long, other} {
			if err := g.Revoked(one); err != nil {
				t.Errorf("another session: %v", err)
			}
		}
		h.end("subject", "bob", func(e *sent) { e.Cause = "account_disabled" })
		bob := &AccessToken{Issuer: feedIssuer, Subject: "bob", IssuedAt: h.now().Add(-time.Minute)}
		h.want(t, "the account is locked", soon, func() bool { return errors.Is(g.Revoked(bob), ErrAccountDisabled) })
		h.stop()
		time.Sleep(time.Minute)
		if err := g.Revoked(long); err != nil {
			t.Errorf("while the feed is stale: %v", err)
		}
	})
}
