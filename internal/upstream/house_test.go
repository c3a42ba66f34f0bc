package upstream_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwk"
)

const password = "correct horse battery"

// there signs in at a house and returns what it brings to the callback.
func there(t *testing.T, b *servertest.Browser, d upstream.Departure) upstream.Answer {
	t.Helper()
	p := b.Get(d.Address)
	if p.Left == nil && p.Form().Values.Has("login") {
		p = p.Submit("primary", "login", "olena", "password", password)
	}
	if p.Left != nil {
		return upstream.Answer{Method: http.MethodGet, Values: p.Left.Query(), Query: p.Left.RawQuery, At: callback}
	}
	f := p.Form()
	if f.Action != callback || p.Status != http.StatusOK {
		t.Fatalf("the sign-in ended at %s with %d: %s", p.URL, p.Status, p.Body)
	}
	return upstream.Answer{Method: http.MethodPost, Values: f.Values, At: callback}
}

// TestHouse signs in at a second instance of ours: by every method of authentication, in
// both response modes, with the answers signed in every way that a client may be
// registered for.
func TestHouse(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		ec, rsa := ecKey(t, "ours"), rsaKeys()[1]
		guarded := fetch.New(fetch.Config{Allow: loopback})
		for _, row := range []struct {
			id, method, more string
			settings         func(s *model.ClientSettings)
			key              *jwk.Key
		}{
			{"basic", "client_secret_basic", `"response_mode":"form_post"`, nil, nil},
			{"post", "client_secret_post", `"response_mode":"query"`, nil, nil},
			{"secret-jwt", "client_secret_jwt", `"id_token_signed_response_alg":"ES256"`, func(s *model.ClientSettings) { s.IDTokenAlgorithm = "ES256" }, nil},
			{"key-ec", "private_key_jwt", `"key_id":"ours","userinfo_signed_response_alg":"RS256","response_mode":"form_post"`, func(s *model.ClientSettings) { s.UserInfoAlgorithm = "RS256" }, ec},
			{"key-rsa", "private_key_jwt", `"key_id":"key-1","assertion_audience":"` + h.Issuer + `/token"`, nil, rsa},
			{"public", "none", `"id_token_signed_response_alg":"PS256","userinfo_signed_response_alg":"ES256"`, func(s *model.ClientSettings) {
				s.IDTokenAlgorithm, s.UserInfoAlgorithm = "PS256", "ES256"
			}, nil},
		} {
			s := model.ClientSettings{
				Name: "Ours", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code"}, AuthMethod: row.method, FirstParty: true,
				Scopes: []string{"openid", "profile", "email", "groups"}, PostLogoutRedirectURIs: []string{"https://id.example/out"},
			}
			if row.settings != nil {
				row.settings(&s)
			}
			secrets := map[string]model.Secret{}
			if row.key != nil {
				set, err := jwk.NewSet(row.key)
				if err == nil {
					s.JWKS, err = json.Marshal(set)
				}
				if err != nil {
					t.Fatal(err)
				}
				secrets["private_key"] = pemOf(t, row.key)
			}
			c, secret := h.Client(row.id, s)
			if secret != "" {
				secrets["client_secret"] = secret
			}
			connector, err := upstream.Open(upstream.Config{
				ID: "them", Kind: "oidc", Secrets: secrets, Callback: callback, Client: guarded, Now: h.Clock.Now,
				Connection: []byte(`{"issuer":"` + h.Issuer + `","client_id":"` + string(c.ID) + `","token_endpoint_auth_method":"` + row.method + `","scopes":["openid","profile","email","groups"],` + row.more + `}`),
			})
			if err != nil {
				t.Fatal(err)
			}
			v := connector.(upstream.Visitor)
			if err := v.Probe(t.Context()); err != nil {
				t.Errorf("%s: probe: %v", row.id, err)
			}
			age := int64(0)
			d, err := v.Begin(t.Context(), upstream.Wish{State: oneState, MaxAge: &age, LoginHint: "olena", Locales: []string{"uk"}, ACRValues: []string{"1"}})
			if err != nil {
				t.Fatal(err)
			}
			b := h.Browser()
			a := there(t, b, d)
			p, err := v.Finish(t.Context(), d.Kept, a)
			if err != nil {
				t.Errorf("%s: %v", row.id, err)
				continue
			}
			if p.Issuer != h.Issuer || p.Subject != string(u.ID) || p.AuthTime == 0 || p.Stay.Session == "" || p.Claims["email"] != "olena@example.com" ||
				p.Claims["email_verified"] != true || p.Claims["name"] != "Olena olena" || len(p.AMR) == 0 {
				t.Errorf("%s: %+v", row.id, p)
			}
			// The same answer once more: the code was used up.
			_, err = v.Finish(t.Context(), d.Kept, a)
			refused(t, row.id+", replayed", err, upstream.Untrusted, "invalid_grant")
			// Without a question, now that they are signed in; and a sign-out there and back.
			quiet, err := v.Begin(t.Context(), upstream.Wish{State: oneState, Prompt: []string{"none"}})
			if err != nil {
				t.Fatal(err)
			}
			if p, err = v.Finish(t.Context(), quiet.Kept, there(t, b, quiet)); err != nil || p.Subject != string(u.ID) {
				t.Errorf("%s, prompt=none: %v", row.id, err)
			}
			out, err := v.(upstream.Leaver).Leave(t.Context(), p.Stay, "https://id.example/out", "out-state")
			if err != nil {
				t.Fatal(err)
			}
			left := b.Get(out.Address).SubmitIf("primary")
			if left.Left == nil || left.Left.String() != "https://id.example/out?state=out-state" {
				t.Errorf("%s: the sign-out ended at %v: %s", row.id, left.Left, left.URL)
			}
			quiet, err = v.Begin(t.Context(), upstream.Wish{State: oneState, Prompt: []string{"none"}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Finish(t.Context(), quiet.Kept, there(t, b, quiet))
			refused(t, row.id+", prompt=none when signed out", err, upstream.Asks, "login_required")
		}
	})
}

// TestHouseEnds: what a second instance of ours posts when a session of its own ends, and
// what it lets a browser load.
func TestHouseEnds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		posted := make(chan url.Values, 4)
		ears := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			posted <- r.PostForm
		}))
		defer ears.Close()
		c, secret := h.Client("ours", model.ClientSettings{
			Name: "Ours", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code"}, AuthMethod: "client_secret_basic", FirstParty: true,
			Scopes: []string{"openid"}, BackchannelURI: ears.URL, BackchannelSession: true,
		})
		connector, err := upstream.Open(upstream.Config{
			ID: "them", Kind: "oidc", Secrets: map[string]model.Secret{"client_secret": secret}, Callback: callback, Client: fetch.New(fetch.Config{Allow: loopback}), Now: h.Clock.Now,
			Connection: []byte(`{"issuer":"` + h.Issuer + `","client_id":"` + string(c.ID) + `","scopes":["openid"]}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		v := connector.(upstream.Visitor)
		d, err := v.Begin(t.Context(), upstream.Wish{State: oneState})
		if err != nil {
			t.Fatal(err)
		}
		p, err := v.Finish(t.Context(), d.Kept, there(t, h.Browser(), d))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		select {
		case form := <-posted:
			e, err := v.(upstream.Hearer).Ended(t.Context(), upstream.Answer{Method: http.MethodPost, Values: form})
			if err != nil || e.Issuer != p.Stay.Issuer || e.Session != p.Stay.Session || e.Subject != p.Stay.Subject || e.ID == "" {
				t.Errorf("%+v %v; the stay was %+v", e, err, p.Stay)
			}
			if e, err := v.(upstream.Hearer).Ended(t.Context(), upstream.Answer{Method: http.MethodPost, Values: url.Values{"logout_token": {p.Stay.Hint}}}); err == nil {
				t.Errorf("an ID token ends a session: %+v", e)
			}
		case <-time.After(30 * time.Second):
			t.Error(errors.New("nothing was posted"))
		}
	})
}
