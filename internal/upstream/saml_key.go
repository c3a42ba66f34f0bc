package upstream

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// keyPair is a key of ours with its certificate, which SAML uses as no more than a
// wrapping of the public key. The key "key" signs; "other_key" is published and
// decrypts as well. So a key is changed without a moment in which nobody can sign in:
// the new one becomes other_key, the provider takes our metadata in, they change
// places, and the old one goes.
type keyPair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

const (
	minRSABits    = 2048
	ourRSABits    = 3072
	certificateOf = 10 * 365 * 24 * time.Hour
)

// NewKeyPair makes the secret "key" of a SAML provider: an RSA key and a certificate
// that it has signed itself, in PEM.
func NewKeyPair(now time.Time) (model.Secret, error) {
	key, err := rsa.GenerateKey(rand.Reader, ourRSABits)
	if err != nil {
		return "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Ostiary SAML"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateOf),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	return model.Secret(text), nil
}

var errKeyPair = errors.New("must be an RSA key of 2048 bits or more (PKCS #8) and its certificate, in PEM")

func parseKeyPair(secret model.Secret) (keyPair, error) {
	first, rest := pem.Decode([]byte(secret.Reveal()))
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || first.Type != "PRIVATE KEY" || second.Type != "CERTIFICATE" {
		return keyPair{}, errKeyPair
	}
	parsed, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok || key.N.BitLen() < minRSABits {
		return keyPair{}, errKeyPair
	}
	cert, err := x509.ParseCertificate(second.Bytes)
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
		return keyPair{}, errKeyPair
	}
	return keyPair{key, cert}, nil
}

func (k keyPair) base64() string { return base64.StdEncoding.EncodeToString(k.cert.Raw) }
