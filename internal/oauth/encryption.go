package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// recipient is the key of a client that something is encrypted to, and how.
type recipient struct {
	key *jwk.Key // nil: none was looked for
	alg jwa.Algorithm
	enc jwa.Encryption
}

// recipient finds a client's key for what it wants encrypted. It may have to be
// fetched, so this comes before anything is used up or stored: a client whose
// keys cannot be had loses no code by it.
func (a *Authority) recipient(ctx context.Context, c *registration.Client, alg, enc string) (recipient, *Error) {
	r := recipient{alg: jwa.Algorithm(alg), enc: jwa.Encryption(enc)}
	var err error
	if r.key, err = c.EncryptionKey(ctx, r.alg, r.enc); err != nil {
		return recipient{}, errNoRecipient(err)
	}
	return r, nil
}

// idRecipient is the recipient of a client's ID tokens, if they are encrypted.
func (a *Authority) idRecipient(ctx context.Context, c *registration.Client) (recipient, *Error) {
	if c.IDTokenEncryption == "" {
		return recipient{}, nil
	}
	return a.recipient(ctx, c, c.IDTokenEncryption, c.IDTokenContent)
}

func errNoRecipient(cause error) *Error {
	return &Error{Code: ServerError, Description: "No key of the client could be had to encrypt to: see its jwks or jwks_uri", cause: cause}
}

// seal encrypts a signed token into a nested one, RFC 7519 §5.2.
func (r recipient) seal(token string) (string, error) {
	return r.encrypt([]byte(token), jwe.EncryptOptions{ContentType: "JWT"})
}

func (r recipient) encrypt(text []byte, o jwe.EncryptOptions) (string, error) {
	if r.key == nil {
		return "", errors.New("oauth: an answer was to be encrypted, and nobody found the key first")
	}
	o.Algorithm, o.Encryption = r.alg, r.enc
	return jwe.Encrypt(text, r.key, o)
}
