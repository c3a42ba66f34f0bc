package jwt

import (
	"fmt"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jws"
)

// What a caller did wrong who brought an algorithm and a key together that do not
// fit is said in the words of jsonwebtoken. Nothing is decided here: the key itself
// refused.

// curveNames are those of OpenSSL, which jsonwebtoken uses.
var curveNames = map[jwa.Curve]string{jwa.P256: "prime256v1", jwa.P384: "secp384r1", jwa.P521: "secp521r1", jwa.Secp256k1: "secp256k1"}

// sameFamily reports whether the algorithm is one that a key of this type might
// have done: then the key is at fault and not the token.
func sameFamily(m *jws.MismatchError) bool {
	row, known := rowOf(m.Algorithm)
	return known && row.KeyType == m.Key.Type()
}

// rowOf returns the row of a known algorithm, supported or not.
func rowOf(alg jwa.Algorithm) (jwa.Signature, bool) {
	row, _ := alg.Signature()
	return row, row.Name != ""
}

func describeMismatch(who string, m *jws.MismatchError) string {
	row, known := rowOf(m.Algorithm)
	restriction, pss := m.Key.PSS()
	switch {
	case known && row.Scheme == jwa.HMAC && !m.Key.Symmetric():
		return fmt.Sprintf("%s must be a symmetric key when using %s", who, row.Name)
	case known && row.Scheme != jwa.HMAC && m.Key.Symmetric():
		return fmt.Sprintf("%s must be an asymmetric key when using %s", who, row.Name)
	case m.Key.Symmetric():
		return fmt.Sprintf("%s is too short for %.40s, or bound to another algorithm", who, m.Algorithm)
	case pss && row.Scheme == jwa.PSS && restriction.Hash == row.Hash && restriction.MaskHash == row.Hash:
		return fmt.Sprintf(`Invalid key for this operation, its RSA-PSS parameter saltLength does not meet the requirements of "alg" %s.`, row.Name)
	case pss && row.Scheme == jwa.PSS:
		return fmt.Sprintf(`Invalid key for this operation, its RSA-PSS parameters do not meet the requirements of "alg" %s.`, row.Name)
	case pss:
		return `"alg" parameter for "rsa-pss" key type must be one of: PS256, PS384, PS512.`
	case m.Key.Algorithm() != "":
		return fmt.Sprintf("%s is bound to another algorithm than %.40s", who, m.Algorithm)
	case m.Key.Type() == jwa.EC && row.Scheme == jwa.ECDSA:
		return fmt.Sprintf(`"alg" parameter "%s" requires curve "%s".`, row.Name, curveNames[row.Curve])
	}
	if m.Key.Curve() == jwa.X25519 {
		return `Unknown key type "x25519".`
	}
	return describeType(m.Key.Type())
}

func describeType(kind jwa.KeyType) string {
	switch kind {
	case jwa.RSA:
		return `"alg" parameter for "rsa" key type must be one of: RS256, PS256, RS384, PS384, RS512, PS512.`
	case jwa.EC:
		return `"alg" parameter for "ec" key type must be one of: ES256, ES384, ES512.`
	}
	return `"alg" parameter for "ed25519" key type must be one of: EdDSA, Ed25519.`
}
