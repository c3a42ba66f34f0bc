package server_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwt"
)

// asksReserved is what a stranger might ask for.
const asksReserved = "openid ostiary:feed ostiary:revoke ostiary:anything ssf.manage ssf.read"

// TestReservedScope: nobody registers for a scope of the operator's, whichever way
// they come.
func TestReservedScope(t *testing.T) {
	key, set := signer(t)
	vendor := oauth.Registration{Mode: oauth.RegistrationOpen, PerHour: 1000, Statements: map[string]oauth.StatementKeys{"https://vendor.example": {JWKS: set}}}
	s := newSite(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		scopes := func(id model.ClientID) string {
			return joined(view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(id) }).Scopes)
		}
		c, _, a := registered(t, h, suite.and("scope", asksReserved))
		if scopes(c.ID) != "openid" || a.JSON["scope"] != "openid" { // RFC 7591 §3.2.1: the answer says so
			t.Errorf("registered: %s %s", scopes(c.ID), a.Text)
		}
		refused(t, register(t, h, suite.and("scope", "ostiary:feed")), 400, "invalid_client_metadata")

		again := send(t, "PUT", a.String("registration_client_uri"), a.String("registration_access_token"), suite.and("scope", asksReserved).and("client_id", c.ID))
		if again.Status != 200 || scopes(c.ID) != "openid" {
			t.Errorf("changed: %d %s", again.Status, scopes(c.ID))
		}
		statement, err := jwt.Sign(meta{"iss": "https://vendor.example", "scope": asksReserved}, key, jwt.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c, _, _ := registered(t, h, suite.and("software_statement", statement)); scopes(c.ID) != "openid" {
			t.Errorf("vouched for: %s", scopes(c.ID))
		}
		h.User("olena", password)
		d := s.publish(t, "/reserved.json", meta{"scope": asksReserved})
		h.Browser().SignIn(servertest.AuthorizePath(d, "scope", "openid"), "olena", password)
		if scopes(d.ID) != "openid" {
			t.Errorf("by a document: %s", scopes(d.ID))
		}
	}, s.documents(vendor))
}

// TestReservedScopeOfOperator: an operator gives one, and a token that has it is
// for this server; it has it only where it was asked for.
func TestReservedScopeOfOperator(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("api", model.ClientSettings{
			Scopes: []string{"orders:read", oauth.ScopeFeed}, Audiences: []string{"https://orders.example"}, Resources: []string{"https://orders.example"},
		})
		for _, row := range []struct{ name, scope, resource, want, aud string }{
			{"unasked", "", "", "orders:read", "https://orders.example"},
			{"asked", "ostiary:feed", "", "ostiary:feed", "https://orders.example " + h.Issuer},
			{"asked, for this server alone", "ostiary:feed", h.Issuer, "ostiary:feed", h.Issuer},
			{"asked beside another", "orders:read ostiary:feed", "https://orders.example", "orders:read ostiary:feed", "https://orders.example " + h.Issuer},
		} {
			form := url.Values{"grant_type": {"client_credentials"}}
			if row.scope != "" {
				form.Set("scope", row.scope)
			}
			if row.resource != "" {
				form.Set("resource", row.resource)
			}
			a := h.Call("/token", c, secret, form)
			if a.Status != 200 {
				t.Fatalf("%s: %d %s", row.name, a.Status, a.Text)
			}
			token, err := jwt.DecodeUnverified[jwt.Registered](a.String("access_token"))
			if err != nil {
				t.Fatal(err)
			}
			if aud := strings.Join(token.Claims.Audience, " "); a.String("scope") != row.want || aud != row.aud {
				t.Errorf("%s: scope %q for %q", row.name, a.String("scope"), aud)
			}
		}
		refused(t, h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {oauth.ScopeUsers}}), 400, "invalid_scope")
	})
}

// TestReservedScopePolicy: the policy of registration cannot hold one.
func TestReservedScopePolicy(t *testing.T) {
	for _, scope := range []string{"ostiary:feed", "ostiary:", "ssf.manage", "ssf.x"} {
		r := oauth.Registration{Mode: oauth.RegistrationOpen, Scopes: []string{"openid", scope}}
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), scope) {
			t.Errorf("%s: %v", scope, err)
		}
	}
	r := oauth.Registration{Scopes: []string{"ostiary", "feed:ostiary:", "ssf", "mcp:tools"}}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(oauth.StandardScopes, oauth.ReservedScope) {
		t.Error("a standard scope is reserved")
	}
}
