package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/fetch"
)

// secretSize is how long the secret of a webhook is at least, in bytes (Standard
// Webhooks 1.0, "Signature scheme").
const secretSize = 24

// sealInID is how much of a seal stands in the identifier of a message, in characters.
const sealInID = 16

// secretPrefix begins a secret that is written in base64.
const secretPrefix = "whsec_"

// webhook is an outlet that posts lines to a server, as Standard Webhooks 1.0 says:
// signed over an identifier, the time and the body, so that nobody else can say
// anything there, and nothing that was said can be said again later.
type webhook struct {
	url    string
	secret []byte
	client *http.Client
	unix   func() int64
}

func newWebhook(c StreamConfig) (*webhook, error) {
	secret, err := c.signing()
	if err != nil {
		return nil, err
	}
	if c.Client == nil {
		return nil, errors.New("audit: StreamConfig.Client must be set")
	}
	return &webhook{c.Webhook, secret, c.Client, func() int64 { return c.Log.now().Unix() }}, nil
}

// Check returns what makes no sense in the address of the webhook and its secret, as
// NewStream does.
func (c StreamConfig) Check() error {
	if c.Webhook == "" {
		return nil
	}
	_, err := c.signing()
	return err
}

// signing returns the secret under which what goes to the webhook is signed.
func (c StreamConfig) signing() ([]byte, error) {
	u, err := url.Parse(c.Webhook)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "":
		return nil, errors.New("audit-webhook must be a URL, such as https://collector.example.com/ostiary")
	case u.User != nil:
		return nil, errors.New("audit-webhook must not hold a user or a password: what is sent is signed")
	case u.Scheme != "https" && !(u.Scheme == "http" && onThisMachine(u.Hostname())):
		return nil, errors.New("audit-webhook must begin with https://, except on this machine: the log tells who signs in from where")
	}
	secret := []byte(c.Secret.Reveal())
	if text, ok := strings.CutPrefix(c.Secret.Reveal(), secretPrefix); ok {
		if secret, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("the secret of audit-webhook begins with %s, but what follows is not base64", secretPrefix)
		}
	}
	if len(secret) < secretSize {
		return nil, fmt.Errorf("audit-webhook needs a secret of %d bytes or more: make one with openssl rand -base64 32 and name its file with audit-webhook-secret-file", secretSize)
	}
	return secret, nil
}

func onThisMachine(host string) bool {
	at, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && at.IsLoopback()
}

// write is done when the server has answered with success: any other answer may pass,
// and what is in the log is not given up.
func (w *webhook) write(ctx context.Context, b lines) error {
	// With the seal, because after a restore a position comes again with something else.
	id, at := fmt.Sprintf("audit-%d-%d-%s", b.first, b.last, b.seal[:min(len(b.seal), sealInID)]), strconv.FormatInt(w.unix(), 10)
	m := fetch.Message{
		URL: w.url, Type: "application/x-ndjson", Accept: "*/*", Body: string(b.text),
		Header: http.Header{
			"Webhook-Id":        {id},
			"Webhook-Timestamp": {at},
			"Webhook-Signature": {w.sign(id, at, b.text)},
		},
	}
	answer, err := fetch.Send(ctx, w.client, m)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // it is the operator's own address: they may know
		}
		return fmt.Errorf("the server of audit-webhook does not answer: %w", hidden(err))
	}
	if answer.Status < 200 || answer.Status > 299 {
		return fmt.Errorf("the server of audit-webhook answers %d", answer.Status)
	}
	return nil
}

// hidden is the cause of an error without the URL, whose path may be a secret.
func hidden(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// sign returns the value of Webhook-Signature (Standard Webhooks 1.0, "Signature
// scheme").
func (w *webhook) sign(id, at string, body []byte) string {
	mac := hmac.New(sha256.New, w.secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
