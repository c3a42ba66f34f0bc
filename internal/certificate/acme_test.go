package certificate

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// Pauses double, up to an hour, and are at least as long as the authority says.
func TestPause(t *testing.T) {
	a := &ACME{c: ACMEConfig{Pause: time.Minute}}
	limited := func(after string) error {
		return fmt.Errorf("order: %w", &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {after}}})
	}
	for _, row := range []struct {
		tries int64
		err   error
		want  time.Duration
	}{
		{1, errors.New("x"), time.Minute}, {2, errors.New("x"), 2 * time.Minute}, {6, errors.New("x"), 32 * time.Minute},
		{7, errors.New("x"), time.Hour}, {1 << 40, errors.New("x"), time.Hour},
		{1, limited("600"), 10 * time.Minute}, {7, limited("600"), time.Hour}, {1, limited("99999999"), 24 * time.Hour}, {2, limited("x"), 2 * time.Minute},
	} {
		if got := a.pause(row.tries, row.err); got != row.want {
			t.Errorf("after %d tries and %v: %v, want %v", row.tries, row.err, got, row.want)
		}
	}
}

// The challenges take turns, where there are two that can be met.
func TestKind(t *testing.T) {
	for _, row := range []struct {
		plain bool
		try   int64
		want  string
	}{{false, 1, challengeALPN}, {false, 2, challengeALPN}, {true, 1, challengeALPN}, {true, 2, challengeHTTP}, {true, 3, challengeALPN}} {
		a := &ACME{c: ACMEConfig{Plain: row.plain}}
		if got := a.kind(row.try); got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}
