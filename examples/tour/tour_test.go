package tour

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

func newTour(t *testing.T, change ...func(*Config)) (*Tour, error) {
	t.Helper()
	c := Config{
		Issuer: "http://localhost:1", ClientID: "tour", ClientSecret: "secret", BaseURL: "http://localhost:2",
		OperatorID: "operator", OperatorSecret: "secret", NotesURL: "http://localhost:3",
		People: []Person{{Login: "alice", Name: "Alice"}, {Login: "bob", Name: "Bob"}}, Bob: Person{Login: "bob", Name: "Bob"},
	}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"BaseURL":          func(c *Config) { c.BaseURL = "nowhere" },
		"NotesURL":         func(c *Config) { c.NotesURL = "" },
		"People and Bob":   func(c *Config) { c.People = nil },
		"Issuer":           func(c *Config) { c.Issuer = "" },
		"operator: client": func(c *Config) { c.OperatorID = "" },
	} {
		if _, err := newTour(t, change); err == nil || !strings.HasPrefix(err.Error(), "tour: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What changes something is a POST, and not one from another site; every page has a
// policy that lets nothing in from elsewhere.
func TestDoors(t *testing.T) {
	tour, err := newTour(t)
	if err != nil {
		t.Fatal(err)
	}
	h := tour.Handler()
	for _, path := range []string{"/renew", "/break", "/again", "/bob/sign-in", "/bob/lock", "/bob/unlock", "/logout"} {
		get := httptest.NewRecorder()
		h.ServeHTTP(get, httptest.NewRequest("GET", path, nil))
		// Two of them are scenes as well, which only show.
		if scene := path == "/renew" || path == "/break"; scene != (get.Code == http.StatusOK) {
			t.Errorf("GET %s: %d", path, get.Code)
		}
		r := httptest.NewRequest("POST", path, nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		post := httptest.NewRecorder()
		h.ServeHTTP(post, r)
		if post.Code != http.StatusForbidden {
			t.Errorf("POST %s from another site: %d", path, post.Code)
		}
	}
	for _, path := range []string{"/", "/sign-in", "/tokens", "/renew", "/break", "/nowhere", "/static/tour.js"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		if text := w.Body.String(); regexp.MustCompile(`<[^>]* (?:style|on\w+)=`).MatchString(text) && !strings.HasPrefix(path, "/static") {
			t.Errorf("%s has a style or a script of its own, which the policy refuses", path)
		}
	}
}

func TestDone(t *testing.T) {
	tour, err := newTour(t)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: tour.cookie, Value: "sign-in.nonsense.renew"})
	w := httptest.NewRecorder()
	done := tour.did(w, r, sceneLock)
	if len(done) != 3 || !done[sceneSignIn] || !done[sceneRenew] || !done[sceneLock] {
		t.Errorf("done: %v", done)
	}
	if got := w.Result().Cookies(); len(got) != 1 || got[0].Value != "sign-in.renew.lock" || !got[0].HttpOnly {
		t.Errorf("the cookie: %v", got)
	}
	other, err := newTour(t, func(c *Config) { c.Issuer = "http://localhost:9" })
	if err != nil {
		t.Fatal(err)
	}
	if other.cookie == tour.cookie {
		t.Error("tours on two ports share their ticks")
	}
}

func TestToken(t *testing.T) {
	key, err := jwk.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id string) string {
		token, err := jwt.Sign(map[string]any{"sub": "alice", "aud": []string{"one", "two"}, "exp": 1_900_000_000, "jti": id, "odd": map[string]int{"a": 1}}, key, jwt.SignOptions{NoTimestamp: true})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	before, err := show(sign("1"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := show(sign("2"))
	if err != nil {
		t.Fatal(err)
	}
	want := []claim{
		{Name: "jti", Value: "2", Before: "1", Changed: true, Words: "this very token"},
		{Name: "sub", Value: "alice", Before: "alice", Words: "who: an identifier that never changes"},
	}
	got := compare(before, after)
	if len(got) != 4 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("compared: %+v", got)
	}
	if c := after.More[len(after.More)-1]; c.Name != "odd" || c.Value != `{"a":1}` {
		t.Errorf("what nobody knows: %+v", c)
	}

	// Each way to break a token makes another one, and none that the key has signed.
	options := jwt.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.ES256}, Audiences: []string{"one"}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	if _, err := jwt.Verify[map[string]any](t.Context(), sign("1"), key, options); err != nil {
		t.Fatal(err)
	}
	for name, way := range breaks {
		broken, err := remake(sign("1"), way.do)
		if err != nil {
			t.Fatal(err)
		}
		parts, whole := strings.Split(broken, "."), strings.Split(sign("1"), ".")
		if len(parts) != 3 || parts[0] == whole[0] && parts[1] == whole[1] {
			t.Errorf("%s: %s", name, broken)
		}
		if _, err := jwt.Verify[map[string]any](t.Context(), broken, key, options); err == nil {
			t.Errorf("%s: it is still good", name)
		}
	}
	for _, odd := range []string{"", "a.b", "a.b.c", "e30.e30"} {
		if _, err := remake(odd, breaks["sub"].do); err == nil {
			t.Errorf("%q is taken for a token", odd)
		}
	}
}

// A lock that Bob's work did not notice has no time, and the time of the one before
// does not count again.
func TestMeasured(t *testing.T) {
	b := newBob(Config{})
	now := time.Now()
	b.grant = grant{Access: "a"}
	b.saw(b.grant, b.grant, answer{Status: http.StatusOK}, now)
	b.told(true, times{now, now.Add(20 * time.Millisecond)})
	b.saw(b.grant, b.grant, answer{Status: http.StatusForbidden, Says: "out"}, now.Add(23_400*time.Microsecond))
	s, version := b.stands()
	if s.SignedIn || s.Status != 403 || *s.After != 3.4 || *s.From != 23.4 {
		t.Errorf("stands: %+v", s)
	}
	b.saw(grant{Access: "a"}, grant{Access: "a"}, answer{Status: http.StatusForbidden}, now.Add(time.Second))
	if _, again := b.stands(); again != version {
		t.Error("a second refusal counts")
	}
	b.told(true, times{now.Add(time.Minute), now.Add(time.Minute)})
	if s, _ := b.stands(); s.After != nil {
		t.Errorf("an old refusal is measured anew: %v", *s.After)
	}
	b.told(false, times{})
	if s, _ := b.stands(); s.Status != 0 || s.Locked {
		t.Errorf("let in again: %+v", s)
	}

	// The feed may be faster than the answer to the operator.
	b.grant = grant{Access: "b"}
	b.saw(b.grant, b.grant, answer{Status: http.StatusForbidden}, now.Add(time.Millisecond))
	b.told(true, times{now, now.Add(2 * time.Millisecond)})
	if s, _ := b.stands(); s.After == nil || *s.After != 0 {
		t.Errorf("refused before the acknowledgement: %+v", s)
	}
}

// The tour looks like the pages that it leads to.
func TestColours(t *testing.T) {
	theirs, err := os.ReadFile("../../internal/web/static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := static.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	colour := regexp.MustCompile(`(?m)^ *(--[a-z-]+): ([^;]+);`)
	all := func(text []byte) map[string][]string {
		out := map[string][]string{}
		for _, m := range colour.FindAllStringSubmatch(string(text), -1) {
			out[m[1]] = append(out[m[1]], m[2])
		}
		return out
	}
	have := all(ours)
	for name, values := range all(theirs) {
		if len(have[name]) < 2 || have[name][0] != values[0] || have[name][1] != values[1] {
			t.Errorf("%s is %v, theirs %v", name, have[name], values)
		}
	}
}
