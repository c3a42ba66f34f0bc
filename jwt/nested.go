package jwt

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// EncryptOptions says to whom a signed token is encrypted, and with what. It is never
// compressed: how long it is would then tell something of what is in it (RFC 8725
// §3.6).
type EncryptOptions struct {
	// Recipient is the key that the token is encrypted to. It is required.
	Recipient *jwk.Key

	// Algorithm is the "alg" of the encryption. "" means the recipient's own.
	Algorithm jwa.Algorithm

	// Encryption is the "enc" of the encryption. "" means A256GCM, and under "dir"
	// what fits the secret.
	Encryption jwa.Encryption

	// Iterations is the "p2c" of PBES2; see jwe.EncryptOptions. 0 means the default.
	Iterations int

	// Header has further members of the header of the encryption, which everybody
	// can read. "iss", "sub" and "aud" repeat the claims there, RFC 7519 §5.3, and
	// must be the same.
	Header map[string]any
}

// A NestedSigner makes nested tokens, RFC 7519 §2: signed, and then encrypted to one
// recipient. It is built once and is safe for concurrent use.
type NestedSigner struct {
	signer    *Signer
	encrypter *jwe.Encrypter
	replicas  replicas
}

// NewNestedSigner makes a signer of tokens that are then encrypted. It returns ErrKey if
// one of the keys is not for that or does not do the algorithm, and ErrOptions for
// options that make no sense.
func NewNestedSigner(key *jwk.Key, o SignOptions, to EncryptOptions) (*NestedSigner, error) {
	signer, err := NewSigner(key, o)
	if err != nil {
		return nil, err
	}
	encrypter, err := jwe.NewEncrypter(to.Recipient, jwe.EncryptOptions{
		Algorithm: to.Algorithm, Encryption: to.Encryption, Iterations: to.Iterations, Header: to.Header,
		ContentType: "JWT", // RFC 7519 §5.2
	})
	if err != nil {
		return nil, fromEncryption(err)
	}
	s := &NestedSigner{signer: signer, encrypter: encrypter}
	s.replicas = replicasIn(func(name string) (json.RawMessage, bool) {
		value, there := to.Header[name]
		text, err := json.Marshal(value)
		return text, there && err == nil
	})
	return s, nil
}

// SignNested makes one token that is signed and then encrypted, the order that RFC 7519
// §11.2 asks for; see [NestedSigner.Sign] for the errors, to which those of
// [NewNestedSigner] are added. Whoever makes more than one should keep a
// [NestedSigner].
func SignNested(claims any, key *jwk.Key, o SignOptions, to EncryptOptions) (string, error) {
	s, err := NewNestedSigner(key, o, to)
	if err != nil {
		return "", err
	}
	return s.Sign(claims)
}

// Sign makes a token of claims, as [Signer.Sign] does and with its errors, and encrypts
// it. It returns ErrClaims besides if the header of the encryption repeats a claim
// otherwise than it is, and ErrKey if a secret has encrypted too many tokens.
func (s *NestedSigner) Sign(claims any) (string, error) {
	signed, err := s.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	if err := s.replicas.check(signed); err != nil {
		return "", err
	}
	token, err := s.encrypter.Encrypt([]byte(signed))
	if err != nil {
		return "", fromEncryption(err)
	}
	return token, nil
}

// DecryptOptions says with which keys a nested token is decrypted and which encryption
// is accepted.
type DecryptOptions struct {
	// Keys are our own keys, which tokens are encrypted to. They are required.
	Keys jwk.Source

	// Algorithms are the "alg" of the encryption that are accepted. Nil means those
	// of the key. A list that is empty and not nil is ErrOptions.
	Algorithms []jwa.Algorithm

	// Encryptions are the "enc" that are accepted. Nil means all of package jwa. A
	// list that is empty and not nil is ErrOptions.
	Encryptions []jwa.Encryption

	// MaxIterations is the greatest "p2c" of PBES2 that is accepted, which is work
	// that the sender makes us do. 0 means a million.
	MaxIterations int

	// Decompress accepts tokens that were compressed before they were encrypted, and
	// expands them to 256 KiB at most.
	Decompress bool

	// MaxSize is the greatest length of the encrypted token in bytes. 0 means
	// 64 KiB. That of the signed one inside is VerifyOptions.MaxSize.
	MaxSize int
}

// A NestedToken is a token that has been decrypted and then verified.
type NestedToken[C any] struct {
	Token[C]              // the signed token inside
	Encryption jwe.Header // of the encryption around it
}

// A NestedVerifier verifies nested tokens whose claims are a C. It is built once and is
// safe for concurrent use.
type NestedVerifier[C any] struct {
	decrypter *jwe.Decrypter
	verifier  *Verifier[C]
}

// NewNestedVerifier makes a verifier of tokens that are signed with one of keys and
// encrypted to one of from.Keys. It returns ErrOptions if the options would accept
// nothing or everything by mistake, and ErrKey if either source of keys is nil.
func NewNestedVerifier[C any](keys jwk.Source, o VerifyOptions, from DecryptOptions) (*NestedVerifier[C], error) {
	verifier, err := NewVerifier[C](keys, o)
	if err != nil {
		return nil, err
	}
	if from.Keys == nil {
		return nil, invalid(ErrKey, "a key to decrypt with must be provided")
	}
	decrypter, err := jwe.NewDecrypter(from.Keys, jwe.DecryptOptions{
		Algorithms: from.Algorithms, Encryptions: from.Encryptions,
		MaxIterations: from.MaxIterations, Decompress: from.Decompress, MaxSize: from.MaxSize,
	})
	if err != nil {
		return nil, fromEncryption(err)
	}
	return &NestedVerifier[C]{decrypter: decrypter, verifier: verifier}, nil
}

// VerifyNested decrypts and verifies one token; see [NestedVerifier.Verify] for the
// errors, to which those of [NewNestedVerifier] are added. Whoever verifies more than
// one should keep a [NestedVerifier].
func VerifyNested[C any](ctx context.Context, token string, keys jwk.Source, o VerifyOptions, from DecryptOptions) (NestedToken[C], error) {
	v, err := NewNestedVerifier[C](keys, o, from)
	if err != nil {
		return NestedToken[C]{}, err
	}
	return v.Verify(ctx, token)
}

// Verify decrypts a token in compact serialization and verifies the one inside, RFC 7519
// §7.2. Both must be in order: on any error the NestedToken is zero.
//
// That a token decrypts says nothing of who wrote it, so what is inside must be signed:
// an unsigned token is refused, and so is an encrypted one. The "cty" of the header must
// be "JWT". Whoever could decrypt a token can encrypt it anew for somebody else: say in
// VerifyOptions.Audiences who you are.
//
// The error is one of [Verifier.Verify], or it wraps ErrDecryption; of the encryption
// it may also be ErrMalformed, ErrCritical, ErrAlgorithm, ErrKey or ErrType. What is
// wrong with the encryption is said first.
func (v *NestedVerifier[C]) Verify(ctx context.Context, token string) (NestedToken[C], error) {
	if token == "" {
		return NestedToken[C]{}, invalid(ErrMalformed, "jwt must be provided")
	}
	message, err := v.decrypter.Decrypt(ctx, token)
	if err != nil {
		return NestedToken[C]{}, fromEncryption(err)
	}
	// RFC 7519 §5.2: it must be there; RFC 7516 §4.1.12: case does not count.
	if shortType(message.Header.ContentType) != "jwt" {
		return NestedToken[C]{}, invalid(ErrType, "jwt content type invalid. expected: JWT")
	}
	signed := string(message.Plaintext)
	inside, err := v.verifier.Verify(ctx, signed)
	if err != nil {
		return NestedToken[C]{}, err
	}
	if err := replicasIn(message.Header.Member).check(signed); err != nil {
		return NestedToken[C]{}, err
	}
	return NestedToken[C]{Token: inside, Encryption: message.Header}, nil
}

// replicas are claims that the header of the encryption repeats, as JSON: "iss", "sub" and
// "aud", RFC 7519 §5.3. The header is not signed: anybody could have written it.
type replicas map[string]string

// replicasIn finds the replicas in a header; nil if there are none.
func replicasIn(member func(name string) (json.RawMessage, bool)) replicas {
	var found replicas
	for _, name := range []string{"iss", "sub", "aud"} {
		if text, ok := member(name); ok {
			if found == nil {
				found = make(replicas)
			}
			found[name] = string(text)
		}
	}
	return found
}

// check enforces RFC 7519 §5.3: what is repeated is the same in the signed token, whose
// form is known to be good.
func (r replicas) check(signed string) error {
	if r == nil {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[1])
	for name, text := range r {
		var claim strictjson.Value
		if err == nil {
			claim, err = strictjson.Find(string(payload), name)
		}
		if err != nil || !sameClaim(name, text, claim) {
			return invalid(ErrClaims, "jwt header repeats the claim %s otherwise than it is", name)
		}
	}
	return nil
}

// sameClaim compares a text or, for "aud", a list of texts with its claim.
func sameClaim(name, text string, claim strictjson.Value) bool {
	replica, err := strictjson.Parse(text)
	if err != nil {
		return false
	}
	if name == "aud" {
		a, okA := readAudience(replica)
		b, okB := readAudience(claim)
		return okA && okB && slices.Equal(a.list(), b.list())
	}
	a, okA := replica.Text()
	b, okB := claim.Text()
	return okA && okB && a == b
}

// encryptionErrors are the errors of package jwe in the words of this one.
var encryptionErrors = []struct {
	of      error
	kind    error
	message string
}{
	{jwe.ErrDecryption, ErrDecryption, "jwt decryption failed"},
	{jwe.ErrOptions, ErrOptions, "jwt options invalid"},
	{jwe.ErrMalformed, ErrMalformed, "jwt malformed"},
	{jwe.ErrCritical, ErrCritical, "jwt critical header unknown"},
	{jwe.ErrAlgorithm, ErrAlgorithm, "invalid algorithm"},
	{jwe.ErrCompression, ErrAlgorithm, "jwt compression not accepted"},
	{jwe.ErrTooCostly, ErrAlgorithm, "jwt asks for too much work"},
	{jwe.ErrKey, ErrKey, "no key to use"},
	{jwe.ErrExhausted, ErrKey, "the key has encrypted too many tokens"},
}

// fromEncryption translates an error of package jwe. One that is not in the table is no
// fault of the token, and stays what it is.
func fromEncryption(err error) error {
	for _, row := range encryptionErrors {
		if errors.Is(err, row.of) {
			return &JSONWebTokenError{Message: row.message, Kind: row.kind, Cause: err}
		}
	}
	return fmt.Errorf("jwt: %w", err)
}
