package credential

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// cheap is the lowest cost that is allowed.
var cheap = Params{Memory: MinMemory, Time: 1, Threads: 1}

const goodPassword = model.Secret("correct horse battery")

func cheapPasswords(t *testing.T, places int, wait time.Duration) *Passwords {
	t.Helper()
	h, err := NewPasswords(cheap, places, wait)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPasswordRules(t *testing.T) {
	h := cheapPasswords(t, 2, time.Minute)
	for _, row := range []struct {
		name     string
		password string
		err      error
	}{
		{"missing", "", ErrMissing},
		{"7 characters", "1234567", ErrShort},
		{"8 characters", "zq7-mx4w", nil},
		{"7 characters of 14 bytes", "пароль1", ErrShort},
		{"8 characters of 4 after composition", "e\u0301e\u0301e\u0301e\u0301", ErrShort},
		{"1024 bytes", strings.Repeat("zq7-mx4w of many ", 64)[:1024], nil},
		{"1025 bytes", strings.Repeat("x", 1025), ErrLong},
		{"1 MB", strings.Repeat("x", 1<<20), ErrLong},
		{"not UTF-8", "zq7-mx4w\xff", ErrNotText},
		{"spaces and signs", "  ☃ pass\twords ", nil},
	} {
		stored, err := "", Policy{Least: 8}.Check(model.Secret(row.password))
		if err == nil {
			stored, err = h.Hash(t.Context(), model.Secret(row.password))
		}
		if row.err == nil {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			} else if _, err := h.Verify(t.Context(), model.Secret(row.password), stored); err != nil {
				t.Errorf("%s: does not fit itself: %v", row.name, err)
			}
		} else if !errors.Is(err, row.err) || stored != "" {
			t.Errorf("%s: %q, %v", row.name, stored, err)
		}
	}
}

func TestPasswordVerify(t *testing.T) {
	h := cheapPasswords(t, 2, time.Minute)
	composed, decomposed := model.Secret("se\u00f1or-s\u00e9same"), model.Secret("sen\u0303or-se\u0301same")
	stored, err := h.Hash(t.Context(), composed)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Hash(t.Context(), composed)
	if err != nil || other == stored {
		t.Errorf("the same password hashes to the same twice: %v", err)
	}
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=7168,t=1,p=1$") {
		t.Errorf("stored as %s", stored)
	}
	// A vector of the reference program, `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24`.
	reference := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b1dWRWJTmaaJObG"
	if stale, err := h.Verify(t.Context(), "password", reference); err == nil && !stale {
		t.Error("another cost is not seen as stale")
	}
	for _, row := range []struct {
		name     string
		password model.Secret
		stored   string
		stale    bool
		err      error
	}{
		{"as it was typed", composed, stored, false, nil},
		{"RFC 8265 §4.2.2 rule 4: composed otherwise", decomposed, stored, false, nil},
		{"another", "señor-sésamo", stored, false, ErrWrong},
		{"empty", "", stored, false, ErrWrong},
		{"too long", model.Secret(strings.Repeat("x", 1025)), stored, false, ErrWrong},
		{"no hash", composed, "", false, ErrWrong},
		{"a broken hash", composed, stored[:40], false, ErrWrong},
		{"another scheme, another password", composed, "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", false, ErrWrong},
	} {
		stale, err := h.Verify(t.Context(), row.password, row.stored)
		if !errors.Is(err, row.err) || stale != row.stale {
			t.Errorf("%s: %v, %v", row.name, stale, err)
		}
		if err != nil && strings.Contains(err.Error(), "$") {
			t.Errorf("%s: the error shows the hash: %v", row.name, err)
		}
	}
}

func TestPHC(t *testing.T) {
	const salt, hash = "c29tZXNhbHQ", "RdescudvJCsgt3ub+b1dWRWJTmaaJObG"
	good := "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + hash
	p, err := parsePHC(good)
	if err != nil || p.String() != good || p.params != (Params{65536, 2, 1}) {
		t.Fatalf("%v, %v", p, err)
	}
	for name, s := range map[string]string{
		"empty":             "",
		"other algorithm":   "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + hash,
		"other version":     "$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + hash,
		"no version":        "$argon2id$m=65536,t=2,p=1$" + salt + "$" + hash,
		"memory over bound": "$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + hash,
		"memory overflow":   "$argon2id$v=19$m=4294967296,t=2,p=1$" + salt + "$" + hash,
		"time over bound":   "$argon2id$v=19$m=65536,t=4000000000,p=1$" + salt + "$" + hash,
		"threads overflow":  "$argon2id$v=19$m=65536,t=2,p=257$" + salt + "$" + hash,
		"no threads":        "$argon2id$v=19$m=65536,t=2,p=0$" + salt + "$" + hash,
		"sign":              "$argon2id$v=19$m=+65536,t=2,p=1$" + salt + "$" + hash,
		"leading zero":      "$argon2id$v=19$m=065536,t=2,p=1$" + salt + "$" + hash,
		"other order":       "$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + hash,
		"no salt":           "$argon2id$v=19$m=65536,t=2,p=1$$" + hash,
		"no hash":           "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$",
		"short hash":        "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA",
		"long hash":         "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat("A", 400),
		"1 MB":              "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat("A", 1<<20),
		"padding":           good + "=",
		"more parts":        good + "$x",
	} {
		if p, err := parsePHC(s); err == nil {
			t.Errorf("%s: accepted as %v", name, p)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b1dWRWJTmaaJObG")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err == nil && (p.params.Memory > MaxMemory || p.params.Time > MaxTime || p.params.Threads > MaxThreads || p.String() != s) {
			t.Errorf("%q is %v", s, p)
		}
	})
}

// However many come at once, so many are hashed and no more (attack row T27).
func TestHashesAreBounded(t *testing.T) {
	const places = 2
	h := cheapPasswords(t, places, time.Minute)
	var running, most atomic.Int32
	h.Work = func(string) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		running.Add(-1)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := h.Hash(t.Context(), goodPassword); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() != places {
		t.Errorf("%d ran at once, want %d", most.Load(), places)
	}
}

func TestHashWaits(t *testing.T) {
	h := cheapPasswords(t, 1, 20*time.Millisecond)
	h.places <- struct{}{} // somebody hashes
	if _, err := h.Hash(t.Context(), goodPassword); !errors.Is(err, ErrBusy) {
		t.Errorf("with no place: %v", err)
	}
	if _, err := h.Verify(t.Context(), goodPassword, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("with no place and no hash: %v", err)
	}
	h.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, goodPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller left: %v", err)
	}
	<-h.places
	if _, err := h.Hash(t.Context(), goodPassword); err != nil {
		t.Errorf("with a place again: %v", err)
	}
}
