package jws_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// Attacks on keys and signatures.

// J1: RFC 8725 §3.1, §3.2.
func attackNone(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, `{"alg":"HS256"}`, "x"), hs, jws.VerifyOptions{})
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `"hs256"`, `"HS256 "`} {
		header := `{"alg":` + alg + `}`
		refuses(t, alg+" unsigned", b64(header)+"."+b64("x")+".", hs, jws.VerifyOptions{}, jws.ErrUnsigned)
		refuses(t, alg+" signed", forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrAlgorithm)
		refuses(t, alg+" without the dot", b64(header)+"."+b64("x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	for _, header := range []string{`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":256}`, `{"alg":["HS256"]}`, `{"alg":{}}`, `{"alg":true}`, `{"ALG":"HS256"}`} {
		refuses(t, header, forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	if _, err := jws.NewVerifier(hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{"none"}}); !errors.Is(err, jws.ErrOptions) {
		t.Errorf("none can be allowed: %v", err)
	}
}

// J2: RFC 8725 §2.1.
func attackConfusion(t *testing.T) {
	for _, alg := range []jwa.Algorithm{jwa.RS256, jwa.ES256, jwa.EdDSA} {
		private := key(alg)
		public := must(private.Public())
		unbound := must(jwk.New(public.PublicKey(), jwk.Params{ID: public.ID()}))
		der := must(x509.MarshalPKIXPublicKey(public.PublicKey()))
		armoured := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		text := must(public.MarshalJSON())
		for _, source := range []*jwk.Key{public, unbound} {
			accepts(t, "good twin", forge(private, `{"alg":"`+string(alg)+`"}`, "x"), source, jws.VerifyOptions{})
			for name, secret := range map[string][]byte{
				"PEM": armoured, "PEM without the last line break": bytes.TrimSpace(armoured), "DER": der, "JWK": text,
				"x or n": []byte(memberOf(text)), "x or n decoded": must(base64.RawURLEncoding.DecodeString(memberOf(text))),
			} {
				token := hmacToken(secret, `{"alg":"HS256"}`, "x")
				refuses(t, fmt.Sprint(source, " ", name), token, source, jws.VerifyOptions{}, jws.ErrAlgorithm)
				refuses(t, "even if allowed", token, source, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS256, alg}}, jws.ErrAlgorithm)
			}
		}
	}
}

func memberOf(text []byte) string {
	var m struct{ N, X string }
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	return m.N + m.X
}

// J5: no key can be made of these, so nothing can be verified with them.
func attackWeakSecrets(t *testing.T) {
	for _, secret := range []string{"", "secret", "changeme", "sixteen letters!", strings.Repeat("x", 31)} {
		// What is as long as an AES key may be one; it signs nothing.
		k, err := jwk.New([]byte(secret), jwk.Params{})
		if k != nil && len(k.Algorithms()) > 0 || k == nil && !errors.Is(err, jwk.ErrWeak) {
			t.Errorf("%q: %v, %v", secret, k, err)
		}
		if k, err := jwk.New([]byte(secret), jwk.Params{Algorithm: jwa.HS256}); !errors.Is(err, jwk.ErrWeak) || k != nil {
			t.Errorf("%q: %v, %v", secret, k, err)
		}
	}
	k := must(jwk.New([]byte(strings.Repeat("x", 32)), jwk.Params{}))
	accepts(t, "good twin", forge(k, `{"alg":"HS256"}`, "x"), k, jws.VerifyOptions{})
	refuses(t, "RFC 7518 §3.2: HS512 with 32 bytes", forge(k, `{"alg":"HS512"}`, "x"), k, jws.VerifyOptions{}, jws.ErrAlgorithm)
}

// hmacToken signs a token with any secret, even none.
func hmacToken(secret []byte, header, payload string) string {
	signed := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// J3: "kty" RSA never feeds HMAC, and least of all with the octets that it does not have.
func attackEmptySecret(t *testing.T) {
	private := key(jwa.RS256)
	var members map[string]any
	if err := json.Unmarshal(must(must(private.Public()).MarshalJSON()), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alg", "use", "kid", "key_ops"} {
		delete(members, name)
	}
	public := must(jwk.Parse(must(json.Marshal(members))))
	accepts(t, "good twin", forge(private, `{"alg":"RS256"}`, "x"), public, jws.VerifyOptions{})
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","kid":""}`, `{"alg":"HS256","typ":"JWT"}`} {
		for name, secret := range map[string][]byte{"empty": {}, "a zero byte": {0}, "32 zero bytes": make([]byte, 32)} {
			refuses(t, header+" "+name, hmacToken(secret, header, "x"), public, jws.VerifyOptions{}, jws.ErrAlgorithm)
			refuses(t, header+" "+name+", allowed", hmacToken(secret, header, "x"), public, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS256}}, jws.ErrAlgorithm)
		}
	}
}

// signedParts are a good token of each algorithm: what is signed with the dot behind it,
// and the signature.
func signedParts(each func(alg jwa.Algorithm, k *jwk.Key, signed string, good []byte)) {
	for _, row := range jwa.Signatures() {
		k := key(row.Name)
		token := must(jws.Sign([]byte("payload"), k, jws.SignOptions{}))
		dot := strings.LastIndexByte(token, '.') + 1
		each(row.Name, k, token[:dot], must(base64.RawURLEncoding.DecodeString(token[dot:])))
	}
}

// J6: RFC 7515 §5.2; a signature must be there and be one.
func attackNoSignature(t *testing.T) {
	signedParts(func(alg jwa.Algorithm, k *jwk.Key, signed string, good []byte) {
		accepts(t, "good twin", signed+base64.RawURLEncoding.EncodeToString(good), k, jws.VerifyOptions{})
		refuses(t, string(alg)+" empty", signed, k, jws.VerifyOptions{}, jws.ErrUnsigned)
		refuses(t, string(alg)+" the dot missing", signed[:len(signed)-1], k, jws.VerifyOptions{}, jws.ErrMalformed)
		refuses(t, string(alg)+" a space", signed+" ", k, jws.VerifyOptions{}, jws.ErrMalformed)
		refuses(t, string(alg)+" AA", signed+"AA", k, jws.VerifyOptions{}, jws.ErrSignature)
		refuses(t, string(alg)+" null", signed+"null", k, jws.VerifyOptions{}, jws.ErrSignature)
		for name, bad := range map[string][]byte{"zeros": make([]byte, len(good)), "ones": bytes.Repeat([]byte{0xff}, len(good)), "1 KB": make([]byte, 1024), "1 MB": make([]byte, 1<<20)} {
			refuses(t, string(alg)+" "+name, signed+base64.RawURLEncoding.EncodeToString(bad), k, jws.VerifyOptions{MaxSize: 4 << 20}, jws.ErrSignature)
		}
	})
}

// J7: RFC 8725 §3.2; every bit counts.
func attackChanged(t *testing.T) {
	signedParts(func(alg jwa.Algorithm, k *jwk.Key, signed string, good []byte) {
		encoded := base64.RawURLEncoding.EncodeToString(good)
		accepts(t, "good twin", signed+encoded, k, jws.VerifyOptions{})
		for _, at := range []int{0, len(good) / 2, len(good) - 1} {
			refuses(t, string(alg)+" a bit of the signature", signed+base64.RawURLEncoding.EncodeToString(flip(good, at)), k, jws.VerifyOptions{}, jws.ErrSignature)
		}
		refuses(t, string(alg)+" the payload", strings.Replace(signed, b64("payload"), b64("paxload"), 1)+encoded, k, jws.VerifyOptions{}, jws.ErrSignature)
		refuses(t, string(alg)+" a bit of the payload", strings.Replace(signed, b64("payload"), b64("qayload"), 1)+encoded, k, jws.VerifyOptions{}, jws.ErrSignature)
		wider := b64(`{"alg":"`+string(alg)+`","x":1}`) + signed[strings.IndexByte(signed, '.'):]
		refuses(t, string(alg)+" the header", wider+encoded, k, jws.VerifyOptions{}, jws.ErrSignature)
	})
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// order is that of P-256.
var order, _ = new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)

// es256 is a token without its signature, and that in its two halves.
func es256() (k *jwk.Key, signed string, r, s *big.Int) {
	k, signed = key(jwa.ES256), b64(`{"alg":"ES256"}`)+"."+b64("x")+"."
	good := must(k.AppendSignature(nil, "", []byte(signed[:len(signed)-1])))
	return k, signed, new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
}

func sideBySide(r, s *big.Int) string {
	b := make([]byte, 64)
	r.FillBytes(b[:32])
	s.FillBytes(b[32:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// der is a signature as ASN.1 has it.
func der(r, s *big.Int) string {
	return base64.RawURLEncoding.EncodeToString(must(asn1.Marshal(struct{ R, S *big.Int }{r, s})))
}

// J12: FIPS 186-5 §6.4.2; r and s are from 1 to the order less 1.
func attackPsychic(t *testing.T) {
	k, signed, r, s := es256()
	one, zero := big.NewInt(1), big.NewInt(0)
	accepts(t, "good twin", signed+sideBySide(r, s), k, jws.VerifyOptions{})
	for name, pair := range map[string][2]*big.Int{
		"r=0 s=0": {zero, zero}, "r=0": {zero, s}, "s=0": {r, zero}, "r=n": {order, s}, "s=n": {r, order}, "r=1 s=n-1": {one, new(big.Int).Sub(order, one)},
		"r=n s=n": {order, order}, "r=1 s=0": {one, zero}, "r=1 s=1": {one, one}, "swapped": {s, r},
	} {
		refuses(t, name, signed+sideBySide(pair[0], pair[1]), k, jws.VerifyOptions{}, jws.ErrSignature)
	}
	for name, pair := range map[string][2]*big.Int{"zeros": {zero, zero}, "r=0": {zero, s}, "s=0": {r, zero}, "r+n": {new(big.Int).Add(r, order), s}} {
		refuses(t, "DER "+name, signed+der(pair[0], pair[1]), k, jws.VerifyOptions{}, jws.ErrSignature)
	}
}

// J13: RFC 7518 §3.4; R and S side by side, each as long as the order.
func attackDER(t *testing.T) {
	k, signed, r, s := es256()
	accepts(t, "good twin", signed+sideBySide(r, s), k, jws.VerifyOptions{})
	refuses(t, "DER", signed+der(r, s), k, jws.VerifyOptions{}, jws.ErrSignature)
	for _, alg := range []jwa.Algorithm{jwa.ES256, jwa.ES384, jwa.ES512} {
		signedParts(func(of jwa.Algorithm, k *jwk.Key, signed string, good []byte) {
			if of != alg {
				return
			}
			half := len(good) / 2
			accepts(t, "good twin", signed+base64.RawURLEncoding.EncodeToString(good), k, jws.VerifyOptions{})
			refuses(t, string(of)+" DER", signed+der(new(big.Int).SetBytes(good[:half]), new(big.Int).SetBytes(good[half:])), k, jws.VerifyOptions{}, jws.ErrSignature)
			for name, bad := range map[string][]byte{
				"a byte short in front": good[1:], "a byte cut": good[:len(good)-1], "a zero in front": append([]byte{0}, good...), "a zero behind": append(bytes.Clone(good), 0),
				"twice": append(bytes.Clone(good), good...), "half": good[:half],
				"both with a zero in front": append(append([]byte{0}, good[:half]...), append([]byte{0}, good[half:]...)...),
				"of P-256 and a half":       append(bytes.Clone(good[:half]), make([]byte, 32+half/2)...), "62 bytes": make([]byte, 62), "134 bytes": make([]byte, 134),
			} {
				refuses(t, fmt.Sprint(of, " ", name, ": ", len(bad)), signed+base64.RawURLEncoding.EncodeToString(bad), k, jws.VerifyOptions{}, jws.ErrSignature)
			}
		})
	}
}

// J14: the other s is as good a signature. So the text of a token is no identifier, and
// a list of used tokens goes by "jti".
func attackMalleability(t *testing.T) {
	k, signed, r, s := es256()
	token, twin := signed+sideBySide(r, s), signed+sideBySide(r, new(big.Int).Sub(order, s))
	accepts(t, "good twin", token, k, jws.VerifyOptions{})
	accepts(t, "n-s", twin, k, jws.VerifyOptions{})
	if token == twin {
		t.Error("one text")
	}
	refuses(t, "n-r", signed+sideBySide(new(big.Int).Sub(order, r), s), k, jws.VerifyOptions{}, jws.ErrSignature)
}

// J8: RFC 8725 §3.10; whoever brings the key of his signature with him proves nothing.
func attackEmbeddedKey(t *testing.T) {
	attacker, owner := must(jwk.Generate(jwa.RS256)), key(jwa.RS256)
	own := string(must(attacker.MarshalJSON()))
	embedded(t, attacker, owner, `"jwk":`+own)
	secret := must(jwk.New(bytes.Repeat([]byte("a"), 32), jwk.Params{}))
	refuses(t, "a secret", forge(secret, `{"alg":"HS256","jwk":{"kty":"oct","k":"`+b64(strings.Repeat("a", 32))+`"}}`, "x"), owner, jws.VerifyOptions{}, jws.ErrAlgorithm)
}

// embedded signs with a key of the attacker and a header that names it, and with the
// owner's, for whom the member is ignored.
func embedded(t *testing.T, attacker, owner *jwk.Key, member string) {
	t.Helper()
	for id, want := range map[string]error{"": jws.ErrSignature, `,"kid":"` + owner.ID() + `"`: jws.ErrSignature, `,"kid":"` + attacker.ID() + `"`: jws.ErrKey} {
		header := `{"alg":"RS256",` + member + id + `}`
		refuses(t, header, forge(attacker, header, "x"), owner, jws.VerifyOptions{}, want)
		if want == jws.ErrSignature {
			accepts(t, "good twin: the member is ignored", forge(owner, header, "x"), owner, jws.VerifyOptions{})
		}
	}
}

// J9: RFC 8725 §3.10; nothing in a header is fetched.
func attackAddresses(t *testing.T) {
	attacker, owner := must(jwk.Generate(jwa.RS256)), key(jwa.RS256)
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_ = json.NewEncoder(w).Encode(must(jwk.NewSet(attacker)))
	}))
	defer evil.Close()
	trusted := httptest.NewServer(http.RedirectHandler(evil.URL, http.StatusFound))
	defer trusted.Close()
	host := strings.TrimPrefix(evil.URL, "http://")
	for _, address := range []string{evil.URL, evil.URL + "/jwks", trusted.URL + "/?to=" + evil.URL, "http://trusted.example@" + host, "http://trusted.example.evil.localhost/", "file:///etc/passwd"} {
		for _, name := range []string{"jku", "x5u"} {
			embedded(t, attacker, owner, fmt.Sprintf("%q:%q", name, address))
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the attacker's server was asked %d times", n)
	}
}

// J10: RFC 8725 §3.10; a certificate that anybody can make says nothing.
func attackCertificate(t *testing.T) {
	material, owner := must(rsa.GenerateKey(rand.Reader, 2048)), key(jwa.RS256)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "login.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, &material.PublicKey, material))
	attacker := must(jwk.New(material, jwk.Params{ID: "attacker", Algorithm: jwa.RS256}))
	print := sha256.Sum256(certificate)
	embedded(t, attacker, owner, `"x5c":["`+base64.StdEncoding.EncodeToString(certificate)+`"]`)
	embedded(t, attacker, owner, `"x5c":["`+base64.StdEncoding.EncodeToString(certificate)+`"],"x5t#S256":"`+base64.RawURLEncoding.EncodeToString(print[:])+`"`)
	embedded(t, attacker, owner, `"x5c":["MIIB"],"x5t":"AAAA"`)
}

// J11: a kid is looked up and nothing else, RFC 8725 §3.10.
func attackKeyID(t *testing.T) {
	es, rs := key(jwa.ES256), key(jwa.RS256)
	set := must(jwk.NewSet(es, rs))
	accepts(t, "good twin", forge(es, `{"alg":"ES256","kid":"`+es.ID()+`"}`, "x"), set, jws.VerifyOptions{})
	accepts(t, "no kid", forge(es, `{"alg":"ES256"}`, "x"), set, jws.VerifyOptions{})
	for _, id := range []string{`../../dev/null`, `' UNION SELECT 'k`, `|sleep 5`, `\u0000`, es.ID() + `\u0000`, `http://127.0.0.1:1/`, `${jndi:ldap://x}`} {
		refuses(t, id, forge(es, `{"alg":"ES256","kid":"`+id+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrKey)
	}
	zeros := make([]byte, 32) // what a file reads like that is empty
	for _, id := range []string{`../../dev/null`, `/dev/null`, `NUL`} {
		refuses(t, id+" and zeros", hmacToken(zeros, `{"alg":"HS256","kid":"`+id+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrKey)
		refuses(t, id+" and nothing", hmacToken(nil, `{"alg":"HS256","kid":"`+id+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrKey)
	}
	refuses(t, "the kid of another key", forge(es, `{"alg":"ES256","kid":"`+rs.ID()+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrAlgorithm)
	for _, id := range []string{"1", "null", "[]", "{}", `["` + es.ID() + `"]`} {
		refuses(t, id, forge(es, `{"alg":"ES256","kid":`+id+`}`, "x"), set, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	long := `{"alg":"ES256","kid":"` + strings.Repeat("k", 1<<20) + `"}`
	refuses(t, "1 MB", forge(es, long, "x"), set, jws.VerifyOptions{}, jws.ErrTooLong)
	refuses(t, "1 MB in a large token", forge(es, long, "x"), set, jws.VerifyOptions{MaxSize: 4 << 20}, jws.ErrMalformed)
}

// J15: RFC 8725 §3.1; every key with every algorithm.
func attackCurves(t *testing.T) {
	names := []jwa.Algorithm{"ES256K", "Ed448", "ML-DSA-44", "none"}
	for _, row := range jwa.Signatures() {
		names = append(names, row.Name)
	}
	exchange := must(jwk.New(must(ecdh.X25519().GenerateKey(rand.Reader)), jwk.Params{}))
	for _, name := range names {
		refuses(t, "X25519 as "+string(name), forge(key(jwa.EdDSA), `{"alg":"`+string(name)+`"}`, "x"), exchange, jws.VerifyOptions{}, jws.ErrAlgorithm)
	}
	for _, row := range jwa.Signatures() {
		k := key(row.Name)
		for _, name := range names {
			token := forge(k, `{"alg":"`+string(name)+`"}`, "x")
			if name == row.Name {
				accepts(t, "good twin", token, k, jws.VerifyOptions{})
			} else {
				refuses(t, fmt.Sprint(row.Name, " as ", name), token, k, jws.VerifyOptions{}, jws.ErrAlgorithm)
			}
		}
	}
}

// J40: keys of a set that are for something else are not tried.
func attackMixedSet(t *testing.T) {
	es := key(jwa.ES256)
	other := must(jwk.Generate(jwa.ES256))
	enc := must(jwk.New(es.PublicKey(), jwk.Params{ID: "enc", Use: jwk.UseEncryption}))
	set := must(jwk.NewSet(enc, must(other.Public()), key(jwa.RS256)))
	token := forge(es, `{"alg":"ES256"}`, "x")
	accepts(t, "good twin", token, must(jwk.NewSet(enc, es)), jws.VerifyOptions{})
	refuses(t, "RFC 7517 §4.2: use enc", token, set, jws.VerifyOptions{}, jws.ErrSignature)
	refuses(t, "by name", forge(es, `{"alg":"ES256","kid":"enc"}`, "x"), set, jws.VerifyOptions{}, jws.ErrAlgorithm)
	refuses(t, "empty set", token, must(jwk.NewSet()), jws.VerifyOptions{}, jws.ErrKey)
}
