package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/measure"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Parts are the opened rooms of the house: what the commands that administer
// an installation work with, and what a Server serves.
type Parts struct {
	Config     Config
	Store      *store.Store
	Keys       *keys.Ring
	Audit      *audit.Log
	Mail       *mail.Post
	Accounts   *account.Accounts
	Federation *federation.Federation
	Registrar  *registration.Registrar
	Authority  *oauth.Authority
	Courier    *signal.Courier
	Receiver   *signal.Receiver
	Feed       *signal.Feed
	Limits     *limit.Limits
	Stream     *audit.Stream // nil: the audit log goes nowhere
	Measures   *measure.Set  // nil: nothing is counted
	Tracer     *trace.Tracer // nil: nothing is traced

	stopping atomic.Bool
}

// Open opens the database and everything above it, without listening. It
// creates the database and the keys where there are none.
//
// Errors are one sentence that names the setting and the cure; those of the settings
// alone are a *SettingError, and then nothing was made.
func Open(ctx context.Context, c Config) (_ *Parts, err error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	p := &Parts{Config: c}
	if p.Store, err = store.Open(ctx, c.database()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Store.Close())
		}
	}()
	if err := p.mayServe(ctx); err != nil {
		return nil, err
	}
	if err := p.sameIssuer(ctx); err != nil {
		return nil, err
	}
	if p.Keys, err = p.openKeys(ctx); err != nil {
		return nil, err
	}
	if err := p.openObservation(); err != nil {
		return nil, err
	}
	if p.Audit, err = audit.New(audit.Config{Store: p.Store, Derive: p.Keys.Derive, Now: c.Now, Keep: c.AuditKeep, Sealed: p.Measures.Sealed}); err != nil {
		return nil, err
	}
	if p.Mail, err = p.openMail(); err != nil {
		return nil, err
	}
	if err := p.openAccounts(); err != nil {
		return nil, err
	}
	outgoing := p.outgoing()
	if err := p.openAuthority(outgoing); err != nil {
		return nil, err
	}
	if err := p.openFederation(outgoing); err != nil {
		return nil, err
	}
	if err := p.openSignal(outgoing); err != nil {
		return nil, err
	}
	if err := p.Store.Sound(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// openAccounts makes what knows people and their sessions.
func (p *Parts) openAccounts() (err error) {
	c := p.Config
	p.Accounts, err = account.New(account.Config{
		Store: p.Store, Keys: p.Keys, Now: c.Now, Password: c.Password, Hashes: c.Hashes,
		Idle: c.SessionIdle, Absolute: c.SessionLife, RememberIdle: c.RememberIdle, RememberAbsolute: c.RememberLife,
		TokenLife:      model.MaxAccessLife + model.Leeway,
		PasswordLength: c.PasswordLength, Words: p.words(),
		SignUp: c.SignUp, SignUpLimit: c.SignUpLimit, NoInvites: c.NoInvites,
		Post: p.Mail, Issuer: c.Issuer, Name: c.Name, DeviceMail: c.DeviceMail, Logger: c.Logger,
		Methods: c.SignInMethods, SecondFactor: c.SecondFactor, RememberDevice: c.RememberDevice,
		Tried: p.Measures.SignIn,
	})
	return err
}

// openAuthority makes what knows clients and how much they may ask, and what speaks
// OAuth and OpenID Connect with them.
func (p *Parts) openAuthority(outgoing *http.Client) (err error) {
	c := p.Config
	p.Registrar, err = registration.New(registration.Config{
		Store: p.Store, Keys: p.Keys, Issuer: c.Issuer, Now: c.Now, Logger: c.Logger, Fetch: outgoing, Policy: c.Registration,
	})
	if err != nil {
		return err
	}
	p.Limits, err = limit.New(limit.Config{Store: p.Store, Rates: c.Limits, Now: c.Now, Logger: c.Logger})
	if err != nil {
		return err
	}
	p.Authority, err = oauth.New(oauth.Config{
		Store: p.Store, Keys: p.Keys, Registrar: p.Registrar, Limits: p.Limits, Issuer: c.Issuer, Now: c.Now, Logger: c.Logger, Fetch: outgoing,
		ACRValues: account.ACRs(), Stand: p.stand,
		AccessLife: c.AccessLife, IDLife: c.IDLife, RefreshIdle: c.RefreshIdle, RefreshLife: c.RefreshLife, RefreshRace: c.RefreshRace, Waiting: c.Waiting, OfflineAccess: c.OfflineAccess,
		SignUp: c.SignUp, UILocales: language.Tags(), Issued: p.Measures.Issued,
	})
	return err
}

// openFederation makes what knows of identity providers. Those of which an operator has
// said that they stand in our own network are reached wherever they are.
func (p *Parts) openFederation(outgoing *http.Client) (err error) {
	within := fetch.Config{Allow: everywhere, Roots: p.Config.OutgoingRoots}
	p.Federation, err = federation.New(federation.Config{
		Store: p.Store, Keys: p.Keys, Accounts: p.Accounts, Issuer: p.Config.Issuer, Now: p.Config.Now, Logger: p.Config.Logger,
		Client: outgoing, Dial: fetch.Dialer(p.reach(0)), Internal: fetch.New(within), InternalDial: fetch.Dialer(within),
	})
	return err
}

// openMail makes what sends letters.
func (p *Parts) openMail() (*mail.Post, error) {
	c := p.Config.Mail
	c.Name, c.Issuer, c.Language, c.Roots = p.Config.Name, p.Config.Issuer, p.Config.Language, p.Config.OutgoingRoots
	c.Logo = p.Config.Look.Logo
	c.Logger, c.Now = p.Config.Logger, p.Config.Now
	c.Outcome = p.Measures.Letter
	c.Lost = func(l mail.Letter, err error) { p.Accounts.LetterLost(context.Background(), l, err) }
	if p.Config.Mailbox {
		if !registration.Loopback(c.Issuer) {
			return nil, fmt.Errorf("the mailbox shows every letter to everybody, so it is for development on this machine only, and the issuer is %s: leave --mailbox out", c.Issuer)
		}
		c.Box = &mail.Box{}
	}
	return mail.New(c)
}

// stand tells the protocol what account says of a session.
func (p *Parts) stand(ctx context.Context, s model.Session, methods []string) (oauth.Standing, error) {
	st, err := p.Accounts.Standing(ctx, s, methods)
	return oauth.Standing(st), err
}

// openSignal makes what tells others and what hears them. What they say is
// decided upon by account.
func (p *Parts) openSignal(outgoing *http.Client) (err error) {
	c := signal.Config{
		Store: p.Store, Keys: p.Keys, Issuer: p.Config.Issuer, Fetch: outgoing, Subject: p.Authority.Subject, Now: p.Config.Now, Logger: p.Config.Logger,
		Poll: p.outgoingWithin(pollTimeout), Acts: account.Acts(), Delivered: p.Measures.Delivered,
		Heed: func(ctx context.Context, r signal.Received) error {
			h, err := p.Accounts.Heed(ctx, account.Report{
				Naming: account.Naming{Issuer: p.Config.Issuer, Transmitter: r.Transmitter, Match: r.Transmitter.Match},
				ID:     r.ID, Type: r.Type, Subject: r.Subject, At: r.At, Reason: r.Reason, KeepUntil: r.KeepUntil,
			})
			if err == nil {
				p.Config.Logger.InfoContext(ctx, "security event received", "transmitter", r.Transmitter.ID, "type", r.Type, "event", r.ID,
					"act", h.Act, "user", h.UserID, "repeated", h.Repeated)
			}
			return err
		},
	}
	if p.Courier, err = signal.New(c); err != nil {
		return err
	}
	if p.Receiver, err = signal.NewReceiver(c); err != nil {
		return err
	}
	p.Feed, err = signal.NewFeed(signal.FeedConfig{Store: p.Store, Now: p.Config.Now, Logger: p.Config.Logger})
	return err
}

// pollTimeout bounds a poll of a transmitter, which lets us wait.
const pollTimeout = 70 * time.Second

// outgoing is the client for addresses that clients name.
func (p *Parts) outgoing() *http.Client { return p.outgoingWithin(0) }

func (p *Parts) outgoingWithin(timeout time.Duration) *http.Client {
	return fetch.New(p.reach(timeout))
}

// reach is what may be reached at addresses that somebody else has named.
func (p *Parts) reach(timeout time.Duration) fetch.Config {
	allow := p.Config.OutgoingAllow
	if registration.Loopback(p.Config.Issuer) {
		allow = append(slices.Clone(allow), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return fetch.Config{Allow: allow, Roots: p.Config.OutgoingRoots, Timeout: timeout}
}

func (p *Parts) openKeys(ctx context.Context) (*keys.Ring, error) {
	exist, err := keys.Exist(ctx, p.Store)
	if err != nil {
		return nil, err
	}
	from := p.Config.Master()
	from.Create = !exist && !from.Given
	master, err := keys.LoadMaster(from)
	if err != nil {
		return nil, err
	}
	return keys.Open(ctx, keys.Config{
		Store:  p.Store,
		Master: master,
		Now:    p.Config.Now,
		Logger: p.Config.Logger,
		Rotate: p.Config.KeyRotation,
		Ahead:  p.Config.KeyAhead,

		Generate: p.Config.GenerateKey,
	})
}

// sealTime is how long the last entries of the audit log may take to be sealed.
const sealTime = 5 * time.Second

// Close seals what is in the audit log and closes the database.
func (p *Parts) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), sealTime)
	defer cancel()
	defer p.closeTracer()
	if _, err := p.Audit.Seal(ctx); err != nil {
		// What the command or the server was for is done; ostiary audit verify tells.
		p.Config.Logger.WarnContext(ctx, "the audit log was not sealed", "error", err)
	}
	return p.Store.Close()
}

const issuerSetting = "issuer"

// ErrEmpty says that no server was set up on the database.
var ErrEmpty = errors.New("the database is empty: start the server once with ostiary serve")

// sameIssuer holds the configured issuer to the one that the database was set
// up for: every token ever issued and every client's configuration names it,
// so that changing it by accident would sign everybody out for a riddle.
func (p *Parts) sameIssuer(ctx context.Context) error {
	var known string
	// As a rule it is there and stays, and nobody waits until something may be written.
	err := p.Store.Ask(ctx, func(tx *store.Tx) (err error) { known, err = tx.Setting(issuerSetting); return err })
	if errors.Is(err, store.ErrNotFound) || err == nil && p.Config.ChangeIssuer {
		err = p.Store.Upkeep(ctx, p.settleIssuer(&known))
	}
	if err != nil {
		return err
	}
	if p.Config.Issuer != "" && p.Config.Issuer != known {
		return &SettingError{fmt.Errorf("the database belongs to the issuer %s, but --issuer says %s: set --issuer to the former, or start once with --change-issuer to move on purpose", known, p.Config.Issuer)}
	}
	p.Config.Issuer = known
	return nil
}

// settleIssuer writes the issuer into a database that has none, or another one.
func (p *Parts) settleIssuer(to *string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		known, err := tx.Setting(issuerSetting)
		switch {
		case errors.Is(err, store.ErrNotFound) && p.Config.MustExist:
			return ErrEmpty
		case errors.Is(err, store.ErrNotFound), err == nil && p.Config.ChangeIssuer && p.Config.Issuer != "":
			*to = cmp.Or(p.Config.Issuer, defaultIssuer)
			return tx.PutSetting(issuerSetting, *to)
		}
		*to = known
		return err
	}
}

// words are those of this installation that nobody may make a password of.
func (p *Parts) words() []string {
	words := []string{p.Config.Name}
	if u, err := url.Parse(p.Config.Issuer); err == nil {
		words = append(words, u.Hostname())
	}
	return words
}
