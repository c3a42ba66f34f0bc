package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

func signUpOpen(c *server.Config) { c.SignUp = true }

func promptValues(t *testing.T, h *servertest.House) []any {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.Issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := servertest.Do(t, req).JSON["prompt_values_supported"].([]any)
	return list
}

// TestSignUp: Initiating User Registration §4: prompt=create shows the page that
// makes an account, whoever is signed in; then the same request goes on.
func TestSignUp(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		if !slices.Contains(promptValues(t, h), any("create")) { // §4.2
			t.Errorf("prompt_values_supported: %v", promptValues(t, h))
		}
		page := p.Get(servertest.AuthorizePath(p.client, "prompt", "create", "login_hint", "Eve@example.com"))
		if !strings.HasSuffix(page.URL.Path, "/create") || page.Form().Values.Get("login") != "Eve@example.com" {
			t.Fatalf("%d %s", page.Status, page.URL)
		}
		consent := page.Submit("primary", "name", "Eve Moneypenny", "password", "four words that rhyme")
		if !strings.HasSuffix(consent.URL.Path, "/consent") || !strings.Contains(consent.Body, "Eve Moneypenny") {
			t.Fatalf("%d %s", consent.Status, consent.URL)
		}
		answer := consent.Submit("primary")
		tokens := h.Redeem(p.client, p.secret, answer.Left)
		req, _ := http.NewRequest(http.MethodGet, h.Issuer+"/userinfo", nil)
		req.Header.Set("Authorization", "Bearer "+tokens.String("access_token"))
		info := servertest.Do(t, req)
		if info.String("email") != "eve@example.com" || info.JSON["email_verified"] != false || info.String("name") != "Eve Moneypenny" {
			t.Errorf("userinfo: %s", info.Text)
		}
		if got := decoded(t, tokens.String("id_token")); got.Subject != info.String("sub") || got.AuthTime == 0 {
			t.Errorf("%+v", got)
		}
		if who := p.silent(t); who != info.String("sub") {
			t.Errorf("the current account is %s", who)
		}
		if body := p.Get("/").Body; !strings.Contains(body, "Olena ada") || !strings.Contains(body, "Eve Moneypenny") {
			t.Error("the others are signed in no more")
		}
		if page := p.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), "EVE@example.com", "four words that rhyme"); page == nil {
			t.Error("the password does not sign in")
		}
		created := 0
		err := h.Store.View(t.Context(), func(tx *store.Tx) error {
			events, err := tx.Events(0, 1000)
			for _, e := range events {
				if e.Action == "user.create" && e.Actor.Kind == model.ActorNobody && e.Actor.Address == "127.0.0.1" && string(e.UserID) == info.String("sub") {
					created++
				}
			}
			return err
		})
		if err != nil || created != 1 {
			t.Errorf("%d events tell of it, %v", created, err)
		}
	}, signUpOpen)
}

// TestSignUpPages: from the sign-in page and back, and what the page says when it
// does not work.
func TestSignUpPages(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		first := web
		first.FirstParty = true
		c, _ := h.Client("shop", first)
		p := pair{t: t, House: h, Browser: h.Browser()}
		login := p.Get(servertest.AuthorizePath(c))
		page := p.follow(login, "Create an account")
		if back := p.follow(page, "Sign in to an account you have"); back.URL.Path != login.URL.Path {
			t.Errorf("back leads to %s", back.URL)
		}
		if answer := page.Submit("cancel"); answer.Left == nil || answer.Left.Query().Get("error") != "access_denied" {
			t.Errorf("cancelled: %d %v", answer.Status, answer.Left)
		}
		for _, row := range []struct {
			name, login, password, says string
			status                      int
		}{
			{"taken", " OLENA ", "four words that rhyme", "There is an account with that email address or username already", 422},
			{"short password", "eve", "short", "The password must have 15 characters or more", 422},
			{"no login", "", "four words that rhyme", "The email address or username is missing", 422},
			{"no address", "eve@", "four words that rhyme", "This is not an email address", 422},
		} {
			answer := page.Submit("primary", "login", row.login, "name", `"><b>Eve`, "password", row.password)
			if answer.Status != row.status || !strings.Contains(answer.Body, row.says) || strings.Contains(answer.Body, row.password) || strings.Contains(answer.Body, "<b>") {
				t.Errorf("%s: %d %s", row.name, answer.Status, answer.Body)
			}
			if f := answer.Form(); row.name != "no login" && f.Values.Get("login") != row.login {
				t.Errorf("%s: the login was not kept: %v", row.name, f.Values)
			}
		}
		if answer := page.Submit("primary", "login", "eve", "password", "four words that rhyme"); answer.Left == nil || answer.Left.Query().Get("code") == "" {
			t.Errorf("the good twin: %d %s", answer.Status, answer.Body)
		}
		created := h.Browser().Get(servertest.AuthorizePath(c, "prompt", "create"))
		in := (pair{t: t, House: h, Browser: p.Browser}).follow(p.Get(servertest.AuthorizePath(c, "prompt", "create")), "Sign in to an account you have")
		if answer := in.Submit("primary", "login", "olena", "password", password); answer.Left == nil || answer.Left.Query().Get("code") == "" {
			t.Errorf("an account that one has does for prompt=create as well: %d %s", answer.Status, answer.URL)
		}
		t.Run("a form sent from another site", func(t *testing.T) {
			req, _ := http.NewRequest(http.MethodPost, created.URL.String(), strings.NewReader("login=mallory&password=four+words+that+rhyme"))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			if got := h.Browser().Do(req); got.Status != http.StatusForbidden {
				t.Errorf("%d", got.Status)
			}
		})
		t.Run("from another browser", func(t *testing.T) {
			got := h.Browser().Post(created.URL.String(), map[string][]string{"login": {"mallory"}, "password": {"four words that rhyme"}})
			if got.Status != http.StatusBadRequest {
				t.Errorf("%d", got.Status)
			}
		})
	}, signUpOpen)
}

// TestSignUpOff: without the setting there is no such page, no such prompt (§4.1)
// and no such value in the metadata (§4.2).
func TestSignUpOff(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	c, _ := h.Client("shop", web)
	b := h.Browser()
	if slices.Contains(promptValues(t, h), any("create")) {
		t.Errorf("prompt_values_supported: %v", promptValues(t, h))
	}
	page := b.Get(servertest.AuthorizePath(c, "prompt", "create"))
	if page.Left == nil || page.Left.Query().Get("error") != "invalid_request" || !strings.Contains(page.Left.Query().Get("error_description"), "create") {
		t.Errorf("%d %v", page.Status, page.Left)
	}
	login := b.Get(servertest.AuthorizePath(c))
	if strings.Contains(login.Body, "Create an account") {
		t.Error("the sign-in page offers what is off")
	}
	create := strings.TrimSuffix(login.URL.Path, "/login") + "/create"
	if got := b.Get(create); got.Status != http.StatusNotFound {
		t.Errorf("GET: %d", got.Status)
	}
	if got := b.Post(create, map[string][]string{"login": {"mallory"}, "password": {"four words that rhyme"}}); got.Status != http.StatusNotFound {
		t.Errorf("POST: %d", got.Status)
	}
	h.Restart(signUpOpen)
	waiting := b.Get(servertest.AuthorizePath(c, "prompt", "create"))
	if waiting.Status != http.StatusOK || !strings.HasSuffix(waiting.URL.Path, "/create") {
		t.Fatalf("the good twin: %d %s", waiting.Status, waiting.URL)
	}
	h.Restart(func(c *server.Config) { c.SignUp = false })
	if got := b.Get(strings.TrimSuffix(waiting.URL.Path, "/create")); got.Left == nil || got.Left.Query().Get("error") != "invalid_request" {
		t.Errorf("switched off on the way: %d %v", got.Status, got.Left)
	}
}

// TestPromptCreateBadInput: Initiating User Registration §4: contradictory prompts
// are errors at the client, and nothing is stored for them.
func TestPromptCreateBadInput(t *testing.T) {
	h := servertest.Start(t, signUpOpen)
	h.User("olena", password)
	c, secret := h.Client("shop", web)
	token := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)).String("id_token")
	stored := requests(t, h)
	for _, extra := range [][]string{
		{"prompt", "create none"}, {"prompt", "none create"}, {"prompt", "create login"}, {"prompt", "select_account create"},
		{"prompt", "create", "id_token_hint", token}, {"prompt", "Create"},
	} {
		page := h.Browser().Get(servertest.AuthorizePath(c, extra...))
		if page.Left == nil || page.Left.Query().Get("error") != "invalid_request" || page.Left.Query().Get("state") != "the-state" {
			t.Errorf("%v: %d %v", extra[:2], page.Status, page.Left)
		}
	}
	if n := requests(t, h); n != stored {
		t.Errorf("%d requests were stored", n-stored)
	}
	page := h.Browser().Get(servertest.AuthorizePath(c, "prompt", "create consent"))
	if !strings.HasSuffix(page.URL.Path, "/create") {
		t.Errorf("the good twin: %d %s", page.Status, page.URL)
	}
}

// TestSignUpFlood: P13 and O35 of the attacks: an address makes so many accounts in
// an hour and no more, nor does it learn more logins than that.
func TestSignUpFlood(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("shop", web)
		try := func(login string) *servertest.Page {
			return h.Browser().Get(servertest.AuthorizePath(c, "prompt", "create")).Submit("primary", "login", login, "password", "four words that rhyme")
		}
		for i := range 3 {
			if got := try(fmt.Sprint("flood", i)); got.Status != http.StatusOK {
				t.Fatalf("number %d: %d %s", i, got.Status, got.Body)
			}
		}
		for _, login := range []string{"olena", "flood9"} {
			got := try(login)
			if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "Too many accounts") {
				t.Errorf("%s: %d %s", login, got.Status, got.Body)
			}
		}
		h.Restart() // it is in the database
		if got := try("flood9"); got.Status != http.StatusTooManyRequests {
			t.Errorf("after a restart: %d", got.Status)
		}
		if at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password); at.Query().Get("code") == "" {
			t.Errorf("who has an account cannot get in: %s", at)
		}
	}, signUpOpen, func(c *server.Config) { c.SignUpLimit = 3 })
}
