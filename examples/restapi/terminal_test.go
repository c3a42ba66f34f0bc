package restapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/restapi/terminal"
	"github.com/ostiary/ostiary/internal/servertest"
)

// seat is somebody at a terminal.
type seat struct {
	t          *testing.T
	p          *terminal.Program
	out, steps bytes.Buffer
	ahead      time.Duration // of its clock
	waited     []time.Duration
	passwords  []string // typed one after the other
}

func newSeat(t *testing.T, s *street) *seat {
	x := &seat{t: t}
	x.p = &terminal.Program{
		API: s.url, State: filepath.Join(t.TempDir(), "deep", "session.json"), Stdout: &x.out, Steps: &x.steps,
		HTTP: http.DefaultClient, Now: func() time.Time { return s.h.Clock.Now().Add(x.ahead) },
		Sleep: func(_ context.Context, d time.Duration) error {
			x.waited = append(x.waited, d)
			x.ahead += d
			return nil
		},
		Password: func(string) (string, error) {
			if len(x.passwords) == 0 {
				return password, nil
			}
			next := x.passwords[0]
			x.passwords = x.passwords[1:]
			return next, nil
		},
	}
	return x
}

var ids = regexp.MustCompile(`[A-Z2-7]{8}`)

// types runs a command and wants its outcome and what it shows: the steps, and then
// what was asked for. Notes are called ID.
func (x *seat) types(command string, outcome terminal.Outcome, shows string) {
	x.t.Helper()
	x.out.Reset()
	x.steps.Reset()
	err := x.p.Run(x.t.Context(), strings.Fields(command))
	e, ok := errors.AsType[*terminal.Error](err)
	switch {
	case outcome == 0 && err != nil, outcome != 0 && (!ok || e.Outcome != outcome):
		x.t.Fatalf("%s: %v\n%s", command, err, x.steps.String())
	}
	got := ids.ReplaceAllString(x.steps.String()+x.out.String(), "ID")
	var lines []string
	for line := range strings.Lines(got) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	var want []string
	for line := range strings.Lines(strings.TrimSpace(shows)) {
		want = append(want, strings.TrimSpace(line))
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		x.t.Errorf("%s shows\n%s\nwant\n%s", command, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestTerminal(t *testing.T) {
	h := servertest.Start(t)
	s := newStreet(t, h)
	x := newSeat(t, s)
	x.types("notes", terminal.SignInAgain, `
		GET /notes 401 Unauthorized An access token is needed
		a new token may help: renew`)
	x.passwords = []string{"wrong"}
	x.types("login bob", terminal.SignInAgain, `POST /login 400 invalid_credentials The login or the password is wrong, or one of them is missing`)
	x.types("login bob --remember", 0, `
		POST /login 200 OK
		Signed in as bob. The token lives for 5m0s.`)
	if info, err := os.Stat(x.p.State); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of tokens: %v, %v", info, err)
	}
	x.types("notes", 0, `
		GET /notes 200 OK
		No notes.`)
	x.types("add Feed the cat", 0, `
		POST /notes 201 Created
		ID WHOSE TEXT
		ID yours Feed the cat`)

	// A minute before the end nothing happens; five seconds before, it renews.
	x.ahead = 4 * time.Minute
	x.types("notes", 0, `
		GET /notes 200 OK
		ID WHOSE TEXT
		ID yours Feed the cat`)
	var kept struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	text, err := os.ReadFile(x.p.State)
	if err != nil || json.Unmarshal(text, &kept) != nil {
		t.Fatal(err)
	}
	x.ahead = kept.ExpiresAt.Add(-4 * time.Second).Sub(h.Clock.Now())
	x.types("notes", 0, `
		the token is about to expire: renew
		POST /renew 200 OK
		GET /notes 200 OK
		ID WHOSE TEXT
		ID yours Feed the cat`)
	x.types("watch --every 20s --for 50s", 0, strings.Repeat("GET /notes 200 OK\n", 3))

	x.types("logout", 0, `
		POST /logout 204 No Content
		Signed out.`)
	x.types("logout", terminal.SignInAgain, ``)
	x.types("watch", terminal.SignInAgain, `
		GET /notes 401 Unauthorized An access token is needed
		a new token may help: renew`)
}

func TestTerminalUsage(t *testing.T) {
	x := newSeat(t, newStreet(t, servertest.Start(t)))
	for _, command := range []string{"", "dance", "login", "login a b", "login --role", "notes all", "add", "change x", "remove", "remove a b", "watch --every 1ms", "logout now", "login bob --what"} {
		x.types(command, terminal.Usage, "")
	}
	if err := os.MkdirAll(filepath.Dir(x.p.State), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(x.p.State, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.types("notes", terminal.Failed, "")
	x.p.API = "http://localhost:1"
	x.p.State += ".other"
	x.types("login bob", terminal.Later, "")
}

// TestTerminalPatience: what is not about the token costs no token.
func TestTerminalPatience(t *testing.T) {
	asked := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/problem+json")
		switch {
		case r.URL.Path == "/login":
			w.Write([]byte(`{"access_token":"a","refresh_token":"r","expires_in":300}`))
		case asked < 4:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"error":"temporarily_unavailable"}`))
		default:
			w.Write([]byte("[{\"id\":\"\\u001b[2Jabc\",\"text\":\"red \\u001b[31mnote\\u202e\"}]"))
		}
	}))
	defer api.Close()
	x := newSeat(t, &street{t: t, url: api.URL, h: &servertest.House{Clock: &servertest.Clock{}}})
	x.types("login bob", 0, "POST /login 200 OK\nSigned in as bob. The token lives for 5m0s.")
	x.types("notes", 0, `
		GET /notes 503 temporarily_unavailable
		wait 7s and try again, with the same token
		GET /notes 503 temporarily_unavailable
		wait 7s and try again, with the same token
		GET /notes 200 OK
		ID WHOSE TEXT
		[2Jabc another's red [31mnote`)
	if len(x.waited) != 2 || x.waited[0] != 7*time.Second {
		t.Errorf("%v", x.waited)
	}
	// Colours, where they are wanted.
	x.p.Colour = true
	x.out.Reset()
	x.steps.Reset()
	if err := x.p.Run(t.Context(), []string{"notes"}); err != nil || !strings.Contains(x.steps.String(), "\x1b[32m200\x1b[0m") {
		t.Errorf("%q, %v", x.steps.String(), err)
	}
	if strings.Contains(x.out.String(), "\x1b") {
		t.Errorf("%q", x.out.String())
	}
}
