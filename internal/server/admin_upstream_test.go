package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
)

// Programs set up identity providers by the same rules as the command.
func TestAdministerUpstreams(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		s := console
		s.Scopes = []string{oauth.ScopeUsers, oauth.ScopeUpstreams}
		ops, secret := h.Client("console", s)
		token, people := ownToken(t, h, ops, secret, s.Scopes...), ownToken(t, h, ops, secret, oauth.ScopeUsers)

		const github = `{"id":"github","kind":"github","connection":{"client_id":"ours"},"secrets":{"client_secret":"s3cret"},"mapping":[{"claim":"name","from":"login"}]}`
		if a := instruct(t, h, people, "POST", "/api/upstreams", github); a.Status != http.StatusForbidden {
			t.Errorf("without the scope: %d", a.Status)
		}
		a := instruct(t, h, token, "POST", "/api/upstreams", github)
		if a.Status != http.StatusCreated || a.String("name") != "GitHub" || a.String("status") != "new" || a.String("callback_url") != h.Issuer+"/upstream/github/callback" || strings.Contains(a.Text, "s3cret") {
			t.Fatalf("added: %d %s", a.Status, a.Text)
		}
		for _, row := range []struct {
			name, method, path, body string
			status                   int
		}{
			{"one of that ID is there", "POST", "/api/upstreams", github, http.StatusConflict},
			{"a misspelt member", "POST", "/api/upstreams", `{"id":"x","kind":"github","conection":{}}`, http.StatusBadRequest},
			{"an unknown kind", "POST", "/api/upstreams", `{"id":"x","kind":"magic","connection":{}}`, http.StatusBadRequest},
			{"a secret that it has not", "PATCH", "/api/upstreams/github", `{"secrets":{"password":"x"}}`, http.StatusBadRequest},
			{"another ID", "PATCH", "/api/upstreams/github", `{"id":"other"}`, http.StatusBadRequest},
			{"there is none", "PATCH", "/api/upstreams/none", `{}`, http.StatusNotFound},
			{"none to be tried", "POST", "/api/upstreams/none/test", `{}`, http.StatusNotFound},
			{"claims that are none", "POST", "/api/upstreams/github/test", `{"claims":[]}`, http.StatusBadRequest},
			{"an identity at none", "POST", "/api/users/" + string(u.ID) + "/identities", `{"upstream":"none","issuer":"i","subject":"s"}`, http.StatusNotFound},
			{"an identity of nobody", "POST", "/api/users/nobody/identities", `{}`, http.StatusNotFound},
			{"no identity", "DELETE", "/api/users/" + string(u.ID) + "/identities/none", ``, http.StatusNotFound},
			{"no tokens", "GET", "/api/users/" + string(u.ID) + "/identities/none/tokens", ``, http.StatusNotFound},
		} {
			if a := instruct(t, h, token, row.method, row.path, row.body); a.Status != row.status {
				t.Errorf("%s: %d %s", row.name, a.Status, a.Text)
			}
		}

		// What is not said stays; a list that is said takes the place of the other.
		a = instruct(t, h, token, "PATCH", "/api/upstreams/github", `{"name":"Octo","disabled":true,"mapping":[{"claim":"nickname","value":"n","keep":true}]}`)
		if a.Status != http.StatusOK || a.String("name") != "Octo" || a.String("status") != "disabled" || strings.Contains(a.Text, `"from"`) || !strings.Contains(a.Text, "client_secret") {
			t.Errorf("changed: %d %s", a.Status, a.Text)
		}
		if a = instruct(t, h, token, "PATCH", "/api/upstreams/github", `{"disabled":false}`); a.String("name") != "Octo" || !strings.Contains(a.Text, "nickname") {
			t.Errorf("enabled: %d %s", a.Status, a.Text)
		}
		if a = instruct(t, h, token, "POST", "/api/upstreams/github/test", `{"claims":{"login":"ada"}}`); a.Status != http.StatusOK || !strings.Contains(a.Text, `"nickname":"n"`) {
			t.Errorf("tried: %d %s", a.Status, a.Text)
		}

		// Also where both are lists of the same length, or texts.
		for _, domain := range []string{"one.example", "two.example", "six.example"} {
			a = instruct(t, h, token, "PATCH", "/api/upstreams/github", `{"domains":["`+domain+`"],"connection":{"client_id":"`+domain+`"}}`)
			if a.Status != http.StatusOK || !strings.Contains(a.Text, `"domains":["`+domain+`"]`) || !strings.Contains(a.Text, `{"client_id":"`+domain+`"}`) {
				t.Errorf("%s: %d %s", domain, a.Status, a.Text)
			}
		}

		a = instruct(t, h, people, "POST", "/api/users/"+string(u.ID)+"/identities", `{"upstream":"github","issuer":"https://github.com","subject":"4711"}`)
		if a.Status != http.StatusCreated || a.String("subject") != "4711" {
			t.Fatalf("connected: %d %s", a.Status, a.Text)
		}
		id := a.String("id")
		if a = instruct(t, h, token, "GET", "/api/upstreams/github", ""); !strings.Contains(a.Text, `"people":1`) {
			t.Errorf("shown: %s", a.Text)
		}
		if a = instruct(t, h, people, "GET", "/api/users/"+string(u.ID)+"/identities", ""); !strings.Contains(a.Text, id) {
			t.Errorf("listed: %s", a.Text)
		}
		if a = instruct(t, h, people, "GET", "/api/users/"+string(u.ID)+"/identities/"+id+"/tokens", ""); a.Status != http.StatusForbidden {
			t.Errorf("tokens without the scope: %d", a.Status)
		}
		if a = instruct(t, h, people, "DELETE", "/api/users/"+string(u.ID)+"/identities/"+id, ""); a.Status != http.StatusNoContent {
			t.Errorf("disconnected: %d %s", a.Status, a.Text)
		}
		if a = instruct(t, h, token, "DELETE", "/api/upstreams/github", ""); a.Status != http.StatusNoContent {
			t.Errorf("removed: %d %s", a.Status, a.Text)
		}
		if a = instruct(t, h, token, "GET", "/api/upstreams", ""); a.Status != http.StatusOK || a.Text != "{\"upstreams\":[]}\n" {
			t.Errorf("left: %s", a.Text)
		}
	})
}

// A logout token that proves nothing ends nothing, OpenID Connect Back-Channel Logout §2.8.
func TestUpstreamBackchannel(t *testing.T) {
	h := servertest.Start(t)
	for _, row := range []struct {
		path string
		form url.Values
	}{
		{"/upstream/none/backchannel", url.Values{"logout_token": {"a.b.c"}}},
		{"/upstream/none/backchannel", nil},
	} {
		res, err := http.PostForm(h.Issuer+row.path, row.form)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", row.path, res.StatusCode, res.Header)
		}
	}
}
