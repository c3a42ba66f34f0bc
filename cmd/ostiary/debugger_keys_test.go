package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func base64URL(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// pemCase is a key in PEM and a token that it verifies.
type pemCase struct{ pem, token string }

// pems has a key in each form that people have them in.
func pems(t *testing.T) map[string]pemCase {
	t.Helper()
	rsaKey := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	bytes := must[[]byte](t)
	signed := func(key any, alg string) string {
		return sample(t, must[*jwk.Key](t)(jwk.New(key, jwk.Params{Algorithm: jwa.Algorithm(alg)})))
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return map[string]pemCase{
		"RSA PUBLIC KEY":      {encode("PUBLIC KEY", bytes(x509.MarshalPKIXPublicKey(rsaKey.Public()))), signed(rsaKey, "RS256")},
		"RSA PRIVATE KEY":     {encode("PRIVATE KEY", bytes(x509.MarshalPKCS8PrivateKey(rsaKey))), signed(rsaKey, "PS256")},
		"PKCS #1 private":     {encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), signed(rsaKey, "RS512")},
		"PKCS #1 public":      {encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), signed(rsaKey, "RS256")},
		"SEC 1":               {encode("EC PRIVATE KEY", bytes(x509.MarshalECPrivateKey(ecKey))), signed(ecKey, "ES256")},
		"EC PUBLIC KEY":       {encode("PUBLIC KEY", bytes(x509.MarshalPKIXPublicKey(ecKey.Public()))), signed(ecKey, "ES256")},
		"certificate":         {encode("CERTIFICATE", bytes(x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), ecKey))), signed(ecKey, "ES256")},
		"Ed25519 PUBLIC KEY":  {encode("PUBLIC KEY", bytes(x509.MarshalPKIXPublicKey(edKey.Public()))), signed(edKey, "EdDSA")},
		"Ed25519 PRIVATE KEY": {encode("PRIVATE KEY", bytes(x509.MarshalPKCS8PrivateKey(edKey))), signed(edKey, "EdDSA")},
	}
}
