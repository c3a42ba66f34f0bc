package upstream_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

// api answers a question of ours, after it has checked that it is exactly that one.
func (w *world) api(door, query string, header map[string]string, status int, answer string) {
	w.t.Helper()
	w.on("GET "+door, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != query || r.ContentLength > 0 {
			w.t.Errorf("%s is asked with %q, not %q", door, r.URL.RawQuery, query)
		}
		for name, value := range header {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != value {
				w.t.Errorf("%s: %s is %q, want %q", door, name, got, value)
			}
		}
		write(rw, status, answer)
	})
}

// granted walks there and back, with a token endpoint that grants what answer says.
func (w *world) granted(v upstream.Visitor, token string, answer string, check func(r *http.Request, form url.Values)) (upstream.Person, error) {
	w.t.Helper()
	u, kept := begin(w.t, v, upstream.Wish{})
	w.on("POST "+token, func(rw http.ResponseWriter, r *http.Request) {
		check(r, form(w.t, r, u.Query().Get("code_challenge")))
		write(rw, 200, answer)
	})
	return v.Finish(w.t.Context(), kept, back("GET", "code", "the-code", "state", oneState))
}

const githubEmails = `[{"email":"ada@old.example","primary":false,"verified":true,"visibility":null},
	{"email":"ada@example.com","primary":true,"verified":%t,"visibility":"private"}]`

// TestGitHub: docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps,
// and docs.github.com/rest/users.
func TestGitHub(t *testing.T) {
	const user = `{"login":"ada","id":583231,"node_id":"MDQ6VXNlcjU4MzIzMQ==","avatar_url":"https://avatars.example/u/583231?v=4",
		"html_url":"https://github.com/ada","type":"User","site_admin":false,"name":"Ada Lovelace","company":null,"blog":"","location":"London",
		"email":"public@elsewhere.example","bio":null,"created_at":"2011-01-25T18:44:36Z","two_factor_authentication":true}`
	for _, row := range []struct{ server, site, api string }{
		{"", "github.com", "api.github.com"},
		{"https://git.corp.example", "git.corp.example", "git.corp.example/api/v3"},
	} {
		w := newWorld(t)
		secrets := map[string]model.Secret{"client_secret": "gh-secret"}
		v := w.open("github", `{"client_id":"Iv1.8a61f9b3a7aba766","server":"`+row.server+`","require_organizations":["Engines"]}`, secrets)
		u, _ := begin(t, v, upstream.Wish{Prompt: []string{"login"}, LoginHint: "ada", Locales: []string{"en"}})
		if u.Host+u.Path != row.site+"/login/oauth/authorize" {
			t.Errorf("the browser goes to %s", u)
		}
		parameters(t, "authorization request", u.Query(), request{
			"response_type": "code", "client_id": "Iv1.8a61f9b3a7aba766", "redirect_uri": callback, "scope": "user:email read:org", "state": oneState,
			"code_challenge": "*", "code_challenge_method": "S256", "login": "ada", "prompt": "select_account",
		})
		check := func(r *http.Request, form url.Values) {
			parameters(t, "token request", form, request{
				"grant_type": "authorization_code", "code": "the-code", "redirect_uri": callback, "code_verifier": "*",
				"client_id": "Iv1.8a61f9b3a7aba766", "client_secret": "gh-secret",
			})
		}
		header := map[string]string{
			"Authorization": "Bearer gho_16C7e42F292c6912E7710c838347Ae178B4a", "Accept": "application/vnd.github+json",
			"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "Ostiary",
		}
		token, granted := row.site+"/login/oauth/access_token", `{"access_token":"gho_16C7e42F292c6912E7710c838347Ae178B4a","scope":"read:org,user:email","token_type":"bearer"}`
		for _, verified := range []bool{true, false} {
			w.api(row.api+"/user", "", header, 200, user)
			w.api(row.api+"/user/emails", "per_page=100", header, 200, fmt.Sprintf(githubEmails, verified))
			w.api(row.api+"/user/orgs", "per_page=100", header, 200, `[{"login":"other","id":1},{"login":"engines","id":2}]`)
			p, err := w.granted(v, token, granted, check)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"iss": "https://" + row.site + "/login/oauth", "sub": "583231", "preferred_username": "ada", "login": "ada", "name": "Ada Lovelace", "location": "London",
				"picture": "https://avatars.example/u/583231?v=4", "profile": "https://github.com/ada",
				"email": "ada@example.com", "email_verified": verified, "organizations": []any{"other", "engines"},
			}
			if d := cmp.Diff(want, p.Claims); d != "" || p.Subject != "583231" || p.Issuer != "https://"+row.site+"/login/oauth" {
				t.Errorf("%s %s (-want +got)\n%s", p.Issuer, p.Subject, d)
			}
		}
		// It has begun to name itself, RFC 9207.
		for iss, code := range map[string]upstream.Code{"https://" + row.site + "/login/oauth": "", "https://evil.example/login/oauth": upstream.Untrusted} {
			_, kept := begin(t, v, upstream.Wish{})
			w.on("POST "+token, func(rw http.ResponseWriter, _ *http.Request) { write(rw, 200, granted) })
			_, err := v.Finish(t.Context(), kept, back("GET", "code", "the-code", "state", oneState, "iss", iss))
			if code == "" && err != nil {
				t.Error(err)
			} else if code != "" {
				refused(t, "named "+iss, err, code, "issuer")
			}
		}
		// Bad input, of which the walk above is the good twin.
		w.api(row.api+"/user/orgs", "per_page=100", header, 200, `[{"login":"other","id":1}]`)
		_, err := w.granted(v, token, granted, check)
		refused(t, "of no organization that is required", err, upstream.Denied, "organizations")
		w.api(row.api+"/user/emails", "per_page=100", header, 403, `{"message":"Resource not accessible by integration"}`)
		_, err = w.granted(v, token, granted, check)
		refused(t, "without the permission", err, upstream.Misconfigured, "answers 403")
		for _, bad := range []string{`{"login":"ada"}`, `{"id":null}`, `{"id":1.5}`, `{"id":1e3}`, `{"id":true}`, `[]`, `"ada"`, `{"id":"` + strings.Repeat("9", 256) + `"}`} {
			w.api(row.api+"/user", "", header, 200, bad)
			w.api(row.api+"/user/emails", "per_page=100", header, 200, `[]`)
			w.api(row.api+"/user/orgs", "per_page=100", header, 200, `[{"login":"engines"}]`)
			_, err = w.granted(v, token, granted, check)
			refused(t, "who is it: "+bad[:min(len(bad), 20)], err, upstream.Untrusted, "subject")
		}
		// GitHub says no with 200.
		_, err = w.granted(v, token, `{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired."}`, check)
		refused(t, "a code that was used before", err, upstream.Untrusted, "bad_verification_code")
		_, err = w.granted(v, token, `{"error":"incorrect_client_credentials"}`, check)
		if e := refused(t, "a wrong secret", err, upstream.Misconfigured, "incorrect_client_credentials"); e.Hearsay {
			t.Error("GitHub said so itself")
		}
		_, err = v.Begin(t.Context(), upstream.Wish{State: oneState, Prompt: []string{"none"}})
		refused(t, "without a question", err, upstream.Asks, "")
	}
}

// TestFacebook: developers.facebook.com/documentation/facebook-login/guides/advanced/manual-flow
// and developers.facebook.com/docs/graph-api/guides/secure-requests.
func TestFacebook(t *testing.T) {
	w := newWorld(t)
	secrets := map[string]model.Secret{"client_secret": "app-secret"}
	v := w.open("facebook", `{"client_id":"1234567890","graph_version":"v22.0","fields":["birthday","name"]}`, secrets)
	u, _ := begin(t, v, upstream.Wish{Prompt: []string{"login"}, LoginHint: "ada"})
	if u.Host+u.Path != "www.facebook.com/v22.0/dialog/oauth" {
		t.Errorf("the browser goes to %s", u)
	}
	parameters(t, "authorization request", u.Query(), request{
		"response_type": "code", "client_id": "1234567890", "redirect_uri": callback, "scope": "public_profile email", "state": oneState,
		"code_challenge": "*", "code_challenge_method": "S256", "auth_type": "reauthenticate",
	})
	const token, granted = "graph.facebook.com/v22.0/oauth/access_token", `{"access_token":"EAAB-access","token_type":"bearer","expires_in":5183944}`
	check := func(r *http.Request, form url.Values) {
		parameters(t, "token request", form, request{
			"grant_type": "authorization_code", "code": "the-code", "redirect_uri": callback, "code_verifier": "*",
			"client_id": "1234567890", "client_secret": "app-secret",
		})
	}
	mac := hmac.New(sha256.New, []byte("app-secret"))
	mac.Write([]byte("EAAB-access"))
	query := "appsecret_proof=" + hex.EncodeToString(mac.Sum(nil)) + "&fields=id%2Cname%2Cfirst_name%2Clast_name%2Cmiddle_name%2Cemail%2Cpicture.type%28large%29%2Cbirthday"
	header := map[string]string{"Authorization": "Bearer EAAB-access", "Accept": "application/json"}
	w.api("graph.facebook.com/v22.0/me", query, header, 200, `{"id":"10158000000000001","name":"Ada Lovelace","first_name":"Ada","last_name":"Lovelace",
		"email":"ada@example.com","email_verified":true,"birthday":"12\/10\/1815","picture":{"data":{"height":200,"is_silhouette":false,"url":"https:\/\/platform-lookaside.fbsbx.example\/p?x=1","width":200}}}`)
	p, err := w.granted(v, token, granted, check)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": "https://www.facebook.com", "sub": "10158000000000001", "id": "10158000000000001", "name": "Ada Lovelace", "first_name": "Ada", "given_name": "Ada",
		"last_name": "Lovelace", "family_name": "Lovelace", "email": "ada@example.com", "birthday": "12/10/1815", "picture": "https://platform-lookaside.fbsbx.example/p?x=1",
	}
	if d := cmp.Diff(want, p.Claims); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if p.Tokens.ExpiresAt != noon.Unix()+5183944 || p.Tokens.Type != "Bearer" {
		t.Errorf("the tokens: %+v", p.Tokens)
	}
	w.api("graph.facebook.com/v22.0/me", query, header, 400, `{"error":{"message":"Invalid appsecret_proof provided in the API argument","type":"GraphMethodException","code":100}}`)
	_, err = w.granted(v, token, granted, check)
	refused(t, "another app's secret", err, upstream.Misconfigured, "answers 400")
	w.api("graph.facebook.com/v22.0/me", query, header, 200, `{"name":"Ada Lovelace"}`)
	_, err = w.granted(v, token, granted, check)
	refused(t, "nobody", err, upstream.Untrusted, "subject")
	for name, connection := range map[string]string{
		"a version that is a path": `{"client_id":"1","graph_version":"v1.0/../x"}`, "a field that is a query": `{"client_id":"1","fields":["id&x=1"]}`,
	} {
		if _, err := upstream.Open(w.config("facebook", connection, secrets)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestX: docs.x.com/fundamentals/authentication/oauth-2-0/user-access-token. A confidential
// client proves itself by Basic and is not named in the form; a public one is named there
// and proves nothing.
func TestX(t *testing.T) {
	const fields = "user.fields=id%2Cname%2Cusername%2Cprofile_image_url%2Cverified"
	for _, row := range []struct {
		name, scopes, query, user string
		secrets                   map[string]model.Secret
		claims                    map[string]any
	}{
		{
			"confidential", "tweet.read users.read users.email", fields + "%2Cconfirmed_email",
			`{"data":{"id":"2244994945","name":"Ada","username":"ada","verified":false,"profile_image_url":"https://pbs.example/a.jpg","confirmed_email":"ada@example.com"}}`,
			map[string]model.Secret{"client_secret": "x+secret/="},
			map[string]any{"email": "ada@example.com", "email_verified": true, "picture": "https://pbs.example/a.jpg"},
		},
		{"public", "tweet.read users.read", fields, `{"data":{"id":"2244994945","name":"Ada","username":"ada"}}`, nil, map[string]any{}},
	} {
		w := newWorld(t)
		scopes := `["` + strings.ReplaceAll(row.scopes, " ", `","`) + `"]`
		v := w.open("x", `{"client_id":"M1M5R3BMVy13QmpScXkzTUt5OE46MTpjaQ","scopes":`+scopes+`}`, row.secrets)
		u, _ := begin(t, v, upstream.Wish{})
		if u.Host+u.Path != "x.com/i/oauth2/authorize" || strings.Contains(u.RawQuery, "+") { // a space is %20 there
			t.Errorf("the browser goes to %s", u)
		}
		parameters(t, row.name, u.Query(), request{
			"response_type": "code", "client_id": "M1M5R3BMVy13QmpScXkzTUt5OE46MTpjaQ", "redirect_uri": callback, "scope": row.scopes, "state": oneState,
			"code_challenge": "*", "code_challenge_method": "S256",
		})
		check := func(r *http.Request, form url.Values) {
			want := request{"grant_type": "authorization_code", "code": "the-code", "redirect_uri": callback, "code_verifier": "*"}
			id, secret, basic := r.BasicAuth()
			if row.secrets == nil {
				want["client_id"] = "M1M5R3BMVy13QmpScXkzTUt5OE46MTpjaQ"
			}
			if basic != (row.secrets != nil) || basic && (id != "M1M5R3BMVy13QmpScXkzTUt5OE46MTpjaQ" || secret != "x%2Bsecret%2F%3D") {
				t.Errorf("%s: Basic %q %q", row.name, id, secret)
			}
			parameters(t, row.name, form, want)
		}
		header := map[string]string{"Authorization": "Bearer VGVzdA"}
		const token, granted = "api.x.com/2/oauth2/token", `{"token_type":"bearer","expires_in":7200,"access_token":"VGVzdA","scope":"users.read tweet.read"}`
		w.api("api.x.com/2/users/me", row.query, header, 200, row.user)
		p, err := w.granted(v, token, granted, check)
		row.claims["iss"], row.claims["sub"], row.claims["name"] = "https://x.com", "2244994945", "Ada"
		row.claims["username"], row.claims["preferred_username"], row.claims["profile"] = "ada", "ada", "https://x.com/ada"
		if d := cmp.Diff(row.claims, p.Claims); err != nil || d != "" || p.Subject != "2244994945" {
			t.Errorf("%s: %v (-want +got)\n%s", row.name, err, d)
		}
		w.api("api.x.com/2/users/me", row.query, header, 200, `{"errors":[{"title":"Not Found Error"}]}`)
		_, err = w.granted(v, token, granted, check)
		refused(t, row.name+": nobody", err, upstream.Untrusted, "subject")
		w.api("api.x.com/2/users/me", row.query, header, 429, `{"title":"Too Many Requests"}`)
		_, err = w.granted(v, token, granted, check)
		refused(t, row.name+": too often", err, upstream.Unavailable, "answers 429")
	}
	if _, err := upstream.Open(newWorld(t).config("x", `{"client_id":"a","scopes":["users.read"]}`, nil)); err == nil {
		t.Error("scopes by which nobody is told are taken")
	}
}
