package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

const passkeyOrigin = "https://id.example.com"

// withPasskeys opens accounts at an issuer that has a domain.
func withPasskeys(h house) house {
	h.t.Helper()
	c := Config{Issuer: passkeyOrigin, Name: "Example"}
	h.ok(c.checkSignIn())
	var err error
	h.passkeys, err = c.openPasskeys()
	h.ok(err)
	h.methods = c.Methods
	return h
}

// passkey gives a person a passkey of a new authenticator.
func (h house) passkey(id model.UserID, holder string) (*credentialtest.Authenticator, model.Passkey) {
	h.t.Helper()
	a := credentialtest.New(h.t, passkeyOrigin, credentialtest.EdDSA)
	options, err := h.AskNewPasskey(h.ctx(), holder, id)
	h.ok(err)
	k, err := h.AddPasskey(h.ctx(), admin, NewPasskey{Holder: holder, User: id, Answer: a.Create(options)})
	h.ok(err)
	return a, k
}

// prove answers by an authenticator under a holder.
func (h house) prove(a *credentialtest.Authenticator, holder string, of model.UserID) error {
	h.t.Helper()
	options, err := h.AskPasskey(h.ctx(), holder, of)
	h.ok(err)
	return h.ProvePasskey(h.ctx(), PasskeyAnswer{Holder: holder, Answer: a.Get(options), Address: "192.0.2.7"})
}

func TestPasskeyProof(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		ann := h.user("ann")
		a, k := h.passkey(ann.ID, "session 1")
		h.ok(h.prove(a, "r1", ""))
		p, err := h.Progress(h.ctx(), "r1", Wanted{})
		h.ok(err)
		if p.User.ID != ann.ID || p.Missing != Nothing || len(p.Factors) != 1 || !p.Factors[0].Verified {
			h.t.Errorf("%+v", p)
		}
		in, err := h.Finish(h.ctx(), "r1", Wanted{}, Attempt{})
		h.ok(err)
		if in.Session.ACR != ACRPhishingResistant || !slices.Equal(in.Session.AMR, []string{"pop", "user", "mfa"}) {
			h.t.Errorf("%+v", in.Session)
		}
		// One that does not know its owner is the second factor of a password, of the same
		// person and under the same holder, and nothing by itself.
		a.Verifies = false
		h.ok(h.Password(h.ctx(), "r2", Attempt{Login: "ann", Password: goodPassword}))
		h.ok(h.prove(a, "r2", ann.ID))
		in, err = h.Finish(h.ctx(), "r2", Wanted{ACR: ACRPhishingResistant}, Attempt{})
		h.ok(err)
		if !slices.Equal(in.Session.AMR, []string{"pwd", "pop", "user", "mfa"}) {
			h.t.Errorf("%+v", in.Session)
		}
		h.ok(h.prove(a, "r3", ann.ID))
		if _, err := h.Finish(h.ctx(), "r3", Wanted{}, Attempt{}); !errors.Is(err, ErrFactor) {
			h.t.Errorf("nobody verified, and no password: %v", err)
		}
		a.Verifies = true
		// A person who is gone takes their passkeys along.
		h.ok(h.Delete(h.ctx(), admin, ann.ID))
		h.is(h.prove(a, "r4", ""), ErrPasskeyUnknown)
		h.view(func(tx *store.Tx) error {
			if _, err := tx.Passkey(k.ID); !errors.Is(err, store.ErrNotFound) {
				h.t.Errorf("the passkey is still there: %v", err)
			}
			return nil
		})
	})
}

// Of two authenticators with one counter, one gets in: WebAuthn Level 3 §7.2 step 22.
func TestPasskeyCopies(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		ann := h.user("ann")
		a, _ := h.passkey(ann.ID, "s")
		const n = 6
		answers := make([]PasskeyAnswer, n)
		for i := range answers {
			copied := *a
			holder := fmt.Sprint("r", i)
			options, err := h.AskPasskey(h.ctx(), holder, "")
			h.ok(err)
			answers[i] = PasskeyAnswer{Holder: holder, Answer: copied.Get(options)}
		}
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { errs[i] = h.ProvePasskey(h.ctx(), answers[i]) })
		}
		all.Wait()
		in := 0
		for _, err := range errs {
			if err == nil {
				in++
			} else if !errors.Is(err, credential.ErrPasskeyCopied) {
				h.t.Error(err)
			}
		}
		told := 0
		for _, action := range h.actions() {
			if action == "passkey.regress" {
				told++
			}
		}
		if in != 1 || told != n-1 {
			h.t.Errorf("%d got in, of %d it was told", in, told)
		}
	})
}

// One answer is heard, of however many that come at once.
func TestPasskeyAnswerOnce(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		a, _ := h.passkey(h.user("ann").ID, "s")
		options, err := h.AskPasskey(h.ctx(), "r", "")
		h.ok(err)
		answer := PasskeyAnswer{Holder: "r", Answer: a.Get(options)}
		var all sync.WaitGroup
		var mu sync.Mutex
		in := 0
		for range 6 {
			all.Go(func() {
				err := h.ProvePasskey(h.ctx(), answer)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in++
				} else if !errors.Is(err, ErrPasskeyStale) {
					h.t.Error(err)
				}
			})
		}
		all.Wait()
		if in != 1 {
			h.t.Errorf("%d got in", in)
		}
	})
}

func TestPasskeyBounds(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		ann := h.user("ann")
		a, k := h.passkey(ann.ID, "s")
		_, first, err := h.Passkeys(h.ctx(), ann.ID)
		h.ok(err)
		for i := 1; i < MaxPasskeys; i++ {
			h.passkey(ann.ID, "s")
		}
		_, err = h.AskNewPasskey(h.ctx(), "s", ann.ID)
		h.is(err, ErrPasskeyMany)
		list, handle, err := h.Passkeys(h.ctx(), ann.ID)
		h.ok(err)
		if len(list) != MaxPasskeys || handle != first || len(handle) != 86 || strings.Contains(handle, string(ann.ID)) {
			h.t.Errorf("%d passkeys of %q, then %q", len(list), first, handle)
		}
		// Whoever knows a passkey's name cannot fill the log by it.
		a.Origin = "https://evil.example"
		for range maxPasskeyFails + 5 {
			h.is(h.prove(a, "r", ""), credential.ErrPasskey)
		}
		n := 0
		for _, action := range h.actions() {
			if action == "passkey.fail" {
				n++
			}
		}
		if n != maxPasskeyFails {
			h.t.Errorf("%d refusals are written down", n)
		}
		a.Origin = passkeyOrigin
		h.ok(h.prove(a, "r", "")) // and nobody is kept out by it

		for name, want := range map[string]bool{" Blue key ": true, "": false, " ": false, strings.Repeat("é", 50): true, strings.Repeat("é", 51): false, "a\tb": false, "a\u202eb": false, "\xff": false} {
			err := h.RenamePasskey(h.ctx(), admin, PasskeyRef{ann.ID, k.ID}, name)
			if invalid := (ErrInvalid{}); want != (err == nil) || err != nil && !errors.As(err, &invalid) {
				h.t.Errorf("the name %q: %v", name, err)
			}
		}
		h.is(h.RenamePasskey(h.ctx(), admin, PasskeyRef{"bob", k.ID}, "mine"), ErrPasskeyUnknown)
		h.is(h.RemovePasskey(h.ctx(), admin, PasskeyRef{"bob", k.ID}), ErrPasskeyUnknown)
		h.is(h.RemovePasskey(h.ctx(), admin, PasskeyRef{ann.ID, "k"}), ErrPasskeyUnknown)

		_, err = h.AskPasskey(h.ctx(), "r", h.user("bob").ID)
		h.is(err, ErrPasskeyUnknown)
		_, err = h.AskNewPasskey(h.ctx(), "r", "nobody")
		h.is(err, ErrNoUser)

		// A question for one person is not answered for another.
		options, err := h.AskNewPasskey(h.ctx(), "t", h.user("carl").ID)
		h.ok(err)
		answer := credentialtest.New(h.t, passkeyOrigin, credentialtest.ES256).Create(options)
		_, err = h.AddPasskey(h.ctx(), admin, NewPasskey{Holder: "t", User: "bob", Answer: answer})
		h.is(err, ErrPasskeyStale)

		options, err = h.AskPasskey(h.ctx(), "late", "")
		h.ok(err)
		h.clock.advance(ceremonyLife)
		h.is(h.ProvePasskey(h.ctx(), PasskeyAnswer{Holder: "late", Answer: a.Get(options)}), ErrPasskeyStale)
		h.clock.advance(time.Hour)
	})
}

// Where passkeys are all that there is, the last one stays; a password, or a method
// that is allowed, lets it go.
func TestKeepMethod(t *testing.T) {
	each(t, func(h house) {
		h = withPasskeys(h)
		ann := h.user("ann")
		_, k := h.passkey(ann.ID, "s")
		self := model.Actor{Kind: model.ActorUser, ID: string(ann.ID)}
		ref := PasskeyRef{ann.ID, k.ID}
		methods := h.methods
		h.methods = []model.Method{model.MethodPasskey, model.MethodTOTP}
		h.is(h.RemovePasskey(h.ctx(), self, ref), ErrLastMethod)
		h.methods = methods
		h.ok(h.RemovePasskey(h.ctx(), self, ref))
		if list := h.actions(); !slices.Contains(list, "passkey.remove") {
			h.t.Errorf("%v", list)
		}
	})
}

func TestNoDomain(t *testing.T) {
	c := Config{Issuer: "http://192.0.2.1:8080"}
	if err := c.checkSignIn(); err != nil {
		t.Fatal(err)
	}
	if p, err := c.openPasskeys(); p != nil || err != nil || slices.Contains(c.Methods, model.MethodPasskey) {
		t.Errorf("%v, %v, %v", p, err, c.Methods)
	}
	c.Methods = []model.Method{model.MethodPasskey}
	if _, err := c.openPasskeys(); !errors.Is(err, credential.ErrNoDomain) {
		t.Errorf("nobody could sign in: %v", err)
	}
}
