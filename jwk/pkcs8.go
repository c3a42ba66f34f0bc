package jwk

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" // PBKDF2 with HMAC-SHA-1 is the default of RFC 8018; collisions do not matter to it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"hash"
)

const (
	encryptedPEM = "ENCRYPTED PRIVATE KEY" // RFC 7468 §11

	// maxIterations bounds the work that an encrypted key may ask for, before any
	// is done: about a second.
	maxIterations = 2_000_000
	maxSalt       = 256
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13} // RFC 8018 A.4
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12} // RFC 8018 A.2
)

// Pseudorandom functions of PBKDF2, RFC 8018 B.1.
var pbkdf2Hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

// Ciphers of PBES2: AES in CBC mode with the padding of RFC 8018 B.2.5.
var pbes2Ciphers = []struct {
	oid  asn1.ObjectIdentifier
	size int
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32},
}

// ParseEncryptedPEM is ParsePEM for a private key that is encrypted with a
// passphrase: PKCS #8 with PBES2, which is PBKDF2 and AES (what openssl writes). A
// text that is not encrypted is an error: whoever gave a passphrase believed that
// it was. It returns ErrDecryption for the wrong passphrase, beside the errors of
// ParsePEM.
func ParseEncryptedPEM(data, passphrase []byte, p Params) (*Key, error) {
	if len(data) > maxPEMBytes {
		return nil, fmt.Errorf("%w: %d bytes of PEM; at most %d are taken", ErrInvalid, len(data), maxPEMBytes)
	}
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	if block.Type != encryptedPEM {
		return nil, fmt.Errorf("%w: the PEM block labelled %.40q is not encrypted", ErrInvalid, block.Type)
	}
	der, err := decryptPKCS8(block.Bytes, passphrase)
	if err != nil {
		return nil, err
	}
	return parseBlock(&pem.Block{Type: "PRIVATE KEY", Bytes: der}, p)
}

// ParsePEMOrSecret reads what many programs keep in one setting: PEM if the text
// has the mark of it, and otherwise a secret, byte for byte. A text that looks like
// PEM and does not parse is an error and never a secret: anybody may know a public
// key that lost its line breaks.
func ParsePEMOrSecret(data []byte, p Params) (*Key, error) {
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return ParsePEM(data, p)
	}
	return New(data, p)
}

// pbes2 is EncryptedPrivateKeyInfo of RFC 5958 §3 with the parameters of RFC
// 8018 A.4.
type pbes2 struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters struct {
			Derivation struct {
				OID        asn1.ObjectIdentifier
				Parameters struct {
					Salt       []byte
					Iterations int
					KeySize    int                      `asn1:"optional"`
					PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
				}
			}
			Scheme struct {
				OID asn1.ObjectIdentifier
				IV  []byte
			}
		}
	}
	Data []byte
}

func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	var info pbes2
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("%w: not a key encrypted with PBES2", ErrUnsupported)
	}
	kdf, scheme := &info.Algorithm.Parameters.Derivation, &info.Algorithm.Parameters.Scheme
	newHash, size := sha1.New, 0 // RFC 8018 A.2: the default
	for _, row := range pbkdf2Hashes {
		if row.oid.Equal(kdf.Parameters.PRF.Algorithm) {
			newHash = row.hash
		}
	}
	for _, row := range pbes2Ciphers {
		if row.oid.Equal(scheme.OID) {
			size = row.size
		}
	}
	switch p := &kdf.Parameters; {
	case !info.Algorithm.OID.Equal(oidPBES2) || !kdf.OID.Equal(oidPBKDF2) || size == 0 || !knownPRF(p.PRF.Algorithm):
		return nil, fmt.Errorf("%w: a key encrypted with anything but PBKDF2 and AES", ErrUnsupported)
	case p.Iterations < 1 || p.Iterations > maxIterations || len(p.Salt) > maxSalt:
		return nil, fmt.Errorf("%w: %d iterations of PBKDF2; at most %d are taken", ErrUnsupported, p.Iterations, maxIterations)
	case p.KeySize != 0 && p.KeySize != size, len(scheme.IV) != aes.BlockSize, len(info.Data) == 0, len(info.Data)%aes.BlockSize != 0:
		return nil, fmt.Errorf("%w: the encryption of the key contradicts itself", ErrInvalid)
	}
	key, err := pbkdf2.Key(newHash, string(passphrase), kdf.Parameters.Salt, kdf.Parameters.Iterations, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, scheme.IV).CryptBlocks(plain, info.Data)
	return unpad(plain)
}

func knownPRF(oid asn1.ObjectIdentifier) bool {
	for _, row := range pbkdf2Hashes {
		if row.oid.Equal(oid) {
			return true
		}
	}
	return len(oid) == 0
}

// unpad removes the padding of RFC 8018 B.2.5. There is no oracle to fear: whoever
// has the file and asks has the passphrase to try it with, too.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, fmt.Errorf("%w: is it the right passphrase?", ErrDecryption)
	}
	return plain[:len(plain)-n], nil
}
