//lint:file-ignore SA1019 keys that must be refused are made with what is deprecated

package jwk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/dsa"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// generated keys, one for each algorithm, made once.
var generated = sync.OnceValue(func() map[jwa.Algorithm]*jwk.Key {
	keys := map[jwa.Algorithm]*jwk.Key{}
	for _, row := range jwa.Signatures() {
		k, err := jwk.Generate(row.Name)
		if err != nil {
			panic(err)
		}
		keys[row.Name] = k
	}
	return keys
})

// named reports whether a fresh key has the identifier that it should have: its
// thumbprint, or, a secret, one that says nothing of it (RFC 7638 §7).
func named(k *jwk.Key) bool {
	if k.Type() == jwa.Oct {
		return len(k.ID()) == 26 && k.ID() != k.Thumbprint()
	}
	return len(k.ID()) == 43 && k.ID() == k.Thumbprint()
}

func TestGenerate(t *testing.T) {
	for alg, k := range generated() {
		if k.Algorithm() != alg || k.Use() != jwk.UseSignature || !k.Private() || !equal(k.Algorithms(), []jwa.Algorithm{alg}) {
			t.Errorf("%s: %v", alg, k)
		}
		if !named(k) {
			t.Errorf("%s: kid %q", alg, k.ID())
		}
		roundTrip(t, k)
	}
	for _, alg := range []jwa.Algorithm{"", "none", "hs256", jwa.ES256K, jwa.MLDSA65, "RSA1_5"} {
		if k, err := jwk.Generate(alg); !errors.Is(err, jwk.ErrUnsupported) || k != nil {
			t.Errorf("%q: %v, %v", alg, k, err)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	message := []byte("sign me")
	for alg, k := range generated() {
		t.Run(string(alg), func(t *testing.T) {
			signature, err := k.AppendSignature([]byte("prefix"), "", message)
			if err != nil || !bytes.HasPrefix(signature, []byte("prefix")) {
				t.Fatal(err)
			}
			signature = signature[len("prefix"):]
			if row, _ := alg.Signature(); row.Size != 0 && len(signature) != row.Size {
				t.Errorf("%d bytes, want %d", len(signature), row.Size)
			}
			public := k
			if !k.Symmetric() {
				public, err = k.Public()
				if err != nil || public.Private() {
					t.Fatal(public, err)
				}
				if _, err := public.AppendSignature(nil, alg, message); !errors.Is(err, jwk.ErrPrivate) {
					t.Error(err)
				}
			}
			if err := public.Verify(alg, message, signature); err != nil {
				t.Error(err)
			}
			if err := public.Verify(alg, []byte("sign mf"), signature); !errors.Is(err, jwk.ErrSignature) {
				t.Error("another message:", err)
			}
			for other := range generated() {
				if other != alg && !errors.Is(public.Verify(other, message, signature), jwk.ErrUse) {
					t.Errorf("verifies %s", other)
				}
			}
		})
	}
}

// ASN.1 integers come with and without a zero in front; many signatures meet
// both, and short ones.
func TestECDSAForms(t *testing.T) {
	for _, alg := range []jwa.Algorithm{jwa.ES256, jwa.ES384, jwa.ES512} {
		k := generated()[alg]
		for i := range 300 {
			message := fmt.Append(nil, i)
			signature, err := k.AppendSignature(nil, alg, message)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Verify(alg, message, signature); err != nil {
				t.Fatal(alg, i, err)
			}
		}
	}
}

// TestDeterministicECDSA holds the signatures of Go keys to RFC 6979 appendix A.2.5 to
// A.2.7, which RFC 8725 §3.2 wants of JWT libraries.
func TestDeterministicECDSA(t *testing.T) {
	for _, row := range []struct {
		alg           jwa.Algorithm
		curve         elliptic.Curve
		x             string
		message, r, s string
	}{
		{jwa.ES256, elliptic.P256(), "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", "sample",
			"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
			"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
		{jwa.ES256, elliptic.P256(), "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", "test",
			"F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
			"019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"},
		{jwa.ES384, elliptic.P384(), "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5", "sample",
			"94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
			"99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"},
		{jwa.ES512, elliptic.P521(), "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538", "sample",
			"00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA",
			"00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A"},
	} {
		t.Run(string(row.alg)+" "+row.message, func(t *testing.T) {
			private, err := ecdsa.ParseRawPrivateKey(row.curve, must(hex.DecodeString(row.x)))
			if err != nil {
				t.Fatal(err)
			}
			k, err := jwk.New(private, jwk.Params{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.AppendSignature(nil, row.alg, []byte(row.message))
			if want := must(hex.DecodeString(row.r + row.s)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the signature is %X (%v), want %X", got, err, want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name     string
		material any
		params   jwk.Params
		want     string
		err      error
	}{
		{"RSA private", rsaKey, jwk.Params{ID: "1"}, `RSA 2048 private key [redacted] kid="1"`, nil},
		{"RSA public", &rsaKey.PublicKey, jwk.Params{Algorithm: jwa.PS384}, "RSA 2048 public key PS384", nil},
		{"EC private", ecKey, jwk.Params{}, "EC P-256 private key [redacted]", nil},
		{"EC public", &ecKey.PublicKey, jwk.Params{Use: "sig"}, "EC P-256 public key", nil},
		{"Ed25519 private", edKey, jwk.Params{Algorithm: jwa.Ed25519}, "OKP Ed25519 private key [redacted] Ed25519", nil},
		{"X25519 private", must(ecdh.X25519().GenerateKey(rand.Reader)), jwk.Params{}, "OKP X25519 private key [redacted]", nil},
		{"Ed25519 public", edKey.Public(), jwk.Params{}, "OKP Ed25519 public key", nil},
		{"secret", make([]byte, 48), jwk.Params{}, "oct 384 secret [redacted]", nil},
		{"signer", opaque{ecKey}, jwk.Params{Algorithm: jwa.ES256}, "EC P-256 private key [redacted] ES256", nil},

		{"nil", nil, jwk.Params{}, "", jwk.ErrInvalid},
		{"nil RSA private", (*rsa.PrivateKey)(nil), jwk.Params{}, "", jwk.ErrInvalid},
		{"nil RSA public", (*rsa.PublicKey)(nil), jwk.Params{}, "", jwk.ErrInvalid},
		{"zero RSA public", &rsa.PublicKey{}, jwk.Params{}, "", jwk.ErrInvalid},
		{"nil EC private", (*ecdsa.PrivateKey)(nil), jwk.Params{}, "", jwk.ErrInvalid},
		{"zero EC private", &ecdsa.PrivateKey{}, jwk.Params{}, "", jwk.ErrInvalid},
		{"zero EC public", &ecdsa.PublicKey{}, jwk.Params{}, "", jwk.ErrInvalid},
		{"EC point off the curve", &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}, jwk.Params{}, "", jwk.ErrInvalid},
		{"P-224", must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), jwk.Params{}, "", jwk.ErrUnsupported},
		{"short Ed25519 private", edKey[:63], jwk.Params{}, "", jwk.ErrInvalid},
		{"short Ed25519 public", ed25519.PublicKey(edKey[:31]), jwk.Params{}, "", jwk.ErrInvalid},
		{"Ed25519 halves of two keys", append(append(ed25519.PrivateKey{}, edKey[:32]...), make([]byte, 32)...), jwk.Params{}, "", jwk.ErrInvalid},
		{"empty secret", []byte{}, jwk.Params{}, "", jwk.ErrWeak},
		{"secret of 31 bytes", make([]byte, 31), jwk.Params{}, "", jwk.ErrWeak},
		{"secret of 32 bytes for HS512", make([]byte, 32), jwk.Params{Algorithm: jwa.HS512}, "", jwk.ErrWeak},
		{"RSA for ES256", rsaKey, jwk.Params{Algorithm: jwa.ES256}, "", jwk.ErrInvalid},
		{"RSA for HS256", rsaKey, jwk.Params{Algorithm: jwa.HS256}, "", jwk.ErrInvalid},
		{"P-256 for ES384", ecKey, jwk.Params{Algorithm: jwa.ES384}, "", jwk.ErrInvalid},
		{"RSA for none", rsaKey, jwk.Params{Algorithm: "none"}, "", jwk.ErrUnsupported},
		{"DSA", &dsa.PublicKey{}, jwk.Params{}, "", jwk.ErrUnsupported},
		{"a text", "secret", jwk.Params{}, "", jwk.ErrUnsupported},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := jwk.New(row.material, row.params)
			if !errors.Is(err, row.err) || (k == nil) != (row.err != nil) {
				t.Fatalf("got %v, %v", k, err)
			}
			if k != nil && k.String() != row.want {
				t.Errorf("got %s, want %s", k, row.want)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// opaque is a signer that keeps its key, as a hardware module does.
type opaque struct{ crypto.Signer }

func TestSigner(t *testing.T) {
	for _, alg := range []jwa.Algorithm{jwa.RS256, jwa.PS512, jwa.ES512, jwa.EdDSA} {
		var material crypto.Signer
		switch row, _ := alg.Signature(); row.KeyType {
		case jwa.RSA:
			material = must(rsa.GenerateKey(rand.Reader, 2048))
		case jwa.EC:
			material = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
		default:
			_, material, _ = ed25519.GenerateKey(rand.Reader)
		}
		k, err := jwk.New(opaque{material}, jwk.Params{Algorithm: alg})
		if err != nil {
			t.Fatal(err)
		}
		signature, err := k.AppendSignature(nil, "", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Verify(alg, []byte("x"), signature); err != nil {
			t.Error(alg, err)
		}
		if _, err := k.MarshalPrivateJSON(); !errors.Is(err, jwk.ErrUnsupported) {
			t.Error(alg, err)
		}
	}
}

// broken is a signer that answers with something else than it should.
type broken struct {
	crypto.Signer
	answer []byte
	err    error
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.answer, b.err }

func TestBrokenSigner(t *testing.T) {
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	gone := errors.New("module unplugged")
	k := must(jwk.New(broken{Signer: ecKey, err: gone}, jwk.Params{}))
	if _, err := k.AppendSignature(nil, "", nil); !errors.Is(err, gone) {
		t.Error(err)
	}
	long := append([]byte{0x30, 37, 0x02, 33}, bytes.Repeat([]byte{1}, 33)...)
	for _, answer := range [][]byte{
		nil, {0x30}, {0x30, 0}, {0x30, 3, 2, 1, 1}, {0x30, 0x80}, {0x31, 6, 2, 1, 1, 2, 1, 1}, {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
		{0x30, 0x81}, {0x30, 0x82, 0, 6, 2, 1, 1, 2, 1, 1}, {0x30, 9, 2, 1, 1, 2, 1, 1}, append(long, 2, 0), make([]byte, 64),
	} {
		k := must(jwk.New(broken{Signer: ecKey, answer: answer}, jwk.Params{}))
		if signature, err := k.AppendSignature(nil, "", nil); err == nil {
			t.Errorf("%x became %x", answer, signature)
		}
	}
	short := must(jwk.New(broken{Signer: ecKey, answer: []byte{0x30, 6, 2, 1, 1, 2, 1, 2}}, jwk.Params{}))
	signature, err := short.AppendSignature(nil, "", nil)
	if err != nil || len(signature) != 64 || signature[31] != 1 || signature[63] != 2 {
		t.Errorf("%x, %v", signature, err)
	}
}

func TestUseAndOperationsBind(t *testing.T) {
	good := members(t, "rfc7520_3.4.jwk")
	delete(good, "use")
	for _, row := range []struct {
		clause       string
		use          string
		ops          []string
		sign, verify bool
	}{
		{"RFC 7517 §4.2: sig", "sig", nil, true, true},
		{"RFC 7517 §4.2: enc", "enc", nil, false, false},
		{"RFC 7517 §4.3: sign", "", []string{"sign"}, true, false},
		{"RFC 7517 §4.3: verify", "", []string{"verify"}, false, true},
		{"RFC 7517 §4.3: both", "sig", []string{"sign", "verify"}, true, true},
		{"RFC 7517 §4.3: neither", "", []string{"decrypt"}, false, false},
		{"RFC 7517 §4.3: empty", "", []string{}, false, false},
		{"RFC 7517 §4.3: an operation of one's own", "", []string{"sign", "example:sign"}, true, false},
	} {
		t.Run(row.clause, func(t *testing.T) {
			good["use"] = row.use
			if row.use == "" {
				delete(good, "use")
			}
			good["key_ops"] = row.ops
			if row.ops == nil {
				delete(good, "key_ops")
			}
			k := must(jwk.Parse(text(t, good)))
			signature, err := k.AppendSignature(nil, jwa.RS256, []byte("x"))
			if (err == nil) != row.sign || err != nil && !errors.Is(err, jwk.ErrUse) {
				t.Error("sign:", err)
			}
			err = k.Verify(jwa.RS256, []byte("x"), signature)
			if signature != nil && (err == nil) != row.verify || signature == nil && row.verify != errors.Is(err, jwk.ErrSignature) {
				t.Error("verify:", err)
			}
			if public := must(k.Public()); row.sign && public.Verify(jwa.RS256, []byte("x"), signature) != nil {
				t.Error("the public half of a signing key does not verify")
			}
			halves := map[string]*jwk.Key{"made": must(k.Public()), "written": must(jwk.Parse(must(k.MarshalJSON()))), "written again": must(jwk.Parse(must(must(k.Public()).MarshalJSON())))}
			for how, public := range halves {
				err := public.Verify(jwa.RS256, []byte("x"), nil)
				if may := errors.Is(err, jwk.ErrSignature); may != (row.sign || row.verify) {
					t.Errorf("the public half, %s: %v", how, err)
				}
			}
			if again := must(jwk.Parse(must(k.MarshalPrivateJSON()))); !slices.Equal(again.Operations(), k.Operations()) || (again.Operations() == nil) != (row.ops == nil) {
				t.Errorf("written and read again: %q", again.Operations())
			}
		})
	}
}

func TestThumbprint(t *testing.T) {
	for _, row := range []struct{ clause, key, want string }{
		{"RFC 7638 §3.1", string(vector(t, "rfc7638_3.1.jwk")), strings.TrimSpace(string(vector(t, "rfc7638_3.1.thp")))},
		{"RFC 8037 A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		if got := must(jwk.Parse([]byte(row.key))).Thumbprint(); got != row.want {
			t.Errorf("%s: %s", row.clause, got)
		}
	}
	private, public := must(jwk.Parse(vector(t, "rfc7520_3.2.jwk"))), must(jwk.Parse(vector(t, "rfc7520_3.1.jwk")))
	if private.Thumbprint() != public.Thumbprint() {
		t.Error("RFC 7638 §3.2.1: the halves differ")
	}
}

func TestKeyIsASource(t *testing.T) {
	ctx := context.Background()
	named, unnamed := generated()[jwa.ES256], must(jwk.New(make([]byte, 32), jwk.Params{}))
	for _, row := range []struct {
		key   *jwk.Key
		kid   string
		found bool
	}{
		{named, named.ID(), true}, {named, "", true}, {named, "other", false}, {unnamed, "other", true}, {unnamed, "", true}, {nil, "", false},
	} {
		keys, err := row.key.Find(ctx, row.kid)
		if row.found && (err != nil || len(keys) != 1 || keys[0] != row.key) || !row.found && !errors.Is(err, jwk.ErrNotFound) {
			t.Errorf("%v %q: %v, %v", row.key, row.kid, keys, err)
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	k := must(jwk.New(secret, jwk.Params{}))
	before := k.Thumbprint()
	clear(secret)
	if k.Thumbprint() != before {
		t.Error("the key changes with the caller's slice")
	}
}

func TestConcurrentUse(t *testing.T) {
	k := generated()[jwa.HS384]
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				message := fmt.Append(nil, i, j)
				signature, err := k.AppendSignature(nil, "", message)
				if err != nil || k.Verify(jwa.HS384, message, signature) != nil {
					t.Error("wrong under concurrency")
				}
			}
		})
	}
	wg.Wait()
}
