package jwk

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // RSA-OAEP hashes its label and its mask with SHA-1
	"errors"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// ErrDecryption: what was encrypted does not decrypt under this key. There is
// one such error, and it says nothing further: senders of altered messages would
// learn from it (RFC 7516 §11.5).
var ErrDecryption = errors.New("jwk: decryption failed")

// KeyManagement returns the key management algorithms that messages may be
// encrypted with to this key: the one that the key is bound to, or else all that
// its type, curve and size permit. The first is the one to use unless told
// otherwise. The list is empty for a key that is meant for signatures. Algorithms
// with a password are never permitted by type and size: a key must be bound to
// one.
func (k *Key) KeyManagement() []jwa.Algorithm {
	var names []jwa.Algorithm
	for _, row := range jwa.KeyManagements() {
		if k.manages(&row) {
			names = append(names, row.Name)
		}
	}
	return names
}

// Encryption returns the content encryption algorithms that messages may be
// encrypted with to this key under a key management algorithm, the default first:
// under "dir" those that fit the size of the secret, or the one that the key is
// bound to, and all of them otherwise. The list is empty if alg is not one of
// KeyManagement.
func (k *Key) Encryption(alg jwa.Algorithm) []jwa.Encryption {
	var names []jwa.Encryption
	for _, row := range jwa.ContentEncryptions() {
		if k.Encrypts(alg, row.Name) {
			names = append(names, row.Name)
		}
	}
	return names
}

// Encrypts reports whether messages may be encrypted to this key with this pair
// of algorithms, RFC 8725 §3.1.
func (k *Key) Encrypts(alg jwa.Algorithm, enc jwa.Encryption) bool {
	row, ok := alg.KeyManagement()
	if !ok || !k.manages(&row) {
		return false
	}
	content, ok := enc.Content()
	if !ok || row.Mode != jwa.Direct {
		return ok
	}
	// RFC 7518 §4.5: the secret is the content encryption key. It may be bound to
	// "dir", to this content encryption, or to nothing.
	return len(k.secret) == content.KeySize && (k.alg == "" || k.alg == row.Name || k.alg == jwa.Algorithm(enc))
}

// manages reports whether the row is one of KeyManagement.
func (k *Key) manages(row *jwa.KeyManagement) bool {
	if k.use != "" && k.use != UseEncryption { // RFC 7517 §4.2
		return false
	}
	switch k.alg { // RFC 7517 §4.4
	case row.Name:
		return true
	case "":
		return row.Mode != jwa.Password && k.fitsManagement(row) == nil
	}
	_, bound := jwa.Encryption(k.alg).Content()
	return bound && row.Mode == jwa.Direct
}

// bindToEncryption checks that an algorithm for encryption which the key is
// bound to is of its type, curve and size, RFC 8725 §3.1.
func (k *Key) bindToEncryption(alg jwa.Algorithm) error {
	if k.use == UseSignature {
		return fmt.Errorf("%w: use %q and alg %q contradict each other", ErrInvalid, k.use, alg)
	}
	if content, ok := jwa.Encryption(alg).Content(); ok {
		return k.fitsSecret(string(alg), content.KeySize)
	}
	row, ok := alg.KeyManagement()
	if !ok {
		return fmt.Errorf("%w: %s: %s", ErrUnsupported, alg, row.Unsupported)
	}
	return k.fitsManagement(&row)
}

// encrypts reports whether the name is one of an algorithm for encryption, be
// it supported or not.
func encrypts(alg jwa.Algorithm) bool {
	row, _ := alg.KeyManagement()
	_, content := jwa.Encryption(alg).Content()
	return content || row.Name != ""
}

// fitsManagement returns nil if the key's type, curve and size are those of the
// row.
func (k *Key) fitsManagement(row *jwa.KeyManagement) error {
	switch {
	case !row.Accepts(k.kind, k.curve):
		return fmt.Errorf("%w: %s does not work with a key of type %s %s", ErrInvalid, row.Name, k.kind, k.curve)
	case k.bits < row.MinKeyBits:
		return fmt.Errorf("%w: %s needs a key of at least %d bits, and this one has %d", ErrWeak, row.Name, row.MinKeyBits, k.bits)
	case row.Mode == jwa.Wrap || row.Mode == jwa.WrapGCM:
		return k.fitsSecret(string(row.Name), row.WrapSize)
	case row.Mode == jwa.Direct:
		for _, content := range jwa.ContentEncryptions() {
			if len(k.secret) == content.KeySize {
				return nil
			}
		}
		return fmt.Errorf("%w: no content encryption has a key of %d bytes", ErrInvalid, len(k.secret))
	}
	return nil
}

func (k *Key) fitsSecret(alg string, size int) error {
	if k.kind != jwa.Oct || len(k.secret) != size {
		return fmt.Errorf("%w: %s needs a secret of %d bytes", ErrInvalid, alg, size)
	}
	return nil
}

// leastSecret returns the least length in bytes of a secret that is n bytes
// long. Encryption does with 16 where a message authentication code wants as much
// as its hash, so it depends on what the secret is for; one that says nothing, and
// is as long as an AES key, can be that and nothing else.
func (k *Key) leastSecret(n int) int {
	const leastAES, mediumAES = 16, 24
	signs := k.use == UseSignature || slices.Contains(k.ops, opSign) || slices.Contains(k.ops, opVerify)
	row, _ := k.alg.KeyManagement()
	switch {
	case row.Mode == jwa.Password:
		return minPasswordBytes
	case encrypts(k.alg):
		return leastAES
	case signs || k.alg != "":
		return minSecretBytes
	case k.use == UseEncryption || n == leastAES || n == mediumAES:
		return leastAES
	}
	return minSecretBytes
}

// minPasswordBytes is the least length of a password. RFC 7518 §8.8 recommends
// 16 bytes and more; below 8 no count of iterations is of help.
const minPasswordBytes = 8

// An Operation is one of the two directions in which a key is used for
// encryption.
type Operation uint8

// Operations. The zero value is none of them.
const (
	ToEncrypt Operation = iota + 1
	ToDecrypt
)

// operations are the values of "key_ops", RFC 7517 §4.3, any of which permits an
// operation in a mode. Where WebCrypto sees encryption and JOSE sees the wrapping of
// a key, both words count.
var operations = map[jwa.Mode][2][]string{
	jwa.Direct:        {{"encrypt"}, {"decrypt"}},
	jwa.Wrap:          {{"wrapKey"}, {"unwrapKey"}},
	jwa.WrapGCM:       {{"wrapKey", "encrypt"}, {"unwrapKey", "decrypt"}},
	jwa.OAEP:          {{"wrapKey", "encrypt"}, {"unwrapKey", "decrypt"}},
	jwa.Agreement:     {{"deriveKey", "deriveBits"}, {"deriveKey", "deriveBits"}},
	jwa.AgreementWrap: {{"deriveKey", "deriveBits"}, {"deriveKey", "deriveBits"}},
	jwa.Password:      {{"deriveKey", "deriveBits", "wrapKey"}, {"deriveKey", "deriveBits", "unwrapKey"}},
}

// Permits returns nil if the key may be used for an operation with a key
// management algorithm, by its type, curve and size and by its members "alg", "use"
// and "key_ops". Otherwise it returns ErrUse, or ErrPrivate for a public key that is
// to decrypt.
func (k *Key) Permits(alg jwa.Algorithm, op Operation) error {
	_, err := k.management(alg, op)
	return err
}

// management is the gate through which every use of the material for encryption
// passes, as row is for signatures.
func (k *Key) management(alg jwa.Algorithm, op Operation) (*jwa.KeyManagement, error) {
	row, ok := alg.KeyManagement()
	if !ok || !k.manages(&row) {
		return nil, fmt.Errorf("%w: %v does not do %.40q", ErrUse, k, string(alg))
	}
	if op == ToDecrypt && !k.Private() {
		return nil, fmt.Errorf("%w: a public key cannot decrypt", ErrPrivate)
	}
	permitting := operations[row.Mode][op-ToEncrypt]
	// WebCrypto writes an empty list for the public half of an agreement, which
	// does nothing by itself.
	idle := op == ToEncrypt && row.Accepts(k.kind, k.curve) && len(k.ops) == 0 && k.kind != jwa.Oct && k.kind != jwa.RSA
	if !idle && !slices.ContainsFunc(permitting, k.permits) {
		return nil, fmt.Errorf("%w: key_ops list none of %q", ErrUse, permitting)
	}
	return &row, nil
}

// Secret returns a copy of a symmetric key for an operation with a key
// management algorithm. It returns ErrUse if the key is not for that, and
// ErrPrivate if it is not symmetric.
func (k *Key) Secret(alg jwa.Algorithm, op Operation) ([]byte, error) {
	if _, err := k.management(alg, op); err != nil {
		return nil, err
	}
	if k.secret == nil {
		return nil, fmt.Errorf("%w: %v is no secret", ErrPrivate, k)
	}
	return slices.Clone(k.secret), nil
}

// WrapOAEP encrypts a content encryption key with RSAES-OAEP, RFC 7518 §4.3. It
// returns ErrUse if the key is not for that.
func (k *Key) WrapOAEP(alg jwa.Algorithm, key []byte) ([]byte, error) {
	row, err := k.management(alg, ToEncrypt)
	if err != nil {
		return nil, err
	}
	public, ok := k.public.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: %v is no RSA key", ErrUse, k)
	}
	wrapped, err := rsa.EncryptOAEP(row.Hash.New(), rand.Reader, public, key, nil)
	if err != nil {
		return nil, fmt.Errorf("jwk: %s: %w", alg, err)
	}
	return wrapped, nil
}

// UnwrapOAEP decrypts a content encryption key with RSAES-OAEP. It returns ErrUse
// if the key is not for that, ErrPrivate for a public key, ErrUnsupported for a
// crypto.Signer that is no crypto.Decrypter, and ErrDecryption for everything that
// is wrong with the encrypted key.
func (k *Key) UnwrapOAEP(alg jwa.Algorithm, wrapped []byte) ([]byte, error) {
	row, err := k.management(alg, ToDecrypt)
	if err != nil {
		return nil, err
	}
	if k.kind != jwa.RSA {
		return nil, fmt.Errorf("%w: %v is no RSA key", ErrUse, k)
	}
	decrypter, ok := k.signer.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not decrypt", ErrUnsupported, k.signer)
	}
	key, err := decrypter.Decrypt(rand.Reader, wrapped, &rsa.OAEPOptions{Hash: row.Hash})
	if err != nil {
		return nil, ErrDecryption
	}
	return key, nil
}

// ExchangeKey returns the public half of a key for ECDH-ES, for whoever makes an
// ephemeral key on its curve. It returns ErrUse if the key is not for that.
func (k *Key) ExchangeKey(alg jwa.Algorithm) (*ecdh.PublicKey, error) {
	if _, err := k.management(alg, ToEncrypt); err != nil {
		return nil, err
	}
	return k.exchangePublic()
}

func (k *Key) exchangePublic() (*ecdh.PublicKey, error) {
	switch public := k.public.(type) {
	case *ecdh.PublicKey:
		return public, nil
	case *ecdsa.PublicKey:
		return public.ECDH()
	}
	return nil, fmt.Errorf("%w: %v is no key for an agreement", ErrUse, k)
}

// Exchange returns the shared secret Z of a private key and somebody's ephemeral
// public key, RFC 7518 §4.6. It returns ErrUse if the key is not for that or the
// ephemeral key is of another curve, ErrPrivate for a public key, ErrUnsupported
// for a crypto.Signer that is no ecdh.KeyExchanger, and ErrDecryption for a point
// that shares nothing: one of low order on X25519 (RFC 8037 §3.2.1).
func (k *Key) Exchange(alg jwa.Algorithm, ephemeral *ecdh.PublicKey) ([]byte, error) {
	if _, err := k.management(alg, ToDecrypt); err != nil {
		return nil, err
	}
	if exchangeCurves[ephemeral.Curve()] != k.curve { // RFC 8725 §3.4
		return nil, fmt.Errorf("%w: the ephemeral key is on another curve", ErrUse)
	}
	private, err := k.exchangePrivate()
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(ephemeral)
	if err != nil {
		return nil, ErrDecryption
	}
	return shared, nil
}

// exchangePrivate returns the private half for an agreement. Turning a key for
// signatures into one costs as much as a signature, so it is done once.
func (k *Key) exchangePrivate() (ecdh.KeyExchanger, error) {
	if k.exchanger != nil {
		return k.exchanger, nil
	}
	k.exchange.once.Do(func() {
		switch signer := k.signer.(type) {
		case *ecdsa.PrivateKey:
			k.exchange.private, k.exchange.err = signer.ECDH()
		case ecdh.KeyExchanger:
			k.exchange.private = signer
		default:
			k.exchange.err = fmt.Errorf("%w: %T does not agree upon keys", ErrUnsupported, signer)
		}
	})
	return k.exchange.private, k.exchange.err
}
