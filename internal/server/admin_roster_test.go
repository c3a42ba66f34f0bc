package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
)

// exchange sends a list, or asks for one, as a media type.
func exchange(t *testing.T, h *servertest.House, token, path, media, body string) servertest.Answer {
	t.Helper()
	method, header := "POST", "Content-Type"
	if body == "" {
		method, header = "GET", "Accept"
	}
	req, err := http.NewRequest(method, h.Issuer+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if media != "" {
		req.Header.Set(header, media)
	}
	return servertest.Do(t, req)
}

// TestImportByProgram: a list comes in by the same rules as by the command, and goes
// out again.
func TestImportByProgram(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ops, secret := h.Client("console", console)
		token := ownToken(t, h, ops, secret, oauth.ScopeUsers)
		const bcrypt = `$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW` // U*U
		lines := `{"id":"old-1","login":"olena","password_hash":"` + bcrypt + `","profile":{"name":"=1+1","email":"olena@example.com","email_verified":true,"groups":["staff"]}}` + "\n" +
			`{"login":"taras","status":"locked"}` + "\n"

		dry := exchange(t, h, token, "/api/import/users?dry_run=true", "application/jsonl", lines)
		if dry.Status != http.StatusOK || dry.JSON["dry_run"] != true || dry.JSON["created"] != 2.0 || len(dry.JSON["rows"].([]any)) != 2 {
			t.Fatalf("a dry run: %d %s", dry.Status, dry.Text)
		}
		if got := exchange(t, h, token, "/api/export/users", "", ""); got.Status != http.StatusOK || got.Text != "" || got.Header.Get("Content-Type") != "application/jsonl" {
			t.Errorf("after a dry run: %d %s", got.Status, got.Text)
		}
		if a := exchange(t, h, token, "/api/import/users", "application/x-ndjson; charset=utf-8", lines); a.Status != http.StatusOK || a.JSON["created"] != 2.0 || a.JSON["dry_run"] != false {
			t.Fatalf("import: %d %s", a.Status, a.Text)
		}
		if _, err := sessionOf(t.Context(), h.Accounts, "olena", "U*U"); err != nil {
			t.Errorf("sign-in with the password that she brought: %v", err)
		}
		wrong := exchange(t, h, token, "/api/import/users", "text/csv", "login,admin\nbob,\nroot,true\nolena,\n")
		if wrong.Status != http.StatusOK || wrong.JSON["failed"] != 2.0 || wrong.JSON["dry_run"] != true ||
			!strings.Contains(wrong.Text, `{"line":3,"login":"root","outcome":"failed","error":"admin is not allowed in this import"}`) {
			t.Errorf("wrong rows keep all out: %d %s", wrong.Status, wrong.Text)
		}
		if a := exchange(t, h, token, "/api/import/users?keep_going=true&allow_admin=true&existing=skip", "text/csv", "login,admin\nbob,\nroot,true\nolena,\n,\n"); a.JSON["created"] != 2.0 || a.JSON["skipped"] != 1.0 || a.JSON["failed"] != 1.0 {
			t.Errorf("keep going: %d %s", a.Status, a.Text)
		}
		if a := exchange(t, h, token, "/api/import/users?existing=update", "application/json", `[{"login":"olena","profile":{"name":"Olena","email":"mallory@example.net","email_verified":true}}]`); a.JSON["updated"] != 1.0 {
			t.Errorf("update: %d %s", a.Status, a.Text)
		}
		if u := userOf(t, h, "old-1"); u.Profile.Name != "Olena" || u.Profile.Email != "olena@example.com" {
			t.Errorf("updated to %+v", u.Profile)
		}
		table := exchange(t, h, token, "/api/export/users?search=olena", "application/jsonl;q=0.5, text/*", "")
		if table.Status != http.StatusOK || !strings.HasPrefix(table.Header.Get("Content-Type"), "text/csv") || !strings.Contains(table.Text, "\nolena,old-1,active,") || strings.Contains(table.Text, "$2") {
			t.Errorf("as a table: %d %s", table.Status, table.Text)
		}
		if a := exchange(t, h, token, "/api/export/users?admin=true", "application/*", ""); !strings.Contains(a.Text, `"login":"root"`) || strings.Count(a.Text, "\n") != 1 {
			t.Errorf("administrators: %d %s", a.Status, a.Text)
		}

		many := strings.Repeat("x\n", 10_001)
		for name, row := range map[string]struct {
			path, media, body string
			status            int
		}{
			"no media type":         {"/api/import/users", "", "login\nx\n", http.StatusUnsupportedMediaType},
			"another one":           {"/api/import/users", "text/html", "login\nx\n", http.StatusUnsupportedMediaType},
			"not what it says":      {"/api/import/users", "application/json", "login\nx\n", http.StatusBadRequest},
			"nothing":               {"/api/import/users", "text/csv", " ", http.StatusBadRequest},
			"an unknown way":        {"/api/import/users?existing=overwrite", "text/csv", "login\nx\n", http.StatusBadRequest},
			"half a wish":           {"/api/import/users?dry_run=yes", "text/csv", "login\nx\n", http.StatusBadRequest},
			"an unknown wish":       {"/api/import/users?dryrun=true", "text/csv", "login\nx\n", http.StatusBadRequest},
			"too many people":       {"/api/import/users", "text/csv", "login\n" + many, http.StatusBadRequest},
			"more than eight MiB":   {"/api/import/users", "text/csv", "login\n" + strings.Repeat("x", 8<<20), http.StatusRequestEntityTooLarge},
			"one row of half a MiB": {"/api/import/users", "application/jsonl", `{"login":"` + strings.Repeat("x", 512<<10) + `"}`, http.StatusBadRequest},
			"hashes":                {"/api/export/users?hashes=true", "", "", http.StatusBadRequest},
			"a list of pictures":    {"/api/export/users", "image/png", "", http.StatusNotAcceptable},
			"a wrong filter":        {"/api/export/users?status=asleep", "", "", http.StatusBadRequest},
		} {
			if a := exchange(t, h, token, row.path, row.media, row.body); a.Status != row.status {
				t.Errorf("%s: %d %.300s, want %d", name, a.Status, a.Text, row.status)
			}
		}
		other := ownToken(t, h, ops, secret, oauth.ScopeSessions)
		for _, body := range []string{"", "login\nx\n"} {
			path := map[bool]string{true: "/api/export/users", false: "/api/import/users"}[body == ""]
			if a := exchange(t, h, other, path, "text/csv", body); a.Status != http.StatusForbidden {
				t.Errorf("%s without the scope: %d %s", path, a.Status, a.Text)
			}
		}
		list, err := h.Accounts.List(t.Context(), account.UserFilter{})
		if got := fmt.Sprint(len(list)); err != nil || got != "4" {
			t.Errorf("%s people: %v", got, err)
		}
	})
}
