package server_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestRevocation: RFC 7009 §2, answered truthfully by RFC 7662 §2.2. Attack rows T6, T7
// and T8.
func TestRevocation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		other, otherSecret := h.Client("other", web)
		b := h.Browser()
		tokens := func() servertest.Answer {
			return h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
		}
		revoke := func(c model.Client, s model.Secret, token string) int {
			return h.Call("/revoke", c, s, url.Values{"token": {token}}).Status
		}
		t.Run("an access token alone", func(t *testing.T) {
			a := tokens()
			if revoke(c, secret, a.String("access_token")) != 200 || active(h, c, secret, a.String("access_token")) || !active(h, c, secret, a.String("refresh_token")) {
				t.Error("the access token lives, or more than it died")
			}
		})
		t.Run("a refresh token with its grant (RFC 7009 §2.1)", func(t *testing.T) {
			a := tokens()
			if revoke(c, secret, a.String("refresh_token")) != 200 || active(h, c, secret, a.String("access_token")) || active(h, c, secret, a.String("refresh_token")) {
				t.Error("something of the grant lives")
			}
			if revoke(c, secret, a.String("refresh_token")) != 200 {
				t.Error("revoking twice is not an error (RFC 7009 §2.2)")
			}
		})
		t.Run("another client's token (RFC 7009 §2.1)", func(t *testing.T) {
			a := tokens()
			for _, kind := range []string{"access_token", "refresh_token"} {
				refused(t, h.Call("/revoke", other, otherSecret, url.Values{"token": {a.String(kind)}}), http.StatusBadRequest, "invalid_grant")
			}
			if !active(h, c, secret, a.String("access_token")) || !active(h, c, secret, a.String("refresh_token")) {
				t.Error("another client revoked it")
			}
			if active(h, other, otherSecret, a.String("access_token")) { // RFC 7662 §4
				t.Error("another client may introspect it")
			}
		})
		t.Run("a hint that is wrong or unknown (RFC 7009 §2.1)", func(t *testing.T) {
			for _, hint := range []string{"access_token", "refresh_token", "id_token", "cheese"} {
				for _, kind := range []string{"access_token", "refresh_token"} {
					token := tokens().String(kind)
					a := h.Call("/revoke", c, secret, url.Values{"token": {token}, "token_type_hint": {hint}})
					if a.Status != http.StatusOK || active(h, c, secret, token) {
						t.Errorf("%s, called %s: %d %s", kind, hint, a.Status, a.Text)
					}
				}
			}
		})
		t.Run("a refresh token of an older generation", func(t *testing.T) {
			a := tokens()
			next := renew(h, c, secret, a.String("refresh_token"))
			if revoke(c, secret, a.String("refresh_token")) != 200 || active(h, c, secret, next.String("access_token")) || active(h, c, secret, next.String("refresh_token")) {
				t.Error("something of the family lives")
			}
			next = renew(h, c, secret, next.String("refresh_token"))
			refused(t, next, http.StatusBadRequest, "invalid_grant")
			if next.String("ostiary_cause") != "revoked" {
				t.Errorf("%s", next.Text)
			}
		})
		t.Run("what cannot be revoked (RFC 7009 §2.2)", func(t *testing.T) {
			a := tokens()
			token := a.String("access_token")
			for name, bad := range map[string]string{
				"an ID token": a.String("id_token"), "a broken signature": token[:len(token)-8] + "AAAAAAAA", "a forged refresh token": a.String("refresh_token")[:40] + "x",
			} {
				if revoke(c, secret, bad) != 200 || !active(h, c, secret, token) || !active(h, c, secret, a.String("refresh_token")) {
					t.Errorf("%s: something ended", name)
				}
			}
			h.Clock.Move(6 * time.Minute)
			if revoke(c, secret, token) != 200 || !active(h, c, secret, a.String("refresh_token")) {
				t.Error("an expired token: something ended")
			}
		})
		t.Run("nonsense", func(t *testing.T) {
			if revoke(c, secret, "nonsense") != 200 || revoke(c, "", "nonsense") != 401 || revoke(c, secret, "") != 400 {
				t.Error("unknown tokens are 200, unknown clients 401, no token 400")
			}
		})
	})
}
