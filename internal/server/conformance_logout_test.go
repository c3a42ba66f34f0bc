package server_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// application is one that is told of sign-outs, by the back channel and the
// front channel.
type application struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  []string // logout tokens, as they came
	visits  []url.Values
	status  int // of the next answers; 0: 200
	faults  []string
	request http.Header
	secure  *tls.ConnectionState
}

func newTold(t *testing.T) *application {
	a := &application{}
	a.Server = httptest.NewServer(a.pages())
	t.Cleanup(a.Close)
	return a
}

// newToldByTLS is one by TLS, whose certificate the server then trusts.
func newToldByTLS(t *testing.T) (*application, servertest.Option) {
	a := &application{}
	a.Server = httptest.NewTLSServer(a.pages())
	t.Cleanup(a.Close)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	return a, func(c *server.Config) { c.OutgoingRoots = roots }
}

func (a *application) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /back", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		// Back-Channel Logout §2.5: a form that holds the token, and here nothing else.
		r.ParseForm()
		if len(r.Form) != 1 || len(r.PostForm["logout_token"]) != 1 {
			a.faults = append(a.faults, fmt.Sprint(r.Form))
		}
		a.tokens, a.request, a.secure = append(a.tokens, r.PostForm.Get("logout_token")), r.Header, r.TLS
		if a.status != 0 {
			w.WriteHeader(a.status)
		}
	})
	mux.HandleFunc("GET /front", func(_ http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.visits = append(a.visits, r.URL.Query())
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<h1>The application</h1>") })
	return mux
}

func (a *application) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens, a.faults = nil, nil
}

func (a *application) answer(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status = status
}

func (a *application) received() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tokens)
}

// waitFor returns the tokens once there are so many.
func (a *application) waitFor(t *testing.T, n int) []string {
	t.Helper()
	for range 600 {
		if got := a.received(); len(got) >= n {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("told %d times, want %d", len(a.received()), n)
	return nil
}

// settings are those of a client that is told by the back channel.
func (a *application) settings() model.ClientSettings {
	s := web
	s.RedirectURIs, s.PostLogoutRedirectURIs = []string{a.URL + "/callback"}, []string{a.URL + "/bye"}
	s.BackchannelURI, s.BackchannelSession, s.FirstParty = a.URL+"/back", true, true
	return s
}

// logoutToken is what a client sees of one.
type logoutToken struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	IssuedAt  int64           `json:"iat"`
	ExpiresAt int64           `json:"exp"`
	ID        string          `json:"jti"`
	SessionID string          `json:"sid"`
	Nonce     *string         `json:"nonce"`
	Events    map[string]any  `json:"events"`
}

// checkLogoutToken holds a logout token to Back-Channel Logout §2.4 and §2.6.
func checkLogoutToken(t *testing.T, h *servertest.House, text string, c model.Client, alg jwa.Algorithm) logoutToken {
	t.Helper()
	token, err := jwt.Verify[logoutToken](t.Context(), text, keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{alg}, Types: []string{"logout+jwt"}, Issuers: []string{h.Issuer}, Audiences: []string{string(c.ID)}, Now: h.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k, now := token.Claims, h.Clock.Now().Unix()
	event, _ := k.Events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	switch {
	case string(k.Audience) != `"`+string(c.ID)+`"`:
		t.Errorf("aud is %s", k.Audience)
	case k.IssuedAt > now || k.IssuedAt < now-60 || k.ExpiresAt <= k.IssuedAt || k.ExpiresAt > k.IssuedAt+120:
		t.Errorf("iat %d, exp %d, now %d", k.IssuedAt, k.ExpiresAt, now)
	case k.ID == "" || k.Nonce != nil || k.Subject == "" && k.SessionID == "":
		t.Errorf("jti %q, nonce %v, sub %q, sid %q", k.ID, k.Nonce, k.Subject, k.SessionID)
	case len(k.Events) != 1 || event == nil || len(event) != 0:
		t.Errorf("events %v", k.Events)
	}
	return k
}

// unverified reads a token that was verified elsewhere.
func unverified(t *testing.T, token string) map[string]any {
	t.Helper()
	c, err := jwt.DecodeUnverified[map[string]any](token)
	if err != nil {
		t.Fatal(err)
	}
	return c.Claims
}

// TestConformanceRPInitiatedLogout is the plan
// oidcc-rp-initiated-logout-certification-test-plan, one row for each module, for
// each response type by which the hint can have come.
func TestConformanceRPInitiatedLogout(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		const uri = "https://suite.example/bye"
		state := strings.Repeat("0123456789abcdef", 8) // 128 characters
		foreign := foreignHint(t, h)
		for _, row := range []struct {
			module string
			change func(q url.Values)
			to     string // where the browser goes; "": it stays
			page   string // what it shows there
			out    bool   // signed out afterwards
		}{
			{"rp-initiated-logout", func(url.Values) {}, uri + "?state=" + state, "", true},
			{"rp-initiated-logout-no-state", func(q url.Values) { q.Del("state") }, uri, "", true},
			{"rp-initiated-logout-bad-post-logout-redirect-uri", func(q url.Values) { q.Set("post_logout_redirect_uri", uri+"/other") }, "", "This request is not valid", false},
			{"rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(q url.Values) { q.Set("post_logout_redirect_uri", uri+"?foo=bar") }, "", "This request is not valid", false},
			{"rp-initiated-logout-modified-id-token-hint", func(q url.Values) { q.Set("id_token_hint", unsigned(q.Get("id_token_hint"))) }, "", "This request is not valid", false},
			{"rp-initiated-logout-bad-id-token-hint", func(q url.Values) { q.Set("id_token_hint", foreign) }, "", "This request is not valid", false},
			{"rp-initiated-logout-no-id-token-hint", func(q url.Values) { q.Del("id_token_hint") }, "", "This request is not valid", false},
			{"rp-initiated-logout-no-params", func(q url.Values) { clear(q) }, "", "You are signed out", true},
			{"rp-initiated-logout-no-post-logout-redirect-uri", func(q url.Values) { q.Del("post_logout_redirect_uri"); q.Del("state") }, "", "You are signed out", true},
			{"rp-initiated-logout-only-state", func(q url.Values) { q.Del("post_logout_redirect_uri"); q.Del("id_token_hint") }, "", "You are signed out", true},
		} {
			t.Run(row.module, func(t *testing.T) {
				for _, responseType := range registration.ResponseTypes {
					for _, method := range []string{http.MethodGet, http.MethodPost} {
						if method == http.MethodPost && responseType != "code" {
							continue // how the hint came makes no difference to how it is sent
						}
						t.Run(responseType+" "+method, func(t *testing.T) {
							p := enrolled(t, h, responseType, "", meta{"post_logout_redirect_uris": []string{uri}})
							q := url.Values{"id_token_hint": {p.read(t, p.ask(t)).raw}, "post_logout_redirect_uri": {uri}, "state": {state}}
							row.change(q)
							page := askLogout(t, p.b, method, q).SubmitIf("primary")
							to := ""
							if page.Left != nil {
								to = page.Left.String()
							}
							if to != row.to || !strings.Contains(page.Body, row.page) {
								t.Errorf("went to %q with %d: %s", to, page.Status, page.Body)
							}
							if v := p.ask(t, "prompt", "none"); (v.Get("error") == "login_required") != row.out {
								t.Errorf("prompt=none afterwards: error %q", v.Get("error"))
							}
						})
					}
				}
			})
		}
	}, openRegistration)
}

// TestLogoutRequest is what the modules of the plan leave out.
func TestLogoutRequest(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, secret := h.Client("shop", web)
		const bye = "http://127.0.0.1:1/bye"
		t.Run("an expired ID token is a good hint", func(t *testing.T) {
			b := h.Browser()
			hint := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")).String("id_token")
			h.Clock.Move(61 * time.Minute)
			if p := askLogout(t, b, http.MethodGet, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}}); p.Left == nil || p.Left.String() != bye {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		})
		t.Run("logout_hint and ui_locales are taken", func(t *testing.T) {
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
			p := askLogout(t, b, http.MethodGet, url.Values{"client_id": {"shop"}, "logout_hint": {"olena"}, "ui_locales": {"uk en"}, "post_logout_redirect_uri": {bye}})
			if p = p.Submit("primary"); p.Left == nil || p.Left.String() != bye {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		})
		t.Run("the client was removed meanwhile", func(t *testing.T) {
			gone, secret := h.Client("gone", web)
			b := h.Browser()
			hint := h.Redeem(gone, secret, b.SignIn(servertest.AuthorizePath(gone), "olena", "correct horse battery")).String("id_token")
			if err := h.Registrar.DeleteClient(t.Context(), servertest.Operator, gone.ID); err != nil {
				t.Fatal(err)
			}
			if p := askLogout(t, b, http.MethodGet, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}}); p.Left != nil || p.Status != http.StatusBadRequest {
				t.Errorf("an address of a client that is gone: %d %v", p.Status, p.Left)
			}
			if p := askLogout(t, b, http.MethodGet, url.Values{"id_token_hint": {hint}}); !strings.Contains(p.Body, "You are signed out") {
				t.Errorf("%d %s", p.Status, p.Body)
			}
		})
	})
}

// askLogout sends a logout request as an application on another site does: the
// session's cookie comes with a GET alone (SameSite=Lax).
func askLogout(t *testing.T, b *servertest.Browser, method string, q url.Values) *servertest.Page {
	t.Helper()
	if method == http.MethodGet {
		return b.Get("/logout?" + q.Encode())
	}
	bare := *b.HTTP()
	bare.Jar = nil
	house := b.Get("/healthz").URL
	req, err := http.NewRequest(http.MethodPost, house.Scheme+"://"+house.Host+"/logout", strings.NewReader(q.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	res, err := bare.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.Contains(res.Header.Get("Location"), "id_token_hint") {
		t.Error("what was posted stands in an address")
	}
	return b.Read(res).SubmitIf("primary")
}

// unsigned is a token with its algorithm changed to none and its signature gone.
func unsigned(token string) string {
	part := strings.Split(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + part[1] + "."
}

// foreignHint is an ID token of the right issuer, signed by somebody else's key.
func foreignHint(t *testing.T, h *servertest.House) string {
	t.Helper()
	key, err := jwk.Generate(jwa.RS256)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Sign(map[string]any{"iss": h.Issuer, "sub": "x", "aud": "shop", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()},
		key, jwt.SignOptions{Algorithm: jwa.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signedOut ends the session of a party with its ID token, and says what the
// browser then shows.
func (p *party) signedOut(t *testing.T, o told, bye string) *servertest.Page {
	t.Helper()
	page := p.b.Get("/logout?" + url.Values{"id_token_hint": {o.raw}, "post_logout_redirect_uri": {bye}, "state": {p.state}}.Encode())
	if v := p.ask(t, "prompt", "none"); v.Get("error") != "login_required" {
		t.Errorf("prompt=none afterwards: error %q", v.Get("error"))
	}
	return page
}

// TestConformanceBackChannelLogout is the module backchannel-rp-initiated-logout,
// in each response type and in two algorithms.
func TestConformanceBackChannelLogout(t *testing.T) {
	a, trusted := newToldByTLS(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		const bye = "https://suite.example/bye"
		t.Run("backchannel-rp-initiated-logout", func(t *testing.T) {
			for _, responseType := range registration.ResponseTypes {
				t.Run(responseType, func(t *testing.T) {
					a.forget()
					p := enrolled(t, h, responseType, "", meta{
						"backchannel_logout_uri": a.URL + "/back", "backchannel_logout_session_required": true, "post_logout_redirect_uris": []string{bye},
					})
					o := p.read(t, p.ask(t))
					if page := p.signedOut(t, o, bye); page.Left == nil || page.Left.String() != bye+"?state="+p.state {
						t.Errorf("%d %v", page.Status, page.Left)
					}
					k := checkLogoutToken(t, h, a.waitFor(t, 1)[0], p.c, jwa.RS256)
					if k.SessionID == "" || k.SessionID != o.idToken["sid"] || k.Subject != o.idToken["sub"] {
						t.Errorf("sid %q, sub %q, in the ID token %v", k.SessionID, k.Subject, o.idToken)
					}
					if len(a.faults) > 0 || a.request.Get("Content-Type") != "application/x-www-form-urlencoded" {
						t.Errorf("the request: %v %v", a.faults, a.request)
					}
					if v := a.secure.Version; v != tls.VersionTLS13 {
						t.Errorf("sent by %s", tls.VersionName(v))
					}
				})
			}
		})
		t.Run("in the algorithm of the client's ID tokens", func(t *testing.T) {
			a := newTold(t)
			s := a.settings()
			s.IDTokenAlgorithm = "ES256"
			c, secret := h.Client("back", s)
			b := h.Browser()
			hint := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", password)).String("id_token")
			b.Get("/logout?id_token_hint=" + hint)
			checkLogoutToken(t, h, a.waitFor(t, 1)[0], c, jwa.ES256)
		})
	}, openRegistration, trusted)
}

// TestConformanceFrontChannelLogout is the module
// frontchannel-rp-initiated-logout; a browser that runs is in TestLogoutInBrowser.
func TestConformanceFrontChannelLogout(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		other, _ := h.Client("other", web)
		t.Run("frontchannel-rp-initiated-logout", func(t *testing.T) {
			for _, responseType := range registration.ResponseTypes {
				t.Run(responseType, func(t *testing.T) {
					p := enrolled(t, h, responseType, "", meta{
						"frontchannel_logout_uri": "https://suite.example/front?a=b", "frontchannel_logout_session_required": true,
						"post_logout_redirect_uris": []string{"https://suite.example/bye"},
					})
					p.state = strings.Repeat("0123456789abcdef", 8)
					conformFrames(t, p, other)
				})
			}
		})
	}, openRegistration)
}

func conformFrames(t *testing.T, p *party, other model.Client) {
	o := p.read(t, p.ask(t))
	p.b.SignIn(servertest.AuthorizePath(other), "olena", password)
	page := p.signedOut(t, o, "https://suite.example/bye")
	if !strings.Contains(page.Body, "You are signed out") || strings.Contains(page.Body, "<script") {
		t.Errorf("%d %s", page.Status, page.Body)
	}
	sid, _ := o.idToken["sid"].(string)
	frame := "https://suite.example/front?a=b&" + url.Values{"iss": {p.h.Issuer}, "sid": {sid}}.Encode()
	if frames := page.Attributes("iframe", "src"); sid == "" || len(frames) != 1 || frames[0] != frame {
		t.Errorf("frames %v, want %s", frames, frame)
	}
	back := "https://suite.example/bye?state=" + p.state
	if refresh := page.Attributes("meta", "content"); !slices.Contains(refresh, "0; url="+back) {
		t.Errorf("meta %v", refresh)
	}
	if links := page.Attributes("a", "href"); !slices.Contains(links, back) {
		t.Errorf("links %v", links)
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.HasSuffix(policy, "; frame-src https://suite.example") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %s", policy)
	}
	if again := p.b.Get("/logout"); len(again.Attributes("iframe", "src")) != 0 {
		t.Error("the frames of a session that is over are shown again")
	}
}

// TestConformanceSessionManagement is the module
// session-management-rp-initiated-logout without a browser that runs; that one is
// in TestLogoutInBrowser.
func TestConformanceSessionManagement(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		runModules(t, h, []module{{
			name: "session-management-rp-initiated-logout", types: registration.ResponseTypes, also: meta{"post_logout_redirect_uris": []string{"https://suite.example/bye"}}, run: conformState,
		}})
		t.Run("where nothing is to be told", func(t *testing.T) {
			c, _ := h.Client("shop", web)
			if at := h.Browser().SignIn(servertest.AuthorizePath(c, "scope", "orders:write"), "olena", password); at.Query().Has("session_state") {
				t.Errorf("without openid: %s", at)
			}
			if at := h.Browser().Get(servertest.AuthorizePath(c, "prompt", "none")).Left; at.Query().Has("session_state") {
				t.Errorf("nobody signed in: %s", at)
			}
		})
		t.Run("one page may be framed (attack row O22)", func(t *testing.T) {
			c, _ := h.Client("framed", web)
			b := h.Browser()
			frame := b.Get("/session-state")
			if p := frame.Header.Get("Content-Security-Policy"); frame.Header.Get("X-Frame-Options") != "" ||
				!strings.Contains(p, "frame-ancestors *") || !strings.Contains(p, "default-src 'none'; script-src 'self'") {
				t.Errorf("%v", frame.Header)
			}
			for _, path := range []string{"/", "/logout", "/signed-out", servertest.AuthorizePath(c, "prompt", "login"), "/authorize"} {
				if p := b.Get(path); p.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
					t.Errorf("%s may be framed: %v", path, p.Header)
				}
			}
		})
	}, openRegistration)
}

// conformState: what the frame would answer is "unchanged" until the session is
// over, and "changed" then.
func conformState(t *testing.T, p *party) {
	v := p.ask(t)
	state := v.Get("session_state")
	if strings.Contains(state, " ") || !p.unchanged(t, state) {
		t.Errorf("session_state %q", state)
	}
	again := p.ask(t, "prompt", "none").Get("session_state")
	if again == state || !p.unchanged(t, again) || !p.unchanged(t, state) { // salted
		t.Errorf("%q, then %q", state, again)
	}
	p.signedOut(t, p.read(t, v), "https://suite.example/bye")
	if p.unchanged(t, state) {
		t.Error("unchanged after the session is over")
	}
}

// unchanged computes what check_session_iframe does, Session Management §3.2.
func (p *party) unchanged(t *testing.T, state string) bool {
	t.Helper()
	house, err := url.Parse(p.h.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	hash, salt, ok := strings.Cut(state, ".")
	if !ok || salt == "" {
		t.Fatalf("session_state %q", state)
	}
	for _, c := range p.b.HTTP().Jar.Cookies(house) {
		sum := sha256.Sum256([]byte(string(p.c.ID) + " https://suite.example " + c.Value + " " + salt))
		if c.Name == "ostiary_state" && hex.EncodeToString(sum[:]) == hash {
			return true
		}
	}
	return false
}
