package docs_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// browser keeps cookies, follows redirects and sends forms.
type browser struct {
	t    complaints
	http *http.Client
	at   *url.URL
	body string
}

// complaints are where a browser says that something is not as it should be: to a
// test, or, where it is a program of its own, to whoever started that.
type complaints interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newBrowser(t complaints) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func (b *browser) get(address string) { b.took(b.http.Get(address)) }

func (b *browser) took(res *http.Response, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.body = res.Request.URL, string(body)
}

// submit fills in the form of the page (name, value, name, value, …) and presses
// its main button.
func (b *browser) submit(fields ...string) {
	b.t.Helper()
	page, err := html.Parse(strings.NewReader(b.body))
	if err != nil {
		b.t.Fatal(err)
	}
	action, form, scripted := "", url.Values{}, false // that of passkeys is a script's
	for n := range page.Descendants() {
		if n.Data == "footer" {
			break // what follows is the choice of a language
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		main := n.Data == "button" && slices.Contains(strings.Fields(attr["class"]), "primary")
		switch {
		case n.Data == "form":
			if scripted = attr["class"] == "passkey"; !scripted {
				action = attr["action"]
			}
		case scripted:
		case attr["name"] != "" && (n.Data == "input" && attr["type"] != "checkbox" || main):
			form.Set(attr["name"], attr["value"])
		}
	}
	if action == "" {
		b.t.Fatalf("%s has no form:\n%s", b.at, b.body)
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	to, err := b.at.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	b.took(b.http.PostForm(to.String(), form))
}

func (b *browser) shows(what string) {
	b.t.Helper()
	if !strings.Contains(b.body, what) {
		b.t.Fatalf("%s does not show %q:\n%s", b.at, what, b.body)
	}
}

// person is somebody with a browser which a program on their machine has opened at an
// address: they sign in if they have to, and agree.
func person(address string) {
	b := newBrowser(stderr{})
	b.get(address)
	if strings.Contains(b.body, `name="password"`) {
		b.submit("login", "alice", "password", "correct horse battery")
	}
	if strings.Contains(b.body, `value="allow"`) {
		b.submit()
	}
	b.shows("You are signed in.")
}

// stderr is for the complaints of a program.
type stderr struct{}

func (stderr) Helper()                        {}
func (stderr) Fatal(words ...any)             { fmt.Fprintln(os.Stderr, words...); os.Exit(1) }
func (s stderr) Fatalf(text string, w ...any) { s.Fatal(fmt.Sprintf(text, w...)) }

// signIn does what "Sign people in" says to do in a browser.
func signIn(t *testing.T, s *session) {
	hello := "http://localhost:" + s.ports["8081"]
	b := newBrowser(t)
	b.get(hello + "/")
	b.shows("Nobody is signed in")
	b.get(hello + "/private")
	b.submit("login", "alice", "password", "correct horse battery")
	b.shows("Hello") // asks for consent
	b.submit()
	b.shows("You are ")
	b.get(hello + "/")
	b.shows("Hello, Alice Liddell (alice@example.com)")
	b.submit()
	b.shows("Nobody is signed in")
	if b.at.String() != hello+"/" {
		t.Errorf("signing out leads to %s", b.at)
	}
	checkScopes(t, s)
}

// letDeviceIn does what "Devices without a keyboard" says to do on another device.
func letDeviceIn(t *testing.T, s *session) {
	at := regexp.MustCompile(`(http://localhost:\d+/device)\n\s+([A-Z]{4}-[A-Z]{4})`).FindStringSubmatch(s.logs(t))
	if at == nil {
		t.Fatalf("the device shows %s", s.logs(t))
	}
	b := newBrowser(t)
	b.get(at[1])
	b.submit("user_code", at[2])
	b.submit("login", "alice", "password", "correct horse battery")
	b.shows("a device that is not this one")
	b.submit()
	b.shows("The device is let in")
	for range 200 {
		if strings.Contains(s.logs(t), "Hello, Alice Liddell.") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("the device does not greet: %s", s.logs(t))
}

// signOut is a person with the sample shop in two browsers, who signs out at the
// server in one of them.
func signOut(t *testing.T, s *session) {
	at := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(The shop|Ostiary) +(http://localhost:\d+)`).FindAllStringSubmatch(s.logs(t), -1) {
		at[m[1]] = m[2]
	}
	shop, server := at["The shop"], at["Ostiary"]
	if shop == "" || server == "" {
		t.Fatalf("the demo says %s", s.logs(t))
	}
	one, two := newBrowser(t), newBrowser(t)
	for i, b := range []*browser{one, two} {
		b.get(shop + "/login")
		b.submit("login", "alice", "password", "open sesame please")
		if i == 0 {
			b.submit() // consents, once
		}
		b.shows("Sign out")
	}
	one.get(server + "/")
	one.submit()
	one.shows("You are signed out")
	for range 100 {
		one.get(shop + "/")
		if !strings.Contains(one.body, "Sign out") {
			two.get(shop + "/")
			two.shows("Sign out") // another session, which goes on
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the shop does not learn of it")
}

// discovery is what the server says about itself.
func discovery(t *testing.T, s *session) map[string]any {
	t.Helper()
	b := newBrowser(t)
	b.get("http://localhost:" + s.ports["8080"] + "/.well-known/openid-configuration")
	var m map[string]any
	if err := json.Unmarshal([]byte(b.body), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkScopes holds the table of scopes and claims against the server.
func checkScopes(t *testing.T, s *session) {
	t.Helper()
	m := discovery(t, s)
	var claims, scopes []string
	for _, row := range rows(read(t, "docs/sign-people-in.md")) {
		scope := strings.Trim(row[0], "`")
		if slices.Contains(m["scopes_supported"].([]any), any(scope)) {
			scopes = append(scopes, scope)
			claims = append(claims, spans(row[1])...)
		}
	}
	if want := len(m["scopes_supported"].([]any)); len(scopes) != want {
		t.Errorf("the table has %d scopes, the server %d", len(scopes), want)
	}
	// Those of the ID token are listed below the table.
	claims = append(claims, strings.Fields("iss aud exp iat auth_time nonce acr amr sid at_hash c_hash")...)
	for _, claim := range m["claims_supported"].([]any) {
		if !slices.Contains(claims, claim.(string)) {
			t.Errorf("the claim %s is missing", claim)
		}
	}
	for _, claim := range claims {
		if !slices.Contains(m["claims_supported"].([]any), any(claim)) {
			t.Errorf("the server has no claim %s", claim)
		}
	}
}

// tryEndpoints holds the reference against the server: every address answers,
// none is missing, and the limits are those that are told.
func tryEndpoints(t *testing.T, s *session) {
	page, issuer := read(t, "docs/endpoints.md"), "http://localhost:"+s.ports["8080"]
	var told []string
	for _, m := range regexp.MustCompile("`(GET|POST) (/[^` ]*)`|(GET|POST) (/[a-z./-]+)").FindAllStringSubmatch(page, -1) {
		method, path := m[1]+m[3], m[2]+m[4]
		told = append(told, issuer+path)
		req, err := http.NewRequest(method, issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s %s answers %d", method, path, res.StatusCode)
		}
	}
	for name, value := range discovery(t, s) {
		if address, _ := value.(string); strings.HasPrefix(address, issuer+"/") && !slices.Contains(told, address) {
			t.Errorf("%s, %s, is missing", name, address)
		}
	}
	limits := 0
	for _, row := range rows(page) {
		limit, err := strconv.Atoi(row[len(row)-1])
		if err != nil {
			continue
		}
		for _, parameter := range spans(row[0]) {
			limits++
			res, err := http.PostForm(issuer+"/token", url.Values{parameter: {strings.Repeat("a", limit+1)}})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			res.Body.Close()
			if want := fmt.Sprintf("The parameter %s is longer than %d bytes", parameter, limit); err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("%s: %s (%v)", parameter, answer, err)
			}
		}
	}
	if limits < 20 {
		t.Errorf("the page tells %d limits only", limits)
	}
}

// ownAPI: who has followed the README and nothing else has an API that refuses what it
// should, in less than the ten minutes that it promises.
func ownAPI(t *testing.T, s *session) {
	if took := time.Since(s.began); took > 10*time.Minute {
		t.Errorf("it took %s", took)
	}
	api, issuer := "http://localhost:"+s.ports["8081"], "http://localhost:"+s.ports["8080"]
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"caller","client_id":"caller","scope":"orders:read","jti":"1","iat":%d,"exp":%d}`,
		issuer, api, time.Now().Unix(), time.Now().Add(time.Minute).Unix())
	for what, authorization := range map[string]string{
		"no token":        "",
		"not a token":     "Bearer orders",
		"an unsigned one": "Bearer " + encode([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + encode([]byte(claims)) + ".",
	} {
		req, err := http.NewRequest(http.MethodGet, api+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", what, res.Status)
		}
	}
}
