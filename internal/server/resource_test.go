package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwt"
)

const (
	orders  = "https://orders.example/api"
	billing = "https://billing.example"
)

// audienceOf reads for whom an access token is.
func audienceOf(t *testing.T, a servertest.Answer) []string {
	t.Helper()
	tok, err := jwt.DecodeUnverified[jwt.Registered](a.String("access_token"))
	if err != nil {
		t.Fatalf("%v in %d %s", err, a.Status, a.Text)
	}
	return tok.Claims.Audience
}

// TestResource narrows the audience of access tokens, RFC 8707 §2: at the
// authorization endpoint for the whole grant, at the token endpoint for the one
// token; nowhere does it grow. With the scope openid this server stays in it.
func TestResource(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		s := front()
		s.Audiences = []string{orders, billing, "not-a-uri"}
		c, secret := h.Client("app", s)
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(c), "olena", password)
		code := func(scope string, resources ...string) *url.URL {
			u, _ := url.Parse(servertest.AuthorizePath(c, "scope", scope))
			q := u.Query()
			q["resource"] = resources
			return b.Get("/authorize?" + q.Encode()).Left
		}
		redeem := func(at *url.URL, resources ...string) servertest.Answer {
			return h.Call("/token", c, secret, url.Values{
				"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]},
				"code_verifier": {servertest.Verifier}, "resource": resources,
			})
		}
		all := []string{orders, billing, "not-a-uri"}
		for _, row := range []struct {
			name          string
			scope         string
			asked, redeem []string
			want          []string // nil: invalid_target at the token endpoint
		}{
			{"none is asked for", "orders:write", nil, nil, all},
			{"none is asked for, openid", "openid", nil, nil, append(slices.Clone(all), h.Issuer)},
			{"one", "orders:write", []string{orders}, nil, []string{orders}},
			{"one twice", "orders:write", []string{orders, orders}, nil, []string{orders}},
			{"one, and an empty one, which counts as none", "orders:write", []string{orders, ""}, nil, []string{orders}},
			{"two", "orders:write", []string{billing, orders}, nil, []string{billing, orders}},
			{"one with openid", "openid", []string{orders}, nil, []string{orders, h.Issuer}},
			{"this server alone", "openid", []string{h.Issuer}, nil, []string{h.Issuer}},
			{"two, then one of them", "orders:write", []string{orders, billing}, []string{billing}, []string{billing}},
			{"all, then one", "openid", nil, []string{billing}, []string{billing, h.Issuer}},
			{"one, then another (RFC 8707 §2.2)", "orders:write", []string{orders}, []string{billing}, nil},
			{"one, then more", "orders:write", []string{orders}, []string{orders, billing}, nil},
			{"all, then a stranger's", "orders:write", nil, []string{"https://other.example"}, nil},
			{"all, then this server without openid", "orders:write", nil, []string{h.Issuer}, nil},
			{"an audience that is no URI cannot be asked for", "orders:write", nil, []string{"not-a-uri"}, nil},
			{"a fragment", "orders:write", nil, []string{orders + "#"}, nil},
		} {
			t.Run(row.name, func(t *testing.T) {
				a := redeem(code(row.scope, row.asked...), row.redeem...)
				if row.want == nil {
					if a.Status != http.StatusBadRequest || a.String("error") != "invalid_target" || !described(a.String("error_description")) {
						t.Errorf("%d %s", a.Status, a.Text)
					}
					return
				}
				if got := audienceOf(t, a); !slices.Equal(got, row.want) {
					t.Errorf("aud %v, want %v", got, row.want)
				}
			})
		}
		t.Run("a renewal picks another part of the grant, and no more", func(t *testing.T) {
			a := redeem(code("openid", orders, billing), orders)
			for _, row := range []struct {
				scope    string
				resource []string
				want     []string // nil: invalid_target
			}{
				{"", []string{billing}, []string{billing, h.Issuer}},
				{"", []string{"https://other.example"}, nil},
				{"", []string{"not-a-uri"}, nil},
				{"", nil, []string{orders, billing, h.Issuer}},
			} {
				next := h.Call("/token", c, secret, url.Values{
					"grant_type": {"refresh_token"}, "refresh_token": {a.String("refresh_token")}, "resource": row.resource, "scope": {row.scope},
				})
				if row.want == nil {
					if next.String("error") != "invalid_target" {
						t.Errorf("%v: %s", row, next.Text)
					}
					continue // and the refresh token is not used up
				}
				if got := audienceOf(t, next); !slices.Equal(got, row.want) {
					t.Errorf("%v: aud %v", row, got)
				}
				userInfo(t, h, next.String("access_token"))
				a = next
			}
		})
		t.Run("without openid in its scope, a token is for the resource alone", func(t *testing.T) {
			a := redeem(code("openid orders:write", orders))
			a = h.Call("/token", c, secret, url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {a.String("refresh_token")}, "resource": {orders}, "scope": {"orders:write"},
			})
			if got := audienceOf(t, a); !slices.Equal(got, []string{orders}) {
				t.Errorf("aud %v", got)
			}
		})
		t.Run("from the front channel", func(t *testing.T) {
			v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code token", "resource", billing)), c.RedirectURIs[0])
			tok, err := jwt.DecodeUnverified[jwt.Registered](v.Get("access_token"))
			if err != nil || !slices.Equal(tok.Claims.Audience, []string{billing, h.Issuer}) {
				t.Errorf("%v %v", v, err)
			}
		})
		t.Run("a client that acts for itself", func(t *testing.T) {
			for resource, want := range map[string]string{orders: "", "https://other.example": "invalid_target", h.Issuer: "invalid_target", "": ""} {
				a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:write"}, "resource": {resource}})
				if a.String("error") != want {
					t.Errorf("%s: %s", resource, a.Text)
				}
				if want == "" && resource != "" && !slices.Equal(audienceOf(t, a), []string{resource}) {
					t.Errorf("%s: aud %v", resource, audienceOf(t, a))
				}
			}
		})
	})
}
