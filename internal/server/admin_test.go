package server_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// console is a program that may administer the server.
var console = model.ClientSettings{
	Name: "Console", GrantTypes: []string{model.GrantClientCredentials},
	Scopes: []string{oauth.ScopeSessions, oauth.ScopeUsers, oauth.ScopeRevoke},
}

// administer calls the admin API.
func administer(t *testing.T, h *servertest.House, token, method, path string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(method, h.Issuer+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return servertest.Do(t, req)
}

func ownToken(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, scope ...string) string {
	t.Helper()
	a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Join(scope, " ")}})
	if a.Status != http.StatusOK {
		t.Fatalf("client credentials: %d %s", a.Status, a.Text)
	}
	return a.String("access_token")
}

func lastRevocation(t *testing.T, h *servertest.House) model.Revocation {
	t.Helper()
	var all []model.Revocation
	err := h.Store.View(context.Background(), func(tx *store.Tx) (err error) { all, err = tx.Revocations(0, 1000); return err })
	if err != nil || len(all) == 0 {
		t.Fatalf("the revocation log: %d entries, %v", len(all), err)
	}
	return all[len(all)-1]
}

func TestAdministration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		ops, opsSecret := h.Client("console", console)
		token := ownToken(t, h, ops, opsSecret, console.Scopes...)
		enter := func() (refresh string) {
			return h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")).String("refresh_token")
		}
		listed := func(query string) (ids []string) {
			a := administer(t, h, token, "GET", "/api/sessions"+query)
			if a.Status != http.StatusOK {
				t.Fatalf("GET /api/sessions%s: %d %s", query, a.Status, a.Text)
			}
			for _, s := range a.JSON["sessions"].([]any) {
				ids = append(ids, s.(map[string]any)["id"].(string))
			}
			return ids
		}

		first, second := enter(), enter()
		ids := listed("?user=" + url.QueryEscape(string(u.ID)))
		if len(ids) != 2 {
			t.Fatalf("sessions: %v", ids)
		}
		if got := listed("?client=shop"); !slices.Equal(got, ids) {
			t.Errorf("by client: %v, want %v", got, ids)
		}
		if got := listed("?client=console"); len(got) != 0 {
			t.Errorf("of a client that has no part: %v", got)
		}
		page := administer(t, h, token, "GET", "/api/sessions?limit=1")
		if next := page.String("next"); next != ids[0] || !slices.Equal(listed("?limit=1&after="+next), ids[1:]) {
			t.Errorf("pages: %s", page.Text)
		}
		one := administer(t, h, token, "GET", "/api/sessions/"+ids[0])
		if one.String("user_id") != string(u.ID) || !strings.Contains(one.Text, `"clients":["shop"]`) || strings.Contains(one.Text, "cookie") {
			t.Errorf("one: %s", one.Text)
		}

		// One session ends, by its name.
		if a := administer(t, h, token, "DELETE", "/api/sessions/"+ids[0]); a.Status != http.StatusNoContent {
			t.Fatalf("end: %d %s", a.Status, a.Text)
		}
		for _, method := range []string{"DELETE", "GET"} {
			if a := administer(t, h, token, method, "/api/sessions/"+ids[0]); a.Status != http.StatusNotFound || a.String("error") != "not_found" {
				t.Errorf("%s again: %d %s", method, a.Status, a.Text)
			}
		}
		dead := 0
		for _, refresh := range []string{first, second} {
			if a := renew(h, c, secret, refresh); a.Status != http.StatusOK {
				dead++
			}
		}
		if dead != 1 {
			t.Errorf("%d of 2 families ended, want 1", dead)
		}
		last := lastRevocation(t, h)
		if last.Kind != model.KindSession || last.Value != ids[0] || last.Cause != model.CauseAdmin {
			t.Errorf("log: %+v", last)
		}

		// A person is found, locked, unlocked, signed out.
		if a := administer(t, h, token, "GET", "/api/users?login=OLENA"); !strings.Contains(a.Text, string(u.ID)) || strings.Contains(a.Text, "argon2") {
			t.Errorf("by login: %s", a.Text)
		} else {
			// These members and no other: nothing of a password but when it was set.
			told := slices.Sorted(maps.Keys(a.JSON["users"].([]any)[0].(map[string]any)))
			if want := strings.Fields("admin created_at id login password_at profile status updated_at"); !slices.Equal(told, want) {
				t.Errorf("members: %v, want %v", told, want)
			}
		}
		if a := administer(t, h, token, "GET", "/api/users?login=nobody"); a.Status != http.StatusOK || len(a.JSON["users"].([]any)) != 0 {
			t.Errorf("nobody: %d %s", a.Status, a.Text)
		}
		at := "/api/users/" + string(u.ID)
		for _, step := range []struct {
			method, path, status string
			code                 int
		}{
			{"POST", at + "/lock", "locked", 204},
			{"POST", at + "/unlock", "active", 204},
			{"POST", at + "/sign-out", "active", 204},
			{"POST", "/api/users/unknown/lock", "active", 404},
			{"GET", at + "/lock", "active", 405},
		} {
			if a := administer(t, h, token, step.method, step.path); a.Status != step.code {
				t.Errorf("%s %s: %d %s", step.method, step.path, a.Status, a.Text)
			}
			if a := administer(t, h, token, "GET", at); a.String("status") != step.status {
				t.Errorf("after %s: %s", step.path, a.Text)
			}
		}
		if got := listed(""); len(got) != 0 {
			t.Errorf("after the lock there are %v", got)
		}

		// Everybody out: this very token as well.
		enter()
		if a := administer(t, h, token, "POST", "/api/sessions/end-all"); a.Status != http.StatusNoContent {
			t.Fatalf("end-all: %d %s", a.Status, a.Text)
		}
		if a := administer(t, h, token, "GET", "/api/sessions"); a.Status != http.StatusUnauthorized {
			t.Errorf("a token from before: %d %s", a.Status, a.Text)
		}
	})
}

// TestAdministrationRefused: RFC 6750 §3.1, and who may.
func TestAdministrationRefused(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		boss, err := h.Accounts.Create(t.Context(), servertest.Operator, account.NewUser{Login: "boss", Password: "correct horse battery", Admin: true})
		if err != nil {
			t.Fatal(err)
		}
		ops, secret := h.Client("console", console)
		s := web
		s.Scopes = []string{"openid", oauth.ScopeUsers}
		page, pageSecret := h.Client("page", s)
		personal := func(login string) string {
			path := servertest.AuthorizePath(page, "scope", "openid "+oauth.ScopeUsers)
			return h.Redeem(page, pageSecret, h.Browser().SignIn(path, login, "correct horse battery")).String("access_token")
		}
		s.Audiences, s.Scopes = []string{"https://api.example"}, []string{"orders:read"}
		s.GrantTypes, s.RedirectURIs, s.ResponseTypes = console.GrantTypes, nil, nil
		elsewhere, elsewhereSecret := h.Client("elsewhere", s)

		for _, row := range []struct {
			name, token, method, path string
			status                    int
			code                      string
		}{
			{"no token (RFC 6750 §3.1)", "", "GET", "/api/users", 401, "invalid_token"},
			{"no token of ours", "nonsense", "GET", "/api/users", 401, "invalid_token"},
			{"another scope", ownToken(t, h, ops, secret, oauth.ScopeSessions), "GET", "/api/users", 403, "insufficient_scope"},
			{"another audience (RFC 9068 §4)", ownToken(t, h, elsewhere, elsewhereSecret, "orders:read"), "GET", "/api/users", 401, "invalid_token"},
			{"a person who is no administrator", personal("olena"), "GET", "/api/users", 403, "insufficient_scope"},
			{"an administrator", personal("boss"), "GET", "/api/users", 200, ""},
			{"the last administrator", personal("boss"), "POST", "/api/users/" + string(boss.ID) + "/lock", 409, "access_denied"},
			{"a misspelt filter", ownToken(t, h, ops, secret, oauth.ScopeSessions), "GET", "/api/sessions?usr=x", 400, "invalid_request"},
			{"a filter twice", ownToken(t, h, ops, secret, oauth.ScopeSessions), "GET", "/api/sessions?user=x&user=y", 400, "invalid_request"},
			{"no limit", ownToken(t, h, ops, secret, oauth.ScopeSessions), "GET", "/api/sessions?limit=100000", 400, "invalid_request"},
			{"a token in the URL (RFC 9700 §4.3.2)", "", "GET", "/api/users?access_token=x", 400, "invalid_request"},
		} {
			a := administer(t, h, row.token, row.method, row.path)
			if a.Status != row.status || a.String("error") != row.code {
				t.Errorf("%s: %d %s", row.name, a.Status, a.Text)
			}
			if challenge := a.Header.Get("WWW-Authenticate"); (row.status == 401 || row.code == "insufficient_scope") != strings.HasPrefix(challenge, "Bearer ") && row.status != 400 {
				t.Errorf("%s: challenge %q", row.name, challenge)
			}
		}

		// What an operator takes from a client is gone from its tokens.
		token := ownToken(t, h, ops, secret, oauth.ScopeUsers)
		taken := ops.ClientSettings
		taken.Scopes = []string{oauth.ScopeSessions}
		if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, ops.ID, taken); err != nil {
			t.Fatal(err)
		}
		if a := administer(t, h, token, "GET", "/api/users"); a.Status != http.StatusForbidden {
			t.Errorf("a scope that was taken away: %d %s", a.Status, a.Text)
		}
		// The command may lock the last administrator; a second one makes it free.
		if err := h.Accounts.Lock(t.Context(), model.Actor{Kind: model.ActorClient, ID: "console"}, boss.ID); !errors.Is(err, account.ErrLastAdmin) {
			t.Errorf("lock: %v", err)
		}
		if err := h.Accounts.Delete(t.Context(), model.Actor{Kind: model.ActorUser, ID: string(boss.ID)}, boss.ID); !errors.Is(err, account.ErrLastAdmin) {
			t.Errorf("delete: %v", err)
		}
		no := false
		if _, err := h.Accounts.Update(t.Context(), model.Actor{Kind: model.ActorUser, ID: string(boss.ID)}, boss.ID, account.Change{Admin: &no}); !errors.Is(err, account.ErrLastAdmin) {
			t.Errorf("demote: %v", err)
		}
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, boss.ID); err != nil {
			t.Errorf("the operator: %v", err)
		}
	})
}
