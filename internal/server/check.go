package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/certificate"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
)

// SettingError is a mistake in the settings, which is not cured by trying again.
type SettingError struct{ err error }

func (e *SettingError) Error() string { return e.err.Error() }

func (e *SettingError) Unwrap() error { return e.err }

// check holds the settings against each other, and returns a *SettingError. That comes
// before anything is made: a database keeps the issuer of its first start, also of one
// that fails.
func (c Config) check() error {
	for _, check := range []func() error{
		c.checkIssuer,
		c.checkLanguage,
		c.Registration.Check,
		c.accounts().Check,
		c.authority().Check,
		keys.Config{Rotate: c.KeyRotation, Ahead: c.KeyAhead}.Check,
		audit.Config{Keep: c.AuditKeep}.Check,
		c.stream().Check,
		c.Trace.Check,
		c.checkMetrics,
		c.checkTLS,
	} {
		if err := check(); err != nil {
			return &SettingError{err}
		}
	}
	return nil
}

// checkIssuer does nothing where the database is to say which issuer it is.
func (c Config) checkIssuer() error {
	if c.Issuer == "" {
		return nil
	}
	if err := oauth.CheckIssuer(c.Issuer); err != nil {
		return fmt.Errorf("the issuer %w", err)
	}
	if c.Mailbox && !registration.Loopback(c.Issuer) {
		return fmt.Errorf("the mailbox shows every letter to everybody, so it is for development on this machine only, and the issuer is %s: leave --mailbox out", c.Issuer)
	}
	return nil
}

func (c Config) checkLanguage() error {
	if !slices.Contains(language.Tags(), c.Language) {
		return fmt.Errorf("there are no pages in the language %q: set --language to one of %s", c.Language, strings.Join(language.Tags(), ", "))
	}
	return nil
}

func (c Config) checkMetrics() error {
	if c.MetricsListen == "" || c.MetricsListener != nil {
		return nil
	}
	return checkMetricsListen(c.MetricsListen, c.Listen)
}

// checkTLS is for a server: a command speaks with nobody.
func (c Config) checkTLS() error {
	t := c.TLS
	switch {
	case !c.serving:
		return nil
	case !t.on() && c.plain():
		return errors.New("the plain listener has nothing beside it that speaks TLS: set --tls-certificate and --tls-key, or --tls-acme, or leave --http-listen out")
	case !t.on():
		return nil
	case t.ACME && (t.Certificate != "" || t.Key != ""):
		return errors.New("there is a certificate in files, and one is to be got: leave --tls-acme or --tls-certificate and --tls-key out")
	case !t.ACME && (t.Certificate == "" || t.Key == ""):
		return errors.New("a certificate needs its key: set both of --tls-certificate and --tls-key")
	case c.Issuer == "":
		return nil // keeper asks again
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return fmt.Errorf("the issuer %w", err)
	}
	host := issuer.Hostname()
	switch {
	case issuer.Scheme != "https":
		return fmt.Errorf("the server speaks TLS, but the issuer is %s: set --issuer to the https address under which it is reached", c.Issuer)
	case !t.ACME:
		return nil
	case net.ParseIP(host) != nil || !strings.Contains(host, "."):
		return fmt.Errorf("no authority issues a certificate for %s: set --issuer to an address with a name in the DNS, or leave --tls-acme out", host)
	}
	return c.acme(host).Check()
}

// What the settings say about a part of the house, without the other parts.

func (c Config) accounts() account.Config {
	return account.Config{
		Idle: c.SessionIdle, Absolute: c.SessionLife, RememberIdle: c.RememberIdle, RememberAbsolute: c.RememberLife,
		Methods: c.SignInMethods, SecondFactor: c.SecondFactor, RememberDevice: c.RememberDevice,
	}
}

func (c Config) authority() oauth.Config {
	return oauth.Config{
		AccessLife: c.AccessLife, IDLife: c.IDLife, RefreshIdle: c.RefreshIdle, RefreshLife: c.RefreshLife, RefreshRace: c.RefreshRace,
		OfflineAccess: c.OfflineAccess,
	}
}

func (c Config) stream() audit.StreamConfig {
	return audit.StreamConfig{File: c.AuditFile, Output: c.AuditOutput, Webhook: c.AuditWebhook, Secret: c.AuditSecret}
}

func (c Config) acme(host string) certificate.ACMEConfig {
	return certificate.ACMEConfig{
		Host: host, Directory: c.TLS.Directory, Agreed: c.TLS.Agreed, Mail: c.TLS.Mail, Roots: c.OutgoingRoots,
		BindingID: c.TLS.BindingID, BindingKey: []byte(c.TLS.BindingKey.Reveal()), Plain: c.plain(),
		Every: c.TLS.Every, Pause: c.TLS.Pause, Logger: c.Logger, Now: c.Now,
	}
}
