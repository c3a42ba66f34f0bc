package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// warden is a client that may put people out everywhere.
func warden(t *testing.T, h *servertest.House) *receiver {
	t.Helper()
	c, secret := h.Client("warden", model.ClientSettings{GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{oauth.ScopeRevoke, "ssf.manage"}})
	r := &receiver{t: t, h: h, client: c, secret: secret}
	r.token = r.tokenFor(oauth.ScopeRevoke)
	return r
}

// exerciseGlobalRevocation: draft-parecki-oauth-global-token-revocation-06 §5.
func exerciseGlobalRevocation(t *testing.T, w *tour) {
	r := warden(t, w.h)
	u := w.h.User("to-be-revoked", password)
	token := w.h.Redeem(w.c, w.secret, w.h.Browser().SignIn(servertest.AuthorizePath(w.c), u.Login, password)).String("access_token")
	a := r.ask("POST", w.document["global_token_revocation_endpoint"].(string), map[string]any{"sub_id": map[string]any{"format": "opaque", "id": u.ID}})
	if a.Status != http.StatusNoContent || active(w.h, w.c, w.secret, token) {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestGlobalRevocation: draft-parecki-oauth-global-token-revocation-06 §3: all that
// one person has ends, and of nobody else.
func TestGlobalRevocation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := warden(t, h)
		c, secret := h.Client("shop", web)
		p, _ := h.Client("club", func() model.ClientSettings { s := web; s.SubjectType = model.SubjectPairwise; return s }())
		olena := h.User("olena", password)
		h.User("taras", password)
		endpoint := h.Issuer + oauth.PathGlobalRevocation
		revoke := func(id map[string]any) servertest.Answer {
			return r.ask("POST", endpoint, map[string]any{"sub_id": id})
		}
		other := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "taras", password)).String("access_token")
		h.Browser().SignIn(servertest.AuthorizePath(p), "olena", password)
		pairwise := view(t, h, func(tx *store.Tx) (model.Subject, error) { return tx.SubjectOf(olena.ID, "127.0.0.1") }).Value

		for _, row := range []struct {
			name string
			id   map[string]any
		}{
			{"§3.2: an e-mail address", map[string]any{"format": "email", "email": "Olena@example.com"}},
			{"§3.2: the identifier here", map[string]any{"format": "opaque", "id": olena.ID}},
			{"§3.2: issuer and subject", map[string]any{"format": "iss_sub", "iss": h.Issuer, "sub": olena.ID}},
			{"the name in a sector", map[string]any{"format": "iss_sub", "iss": h.Issuer, "sub": pairwise}},
			{"RFC 9493 §3.2.1: an account", map[string]any{"format": "account", "uri": "acct:olena@localhost"}},
		} {
			b := h.Browser()
			tokens := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c, "scope", "openid offline_access"), "olena", password))
			if a := revoke(row.id); a.Status != 204 || a.Text != "" {
				t.Errorf("%s: %d %s", row.name, a.Status, a.Text)
			}
			// §3.3
			if a := h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}}); a.Status != 400 || a.String("error") != "invalid_grant" {
				t.Errorf("%s: refresh: %d %s", row.name, a.Status, a.Text)
			}
			if active(h, c, secret, tokens.String("access_token")) {
				t.Errorf("%s: the access token is good", row.name)
			}
			if left := b.Get(servertest.AuthorizePath(c, "prompt", "none")).Left; left == nil || left.Query().Get("error") != "login_required" {
				t.Errorf("%s: the session goes on: %v", row.name, left)
			}
		}
		if !active(h, c, secret, other) {
			t.Error("another person was put out")
		}
		h.Clock.Move(2 * time.Second) // the cut-off counts whole seconds
		b := h.Browser()              // and whoever signs in again is in
		if !active(h, c, secret, h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", password)).String("access_token")) {
			t.Error("nobody can sign in any more")
		}
		if !slices.Contains(eventsAbout(t, h), "user.sign_out") {
			t.Error("it is not in the audit log")
		}
	})
}

// TestGlobalRevocationRefusals: draft-parecki-oauth-global-token-revocation-06
// §3.4.2.
func TestGlobalRevocationRefusals(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := warden(t, h)
		h.User("olena", password)
		good, manage := r.token, r.tokenFor("ssf.manage")
		opaque := map[string]any{"sub_id": map[string]any{"format": "opaque", "id": "nobody"}}
		id := func(members ...string) map[string]any {
			m := map[string]any{}
			for i := 0; i < len(members); i += 2 {
				m[members[i]] = members[i+1]
			}
			return map[string]any{"sub_id": m}
		}
		for _, row := range []struct {
			name, token string
			body        any
			status      int
		}{
			{"400: malformed", good, `{"sub_id":`, 400},
			{"400: no sub_id", good, map[string]any{}, 400},
			{"400: more than sub_id", good, map[string]any{"sub_id": opaque["sub_id"], "sub": "x"}, 400},
			{"400: no format", good, id("id", "x"), 400},
			{"400: without what its format requires", good, id("format", "email"), 400},
			{"400: an unsupported type of subject identifier", good, id("format", "phone_number", "phone_number", "+380441234567"), 400},
			{"400: a complex one", good, map[string]any{"sub_id": map[string]any{"format": "complex", "user": opaque["sub_id"]}}, 400},
			{"400: no acct: URI", good, id("format", "account", "uri", "olena"), 400},
			{"401: none", "", opaque, 401},
			{"401: invalid", "x", opaque, 401},
			{"403: missing scopes", manage, opaque, 403},
			{"404: user not found", good, opaque, 404},
			{"404: an address of nobody", good, id("format", "email", "email", "nobody@example.com"), 404},
			{"404: another issuer's", good, id("format", "iss_sub", "iss", "https://other.example", "sub", "olena"), 404},
		} {
			r.token = row.token
			if a := r.ask("POST", h.Issuer+oauth.PathGlobalRevocation, row.body); a.Status != row.status {
				t.Errorf("%s: %d %s", row.name, a.Status, a.Text)
			}
		}
		// An address that nobody has proven, or that two have, is nobody's.
		r.token = good
		for _, login := range []string{"double1", "double2"} {
			u := h.User(login, password)
			u.Profile.Email = "both@example.com"
			// As they could when nobody looked who else has it.
			if err := h.Store.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.UpdateUser(u) }); err != nil {
				t.Fatal(err)
			}
		}
		u := h.User("unproven", password)
		u.Profile.EmailVerified = false
		update(t, h, u)
		for _, email := range []string{"both@example.com", "unproven@example.com"} {
			if a := r.ask("POST", h.Issuer+oauth.PathGlobalRevocation, id("format", "email", "email", email)); a.Status != 404 {
				t.Errorf("%s: %d %s", email, a.Status, a.Text)
			}
		}
		if log := h.Log.String(); strings.Contains(log, good) {
			t.Error("a token is in the log")
		}
	})
}

// update writes the profile of a person.
func update(t *testing.T, h *servertest.House, u model.User) {
	t.Helper()
	if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &u.Profile}); err != nil {
		t.Fatal(err)
	}
}
