package jwk_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

type pemTexts struct {
	rsaPKCS1, rsaPKCS8, rsaPublicPKCS1, rsaPublic string
	ecSEC1, ecPKCS8, ecPublic, edPKCS8, edPublic  string
	certificate, p224                             string
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

var pemSamples = sync.OnceValue(func() pemTexts {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0),
	}
	return pemTexts{
		rsaPKCS1:       block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		rsaPKCS8:       block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey))),
		rsaPublicPKCS1: block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)),
		rsaPublic:      block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey))),
		ecSEC1:         block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey))),
		ecPKCS8:        block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey))),
		ecPublic:       block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&ecKey.PublicKey))),
		edPKCS8:        block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey))),
		edPublic:       block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(edPublic))),
		certificate:    block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, &ecKey.PublicKey, ecKey))),
		p224:           block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey))),
	}
})

func TestParsePEM(t *testing.T) {
	s := pemSamples()
	parameters := block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	for _, row := range []struct {
		name, text string
		want       string
		err        error
	}{
		{"RFC 8017 A.1.2: PKCS #1", s.rsaPKCS1, "RSA 2048 private key [redacted]", nil},
		{"RFC 5958: PKCS #8 with RSA", s.rsaPKCS8, "RSA 2048 private key [redacted]", nil},
		{"RFC 8017 A.1.1: PKCS #1 public", s.rsaPublicPKCS1, "RSA 2048 public key", nil},
		{"RFC 5280 §4.1: PKIX with RSA", s.rsaPublic, "RSA 2048 public key", nil},
		{"RFC 5915: SEC 1", s.ecSEC1, "EC P-256 private key [redacted]", nil},
		{"SEC 1 behind its parameters", parameters + s.ecSEC1, "EC P-256 private key [redacted]", nil},
		{"RFC 5958: PKCS #8 with EC", s.ecPKCS8, "EC P-256 private key [redacted]", nil},
		{"PKIX with EC", s.ecPublic, "EC P-256 public key", nil},
		{"RFC 8410 §7: PKCS #8 with Ed25519", s.edPKCS8, "OKP Ed25519 private key [redacted]", nil},
		{"RFC 8410 §4: PKIX with Ed25519", s.edPublic, "OKP Ed25519 public key", nil},
		{"certificate", s.certificate, "EC P-256 public key", nil},
		{"chain", s.certificate + s.certificate, "EC P-256 public key", nil},
		{"text around", "Subject: somebody\n" + s.ecPublic + "\n\n", "EC P-256 public key", nil},

		{"nothing", "", "", jwk.ErrInvalid},
		{"a secret", "not a key but 32 bytes of a secret", "", jwk.ErrInvalid},
		{"two keys", s.ecPublic + s.rsaPublic, "", jwk.ErrInvalid},
		{"key and certificate", s.ecPKCS8 + s.certificate, "", jwk.ErrInvalid},
		{"only parameters", parameters, "", jwk.ErrInvalid},
		{"wrong label", block("PRIVATE KEY", []byte{0x30, 0}), "", jwk.ErrInvalid},
		{"public under a private label", strings.ReplaceAll(s.ecPublic, "PUBLIC", "PRIVATE"), "", jwk.ErrInvalid},
		{"encrypted PKCS #8", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), "", jwk.ErrUnsupported},
		{"encrypted PKCS #1", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "", jwk.ErrUnsupported},
		{"unknown label", block("OPENSSH PRIVATE KEY", []byte{1}), "", jwk.ErrUnsupported},
		{"curve P-224", s.p224, "", jwk.ErrUnsupported},
		{"cut off", s.rsaPKCS8[:200], "", jwk.ErrInvalid},
		{"1 MB", strings.Repeat("a", 1<<20), "", jwk.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := jwk.ParsePEM([]byte(row.text), jwk.Params{})
			if !errors.Is(err, row.err) || (k == nil) != (row.err != nil) {
				t.Fatalf("got %v, %v", k, err)
			}
			if k != nil && k.String() != row.want {
				t.Errorf("got %v", k)
			}
		})
	}
	k, err := jwk.ParsePEM([]byte(s.rsaPublic), jwk.Params{ID: "a", Algorithm: jwa.PS256, Use: "sig"})
	if err != nil || k.ID() != "a" || k.Algorithm() != jwa.PS256 || k.Use() != "sig" {
		t.Error(k, err)
	}
	if _, err := jwk.ParsePEM([]byte(s.rsaPublic), jwk.Params{Algorithm: jwa.HS256}); !errors.Is(err, jwk.ErrInvalid) {
		t.Error("an RSA key as an HMAC key:", err)
	}
}

// A key that is too long to be used is not worth the time that its primes take.
func TestLongKeysAreNotParsed(t *testing.T) {
	for _, label := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY"} {
		text := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: make([]byte, 9<<10)})
		if _, err := jwk.ParsePEM(text, jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) || !strings.Contains(err.Error(), "at most 8192") {
			t.Error(label, err)
		}
	}
	var long struct {
		Version             int
		N                   *big.Int
		E                   int
		D, P, Q, DP, DQ, QI *big.Int
	}
	p := new(big.Int).Lsh(big.NewInt(1), 40_000)
	p.SetBit(p, 0, 1)
	long.N, long.E, long.D, long.P, long.Q, long.DP, long.DQ, long.QI = new(big.Int).Mul(p, p), 65537, p, p, p, p, p, p
	if _, err := jwk.ParseDER(must(asn1.Marshal(long)), jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) || !strings.Contains(err.Error(), "at most 8192") {
		t.Error("DER", err)
	}
}

// A key on secp256k1 is not broken, whatever it is written in.
func TestUnsupportedKeys(t *testing.T) {
	const sec1 = "30740201010420" + "1111111111111111111111111111111111111111111111111111111111111111" + "a00706052b8104000aa144034200"
	const point = "04" + "22222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222"
	for label, digits := range map[string]string{
		"EC PRIVATE KEY": sec1 + point,
		"PUBLIC KEY":     "3056301006072a8648ce3d020106052b8104000a034200" + point,
		"PRIVATE KEY":    "30818d020100301006072a8648ce3d020106052b8104000a0476" + sec1 + point,
	} {
		der := must(hex.DecodeString(digits))
		if _, err := jwk.ParsePEM(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), jwk.Params{}); !errors.Is(err, jwk.ErrUnsupported) {
			t.Errorf("%s in PEM: %v", label, err)
		}
		if _, err := jwk.ParseDER(der, jwk.Params{}); !errors.Is(err, jwk.ErrUnsupported) {
			t.Errorf("%s in DER: %v", label, err)
		}
	}
}

func FuzzParsePEM(f *testing.F) {
	s := pemSamples()
	for _, text := range []string{s.rsaPKCS1, s.rsaPublic, s.ecSEC1, s.ecPKCS8, s.edPKCS8, s.edPublic, s.certificate, s.p224} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := jwk.ParsePEM(data, jwk.Params{}); err == nil {
			roundTrip(t, k)
		}
	})
}
