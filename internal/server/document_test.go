package server_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// site publishes metadata documents of clients, by their paths.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]func(w http.ResponseWriter, r *http.Request)
	fetched map[string]int
}

func newSite(t *testing.T) *site {
	s := &site{answers: map[string]func(http.ResponseWriter, *http.Request){}, fetched: map[string]int{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.fetched[r.URL.Path]++
		answer := s.answers[r.URL.Path]
		s.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) answer(path string, fn func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = fn
}

// publish makes a document stand at a path and returns the client.
func (s *site) publish(t *testing.T, path string, m meta) model.Client {
	t.Helper()
	m = meta{"client_id": s.URL + path, "redirect_uris": []string{s.URL + "/cb"}, "client_name": "Editor"}.with(m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	s.answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(data)
	})
	c := model.Client{ID: model.ClientID(s.URL + path)}
	c.RedirectURIs = []string{s.URL + "/cb"}
	return c
}

func (m meta) with(more meta) meta {
	for name, value := range more {
		m = m.and(name, value)
	}
	return m
}

// times is how often a path was fetched.
func (s *site) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched[path]
}

// documents lets the server take the documents of a site, and of all others of
// httptest's, which have the same certificate.
func (s *site) documents(r registration.Policy) servertest.Option {
	r.Documents = true
	return func(c *server.Config) {
		c.Registration, c.OutgoingRoots = r, x509.NewCertPool()
		c.OutgoingRoots.AddCert(s.Certificate())
	}
}

// TestClientDocument: draft-ietf-oauth-client-id-metadata-document-03, from the
// client's address to its tokens.
func TestClientDocument(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := newSite(t)
		h.User("olena", password)
		var d map[string]any
		if discover(t, h, &d); d["client_id_metadata_document_supported"] != true {
			t.Error("discovery does not say that documents are taken (§6)")
		}
		c := s.publish(t, "/app.json", meta{"grant_types": []string{"authorization_code", "refresh_token"}, "scope": "openid profile offline_access admin"})
		path := servertest.AuthorizePath(c, "scope", "openid profile")

		b := h.Browser()
		consent := b.Get(path).Submit("primary", "login", "olena", "password", password)
		host := strings.TrimPrefix(s.URL, "https://")
		if !strings.Contains(consent.Body, "Not verified by Ostiary") || !strings.Contains(consent.Body, host) { // §8.5
			t.Error(consent.Body)
		}
		tokens := h.Redeem(c, "", consent.Submit("primary").Left)
		if tokens.Status != 200 || tokens.String("refresh_token") == "" || s.times("/app.json") != 1 {
			t.Fatalf("%d %s after %d fetches", tokens.Status, tokens.Text, s.times("/app.json"))
		}
		if got := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }); got.Origin != model.OriginDocument || got.FirstParty || !got.Public() || joined(got.Scopes) != "openid profile offline_access" {
			t.Errorf("%+v", got)
		}
		t.Run("kept for as long as it is fresh (§5.2)", func(t *testing.T) {
			if at := b.SignIn(path, "", ""); at.Query().Get("code") == "" || s.times("/app.json") != 1 {
				t.Errorf("%s after %d fetches", at, s.times("/app.json"))
			}
			h.Clock.Move(61 * time.Minute)
			if at := b.SignIn(path, "", ""); at.Query().Get("code") == "" || s.times("/app.json") != 2 {
				t.Errorf("%s after %d fetches", at, s.times("/app.json"))
			}
		})
		t.Run("a change asks people again (§8.4)", func(t *testing.T) {
			s.publish(t, "/app.json", meta{"client_name": "Another", "grant_types": []string{"authorization_code", "refresh_token"}})
			h.Clock.Move(61 * time.Minute)
			if p := b.Get(path); p.Left != nil || !strings.HasSuffix(p.URL.Path, "/consent") || !strings.Contains(p.Body, "Another") {
				t.Errorf("%d %s", p.Status, p.URL)
			}
			if all := events(t, h, c.ID); all[len(all)-1].Action != "client.update" || all[len(all)-1].Actor.Kind != model.ActorSystem {
				t.Errorf("%+v", all)
			}
		})
		t.Run("what an operator alone decides stays", func(t *testing.T) {
			said := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }).ClientSettings
			said.AccessTokenLife, said.OfflinePolicy, said.Scopes = 60, model.OfflineSurvives, append(said.Scopes, "ostiary:feed")
			if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, said); err != nil {
				t.Fatal(err)
			}
			h.Clock.Move(61 * time.Minute)
			b.Get(path)
			if is := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }); is.AccessTokenLife != 60 || is.OfflinePolicy != model.OfflineSurvives || joined(is.Scopes) != joined(said.Scopes) {
				t.Errorf("%+v", is)
			}
		})
		t.Run("gone: an error is shown, and nothing is forgotten for it (§5.1)", func(t *testing.T) {
			s.answer("/app.json", nil)
			h.Clock.Move(61 * time.Minute)
			if p := b.Get(path); p.Status != 400 || p.Left != nil || !strings.Contains(p.Body, "invalid_client") {
				t.Errorf("%d %v", p.Status, p.Left)
			}
			refused(t, h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}}), 401, "invalid_client")
			s.publish(t, "/app.json", meta{"client_name": "Another", "grant_types": []string{"authorization_code", "refresh_token"}})
			if got := h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}}); got.Status != 200 {
				t.Errorf("errors are cached: %d %s", got.Status, got.Text)
			}
		})
		t.Run("with keys (§8.2)", func(t *testing.T) {
			key, set := signer(t)
			c := s.publish(t, "/keys.json", meta{"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(set)})
			refused(t, h.Redeem(c, "", h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)), 401, "invalid_client")
			at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
			if got := h.Call("/token", c, "", redeemSigned(t, h, c, key, at)); got.Status != 200 {
				t.Errorf("%d %s", got.Status, got.Text)
			}
		})
		t.Run("on the machine of the person", func(t *testing.T) {
			c := s.publish(t, "/native.json", meta{"redirect_uris": []string{"http://localhost/callback", "http://127.0.0.1/callback"}, "token_endpoint_auth_method": "none"})
			c.RedirectURIs = []string{"http://127.0.0.1:54212/callback"}
			if got := h.Redeem(c, "", h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)); got.Status != 200 {
				t.Errorf("%d %s", got.Status, got.Text)
			}
		})
		t.Run("shut out by an operator", func(t *testing.T) {
			if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, true); err != nil {
				t.Fatal(err)
			}
			h.Clock.Move(31 * 24 * time.Hour)
			if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 100); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Registrar.SweepClients(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := h.Browser().Get(path); p.Status != 400 || !strings.Contains(p.Body, "unauthorized_client") {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		})
	}, newSite(t).documents(registration.Policy{}))
}

func joined(scope []string) string { return strings.Join(scope, " ") }

// TestClientDocumentBad: what a document must not be. Nothing of it is stored.
func TestClientDocumentBad(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := newSite(t)
		raw := func(kind, body string) func(http.ResponseWriter, *http.Request) {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				fmt.Fprint(w, body)
			}
		}
		i := 0
		refuse := func(name string, m meta) {
			i++
			path := fmt.Sprintf("/%d.json", i)
			t.Run(name, func(t *testing.T) {
				h.Clock.Move(time.Minute) // the bound on fetches has its own test
				c := s.publish(t, path, m)
				if p := h.Browser().Get(servertest.AuthorizePath(c)); p.Status != 400 || p.Left != nil || !strings.Contains(p.Body, "invalid_client") || s.times(path) != 1 {
					t.Errorf("%d %v after %d fetches: %s", p.Status, p.Left, s.times(path), p.Body)
				}
			})
		}
		refuse("another client_id (§4)", meta{"client_id": s.URL + "/other.json"})
		refuse("no client_id (§4)", meta{"client_id": nil})
		refuse("a client_secret (§4.1)", meta{"client_secret": "x"})
		refuse("client_secret_expires_at (§4.1)", meta{"client_secret_expires_at": 0})
		for _, method := range []string{"client_secret_basic", "client_secret_post", "client_secret_jwt"} {
			refuse(method+" (§4.1)", meta{"token_endpoint_auth_method": method})
		}
		refuse("no redirect_uris", meta{"redirect_uris": nil})
		refuse("a redirect to another host (§8.1)", meta{"redirect_uris": []string{s.URL + "/cb", "https://evil.example/cb"}})
		refuse("a redirect to javascript: (O6)", meta{"redirect_uris": []string{"javascript:alert(1)"}})
		refuse("client_credentials", meta{"grant_types": []string{"client_credentials"}})
		refuse("private keys (§4.1)", meta{"jwks": json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`)})
		refuse("longer than 5 KiB (§8.7)", meta{"x": strings.Repeat("x", 5<<10)})
		good, _ := json.Marshal(meta{"client_id": s.URL + "/raw", "redirect_uris": []string{s.URL + "/cb"}})
		for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
			"another media type (§4)": raw("text/html", string(good)),
			"not JSON":                raw("application/json", "<html>"),
			"a name twice":            raw("application/json", strings.Replace(string(good), "{", `{"client_id":"x",`, 1)),
			"another status (§5)": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(203)
				w.Write(good)
			},
			"a redirect (§5)": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good.json", http.StatusFound) },
		} {
			t.Run(name, func(t *testing.T) {
				h.Clock.Move(time.Minute)
				s.publish(t, "/good.json", meta{"client_id": s.URL + "/raw"})
				s.answer("/raw", answer)
				if p := h.Browser().Get(servertest.AuthorizePath(model.Client{ID: model.ClientID(s.URL + "/raw"), ClientSettings: model.ClientSettings{RedirectURIs: []string{s.URL + "/cb"}}})); p.Status != 400 || p.Left != nil {
					t.Errorf("%d %v", p.Status, p.Left)
				}
			})
		}
		t.Run("the good twin, as application/…+json (§4)", func(t *testing.T) {
			h.Clock.Move(time.Minute)
			s.answer("/raw", raw("application/client-id+json; charset=utf-8", string(good)))
			if p := h.Browser().Get(servertest.AuthorizePath(model.Client{ID: model.ClientID(s.URL + "/raw"), ClientSettings: model.ClientSettings{RedirectURIs: []string{s.URL + "/cb"}}})); p.Status != 200 {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		})
		t.Run("client_ids that are no address of a document (§3)", func(t *testing.T) {
			s.publish(t, "/ok.json", nil)
			for _, id := range []string{
				"http://" + strings.TrimPrefix(s.URL, "https://") + "/ok.json", "HTTPS" + strings.TrimPrefix(s.URL, "https") + "/ok.json", s.URL,
				strings.Replace(s.URL, "https://", "https://a@", 1) + "/ok.json", strings.Replace(s.URL, "https://", "https://a:b@", 1) + "/ok.json",
				s.URL + "/ok.json#x", s.URL + "/ok.json#", s.URL + "/x/../ok.json", s.URL + "/./ok.json", s.URL + "/%2e%2e/ok.json", s.URL + "/ok .json", s.URL + `/ok".json`,
				s.URL + "/" + strings.Repeat("x", 256), "https:///ok.json",
			} {
				if p := h.Browser().Get(servertest.AuthorizePath(model.Client{ID: model.ClientID(id), ClientSettings: model.ClientSettings{RedirectURIs: []string{s.URL + "/cb"}}})); p.Status != 400 || p.Left != nil {
					t.Errorf("%s: %d", id, p.Status)
				}
			}
			if s.times("/ok.json") != 0 {
				t.Error("fetched")
			}
		})
		list := view(t, h, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("", 10) })
		if len(list) != 1 { // the good twin
			t.Errorf("stored: %v", list)
		}
	}, newSite(t).documents(registration.Policy{}))
}

// TestClientDocumentBounds: strangers cannot make the server fetch, nor keep,
// without limit (§8.6).
func TestClientDocumentBounds(t *testing.T) {
	s := newSite(t)
	t.Run("off", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{}), func(c *server.Config) { c.Registration.Documents = false })
		if p := h.Browser().Get(servertest.AuthorizePath(s.publish(t, "/off.json", nil))); p.Status != 400 || s.times("/off.json") != 0 {
			t.Errorf("%d", p.Status)
		}
	})
	t.Run("hosts beyond the policy", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{RedirectHosts: []string{"*.suite.example", "localhost"}}))
		if p := h.Browser().Get(servertest.AuthorizePath(s.publish(t, "/host.json", nil))); p.Status != 400 || s.times("/host.json") != 0 {
			t.Errorf("%d", p.Status)
		}
	})
	t.Run("addresses inside (O30)", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{}), func(c *server.Config) { c.Issuer = "https://login.example.com" })
		b := h.Browser()
		for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"} {
			id := "https://" + host + ":" + s.URL[strings.LastIndex(s.URL, ":")+1:] + "/inside.json"
			p := b.Get("http://" + h.Addr().String() + servertest.AuthorizePath(model.Client{ID: model.ClientID(id), ClientSettings: model.ClientSettings{RedirectURIs: []string{s.URL}}}))
			if p.Status != 400 || !strings.Contains(p.Body, "it cannot be fetched") {
				t.Errorf("%s: %d %s", host, p.Status, p.Body)
			}
		}
		if s.times("/inside.json") != 0 {
			t.Error("fetched")
		}
	})
	t.Run("how often", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{}))
		var last *servertest.Page
		for i := range 15 {
			c := model.Client{ID: model.ClientID(fmt.Sprintf("%s/nothing/%d.json", s.URL, i)), ClientSettings: model.ClientSettings{RedirectURIs: []string{s.URL}}}
			last = h.Browser().Get(servertest.AuthorizePath(c))
		}
		if last.Status != 429 || last.Header.Get("Retry-After") == "" || s.times("/nothing/14.json") != 0 || s.times("/nothing/0.json") != 1 {
			t.Errorf("%d %v", last.Status, last.Header)
		}
		h.Clock.Move(time.Minute)
		if p := h.Browser().Get(servertest.AuthorizePath(s.publish(t, "/later.json", nil))); p.Status != 200 {
			t.Errorf("a minute later: %d", p.Status)
		}
	})
	t.Run("at once: one fetch for all", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{}))
		c := s.publish(t, "/slow.json", nil)
		answer := s.answers["/slow.json"]
		s.answer("/slow.json", func(w http.ResponseWriter, r *http.Request) { time.Sleep(300 * time.Millisecond); answer(w, r) })
		n := atOnce(20, func() bool {
			res, err := http.Get(h.Issuer + servertest.AuthorizePath(c))
			if err != nil {
				return false
			}
			res.Body.Close()
			return strings.HasSuffix(res.Request.URL.Path, "/login")
		})
		if n != 20 || s.times("/slow.json") != 1 {
			t.Errorf("%d pages, %d fetches", n, s.times("/slow.json"))
		}
	})
	t.Run("what nobody let in is swept", func(t *testing.T) {
		h := servertest.Start(t, s.documents(registration.Policy{}))
		h.User("olena", password)
		idle, used := s.publish(t, "/idle.json", nil), s.publish(t, "/used.json", nil)
		h.Browser().Get(servertest.AuthorizePath(idle))
		h.Browser().SignIn(servertest.AuthorizePath(used), "olena", password)
		h.Clock.Move(26 * time.Hour)
		if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 100); err != nil {
			t.Fatal(err)
		}
		list := view(t, h, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("", 10) })
		if len(list) != 1 || list[0].ID != used.ID {
			t.Errorf("%v", list)
		}
	})
}

// atOnce runs fn n times at once and returns how many said yes.
func atOnce(n int, fn func() bool) int {
	yes := make(chan bool, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { yes <- fn() })
	}
	all.Wait()
	close(yes)
	count := 0
	for ok := range yes {
		if ok {
			count++
		}
	}
	return count
}
