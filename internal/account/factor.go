package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// maxApps is how many apps a person can have, and maxAppName how long the name of
// one may be, in bytes.
const (
	maxApps    = 5
	maxAppName = 100
)

// maxFactorTries is how many wrong codes one sign-in has: after them the first
// factor is asked for again.
const maxFactorTries = 10

// pendingTOTP is where a sign-in keeps the secret of an app that is being set up.
const pendingTOTP = "totp"

// Code proves a second factor that is typed: the code of an app, or a recovery code.
// Each is good once. It returns ErrCredentials; ErrTooSoon, whatever the code is; and
// ErrFactor where no such code would do.
func (a *Accounts) Code(ctx context.Context, holder string, w Wanted, c TypedCode) (err error) {
	p, err := a.Progress(ctx, holder, w)
	if err != nil {
		return err
	}
	if p.Missing != Second || !slices.Contains(p.Methods, c.Method) {
		return ErrFactor
	}
	defer func() { a.tried(c.Method, err) }()
	g := a.newGuess("factor", p.User, Attempt{User: p.User.ID, Address: c.Address, Devices: w.Devices})
	if err := a.admitGuess(ctx, &g); err != nil {
		return err
	}
	use, err := a.usable(ctx, p.User.ID, c)
	if err == nil {
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			if err := use(tx, themselves(p.User.ID, c.Address)); err != nil {
				return err
			}
			return a.proved(tx, holder, Proven{User: p.User.ID, Factor: model.Factor{Method: c.Method}, Trust: c.Trust && a.rememberDevice > 0})
		})
	}
	if errors.Is(err, credential.ErrWrong) || errors.Is(err, store.ErrNotFound) {
		if err := a.countTry(ctx, holder, w); err != nil {
			return err
		}
		return a.failed(ctx, g, ErrCredentials)
	}
	if err != nil {
		return errors.Join(err, a.takeBack(ctx, g, false))
	}
	if c.Method == model.MethodRecovery {
		a.notifyOf(ctx, p.User.ID, notice{What: mail.RecoveryUsed, From: c.Address})
	}
	return a.takeBack(ctx, g, true)
}

// TypedCode is a code that somebody sends as a second factor.
type TypedCode struct {
	Method  model.Method
	Text    string
	Trust   bool   // no code shall be asked in this browser for a while
	Address string // network address
}

// usable finds out whether a code is one of a person's, and returns what uses it up:
// which fails with store.ErrNotFound if somebody else was faster.
func (a *Accounts) usable(ctx context.Context, id model.UserID, c TypedCode) (func(*store.Tx, model.Actor) error, error) {
	if c.Method == model.MethodRecovery {
		code, err := credential.RecoveryCode(c.Text)
		return func(tx *store.Tx, actor model.Actor) error {
			if err := tx.UseRecoveryCode(id, code.Hash()); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: actor, Action: "recovery_code.use", UserID: id})
		}, err
	}
	apps, err := a.apps(ctx, id)
	if err != nil {
		return nil, err
	}
	found := credential.ErrWrong
	var use func(*store.Tx, model.Actor) error
	for _, app := range apps {
		secret, err := a.keys.Unseal(keys.PurposeTOTP, app.ID, app.Sealed)
		if err != nil {
			return nil, err
		}
		step, err := credential.CheckTOTP(model.Secret(secret), c.Text, a.now(), app.Step)
		if err != nil {
			if !errors.Is(err, credential.ErrWrong) {
				return nil, err
			}
			continue
		}
		found = nil
		use = func(tx *store.Tx, actor model.Actor) error {
			if err := tx.UseTOTP(app.ID, step, a.unix()); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: actor, Action: "totp.use", UserID: id, Detail: "app=" + app.ID})
		}
	}
	return use, found
}

// countTry counts a wrong code against the sign-in that it was sent for.
func (a *Accounts) countTry(ctx context.Context, holder string, w Wanted) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error {
		s, err := a.signInOf(tx, holder)
		if err != nil {
			return err
		}
		if s.Tries++; s.Tries >= maxFactorTries && w.Session == nil {
			return tx.DeleteSignIn(holder)
		}
		return tx.PutSignIn(s)
	})
}

func (a *Accounts) apps(ctx context.Context, id model.UserID) (list []model.TOTP, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.TOTPs(id)
		return err
	})
	return list, err
}

// OwnFactors is what a person has set up beside a password.
type OwnFactors struct {
	Apps  []model.TOTP
	Codes int64 // how many recovery codes are left
}

// Factors returns what a person has set up.
func (a *Accounts) Factors(ctx context.Context, id model.UserID) (f OwnFactors, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		if f.Apps, err = tx.TOTPs(id); err != nil {
			return err
		}
		f.Codes, err = tx.CountRecoveryCodes(id)
		return err
	})
	for i := range f.Apps {
		f.Apps[i].Sealed = ""
	}
	return f, err
}

// OfferTOTP returns the secret of an app that a person is about to set up under a
// holder: the same one until it is confirmed. It returns ErrNoUser and ErrTooMany.
func (a *Accounts) OfferTOTP(ctx context.Context, holder string, id model.UserID) (model.Secret, error) {
	fresh := credential.NewTOTP()
	drawn, err := a.keys.Seal(keys.PurposeTOTP, string(id), []byte(fresh.Reveal()))
	if err != nil {
		return "", err
	}
	var sealed string
	err = a.store.Upkeep(ctx, func(tx *store.Tx) error {
		apps, err := tx.TOTPs(id)
		if err != nil {
			return err
		}
		if len(apps) >= maxApps {
			return ErrTooMany
		}
		s, err := a.signInOf(tx, holder)
		if err != nil {
			return err
		}
		if s.UserID != "" && s.UserID != id {
			return ErrNoUser // the sign-in under way is somebody else's
		}
		if sealed = s.Waits[pendingTOTP]; sealed != "" {
			return nil
		}
		sealed = drawn
		if s.Waits == nil {
			s.Waits = map[string]string{}
		}
		s.UserID, s.Waits[pendingTOTP] = id, sealed
		s.ExpiresAt = max(s.ExpiresAt, a.unix()+signInLife)
		return tx.PutSignIn(s)
	})
	if err != nil {
		return "", err
	}
	secret, err := a.keys.Unseal(keys.PurposeTOTP, string(id), sealed)
	return model.Secret(secret), err
}

// NewTOTP is an app that a person has set up, with its first code.
type NewTOTP struct {
	User    model.UserID
	Name    string
	Code    string
	Signing bool // it counts as a factor of the sign-in under the holder, too

	Session model.SessionID // in which it is set up; empty: none
}

// ConfirmTOTP adds the app whose secret was offered under a holder, once it has made
// a right code. Who has no recovery codes gets them: they are shown now or never. It
// returns ErrCredentials for a wrong code, ErrInvalid, ErrNoUser, ErrTooMany, ErrFactor
// if nothing was offered, and ErrNoSession if the session is over.
func (a *Accounts) ConfirmTOTP(ctx context.Context, actor model.Actor, holder string, n NewTOTP) ([]model.Secret, error) {
	name, err := appName(n.Name)
	if err != nil {
		return nil, err
	}
	secret, err := a.offered(ctx, holder, n.User)
	if err != nil {
		return nil, err
	}
	step, err := credential.CheckTOTP(secret, n.Code, a.now(), 0)
	if errors.Is(err, credential.ErrWrong) {
		return nil, ErrCredentials
	}
	if err != nil {
		return nil, err
	}
	app := model.TOTP{ID: model.NewID(), UserID: n.User, Name: name, Step: step, CreatedAt: a.unix()}
	if app.Sealed, err = a.keys.Seal(keys.PurposeTOTP, app.ID, []byte(secret.Reveal())); err != nil {
		return nil, err
	}
	codes := credential.NewRecoveryCodes()
	given := false
	err = a.update(ctx, func(tx *store.Tx) (err error) {
		if err := a.withinAny(tx, n.User, n.Session); err != nil {
			return err
		}
		given, err = a.addTOTP(tx, actor, holder, app, codes)
		if err != nil || !n.Signing {
			return err
		}
		return a.proved(tx, holder, Proven{User: n.User, Factor: model.Factor{Method: model.MethodTOTP}})
	})
	if err != nil {
		return nil, err
	}
	a.notifyOf(ctx, n.User, notice{What: mail.TOTPAdded, From: actor.Address})
	if !given {
		return nil, nil
	}
	return codes, nil
}

func (a *Accounts) addTOTP(tx *store.Tx, actor model.Actor, holder string, app model.TOTP, codes []model.Secret) (given bool, err error) {
	user, err := tx.User(app.UserID)
	if err != nil {
		return false, err
	}
	s, err := a.signInOf(tx, holder)
	if err != nil {
		return false, err
	}
	if s.UserID != user.ID || s.Waits[pendingTOTP] == "" {
		return false, ErrFactor // it was confirmed meanwhile
	}
	apps, err := tx.TOTPs(user.ID)
	if err != nil {
		return false, err
	}
	if len(apps) >= maxApps {
		return false, ErrTooMany
	}
	delete(s.Waits, pendingTOTP)
	if err := tx.PutSignIn(s); err != nil {
		return false, err
	}
	if err := tx.InsertTOTP(app); err != nil {
		return false, err
	}
	if err := tx.Record(model.Event{Actor: actor, Action: "totp.add", UserID: user.ID, Detail: "app=" + app.ID}); err != nil {
		return false, err
	}
	if err := a.tellFactor(tx, actor, user.ID, "create"); err != nil {
		return false, err
	}
	left, err := tx.CountRecoveryCodes(user.ID)
	if err != nil || left > 0 {
		return false, err
	}
	return true, a.giveCodes(tx, actor, user.ID, codes)
}

func (a *Accounts) giveCodes(tx *store.Tx, actor model.Actor, id model.UserID, codes []model.Secret) error {
	var hashes []string
	for _, code := range codes {
		plain, err := credential.RecoveryCode(code.Reveal())
		if err != nil {
			return err
		}
		hashes = append(hashes, plain.Hash())
	}
	if err := tx.PutRecoveryCodes(id, hashes); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "recovery_code.create", UserID: id})
}

// offered returns the secret that was offered under a holder.
func (a *Accounts) offered(ctx context.Context, holder string, id model.UserID) (model.Secret, error) {
	sealed := ""
	err := a.store.View(ctx, func(tx *store.Tx) error {
		s, err := a.signInOf(tx, holder)
		if err == nil && s.UserID == id {
			sealed = s.Waits[pendingTOTP]
		}
		return err
	})
	if err == nil && sealed == "" {
		err = ErrFactor
	}
	if err != nil {
		return "", err
	}
	secret, err := a.keys.Unseal(keys.PurposeTOTP, string(id), sealed)
	return model.Secret(secret), err
}

// RenameTOTP gives an app another name. It returns ErrInvalid, and ErrNoFactor.
func (a *Accounts) RenameTOTP(ctx context.Context, actor model.Actor, user model.UserID, id, name string) error {
	name, err := appName(name)
	if err != nil {
		return err
	}
	return a.changeFactor(ctx, func(tx *store.Tx) error {
		if err := tx.RenameTOTP(user, id, name); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "totp.rename", UserID: user, Detail: "app=" + id})
	})
}

// RemoveTOTP removes an app; with the last one go the recovery codes, which stand
// for it. It returns ErrNoFactor.
func (a *Accounts) RemoveTOTP(ctx context.Context, actor model.Actor, user model.UserID, id string) error {
	err := a.changeFactor(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteTOTP(user, id); err != nil {
			return err
		}
		left, err := tx.TOTPs(user)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			if err := tx.PutRecoveryCodes(user, nil); err != nil {
				return err
			}
		}
		if err := a.distrust(tx, user); err != nil {
			return err
		}
		if err := a.tellFactor(tx, actor, user, "delete"); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "totp.remove", UserID: user, Detail: "app=" + id})
	})
	if err == nil {
		a.notifyOf(ctx, user, notice{What: mail.TOTPGone, From: actor.Address})
	}
	return err
}

// NewRecoveryCodes gives a person new codes in place of the old ones: they are shown
// now or never. session is the one in which it is done; empty: none. It returns
// ErrNoFactor where there is no app for which they stand, and ErrNoSession.
func (a *Accounts) NewRecoveryCodes(ctx context.Context, actor model.Actor, user model.UserID, session model.SessionID) ([]model.Secret, error) {
	codes := credential.NewRecoveryCodes()
	err := a.changeFactor(ctx, func(tx *store.Tx) error {
		if err := a.withinAny(tx, user, session); err != nil {
			return err
		}
		n, err := tx.CountFactors(user)
		if err == nil && n.Apps == 0 {
			err = ErrNoFactor
		}
		if err != nil {
			return err
		}
		return a.giveCodes(tx, actor, user, codes)
	})
	if err != nil {
		return nil, err
	}
	a.notifyOf(ctx, user, notice{What: mail.RecoveryCodes, From: actor.Address})
	return codes, nil
}

// ResetFactors takes away all that somebody who has lost it could be asked for beside
// their password: apps, recovery codes and passkeys. The next sign-in asks for the
// first factor alone, or to set up another. It ends their sessions. It returns
// ErrNoUser.
func (a *Accounts) ResetFactors(ctx context.Context, actor model.Actor, id model.UserID) error {
	var had store.FactorCount
	err := a.update(ctx, func(tx *store.Tx) (err error) {
		if _, err := tx.User(id); err != nil { // first: see store.Ending
			return err
		}
		if had, err = tx.CountFactors(id); err != nil {
			return err
		}
		if err := a.dropFactors(tx, actor, id); err != nil {
			return err
		}
		if err := a.distrust(tx, id); err != nil {
			return err
		}
		if err := tx.EndUser(id, a.ending(model.CauseCredentialChange)); err != nil {
			return err
		}
		detail := fmt.Sprintf("apps=%d recovery_codes=%d passkeys=%d", had.Apps, had.Codes, had.Passkeys)
		return tx.Record(model.Event{Actor: actor, Action: "user.reset_factors", UserID: id, Detail: detail})
	})
	if err != nil {
		return err
	}
	// They are told of what they had.
	if had.Apps > 0 {
		a.notifyOf(ctx, id, notice{What: mail.TOTPGone, From: actor.Address})
	}
	if had.Passkeys > 0 {
		a.notifyOf(ctx, id, notice{What: mail.PasskeyGone, From: actor.Address})
	}
	return nil
}

// dropFactors removes the apps, codes and passkeys of a person, and tells those who
// know them.
func (a *Accounts) dropFactors(tx *store.Tx, actor model.Actor, id model.UserID) error {
	apps, err := tx.TOTPs(id)
	if err != nil {
		return err
	}
	for _, app := range apps {
		if err := tx.DeleteTOTP(id, app.ID); err != nil {
			return err
		}
	}
	if err := tx.PutRecoveryCodes(id, nil); err != nil {
		return err
	}
	if len(apps) > 0 {
		if err := a.tellFactor(tx, actor, id, "delete"); err != nil {
			return err
		}
	}
	passkeys, err := tx.PasskeysOf(id)
	if err != nil {
		return err
	}
	for _, k := range passkeys {
		if err := tx.DeletePasskey(k.ID); err != nil {
			return err
		}
		if err := a.tellPasskey(tx, actor, k, "delete"); err != nil {
			return err
		}
	}
	return nil
}

func (a *Accounts) changeFactor(ctx context.Context, fn func(*store.Tx) error) error {
	err := a.store.Update(ctx, fn)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoFactor
	}
	return err
}

// Offer is the secret of an app, in each form in which apps take it.
type Offer struct {
	Text    string       // in groups, to be typed
	Address model.Secret // for apps on the same device
	Picture credential.QR
}

// NewOffer draws the secret of an app, under the names by which the app will show it.
func NewOffer(secret model.Secret, issuer, login string) (Offer, error) {
	address := credential.TOTPAddress(secret, issuer, login)
	picture, err := credential.NewQR(address)
	return Offer{credential.Spaced(secret), address, picture}, err
}
