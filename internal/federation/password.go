package federation

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

// What is typed for a directory may be long, in bytes.
const (
	maxLogin    = 256
	maxPassword = 1024
)

// Typing is somebody who types login and password of an account in a directory.
type Typing struct {
	Upstream model.UpstreamID
	Allowed  []string // the providers that the client takes; nil: all
	Holder   string
	// Attempt has what was typed, and where. Too many wrong passwords are slowed down
	// as those of our own are.
	Attempt account.Attempt
	Connect model.SessionID // as in Departing
}

// Password compares a password with a directory's, and says what comes of it. It
// returns account.ErrCredentials, account.ErrTooSoon, account.ErrNoSession, and a
// Refusal.
func (f *Federation) Password(ctx context.Context, t Typing) (_ Outcome, err error) {
	if t.Connect == "" {
		defer func() { f.tried(err) }()
	}
	e, err := f.find(ctx, t.Upstream)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Upstream: e.choice(), Holder: t.Holder, Connecting: t.Connect != ""}
	directory, ok := e.connector.(upstream.Directory)
	if !ok || t.Connect == "" && !allowed(t.Allowed, e.ID) {
		return out, refuse(Unknown, quoted(string(t.Upstream))+" is no directory that may be used here")
	}
	c := coming{entry: e, holder: t.Holder, address: t.Attempt.Address, remember: t.Attempt.Remember, session: t.Connect}
	if t.Connect != "" {
		s, _, err := f.Accounts.Session(ctx, t.Connect)
		if err != nil {
			return out, err
		}
		c.user = s.UserID
	}
	// An empty password would be no password to a directory, and right (RFC 4513 §5.1.2).
	if login, password := t.Attempt.Login, t.Attempt.Password; login == "" || len(login) > maxLogin || password == "" || len(password) > maxPassword {
		return out, account.ErrCredentials
	}
	guess := account.Guessed{Where: string(e.ID), Login: t.Attempt.Login}
	err = f.Accounts.Guess(ctx, guess, t.Attempt, func() (err error) {
		c.person, err = f.compare(ctx, e, directory, t.Attempt)
		return err
	})
	if err == nil {
		err = checkPerson(c.person)
	}
	if err != nil {
		return out, err
	}
	return f.settle(ctx, c, out)
}

func (f *Federation) compare(ctx context.Context, e *entry, d upstream.Directory, t account.Attempt) (upstream.Person, error) {
	release, err := f.call(e)
	if err != nil {
		return upstream.Person{}, err
	}
	defer release()
	if err := f.admit(ctx, e); err != nil {
		return upstream.Person{}, err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	p, err := d.Password(within, t.Login, t.Password)
	if errors.Is(err, upstream.ErrWrongPassword) {
		f.fared(ctx, e, nil)
		return upstream.Person{}, account.ErrCredentials
	}
	if err != nil {
		r := refusal(err)
		f.fared(ctx, e, r)
		return upstream.Person{}, r
	}
	f.fared(ctx, e, nil)
	return p, nil
}
