package account

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

func TestSetup(t *testing.T) {
	each(t, func(h house) {
		older, err := h.SetupLink(h.ctx())
		h.ok(err)
		token, err := h.SetupLink(h.ctx())
		h.ok(err)
		if older == token || len(token) != len(setupPrefix)+43 {
			h.t.Error("the token is not 256 new bits")
		}
		first := NewUser{Login: "Ada", Password: goodPassword}
		for name, bad := range map[string]model.Secret{
			"replaced": older, "unknown": token + "x", "empty": "", "1 MB": model.Secret(strings.Repeat("x", 1<<20)), "not UTF-8": "\xff\x00",
		} {
			hashed := 0
			h.passwords.Work = func(string) { hashed++ }
			_, err := h.CompleteSetup(h.ctx(), bad, first, "")
			if !errors.Is(err, ErrSetupLink) || hashed != 0 {
				h.t.Errorf("%s: %v after %d hashes", name, err, hashed)
			}
		}
		var invalid ErrInvalid
		for _, n := range []NewUser{{Login: "ada"}, {Login: "ada", Password: "short"}, {Login: " ", Password: goodPassword}} {
			if _, err = h.CompleteSetup(h.ctx(), token, n, ""); !errors.As(err, &invalid) {
				h.t.Errorf("%v: %v", n, err)
			}
		}
		h.ok(h.CheckSetup(h.ctx(), token))
		user, err := h.CompleteSetup(h.ctx(), token, first, "192.0.2.9")
		h.ok(err)
		if user.Login != "ada" || !user.Admin || user.PasswordHash != "" {
			h.t.Errorf("made %+v", user)
		}
		h.signedIn("ada")
		for name, err := range map[string]error{
			"the token again": func() error {
				_, err := h.CompleteSetup(h.ctx(), token, NewUser{Login: "bob", Password: goodPassword}, "")
				return err
			}(),
			"another link": func() error { _, err := h.SetupLink(h.ctx()); return err }(),
			"a check":      h.CheckSetup(h.ctx(), token),
		} {
			if !errors.Is(err, ErrAlreadySetUp) {
				h.t.Errorf("%s: %v", name, err)
			}
		}
		if want := []string{"setup.offer", "setup.offer", "user.create", "session.start"}; !slices.Equal(h.actions(), want) {
			h.t.Errorf("events %v, want %v", h.actions(), want)
		}
	})
}

func TestSetupLinkEnds(t *testing.T) {
	each(t, func(h house) {
		token, err := h.SetupLink(h.ctx())
		h.ok(err)
		h.clock.advance(SetupLinkLife - time.Second)
		h.ok(h.CheckSetup(h.ctx(), token))
		h.clock.advance(time.Second)
		h.is(h.CheckSetup(h.ctx(), token), ErrSetupLink)
		_, err = h.CompleteSetup(h.ctx(), token, NewUser{Login: "ada", Password: goodPassword}, "")
		h.is(err, ErrSetupLink)
		token, err = h.SetupLink(h.ctx()) // the one that ended is in nobody's way
		h.ok(err)
		h.user("made-by-the-command")
		_, err = h.CompleteSetup(h.ctx(), token, NewUser{Login: "ada", Password: goodPassword}, "")
		h.is(err, ErrAlreadySetUp)
	})
}

func TestSetupTwiceAtOnce(t *testing.T) {
	each(t, func(h house) {
		token, err := h.SetupLink(h.ctx())
		h.ok(err)
		errs := make([]error, 4)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				_, errs[i] = h.CompleteSetup(h.ctx(), token, NewUser{Login: "admin" + string(rune('a'+i)), Password: goodPassword}, "")
			})
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrAlreadySetUp) && !errors.Is(err, ErrSetupLink):
				h.t.Error(err)
			}
		}
		users, err := h.List(h.ctx(), UserFilter{Limit: 10})
		h.ok(err)
		if won != 1 || len(users) != 1 {
			h.t.Errorf("%d succeeded, %d accounts", won, len(users))
		}
	})
}
