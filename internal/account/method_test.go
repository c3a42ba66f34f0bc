package account

import (
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// What a client takes hides nobody's second factor: a password alone sets up no
// other one beside it.
func TestEnrolBesideHiddenFactor(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		ada := h.user("ada")
		h.withApp(ada)
		bob := h.user("bob")
		h.passkey(bob.ID, "session 1")
		h.user("eve")
		for name, row := range map[string]struct {
			login   string
			w       Wanted
			missing Lack
		}{
			"an app, where passkeys are taken":                  {"ada", Wanted{Methods: []string{"password", "passkey"}}, Never},
			"an app, where a strong passkey is demanded":        {"ada", Wanted{Methods: []string{"password", "passkey"}, ACR: ACRPhishingResistant}, Never},
			"an app, where one is only wished for":              {"ada", Wanted{Methods: []string{"password", "passkey"}, Wish: ACRMulti}, Never},
			"an app, where it is taken":                         {"ada", Wanted{ACR: ACRPhishingResistant}, Second},
			"a passkey, where apps are taken":                   {"bob", Wanted{Methods: []string{"password", "totp"}, ACR: ACRMulti}, Never},
			"a passkey, where an app is wished for":             {"bob", Wanted{Methods: []string{"password", "totp"}, Wish: ACRMulti}, Nothing},
			"none of their own, where passkeys are taken":       {"eve", Wanted{Methods: []string{"password", "passkey"}, ACR: ACRMulti}, Enrol},
			"none of their own, where neither of them is taken": {"eve", Wanted{Methods: []string{"password"}, ACR: ACRMulti}, Never},
		} {
			p, err := h.Progress(h.ctx(), h.half(row.login), row.w)
			h.ok(err)
			if p.Missing != row.missing {
				h.t.Errorf("%s: missing is %d, want %d", name, p.Missing, row.missing)
			}
		}
	})
}

// A session of long ago sets nothing up: who found it open at a desk has proven
// nothing.
func TestEnrolFresh(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		h.user("ada")
		in := h.signedIn("ada")
		need, wish := Wanted{ACR: ACRMulti, Session: &in.Session}, Wanted{Wish: ACRMulti, Session: &in.Session}
		missing := func(holder string, w Wanted) Lack {
			p, err := h.Progress(h.ctx(), holder, w)
			h.ok(err)
			return p.Missing
		}
		if m := missing("r1", need); m != Enrol {
			h.t.Errorf("just signed in: %d", m)
		}
		h.clock.advance(Fresh)
		if m := missing("r1", need); m != First {
			h.t.Errorf("demanded of an old session: %d", m)
		}
		if m := missing("r1", wish); m != Nothing {
			h.t.Errorf("wished for of an old session: %d", m)
		}
		_, err := h.Finish(h.ctx(), "r1", need, Attempt{})
		h.is(err, ErrFactor)
		holder := h.half("ada")
		if m := missing(holder, need); m != Enrol {
			h.t.Errorf("proven anew: %d", m)
		}
		if m := missing(holder, wish); m != Enrol {
			h.t.Errorf("proven anew, wished for: %d", m)
		}
	})
}

// A session that has ended counts for nothing, whoever read it while it lived.
func TestStepUpOfEndedSession(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		in := h.signedIn("ada")
		secret, _ := h.withApp(u)
		w := Wanted{ACR: ACRMulti, Session: &in.Session}
		h.ok(h.Code(h.ctx(), "r1", w, TypedCode{Method: model.MethodTOTP, Text: code(h.t, secret, h.clock.now())}))
		h.ok(h.SignOut(h.ctx(), admin, in.Session.ID))
		p, err := h.Progress(h.ctx(), "r1", w)
		h.ok(err)
		if p.Missing != First || slices.ContainsFunc(p.Factors, func(f model.Factor) bool { return f.Method == model.MethodPassword }) {
			h.t.Errorf("%+v", p)
		}
		_, err = h.Finish(h.ctx(), "r1", w, Attempt{Browser: []model.Secret{in.Cookie}})
		h.is(err, ErrFactor)
		// One that was unused for too long has not been ended yet, and is as dead.
		in = h.both("ada", secret)
		w.Session = &in.Session
		h.clock.advance(DefaultIdle + time.Minute)
		if p, err = h.Progress(h.ctx(), "r2", w); err != nil || p.Missing != First || p.User.ID != "" {
			h.t.Errorf("%+v %v", p, err)
		}
	})
}

// both signs in with a password and an app.
func (h house) both(login string, secret model.Secret) Entry {
	h.t.Helper()
	h.clock.advance(time.Minute)
	holder := h.half(login)
	h.ok(h.typed(holder, model.MethodTOTP, code(h.t, secret, h.clock.now())))
	in, err := h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
	h.ok(err)
	return in
}

// Recovery codes stand for an app: without one there are none.
func TestRecoveryCodesWithoutApp(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		_, err := h.NewRecoveryCodes(h.ctx(), admin, u.ID, "")
		h.is(err, ErrNoFactor)
		if f, err := h.Factors(h.ctx(), u.ID); err != nil || f.Codes != 0 {
			h.t.Errorf("%+v %v", f, err)
		}
		_, err = h.NewRecoveryCodes(h.ctx(), admin, "nobody", "")
		h.is(err, ErrNoFactor)
	})
}

// A passkey that was a second factor is taken back from the browsers that remember
// it, as an app is.
func TestRemovePasskeyDistrusts(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		h.rememberDevice = 30 * 24 * 3600
		u := h.user("ada")
		h.withApp(u)
		a, k := h.passkey(u.ID, "session 1")
		holder := h.half("ada")
		options, err := h.AskPasskey(h.ctx(), holder, u.ID)
		h.ok(err)
		h.ok(h.ProvePasskey(h.ctx(), PasskeyAnswer{Holder: holder, Answer: a.Get(options), Trust: true}))
		in, err := h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.ok(err)
		known := map[model.UserID]model.Secret{u.ID: in.Device}
		p, err := h.Progress(h.ctx(), h.half("ada"), Wanted{Devices: known})
		h.ok(err)
		if p.Missing != Nothing {
			h.t.Fatalf("it is not remembered: %+v", p)
		}
		h.ok(h.RemovePasskey(h.ctx(), admin, PasskeyRef{User: u.ID, ID: k.ID}))
		if p, err = h.Progress(h.ctx(), h.half("ada"), Wanted{Devices: known}); err != nil || p.Missing != Second {
			h.t.Errorf("it is still remembered: %+v %v", p, err)
		}
	})
}

// Whoever has lost everything is asked for nothing of it any more: a passkey too is
// what a second factor is proven by.
func TestResetFactorsTakesPasskeys(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		h.second = model.SecondRequired
		u := h.user("ada")
		a, _ := h.passkey(u.ID, "session 1")
		p, err := h.Progress(h.ctx(), h.half("ada"), Wanted{})
		h.ok(err)
		if p.Missing != Second {
			h.t.Fatalf("%+v", p)
		}
		h.ok(h.ResetFactors(h.ctx(), admin, u.ID))
		if p, err = h.Progress(h.ctx(), h.half("ada"), Wanted{}); err != nil || p.Missing != Enrol {
			h.t.Errorf("the lost passkey is still asked for: %+v %v", p, err)
		}
		h.is(h.prove(a, "r1", ""), ErrPasskeyUnknown)
		var events []model.Event
		h.view(func(tx *store.Tx) (err error) { events, err = tx.Events(0, 1000); return err })
		if !slices.ContainsFunc(events, func(e model.Event) bool {
			return e.Action == "user.reset_factors" && e.Detail == "apps=0 recovery_codes=0 passkeys=1"
		}) {
			h.t.Errorf("%+v", events)
		}
		// Somebody who has nothing can be reset as well.
		h.ok(h.ResetFactors(h.ctx(), admin, u.ID))
		h.is(h.ResetFactors(h.ctx(), admin, "nobody"), ErrNoUser)
	})
}
