package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// How long letters can be answered, and how often a code can be tried.
const (
	ConfirmationLife = 30 * time.Minute // of an address, and of recovery
	CodeLife         = 10 * time.Minute // of a code to sign in
	InvitationLife   = 7 * 24 * time.Hour
	UndoLife         = 7 * 24 * time.Hour
	provenLife       = 15 * time.Minute // for what follows an answer
	maxCodeTries     = 5
	codeDigits       = 8
)

// linkPrefix lets secret scanners find a leaked link.
const linkPrefix = "ost_li_"

// Errors about letters.
var (
	// ErrMailOff says that the server sends no letters.
	ErrMailOff = errors.New("the server sends no mail")
	// ErrLetterLimit says that a network has asked for too many letters lately.
	ErrLetterLimit = errors.New("too many letters were asked for")
	// ErrCode says that a code is not the right one; it may be tried again.
	ErrCode = errors.New("the code is wrong")
	// ErrConfirmation says that nothing waits for an answer: it was given, took too
	// long, was tried too often, or never was.
	ErrConfirmation = errors.New("the code or the link is not valid")
	// ErrElsewhereAsked says that a link works only in the browser that asked for it.
	ErrElsewhereAsked = errors.New("the link belongs to another browser")
)

// Asker is who asks for a letter, at a page.
type Asker struct {
	Browser  model.Secret // what this browser alone holds: without it no code is good
	Address  string       // of the network
	Language string       // of the page
	Holder   string       // ID of the request of a sign-in at which it is asked for; empty: none

	Session model.SessionID // in which somebody asks who is signed in; empty: none
}

// Answer is what somebody has of a letter: its code, with the ID of what waits for
// it, or its link.
type Answer struct {
	ID, Code string
	Link     model.Secret
	Browser  model.Secret
	Address  string       // of the network
	User     model.UserID // whose it must be; empty: whoever's it is
}

// draftConfirmation makes a confirmation and what the letter says of it. Nothing is
// stored.
func (a *Accounts) draftConfirmation(purpose string, by Asker, life time.Duration) (model.Confirmation, mail.Letter) {
	now, link := a.unix(), model.NewSecret(linkPrefix)
	c := model.Confirmation{
		ID: model.NewID(), Purpose: purpose, Holder: by.Holder, LinkHash: link.Hash(),
		CreatedAt: now, ExpiresAt: now + int64(life/time.Second),
	}
	l := mail.Letter{Link: a.linkTo(link), Language: by.Language, Life: int64(life / time.Second), Until: c.ExpiresAt}
	if by.Browser != "" {
		l.Code, c.BrowserHash = newCode(), by.Browser.Hash()
		c.CodeHash = codeHash(by.Browser, c.ID, l.Code)
	}
	return c, l
}

// newCode returns codeDigits random digits.
func newCode() string {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(codeDigits), nil))
	if err != nil {
		panic(err) // never: crypto/rand aborts the program instead
	}
	return fmt.Sprintf("%0*d", codeDigits, n)
}

// codeHash is what is stored of a code. Its few digits could be found from a hash of
// them alone; the secret of the browser is not in the database.
func codeHash(browser model.Secret, id, code string) string {
	return model.Secret(browser.Reveal() + " " + id + " " + code).Hash()
}

// answered finds the confirmation of an answer for a purpose. It uses nothing up but
// a try, and returns ErrCode, ErrConfirmation and ErrElsewhereAsked.
func (a *Accounts) answered(ctx context.Context, purpose string, by Answer) (model.Confirmation, error) {
	if by.Link != "" {
		c, err := a.linked(ctx, by.Link)
		if err == nil && c.Purpose != purpose {
			err = ErrConfirmation
		}
		if err == nil && !at(c, by.Browser) {
			err = ErrElsewhereAsked
		}
		if err != nil {
			return model.Confirmation{}, err
		}
		return c, nil
	}
	var c model.Confirmation
	err := a.store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Confirmation(by.ID, a.unix()); err != nil {
			return err
		}
		if c.Purpose != purpose || !at(c, by.Browser) {
			return store.ErrNotFound
		}
		c, err = tx.TryConfirmation(by.ID, maxCodeTries, a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return model.Confirmation{}, ErrConfirmation
	}
	if err != nil {
		return model.Confirmation{}, err
	}
	hash := codeHash(by.Browser, c.ID, typedCode(by.Code))
	if c.CodeHash != "" && subtle.ConstantTimeCompare([]byte(hash), []byte(c.CodeHash)) == 1 {
		return c, nil
	}
	if purpose == model.ConfirmSignIn {
		a.Tried(model.MethodMail, Refused)
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Record(model.Event{Actor: stranger(by.Address), Action: "mail_code.fail", UserID: c.UserID, Detail: "purpose=" + c.Purpose})
	})
	return model.Confirmation{}, errors.Join(ErrCode, err)
}

// proofs are the events of letters that are answered before what follows is done.
var proofs = map[string]string{model.ConfirmSignUp: "sign_up.prove", model.ConfirmRecover: "recovery.prove", model.ConfirmSignIn: "mail_code.prove"}

// Confirm takes the answer to a letter of which something follows in the same browser:
// a password, an account, a sign-in. Neither code nor link is good again. It returns
// what then waits for that; or ErrCode, ErrConfirmation and ErrElsewhereAsked.
func (a *Accounts) Confirm(ctx context.Context, purpose string, by Answer) (model.Confirmation, error) {
	action, ok := proofs[purpose]
	if !ok {
		return model.Confirmation{}, ErrConfirmation
	}
	c, err := a.answered(ctx, purpose, by)
	if err != nil {
		return model.Confirmation{}, err
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		now := a.unix()
		if err := tx.ProveConfirmation(c.ID, now, now+int64(provenLife/time.Second)); err != nil {
			return err
		}
		actor := themselves(c.UserID, by.Address)
		if c.UserID == "" {
			actor = stranger(by.Address)
		}
		return tx.Record(model.Event{Actor: actor, Action: action, UserID: c.UserID})
	})
	return c, spent(err)
}

// at reports whether a browser is the one that a confirmation belongs to.
func at(c model.Confirmation, browser model.Secret) bool {
	return c.BrowserHash == "" || browser != "" && len(browser) <= maxCookie && browser.Matches(c.BrowserHash)
}

// typedCode takes the spaces out of a code, and bounds it.
func typedCode(s string) string {
	if len(s) > 64 {
		return ""
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "-", " ")), "")
}

// linked finds the confirmation of a link, or ErrConfirmation.
func (a *Accounts) linked(ctx context.Context, link model.Secret) (c model.Confirmation, err error) {
	if link == "" || len(link) > maxCookie {
		return c, ErrConfirmation
	}
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.ConfirmationByLink(link.Hash(), a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrConfirmation
	}
	return c, err
}

// Waiting returns what waits for the code of a letter, or for what follows it, in a
// browser. It returns ErrConfirmation.
func (a *Accounts) Waiting(ctx context.Context, purpose, id string, browser model.Secret) (c model.Confirmation, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.Confirmation(id, a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.Purpose != purpose || !at(c, browser)) {
		return model.Confirmation{}, ErrConfirmation
	}
	return c, err
}

// WaitingAt is Waiting for the one that belongs to the request of a sign-in.
func (a *Accounts) WaitingAt(ctx context.Context, purpose, holder string, browser model.Secret) (c model.Confirmation, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.ConfirmationOf(holder, a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.Purpose != purpose || !at(c, browser)) {
		return model.Confirmation{}, ErrConfirmation
	}
	return c, err
}

// Linked is what a link leads to, for a page that tells of it. Looking uses nothing
// up: programs that scan mail look at links.
type Linked struct {
	model.Confirmation
	User model.User // zero: nobody's, or not to be told
	Here bool       // this is the browser that it works in
}

// Linked looks at a link. It returns ErrConfirmation.
func (a *Accounts) Linked(ctx context.Context, link, browser model.Secret) (Linked, error) {
	c, err := a.linked(ctx, link)
	if err != nil {
		return Linked{}, err
	}
	l := Linked{Confirmation: c, Here: at(c, browser)}
	if c.UserID != "" && l.Here {
		if l.User, err = a.User(ctx, c.UserID); errors.Is(err, ErrNoUser) {
			err = ErrConfirmation
		}
	}
	return l, err
}

// spent gives a confirmation that is used up meanwhile its error.
func spent(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, ErrNoUser) {
		return ErrConfirmation
	}
	return err
}
