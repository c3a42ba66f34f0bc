package server_test

import (
	"database/sql"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// TestAttackRedirectURI: O1, O2, O3 and O5: nothing but the registered address, byte
// for byte, gets an answer (RFC 9700 §4.1.3).
func TestAttackRedirectURI(t *testing.T) {
	h := servertest.Start(t)
	s := web
	s.RedirectURIs = []string{"https://good.example/cb"}
	c, _ := h.Client("shop", s)
	for _, evil := range []string{
		"https://good.example/cb/x", "https://good.example/cb.evil", "https://good.example/cb?x", "https://good.example/cb?", "https://good.example/cb/", "https://good.example/c", "https://goodXexample/cb",
		"https://good.example/x/../cb", "https://good.example/cb/..;/x", "https://good.example/%2e%2e/cb", "https://good.example/%252e%252e/cb", "https://good.example//cb", "https://good.example/./cb",
		`https://good.example\cb`, "https://good.example/cb\t", "https://good.example/\tcb", "https://good.example/cb\r\n", "https://good.example/cb%0d%0a", "https://good.example/cb ", " https://good.example/cb", "https://good.example/%63b", "https://*.example/cb", "*",
		"https://good.example@evil.example/cb", "https://good@evil.example/cb", `https://evil.example\@good.example/cb`, "https://good.example%00.evil.example/cb", "https://good.example\x00.evil.example/cb",
		"https://gооd.example/cb", "https://xn--gd-6kca.example/cb", "https://good.example./cb", "https://good.example:443/cb", "https://good.example:444/cb", "https://evil.example/https://good.example/cb",
		"https://good.example/CB", "https://GOOD.example/cb", "HTTPS://good.example/cb", "http://good.example/cb", "//good.example/cb", "https:good.example/cb", "https:///good.example/cb", "https://good.example/cb#", "https://good.example/cb#x",
	} {
		for _, extra := range [][]string{nil, {"prompt", "none"}, {"response_type", "cheese"}} { // and no error goes there (O7)
			p := h.Browser().Get(servertest.AuthorizePath(c, append(extra, "redirect_uri", evil)...))
			if p.Left != nil || p.Status != http.StatusBadRequest {
				t.Errorf("%q %v: %d %v", evil, extra, p.Status, p.Left)
			}
		}
	}
	if p := h.Browser().Get(servertest.AuthorizePath(c, "prompt", "none")); p.Left == nil || !strings.HasPrefix(p.Left.String(), "https://good.example/cb?") {
		t.Errorf("the good twin: %d %v", p.Status, p.Left)
	}
}

// TestAttackPollution: O9: a parameter in the query and in the body comes twice (RFC
// 6749 §3.1), and no answer can, because no redirect URI holds its parameters.
func TestAttackPollution(t *testing.T) {
	h := servertest.Start(t, openRegistration)
	c, _ := h.Client("shop", web)
	u, _ := url.Parse(servertest.AuthorizePath(c, "prompt", "none"))
	for _, name := range []string{"", "client_id", "redirect_uri", "scope", "state", "code_challenge", "nonce", "response_type"} {
		query := ""
		if name != "" {
			query = "?" + url.Values{name: {u.Query().Get(name)}}.Encode()
		}
		p := h.Browser().Post("/authorize"+query, u.Query())
		want := map[string]string{"": "login_required", "client_id": "page", "redirect_uri": "page"}[name]
		if want == "" {
			want = "invalid_request"
		}
		if answer(p) != want {
			t.Errorf("%q in both: %d %v, want %s", name, p.Status, p.Left, want)
		}
	}
	for query, ok := range map[string]bool{"codes=1&my_state=2": true, "code=x": false, "a=b&state=x": false, "iss=x": false, "error=x": false, "%63ode=x": false, "id_token": false, "access_token=x": false, "a;code=x": false, "%zz": false} {
		uri := "https://suite.example/cb?" + query
		s := web
		s.RedirectURIs = []string{uri}
		if _, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, ""); (err == nil) != ok {
			t.Errorf("%s by an operator: %v", uri, err)
		}
		if a := register(t, h, suite.and("redirect_uris", []string{uri})); (a.Status == http.StatusCreated) != ok || !ok && a.String("error") != "invalid_redirect_uri" {
			t.Errorf("%s by itself: %d %s", uri, a.Status, a.Text)
		}
	}
}

// TestAttackCode: O13, O14 and O15: a code goes with the verifier of the browser that
// asked for it, and PKCE cannot be left out on one side (RFC 9700 §4.5.3, §4.8.2). O16:
// a weak verifier, or one wrong guess, ends it (RFC 7636 §4.1).
func TestAttackCode(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		s := web
		s.FirstParty = true
		c, secret := h.Client("shop", s)
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(c), "olena", password)
		const other = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B: here as another verifier
		for _, row := range []struct {
			name, challenge string
			verifier        []string
			ok              bool
		}{
			{"O15 challenge and verifier", servertest.Challenge, []string{servertest.Verifier}, true},
			{"O15 neither, confidential client", "", nil, true},
			{"O15 challenge, no verifier", servertest.Challenge, nil, false},
			{"O15 challenge, empty verifier", servertest.Challenge, []string{""}, false},
			{"O15 verifier, no challenge", "", []string{servertest.Verifier}, false},
			{"O15 the challenge as verifier", servertest.Challenge, []string{servertest.Challenge}, false},
			{"O14 another browser's verifier", servertest.Challenge, []string{other}, false},
			{"O16 one character", servertest.Challenge, []string{"a"}, false},
			{"O16 42 characters", servertest.Challenge, []string{servertest.Verifier[:42]}, false},
			{"O16 129 characters", servertest.Challenge, []string{strings.Repeat("a", 129)}, false},
			{"O16 not of the alphabet", servertest.Challenge, []string{servertest.Verifier[:42] + "é"}, false},
			{"O16 a blank behind it", servertest.Challenge, []string{servertest.Verifier + " "}, false},
			{"O16 twice", servertest.Challenge, []string{servertest.Verifier, servertest.Verifier}, false},
		} {
			t.Run(row.name, func(t *testing.T) {
				method := map[bool]string{true: "S256", false: ""}[row.challenge != ""]
				at := b.Get(servertest.AuthorizePath(c, "code_challenge", row.challenge, "code_challenge_method", method)).Left
				form := url.Values{"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": c.RedirectURIs, "code_verifier": row.verifier}
				a := h.Call("/token", c, secret, form)
				if (a.Status == http.StatusOK) != row.ok {
					t.Fatalf("%d %s", a.Status, a.Text)
				}
				if len(row.verifier) > 1 {
					return // no redemption at all
				}
				if a := h.Redeem(c, secret, at); a.String("error") != "invalid_grant" {
					t.Errorf("the right verifier afterwards: %d %s", a.Status, a.Text)
				}
			})
		}
	})
}

// TestAttackConsent: O25: what a person agrees to is what the server keeps, whatever
// the form says, and once. O23: no answer makes a browser post the password again.
func TestAttackConsent(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, secret := h.Client("shop", web)
		b := h.Browser()
		var steps []int
		check := b.HTTP().CheckRedirect
		b.HTTP().CheckRedirect = func(next *http.Request, via []*http.Request) error {
			steps = append(steps, next.Response.StatusCode)
			return check(next, via)
		}
		consent := b.Get(servertest.AuthorizePath(c, "scope", "openid")).Submit("primary", "login", "olena", "password", password)
		answer := consent.Submit("primary", "scope", "openid email phone", "claims", `{"userinfo":{"name":null}}`, "client_id", "other", "redirect_uri", "https://evil.example/", "state", "evil")
		if answer.Left == nil || !strings.HasPrefix(answer.Left.String(), c.RedirectURIs[0]+"?") || answer.Left.Query().Get("state") != "the-state" {
			t.Fatalf("%d %v", answer.Status, answer.Left)
		}
		if a := h.Redeem(c, secret, answer.Left); a.String("scope") != "openid" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		h.Clock.Move(31 * time.Second) // until then it is a double click
		if again := consent.Submit("primary"); again.Left != nil || again.Status != http.StatusBadRequest {
			t.Errorf("the same consent twice: %d %v", again.Status, again.Left)
		}
		if len(steps) < 4 || slices.ContainsFunc(steps, func(status int) bool { return status != http.StatusSeeOther }) {
			t.Errorf("redirects by %v, want 303 (RFC 9700 §4.12)", steps)
		}
	})
}

// TestAttackFlood: O35: what a stranger's requests leave behind is bounded, one by one
// and all together, and is swept when their time is over. Who is signed in, or was
// about to, does not notice.
func TestAttackFlood(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := newPerson(t, h, nil)
		c, _ := h.Client("shop", web)
		begun := h.Browser().Get(servertest.AuthorizePath(c))
		before, shown := rows(t, h), 0
		for range 150 {
			page := h.Browser().Get(servertest.AuthorizePath(c, "state", strings.Repeat("s", 16384)))
			if page.Status == http.StatusTooManyRequests && page.Header.Get("Retry-After") != "" {
				shown++
			} else if page.Status != http.StatusOK {
				t.Fatalf("%d %s", page.Status, page.Body)
			}
		}
		after := rows(t, h)
		if n := after["requests"]; n < 30 || n > 30+64 || shown != 150+before["requests"]-n {
			t.Errorf("%d requests wait, %d were turned away", n, shown)
		}
		delete(before, "requests")
		delete(after, "requests")
		sameRows(t, before, after)
		if a := p.code(t); a.Status != http.StatusOK {
			t.Errorf("who is signed in: %d %s", a.Status, a.Text)
		}
		if page := begun.Submit("primary", "login", p.u.Login, "password", password); page.Status != http.StatusOK || !strings.HasSuffix(page.URL.Path, "/consent") {
			t.Errorf("who was about to: %d %s", page.Status, page.URL)
		}
		h.Clock.Move(2 * time.Hour)
		if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 500); err != nil || rows(t, h)["requests"] != 0 {
			t.Errorf("%d are left, %v", rows(t, h)["requests"], err)
		}
		if page := h.Browser().Get(servertest.AuthorizePath(c)); page.Status != http.StatusOK {
			t.Errorf("afterwards: %d", page.Status)
		}
	}, func(c *server.Config) { c.Waiting = 30 })
}

// rename gives a table another name, behind the server's back: from then on it cannot
// work with it.
func rename(t *testing.T, h *servertest.House, table, to string) {
	t.Helper()
	driver, address := "sqlite", filepath.Join(h.Config.Data, "ostiary.db")
	if h.Config.Database != "" {
		driver, address = "pgx", h.Config.Database
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("ALTER TABLE " + table + " RENAME TO " + to); err != nil {
		t.Fatal(err)
	}
}

// TestAttackStorage: T6: where nothing can be stored, a revocation does not succeed
// (RFC 7009 §2.2.1), and no token is good of which nobody knows whether it was revoked.
func TestAttackStorage(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := newPerson(t, h, nil)
		token := p.code(t).String("access_token")
		ask := func() (revoked, known, told servertest.Answer) {
			form := url.Values{"token": {token}}
			return h.Call("/revoke", p.c, p.secret, form), h.Call("/introspect", p.c, p.secret, form), info(t, h, token)
		}
		rename(t, h, "revocations", "gone")
		revoked, known, told := ask()
		for _, a := range []servertest.Answer{revoked, known, told} {
			if a.Status != http.StatusInternalServerError || a.String("error") != "server_error" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		}
		rename(t, h, "gone", "revocations")
		if !active(h, p.c, p.secret, token) {
			t.Error("half revoked")
		}
		if revoked, known, told = ask(); revoked.Status != http.StatusOK || known.JSON["active"] != false || told.Status != http.StatusUnauthorized {
			t.Errorf("the good twin: %s, %s, %s", revoked.Text, known.Text, told.Text)
		}
	})
}

// TestAttackInteraction: P14: the cookie of one waiting request is no other's, is not
// to be guessed, and ends with it.
func TestAttackInteraction(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, _ := h.Client("shop", web)
		begin := func() (string, string) {
			res, err := http.DefaultTransport.RoundTrip(must(http.NewRequest(http.MethodGet, h.Issuer+servertest.AuthorizePath(c), nil)))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res.Header.Get("Location"), only(t, res).Value
		}
		visit := func(page, cookie string) int {
			req := must(http.NewRequest(http.MethodGet, h.Issuer+page, nil))
			req.AddCookie(&http.Cookie{Name: "ostiary_interaction", Value: cookie})
			return h.Browser().Do(req).Status
		}
		one, mine := begin()
		two, yours := begin()
		for _, row := range []struct {
			name, page, cookie string
			want               int
		}{
			{"its own", one, mine, 200}, {"the other's own", two, yours, 200},
			{"swapped", one, yours, 400}, {"swapped back", two, mine, 400}, {"none", one, "", 400}, {"what is stored of it", one, model.Secret(mine).Hash(), 400},
			{"the name of the request", one, strings.Split(one, "/")[2], 400}, {"cut", one, mine[:len(mine)-1], 400}, {"longer", one, mine + "A", 400},
		} {
			if got := visit(row.page, row.cookie); got != row.want {
				t.Errorf("%s: %d, want %d", row.name, got, row.want)
			}
		}
		h.Clock.Move(2 * time.Hour)
		if got := visit(one, mine); got != http.StatusBadRequest {
			t.Errorf("when its time is over: %d", got)
		}
	})
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}

// TestAttackClock: P20: a clock that was ahead for a while, and is put right, brings
// nothing back to life, although the house was swept meanwhile.
func TestAttackClock(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := newPerson(t, h, nil)
		key := newKey(t, jwa.ES256)
		s := by(model.AuthPrivateKey)
		s.JWKS = published(t, key)
		h.Client("signer", s)
		assertion := sign(t, key, jws.SignOptions{}, proof(h, "signer", nil))
		used := p.b.Get(servertest.AuthorizePath(p.c)).Left
		first, second := h.Redeem(p.c, p.secret, used), p.code(t)
		if a := h.Call("/revoke", p.c, p.secret, url.Values{"token": {second.String("access_token")}}); a.Status != http.StatusOK || prove(h, "/token", assertion).Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		ended := p.code(t)
		h.Call("/revoke", p.c, p.secret, url.Values{"token": {ended.String("refresh_token")}})
		for _, jump := range []time.Duration{-time.Hour, 30 * time.Minute} {
			h.Clock.Move(jump)
			if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 500); err != nil {
				t.Fatal(err)
			}
			h.Clock.Move(-jump)
			for name, token := range map[string]string{"an access token that was revoked": second.String("access_token"), "one of an ended grant": ended.String("access_token"), "its refresh token": ended.String("refresh_token")} {
				if active(h, p.c, p.secret, token) {
					t.Errorf("%s lives after %v", name, jump)
				}
			}
			if prove(h, "/token", assertion).Status == http.StatusOK {
				t.Errorf("an assertion is good again after %v", jump)
			}
		}
		if !active(h, p.c, p.secret, first.String("access_token")) {
			t.Error("the good twin is dead")
		}
		if a := h.Redeem(p.c, p.secret, used); a.String("error") != "invalid_grant" {
			t.Errorf("a used code: %d %s", a.Status, a.Text)
		}
	})
}

// TestAttackKeyAddress: J9: no header of a token makes the server go anywhere, wherever
// tokens are taken.
func TestAttackKeyAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := newPerson(t, h, nil)
		key, theirs := newKey(t, jwa.ES256), newKey(t, jwa.ES256)
		evil := serveKeys(t, theirs)
		s := by(model.AuthPrivateKey)
		s.JWKS = published(t, key)
		h.Client("signer", s)
		c := requestSigner(t, h, "app", key, nil)
		tokens := p.code(t)
		for _, header := range []map[string]any{
			{"jku": evil.URL + "/jwks"}, {"x5u": evil.URL + "/jwks"}, {"jku": h.Issuer + "@" + evil.Listener.Addr().String()}, {"jku": evil.URL + "/jwks", "jwk": json.RawMessage(published(t, theirs))},
		} {
			signed := func(key *jwk.Key, claims map[string]any, typ string) string {
				return sign(t, key, jws.SignOptions{Header: header, Type: typ}, claims)
			}
			if a := prove(h, "/token", signed(theirs, proof(h, "signer", nil), "")); a.Status != http.StatusUnauthorized {
				t.Errorf("%v, client_assertion: %d %s", header, a.Status, a.Text)
			}
			if a := prove(h, "/token", signed(key, proof(h, "signer", nil), "")); a.Status != http.StatusOK {
				t.Errorf("%v, the good twin: %d %s", header, a.Status, a.Text)
			}
			if got := answer(h.Browser().Get(beside(c, "request", signed(theirs, asked(h, c, nil), "")))); got != "invalid_request_object" {
				t.Errorf("%v, request: %s", header, got)
			}
			if v, _ := answerOf(t, p.b.Get(servertest.AuthorizePath(p.c, "id_token_hint", signed(theirs, claimsOf(t, tokens.String("id_token")), "JWT"))), p.c.RedirectURIs[0]); v.Get("error") != "invalid_request" {
				t.Errorf("%v, id_token_hint: %v", header, v)
			}
			access := signed(theirs, claimsOf(t, tokens.String("access_token")), "at+jwt")
			if a := info(t, h, access); a.Status != http.StatusUnauthorized || active(h, p.c, p.secret, access) {
				t.Errorf("%v, access token: %d %s", header, a.Status, a.Text)
			}
		}
		if n := evil.asked.Load(); n != 0 {
			t.Errorf("the address in a header was fetched %d times", n)
		}
	})
}

// TestAttackRows: each row of the catalogue of known attacks that concerns the server
// has a test, which says the row's name.
func TestAttackRows(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		own, _, _ := strings.Cut(string(text), "var attackRows")
		sources.WriteString(own)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, id := range regexp.MustCompile(`\b[JOPT][0-9]+\b`).FindAllString(sources.String(), -1) {
		named[id] = true
	}
	for _, id := range strings.Fields(attackRows) {
		if !named[id] {
			t.Errorf("no test names the attack %s", id)
		}
	}
}

// attackRows are the rows that concern the server as it is: those of device codes,
// pushed requests, token exchange and proof of possession come with these.
var attackRows = `
J5 J9 J30 J44
O1 O2 O3 O4 O5 O6 O7 O8 O9 O10 O11 O12 O13 O14 O15 O16 O17 O18 O19 O20 O21 O22 O23 O24 O25 O26 O27 O28 O29 O30 O32 O33 O34 O35
T1 T2 T3 T4 T5 T6 T7 T8 T9 T18 T19 T20 T21 T22 T23 T24 T25 T26 T27 T28
P1 P2 P3 P4 P5 P7 P8 P9 P10 P11 P12 P13 P14 P15 P20 P21 P22`
