package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// EncryptionAlgorithms are the ways in which the key of an encrypted answer
// reaches its client: with public keys only. The server has no secret of a
// client to encrypt with, only the hash of one, and RSA1_5 tells whoever may try
// often enough what is inside (RFC 8725 §3.2).
var EncryptionAlgorithms = []jwa.Algorithm{jwa.RSAOAEP256, jwa.RSAOAEP, jwa.ECDHES, jwa.ECDHESA128KW, jwa.ECDHESA256KW}

// ContentEncryptions are the algorithms that encrypt the content; the first is
// the default (OpenID Connect Dynamic Client Registration §2).
var ContentEncryptions = []jwa.Encryption{jwa.A128CBCHS256, jwa.A256CBCHS512, jwa.A128GCM, jwa.A256GCM}

// recipient is the key of a client that something is encrypted to, and how.
type recipient struct {
	key *jwk.Key // nil: none was looked for
	alg jwa.Algorithm
	enc jwa.Encryption
}

// recipient finds a client's key for what it wants encrypted. It may have to be
// fetched, so this comes before anything is used up or stored: a client whose
// keys cannot be had loses no code by it.
func (a *Authority) recipient(ctx context.Context, c *client, alg, enc string) (recipient, *Error) {
	r := recipient{alg: jwa.Algorithm(alg), enc: jwa.Encryption(enc)}
	if c.keys == nil {
		return recipient{}, errNoRecipient(errors.New("the client has no keys"))
	}
	all, err := c.keys.Find(ctx, "")
	if err != nil {
		return recipient{}, errNoRecipient(err)
	}
	if r.key, err = r.choose(all); err != nil {
		return recipient{}, errNoRecipient(err)
	}
	return r, nil
}

// idRecipient is the recipient of a client's ID tokens, if they are encrypted.
func (a *Authority) idRecipient(ctx context.Context, c *client) (recipient, *Error) {
	if c.IDTokenEncryption == "" {
		return recipient{}, nil
	}
	return a.recipient(ctx, c, c.IDTokenEncryption, c.IDTokenContent)
}

func errNoRecipient(cause error) *Error {
	return &Error{Code: ServerError, Description: "No key of the client could be had to encrypt to: see its jwks or jwks_uri", cause: cause}
}

// choose takes the first key that fits, one that is marked for encryption before
// one that is not marked at all (OpenID Connect Core §10.2).
func (r recipient) choose(all []*jwk.Key) (*jwk.Key, error) {
	var unmarked *jwk.Key
	for _, k := range all {
		switch {
		case k.Symmetric() || k.Permits(r.alg, jwk.ToEncrypt) != nil || !k.Encrypts(r.alg, r.enc):
		case k.Use() == jwk.UseEncryption:
			return k, nil
		case unmarked == nil:
			unmarked = k
		}
	}
	if unmarked == nil {
		return nil, errors.New("none of the client's keys is for " + string(r.alg))
	}
	return unmarked, nil
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

// withEncryptionDefaults fills in the content encryption where a client wants
// encrypted answers, OpenID Connect Dynamic Client Registration §2.
func withEncryptionDefaults(s model.ClientSettings) model.ClientSettings {
	if s.IDTokenEncryption != "" && s.IDTokenContent == "" {
		s.IDTokenContent = string(ContentEncryptions[0])
	}
	if s.UserInfoEncryption != "" && s.UserInfoContent == "" {
		s.UserInfoContent = string(ContentEncryptions[0])
	}
	return s
}

// checkClientAnswers holds the forms in which a client wants ID tokens and
// userinfo to what can be had, OpenID Connect Dynamic Client Registration §2.
func checkClientAnswers(s model.ClientSettings) error {
	for _, f := range []struct{ name, sign, alg, enc string }{
		{"id_token", s.IDTokenAlgorithm, s.IDTokenEncryption, s.IDTokenContent},
		{"userinfo", s.UserInfoAlgorithm, s.UserInfoEncryption, s.UserInfoContent},
	} {
		if f.sign != "" && !slices.Contains(IDAlgorithms, jwa.Algorithm(f.sign)) {
			return invalid(f.name+"_signed_response_alg", "it must be one of %s", join(IDAlgorithms))
		}
		alg, enc := f.name+"_encrypted_response_alg", f.name+"_encrypted_response_enc"
		switch {
		case f.alg == "" && f.enc == "":
			continue
		case f.alg == "":
			return invalid(enc, "it needs %s", alg)
		case !slices.Contains(EncryptionAlgorithms, jwa.Algorithm(f.alg)):
			return invalid(alg, "it must be one of %s", join(EncryptionAlgorithms))
		case !slices.Contains(ContentEncryptions, jwa.Encryption(f.enc)):
			return invalid(enc, "it must be one of %s", join(ContentEncryptions))
		case len(s.JWKS) == 0 && s.JWKSURI == "":
			return invalid(alg, "it needs jwks or jwks_uri, with a key to encrypt to")
		case len(s.JWKS) > 0:
			set, err := jwk.ParseSet(s.JWKS)
			if err != nil {
				return invalid("jwks", "%v", err)
			}
			if _, err := (recipient{alg: jwa.Algorithm(f.alg), enc: jwa.Encryption(f.enc)}).choose(set.All()); err != nil {
				return invalid("jwks", "it holds no key to encrypt to with %s", f.alg)
			}
		}
	}
	return nil
}

// checkReady refuses an algorithm whose key is not published everywhere yet.
func (a *Authority) checkReady(s model.ClientSettings) error {
	for name, alg := range map[string]string{
		"id_token_signed_response_alg": s.IDTokenAlgorithm, "userinfo_signed_response_alg": s.UserInfoAlgorithm,
	} {
		if alg != "" && !a.Keys.Ready(jwa.Algorithm(alg)) {
			return invalid(name, "the server's key for %s has only just been made: try again in a few seconds", alg)
		}
	}
	return nil
}
