package jwe

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/pbkdf2"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func readVectors(tb testing.TB, into any, path ...string) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatal(err)
	}
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func ok[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// constants are those of RFC 7518 appendices B and C, and of RFC 8037 A.6.
type constants struct {
	B []struct {
		ID, Enc, Plaintext, AAD string
		Key                     string `json:"key_hex"`
		IV                      string `json:"iv_hex"`
		Ciphertext              string `json:"ciphertext_hex"`
		Tag                     string `json:"tag_hex"`
	} `json:"rfc7518_appendix_b"`
	C struct {
		APU, APV   string
		Ephemeral  json.RawMessage `json:"ephemeral_private_jwk"`
		Recipient  json.RawMessage `json:"recipient_private_jwk"`
		Z          string
		DerivedKey string `json:"derived_key"`
	} `json:"rfc7518_appendix_c"`
	X25519 struct {
		Recipient json.RawMessage `json:"recipient_public_jwk"`
		Ephemeral json.RawMessage `json:"ephemeral_private_jwk"`
		Z         string          `json:"Z_hex"`
	} `json:"rfc8037_x25519"`
}

func TestRFC7518AppendixB(t *testing.T) {
	var c constants
	readVectors(t, &c, "rfc7518", "constants.json")
	if len(c.B) != 3 {
		t.Fatalf("%d vectors", len(c.B))
	}
	for _, v := range c.B {
		row, _ := jwa.Encryption(v.Enc).Content()
		aead := ok(newContent(row, unhex(v.Key)))
		sealed := append(unhex(v.Ciphertext), unhex(v.Tag)...)
		for range 2 { // the second time with the MAC of the first
			if got := aead.Seal(nil, unhex(v.IV), []byte(v.Plaintext), []byte(v.AAD)); !bytes.Equal(got, sealed) {
				t.Errorf("%s: sealed to %x", v.ID, got)
			}
			if got, err := aead.Open(nil, unhex(v.IV), sealed, []byte(v.AAD)); err != nil || string(got) != v.Plaintext {
				t.Errorf("%s: opened to %q, %v", v.ID, got, err)
			}
		}
	}
}

func TestRFC7518AppendixC(t *testing.T) {
	var c constants
	readVectors(t, &c, "rfc7518", "constants.json")
	// Alice's side has the private ephemeral key, Bob's the private static one.
	alice, bob := ok(jwk.Parse(c.C.Ephemeral)), ok(jwk.Parse(c.C.Recipient))
	p := parties{ok(decode(c.C.APU)), ok(decode(c.C.APV))}
	row, _ := jwa.ECDHES.KeyManagement()
	content, _ := jwa.A128GCM.Content()
	for _, side := range [][2]*jwk.Key{{alice, bob}, {bob, alice}} {
		z, err := side[0].Exchange(jwa.ECDHES, ok(side[1].ExchangeKey(jwa.ECDHES)))
		if err != nil || base64.RawURLEncoding.EncodeToString(z) != c.C.Z {
			t.Errorf("Z is %x, %v", z, err)
		}
		if key := derive(z, row, content, p); base64.RawURLEncoding.EncodeToString(key) != c.C.DerivedKey {
			t.Errorf("derived %x", key)
		}
	}
}

func TestRFC8037AppendixA6(t *testing.T) {
	var c constants
	readVectors(t, &c, "rfc7518", "constants.json")
	ephemeral, recipient := ok(jwk.Parse(c.X25519.Ephemeral)), ok(jwk.Parse(c.X25519.Recipient))
	z, err := ephemeral.Exchange(jwa.ECDHESA128KW, ok(recipient.ExchangeKey(jwa.ECDHESA128KW)))
	if err != nil || hex.EncodeToString(z) != c.X25519.Z {
		t.Errorf("Z is %x, %v", z, err)
	}
}

// A derived key longer than a hash takes two rounds, which no published vector
// does. NIST SP 800-56A §5.8.1: they differ in the counter only.
func TestConcatKDFRounds(t *testing.T) {
	long, short := concatKDF([]byte("z"), "A256CBC-HS512", 64, parties{}), concatKDF([]byte("z"), "A256CBC-HS512", 32, parties{})
	if len(long) != 64 || len(short) != 32 || bytes.Equal(long[:32], long[32:]) || bytes.Equal(long[:32], short) {
		t.Errorf("%x and %x", long, short)
	}
}

// wycheproof is a file of Wycheproof, of whatever kind.
type wycheproof struct {
	NumberOfTests int
	TestGroups    []struct {
		PrivateKeyJWK json.RawMessage
		Tests         []struct {
			TcID                              int
			Comment, Result                   string
			Flags                             []string
			Key, IV, AAD, Msg, CT, Tag, Label string
			Password, Salt, DK                string
			IterationCount, DkLen             int
			Public, Private                   json.RawMessage
			Shared                            string
		}
	}
}

func readWycheproof(t *testing.T, name string) wycheproof {
	t.Helper()
	var suite wycheproof
	readVectors(t, &suite, "wycheproof", name+"_test.json")
	run := 0
	for _, group := range suite.TestGroups {
		run += len(group.Tests)
	}
	if run == 0 || run != suite.NumberOfTests {
		t.Fatalf("%s: %d tests of %d", name, run, suite.NumberOfTests)
	}
	return suite
}

func TestWycheproofCBC(t *testing.T) {
	for name, enc := range map[string]jwa.Encryption{"a128cbc_hs256": jwa.A128CBCHS256, "a256cbc_hs512": jwa.A256CBCHS512} {
		row, _ := enc.Content()
		for _, group := range readWycheproof(t, name).TestGroups {
			for _, v := range group.Tests {
				aead := ok(newContent(row, unhex(v.Key)))
				sealed := append(unhex(v.CT), unhex(v.Tag)...)
				got, err := aead.Open(nil, unhex(v.IV), sealed, unhex(v.AAD))
				if valid := v.Result == "valid"; (err == nil) != valid || valid && !bytes.Equal(got, unhex(v.Msg)) {
					t.Errorf("%s %d %s: opened to %x, %v", name, v.TcID, v.Comment, got, err)
				}
				if v.Result == "valid" && !bytes.Equal(aead.Seal(nil, unhex(v.IV), unhex(v.Msg), unhex(v.AAD)), sealed) {
					t.Errorf("%s %d %s: seals to something else", name, v.TcID, v.Comment)
				}
			}
		}
	}
}

func TestWycheproofKeyWrap(t *testing.T) {
	for _, group := range readWycheproof(t, "aes_wrap").TestGroups {
		for _, v := range group.Tests {
			block, wrapped := ok(aes.NewCipher(unhex(v.Key))), unhex(v.CT)
			key := make([]byte, max(0, len(wrapped)-wrapBlock))
			got := unwrap(block, key, wrapped) == 1
			// What is "acceptable" is a key of 8 bytes, below what RFC 3394 §2 takes.
			if got != (v.Result == "valid") || got && !bytes.Equal(key, unhex(v.Msg)) {
				t.Errorf("%d %s: unwraps is %v, %x", v.TcID, v.Comment, got, key)
			}
			if v.Result == "valid" && !bytes.Equal(wrap(block, unhex(v.Msg)), wrapped) {
				t.Errorf("%d %s: wraps to something else", v.TcID, v.Comment)
			}
		}
	}
}

func TestWycheproofOAEP(t *testing.T) {
	run := 0
	for _, group := range readWycheproof(t, "rsa_oaep_2048_sha1_mgf1sha1").TestGroups {
		key := ok(jwk.Parse(group.PrivateKeyJWK))
		for _, v := range group.Tests {
			if v.Label != "" { // RFC 7518 §4.3: JWE has the empty label only
				continue
			}
			run++
			got, err := key.UnwrapOAEP(jwa.RSAOAEP, unhex(v.CT))
			if valid := v.Result == "valid"; (err == nil) != valid || valid && !bytes.Equal(got, unhex(v.Msg)) {
				t.Errorf("%d %s: decrypts to %x, %v", v.TcID, v.Comment, got, err)
			}
		}
	}
	if run != 29 {
		t.Errorf("%d tests were run", run)
	}
}

func TestWycheproofPBKDF2(t *testing.T) {
	for _, group := range readWycheproof(t, "pbkdf2_hmacsha256").TestGroups {
		for _, v := range group.Tests {
			row, _ := jwa.PBES2HS256A128KW.KeyManagement()
			got, err := pbkdf2.Key(hashes[row.Hash], string(unhex(v.Password)), unhex(v.Salt), v.IterationCount, v.DkLen)
			if valid := v.Result == "valid"; valid && (err != nil || !bytes.Equal(got, unhex(v.DK))) {
				t.Errorf("%d %s: %x, %v", v.TcID, v.Comment, got, err)
			}
		}
	}
}

func TestWycheproofExchange(t *testing.T) {
	for name, curve := range map[string]ecdh.Curve{"x25519_jwk": ecdh.X25519(), "ecdh_secp256r1_webcrypto": ecdh.P256()} {
		results := map[string]int{}
		for _, group := range readWycheproof(t, name).TestGroups {
			for _, v := range group.Tests {
				private := ok(jwk.Parse(v.Private))
				var z []byte
				peer, err := readEphemeral(string(v.Public))
				if err == nil {
					z, err = private.Exchange(jwa.ECDHES, peer)
				}
				accepted := err == nil && bytes.Equal(z, unhex(v.Shared))
				// RFC 8037 §3.2.1 wants an all-zero secret refused; the rest of what is
				// "acceptable" is on the twist or not canonical, which RFC 7748 §5 allows.
				want := v.Result == "valid" || v.Result == "acceptable" && !slices.Contains(v.Flags, "ZeroSharedSecret")
				if accepted != want || err == nil && peer.Curve() != curve {
					t.Errorf("%s %d %s: accepted is %v, %v", name, v.TcID, v.Comment, accepted, err)
				}
				results[v.Result]++
			}
		}
		if results["valid"] == 0 || results["invalid"] == 0 {
			t.Errorf("%s: %v", name, results)
		}
	}
}
