package account

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func cheapHasher(t *testing.T, places int, wait time.Duration) *hasher {
	t.Helper()
	h, err := newHasher(cheap, places, wait)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPasswordRules(t *testing.T) {
	h := cheapHasher(t, 2, time.Minute)
	for _, row := range []struct {
		name     string
		password string
		good     bool
	}{
		{"missing", "", false},
		{"7 characters", "1234567", false},
		{"8 characters", "12345678", true},
		{"7 characters of 14 bytes", "пароль1", false},
		{"8 characters of 4 after composition", "e\u0301e\u0301e\u0301e\u0301", false},
		{"1024 bytes", strings.Repeat("x", 1024), true},
		{"1025 bytes", strings.Repeat("x", 1025), false},
		{"1 MB", strings.Repeat("x", 1<<20), false},
		{"not UTF-8", "12345678\xff", false},
		{"spaces and signs", "  ☃ pass\twords ", true},
	} {
		stored, err := h.hash(t.Context(), model.Secret(row.password))
		var invalid ErrInvalid
		if row.good {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			} else if _, err := h.verify(t.Context(), model.Secret(row.password), stored); err != nil {
				t.Errorf("%s: does not fit itself: %v", row.name, err)
			}
		} else if !errors.As(err, &invalid) || invalid.Field != "password" || stored != "" {
			t.Errorf("%s: %q, %v", row.name, stored, err)
		}
	}
}

func TestPasswordVerify(t *testing.T) {
	h := cheapHasher(t, 2, time.Minute)
	composed, decomposed := model.Secret("se\u00f1or-s\u00e9same"), model.Secret("sen\u0303or-se\u0301same")
	stored, err := h.hash(t.Context(), composed)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.hash(t.Context(), composed)
	if err != nil || other == stored {
		t.Errorf("the same password hashes to the same twice: %v", err)
	}
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=7168,t=1,p=1$") {
		t.Errorf("stored as %s", stored)
	}
	// A vector of the reference program, `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24`.
	reference := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b1dWRWJTmaaJObG"
	if stale, err := h.verify(t.Context(), "password", reference); err == nil && !stale {
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
		{"another", "señor-sésamo", stored, false, ErrCredentials},
		{"empty", "", stored, false, ErrCredentials},
		{"too long", model.Secret(strings.Repeat("x", 1025)), stored, false, ErrCredentials},
		{"no hash", composed, "", false, ErrCredentials},
		{"a broken hash", composed, stored[:40], false, ErrCredentials},
		{"another scheme", composed, "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", false, ErrCredentials},
	} {
		stale, err := h.verify(t.Context(), row.password, row.stored)
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
		"other algorithm":   "$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + hash,
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
		if err == nil && (p.params.check() != nil || p.String() != s) {
			t.Errorf("%q is %v", s, p)
		}
	})
}

// The time that an answer takes must not tell whether somebody has an account.
// Counted is the work of hashing, which is nearly all of it. Attack row T23.
func TestSameWorkForUnknownUser(t *testing.T) {
	h := open(t, storetest.SQLite(t))
	h.user("ada")
	locked := h.user("locked")
	h.ok(h.Lock(h.ctx(), admin, locked.ID))
	_, err := h.Create(h.ctx(), admin, NewUser{Login: "no-password"})
	h.ok(err)

	var done []Params
	h.passwords.work = func(p Params) { done = append(done, p) }
	for _, row := range []struct{ name, login string }{
		{"wrong password", "ada"},
		{"unknown login", "nobody"},
		{"login that cannot be", "no body\x00"},
		{"empty login", ""},
		{"login of 1 MB", strings.Repeat("a", 1<<20)},
		{"person without a password", "no-password"},
		{"locked account", "locked"},
	} {
		done = nil
		_, err := h.SignIn(h.ctx(), Attempt{Login: row.login, Password: "not the right one"})
		if err != ErrCredentials {
			t.Errorf("%s: error is %v", row.name, err)
		}
		if !slices.Equal(done, []Params{cheap}) {
			t.Errorf("%s: hashed %v", row.name, done)
		}
	}
}

// However many come at once, so many are hashed and no more (attack row T27).
func TestHashesAreBounded(t *testing.T) {
	const places = 2
	h := cheapHasher(t, places, time.Minute)
	var running, most atomic.Int32
	h.work = func(Params) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		running.Add(-1)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := h.hash(t.Context(), goodPassword); err != nil {
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
	h := cheapHasher(t, 1, 20*time.Millisecond)
	h.places <- struct{}{} // somebody hashes
	if _, err := h.hash(t.Context(), goodPassword); !errors.Is(err, ErrBusy) {
		t.Errorf("with no place: %v", err)
	}
	if _, err := h.verify(t.Context(), goodPassword, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("with no place and no hash: %v", err)
	}
	h.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(ctx, goodPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller left: %v", err)
	}
	<-h.places
	if _, err := h.hash(t.Context(), goodPassword); err != nil {
		t.Errorf("with a place again: %v", err)
	}
}

func TestRehash(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		stored := func() (u model.User) {
			h.view(func(tx *store.Tx) (err error) {
				u, err = tx.User(user.ID)
				return err
			})
			return u
		}
		before := stored()
		h.passwords.params.Time = 2
		h.clock.advance(time.Hour)
		if _, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "not the right one"}); !errors.Is(err, ErrCredentials) {
			h.t.Fatal(err)
		}
		if !reflect.DeepEqual(stored(), before) {
			h.t.Error("a wrong password changed the account")
		}
		h.signedIn("ada")
		after := stored()
		if !strings.Contains(after.PasswordHash, "t=2,") || after.PasswordAt != before.PasswordAt {
			h.t.Errorf("hash %s, set at %d, before %d", after.PasswordHash, after.PasswordAt, before.PasswordAt)
		}
		h.signedIn("ada")
		if stored().PasswordHash != after.PasswordHash {
			h.t.Error("hashed anew without need")
		}
	})
}

// Two sign-ins that both find an old hash: the second one to write sees
// another hash than it compared with, and must not be refused for it.
func TestRehashTwiceAtOnce(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		h.passwords.params.Time = 2
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if _, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword}); err != nil {
					h.t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestSetPassword(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.user("bob")
		keep, gone, bobs := h.signedIn("ada"), h.signedIn("ada"), h.signedIn("bob")
		client := h.client()
		kept := h.grant(client, keep.Session, false)
		ended := h.grant(client, gone.Session, false)
		offline := h.grant(client, gone.Session, true)
		h.clock.advance(time.Second)

		err := h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "short"})
		var invalid ErrInvalid
		if !errors.As(err, &invalid) {
			h.t.Errorf("short: %v", err)
		}
		h.is(h.SetPassword(h.ctx(), admin, "nobody", NewPassword{Password: goodPassword}), ErrNoUser)
		if !h.alive(gone.Cookie) {
			h.t.Error("a refused change ended a session")
		}

		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "another password", Keep: keep.Session.ID}))
		if !h.alive(keep.Cookie) || h.alive(gone.Cookie) || !h.alive(bobs.Cookie) {
			h.t.Error("not all sessions but the kept one are over")
		}
		if !h.standing(kept) || h.standing(ended) || h.standing(offline) {
			h.t.Error("not all grants but those of the kept session are over")
		}
		for _, r := range h.revocations() {
			if r.Cause != model.CauseCredentialChange || r.DropAt != r.At+6*60 || r.Kind == model.KindSubject {
				h.t.Errorf("revocation %+v", r)
			}
		}
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrCredentials)

		// Somebody else's session cannot be kept in place of one's own.
		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: goodPassword, Keep: bobs.Session.ID}))
		if h.alive(keep.Cookie) || !h.alive(bobs.Cookie) || h.standing(kept) {
			h.t.Error("with another's session to keep, one's own lives on")
		}
		last := h.revocations()[len(h.revocations())-1]
		if last.Kind != model.KindSubject || last.Value != string(user.ID) || last.CutOff != h.unix() {
			h.t.Errorf("revocation %+v", last)
		}
		if !slices.Contains(h.actions(), "password.set") {
			h.t.Error("no event")
		}
	})
}
