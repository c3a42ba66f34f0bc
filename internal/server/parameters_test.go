package server_test

import (
	"database/sql"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/servertest"
	"golang.org/x/net/html"
)

// rows counts the rows of every table that a request could write to.
func rows(t *testing.T, h *servertest.House) map[string]int {
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
	counts := map[string]int{}
	for _, table := range []string{"requests", "auth_sessions", "grants", "codes", "consents", "sessions", "events", "links", "assertions", "revocations", "clients"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

func sameRows(t *testing.T, before, after map[string]int) {
	t.Helper()
	delete(before, "events") // of the clients that a test makes
	delete(after, "events")
	if !maps.Equal(before, after) {
		t.Errorf("something was stored: before %v, after %v", before, after)
	}
}

// described reports whether a text may be an error_description: RFC 6749
// §4.1.2.1, %x20-21 / %x23-5B / %x5D-7E.
func described(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// answerModes are the three ways in which an answer to "code" travels.
var answerModes = []string{"query", "fragment", "form_post"}

// TestParametersBadInput sends wrong values of each parameter in each response
// mode: the error that the clause names, where the mode says, with the state as it
// was; and nothing is stored. Those that belong to the checks before there is an
// address to trust are in TestAuthorizeBadInput.
func TestParametersBadInput(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		p, other := newParty(h, "code", ""), newParty(h, "code", "")
		strange := other.read(t, other.ask(t)).raw
		long := strings.Repeat("x", 17000)
		rowsOf := []struct {
			name   string
			change url.Values
			code   string
		}{
			{"none and login (OpenID Connect Core §3.1.2.1)", url.Values{"prompt": {"none login"}}, "invalid_request"},
			{"login and none", url.Values{"prompt": {"login none"}}, "invalid_request"},
			{"none and consent", url.Values{"prompt": {"none consent"}}, "invalid_request"},
			{"none and select_account", url.Values{"prompt": {"select_account none"}}, "invalid_request"},
			{"none and what is unknown", url.Values{"prompt": {"none dance"}}, "invalid_request"},
			{"none twice", url.Values{"prompt": {"none none"}}, "invalid_request"},
			{"login twice", url.Values{"prompt": {"login consent login"}}, "invalid_request"},
			{"an unknown prompt (Initiating User Registration §4.1)", url.Values{"prompt": {"dance"}}, "invalid_request"},
			{"a prompt in another case", url.Values{"prompt": {"Login"}}, "invalid_request"},
			{"prompts with commas", url.Values{"prompt": {"login,consent"}}, "invalid_request"},
			{"max_age below nothing", url.Values{"max_age": {"-1"}}, "invalid_request"},
			{"max_age with a sign", url.Values{"max_age": {"+1"}}, "invalid_request"},
			{"max_age of a fraction", url.Values{"max_age": {"1.5"}}, "invalid_request"},
			{"max_age in words", url.Values{"max_age": {"1h"}}, "invalid_request"},
			{"max_age beyond all numbers", url.Values{"max_age": {"9999999999999"}}, "invalid_request"},
			{"nonce missing (OpenID Connect Core §3.3.2.11)", url.Values{"nonce": nil, "response_type": {"code id_token"}}, "invalid_request"},
			{"an unknown response type (RFC 6749 §4.1.2.1)", url.Values{"response_type": {"cheese"}}, "unsupported_response_type"},
			{"an access token alone (RFC 9700 §2.1.2)", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
			{"no response type", url.Values{"response_type": nil}, "invalid_request"},
			{"an unregistered scope", url.Values{"scope": {"openid admin"}}, "invalid_scope"},
			{"the scope *", url.Values{"scope": {"openid *"}}, "invalid_scope"},
			{"claims that are no JSON", url.Values{"claims": {"name"}}, "invalid_request"},
			{"huge claims", url.Values{"claims": {`{"userinfo":{"` + long + `":null}}`}}, "invalid_request"},
			{"a resource that is not the client's (RFC 8707 §2)", url.Values{"resource": {"https://other.example"}}, "invalid_target"},
			{"a good resource and a bad one", url.Values{"resource": {"https://api.example", "https://other.example"}}, "invalid_target"},
			{"a resource with a fragment (RFC 8707 §2)", url.Values{"resource": {"https://api.example#x"}}, "invalid_target"},
			{"a resource that is no absolute URI (RFC 8707 §2)", url.Values{"resource": {"/api"}}, "invalid_target"},
			{"two resources in one", url.Values{"resource": {"https://api.example https://api.example"}}, "invalid_target"},
			{"very many resources", url.Values{"resource": strings.Fields(strings.Repeat("https://api.example ", 21))}, "invalid_request"},
			{"id_token_hint that is no token", url.Values{"id_token_hint": {"x"}}, "invalid_request"},
			{"id_token_hint of another client (OpenID Connect Core §3.1.2.1)", url.Values{"id_token_hint": {strange}}, "invalid_request"},
			{"id_token_hint and sub of two people", url.Values{"id_token_hint": {p.read(t, p.ask(t)).raw}, "claims": {`{"id_token":{"sub":{"value":"x` + string(u.ID) + `"}}}`}}, "invalid_request"},
			{"a long display", url.Values{"display": {long}}, "invalid_request"},
			{"long ui_locales", url.Values{"ui_locales": {long}}, "invalid_request"},
			{"long claims_locales", url.Values{"claims_locales": {long}}, "invalid_request"},
			{"a long login_hint", url.Values{"login_hint": {long}}, "invalid_request"},
			{"long acr_values", url.Values{"acr_values": {long}}, "invalid_request"},
			{"an unknown parameter twice (RFC 6749 §3.1)", url.Values{"extra": {"1", "1"}}, "invalid_request"},
		}
		for _, name := range []string{"scope", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "id_token_hint",
			"acr_values", "claims", "display", "ui_locales", "claims_locales"} {
			rowsOf = append(rowsOf, struct {
				name   string
				change url.Values
				code   string
			}{name + " twice (RFC 6749 §3.1)", url.Values{name: {"1", "1"}}, "invalid_request"})
		}
		before := rows(t, h)
		for _, mode := range answerModes {
			for _, row := range rowsOf {
				t.Run(row.name+" by "+mode, func(t *testing.T) {
					u, _ := url.Parse(p.path("response_mode", mode, "state", "s &=%\"<ї"))
					q := u.Query()
					for name, values := range row.change {
						q[name] = values
						if values == nil {
							delete(q, name)
						}
					}
					want := mode
					if strings.Contains(q.Get("response_type"), "token") && mode == "query" {
						want = "fragment" // never in a query, Multiple Response Types §5
					}
					page := h.Browser().Get("/authorize?" + q.Encode())
					v, where := answerOf(t, page, p.c.RedirectURIs[0])
					if v.Get("error") != row.code || where != want || v.Get("state") != "s &=%\"<ї" || v.Get("iss") != h.Issuer || !described(v.Get("error_description")) {
						t.Errorf("in the %s, want %s: %v", where, want, v)
					}
					for name := range v {
						if name != "error" && name != "error_description" && name != "state" && name != "iss" {
							t.Errorf("a surprise: %s", name)
						}
					}
				})
			}
		}
		sameRows(t, before, rows(t, h))
	})
}

// hostile are values that somebody might hope to find again in an answer.
var hostile = []string{
	`"`, `\`, "\r\nSet-Cookie: a=b", "\n", "\x00", "\x7f", "\xff\xfe", "é", "\u2028", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "%0d%0a",
	"none login", `{"userinfo":{"\"\\":null}}`, `{"a":`, "x", "-1", "javascript:alert(1)", "https://evil.example/\"\\", strings.Repeat("é", 40), strings.Repeat("x", 70), strings.Repeat(`"`, 20000),
}

// TestErrorDescriptions (attack row O24): whatever stands in whichever parameter, an error goes
// where it belongs, says nothing but what RFC 6749 §4.1.2.1 allows, and leaves
// nothing behind.
func TestErrorDescriptions(t *testing.T) {
	h := servertest.Start(t)
	p := newParty(h, "code", "")
	refused := 0
	for _, mode := range answerModes {
		for _, name := range []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
			"prompt", "max_age", "login_hint", "id_token_hint", "acr_values", "claims", "display", "ui_locales", "claims_locales", "resource", "registration", "unknown", `"\` + "\r\né"} {
			for _, value := range hostile {
				u, _ := url.Parse(p.path("response_mode", mode))
				q := u.Query()
				q.Set(name, value)
				before := rows(t, h)
				page := h.Browser().Get("/authorize?" + q.Encode())
				if strings.HasSuffix(page.URL.Path, "/login") {
					continue // a harmless value: the sign-in goes on
				}
				refused++
				sameRows(t, before, rows(t, h))
				if page.Left == nil && page.Status == http.StatusBadRequest || page.Status == http.StatusRequestHeaderFieldsTooLarge {
					continue // shown
				}
				v, where := answerOf(t, page, p.c.RedirectURIs[0])
				if v.Get("error") == "" || !described(v.Get("error_description")) {
					t.Errorf("%s=%q: %v", name, value, v)
				}
				if name != "response_mode" && name != "response_type" && where != mode || name != "state" && v.Get("state") != "the-state" {
					t.Errorf("%s=%q: in the %s: %v", name, value, where, v)
				}
			}
		}
	}
	if refused < 300 || strings.Contains(h.Log.String(), `"panic"`) {
		t.Errorf("%d were refused, or something panicked", refused)
	}
}

// TestState: any state, up to the limit, comes back byte for byte in every mode,
// with an answer and with an error (RFC 6749 §4.1.2).
func TestState(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	c, _ := h.Client("front", front())
	b := h.Browser()
	b.SignIn(servertest.AuthorizePath(c), "olena", password)
	var all strings.Builder
	for c := rune(0x20); c < 0x7f; c++ {
		all.WriteRune(c)
	}
	for name, state := range map[string]string{
		"128 characters": strings.Repeat("s", 128), "every printable character": all.String(), "blanks around": "  a  ", "accents composed and not": "\u00e9e\u0301",
		"characters with a meaning": "\u2028\u2029\ufeff\ufffd\u200b\U0001F600", "markup": `"><script>&amp;&#39;</script>`, "as long as it may be": strings.Repeat("ї ", 16384/3), "escapes": "%00%0d+%2B",
	} {
		for _, mode := range answerModes {
			for _, prompt := range []string{"", "dance"} {
				t.Run(name+" by "+mode+prompt, func(t *testing.T) {
					v, where := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_mode", mode, "state", state, "prompt", prompt)), c.RedirectURIs[0])
					if where != mode || v.Get("state") != state || v.Has("code") == v.Has("error") {
						t.Errorf("in the %s: %.300q", where, v)
					}
				})
			}
		}
	}
	v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "state", strings.Repeat("s", 16385))), c.RedirectURIs[0])
	if v.Get("error") != "invalid_request" || v.Has("state") {
		t.Errorf("a state beyond the limit: %.300q", v)
	}
}

// TestCarriers: no parameter and no name carries markup into a page (attack row
// O34).
func TestCarriers(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	const evil = `"><img src=x onerror=alert(1)>`
	s := web
	s.Name, s.URI = evil, "https://shop.example/"+url.PathEscape(evil)
	c, _ := h.Client("evil", s)
	page := h.Browser().Get(servertest.AuthorizePath(c, "login_hint", evil, "ui_locales", evil, "claims_locales", evil, "acr_values", evil,
		"claims", `{"userinfo":{"\"><img src=x onerror=alert(1)>":null,"phone_number":{"value":"\"><img src=x onerror=alert(1)>"}}}`))
	if page.Form().Values.Get("login") != evil {
		t.Error("the login_hint does not fill in the login")
	}
	for range 2 {
		doc, err := html.Parse(strings.NewReader(page.Body))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			ours := n.Data == "script" && n.FirstChild == nil && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool {
				return a.Key == "src" && strings.HasPrefix(a.Val, "/static/passkey.")
			})
			if n.Type == html.ElementNode && (n.Data == "img" || n.Data == "script") && !ours {
				t.Errorf("%s: an element %s", page.URL.Path, n.Data)
			}
		}
		if !strings.HasSuffix(page.URL.Path, "/consent") {
			page = page.Submit("primary", "login", "olena", "password", password)
		}
	}
	if !strings.HasSuffix(page.URL.Path, "/consent") || !strings.Contains(page.Body, "Phone number") {
		t.Errorf("%s", page.URL)
	}
}
