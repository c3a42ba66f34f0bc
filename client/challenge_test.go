package client_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// challenger is the authorization challenge endpoint of a fake: it is strict, and
// asks again until the password is right.
type challenger struct {
	*fake
	forms  []url.Values
	refuse map[string]any // instead of an answer, once
	status int
	header http.Header
}

func newChallenger(t *testing.T) *challenger {
	t.Helper()
	f := &challenger{fake: newFake(t)}
	f.metadata = func(m map[string]any) { m["authorization_challenge_endpoint"] = f.URL + "/challenge" }
	f.answer = func(a map[string]any) { a["auth_session"] = "after" }
	f.intercept = f.serve
	return f
}

func (f *challenger) serve(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/challenge" {
		return false
	}
	if r.ParseForm() != nil || r.Method != http.MethodPost || !f.authenticated(r) {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return true
	}
	form := r.PostForm
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forms = append(f.forms, form)
	// Draft §5.1, §6 and RFC 7636 §4.3.
	if form.Get("response_type") != "code" || len(form.Get("code_challenge")) != 43 || form.Get("code_challenge_method") != "S256" ||
		form.Has("redirect_uri") || form.Has("state") || len(form.Get("nonce")) < 22 {
		f.t.Errorf("the request is %v", form)
	}
	switch {
	case f.refuse != nil:
		for name, values := range f.header {
			w.Header()[name] = values
		}
		writeJSON(w, f.status, f.refuse)
		f.refuse = nil
	case form.Get("password") != "right":
		writeJSON(w, http.StatusForbidden, map[string]any{"error": "insufficient_authorization", "auth_session": "next", "password_required": true})
	default:
		code := rand.Text()
		f.codes[code] = &fakeCode{request: form}
		writeJSON(w, http.StatusOK, map[string]string{"authorization_code": code})
	}
	return true
}

func TestChallenge(t *testing.T) {
	f := newChallenger(t)
	c := newClient(t, f.fake)
	_, _, err := c.Challenge(t.Context(), client.ChallengeOptions{Username: "ada", Password: "wrong"})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Code != "insufficient_authorization" || e.AuthSession != "next" || e.Status != http.StatusForbidden || errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%#v", err)
	}
	tokens, id, err := c.Challenge(t.Context(), client.ChallengeOptions{
		AuthSession: e.AuthSession, Password: "right", Remember: true, MaxAge: -1, UserAddress: "192.0.2.1", UserAgent: "Notes/1.0",
		ACRValues: []string{"gold"}, Extra: url.Values{"response_type": {"token"}, "resource": {"https://api.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if id.Subject != fakePerson || tokens.Access == "" || tokens.Refresh == "" || tokens.AuthSession != "after" {
		t.Errorf("%+v", id)
	}
	sent := f.forms[1]
	for name, want := range map[string]string{
		"auth_session": "next", "password": "right", "remember": "true", "max_age": "0", "user_address": "192.0.2.1", "user_agent": "Notes/1.0",
		"scope": "openid profile", "acr_values": "gold", "resource": "https://api.example",
	} {
		if sent.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, sent.Get(name), want)
		}
	}
	if sent.Has("username") || sent.Get("code_challenge") == f.forms[0].Get("code_challenge") {
		t.Errorf("%v", sent)
	}
	// A renewal keeps what it was not given anew.
	f.set(func() { f.answer = nil })
	if next, err := c.Refresh(t.Context(), tokens); err != nil || next.AuthSession != "after" {
		t.Errorf("%v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", client.ChallengeOptions{Password: "right"}, client.ChallengeOptions{Password: "right"}, client.ChallengeOptions{Password: "right"}); strings.Contains(text, "right") {
		t.Error(text)
	}
}

// An auth session that has gone costs nothing where the person has said all.
func TestChallengeSession(t *testing.T) {
	f := newChallenger(t)
	c := newClient(t, f.fake)
	gone := func() { f.refuse, f.status = map[string]any{"error": "invalid_session"}, http.StatusBadRequest }
	gone()
	if _, _, err := c.Challenge(t.Context(), client.ChallengeOptions{Username: "ada", Password: "right", AuthSession: "old"}); err != nil {
		t.Error(err)
	}
	if f.forms[1].Has("auth_session") {
		t.Errorf("%v", f.forms[1])
	}
	gone()
	_, _, err := c.Challenge(t.Context(), client.ChallengeOptions{Password: "right", AuthSession: "old"})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "invalid_session" {
		t.Error(err)
	}
}

func TestChallengeFails(t *testing.T) {
	for _, row := range []struct {
		name        string
		status      int
		refuse      map[string]any
		header      http.Header
		code        string
		unavailable bool
		wait        time.Duration
	}{
		{"§5.2.2.1 redirect_to_web", 403, map[string]any{"error": "redirect_to_web"}, nil, "redirect_to_web", false, 0},
		{"a locked account", 400, map[string]any{"error": "access_denied"}, nil, "access_denied", false, 0},
		{"too many", 429, map[string]any{"error": "temporarily_unavailable"}, http.Header{"Retry-After": {"16"}}, "temporarily_unavailable", true, 16 * time.Second},
		{"busy", 503, map[string]any{"error": "temporarily_unavailable"}, http.Header{"Retry-After": {"Fri, 31 Dec 1999 23:59:59 GMT"}}, "temporarily_unavailable", true, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newChallenger(t)
			f.refuse, f.status, f.header = row.refuse, row.status, row.header
			_, _, err := newClient(t, f.fake).Challenge(t.Context(), client.ChallengeOptions{Username: "ada", Password: "right"})
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Code != row.code || errors.Is(err, client.ErrUnavailable) != row.unavailable || e.RetryAfter != row.wait {
				t.Errorf("%#v", err)
			}
			if strings.Contains(err.Error(), "right") {
				t.Error(err)
			}
		})
	}
	t.Run("§8 no such endpoint", func(t *testing.T) {
		f := newFake(t)
		if _, _, err := newClient(t, f).Challenge(t.Context(), client.ChallengeOptions{}); !errors.Is(err, client.ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("§5.2.1 no code", func(t *testing.T) {
		f := newChallenger(t)
		f.refuse, f.status = map[string]any{}, http.StatusOK
		if _, _, err := newClient(t, f.fake).Challenge(t.Context(), client.ChallengeOptions{}); !errors.Is(err, client.ErrResponse) {
			t.Error(err)
		}
	})
	t.Run("an ID token about another request", func(t *testing.T) {
		f := newChallenger(t)
		f.claims = func(c map[string]any) { c["nonce"] = "another" }
		if _, _, err := newClient(t, f.fake).Challenge(t.Context(), client.ChallengeOptions{Password: "right"}); !errors.Is(err, client.ErrIdentity) {
			t.Error(err)
		}
	})
}
