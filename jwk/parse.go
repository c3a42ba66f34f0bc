package jwk

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
)

// maxKeyBytes is the longest text that Parse takes: a private RSA key of 8192
// bits with a long chain of certificates stays below.
const maxKeyBytes = 64 << 10

// Parse reads one JSON Web Key, RFC 7517 §4. The text must be one JSON object
// without duplicate members, base64url without padding, coordinates of full
// length; a private half must belong to its public half, and a certificate in "x5c"
// to the key. Members that it does not know are ignored (§4), "x5t" and "x5u" among
// them.
//
// Parse returns ErrInvalid, ErrWeak, or, for a key that is not broken but of
// unknown type, curve or algorithm, ErrUnsupported.
func Parse(data []byte) (*Key, error) {
	if len(data) > maxKeyBytes {
		return nil, fmt.Errorf("%w: %d bytes of text; at most %d are taken", ErrInvalid, len(data), maxKeyBytes)
	}
	return parseKey(string(data))
}

func parseKey(text string) (*Key, error) {
	m, err := readMembers(text)
	if err != nil {
		return nil, err
	}
	return m.key()
}

// parsePublicKey is parseKey for the public half of a key, whatever else the text has.
func parsePublicKey(text string) (*Key, error) {
	m, err := readMembers(text)
	if err != nil {
		return nil, err
	}
	private := m.has("d")
	for _, name := range privateMembers {
		delete(m.values, name)
	}
	k, err := m.key()
	if err == nil && private {
		k.ops = publicOperations(k.ops)
	}
	return k, err
}

// privateMembers are those of RFC 7518 §6.2.2 and §6.3.2, and of RFC 8037 §2.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth"}

func (m *members) key() (*Key, error) {
	k := &Key{id: m.text("kid"), alg: jwa.Algorithm(m.text("alg")), use: m.text("use"), ops: m.texts("key_ops"), by: m.text("issuer")}
	material, err := m.material()
	if m.err != nil { // the first malformed member explains all that follows
		return nil, m.err
	}
	if err != nil {
		return nil, err
	}
	if err := k.setMaterial(material); err != nil {
		return nil, err
	}
	if err := k.bind(); err != nil {
		return nil, err
	}
	if err := m.certificates(k); err != nil {
		return nil, err
	}
	return k, nil
}

// members are those of a key that this package reads. The first error sticks.
type members struct {
	values map[string]strictjson.Value
	err    error
}

var known = map[string]bool{
	"kty": true, "use": true, "key_ops": true, "alg": true, "kid": true, "crv": true, "x": true, "y": true, "d": true,
	"n": true, "e": true, "p": true, "q": true, "dp": true, "dq": true, "qi": true, "oth": true, "k": true,
	"x5c": true, "x5t#S256": true, "issuer": true,
}

func readMembers(text string) (*members, error) {
	m := &members{values: make(map[string]strictjson.Value, 12)}
	s := strictjson.New(text)
	for s.Next() {
		if known[s.Name()] {
			m.values[s.Name()] = s.Value()
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, nil
}

func (m *members) fail(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
}

func (m *members) has(name string) bool {
	_, ok := m.values[name]
	return ok
}

// text returns a member that must be a string that is not empty, or be absent.
func (m *members) text(name string) string {
	value, ok := m.values[name]
	if !ok {
		return ""
	}
	text, ok := value.Text()
	if !ok || text == "" {
		m.fail("%s must be a string and not empty", name)
	}
	return text
}

func (m *members) texts(name string) []string {
	value, ok := m.values[name]
	if !ok {
		return nil
	}
	list, ok := value.Texts()
	if !ok || len(list) > 16 {
		m.fail("%s must be a short list of strings", name)
	}
	return list
}

// bytes returns a required member in base64url, RFC 7515 §2. The value is never
// part of an error: it may be secret.
func (m *members) bytes(name string) []byte {
	text := m.text(name)
	if text == "" {
		m.fail("%s is missing", name)
		return nil
	}
	// Go's decoder skips line breaks, strict or not.
	if strings.ContainsAny(text, "\r\n") {
		m.fail("%s is not base64url", name)
		return nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		m.fail("%s is not base64url", name)
	}
	return b
}

// integer returns a required member as a Base64urlUInt, RFC 7518 §2, which has
// no leading zeros.
func (m *members) integer(name string) *big.Int {
	b := m.bytes(name)
	if len(b) > 0 && b[0] == 0 {
		m.fail("%s has leading zeros", name)
	}
	return new(big.Int).SetBytes(b)
}

// material turns the members into a Go key. What it returns counts only if no
// member was malformed.
func (m *members) material() (any, error) {
	switch kty := m.text("kty"); jwa.KeyType(kty) {
	case "":
		m.fail("kty is missing")
		return nil, nil
	case jwa.RSA:
		return m.rsa()
	case jwa.EC:
		return m.ec()
	case jwa.OKP:
		return m.okp()
	case jwa.Oct:
		return m.oct()
	default:
		return nil, fmt.Errorf("%w: key type %.40q", ErrUnsupported, kty)
	}
}

// oct reads a secret, RFC 7518 §6.4. An empty one is weak, not missing.
func (m *members) oct() (any, error) {
	if value, ok := m.values["k"]; ok {
		if text, ok := value.Text(); ok && text == "" {
			return nil, fmt.Errorf("%w: an empty secret", ErrWeak)
		}
	}
	return m.bytes("k"), nil
}

// rsa reads RFC 7518 §6.3. The modulus is checked before anything is computed
// with it, so that a huge one costs nothing.
func (m *members) rsa() (any, error) {
	n, e := m.integer("n"), m.integer("e")
	if m.err != nil {
		return nil, m.err
	}
	if err := checkRSA(n, e, minRSABits); err != nil {
		return nil, err
	}
	public := rsa.PublicKey{N: n, E: int(e.Int64())}
	if !m.has("d") {
		if m.has("p") || m.has("q") || m.has("dp") || m.has("dq") || m.has("qi") {
			m.fail("private members without d")
		}
		return &public, nil
	}
	if m.has("oth") {
		return nil, fmt.Errorf("%w: RSA with more than two primes", ErrUnsupported)
	}
	if !m.has("p") && !m.has("q") {
		return nil, fmt.Errorf("%w: an RSA private key without its primes", ErrUnsupported)
	}
	return m.rsaPrivate(public)
}

func (m *members) rsaPrivate(public rsa.PublicKey) (any, error) {
	d, p, q := m.integer("d"), m.integer("p"), m.integer("q")
	limit := public.N.BitLen()
	if d.BitLen() > limit || p.BitLen() > limit || q.BitLen() > limit {
		m.fail("a private member is longer than n")
	}
	if m.err != nil {
		return nil, m.err
	}
	private := &rsa.PrivateKey{PublicKey: public, D: d, Primes: []*big.Int{p, q}}
	private.Precompute() // which holds the key to all that Validate asks of one that was not
	if err := private.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the RSA private key does not belong to the public key", ErrInvalid)
	}
	for name, want := range map[string]*big.Int{
		"dp": private.Precomputed.Dp, "dq": private.Precomputed.Dq, "qi": private.Precomputed.Qinv,
	} {
		if m.has(name) && m.integer(name).Cmp(want) != 0 {
			m.fail("%s contradicts the other members", name)
		}
	}
	return private, nil
}

// ec reads RFC 7518 §6.2. Coordinates and the private key have the full length
// of the curve, and the point is on it.
func (m *members) ec() (any, error) {
	name := m.text("crv")
	curve, ok := curveNamed(jwa.Curve(name))
	if !ok {
		if name == "" {
			m.fail("crv is missing")
		}
		return nil, fmt.Errorf("%w: curve %.40q", ErrUnsupported, name)
	}
	x, y := m.bytes("x"), m.bytes("y")
	if len(x) != curve.size || len(y) != curve.size {
		m.fail("coordinates on %s have %d bytes", name, curve.size)
		return nil, m.err
	}
	point := append(append([]byte{4}, x...), y...) // uncompressed, SEC 1 §2.3.3
	public, err := ecdsa.ParseUncompressedPublicKey(curve.curve, point)
	if err != nil {
		m.fail("the point is not on %s", name)
		return nil, m.err
	}
	if !m.has("d") {
		return public, nil
	}
	d := m.bytes("d")
	if len(d) != curve.size {
		m.fail("a private key on %s has %d bytes", name, curve.size)
		return nil, m.err
	}
	private, err := ecdsa.ParseRawPrivateKey(curve.curve, d)
	if err != nil || !private.PublicKey.Equal(public) {
		m.fail("the private key does not belong to the public key")
		return nil, m.err
	}
	return private, nil
}

// okp reads RFC 8037 §2.
func (m *members) okp() (any, error) {
	name := m.text("crv")
	if jwa.Curve(name) == jwa.X25519 {
		return m.x25519()
	}
	if jwa.Curve(name) != jwa.CurveEd25519 {
		if name == "" {
			m.fail("crv is missing")
		}
		return nil, fmt.Errorf("%w: curve %.40q", ErrUnsupported, name)
	}
	x := m.bytes("x")
	if !m.has("d") {
		return ed25519.PublicKey(x), nil
	}
	seed := m.bytes("d")
	if len(seed) != ed25519.SeedSize {
		m.fail("a private key on Ed25519 has %d bytes", ed25519.SeedSize)
		return nil, m.err
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !private.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(x)) {
		m.fail("the private key does not belong to the public key")
	}
	return private, nil
}
