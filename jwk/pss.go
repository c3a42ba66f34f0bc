package jwk

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// PSS says what an RSA key may be used for that is marked as one for RSASSA-PSS
// only (the object identifier id-RSASSA-PSS of RFC 4055 §1.2).
type PSS struct {
	// Hash and MaskHash are the hashes it is restricted to. Both are 0 for a
	// key without parameters, which may be used with any.
	Hash, MaskHash crypto.Hash

	// SaltLength is the least length of a salt, RFC 4055 §3.1.
	SaltLength int
}

// PSS returns the restriction of an RSA key that is for RSASSA-PSS only, and false
// for any other key.
func (k *Key) PSS() (PSS, bool) {
	if k.pss == nil {
		return PSS{}, false
	}
	return *k.pss, true
}

// permits returns nil if the row may be used under the restriction, if there is one.
func (r *PSS) permits(row jwa.Signature) error {
	switch {
	case r == nil:
		return nil
	case row.Scheme != jwa.PSS:
		return fmt.Errorf("%w: %s with a key that is for RSASSA-PSS only", ErrInvalid, row.Name)
	case r.Hash == 0:
		return nil
	case row.Hash != r.Hash || r.MaskHash != r.Hash || r.SaltLength > row.Hash.Size(): // RFC 7518 §3.5
		return fmt.Errorf("%w: the parameters of the key are not those of %s", ErrInvalid, row.Name)
	}
	return nil
}

// pssMaterial is an RSA key with its restriction, as New takes it from a parser.
type pssMaterial struct {
	key         any
	restriction *PSS
	parameters  []byte // of the restriction, in DER
}

var oidRSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10} // RFC 4055 §1.2

var pssHashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// pssParameters is RSASSA-PSS-params of RFC 4055 §3.1.
type pssParameters struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
	Mask    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
	Salt    int                      `asn1:"explicit,optional,tag:2,default:20"`
	Trailer int                      `asn1:"explicit,optional,tag:3,default:1"`
}

// parsePKCS8 reads what crypto/x509 does, and RSA keys for PSS, which it does not.
func parsePKCS8(der []byte) (any, error) {
	var outer struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if rest, err := asn1.Unmarshal(der, &outer); err == nil && len(rest) == 0 && outer.Algorithm.Algorithm.Equal(oidRSAPSS) {
		key, err := x509.ParsePKCS1PrivateKey(outer.Key)
		if err != nil {
			return nil, err
		}
		return restrict(key, outer.Algorithm.Parameters)
	}
	if err := knownType(outer.Algorithm); err != nil {
		return nil, err
	}
	return x509.ParsePKCS8PrivateKey(der)
}

// parsePKIX is parsePKCS8 for public keys.
func parsePKIX(der []byte) (any, error) {
	var outer struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &outer); err == nil && len(rest) == 0 && outer.Algorithm.Algorithm.Equal(oidRSAPSS) {
		key, err := x509.ParsePKCS1PublicKey(outer.Key.RightAlign())
		if err != nil {
			return nil, err
		}
		return restrict(key, outer.Algorithm.Parameters)
	}
	if err := knownType(outer.Algorithm); err != nil {
		return nil, err
	}
	return x509.ParsePKIXPublicKey(der)
}

var knownTypes = []asn1.ObjectIdentifier{
	{1, 2, 840, 113549, 1, 1, 1}, // RSA, RFC 3279 §2.3.1
	{1, 2, 840, 10045, 2, 1},     // elliptic curves, RFC 5480 §2.1.1
	{1, 3, 101, 110},             // X25519, RFC 8410 §3
	{1, 3, 101, 112},             // Ed25519
}

var knownCurves = []asn1.ObjectIdentifier{ // RFC 5480 §2.1.1.1
	{1, 2, 840, 10045, 3, 1, 7}, {1, 3, 132, 0, 34}, {1, 3, 132, 0, 35},
}

// knownType tells keys of types and curves that nobody here can compute with from
// keys that are broken: crypto/x509 has one error for both.
func knownType(alg pkix.AlgorithmIdentifier) error {
	if len(alg.Algorithm) == 0 { // not parsed: broken
		return nil
	}
	if !slices.ContainsFunc(knownTypes, alg.Algorithm.Equal) {
		return fmt.Errorf("%w: a key of type %v", ErrUnsupported, alg.Algorithm)
	}
	var curve asn1.ObjectIdentifier
	if !alg.Algorithm.Equal(knownTypes[1]) {
		return nil
	}
	if _, err := asn1.Unmarshal(alg.Parameters.FullBytes, &curve); err == nil {
		return knownCurve(curve)
	}
	return nil
}

func knownCurve(curve asn1.ObjectIdentifier) error {
	if slices.ContainsFunc(knownCurves, curve.Equal) {
		return nil
	}
	return fmt.Errorf("%w: a key on the curve %v", ErrUnsupported, curve)
}

// parseSEC1 reads what crypto/x509 does, RFC 5915 §3.
func parseSEC1(der []byte) (any, error) {
	var outer struct {
		Version int
		Key     []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err == nil && len(rest) == 0 && len(outer.Curve) > 0 {
		if err := knownCurve(outer.Curve); err != nil {
			return nil, err
		}
	}
	return x509.ParseECPrivateKey(der)
}

func restrict(key any, parameters asn1.RawValue) (any, error) {
	if len(parameters.FullBytes) == 0 {
		return pssMaterial{key, &PSS{}, nil}, nil
	}
	var p pssParameters
	if rest, err := asn1.Unmarshal(parameters.FullBytes, &p); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("%w: RSASSA-PSS parameters", ErrInvalid)
	}
	var mask pkix.AlgorithmIdentifier
	if len(p.Mask.Parameters.FullBytes) > 0 {
		if _, err := asn1.Unmarshal(p.Mask.Parameters.FullBytes, &mask); err != nil {
			return nil, fmt.Errorf("%w: RSASSA-PSS parameters", ErrInvalid)
		}
	}
	r := PSS{SaltLength: p.Salt}
	var ok bool
	if r.Hash, ok = pssHash(p.Hash.Algorithm); !ok || p.Trailer != 1 || p.Salt < 0 {
		return nil, fmt.Errorf("%w: RSASSA-PSS parameters", ErrUnsupported)
	}
	if r.MaskHash, ok = pssHash(mask.Algorithm); !ok {
		return nil, fmt.Errorf("%w: RSASSA-PSS parameters", ErrUnsupported)
	}
	return pssMaterial{key, &r, slices.Clone(parameters.FullBytes)}, nil
}

// pssIdentifier is what marks a key that is for PSS only, RFC 4055 §1.2.
func (k *Key) pssIdentifier() pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidRSAPSS, Parameters: asn1.RawValue{FullBytes: k.pssParameters}}
}

// marshalPKIX writes what parsePKIX reads.
func (k *Key) marshalPKIX() ([]byte, error) {
	public, ok := k.public.(*rsa.PublicKey)
	if k.pss == nil || !ok {
		return x509.MarshalPKIXPublicKey(k.public)
	}
	der := x509.MarshalPKCS1PublicKey(public)
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{k.pssIdentifier(), asn1.BitString{Bytes: der, BitLength: 8 * len(der)}})
}

// marshalPKCS8 writes what parsePKCS8 reads.
func (k *Key) marshalPKCS8(private any) ([]byte, error) {
	key, ok := private.(*rsa.PrivateKey)
	if k.pss == nil || !ok {
		return x509.MarshalPKCS8PrivateKey(private)
	}
	return asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, k.pssIdentifier(), x509.MarshalPKCS1PrivateKey(key)})
}

// pssHash finds a hash; none at all is SHA-1, RFC 4055 §3.1.
func pssHash(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	if len(oid) == 0 {
		return crypto.SHA1, true
	}
	for _, row := range pssHashes {
		if row.oid.Equal(oid) {
			return row.hash, true
		}
	}
	return 0, false
}
