package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"golang.org/x/crypto/acme"
)

// The challenges that can be met, RFC 8555 §8.3 and RFC 8737.
const (
	challengeALPN = "tls-alpn-01"
	challengeHTTP = "http-01"
)

// kind is the challenge that a try meets. They take turns, so that a port which
// nothing gets through to is no end of it.
func (a *ACME) kind(try int64) string {
	if a.c.Plain && try%2 == 0 {
		return challengeHTTP
	}
	return challengeALPN
}

// order gets a certificate, and returns it sealed.
func (a *ACME) order(ctx context.Context, row model.Certificate) (sealed string, leaf *x509.Certificate, err error) {
	client, err := a.account(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("no account with the authority: %w", err)
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.c.Host)) // RFC 8555 §7.4
	if err != nil {
		return "", nil, err
	}
	for _, at := range order.AuthzURLs {
		if err := a.authorize(ctx, client, row, at); err != nil {
			return "", nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return "", nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // a new one each time
	if err != nil {
		return "", nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{a.c.Host}}, key)
	if err != nil {
		return "", nil, err
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return "", nil, err
	}
	return a.seal(chain, key)
}

// seal holds what the authority sends to what was asked of it.
func (a *ACME) seal(chain [][]byte, key *ecdsa.PrivateKey) (string, *x509.Certificate, error) {
	var text bytes.Buffer
	for _, der := range chain {
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a buffer takes all
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, err
	}
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	made, err := parse(text.Bytes(), text.Bytes())
	if err != nil {
		return "", nil, fmt.Errorf("the authority has sent no certificate for the key: %w", err)
	}
	if err := made.Leaf.VerifyHostname(a.c.Host); err != nil {
		return "", nil, fmt.Errorf("the authority has sent a certificate for somebody else: %w", err)
	}
	sealed, err := a.c.Keys.Seal(keys.PurposeCertificate, a.c.Host, text.Bytes())
	return sealed, made.Leaf, err
}

// authorize proves that the host is ours, RFC 8555 §7.5.
func (a *ACME) authorize(ctx context.Context, client *acme.Client, row model.Certificate, at string) error {
	authorization, err := client.GetAuthorization(ctx, at)
	if err != nil {
		return err
	}
	if authorization.Status == acme.StatusValid { // RFC 8555 §7.1.3: one from before may still count
		return nil
	}
	kind := a.kind(row.Tries)
	i := slices.IndexFunc(authorization.Challenges, func(c *acme.Challenge) bool { return c.Type == kind })
	if i < 0 {
		return fmt.Errorf("the authority does not offer the challenge %s", kind)
	}
	challenge := authorization.Challenges[i]
	err = a.c.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.ChallengeCertificate(row.Host, row.Claim, challenge.Token) })
	if err != nil {
		return err
	}
	if _, err := client.Accept(ctx, challenge); err != nil {
		return fmt.Errorf("the challenge %s: %w", kind, err)
	}
	if _, err := client.WaitAuthorization(ctx, at); err != nil {
		return fmt.Errorf("the challenge %s: %w", kind, err)
	}
	return nil
}

// account returns a client with an account at the authority, RFC 8555 §7.3, which it
// makes if there is none.
func (a *ACME) account(ctx context.Context) (*acme.Client, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = client.GetReg(ctx, ""); !errors.Is(err, acme.ErrNoAccount) {
		return client, err
	}
	account := &acme.Account{}
	if a.c.Mail != "" {
		account.Contact = []string{"mailto:" + a.c.Mail}
	}
	if a.c.BindingID != "" { // RFC 8555 §7.3.4
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: a.c.BindingID, Key: a.c.BindingKey}
	}
	// Nobody gets here who has not agreed: OpenACME sees to it.
	_, err = client.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		err = nil
	}
	return client, err
}

// accountSetting is followed by the address of a directory.
const accountSetting = "acme.account "

// client returns a client with the key that all nodes have with the authority, which
// it makes if there is none.
func (a *ACME) client(ctx context.Context) (*acme.Client, error) {
	name := accountSetting + a.c.Directory
	sealed, err := a.setting(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		sealed, err = a.newAccountKey(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	text, err := a.c.Keys.Unseal(keys.PurposeACME, a.c.Directory, sealed)
	if err != nil {
		return nil, fmt.Errorf("the key of the account in the database %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("the key of the account in the database is damaged: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key of the account in the database cannot sign")
	}
	return &acme.Client{Key: key, HTTPClient: a.http, DirectoryURL: a.c.Directory, UserAgent: "ostiary", RetryBackoff: backoff}, nil
}

// backoff is about single requests. Where the authority has had enough of us, no more
// follow: the pause is that of all nodes.
func backoff(n int, _ *http.Request, res *http.Response) time.Duration {
	if n > 3 || res.StatusCode == http.StatusTooManyRequests {
		return -1
	}
	return time.Duration(n) * time.Second
}

func (a *ACME) setting(ctx context.Context, name string) (value string, err error) {
	err = a.c.Store.View(ctx, func(tx *store.Tx) (err error) {
		value, err = tx.Setting(name)
		return err
	})
	return value, err
}

func (a *ACME) newAccountKey(ctx context.Context, name string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	sealed, err := a.c.Keys.Seal(keys.PurposeACME, a.c.Directory, text)
	if err != nil {
		return "", err
	}
	err = a.c.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertSetting(name, sealed); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: bySystem, Action: "certificate.account", Detail: a.c.Directory})
	})
	if errors.Is(err, store.ErrConflict) { // another node was first: its key counts
		return a.setting(ctx, name)
	}
	return sealed, err
}
