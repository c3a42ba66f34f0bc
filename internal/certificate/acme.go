package certificate

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"golang.org/x/crypto/acme"
)

// LetsEncrypt is the directory of the authority that is asked unless another is named.
const LetsEncrypt = acme.LetsEncryptURL

const (
	// claimLife is how long one node may take to get a certificate before another
	// tries; orderTime is when it gives up itself.
	claimLife = 5 * time.Minute
	orderTime = 4 * time.Minute
	// firstPause and longestPause are between tries that come to nothing, on all nodes
	// together; they double. An authority takes five failures in an hour.
	firstPause   = time.Minute
	longestPause = time.Hour
)

// ACMEConfig says who is asked for a certificate, for what, and by whom.
type ACMEConfig struct {
	Store *store.Store
	Keys  *keys.Ring

	Host      string         // for which: a name in the DNS
	Directory string         // URL of the authority's directory; LetsEncrypt
	Agreed    bool           // the operator agrees to the authority's terms of service
	Mail      string         // where the authority reaches the operator; nowhere
	Roots     *x509.CertPool // whom to believe that it is the authority; nil: the system's

	// BindingID and BindingKey bind the account here to one that the operator has there,
	// RFC 8555 §7.3.4; none.
	BindingID  string
	BindingKey []byte

	Plain bool // the challenge HTTP-01 can be met: there is a plain listener

	Every  time.Duration // how often the database is looked into; lookEvery
	Pause  time.Duration // after the first failure; firstPause
	Logger *slog.Logger
	Now    func() time.Time
}

// ACME is a certificate of an authority.
type ACME struct {
	c       ACMEConfig
	http    *http.Client
	current atomic.Pointer[tls.Certificate]
	sealed  string // what current was read from
	asked   bool   // the authority of c was that of a try since the start
}

// Check returns what makes no sense in what is agreed with the authority, as OpenACME
// does, in a sentence that names the setting.
func (c ACMEConfig) Check() error {
	directory := cmp.Or(c.Directory, LetsEncrypt)
	switch {
	case !c.Agreed:
		return fmt.Errorf("the authority at %s issues certificates to those who agree to its terms of service: read them, and set --tls-acme-agree to on", directory)
	case !strings.HasPrefix(directory, "https://"): // RFC 8555 §6.1
		return fmt.Errorf("the directory %s must be an https address: correct --tls-acme-directory", directory)
	case (c.BindingID == "") != (len(c.BindingKey) == 0):
		return errors.New("an account that is bound to another needs both: set --tls-acme-binding and --tls-acme-binding-key-file")
	}
	return nil
}

// OpenACME takes what the database has. It asks nobody: Run does. Its errors are
// sentences that name the setting and the cure.
func OpenACME(ctx context.Context, c ACMEConfig) (*ACME, error) {
	if c.Directory == "" {
		c.Directory = LetsEncrypt
	}
	if c.Every == 0 {
		c.Every = lookEvery
	}
	if c.Pause == 0 {
		c.Pause = firstPause
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	a := &ACME{c: c, http: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}, ForceAttemptHTTP2: true},
		Timeout:   30 * time.Second,
	}}
	row, err := a.row(ctx)
	if err != nil {
		return nil, err
	}
	return a, a.take(row)
}

// row returns what the database has, or nothing.
func (a *ACME) row(ctx context.Context) (row model.Certificate, err error) {
	err = a.c.Store.View(ctx, func(tx *store.Tx) (err error) {
		if row, err = tx.Certificate(a.c.Host); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return row, err
}

// take makes the certificate of a row the current one.
func (a *ACME) take(row model.Certificate) error {
	if row.Sealed == "" || row.Sealed == a.sealed {
		return nil
	}
	text, err := a.c.Keys.Unseal(keys.PurposeCertificate, a.c.Host, row.Sealed)
	if err != nil {
		return fmt.Errorf("the certificate for %s in the database %w", a.c.Host, err)
	}
	next, err := parse(text, text)
	if err != nil {
		return fmt.Errorf("the certificate for %s in the database cannot be used: %w", a.c.Host, err)
	}
	a.current.Store(next)
	a.sealed = row.Sealed
	a.c.Logger.Info("new certificate", "host", a.c.Host, "serial", next.Leaf.SerialNumber.Text(16), "expires", next.Leaf.NotAfter.UTC())
	return nil
}

// TLS is what the server listens with. It meets the challenge TLS-ALPN-01.
func (a *ACME) TLS() *tls.Config {
	c := base(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if now := a.current.Load(); now != nil {
			return now, nil
		}
		return nil, errNone
	})
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedProtos, acme.ALPNProto) {
			return nil, nil // as everybody else
		}
		proof, err := a.proof(hello)
		if err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, Certificates: []tls.Certificate{proof}}, nil
	}
	return c
}

// proof is the certificate that meets the challenge TLS-ALPN-01.
func (a *ACME) proof(hello *tls.ClientHelloInfo) (tls.Certificate, error) {
	// RFC 8737 §3: the protocol alone, and the name that is being validated
	if len(hello.SupportedProtos) != 1 || !strings.EqualFold(hello.ServerName, a.c.Host) {
		return tls.Certificate{}, errors.New("not a validation of this host")
	}
	client, token, err := a.pending(hello.Context())
	if err != nil {
		return tls.Certificate{}, err
	}
	return client.TLSALPN01ChallengeCert(token, a.c.Host)
}

// Response returns what the challenge HTTP-01 of a token is to be answered with,
// RFC 8555 §8.3, whichever node has asked for it; ErrNoChallenge: there is none.
func (a *ACME) Response(ctx context.Context, token string) (string, error) {
	client, pending, err := a.pending(ctx)
	if err != nil {
		return "", err
	}
	if token != pending {
		return "", ErrNoChallenge
	}
	return client.HTTP01ChallengeResponse(token)
}

// ErrNoChallenge says that no authority was asked, or that it has got its answer.
var ErrNoChallenge = errors.New("no challenge is to be met")

// pending returns the token of the challenge that is to be met now, and who meets it.
func (a *ACME) pending(ctx context.Context) (*acme.Client, string, error) {
	row, err := a.row(ctx)
	if err != nil {
		return nil, "", err
	}
	if row.Challenge == "" || row.ClaimedUntil <= a.c.Now().Unix() {
		return nil, "", ErrNoChallenge
	}
	client, err := a.client(ctx)
	return client, row.Challenge, err
}

// Run looks after the certificate until ctx is done: it takes those that other nodes
// have got, and gets one when it is time and nobody else does.
func (a *ACME) Run(ctx context.Context) {
	ticker := time.NewTicker(a.c.Every)
	defer ticker.Stop()
	for eager := true; ; eager = false {
		if err := a.look(ctx, eager); err != nil && ctx.Err() == nil {
			a.c.Logger.Error("background work failed and will be tried again", "work", "certificate", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look is one look. An eager one does not keep the long pause after a failure: whoever
// starts a server anew may have mended what was wrong.
func (a *ACME) look(ctx context.Context, eager bool) error {
	row, err := a.row(ctx)
	if err != nil {
		return err
	}
	if err := a.take(row); err != nil {
		return err
	}
	now := a.c.Now()
	claim := store.CertificateClaim{
		Host: a.c.Host, Directory: a.c.Directory, Claim: model.NewID(), Now: now.Unix(), Until: now.Add(claimLife).Unix(), Eager: -1,
	}
	if eager {
		claim.Eager = now.Add(-a.c.Pause).Unix()
	}
	// Once is enough: of two nodes that name different authorities each would take the
	// certificate of the other for none, and both would ask without end.
	a.asked = a.asked || row.Directory == claim.Directory
	claim.Anew = !a.asked && row.Directory != ""
	if !claim.Anew && row.NextAt > claim.Now && (!eager || row.Tries == 0) {
		return nil // without a write, as nearly always
	}
	err = a.c.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.ClaimCertificate(claim)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.asked = true
	return a.renew(ctx, row)
}

// renew gets a certificate for the holder of a claim.
func (a *ACME) renew(ctx context.Context, row model.Certificate) error {
	within, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	issued, leaf, err := a.order(within, row)
	if err == nil {
		row.Sealed, row.ExpiresAt = issued, leaf.NotAfter.Unix()
		// Two thirds of the life, whatever it is: authorities make it shorter every year.
		row.NextAt = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3).Unix()
		err = a.c.Store.Update(ctx, func(tx *store.Tx) error {
			if err := tx.IssueCertificate(row); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: bySystem, Action: "certificate.issue",
				Detail: fmt.Sprintf("%s serial %s by %s, until %s", row.Host, leaf.SerialNumber.Text(16), row.Directory, leaf.NotAfter.UTC().Format(time.RFC3339))})
		})
		if err == nil {
			return a.take(row)
		}
	}
	next := a.c.Now().Add(a.pause(row.Tries, err))
	// What is left of the claim is given back also by a server that stops.
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.c.Store.Upkeep(letGo, func(tx *store.Tx) error { return tx.ReleaseCertificate(row.Host, row.Claim, next.Unix()) }); err != nil {
		a.c.Logger.Warn("the claim on the certificate lapses by itself", "host", row.Host, "error", err)
	}
	if ctx.Err() == nil {
		a.c.Logger.Error("the certificate was not issued", "host", row.Host, "directory", row.Directory, "try", row.Tries, "next", next.UTC(), "reason", brief(err))
	}
	return nil
}

// pause is how long to wait after so many tries, and at least as long as the authority
// says.
func (a *ACME) pause(tries int64, err error) time.Duration {
	pause := min(a.c.Pause<<min(tries-1, 16), longestPause)
	var refused *acme.Error
	if errors.As(err, &refused) {
		if limit, ok := acme.RateLimit(refused); ok { // RFC 8555 §6.6
			pause = max(pause, min(limit, 24*time.Hour))
		}
	}
	return pause
}

// brief bounds what the authority has to say.
func brief(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return text
}

var bySystem = model.Actor{Kind: model.ActorSystem}
