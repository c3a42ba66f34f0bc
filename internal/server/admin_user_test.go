package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
)

// instruct calls the admin API with a body.
func instruct(t *testing.T, h *servertest.House, token, method, path, body string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(method, h.Issuer+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return servertest.Do(t, req)
}

func TestUserAdministration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ops, secret := h.Client("console", console)
		token := ownToken(t, h, ops, secret, oauth.ScopeUsers)
		logins := func(query string) string {
			a := administer(t, h, token, "GET", "/api/users"+query)
			if a.Status != http.StatusOK {
				t.Fatalf("GET /api/users%s: %d %s", query, a.Status, a.Text)
			}
			var list []string
			for _, u := range a.JSON["users"].([]any) {
				list = append(list, u.(map[string]any)["login"].(string))
			}
			return strings.Join(list, " ")
		}

		made := instruct(t, h, token, "POST", "/api/users", `{"login":"Olena","password":"quietly blue mangroves","profile":{"name":"Олена Пчілка","groups":["staff"]},"add_groups":["ops"]}`)
		if made.Status != http.StatusCreated || made.String("login") != "olena" || strings.Contains(made.Text, "argon2") || strings.Contains(made.Text, "mangroves") {
			t.Fatalf("create: %d %s", made.Status, made.Text)
		}
		path := "/api/users/" + made.String("id")
		if _, err := sessionOf(t.Context(), h.Accounts, "olena", "quietly blue mangroves"); err != nil {
			t.Errorf("sign-in: %v", err)
		}
		invited := instruct(t, h, token, "POST", "/api/users", `{"login":"taras","invite":true}`)
		if invited.Status != http.StatusCreated || !strings.HasPrefix(invited.String("link"), h.Issuer+"/") || invited.JSON["mailed"] != false {
			t.Errorf("invite: %d %s", invited.Status, invited.Text)
		}
		for query, want := range map[string]string{
			"?search=" + "%D0%9F%D0%A7%D0%86": "olena", "?group=staff": "olena", "?group=Staff": "", "?search=tar": "taras", "?admin=true": "", "?status=locked": "", "?status=active&search=ole": "olena",
		} {
			if got := logins(query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		for _, query := range []string{"?status=asleep", "?admin=yes", "?serach=x", "?search=a&search=b", "?search=100%", "?status=locked;limit=1"} {
			if a := administer(t, h, token, "GET", "/api/users"+query); a.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", query, a.Status, a.Text)
			}
		}

		changed := instruct(t, h, token, "PATCH", path, `{"add_groups":["night"],"remove_groups":["staff"],"login":"pchilka"}`)
		if changed.Status != http.StatusOK || changed.String("login") != "pchilka" || !strings.Contains(changed.Text, `"groups":["ops","night"]`) {
			t.Errorf("change: %d %s", changed.Status, changed.Text)
		}
		if a := administer(t, h, token, "GET", "/api/groups"); strings.TrimSpace(a.Text) != `{"groups":[{"name":"night","people":1},{"name":"ops","people":1}]}` {
			t.Errorf("groups: %s", a.Text)
		}
		if a := instruct(t, h, token, "PATCH", path, `{"password":"slowly green mangroves"}`); a.Status != http.StatusOK {
			t.Errorf("password: %d %s", a.Status, a.Text)
		}
		if a := instruct(t, h, token, "POST", path+"/reset", ``); a.Status != http.StatusOK || a.String("link") == "" {
			t.Errorf("reset: %d %s", a.Status, a.Text)
		}

		for name, row := range map[string]struct {
			method, path, body string
			status             int
		}{
			"a taken login":                 {"POST", "/api/users", `{"login":"pchilka"}`, http.StatusConflict},
			"no login":                      {"POST", "/api/users", `{}`, http.StatusBadRequest},
			"a common password":             {"POST", "/api/users", `{"login":"x","password":"qwertyuiopasdfghjkl"}`, http.StatusBadRequest},
			"a misspelt member":             {"POST", "/api/users", `{"login":"x","pasword":"quietly blue mangroves"}`, http.StatusBadRequest},
			"a hash in place of a password": {"POST", "/api/users", `{"login":"x","password_hash":"$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}`, http.StatusBadRequest},
			"invited with a password":       {"POST", "/api/users", `{"login":"x","invite":true,"password":"quietly blue mangroves"}`, http.StatusBadRequest},
			"two objects":                   {"POST", "/api/users", `{"login":"x"}{"login":"y"}`, http.StatusBadRequest},
			"an array":                      {"POST", "/api/users", `[{"login":"x"}]`, http.StatusBadRequest},
			"1 MB in a field":               {"POST", "/api/users", `{"login":"x","profile":{"name":"` + strings.Repeat("x", 1<<20) + `"}}`, http.StatusBadRequest},
			"nothing to change":             {"PATCH", path, `{}`, http.StatusBadRequest},
			"a password and more":           {"PATCH", path, `{"password":"quietly blue mangroves","admin":true}`, http.StatusBadRequest},
			"a hundred groups and one":      {"PATCH", path, `{"add_groups":["` + strings.Repeat("x", 300) + `"]}`, http.StatusBadRequest},
			"nobody":                        {"PATCH", "/api/users/nobody", `{"admin":true}`, http.StatusNotFound},
			"to reset nobody":               {"POST", "/api/users/nobody/reset", ``, http.StatusNotFound},
			"to put":                        {"PUT", path, `{}`, http.StatusMethodNotAllowed},
		} {
			if a := instruct(t, h, token, row.method, row.path, row.body); a.Status != row.status && !(name == "1 MB in a field" && a.Status == http.StatusRequestEntityTooLarge) {
				t.Errorf("%s: %d %s, want %d", name, a.Status, a.Text, row.status)
			}
		}
		if got := logins("?search=x"); got != "" {
			t.Errorf("what was refused made %s", got)
		}

		if a := administer(t, h, token, "DELETE", path); a.Status != http.StatusNoContent {
			t.Errorf("delete: %d %s", a.Status, a.Text)
		}
		if got := logins(""); got != "taras" {
			t.Errorf("left: %q", got)
		}
		// A token without the scope does nothing.
		other := ownToken(t, h, ops, secret, oauth.ScopeSessions)
		if a := instruct(t, h, other, "POST", "/api/users", `{"login":"eve"}`); a.Status != http.StatusForbidden {
			t.Errorf("without the scope: %d %s", a.Status, a.Text)
		}
	})
}
