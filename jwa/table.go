package jwa

import "crypto"

// Why a row cannot be computed.
const (
	noCurve  = "the Go standard library has no such curve"
	noModule = "the Go standard library has no public ML-DSA"
)

// table is all that the library knows about signature algorithms. Within a key
// type the first row that fits a key is the key's default.
var table = []Signature{
	{Name: HS256, Scheme: HMAC, KeyType: Oct, Hash: crypto.SHA256, Size: 32, MinKeyBits: 256},
	{Name: HS384, Scheme: HMAC, KeyType: Oct, Hash: crypto.SHA384, Size: 48, MinKeyBits: 384},
	{Name: HS512, Scheme: HMAC, KeyType: Oct, Hash: crypto.SHA512, Size: 64, MinKeyBits: 512},
	{Name: RS256, Scheme: PKCS1v15, KeyType: RSA, Hash: crypto.SHA256, MinKeyBits: 2048},
	{Name: RS384, Scheme: PKCS1v15, KeyType: RSA, Hash: crypto.SHA384, MinKeyBits: 2048},
	{Name: RS512, Scheme: PKCS1v15, KeyType: RSA, Hash: crypto.SHA512, MinKeyBits: 2048},
	{Name: PS256, Scheme: PSS, KeyType: RSA, Hash: crypto.SHA256, MinKeyBits: 2048},
	{Name: PS384, Scheme: PSS, KeyType: RSA, Hash: crypto.SHA384, MinKeyBits: 2048},
	{Name: PS512, Scheme: PSS, KeyType: RSA, Hash: crypto.SHA512, MinKeyBits: 2048},
	{Name: ES256, Scheme: ECDSA, KeyType: EC, Curve: P256, Hash: crypto.SHA256, Size: 64},
	{Name: ES384, Scheme: ECDSA, KeyType: EC, Curve: P384, Hash: crypto.SHA384, Size: 96},
	{Name: ES512, Scheme: ECDSA, KeyType: EC, Curve: P521, Hash: crypto.SHA512, Size: 132},
	{Name: EdDSA, Scheme: Edwards, KeyType: OKP, Curve: CurveEd25519, Size: 64},
	{Name: Ed25519, Scheme: Edwards, KeyType: OKP, Curve: CurveEd25519, Size: 64},
	{Name: ES256K, Scheme: ECDSA, KeyType: EC, Curve: Secp256k1, Hash: crypto.SHA256, Size: 64, Unsupported: noCurve},
	{Name: Ed448, Scheme: Edwards, KeyType: OKP, Curve: CurveEd448, Size: 114, Unsupported: noCurve},
	{Name: MLDSA44, Scheme: Lattice, KeyType: AKP, Size: 2420, Unsupported: noModule},
	{Name: MLDSA65, Scheme: Lattice, KeyType: AKP, Size: 3309, Unsupported: noModule},
	{Name: MLDSA87, Scheme: Lattice, KeyType: AKP, Size: 4627, Unsupported: noModule},
}

// rows finds a row by name. It is written once, before main, and only read
// afterwards.
var rows = func() map[Algorithm]*Signature {
	m := make(map[Algorithm]*Signature, len(table))
	for i := range table {
		m[table[i].Name] = &table[i]
	}
	return m
}()
