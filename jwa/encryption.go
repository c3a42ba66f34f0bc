package jwa

import (
	"crypto"
	"slices"
)

// Algorithms for key management, RFC 7518 §4: how the key that encrypts a
// message reaches the recipient. They are values of the "alg" member too, so one
// name never stands for a signature and for encryption.
const (
	Dir Algorithm = "dir" // the secret encrypts the message itself, RFC 7518 §4.5

	A128KW Algorithm = "A128KW" // AES Key Wrap, RFC 7518 §4.4, RFC 3394
	A192KW Algorithm = "A192KW"
	A256KW Algorithm = "A256KW"

	A128GCMKW Algorithm = "A128GCMKW" // key wrapping with AES-GCM, RFC 7518 §4.7
	A192GCMKW Algorithm = "A192GCMKW"
	A256GCMKW Algorithm = "A256GCMKW"

	RSAOAEP    Algorithm = "RSA-OAEP"     // RSAES-OAEP with SHA-1, RFC 7518 §4.3
	RSAOAEP256 Algorithm = "RSA-OAEP-256" // RSAES-OAEP with SHA-256, RFC 7518 §4.3
	RSAOAEP384 Algorithm = "RSA-OAEP-384" // RSAES-OAEP with SHA-384, registered by WebCrypto
	RSAOAEP512 Algorithm = "RSA-OAEP-512" // RSAES-OAEP with SHA-512, registered by WebCrypto

	ECDHES       Algorithm = "ECDH-ES"        // the agreed key encrypts the message, RFC 7518 §4.6
	ECDHESA128KW Algorithm = "ECDH-ES+A128KW" // the agreed key wraps the one that does
	ECDHESA192KW Algorithm = "ECDH-ES+A192KW"
	ECDHESA256KW Algorithm = "ECDH-ES+A256KW"

	PBES2HS256A128KW Algorithm = "PBES2-HS256+A128KW" // a password, RFC 7518 §4.8
	PBES2HS384A192KW Algorithm = "PBES2-HS384+A192KW"
	PBES2HS512A256KW Algorithm = "PBES2-HS512+A256KW"
)

// RSA15 is RSAES-PKCS1-v1_5, RFC 7518 §4.2. It has a row so that it is refused
// with a reason, and no other use.
const RSA15 Algorithm = "RSA1_5"

// X25519 is the curve of RFC 7748 §4.1 for key agreement; RFC 8037 §3.2.
const X25519 Curve = "X25519"

// An Encryption is the name of a content encryption algorithm, RFC 7518 §5, as
// it stands in the "enc" member of a header. A secret that is meant for such an
// algorithm carries the name in its "alg" member.
type Encryption string

// Content encryption algorithms.
const (
	A128CBCHS256 Encryption = "A128CBC-HS256" // AES-CBC, then HMAC with SHA-256, RFC 7518 §5.2.3
	A192CBCHS384 Encryption = "A192CBC-HS384" // AES-CBC, then HMAC with SHA-384, RFC 7518 §5.2.4
	A256CBCHS512 Encryption = "A256CBC-HS512" // AES-CBC, then HMAC with SHA-512, RFC 7518 §5.2.5
	A128GCM      Encryption = "A128GCM"       // AES in Galois/Counter Mode, RFC 7518 §5.3
	A192GCM      Encryption = "A192GCM"
	A256GCM      Encryption = "A256GCM"
)

// A Mode is a way to bring the content encryption key to the recipient: the key
// management modes of RFC 7516 §2, key wrapping told apart by cipher.
type Mode uint8

// Modes. The zero value is none of them.
const (
	Direct        Mode = iota + 1 // the secret is the content encryption key
	Wrap                          // wrapped with AES Key Wrap
	WrapGCM                       // wrapped with AES-GCM
	OAEP                          // encrypted with RSAES-OAEP, RFC 8017 §7.1
	Agreement                     // agreed upon with ECDH-ES
	AgreementWrap                 // wrapped with AES Key Wrap, under a key agreed upon
	Password                      // wrapped with AES Key Wrap, under a key derived by PBKDF2
	PKCS1v15Key                   // encrypted with RSAES-PKCS1-v1_5, RFC 8017 §7.2
)

// KeyManagement is one row of the table of key management algorithms.
type KeyManagement struct {
	Name Algorithm
	Mode Mode

	// KeyType is that of the recipient's key; "" for key agreement, which
	// elliptic curves of two key types do. See [KeyManagement.Accepts].
	KeyType KeyType

	// Hash is that of OAEP (label and mask) and of PBKDF2; 0 elsewhere.
	Hash crypto.Hash

	// WrapSize is the length in bytes of the AES key that wraps the content
	// encryption key; 0 where AES does not.
	WrapSize int

	// MinKeyBits is the least size of an RSA modulus; 0 for other key types.
	MinKeyBits int

	// Unsupported is "" if the algorithm is offered, and otherwise the reason
	// why not.
	Unsupported string
}

// agreementCurves are the curves of ECDH-ES with the key type that each belongs
// to, RFC 7518 §4.6.1.1 and RFC 8037 §3.2.
var agreementCurves = map[Curve]KeyType{P256: EC, P384: EC, P521: EC, X25519: OKP}

// Accepts reports whether keys of this type, and on this curve if the type has
// curves, are what the algorithm works with.
func (m KeyManagement) Accepts(kty KeyType, crv Curve) bool {
	if m.Mode == Agreement || m.Mode == AgreementWrap {
		owner, ok := agreementCurves[crv]
		return ok && owner == kty
	}
	return m.KeyType == kty
}

// ContentEncryption is one row of the table of content encryption algorithms.
// All of them authenticate what they encrypt.
type ContentEncryption struct {
	Name    Encryption
	Hash    crypto.Hash // of the HMAC; 0 for GCM, which needs none
	KeySize int         // of the content encryption key, in bytes
	IVSize  int         // in bytes; no other length is right
	TagSize int         // in bytes; no other length is right
}

const paddingOracle = "the padding of PKCS #1 v1.5 lets senders of forged messages decrypt others (RFC 8725 §3.2)"

// management is all that the library knows about key management. Within a key
// type the first row that fits a key is the key's default.
var management = []KeyManagement{
	{Name: A128KW, Mode: Wrap, KeyType: Oct, WrapSize: 16},
	{Name: A192KW, Mode: Wrap, KeyType: Oct, WrapSize: 24},
	{Name: A256KW, Mode: Wrap, KeyType: Oct, WrapSize: 32},
	{Name: A128GCMKW, Mode: WrapGCM, KeyType: Oct, WrapSize: 16},
	{Name: A192GCMKW, Mode: WrapGCM, KeyType: Oct, WrapSize: 24},
	{Name: A256GCMKW, Mode: WrapGCM, KeyType: Oct, WrapSize: 32},
	{Name: Dir, Mode: Direct, KeyType: Oct},
	{Name: RSAOAEP256, Mode: OAEP, KeyType: RSA, Hash: crypto.SHA256, MinKeyBits: 2048},
	{Name: RSAOAEP, Mode: OAEP, KeyType: RSA, Hash: crypto.SHA1, MinKeyBits: 2048},
	{Name: RSAOAEP384, Mode: OAEP, KeyType: RSA, Hash: crypto.SHA384, MinKeyBits: 2048},
	{Name: RSAOAEP512, Mode: OAEP, KeyType: RSA, Hash: crypto.SHA512, MinKeyBits: 2048},
	{Name: ECDHES, Mode: Agreement},
	{Name: ECDHESA128KW, Mode: AgreementWrap, WrapSize: 16},
	{Name: ECDHESA192KW, Mode: AgreementWrap, WrapSize: 24},
	{Name: ECDHESA256KW, Mode: AgreementWrap, WrapSize: 32},
	{Name: PBES2HS256A128KW, Mode: Password, KeyType: Oct, Hash: crypto.SHA256, WrapSize: 16},
	{Name: PBES2HS384A192KW, Mode: Password, KeyType: Oct, Hash: crypto.SHA384, WrapSize: 24},
	{Name: PBES2HS512A256KW, Mode: Password, KeyType: Oct, Hash: crypto.SHA512, WrapSize: 32},
	{Name: RSA15, Mode: PKCS1v15Key, KeyType: RSA, MinKeyBits: 2048, Unsupported: paddingOracle},
}

// content is all that the library knows about content encryption.
var content = []ContentEncryption{
	{Name: A256GCM, KeySize: 32, IVSize: 12, TagSize: 16},
	{Name: A192GCM, KeySize: 24, IVSize: 12, TagSize: 16},
	{Name: A128GCM, KeySize: 16, IVSize: 12, TagSize: 16},
	{Name: A256CBCHS512, Hash: crypto.SHA512, KeySize: 64, IVSize: 16, TagSize: 32},
	{Name: A192CBCHS384, Hash: crypto.SHA384, KeySize: 48, IVSize: 16, TagSize: 24},
	{Name: A128CBCHS256, Hash: crypto.SHA256, KeySize: 32, IVSize: 16, TagSize: 16},
}

// managementRows and contentRows find a row by name. Like rows, they are written
// once, before main.
var (
	managementRows = byName(management, func(row *KeyManagement) Algorithm { return row.Name })
	contentRows    = byName(content, func(row *ContentEncryption) Encryption { return row.Name })
)

func byName[Name comparable, Row any](table []Row, name func(*Row) Name) map[Name]*Row {
	m := make(map[Name]*Row, len(table))
	for i := range table {
		m[name(&table[i])] = &table[i]
	}
	return m
}

// KeyManagement returns the row of the algorithm. The answer is true only if it
// is a key management algorithm that is offered; for RSA1_5, which is not, the row
// comes back with false, and for any other name a zero row.
func (a Algorithm) KeyManagement() (KeyManagement, bool) {
	row, ok := managementRows[a]
	if !ok {
		return KeyManagement{}, false
	}
	return *row, row.Unsupported == ""
}

// Content returns the row of the algorithm, and false for any other name.
func (e Encryption) Content() (ContentEncryption, bool) {
	row, ok := contentRows[e]
	if !ok {
		return ContentEncryption{}, false
	}
	return *row, true
}

// KeyManagements returns the rows of all key management algorithms that are
// offered, in the order of the table.
func KeyManagements() []KeyManagement {
	return slices.DeleteFunc(slices.Clone(management), func(row KeyManagement) bool { return row.Unsupported != "" })
}

// ContentEncryptions returns the rows of all content encryption algorithms, in
// the order of the table: the first that fits is the default.
func ContentEncryptions() []ContentEncryption { return slices.Clone(content) }
