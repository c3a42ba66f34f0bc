package jwk_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// excused are the vectors of this package whose answer is another one here.
var excused = map[string]string{
	"hmac with a tag of 128 bits": "RFC 7518 §3.2: the whole of it; a shorter one is refused, right or wrong",
	"hmac with a key of 128 bits": "RFC 7518 §3.2: as long as the hash; only InsecureSize takes it",
	"X448":                        "the standard library has no such curve: a clear error",
}

func fileOf[T any](t *testing.T, path ...string) (v T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type verifySuite struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKeyJwk json.RawMessage
		PublicKeyPem string
		TagSize      int
		Tests        []struct {
			TcID                        int
			Comment, Key, Msg, Sig, Tag string
			Result                      string
		}
	}
}

// What lies under ES256, ES384, PS256 and Ed25519: a signature is good or it is not.
func TestWycheproofSignatures(t *testing.T) {
	for file, alg := range map[string]jwa.Algorithm{
		"ecdsa_secp256r1_sha256_p1363": jwa.ES256, "ecdsa_secp384r1_sha384_p1363": jwa.ES384, "ed25519": jwa.EdDSA, "rsa_pss_2048_sha256_mgf1_32": jwa.PS256,
	} {
		suite, run := fileOf[verifySuite](t, "wycheproof", file+"_test.json"), 0
		for _, group := range suite.TestGroups {
			k, err := jwk.ParsePEM([]byte(group.PublicKeyPem), jwk.Params{})
			if err != nil {
				t.Fatal(file, err)
			}
			if group.PublicKeyJwk != nil && must(jwk.Parse(group.PublicKeyJwk)).Thumbprint() != k.Thumbprint() {
				t.Errorf("%s: two keys", file)
			}
			for _, test := range group.Tests {
				run++
				err := k.Verify(alg, must(hex.DecodeString(test.Msg)), must(hex.DecodeString(test.Sig)))
				if (err == nil) != (test.Result == "valid") || err != nil && !errors.Is(err, jwk.ErrSignature) {
					t.Errorf("%s: %d %s is %s: %v", file, test.TcID, test.Comment, test.Result, err)
				}
			}
		}
		if run != suite.NumberOfTests {
			t.Errorf("%s: %d tests were run of %d", file, run, suite.NumberOfTests)
		}
	}
}

func TestWycheproofHMAC(t *testing.T) {
	suite, run := fileOf[verifySuite](t, "wycheproof", "hmac_sha256_test.json"), 0
	for _, group := range suite.TestGroups {
		for _, test := range group.Tests {
			run++
			secret := must(hex.DecodeString(test.Key))
			if k, err := jwk.New(secret, jwk.Params{Algorithm: jwa.HS256}); (len(secret) < 32) != errors.Is(err, jwk.ErrWeak) {
				t.Errorf("%d: %s: %v, %v", test.TcID, excused["hmac with a key of 128 bits"], k, err)
			}
			k := must(jwk.New(secret, jwk.Params{Algorithm: jwa.HS256, InsecureSize: true}))
			want := test.Result == "valid"
			if group.TagSize < 256 && excused["hmac with a tag of 128 bits"] != "" {
				want = false
			}
			err := k.Verify(jwa.HS256, must(hex.DecodeString(test.Msg)), must(hex.DecodeString(test.Tag)))
			if (err == nil) != want || err != nil && !errors.Is(err, jwk.ErrSignature) {
				t.Errorf("%d %s is %s: %v", test.TcID, test.Comment, test.Result, err)
			}
		}
	}
	if run != suite.NumberOfTests {
		t.Errorf("%d tests were run of %d", run, suite.NumberOfTests)
	}
}

// X448 is known by name, and no key on it can be made: valid, odd or broken.
func TestWycheproofX448(t *testing.T) {
	suite := fileOf[struct {
		NumberOfTests int
		TestGroups    []struct {
			Tests []struct {
				TcID            int
				Public, Private json.RawMessage
				Result          string
			}
		}
	}](t, "wycheproof", "x448_jwk_test.json")
	run := 0
	for _, test := range suite.TestGroups[0].Tests {
		run++
		k, err := jwk.Parse(test.Private)
		if k != nil || !errors.Is(err, jwk.ErrUnsupported) || !strings.Contains(err.Error(), "X448") {
			t.Errorf("%d: %s: %v, %v", test.TcID, excused["X448"], k, err)
		}
		if k, err := jwk.Parse(test.Public); test.Result != "invalid" && (k != nil || !errors.Is(err, jwk.ErrUnsupported)) {
			t.Errorf("%d: %v, %v", test.TcID, k, err)
		}
	}
	if run != suite.NumberOfTests {
		t.Errorf("%d tests were run of %d", run, suite.NumberOfTests)
	}
}

// RFC 7520 §3 as the cookbook has it.
func TestRFC7520Keys(t *testing.T) {
	files := must(filepath.Glob("testdata/rfc7520/*.json"))
	if len(files) != 6 {
		t.Fatal(files)
	}
	for _, file := range files {
		k, err := jwk.Parse(must(os.ReadFile(file)))
		if err != nil || k.Private() == strings.Contains(file, "public") {
			t.Errorf("%s: %v, %v", file, k, err)
			continue
		}
		roundTrip(t, k)
	}
}

// RFC 7638 §3.1, RFC 9278, RFC 8037 A.1 to A.5.
func TestSpecificationConstants(t *testing.T) {
	type example struct {
		JWK             json.RawMessage
		Thumbprint, JWS string
		SHA256          string `json:"sha256_thumbprint"`
	}
	all := fileOf[struct {
		RFC7638        example
		RFC8037Ed25519 example `json:"rfc8037_ed25519"`
		RFC9278        struct {
			URI string `json:"jwk_thumbprint_uri"`
		}
	}](t, "spec-constants", "spec-constants.json")
	rsa := must(jwk.Parse(all.RFC7638.JWK))
	if rsa.Thumbprint() != all.RFC7638.SHA256 || rsa.ThumbprintURI() != all.RFC9278.URI {
		t.Error(rsa.Thumbprint(), rsa.ThumbprintURI())
	}
	ed := must(jwk.Parse(all.RFC8037Ed25519.JWK))
	if ed.Thumbprint() != all.RFC8037Ed25519.Thumbprint || must(ed.Public()).Thumbprint() != ed.Thumbprint() {
		t.Error(ed.Thumbprint())
	}
	signed := all.RFC8037Ed25519.JWS[:strings.LastIndexByte(all.RFC8037Ed25519.JWS, '.')]
	if made := signed + "." + base64.RawURLEncoding.EncodeToString(must(ed.AppendSignature(nil, jwa.EdDSA, []byte(signed)))); made != all.RFC8037Ed25519.JWS {
		t.Error(made)
	}
}
