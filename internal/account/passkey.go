package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// MaxPasskeys is how many passkeys one person may have.
const MaxPasskeys = 20

const (
	// maxPasskeyName is how long its name may be, in bytes.
	maxPasskeyName = 100
	// maxPasskeyFails is how many refusals of one passkey are written down in an hour.
	maxPasskeyFails = 20
	// ceremonyLife is how long an authenticator may take to answer. People look for
	// a key, or for a phone.
	ceremonyLife = 10 * time.Minute
)

// Errors about passkeys, beside credential.ErrPasskey and ErrPasskeyCopied.
var (
	// ErrPasskeysOff says that there are none here: the issuer has no domain.
	ErrPasskeysOff = errors.New("there are no passkeys at this address")
	// ErrPasskeyStale says that nothing was asked of an authenticator, that it was
	// answered already, or that something else was asked since, or that it took too
	// long.
	ErrPasskeyStale = errors.New("this answer was not waited for")
	// ErrPasskeyUnknown says that nobody here has that passkey, or that they have it
	// no more.
	ErrPasskeyUnknown = errors.New("no such passkey")
	// ErrPasskeyTaken says that somebody has that very passkey already.
	ErrPasskeyTaken = errors.New("the passkey is in use already")
	// ErrPasskeyMany says that somebody has as many as there may be.
	ErrPasskeyMany = fmt.Errorf("there are %d passkeys already", MaxPasskeys)
	// ErrLastMethod says that a person could not sign in any more.
	ErrLastMethod = errors.New("it is the last way to sign in")
)

// PasskeySite is the domain to which passkeys are bound (RP ID); empty: there are
// none here.
func (a *Accounts) PasskeySite() string {
	if a.passkeys == nil {
		return ""
	}
	return a.passkeys.ID()
}

// openPasskeys makes the relying party. Where browsers would bind no passkey, people
// sign in by other ways.
func (c *Config) openPasskeys() (*credential.Passkeys, error) {
	p, err := credential.NewPasskeys(c.Issuer, c.Name)
	if c.Issuer != "" && !errors.Is(err, credential.ErrNoDomain) {
		return p, err
	}
	c.Methods = slices.DeleteFunc(slices.Clone(c.Methods), func(m model.Method) bool { return m == model.MethodPasskey })
	if !slices.ContainsFunc(c.Methods, isFirst) {
		return nil, fmt.Errorf("account: nobody could sign in: %w", credential.ErrNoDomain)
	}
	return nil, nil
}

// What waits under a holder: a new passkey and a proof do not replace each other.
func enrolOf(holder string) string { return "enrol " + holder }
func proofOf(holder string) string { return "proof " + holder }

// AskPasskey asks for a passkey under a holder: for one of somebody who is known, or
// where nobody is, for any that can tell whose it is. What was asked before is
// forgotten. It returns what the browser is told, a
// PublicKeyCredentialRequestOptionsJSON; ErrPasskeysOff; and ErrPasskeyUnknown if
// the person has none.
func (a *Accounts) AskPasskey(ctx context.Context, holder string, of model.UserID) ([]byte, error) {
	if a.passkeys == nil {
		return nil, ErrPasskeysOff
	}
	ask := a.passkeys.First
	if of != "" {
		h, err := a.keyholder(ctx, of)
		if err != nil {
			return nil, err
		}
		if len(h.Passkeys) == 0 {
			return nil, ErrPasskeyUnknown
		}
		ask = func() ([]byte, credential.Ceremony, error) { return a.passkeys.Second(h) }
	}
	options, c, err := ask()
	if err != nil {
		return nil, err
	}
	return options, a.await(ctx, proofOf(holder), c)
}

// PasskeyAnswer is what an authenticator said.
type PasskeyAnswer struct {
	Holder   string
	Answer   []byte // as JSON
	Remember bool   // the longer life is asked for
	Trust    bool   // no second factor shall be asked in this browser for a while
	Address  string // network address
}

// ProvePasskey checks the answer to AskPasskey and notes under its holder who has
// proven themselves. The question is used up by it, whatever the answer is. It
// returns ErrPasskeysOff, ErrPasskeyStale, ErrPasskeyUnknown with the credential in
// an UnknownPasskey, credential.ErrPasskey, credential.ErrPasskeyCopied, ErrLocked,
// and ErrCredentials if it is of somebody else than the first factor.
func (a *Accounts) ProvePasskey(ctx context.Context, p PasskeyAnswer) (err error) {
	ctx, span := trace.Start(ctx, "account.ProvePasskey")
	defer func() {
		a.tried(model.MethodPasskey, err)
		span.End()
	}()
	c, err := a.recall(ctx, proofOf(p.Holder))
	if err != nil {
		return err
	}
	said, err := credential.ParseAssertion(p.Answer)
	if err != nil {
		return err
	}
	k, h, err := a.passkeyOf(ctx, said.Credential)
	if err != nil {
		return err
	}
	use, err := a.passkeys.Verify(c, said, k, h)
	if err != nil {
		return a.passkeyFailed(ctx, p, k, err)
	}
	copied := false
	prove := func(tx *store.Tx) error {
		now, err := tx.Passkey(k.ID)
		if err != nil {
			return err
		}
		// WebAuthn Level 3 §7.2 step 22. It is compared where it is written, so that
		// of two with one counter one gets in.
		if copied = credential.Regressed(now.Counter, use.Counter); copied {
			return nil
		}
		now.Counter, now.BackedUp, now.UsedAt = use.Counter, use.BackedUp, a.unix()
		if err := tx.UsePasskey(now); err != nil {
			return err
		}
		return a.proved(tx, p.Holder, Proven{User: k.UserID, Remember: p.Remember, Trust: p.Trust, Factor: factorOf(k, use)})
	}
	err = a.store.Upkeep(ctx, prove)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return UnknownPasskey{said.Credential}
	case err == nil && copied:
		return a.passkeyFailed(ctx, p, k, credential.ErrPasskeyCopied)
	}
	return err
}

// factorOf is what a proof by a passkey counts as. Nothing attests where its key is:
// that it was used is proven, and one that may be at several devices is not bound to
// the hardware of one.
func factorOf(k model.Passkey, use credential.Use) model.Factor {
	f := model.Factor{Method: model.MethodPasskey, Verified: use.Verified, AMR: []string{"pop"}} // RFC 8176 §2
	if k.Eligible {
		f.AMR = append(f.AMR, "swk")
	}
	f.AMR = append(f.AMR, "user")
	return f
}

// UnknownPasskey is an ErrPasskeyUnknown with what the authenticator calls it, so
// that the browser can be told to offer it no more.
type UnknownPasskey struct{ Credential string }

func (e UnknownPasskey) Error() string        { return ErrPasskeyUnknown.Error() }
func (e UnknownPasskey) Is(target error) bool { return target == ErrPasskeyUnknown }

// passkeyOf finds a passkey and the handle of its person.
func (a *Accounts) passkeyOf(ctx context.Context, called string) (k model.Passkey, handle string, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		if k, err = tx.PasskeyByCredential(called); err != nil {
			return err
		}
		handle, err = tx.Handle(k.UserID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = UnknownPasskey{called}
	}
	return k, handle, err
}

// passkeyFailed writes down that a passkey of somebody was refused. There is nothing
// to guess at a passkey, so nobody has to wait; but nobody fills the log either.
func (a *Accounts) passkeyFailed(ctx context.Context, p PasskeyAnswer, k model.Passkey, cause error) error {
	event := model.Event{
		Actor: stranger(p.Address), Action: "passkey.fail", UserID: k.UserID, Detail: "passkey=" + string(k.ID),
	}
	if errors.Is(cause, credential.ErrPasskeyCopied) {
		event.Action = "passkey.regress"
	}
	var n int64
	err := a.store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Tally(event.Action+" "+string(k.ID), a.unix(), a.unix()+int64(time.Hour/time.Second))
		return err
	})
	if err == nil && n <= maxPasskeyFails {
		err = a.store.Update(ctx, func(tx *store.Tx) error { return tx.Record(event) })
	}
	return errors.Join(cause, err)
}

// AskNewPasskey asks for a new passkey of a person, under a holder. It returns what
// the browser is told, a PublicKeyCredentialCreationOptionsJSON; ErrPasskeysOff;
// ErrPasskeyMany; and ErrNoUser.
func (a *Accounts) AskNewPasskey(ctx context.Context, holder string, of model.UserID) ([]byte, error) {
	if a.passkeys == nil {
		return nil, ErrPasskeysOff
	}
	h, err := a.keyholder(ctx, of)
	if err != nil {
		return nil, err
	}
	if len(h.Passkeys) >= MaxPasskeys {
		return nil, ErrPasskeyMany
	}
	options, c, err := a.passkeys.Enrol(h)
	if err != nil {
		return nil, err
	}
	return options, a.await(ctx, enrolOf(holder), c)
}

// NewPasskey is the answer to AskNewPasskey.
type NewPasskey struct {
	Holder string
	User   model.UserID
	Answer []byte // as JSON
	Name   string // empty: that of the authenticator, where it is known

	Session model.SessionID // in which it is added; empty: none
	Signing bool            // it is added in the sign-in under the holder, which must be theirs
}

// AddPasskey checks the answer to AskNewPasskey and gives the person the passkey. It
// returns ErrPasskeysOff, ErrPasskeyStale, credential.ErrPasskey, ErrPasskeyTaken,
// ErrPasskeyMany, ErrInvalid and ErrNoUser; ErrNoSession if the session is over, and
// ErrFactor if the sign-in is.
func (a *Accounts) AddPasskey(ctx context.Context, actor model.Actor, n NewPasskey) (model.Passkey, error) {
	k, err := a.newPasskey(ctx, n)
	if err != nil {
		return model.Passkey{}, err
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := a.withinAny(tx, n.User, n.Session); err != nil {
			return err
		}
		if n.Signing {
			s, err := a.signInOf(tx, n.Holder)
			if err == nil && s.UserID != n.User {
				err = ErrFactor
			}
			if err != nil {
				return err
			}
		}
		return a.addPasskey(tx, actor, k)
	})
	switch {
	case errors.Is(err, store.ErrConflict):
		err = ErrPasskeyTaken
	case errors.Is(err, store.ErrNotFound):
		err = ErrNoUser
	}
	if err != nil {
		return model.Passkey{}, err
	}
	a.notifyOf(ctx, k.UserID, notice{What: mail.PasskeyAdded, From: actor.Address})
	return k, nil
}

// newPasskey checks the answer to AskNewPasskey. Nothing is stored but that it was
// given.
func (a *Accounts) newPasskey(ctx context.Context, n NewPasskey) (model.Passkey, error) {
	name, err := passkeyName(n.Name)
	if err != nil {
		return model.Passkey{}, err
	}
	c, err := a.recall(ctx, enrolOf(n.Holder))
	if err == nil && c.UserID != n.User {
		err = ErrPasskeyStale
	}
	if err != nil {
		return model.Passkey{}, err
	}
	k, err := a.passkeys.Enrolled(c, n.Answer)
	if err != nil {
		return model.Passkey{}, err
	}
	k.ID, k.Name, k.CreatedAt = model.PasskeyID(model.NewID()), name, a.unix()
	if k.Name == "" {
		k.Name = credential.AuthenticatorName(k.AAGUID)
	}
	return k, nil
}

func (a *Accounts) addPasskey(tx *store.Tx, actor model.Actor, k model.Passkey) error {
	if _, err := tx.User(k.UserID); err != nil {
		return err
	}
	has, err := tx.PasskeysOf(k.UserID)
	if err == nil && len(has) >= MaxPasskeys {
		err = ErrPasskeyMany
	}
	if err != nil {
		return err
	}
	if err := tx.InsertPasskey(k); err != nil {
		return err
	}
	if err := a.tellPasskey(tx, actor, k, "create"); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "passkey.add", UserID: k.UserID, Detail: "passkey=" + string(k.ID)})
}

// tellPasskey tells those who know a person that a passkey has come or gone.
func (a *Accounts) tellPasskey(tx *store.Tx, actor model.Actor, k model.Passkey, change string) error {
	kind := model.CredentialRoaming
	for _, t := range k.Transports {
		if t == "internal" {
			kind = model.CredentialPlatform
		}
	}
	return tx.Tell(a.about(model.EventCredentialChange, k.UserID, model.SignalDetail{
		ChangeType: change, CredentialType: kind, Initiator: initiator(actor, k.UserID),
	}))
}

// RenamePasskey gives a passkey of a person another name. It returns ErrInvalid and
// ErrPasskeyUnknown.
func (a *Accounts) RenamePasskey(ctx context.Context, actor model.Actor, p PasskeyRef, name string) error {
	name, err := passkeyName(name)
	if err == nil && name == "" {
		err = ErrInvalid{"name", Missing}
	}
	if err != nil {
		return err
	}
	return a.changePasskey(ctx, p, func(tx *store.Tx, k model.Passkey) error {
		if err := tx.RenamePasskey(k.ID, name); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "passkey.rename", UserID: k.UserID, Detail: "passkey=" + string(k.ID)})
	})
}

// PasskeyRef names a passkey of a person; it is found nowhere else.
type PasskeyRef struct {
	User model.UserID
	ID   model.PasskeyID
}

// RemovePasskey takes a passkey from a person. Sessions that were begun with it go
// on. It returns ErrPasskeyUnknown; and ErrLastMethod, if the person themselves would
// be left without a way to sign in.
func (a *Accounts) RemovePasskey(ctx context.Context, actor model.Actor, p PasskeyRef) error {
	err := a.changePasskey(ctx, p, func(tx *store.Tx, k model.Passkey) error {
		if initiator(actor, k.UserID) == "user" {
			if err := a.keepMethod(tx, k); err != nil {
				return err
			}
		}
		if err := tx.DeletePasskey(k.ID); err != nil {
			return err
		}
		if err := a.tellPasskey(tx, actor, k, "delete"); err != nil {
			return err
		}
		// What somebody has begun to prove with it leads no further, nor does it count
		// where a browser was remembered for it.
		if err := a.distrust(tx, k.UserID); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "passkey.remove", UserID: k.UserID, Detail: "passkey=" + string(k.ID)})
	})
	if err == nil {
		a.notifyOf(ctx, p.User, notice{What: mail.PasskeyGone, From: actor.Address})
	}
	return err
}

func (a *Accounts) changePasskey(ctx context.Context, p PasskeyRef, change func(*store.Tx, model.Passkey) error) error {
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		k, err := tx.Passkey(p.ID)
		if err == nil && k.UserID != p.User {
			err = ErrPasskeyUnknown
		}
		if err != nil {
			return err
		}
		return change(tx, k)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrPasskeyUnknown
	}
	return err
}

// Passkeys lists the passkeys of a person, the oldest first, and what authenticators
// call that person, which is empty if they have never been asked for one.
func (a *Accounts) Passkeys(ctx context.Context, of model.UserID) (list []model.Passkey, handle string, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		if list, err = tx.PasskeysOf(of); err != nil {
			return err
		}
		if handle, err = tx.Handle(of); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return list, handle, err
}

// keyholder is a person as authenticators see them. Their handle is made when it is
// first asked for, and never again.
func (a *Accounts) keyholder(ctx context.Context, of model.UserID) (credential.Holder, error) {
	fresh := credential.NewHandle()
	var h credential.Holder
	err := a.store.Upkeep(ctx, func(tx *store.Tx) error {
		user, err := tx.User(of)
		if err != nil {
			return err
		}
		h = credential.Holder{UserID: of, Login: user.Login, Name: user.Profile.Name}
		if h.Handle, err = tx.Handle(of); errors.Is(err, store.ErrNotFound) {
			h.Handle, err = fresh, tx.InsertHandle(of, fresh)
		}
		if err != nil {
			return err
		}
		h.Passkeys, err = tx.PasskeysOf(of)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoUser
	}
	return h, err
}

// await keeps what was asked for the one answer.
func (a *Accounts) await(ctx context.Context, holder string, c credential.Ceremony) error {
	content, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return a.store.Upkeep(ctx, func(tx *store.Tx) error {
		return tx.PutCeremony(holder, string(content), a.unix()+int64(ceremonyLife/time.Second))
	})
}

// recall returns what was asked under a holder, once.
func (a *Accounts) recall(ctx context.Context, holder string) (c credential.Ceremony, err error) {
	if a.passkeys == nil {
		return c, ErrPasskeysOff
	}
	var content string
	err = a.store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		content, err = tx.TakeCeremony(holder, a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return c, ErrPasskeyStale
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal([]byte(content), &c)
}
