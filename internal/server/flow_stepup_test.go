package server_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/resource"
)

// challengeOf reads what a Bearer challenge asks for, RFC 9110 §11.6.1.
func challengeOf(t *testing.T, a servertest.Answer) map[string]string {
	t.Helper()
	said, ok := strings.CutPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ")
	if !ok {
		t.Fatalf("%d %v", a.Status, a.Header)
	}
	c := map[string]string{}
	for _, m := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(said, -1) {
		c[m[1]] = m[2]
	}
	return c
}

// RFC 9470 from end to end, its figure 1: the API wants more than the token tells of
// (§3), the client sends the person on with what the challenge said (§4), they give
// the one factor that is missing (§5), and the API takes the new token (§6).
func TestStepUpOfAPI(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		shop := web
		shop.Audiences = []string{orders}
		c, clientSecret := h.Client("shop", shop)
		guard, err := resource.New(resource.Config{Issuer: h.Issuer, Audience: orders, Now: h.Clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		done := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		mux := http.NewServeMux()
		strong := guard.RequireAuthentication(resource.Authentication{ACR: []string{account.ACRMulti}})
		young := guard.RequireAuthentication(resource.Authentication{MaxAge: 5 * time.Minute})
		mux.Handle("/orders", guard.Require("orders:write")(done))
		mux.Handle("/refunds", guard.Require("orders:write")(strong(done)))
		mux.Handle("/payments", guard.Require("orders:write")(young(done)))
		api := httptest.NewServer(mux)
		t.Cleanup(api.Close)
		call := func(path, token string) servertest.Answer {
			req, _ := http.NewRequest(http.MethodPost, api.URL+path, nil)
			req.Header.Set("Authorization", "Bearer "+token)
			return servertest.Do(t, req)
		}
		ask := func(extra map[string]string) string {
			pairs := []string{"scope", "openid orders:write"}
			for name, value := range extra {
				pairs = append(pairs, name, value)
			}
			return servertest.AuthorizePath(c, pairs...)
		}

		b := h.Browser()
		token := h.Redeem(c, clientSecret, b.SignIn(ask(nil), "olena", password)).String("access_token")
		secret, _ := withApp(t, h, u.ID)
		if a := call("/orders", token); a.Status != http.StatusNoContent {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		a := call("/refunds", token)
		said := challengeOf(t, a)
		if a.Status != http.StatusUnauthorized || said["error"] != "insufficient_user_authentication" || said["acr_values"] != account.ACRMulti || said["max_age"] != "" {
			t.Fatalf("%d %v", a.Status, said)
		}
		p := b.Get(ask(map[string]string{"acr_values": said["acr_values"]}))
		if !strings.HasSuffix(p.URL.Path, "/factor") {
			t.Fatalf("the missing factor alone is asked for: %s", p.URL)
		}
		p = p.Submit("primary", "code", appCode(t, h, secret)).SubmitIf("primary")
		stronger := h.Redeem(c, clientSecret, p.Left).String("access_token")
		if a := call("/refunds", stronger); a.Status != http.StatusNoContent {
			t.Errorf("the new token: %d %s", a.Status, a.Text)
		}
		if a := call("/refunds", token); a.Status != http.StatusUnauthorized {
			t.Errorf("the old one: %d", a.Status)
		}

		// The same for a sign-in that is too old: the person signs in anew.
		h.Clock.Move(20 * time.Minute)
		token = h.Redeem(c, clientSecret, b.Get(ask(nil)).Left).String("access_token")
		said = challengeOf(t, call("/payments", token))
		if said["error"] != "insufficient_user_authentication" || said["max_age"] != "300" || said["acr_values"] != "" {
			t.Fatalf("%v", said)
		}
		p = b.Get(ask(map[string]string{"max_age": said["max_age"]}))
		if !strings.HasSuffix(p.URL.Path, "/login") {
			t.Fatalf("%s", p.URL)
		}
		p = p.Submit("primary", "login", "olena", "password", password).Submit("primary", "code", appCode(t, h, secret)).SubmitIf("primary")
		if a := call("/payments", h.Redeem(c, clientSecret, p.Left).String("access_token")); a.Status != http.StatusNoContent {
			t.Errorf("a fresh one: %d %s", a.Status, a.Text)
		}
	})
}
