package account

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

func myself(id model.UserID) model.Actor { return model.Actor{Kind: model.ActorUser, ID: string(id)} }

// TestEdit: people change of themselves what they may, and nothing else.
func TestEdit(t *testing.T) {
	each(t, func(h house) {
		user, err := h.Create(h.ctx(), admin, NewUser{Login: "ada", Profile: model.Profile{
			Name: "аdmin", Email: "ada@example.org", EmailVerified: true, PhoneNumber: "+380441234567", PhoneNumberVerified: true, Groups: []string{"staff"}, Zoneinfo: "Mars/Crater",
		}})
		h.ok(err)
		wish := model.Profile{Name: "аdmin", Nickname: "Ada", Email: "root@example.org", Groups: []string{"admins"}, PhoneNumber: "+380441234567", Zoneinfo: "Mars/Crater"}
		got, err := h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{From: Mark(user.Profile), Profile: wish})
		h.ok(err) // what was there before and is odd may stay
		if p := got.Profile; p.Email != "ada@example.org" || !p.EmailVerified || !slices.Equal(p.Groups, []string{"staff"}) || !p.PhoneNumberVerified || p.Nickname != "Ada" {
			t.Errorf("%+v", p)
		}
		next := got.Profile
		next.PhoneNumber = "+380500000000"
		again, err := h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{From: Mark(got.Profile), Profile: next})
		h.ok(err)
		if again.Profile.PhoneNumberVerified {
			t.Error("another number is not verified")
		}
		_, err = h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{From: Mark(got.Profile), Profile: next})
		h.is(err, ErrStale)
		_, err = h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{Profile: next})
		h.is(err, ErrStale)
		for claim, change := range map[string]func(*model.Profile){
			"nickname": func(p *model.Profile) { p.Nickname = "Ada\u202e" },
			"zoneinfo": func(p *model.Profile) { p.Zoneinfo = "Europe/Atlantis" },
			"name":     func(p *model.Profile) { p.Name = "rооt" }, // Cyrillic о
		} {
			wrong := again.Profile
			change(&wrong)
			_, err := h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{From: Mark(again.Profile), Profile: wrong})
			var invalid ErrInvalid
			if !errors.As(err, &invalid) || invalid.Field != claim {
				t.Errorf("%s: %v", claim, err)
			}
		}
		_, err = h.Edit(h.ctx(), myself("nobody"), "nobody", Edit{Profile: next})
		h.is(err, ErrNoUser)
	})
}

// TestEditAtOnce: of several who change the same profile at the same time, one does.
func TestEditAtOnce(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		const many = 8
		var done [many]error
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				p := user.Profile
				p.Nickname = fmt.Sprint("name ", i)
				_, done[i] = h.Edit(h.ctx(), myself(user.ID), user.ID, Edit{From: Mark(user.Profile), Profile: p})
			})
		}
		all.Wait()
		won := -1
		for i, err := range done {
			switch {
			case err == nil && won < 0:
				won = i
			case !errors.Is(err, ErrStale):
				t.Errorf("%d: %v", i, err)
			}
		}
		now, err := h.User(h.ctx(), user.ID)
		h.ok(err)
		if won < 0 || now.Profile.Nickname != fmt.Sprint("name ", won) {
			t.Errorf("%d has won, and it is %q", won, now.Profile.Nickname)
		}
	})
}

// TestChangePassword: who knows the present password sets another one, once.
func TestChangePassword(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		in, other := h.signedIn("ada"), h.signedIn("ada")
		change := func(current, new model.Secret) error {
			return h.ChangePassword(h.ctx(), myself(user.ID), user.ID, NewPassword{Current: current, Password: new, Keep: in.Session.ID})
		}
		h.is(change("not the right one", "four words that rhyme"), ErrCredentials)
		h.is(change("", "four words that rhyme"), ErrCredentials)
		h.is(change(goodPassword, "short"), ErrInvalid{"password", PasswordShort})
		if !h.alive(other.Cookie) {
			t.Error("a session ended without a change")
		}
		h.ok(change(goodPassword, "four words that rhyme"))
		if !h.alive(in.Cookie) || h.alive(other.Cookie) {
			t.Error("this session goes on, and the other ends")
		}
		h.is(change(goodPassword, "another four words"), ErrCredentials)
		none, err := h.Create(h.ctx(), admin, NewUser{Login: "passkey-only"})
		h.ok(err)
		h.ok(h.ChangePassword(h.ctx(), myself(none.ID), none.ID, NewPassword{Password: "four words that rhyme"}))
		h.is(h.ChangePassword(h.ctx(), myself("nobody"), "nobody", NewPassword{Password: "four words that rhyme"}), ErrNoUser)
	})
}

// TestSignOutOthers: all but one of the sessions of one person end, with the cause
// that says whose wish it was.
func TestSignOutOthers(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.user("bob")
		keep, one, two, his := h.signedIn("ada"), h.signedIn("ada"), h.signedIn("ada"), h.signedIn("bob")
		h.is(h.SignOutOthers(h.ctx(), myself(user.ID), user.ID, his.Session.ID), ErrNoSession)
		h.is(h.SignOutOthers(h.ctx(), myself(user.ID), user.ID, "nothing"), ErrNoSession)
		h.is(h.SignOutOthers(h.ctx(), myself("nobody"), "nobody", keep.Session.ID), ErrNoUser)
		h.ok(h.SignOutOthers(h.ctx(), myself(user.ID), user.ID, keep.Session.ID))
		if !h.alive(keep.Cookie) || h.alive(one.Cookie) || h.alive(two.Cookie) || !h.alive(his.Cookie) {
			t.Error("all others, and nobody else's")
		}
		for _, r := range h.revocations() {
			if r.Kind != model.KindSession || r.Cause != model.CauseSignedOut {
				t.Errorf("%+v", r)
			}
		}
	})
}
