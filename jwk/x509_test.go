package jwk_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func selfSigned(t *testing.T, private *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Unix(2e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// RFC 7517 §4.7 and §4.9.
func TestCertificates(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := selfSigned(t, private)
	key, err := jwk.FromCertificate([]*x509.Certificate{certificate}, jwk.Params{ID: "c", Operations: []string{"verify"}})
	if err != nil || key.Private() || len(key.Certificates()) != 1 || key.CertificateThumbprint() == "" {
		t.Fatal(key, err)
	}
	text, err := json.Marshal(key)
	if err != nil || !strings.Contains(string(text), `"x5c":["`) || !strings.Contains(string(text), `"x5t#S256":"`+key.CertificateThumbprint()) || !strings.Contains(string(text), `"key_ops":["verify"]`) {
		t.Fatal(string(text), err)
	}
	again, err := jwk.Parse(text)
	if err != nil || !again.Certificates()[0].Equal(certificate) {
		t.Error(again, err)
	}
	own, err := jwk.New(private, jwk.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if signer, err := own.WithCertificates(certificate); err != nil || !signer.Private() || signer.CertificateThumbprint() != key.CertificateThumbprint() || own.Certificates() != nil {
		t.Error(signer, err)
	}
	other, err := jwk.Generate(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.WithCertificates(certificate); !errors.Is(err, jwk.ErrInvalid) {
		t.Error(err)
	}
	if _, err := jwk.FromCertificate(nil, jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) {
		t.Error(err)
	}
	// A certificate of another key, or a hash of another certificate, is a
	// contradiction; one that cannot be read is as good as none.
	foreign, _ := json.Marshal(other)
	chain := strings.SplitAfter(string(text), `"x5c":`)[1]
	chain = chain[:strings.Index(chain, "]")+1]
	mixed := strings.Replace(string(foreign), "{", `{"x5c":`+chain+`,`, 1)
	wrongHash := strings.Replace(string(text), key.CertificateThumbprint(), strings.Repeat("A", 43), 1)
	for _, text := range []string{mixed, wrongHash} {
		if _, err := jwk.Parse([]byte(text)); !errors.Is(err, jwk.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, x5c := range []string{`["AAAA"]`, `[]`, `["!"]`, `"x"`, `[1]`} {
		key, err := jwk.Parse([]byte(strings.Replace(string(foreign), "{", `{"x5c":`+x5c+`,`, 1)))
		if err != nil || key.Certificates() != nil {
			t.Errorf("%s: %v", x5c, err)
		}
	}
}

func TestMarshalPEM(t *testing.T) {
	for _, alg := range []jwa.Algorithm{jwa.RS256, jwa.ES384, jwa.EdDSA} {
		key, err := jwk.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		private, err := key.MarshalPrivatePEM()
		if err != nil {
			t.Fatal(err)
		}
		public, err := key.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{private, public} {
			again, err := jwk.ParsePEM(text, jwk.Params{})
			if err != nil || again.Thumbprint() != key.Thumbprint() {
				t.Error(alg, err)
			}
			block, _ := pem.Decode(text)
			if again, err = jwk.ParseDER(block.Bytes, jwk.Params{}); err != nil || again.Thumbprint() != key.Thumbprint() {
				t.Error(alg, err)
			}
		}
		half, _ := key.Public()
		if _, err := half.MarshalPrivatePEM(); !errors.Is(err, jwk.ErrPrivate) {
			t.Error(err)
		}
	}
	secret, _ := jwk.Generate(jwa.HS256)
	if _, err := secret.MarshalPEM(); !errors.Is(err, jwk.ErrPrivate) {
		t.Error(err)
	}
	if _, err := secret.MarshalPrivatePEM(); !errors.Is(err, jwk.ErrPrivate) {
		t.Error(err)
	}
	if _, err := jwk.ParseDER([]byte("x"), jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) {
		t.Error(err)
	}
}

// RFC 9278 §3, with the key of RFC 7638 §3.1.
