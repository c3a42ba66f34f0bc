package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
)

// Verify checks a signature over a message. It returns ErrUse if the key is not
// for this algorithm or not for verifying, and ErrSignature if the signature
// does not match. The comparison of a message authentication code takes the same
// time wherever the first difference is.
func (k *Key) Verify(alg jwa.Algorithm, message, signature []byte) error {
	row, err := k.row(alg)
	if err != nil {
		return err
	}
	if !k.permits(opVerify) { // RFC 7517 §4.3
		return fmt.Errorf("%w: key_ops do not list verify", ErrUse)
	}
	if row.Size != 0 && len(signature) != row.Size {
		return fmt.Errorf("%w: %d bytes where %s has %d", ErrSignature, len(signature), alg, row.Size)
	}
	if !k.verify(row, message, signature) {
		return ErrSignature
	}
	return nil
}

// row finds the algorithm among those of this key: the gate through which
// every use of the material passes, so that no type of key feeds another family.
func (k *Key) row(alg jwa.Algorithm) (*jwa.Signature, error) {
	for i := range k.usable {
		if k.usable[i].Name == alg {
			return &k.usable[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %v does not do %.40q", ErrUse, k, string(alg))
}

func (k *Key) verify(row *jwa.Signature, message, signature []byte) bool {
	switch row.Scheme {
	case jwa.HMAC:
		return k.macs.verify(row.Hash, k.secret, message, signature)
	case jwa.Edwards:
		return ed25519.Verify(k.public.(ed25519.PublicKey), message, signature)
	}
	var sum [sha512.Size]byte
	digest := digestOf(row.Hash, message, &sum)
	switch row.Scheme {
	case jwa.PKCS1v15:
		return rsa.VerifyPKCS1v15(k.public.(*rsa.PublicKey), row.Hash, digest, signature) == nil
	case jwa.PSS:
		return rsa.VerifyPSS(k.public.(*rsa.PublicKey), row.Hash, digest, signature, &pssOptions[hashIndex(row.Hash)]) == nil
	case jwa.ECDSA:
		var der [maxDERSignature]byte
		return ecdsa.VerifyASN1(k.public.(*ecdsa.PublicKey), digest, appendDER(der[:0], signature))
	}
	return false
}

// AppendSignature signs a message and appends the signature to dst. An empty
// algorithm is the key's own. It returns ErrPrivate for a public key, ErrUse if
// the key is not for this algorithm or not for signing, and the error of a
// crypto.Signer that fails. ECDSA with a key of Go's own is deterministic (RFC 6979,
// which RFC 8725 §3.2 asks for).
func (k *Key) AppendSignature(dst []byte, alg jwa.Algorithm, message []byte) ([]byte, error) {
	if alg == "" && len(k.usable) > 0 {
		alg = k.usable[0].Name
	}
	row, err := k.row(alg)
	if err != nil {
		return nil, err
	}
	switch {
	case !k.Private():
		return nil, fmt.Errorf("%w: a public key cannot sign", ErrPrivate)
	case !k.permits(opSign): // RFC 7517 §4.3
		return nil, fmt.Errorf("%w: key_ops do not list sign", ErrUse)
	case row.Scheme == jwa.HMAC:
		return k.macs.appendSum(dst, row.Hash, k.secret, message), nil
	}
	signature, err := k.sign(row, message)
	if err != nil {
		return nil, fmt.Errorf("jwk: sign: %w", err)
	}
	if row.Scheme == jwa.ECDSA {
		return appendFixed(dst, signature, row.Size)
	}
	return append(dst, signature...), nil
}

// sign asks the signer, which may be a Go key or a module elsewhere, for a
// signature in the signer's own form. A Go key signs with ECDSA as RFC 6979
// describes: what its nonce is worth hangs on no source of randomness.
func (k *Key) sign(row *jwa.Signature, message []byte) ([]byte, error) {
	switch row.Scheme {
	case jwa.Edwards:
		return k.signer.Sign(rand.Reader, message, crypto.Hash(0))
	case jwa.PSS:
		var sum [sha512.Size]byte
		return k.signer.Sign(rand.Reader, digestOf(row.Hash, message, &sum), &pssOptions[hashIndex(row.Hash)])
	default:
		var sum [sha512.Size]byte
		random := rand.Reader
		if _, ok := k.signer.(*ecdsa.PrivateKey); ok {
			random = nil // deterministic, as RFC 8725 §3.2 has it; and faster
		}
		return k.signer.Sign(random, digestOf(row.Hash, message, &sum), row.Hash)
	}
}

// The salt of RSASSA-PSS is as long as the hash, RFC 7518 §3.5.
var pssOptions = [...]rsa.PSSOptions{
	{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256},
	{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384},
	{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512},
}

// hashIndex numbers the three hashes of the table.
func hashIndex(h crypto.Hash) int { return int(h - crypto.SHA256) }

func digestOf(h crypto.Hash, message []byte, sum *[sha512.Size]byte) []byte {
	switch h {
	case crypto.SHA256:
		d := sha256.Sum256(message)
		return append(sum[:0], d[:]...)
	case crypto.SHA384:
		d := sha512.Sum384(message)
		return append(sum[:0], d[:]...)
	default:
		d := sha512.Sum512(message)
		return append(sum[:0], d[:]...)
	}
}
