package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Wherever a browser is sent after signing in, it is to this application.
func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "//evil", `/\evil`, "/\t/evil", "/a?b#c", "/%2f%2fevil", "/..//evil", "/.//evil", "/@evil", "/%09/evil"} {
		f.Add(seed)
	}
	base := &url.URL{Scheme: "https", Host: "app.example", Path: "/callback"}
	f.Fuzz(func(t *testing.T, path string) {
		w := httptest.NewRecorder()
		redirect(w, httptest.NewRequest("GET", "/callback", nil), localPath(path))
		location := w.Header().Get("Location")
		u, err := base.Parse(location)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || len(location) > 1 && (location[1] == '/' || location[1] == '\\') {
			t.Fatalf("%q leads to %q", path, location)
		}
	})
}

func TestShared(t *testing.T) {
	now := time.Unix(0, 0)
	s := newShared[int](func() time.Time { return now }, 2)
	calls := 0
	ask := func(key string, keep time.Duration, err error) int {
		t.Helper()
		v, got := s.do(t.Context(), key, func(context.Context) (int, time.Duration, error) {
			calls++
			return calls, keep, err
		})
		if !errors.Is(got, err) {
			t.Fatalf("error is %v, want %v", got, err)
		}
		return v
	}
	for range 2 {
		if ask("a", time.Minute, nil) != 1 {
			t.Error("an outcome was not remembered")
		}
	}
	now = now.Add(time.Minute)
	if ask("a", time.Minute, nil) != 2 {
		t.Error("an outcome was remembered for too long")
	}
	if ask("b", 0, nil) != 3 || ask("b", 0, nil) != 4 {
		t.Error("an outcome was remembered against its will")
	}
	failure := errors.New("no")
	ask("c", time.Second, failure)
	if _, ok := s.peek("c"); ok {
		t.Error("a failure passes for a value")
	}
	ask("c", time.Second, failure)
	if calls != 5 {
		t.Error("a failure was not remembered")
	}
	for i := range 100 {
		ask(fmt.Sprint(i), time.Minute, nil)
	}
	if len(s.calls) > 2 || len(s.queue) > 2 {
		t.Errorf("%d outcomes are remembered, want 2", len(s.calls))
	}
}

// One caller that gives up does not spoil the outcome for the others.
func TestSharedOutlivesItsCaller(t *testing.T) {
	s := newShared[string](time.Now, 1)
	ctx, cancel := context.WithCancel(t.Context())
	started, finish := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context) (string, time.Duration, error) {
		close(started)
		<-finish
		return "done", time.Minute, ctx.Err()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.do(ctx, "k", slow); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
	<-started
	cancel()
	wg.Wait()
	close(finish)
	if v, err := s.do(t.Context(), "k", slow); v != "done" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestOnce(t *testing.T) {
	now := time.Unix(0, 0)
	o := newOnce(func() time.Time { return now }, 3)
	if !o.use("a", time.Minute) || o.use("a", time.Minute) || !o.used("a") || o.used("b") {
		t.Error("a key was used twice, or not at all")
	}
	now = now.Add(time.Minute)
	if o.used("a") || !o.use("a", time.Minute) {
		t.Error("a key was remembered for too long")
	}
	for i := range 100 {
		o.use(fmt.Sprint(i), time.Minute)
	}
	if len(o.until) > 3 || len(o.queue) > 3 {
		t.Errorf("%d keys are remembered, want 3", len(o.until))
	}
}

func TestSeal(t *testing.T) {
	s, err := newSeal([][]byte{make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	value := s.close([]byte("x"), sealSession, "a")
	if again := s.close([]byte("x"), sealSession, "a"); again == value {
		t.Error("the nonce repeats")
	}
	for name, try := range map[string]func() ([]byte, bool, error){
		"another purpose": func() ([]byte, bool, error) { return s.open(value, sealAttempt, "a") },
		"another owner":   func() ([]byte, bool, error) { return s.open(value, sealSession, "b") },
		"moved border":    func() ([]byte, bool, error) { return s.open(value, sealSession+"\x00a", "") },
		"padding":         func() ([]byte, bool, error) { return s.open(value+"=", sealSession, "a") },
		"nothing":         func() ([]byte, bool, error) { return s.open("", sealSession, "a") },
	} {
		if data, _, err := try(); !errors.Is(err, errSeal) || data != nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := unpack([]byte{1, 2, 3}); !errors.Is(err, errSeal) {
		t.Errorf("error is %v", err)
	}
}

// What is the server's own failure must not end a session.
func TestErrorIsUnavailable(t *testing.T) {
	for _, row := range []struct {
		err  *Error
		want bool
	}{
		{&Error{Code: "invalid_grant", Status: 400}, false},
		{&Error{Code: "invalid_grant", Status: 503}, true},
		{&Error{Code: "slow_down", Status: http.StatusTooManyRequests}, true},
		{&Error{Code: "temporarily_unavailable"}, true},
		{&Error{Code: "access_denied"}, false},
	} {
		if got := errors.Is(row.err, ErrUnavailable); got != row.want {
			t.Errorf("%+v: %v", row.err, got)
		}
	}
}

// Why a grant has ended comes with the error, so that nobody has to read prose.
func TestErrorCause(t *testing.T) {
	a := answer{status: 400, header: http.Header{"Content-Type": {"application/json"}},
		body: []byte(`{"error":"invalid_grant","error_description":"The account is locked","ostiary_cause":"account_disabled"}`)}
	var e *Error
	if !errors.As(a.unexpected(), &e) || *e != (Error{Code: "invalid_grant", Description: "The account is locked", Status: 400, Cause: "account_disabled"}) {
		t.Errorf("%+v", e)
	}
}
