package account

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/pquerna/otp/totp"
)

// code is what an app shows at a time.
func code(t *testing.T, secret model.Secret, at time.Time) string {
	t.Helper()
	text, err := totp.GenerateCode(secret.Reveal(), at)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withApp gives a person an app, and returns its secret and the recovery codes.
func (h house) withApp(u model.User) (model.Secret, []model.Secret) {
	h.t.Helper()
	holder := model.NewID()
	secret, err := h.OfferTOTP(h.ctx(), holder, u.ID)
	h.ok(err)
	codes, err := h.ConfirmTOTP(h.ctx(), admin, holder, NewTOTP{User: u.ID, Name: "phone", Code: code(h.t, secret, h.clock.now())})
	h.ok(err)
	h.clock.advance(time.Minute) // that code is used
	return secret, codes
}

// half begins a sign-in with a password, under a holder.
func (h house) half(login string) string {
	h.t.Helper()
	holder := model.NewID()
	h.ok(h.Password(h.ctx(), holder, Attempt{Login: login, Password: goodPassword}))
	return holder
}

// password is the proof of a first factor, without the work of comparing it.
func (h house) password(u model.User) (p Proven) {
	h.t.Helper()
	h.view(func(tx *store.Tx) error {
		user, err := tx.User(u.ID)
		p = Proven{User: u.ID, Hash: user.PasswordHash, Factor: model.Factor{Method: model.MethodPassword}}
		return err
	})
	return p
}

func (h house) typed(holder string, m model.Method, text string) error {
	return h.Code(h.ctx(), holder, Wanted{}, TypedCode{Method: m, Text: text})
}

func TestSecondFactor(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		secret, codes := h.withApp(u)
		if len(codes) != 10 {
			h.t.Fatalf("%d recovery codes", len(codes))
		}
		// No session begins with the password alone, whatever way is taken.
		holder := h.half("ada")
		_, err := h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.is(err, ErrFactor)
		p, err := h.Prove(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.ok(err)
		_, err = h.Enter(h.ctx(), p)
		h.is(err, ErrFactor)
		if list, err := h.Sessions(h.ctx(), u.ID); err != nil || len(list) != 0 {
			h.t.Fatalf("%v %v", list, err)
		}
		pr, err := h.Progress(h.ctx(), holder, Wanted{})
		h.ok(err)
		if pr.Missing != Second || !slices.Equal(pr.Methods, []model.Method{model.MethodTOTP, model.MethodRecovery}) || pr.User.ID != u.ID {
			h.t.Fatalf("%+v", pr)
		}
		h.clock.advance(20 * time.Second)
		now := h.clock.now()
		for _, wrong := range []string{"", "12345", "abcdef", "١٢٣٤٥٦", code(h.t, secret, now.Add(-90*time.Second)), code(h.t, secret, now.Add(90*time.Second))} {
			h.is(h.typed(holder, model.MethodTOTP, wrong), ErrCredentials)
		}
		h.clock.advance(time.Hour) // the pause is over, and the first factor too old
		h.is(h.typed(holder, model.MethodTOTP, code(h.t, secret, h.clock.now())), ErrFactor)

		holder = h.half("ada")
		began := h.unix()
		h.clock.advance(20 * time.Second)
		good := code(h.t, secret, h.clock.now())
		h.ok(h.typed(holder, model.MethodTOTP, good[:3]+" "+good[3:]))
		in, err := h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.ok(err)
		s := in.Session
		if s.ACR != ACRMulti || !slices.Equal(s.AMR, []string{"pwd", "otp", "mfa"}) || s.AuthTime != began || len(s.Factors) != 2 {
			h.t.Errorf("%+v", s)
		}
		_, err = h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.is(err, ErrFactor) // once
		h.is(h.typed(h.half("ada"), model.MethodTOTP, good), ErrCredentials)
	})
}

// RFC 6238 §5.2: a code is good once, and so is none that is older; clocks may be
// apart by one step.
func TestTOTPDrift(t *testing.T) {
	each(t, func(h house) {
		secret, _ := h.withApp(h.user("ada"))
		now := h.clock.now()
		h.ok(h.typed(h.half("ada"), model.MethodTOTP, code(h.t, secret, now.Add(-30*time.Second))))
		h.ok(h.typed(h.half("ada"), model.MethodTOTP, code(h.t, secret, now.Add(30*time.Second))))
		for _, d := range []time.Duration{-30, 0, 30} {
			h.is(h.typed(h.half("ada"), model.MethodTOTP, code(h.t, secret, now.Add(d*time.Second))), ErrCredentials)
		}
		h.clock.advance(time.Minute)
		h.ok(h.typed(h.half("ada"), model.MethodTOTP, code(h.t, secret, h.clock.now())))
	})
}

// Of fifty who send one code at once, one gets in; with a recovery code as well.
func TestCodeOnceTogether(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		secret, codes := h.withApp(u)
		for _, m := range []model.Method{model.MethodTOTP, model.MethodRecovery} {
			text := codes[0].Reveal()
			if m == model.MethodTOTP {
				text = code(h.t, secret, h.clock.now())
			}
			holders := make([]string, 50)
			for i := range holders {
				holders[i] = model.NewID()
				h.ok(h.Proved(h.ctx(), holders[i], h.password(u)))
			}
			var right atomic.Int64
			var wait sync.WaitGroup
			for _, holder := range holders {
				wait.Go(func() {
					err := h.typed(holder, m, text)
					if err == nil {
						right.Add(1)
					} else if !errors.Is(err, ErrCredentials) && !errors.As(err, &ErrTooSoon{}) {
						h.t.Error(err)
					}
				})
			}
			wait.Wait()
			if right.Load() != 1 {
				h.t.Errorf("%s: %d got in", m, right.Load())
			}
			h.clock.advance(tryWindow)
		}
	})
}

func TestRecoveryCodes(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		_, codes := h.withApp(u)
		h.ok(h.typed(h.half("ada"), model.MethodRecovery, " "+codes[3].Reveal()[:9]+" "+codes[3].Reveal()[9:]))
		h.is(h.typed(h.half("ada"), model.MethodRecovery, codes[3].Reveal()), ErrCredentials)
		f, err := h.Factors(h.ctx(), u.ID)
		h.ok(err)
		if f.Codes != 9 || len(f.Apps) != 1 || f.Apps[0].Name != "phone" || f.Apps[0].Sealed != "" {
			h.t.Errorf("%+v", f)
		}
		fresh, err := h.NewRecoveryCodes(h.ctx(), admin, u.ID, "")
		h.ok(err)
		h.is(h.typed(h.half("ada"), model.MethodRecovery, codes[4].Reveal()), ErrCredentials)
		h.ok(h.typed(h.half("ada"), model.MethodRecovery, fresh[0].Reveal()))
		// Somebody else's is nobody's here.
		v := h.user("bob")
		_, his := h.withApp(v)
		h.is(h.typed(h.half("ada"), model.MethodRecovery, his[0].Reveal()), ErrCredentials)
		// Without the app they stand for nothing.
		h.is(h.RemoveTOTP(h.ctx(), admin, v.ID, f.Apps[0].ID), ErrNoFactor)
		h.ok(h.RenameTOTP(h.ctx(), admin, u.ID, f.Apps[0].ID, "tablet"))
		h.ok(h.RemoveTOTP(h.ctx(), admin, u.ID, f.Apps[0].ID))
		if f, err = h.Factors(h.ctx(), u.ID); err != nil || f.Codes != 0 || len(f.Apps) != 0 {
			h.t.Errorf("%+v %v", f, err)
		}
		in := h.signedIn("ada")
		if in.Session.ACR != ACRPassword {
			h.t.Error(in.Session.ACR)
		}
		// Who has lost everything of theirs is reset, and signed out.
		other := h.half("bob")
		h.ok(h.ResetFactors(h.ctx(), admin, v.ID))
		h.is(h.typed(other, model.MethodRecovery, his[1].Reveal()), ErrFactor)
		h.signedIn("bob")
	})
}

// TestGuesses: P8: ten thousand guesses get nowhere, whether one after the other or at once.
func TestGuesses(t *testing.T) {
	h := open(t, storetest.SQLite(t))
	u := h.user("ada")
	h.withApp(u)
	h.passwords.Work = func(string) {}
	tried := 0
	holder := h.half("ada")
	for i := range 10_000 {
		err := h.typed(holder, model.MethodTOTP, "0"+strconv.Itoa(10_000+i))
		switch {
		case errors.Is(err, ErrCredentials):
			tried++
		case errors.Is(err, ErrFactor): // too many for this sign-in
			h.ok(h.Proved(h.ctx(), holder, h.password(u)))
		case !errors.As(err, &ErrTooSoon{}):
			h.t.Fatal(err)
		}
	}
	if tried != freeTries+1 {
		h.t.Errorf("%d were looked at", tried)
	}
	// The log tells of it in a few words.
	n := 0
	for _, action := range h.actions() {
		if action == "factor.fail" || action == "factor.throttle" {
			n++
		}
	}
	if n == 0 || n > 6 {
		h.t.Errorf("%d events", n)
	}
}

// TestFactorOfSomebodyElse: P8: one person's second factor is of no use under what another one has begun.
func TestFactorOfSomebodyElse(t *testing.T) {
	each(t, func(h house) {
		ada, bob := h.user("ada"), h.user("bob")
		h.withApp(ada)
		secret, _ := h.withApp(bob)
		holder := h.half("ada")
		h.is(h.typed(holder, model.MethodTOTP, code(h.t, secret, h.clock.now())), ErrCredentials)
		h.is(h.Proved(h.ctx(), holder, Proven{User: bob.ID, Factor: model.Factor{Method: model.MethodTOTP}}), ErrCredentials)
		// An app for somebody else cannot be set up either.
		_, err := h.OfferTOTP(h.ctx(), holder, bob.ID)
		h.is(err, ErrNoUser)
		_, err = h.ConfirmTOTP(h.ctx(), admin, holder, NewTOTP{User: bob.ID, Code: "123456"})
		h.is(err, ErrFactor)
		// Whoever signs in under it begins anew.
		h.ok(h.Password(h.ctx(), holder, Attempt{Login: "bob", Password: goodPassword}))
		p, err := h.Progress(h.ctx(), holder, Wanted{})
		h.ok(err)
		if p.User.ID != bob.ID || len(p.Factors) != 1 || p.Missing != Second {
			h.t.Errorf("%+v", p)
		}
		// What changes of a person takes away what is half proven.
		for name, change := range map[string]func() error{
			"a new password": func() error { return h.SetPassword(h.ctx(), admin, bob.ID, NewPassword{Password: goodPassword}) },
			"signed out":     func() error { return h.SignOutEverywhere(h.ctx(), admin, bob.ID) },
			"locked":         func() error { return h.Lock(h.ctx(), admin, bob.ID) },
		} {
			h.ok(h.Unlock(h.ctx(), admin, bob.ID))
			holder := h.half("bob")
			h.ok(change())
			h.clock.advance(time.Minute)
			if err := h.typed(holder, model.MethodTOTP, code(h.t, secret, h.clock.now())); !errors.Is(err, ErrFactor) {
				h.t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A step-up asks for the missing factor alone, and says of nobody that they proved
// anything later than they did.
func TestStepUp(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		before := h.signedIn("ada")
		secret, _ := h.withApp(u)
		policy := h.second
		h.second = model.SecondOptional
		if st := h.stands(before.SignedIn, nil); st != (Standing{ACR: ACRPassword, Short: true, Best: ACRMulti}) {
			h.t.Errorf("%+v", st)
		}
		h.second = policy
		h.clock.advance(time.Hour)
		holder, w := model.NewID(), Wanted{ACR: ACRMulti, Session: &before.Session}
		p, err := h.Progress(h.ctx(), holder, w)
		h.ok(err)
		if p.Missing != Second || p.User.ID != u.ID {
			h.t.Fatalf("%+v", p)
		}
		h.ok(h.Code(h.ctx(), holder, w, TypedCode{Method: model.MethodTOTP, Text: code(h.t, secret, h.clock.now())}))
		in, err := h.Finish(h.ctx(), holder, w, Attempt{Browser: []model.Secret{before.Cookie}})
		h.ok(err)
		if s := in.Session; s.ID != before.Session.ID || s.ACR != ACRMulti || s.AuthTime != before.Session.AuthTime || s.ExpiresAt != before.Session.ExpiresAt || in.Cookie == before.Cookie {
			h.t.Errorf("%+v", s)
		}
		if st := h.stands(in.SignedIn, nil); st != (Standing{ACR: ACRMulti, Best: ACRMulti}) {
			h.t.Errorf("%+v", st)
		}
		// What a client does not take does not count for it.
		if st := h.stands(in.SignedIn, []string{"passkey"}); st.ACR != "" {
			h.t.Errorf("%+v", st)
		}
		if st := h.stands(in.SignedIn, []string{"password"}); st.ACR != ACRPassword || st.Best != ACRPassword {
			h.t.Errorf("%+v", st)
		}
	})
}

// stands is what a session is worth, whether it is asked by its cookie or by itself.
func (h house) stands(in SignedIn, methods []string) Standing {
	h.t.Helper()
	st, err := h.Standing(h.ctx(), in.Session, methods)
	h.ok(err)
	held, err := h.Held(h.ctx(), []model.Secret{in.Cookie})
	h.ok(err)
	if len(held) != 1 {
		h.t.Fatalf("%d sessions behind one cookie", len(held))
	}
	if byCookie := h.StandingOf(held[0], methods); byCookie != st {
		h.t.Errorf("by the cookie %+v, by the session %+v", byCookie, st)
	}
	return st
}

// The policies of the server and of an administrator, and a browser that is
// remembered.
func TestSecondFactorPolicies(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		h.second = model.SecondRequired
		holder := h.half("ada")
		p, err := h.Progress(h.ctx(), holder, Wanted{})
		h.ok(err)
		if p.Missing != Enrol || !slices.Contains(p.Methods, model.MethodTOTP) || p.Offered {
			h.t.Fatalf("%+v", p)
		}
		h.ok(h.Decline(h.ctx(), holder)) // what is demanded cannot be declined
		_, err = h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.is(err, ErrFactor)
		secret, err := h.OfferTOTP(h.ctx(), holder, u.ID)
		h.ok(err)
		if again, err := h.OfferTOTP(h.ctx(), holder, u.ID); err != nil || again != secret {
			h.t.Error("another secret is offered each time")
		}
		_, err = h.ConfirmTOTP(h.ctx(), admin, holder, NewTOTP{User: u.ID, Code: "000000", Signing: true})
		h.is(err, ErrCredentials)
		_, err = h.ConfirmTOTP(h.ctx(), admin, holder, NewTOTP{User: u.ID, Code: code(h.t, secret, h.clock.now()), Signing: true})
		h.ok(err)
		in, err := h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.ok(err)
		if in.Session.ACR != ACRMulti {
			h.t.Error(in.Session.ACR)
		}

		// Off: asked of nobody; but whoever an administrator asks.
		h.second = model.SecondOff
		h.signedIn("ada")
		h.second = model.SecondOptional
		h.rememberDevice = 30 * 24 * 3600
		h.clock.advance(time.Minute)
		holder = h.half("ada")
		h.ok(h.Code(h.ctx(), holder, Wanted{}, TypedCode{Method: model.MethodTOTP, Text: code(h.t, secret, h.clock.now()), Trust: true}))
		in, err = h.Finish(h.ctx(), holder, Wanted{}, Attempt{})
		h.ok(err)
		known := map[model.UserID]model.Secret{u.ID: in.Device}
		holder = h.half("ada")
		in, err = h.Finish(h.ctx(), holder, Wanted{Devices: known}, Attempt{Devices: known})
		h.ok(err)
		if s := in.Session; s.ACR != ACRPassword || slices.Contains(s.AMR, "mfa") || in.Device != "" {
			h.t.Errorf("a remembered browser is a factor: %+v", s)
		}
		// It is none where a client asks, for nobody else, and not for ever.
		_, err = h.Finish(h.ctx(), h.half("ada"), Wanted{Devices: known, ACR: ACRMulti}, Attempt{})
		h.is(err, ErrFactor)
		_, err = h.Finish(h.ctx(), h.half("ada"), Wanted{Devices: map[model.UserID]model.Secret{"other": known[u.ID]}}, Attempt{})
		h.is(err, ErrFactor)
		h.clock.advance(31 * 24 * time.Hour)
		_, err = h.Finish(h.ctx(), h.half("ada"), Wanted{Devices: known}, Attempt{})
		h.is(err, ErrFactor)
	})
}

// TestThrottleDevice: P13: strangers who guess hold nobody up in a browser that is known, and a planted
// cookie makes none known.
func TestThrottleDevice(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		h.passwords.Work = func(string) {}
		planted := map[model.UserID]model.Secret{u.ID: "ost_de_planted"}
		holder := h.half("ada")
		in, err := h.Finish(h.ctx(), holder, Wanted{Devices: planted}, Attempt{Devices: planted})
		h.ok(err)
		if in.Device == "" || in.Device == planted[u.ID] {
			h.t.Fatal("a cookie that somebody planted is taken")
		}
		known := Attempt{Login: "ada", Password: goodPassword, Address: "192.0.2.1", Devices: map[model.UserID]model.Secret{u.ID: in.Device}}
		for range 50 {
			h.Password(h.ctx(), model.NewID(), from("192.0.2.1", "ada", "wrong password"))
		}
		h.is(h.Password(h.ctx(), model.NewID(), known), nil)
		if err := h.Password(h.ctx(), model.NewID(), from("192.0.2.1", "ada", goodPassword)); !errors.As(err, &ErrTooSoon{}) {
			h.t.Errorf("a stranger: %v", err)
		}
		known.Password = "wrong password"
		for range freeTries + 1 {
			h.is(h.Password(h.ctx(), model.NewID(), known), ErrCredentials)
		}
		if err := h.Password(h.ctx(), model.NewID(), known); !errors.As(err, &ErrTooSoon{}) {
			h.t.Errorf("who guesses in a known browser: %v", err)
		}
	})
}

// Where many people are tried, strangers have less that is free; and the log stays
// short, tells how many, and never what was typed.
func TestThrottleAll(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		h.passwords.Work = func(string) {}
		h.ok(h.store.Upkeep(h.ctx(), func(tx *store.Tx) error {
			for range freeOfAll {
				if _, err := tx.Tally("password anywhere", h.unix(), h.unix()+3600); err != nil {
					return err
				}
			}
			return nil
		}))
		for i := range 20 {
			h.is(h.Password(h.ctx(), model.NewID(), from("198.51.100."+strconv.Itoa(i), "my-typed-password-"+strconv.Itoa(i), "wrong password")), ErrCredentials)
		}
		h.clock.advance(alarmEvery * time.Second)
		for range 2 {
			h.is(h.Password(h.ctx(), model.NewID(), from("192.0.2.1", "ada", "wrong password")), ErrCredentials)
		}
		if err := h.Password(h.ctx(), model.NewID(), from("192.0.2.1", "ada", "wrong password")); !errors.As(err, &ErrTooSoon{}) {
			h.t.Error(err)
		}
		var events []model.Event
		h.view(func(tx *store.Tx) (err error) { events, err = tx.Events(0, 1000); return err })
		var got []string
		for _, e := range events {
			if e.Action == "password.fail" || e.Action == "password.throttle" {
				got = append(got, e.Action+" "+e.Detail)
			}
		}
		want := []string{
			"password.throttle more than 5000 wrong ones in all within=1h0m0s", "password.fail times=1 within=1h0m0s",
			"password.fail times=10 within=1h0m0s", "password.fail times=1 within=1h0m0s", "password.throttle many wrong ones of one login at one network",
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			h.t.Errorf("%q", got)
		}
	})
}

// TestFactorOfEndedSession: whoever was put out between two looks at their session sets
// up nothing by which they could come back, and is shown no codes.
func TestFactorOfEndedSession(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		u := h.user("ada")
		in := h.signedIn("ada").Session.ID
		h.withApp(u)
		h.user("bob")
		his := h.signedIn("bob").Session.ID
		signing := h.half("ada")
		fresh := credentialtest.New(h.t, passkeyOrigin, credentialtest.EdDSA)
		add := func(n NewPasskey) error {
			options, err := h.AskNewPasskey(h.ctx(), n.Holder, u.ID)
			h.ok(err)
			n.User, n.Answer = u.ID, fresh.Create(options)
			_, err = h.AddPasskey(h.ctx(), myself(u.ID), n)
			return err
		}
		secret, err := h.OfferTOTP(h.ctx(), "app", u.ID)
		h.ok(err)
		h.ok(h.SignOut(h.ctx(), admin, in))
		_, err = h.ConfirmTOTP(h.ctx(), myself(u.ID), "app", NewTOTP{User: u.ID, Code: code(h.t, secret, h.clock.now()), Session: in})
		h.is(err, ErrNoSession)
		_, err = h.NewRecoveryCodes(h.ctx(), myself(u.ID), u.ID, in)
		h.is(err, ErrNoSession)
		h.is(add(NewPasskey{Holder: "session", Session: in}), ErrNoSession)
		h.is(add(NewPasskey{Holder: "session", Session: his}), ErrNoSession)
		h.ok(h.SignOutEverywhere(h.ctx(), admin, u.ID))
		h.is(add(NewPasskey{Holder: signing, Signing: true}), ErrFactor)
		f, err := h.Factors(h.ctx(), u.ID)
		h.ok(err)
		if list, _, err := h.Passkeys(h.ctx(), u.ID); err != nil || len(list) != 0 || len(f.Apps) != 1 {
			h.t.Errorf("%d passkeys, %d apps, %v", len(list), len(f.Apps), err)
		}
		h.ok(add(NewPasskey{Holder: h.half("ada"), Signing: true}))
	})
}

// TestOtherAddress: an operator who gives an account another address lets nobody finish
// what was half proven by letters to the one before.
func TestOtherAddress(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		_, codes := h.withApp(u)
		move := func(address string) {
			profile := u.Profile
			profile.Email = address
			_, err := h.Update(h.ctx(), admin, u.ID, Change{Profile: &profile})
			h.ok(err)
		}
		move("ada@example.com")
		holder := h.half("ada")
		move("ada@elsewhere.example")
		h.is(h.typed(holder, model.MethodRecovery, codes[0].Reveal()), ErrFactor)
	})
}
