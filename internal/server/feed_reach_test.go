package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// signedIn is a token that an API was sent.
func signedIn(t *testing.T, h *servertest.House, c model.Client, secret model.Secret) map[string]any {
	t.Helper()
	a := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c, "scope", "orders:write"), "olena", password))
	if a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	return claimsOf(t, a.String("access_token"))
}

// TestFeedReach: an API is told of the sessions and people that it can have seen, by
// the names that stood in their tokens, and learns nothing of the others.
func TestFeedReach(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		shop, shopSecret := h.Client("shop", with(web, func(s *model.ClientSettings) { s.Audiences = []string{orders} }))
		bank, bankSecret := h.Client("bank", with(pairwise("bank.example"), func(s *model.ClientSettings) { s.Audiences = []string{billing} }))
		atOrders := following(t, h.Issuer, follower(t, h, "orders", orders))
		atBilling := following(t, h.Issuer, follower(t, h, "billing", billing, "https://unused.example"))
		atBoth := following(t, h.Issuer, follower(t, h, "both", billing, orders))
		inShop, inBank := signedIn(t, h, shop, shopSecret), signedIn(t, h, bank, bankSecret)
		if inShop["sub"] == inBank["sub"] {
			t.Fatal("the client is not pairwise")
		}
		expect := func(name string, s *stream, want ...string) {
			t.Helper()
			var got []string
			for len(got) < len(want) {
				for _, e := range s.entries() {
					got = append(got, e.String())
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s was told %q, want %q", name, got, want)
			}
		}
		// What is for everybody, after each step, shows that nothing else came before.
		mark := func(name string) string {
			revokeTokens(t, h, nil, name)
			return "token " + name + " policy"
		}
		if err := h.Accounts.SignOut(t.Context(), servertest.Operator, model.SessionID(inShop["sid"].(string))); err != nil {
			t.Fatal(err)
		}
		session, marked := fmt.Sprintf("session %s admin", inShop["sid"]), mark("one")
		expect("orders", atOrders, session, marked)
		expect("billing", atBilling, marked)
		expect("both", atBoth, session, marked)

		u, err := h.Accounts.ByLogin(t.Context(), "olena")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		marked = mark("two")
		public, private := fmt.Sprintf("subject %s account_disabled", inShop["sub"]), fmt.Sprintf("subject %s account_disabled", inBank["sub"])
		expect("orders", atOrders, public, marked)
		expect("billing", atBilling, private, marked)
		expect("both", atBoth, public, private, marked)
	})
}

func with(s model.ClientSettings, change func(*model.ClientSettings)) model.ClientSettings {
	change(&s)
	return s
}

// TestFeedKinds: each value is that of the claim by which a token is put out.
func TestFeedKinds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		shop, secret := h.Client("shop", with(web, func(s *model.ClientSettings) { s.Audiences = []string{orders} }))
		s := following(t, h.Issuer, follower(t, h, "orders", orders))
		end := store.Ending{Cause: model.CausePolicy, At: h.Clock.Now().Unix(), DropAt: h.Clock.Now().Unix() + 3600}
		c := signedIn(t, h, shop, secret)
		for _, row := range []struct {
			kind, claim string
			cutOff      bool
			end         func(*store.Tx) error
		}{
			{"token", "jti", false, func(tx *store.Tx) error { return tx.RevokeToken(c["jti"].(string), []string{orders}, end) }},
			{"grant", "grant_id", false, func(tx *store.Tx) error { return tx.EndGrant(model.GrantID(c["grant_id"].(string)), end) }},
			{"session", "sid", false, func(tx *store.Tx) error { return tx.EndSession(model.SessionID(c["sid"].(string)), end) }},
			{"subject", "sub", true, func(tx *store.Tx) error { return tx.EndUser(model.UserID(c["sub"].(string)), end) }},
			{"client", "client_id", true, func(tx *store.Tx) error { return tx.EndClient(shop.ID, end) }},
		} {
			change(t, h, row.end)
			e := s.entries()[0]
			if e.Kind != row.kind || e.Value != c[row.claim] || (e.CutOff != nil) != row.cutOff || row.cutOff && *e.CutOff != end.At || e.At != end.At || e.DropAt != end.DropAt {
				t.Errorf("%s: %+v, and %s is %v", row.kind, e, row.claim, c[row.claim])
			}
		}
	})
}

// TestFeedAccess: who may follow, and what the others are told.
func TestFeedAccess(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, secret := api(h, "orders", orders)
		good := feedToken(t, h, c, secret)
		other := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"other"}}).String("access_token")
		elsewhere := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}}).String("access_token")
		person, personSecret := h.Client("person", with(web, func(s *model.ClientSettings) {
			s.Scopes, s.Resources = append(slices.Clone(s.Scopes), oauth.ScopeFeed), []string{orders}
		}))
		ofPerson := h.Redeem(person, personSecret, h.Browser().SignIn(servertest.AuthorizePath(person, "scope", "openid ostiary:feed"), "olena", password)).String("access_token")
		none := follower(t, h, "none")
		gone, goneSecret := api(h, "gone", orders)
		ofGone := feedToken(t, h, gone, goneSecret)
		if _, err := h.Authority.DisableClient(t.Context(), servertest.Operator, "gone", true); err != nil {
			t.Fatal(err)
		}
		log := poll(t, h, good, "").Log
		for _, row := range []struct {
			name, token, query string
			status             int
			challenge          string // what has to stand in WWW-Authenticate
		}{
			{"no token (RFC 6750 §3.1)", "", "", 401, `Bearer realm="` + h.Issuer + `"`},
			{"garbage", "x.y.z", "", 401, `error="invalid_token"`},
			{"another scope", other, "", 403, `error="insufficient_scope", error_description="The scope ostiary:feed is required", scope="ostiary:feed"`},
			{"no scope of ours", elsewhere, "", 403, `error="insufficient_scope"`},
			{"a person's", ofPerson, "", 403, `error="insufficient_scope", error_description="The access token is a person's: `},
			{"a disabled client's", ofGone, "", 401, `error="invalid_token"`},
			{"the token in the URL", "", "?access_token=" + good, 400, `error="invalid_request"`},
			{"log alone", good, "?log=" + log, 400, `error="invalid_request"`},
			{"after alone", good, "?after=1", 400, `error="invalid_request"`},
			{"after is no number", good, "?log=" + log + "&after=x", 400, `error="invalid_request"`},
			{"after is negative", good, "?log=" + log + "&after=-1", 400, `error="invalid_request"`},
			{"after is larger than a number", good, "?log=" + log + "&after=9223372036854775808", 400, `error="invalid_request"`},
			{"after twice", good, "?log=" + log + "&after=0&after=1", 400, `error="invalid_request"`},
			{"wait is too long", good, "?wait=26", 400, `error="invalid_request"`},
			{"wait is no number", good, "?wait=1s", 400, `error="invalid_request"`},
			{"log is too long", good, "?log=" + strings.Repeat("x", 65) + "&after=1", 400, `error="invalid_request"`},
			{"a malformed query", good, "?log=%zz", 400, `error="invalid_request"`},
		} {
			for _, accept := range []string{"text/event-stream", "application/json"} {
				t.Run(row.name+" "+accept, func(t *testing.T) {
					req := feedRequest(t, h.Issuer, row.token, row.query)
					req.Header.Set("Accept", accept)
					a := servertest.Do(t, req)
					if got := a.Header.Get("WWW-Authenticate"); a.Status != row.status || !strings.Contains(got, row.challenge) || a.Header.Get("Cache-Control") != "no-store" {
						t.Errorf("%d %q: %s", a.Status, got, a.Text)
					}
				})
			}
		}
		t.Run("a client that stands for no API", func(t *testing.T) {
			a := servertest.Do(t, feedRequest(t, h.Issuer, none, ""))
			var p struct{ Type, Title, Detail string }
			if err := json.Unmarshal([]byte(a.Text), &p); err != nil || a.Status != 403 || a.Header.Get("Content-Type") != "application/problem+json" || // RFC 9457 §3
				p.Type != "urn:ostiary:problem:no-resources" || !strings.Contains(p.Detail, "ostiary client update none --resource URI") || a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%d %s %v", a.Status, a.Text, err)
			}
		})
		t.Run("HEAD ends", func(t *testing.T) {
			req := feedRequest(t, h.Issuer, good, "")
			req.Method = http.MethodHead
			req.Header.Set("Accept", "text/event-stream")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.Body.Close(); res.StatusCode != 200 {
				t.Error(res.Status)
			}
		})
		t.Run("POST", func(t *testing.T) {
			req := feedRequest(t, h.Issuer, good, "")
			req.Method = http.MethodPost
			if a := servertest.Do(t, req); a.Status != 405 || a.Header.Get("Allow") != "GET" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	})
}

// TestFeedOver: a stream ends when its token is not good any more, and says why.
func TestFeedOver(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		bystander := following(t, h.Issuer, follower(t, h, "bystander", orders))
		for _, row := range []struct {
			name, reason string
			end          func(c model.Client, secret model.Secret, token string) error
		}{
			{"the client is disabled", "revoked", func(c model.Client, _ model.Secret, _ string) error {
				_, err := h.Authority.DisableClient(t.Context(), servertest.Operator, c.ID, true)
				return err
			}},
			{"the client is deleted", "revoked", func(c model.Client, _ model.Secret, _ string) error {
				return h.Authority.DeleteClient(t.Context(), servertest.Operator, c.ID)
			}},
			{"the token is revoked (RFC 7009)", "revoked", func(c model.Client, secret model.Secret, token string) error {
				if a := h.Call("/revoke", c, secret, url.Values{"token": {token}}); a.Status != 200 {
					return fmt.Errorf("%d %s", a.Status, a.Text)
				}
				return nil
			}},
			{"the scope is taken from the client", "revoked", func(c model.Client, _ model.Secret, _ string) error {
				_, err := h.Authority.UpdateClient(t.Context(), servertest.Operator, c.ID, with(c.ClientSettings, func(s *model.ClientSettings) { s.Scopes = []string{"other"} }))
				return err
			}},
			{"the client stands for another API", "revoked", func(c model.Client, _ model.Secret, _ string) error {
				_, err := h.Authority.UpdateClient(t.Context(), servertest.Operator, c.ID, with(c.ClientSettings, func(s *model.ClientSettings) { s.Resources = []string{billing} }))
				return err
			}},
			{"the token expires", "token_expired", func(model.Client, model.Secret, string) error {
				h.Clock.Move(6 * time.Minute)
				return nil
			}},
		} {
			t.Run(row.name, func(t *testing.T) {
				c, secret := api(h, model.NewID(), orders)
				token := feedToken(t, h, c, secret)
				s := following(t, h.Issuer, token)
				if err := row.end(c, secret, token); err != nil {
					t.Fatal(err)
				}
				for drained := false; !drained; { // the entry that ends it may be told first
					select {
					case m := <-s.messages:
						if m.name == "bye" {
							drained = true
							if m.data != `{"reason":"`+row.reason+`"}` {
								t.Error(m.data)
							}
						} else if m.name != "beat" && m.name != "entries" {
							t.Fatalf("%+v", m)
						}
					case <-time.After(patience):
						t.Fatal("it goes on")
					}
				}
				if _, more := <-s.messages; more {
					t.Error("something came after bye")
				}
				for len(bystander.messages) > 0 && row.reason == "revoked" { // the others stay
					if m := <-bystander.messages; m.name != "beat" && m.name != "entries" {
						t.Fatalf("%+v", m)
					}
				}
				if a := servertest.Do(t, feedRequest(t, h.Issuer, token, "")); a.Status != 401 && a.Status != 403 && row.name != "the client stands for another API" {
					t.Errorf("and again: %d %s", a.Status, a.Text)
				}
			})
		}
	})
}

// TestFeedTokenExpires: a stream ends in the second in which its token does.
func TestFeedTokenExpires(t *testing.T) {
	h := servertest.Start(t)
	c, secret := h.Client("orders", model.ClientSettings{Scopes: []string{oauth.ScopeFeed}, Resources: []string{orders}, AccessTokenLife: 3})
	s := openStream(t, h.Issuer, feedToken(t, h, c, secret), "")
	start := time.Now()
	s.begin()
	if reason := s.ended(); reason != `{"reason":"token_expired"}` || time.Since(start) > 10*time.Second {
		t.Errorf("%s after %v", reason, time.Since(start))
	}
}
