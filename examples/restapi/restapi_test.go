package restapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/restapi"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

const password = "correct horse battery"

// street is an authorization server and the API that trusts it.
type street struct {
	t *testing.T
	h *servertest.House
	c model.Client
	u model.User // bob
	// The API.
	url    string
	secret model.Secret
	stop   func() // of the feed
}

// newStreet runs both. The clock of the house is that of the API as well.
func newStreet(t *testing.T, h *servertest.House, change ...func(*restapi.Config)) *street {
	t.Helper()
	s := &street{t: t, h: h}
	s.u = h.User("bob", password)
	h.User("alice", password)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	s.c, s.secret = h.Client("restapi", model.ClientSettings{
		Name: "Notes", FirstParty: true, Challenge: true, RedirectURIs: []string{s.url + "/"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
		Scopes:     []string{restapi.ScopeRead, restapi.ScopeWrite, "ostiary:feed"},
		Audiences:  []string{s.url, h.Issuer}, Resources: []string{s.url},
	})
	config := restapi.Config{
		Issuer: h.Issuer, ClientID: "restapi", ClientSecret: s.secret.Reveal(), Audience: s.url, Now: h.Clock.Now,
	}
	for _, c := range change {
		c(&config)
	}
	a, err := restapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
	front := &httptest.Server{Listener: listener, Config: &http.Server{Handler: a.Handler()}}
	front.Start()
	t.Cleanup(front.Close)
	t.Cleanup(cancel)
	if config.FeedURL == "" {
		ready, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := a.Ready(ready); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// said is an answer of the API.
type said struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

func (a said) get(name string) string { text, _ := a.json[name].(string); return text }

// ask sends a request, with a token unless it is empty.
func (s *street) ask(method, path, token, body string, also ...string) said {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Add("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(also); i += 2 {
		req.Header.Add(also[i], also[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := said{status: res.StatusCode, header: res.Header, text: string(text)}
	json.Unmarshal(text, &a.json) // a list is none
	return a
}

func (s *street) login(login, password, more string) said {
	s.t.Helper()
	return s.ask("POST", "/login", "", fmt.Sprintf(`{"login":%q,"password":%q%s}`, login, password, more))
}

// in is a login that works.
func (s *street) in(login, more string) said {
	s.t.Helper()
	a := s.login(login, password, more)
	if a.status != http.StatusOK || a.get("access_token") == "" || a.get("refresh_token") == "" || a.get("auth_session") == "" || a.json["expires_in"] != 300.0 {
		s.t.Fatalf("%d %s", a.status, a.text)
	}
	return a
}

// wants checks a refusal of DESIGN §7: the status, the challenge and the code.
func (s *street) wants(name string, a said, status int, challenge, code string) {
	s.t.Helper()
	if got := a.header.Get("WWW-Authenticate"); a.status != status || !strings.Contains(got, challenge) || (challenge == "") != (got == "") || a.get("error") != code {
		s.t.Errorf("%s: %d, challenge %q, %s; want %d %q %s", name, a.status, got, a.text, status, challenge, code)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s: Cache-Control %q", name, a.header.Get("Cache-Control"))
	}
}

// becomes waits until an answer has a status: the feed takes a moment, and longer after
// the clock was moved. How fast it is is measured elsewhere.
func (s *street) becomes(status int, ask func() said) said {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if a := ask(); a.status == status || time.Now().After(end) {
			return a
		}
	}
}

// TestStatuses: every row of the table "which status when", against the real server.
func TestStatuses(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := newStreet(t, h)
		bob := s.in("bob", "")
		token := bob.get("access_token")
		notes := func(token string) func() said { return func() said { return s.ask("GET", "/notes", token, "") } }

		s.wants("no credentials", s.ask("GET", "/notes", "", ""), 401, "Bearer realm=", "")
		s.wants("sent twice", s.ask("GET", "/notes", token, "", "Authorization", "Bearer "+token), 400, `error="invalid_request"`, "invalid_request")
		s.wants("a bad signature", s.ask("GET", "/notes", token[:len(token)-4]+"AAAA", ""), 401, `error_description="The signature`, "invalid_token")

		reader := s.in("bob", `,"role":"reader"`)
		s.wants("scope missing", s.ask("POST", "/notes", reader.get("access_token"), `{"text":"x"}`), 403, `error="insufficient_scope", error_description="The access token lacks a scope", scope="notes:write"`, "insufficient_scope")

		note := s.ask("POST", "/notes", token, `{"text":"Feed the cat"}`)
		if note.status != 201 || note.header.Get("Location") != "/notes/"+note.get("id") {
			t.Fatalf("%d %s", note.status, note.text)
		}
		path := "/notes/" + note.get("id")
		alice := s.in("alice", "").get("access_token")
		s.wants("the rule of the API says no", s.ask("PUT", path, alice, `{"text":"x"}`), 403, "", "")
		if a := s.ask("PUT", path, token, `{"text":"Feed both cats"}`); a.status != 200 || a.get("text") != "Feed both cats" {
			t.Errorf("one's own: %d %s", a.status, a.text)
		}

		t.Run("the login is too old", func(t *testing.T) {
			h.Clock.Move(12 * time.Second)
			old := s.becomes(401, func() said { return s.ask("DELETE", path, token, "") })
			s.wants("too old", old, 401, `error="insufficient_user_authentication", error_description="A more recent authentication is required", max_age="10"`, "insufficient_user_authentication")
			again := s.in("bob", fmt.Sprintf(`,"auth_session":%q,"max_age":%v`, bob.get("auth_session"), old.json["max_age"]))
			if a := s.ask("DELETE", path, again.get("access_token"), ""); a.status != 204 {
				t.Errorf("after it: %d %s", a.status, a.text)
			}
			bob = again
		})
		t.Run("expired: renew", func(t *testing.T) {
			token := bob.get("access_token")
			h.Clock.Move(6 * time.Minute)
			s.wants("expired", s.becomes(401, notes(token)), 401, `error="invalid_token", error_description="The access token expired"`, "invalid_token")
			next := s.ask("POST", "/renew", "", fmt.Sprintf(`{"refresh_token":%q}`, bob.get("refresh_token")))
			if next.status != 200 || next.get("access_token") == "" {
				t.Fatalf("%d %s", next.status, next.text)
			}
			if a := s.becomes(200, notes(next.get("access_token"))); a.status != 200 {
				t.Errorf("renewed: %d %s", a.status, a.text)
			}
			bob = next
		})
		t.Run("the session was ended", func(t *testing.T) {
			one := s.in("bob", "")
			if a := s.ask("POST", "/logout", "", fmt.Sprintf(`{"auth_session":%q}`, one.get("auth_session"))); a.status != 204 {
				t.Fatalf("%d %s", a.status, a.text)
			}
			s.wants("ended", s.becomes(401, notes(one.get("access_token"))), 401, `error="invalid_token", error_description="The session has ended"`, "invalid_token")
			s.wants("renewal", s.ask("POST", "/renew", "", fmt.Sprintf(`{"refresh_token":%q}`, one.get("refresh_token"))), 400, "", "invalid_grant")
			if a := notes(bob.get("access_token"))(); a.status != 200 {
				t.Errorf("his other session: %d %s", a.status, a.text)
			}
		})
		t.Run("the account is locked", func(t *testing.T) {
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, s.u.ID); err != nil {
				t.Fatal(err)
			}
			locked := s.becomes(403, notes(bob.get("access_token")))
			s.wants("locked", locked, 403, "", "")
			if locked.get("type") != "urn:ostiary:problem:account-disabled" {
				t.Errorf("%s", locked.text)
			}
			s.wants("login", s.login("bob", password, ""), 403, "", "account_disabled")
			s.wants("renewal", s.ask("POST", "/renew", "", fmt.Sprintf(`{"refresh_token":%q}`, bob.get("refresh_token"))), 400, "", "invalid_grant")
		})
		t.Run("too many requests", func(t *testing.T) {
			var a said
			for try := 0; try < 20 && a.status != 429; try++ { // the first pauses are short
				a = s.login("carol", "wrong", "")
			}
			s.wants("guessing", a, 429, "", "temporarily_unavailable")
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%v", a.header)
			}
		})
		t.Run("the feed is cut off", func(t *testing.T) {
			s.stop()
			h.Clock.Move(15 * time.Second)
			a := notes(s.in("alice", "").get("access_token"))()
			s.wants("stale", a, 503, "", "temporarily_unavailable")
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%v", a.header)
			}
		})
	})
}

// TestLogin: what else a login can come to.
func TestLogin(t *testing.T) {
	h := servertest.Start(t)
	s := newStreet(t, h)
	s.wants("a wrong password", s.login("bob", "wrong", ""), 400, "", "invalid_credentials")
	s.wants("no password", s.ask("POST", "/login", "", `{"login":"bob"}`), 400, "", "invalid_credentials")
	s.wants("no such role", s.login("bob", password, `,"role":"king"`), 400, "", "invalid_request")
	s.wants("an unknown member", s.login("bob", password, `,"admin":true`), 400, "", "invalid_request")
	s.wants("two values", s.ask("POST", "/login", "", `{} {}`), 400, "", "invalid_request")
	s.wants("a form", s.ask("POST", "/login", "", "", "Content-Type", "application/x-www-form-urlencoded"), 415, "", "invalid_request")
	s.wants("a huge body", s.login("bob", strings.Repeat("x", 10_000), ""), 400, "", "invalid_request")
	s.wants("renewal of nothing", s.ask("POST", "/renew", "", `{}`), 400, "", "invalid_request")
	s.wants("a forged refresh token", s.ask("POST", "/renew", "", `{"refresh_token":"ost_rt_x"}`), 400, "", "invalid_grant")
	s.wants("logout of nobody", s.ask("POST", "/logout", "", `{}`), 400, "", "invalid_request")

	// The person is where the request comes from, not where the API is.
	s.in("bob", `,"remember":true`)
	list, err := h.Accounts.Sessions(t.Context(), s.u.ID)
	if err != nil || len(list) != 1 || list[0].UserAgent != "Go-http-client/1.1" || list[0].Address != "127.0.0.1" || !list[0].Remember {
		t.Errorf("%+v, %v", list, err)
	}
	only := s.in("alice", "")
	if a := s.ask("POST", "/logout", "", fmt.Sprintf(`{"refresh_token":%q}`, only.get("refresh_token"))); a.status != 204 {
		t.Errorf("%d %s", a.status, a.text)
	}
	s.wants("renewal after it", s.ask("POST", "/renew", "", fmt.Sprintf(`{"refresh_token":%q}`, only.get("refresh_token"))), 400, "", "invalid_grant")

	// Without the operator's mark, and without consent.
	settings := s.c.ClientSettings
	settings.FirstParty = false
	if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, s.c.ID, settings); err != nil {
		t.Fatal(err)
	}
	s.wants("consent is missing", s.login("bob", password, ""), 403, "", "redirect_to_web")
	settings.Challenge = false
	if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, s.c.ID, settings); err != nil {
		t.Fatal(err)
	}
	h.Clock.Move(2 * time.Second)
	s.wants("not marked", s.login("bob", password, ""), 502, "", "server_error")
}

// TestFeedAway: an API whose feed never came lets nobody in, and says so.
func TestFeedAway(t *testing.T) {
	s := newStreet(t, servertest.Start(t), func(c *restapi.Config) { c.FeedURL = "http://localhost:1/revocations" })
	s.wants("no feed", s.ask("GET", "/notes", s.in("bob", "").get("access_token"), ""), 503, "", "temporarily_unavailable")
}

// cut is a way to the authorization server that can be cut off.
type cut struct{ off atomic.Bool }

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.off.Load() {
		return nil, errors.New("there is no way")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestServerAway: what works on without the authorization server.
func TestServerAway(t *testing.T) {
	way := &cut{}
	s := newStreet(t, servertest.Start(t), func(c *restapi.Config) { c.HTTP = &http.Client{Transport: way} })
	token := s.in("bob", "").get("access_token")
	if a := s.ask("GET", "/notes", token, ""); a.status != 200 {
		t.Fatal(a.text)
	}
	way.off.Store(true)
	if a := s.ask("GET", "/notes", token, ""); a.status != 200 {
		t.Errorf("a moment later: %d %s", a.status, a.text)
	}
	s.wants("login", s.login("bob", password, ""), 503, "", "temporarily_unavailable")
}

// TestBounds: the notes do not fill the memory.
func TestBounds(t *testing.T) {
	s := newStreet(t, servertest.Start(t))
	token := s.in("bob", "").get("access_token")
	s.wants("too long", s.ask("POST", "/notes", token, fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1001))), 422, "", "invalid_request")
	s.wants("empty", s.ask("POST", "/notes", token, `{"text":" "}`), 422, "", "invalid_request")
	first := s.ask("POST", "/notes", token, `{"text":"first"}`)
	for i := range 1000 {
		s.ask("POST", "/notes", token, fmt.Sprintf(`{"text":"note %d"}`, i))
	}
	var list []restapi.Note
	if err := json.NewDecoder(bytes.NewBufferString(s.ask("GET", "/notes", token, "").text)).Decode(&list); err != nil || len(list) != 1000 || list[0].Text != "note 0" {
		t.Errorf("%d notes, %v", len(list), err)
	}
	s.wants("the oldest", s.ask("PUT", "/notes/"+first.get("id"), token, `{"text":"x"}`), 404, "", "not_found")
}
