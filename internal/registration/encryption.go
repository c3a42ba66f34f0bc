package registration

import (
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// IDAlgorithms are the algorithms in which ID tokens and what userinfo tells can
// be signed; the first is the default of ID tokens.
var IDAlgorithms = []jwa.Algorithm{jwa.RS256, jwa.PS256, jwa.ES256, jwa.EdDSA}

// EncryptionAlgorithms are the ways in which the key of an encrypted answer
// reaches its client: with public keys only. The server has no secret of a
// client to encrypt with, only the hash of one, and RSA1_5 tells whoever may try
// often enough what is inside (RFC 8725 §3.2).
var EncryptionAlgorithms = []jwa.Algorithm{jwa.RSAOAEP256, jwa.RSAOAEP, jwa.ECDHES, jwa.ECDHESA128KW, jwa.ECDHESA256KW}

// ContentEncryptions are the algorithms that encrypt the content; the first is
// the default (OpenID Connect Dynamic Client Registration §2).
var ContentEncryptions = []jwa.Encryption{jwa.A128CBCHS256, jwa.A256CBCHS512, jwa.A128GCM, jwa.A256GCM}

// EncryptionKey finds a key of the client for what it wants encrypted. It may have
// to be fetched.
func (c *Client) EncryptionKey(ctx context.Context, alg jwa.Algorithm, enc jwa.Encryption) (*jwk.Key, error) {
	if c.Keys == nil {
		return nil, errors.New("the client has no keys")
	}
	all, err := c.Keys.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	return choose(all, alg, enc)
}

// choose takes the first key that fits, one that is marked for encryption before
// one that is not marked at all (OpenID Connect Core §10.2).
func choose(all []*jwk.Key, alg jwa.Algorithm, enc jwa.Encryption) (*jwk.Key, error) {
	var unmarked *jwk.Key
	for _, k := range all {
		switch {
		case k.Symmetric() || k.Permits(alg, jwk.ToEncrypt) != nil || !k.Encrypts(alg, enc):
		case k.Use() == jwk.UseEncryption:
			return k, nil
		case unmarked == nil:
			unmarked = k
		}
	}
	if unmarked == nil {
		return nil, errors.New("none of the client's keys is for " + string(alg))
	}
	return unmarked, nil
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
	if s.IntrospectionEncryption != "" && s.IntrospectionContent == "" {
		s.IntrospectionContent = string(ContentEncryptions[0]) // RFC 9701 §6
	}
	return s
}

// checkClientAnswers holds the forms in which a client wants ID tokens, userinfo
// and introspection to what can be had, OpenID Connect Dynamic Client Registration
// §2, RFC 9701 §6.
func checkClientAnswers(s model.ClientSettings) error {
	for _, f := range []struct{ name, sign, alg, enc string }{
		{"id_token", s.IDTokenAlgorithm, s.IDTokenEncryption, s.IDTokenContent},
		{"userinfo", s.UserInfoAlgorithm, s.UserInfoEncryption, s.UserInfoContent},
		{"introspection", s.IntrospectionAlgorithm, s.IntrospectionEncryption, s.IntrospectionContent},
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
			if _, err := choose(set.All(), jwa.Algorithm(f.alg), jwa.Encryption(f.enc)); err != nil {
				return invalid("jwks", "it holds no key to encrypt to with %s", f.alg)
			}
		}
	}
	return nil
}

// checkReady refuses an algorithm whose key is not published everywhere yet.
func (r *Registrar) checkReady(s model.ClientSettings) error {
	for name, alg := range map[string]string{
		"id_token_signed_response_alg": s.IDTokenAlgorithm, "userinfo_signed_response_alg": s.UserInfoAlgorithm,
		"introspection_signed_response_alg": s.IntrospectionAlgorithm,
	} {
		if alg != "" && !r.Keys.Ready(jwa.Algorithm(alg)) {
			return invalid(name, "the server's key for %s has only just been made: try again in a few seconds", alg)
		}
	}
	return nil
}
