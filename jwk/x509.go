package jwk

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// maxChain is the longest chain of certificates that is read.
const maxChain = 8

// Certificates returns the chain of the "x5c" member, RFC 7517 §4.7, that of the key
// first; nil if the key has none. The key of the first is this key, and nothing else
// about them has been verified: no signature, no date, no name.
func (k *Key) Certificates() []*x509.Certificate { return slices.Clone(k.chain) }

// CertificateThumbprint returns the "x5t#S256" member, RFC 7517 §4.9: the SHA-256
// hash of the certificate of the key in base64url; "" if it has no certificate.
func (k *Key) CertificateThumbprint() string {
	if len(k.chain) == 0 {
		return ""
	}
	return certificateThumbprint(k.chain[0])
}

func certificateThumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return encode(sum[:])
}

// FromCertificate makes a public key of a certificate, which it keeps, with the rest
// of its chain if there is one. Nothing about the certificates is verified; x509.Verify
// does that. It returns ErrInvalid, ErrWeak or ErrUnsupported.
func FromCertificate(chain []*x509.Certificate, p Params) (*Key, error) {
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return nil, fmt.Errorf("%w: no certificate", ErrInvalid)
	}
	k, err := New(chain[0].PublicKey, p)
	if err != nil {
		return nil, err
	}
	if err := k.certify(chain); err != nil {
		return nil, err
	}
	return k, nil
}

// WithCertificates returns the same key with a chain of certificates, that of the key
// first. It returns ErrInvalid if the first is that of another key.
func (k *Key) WithCertificates(chain ...*x509.Certificate) (*Key, error) {
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return nil, fmt.Errorf("%w: no certificate", ErrInvalid)
	}
	c := k.clone()
	if err := c.certify(chain); err != nil {
		return nil, err
	}
	return c, nil
}

// clone copies a key, but for memory that is kept for its next use.
func (k *Key) clone() *Key {
	return &Key{
		id: k.id, alg: k.alg, use: k.use, ops: k.ops, by: k.by, kind: k.kind, curve: k.curve, bits: k.bits,
		public: k.public, signer: k.signer, exchanger: k.exchanger, secret: k.secret, usable: k.usable,
		insecureSize: k.insecureSize, insecureCurve: k.insecureCurve, pss: k.pss, pssParameters: k.pssParameters, chain: k.chain,
	}
}

// certify keeps a chain whose first certificate is that of this key, RFC 7517 §4.7.
func (k *Key) certify(chain []*x509.Certificate) error {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case len(chain) > maxChain:
		return fmt.Errorf("%w: a chain of %d certificates; at most %d are taken", ErrInvalid, len(chain), maxChain)
	case !ok || !public.Equal(chain[0].PublicKey):
		return fmt.Errorf("%w: the certificate is that of another key", ErrInvalid)
	}
	k.chain = slices.Clone(chain)
	return nil
}

// certificates reads "x5c" and "x5t#S256". A chain that crypto/x509 cannot read is left
// out, for the key is as good without it; one that says something else than the key is
// an error.
func (m *members) certificates(k *Key) error {
	value, ok := m.values["x5c"]
	if !ok {
		return nil
	}
	chain, ok := readChain(value)
	if !ok {
		return nil
	}
	if err := k.certify(chain); err != nil {
		return err
	}
	if want := m.text("x5t#S256"); want != "" && want != k.CertificateThumbprint() {
		return fmt.Errorf("%w: x5t#S256 is that of another certificate than x5c", ErrInvalid)
	}
	return m.err
}

func readChain(value strictjson.Value) ([]*x509.Certificate, bool) {
	texts, ok := value.Texts()
	if !ok || len(texts) == 0 || len(texts) > maxChain {
		return nil, false
	}
	chain := make([]*x509.Certificate, len(texts))
	for i, text := range texts {
		der, err := base64.StdEncoding.Strict().DecodeString(text) // not base64url: RFC 7517 §4.7
		if err != nil {
			return nil, false
		}
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, false
		}
	}
	return chain, true
}

// encodedChain is the chain as "x5c" has it.
func (k *Key) encodedChain() []string {
	var texts []string
	for _, c := range k.chain {
		texts = append(texts, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return texts
}

// ParseDER reads a key from DER in any of the forms that ParsePEM knows. It returns
// ErrInvalid, ErrWeak or ErrUnsupported.
func ParseDER(data []byte, p Params) (*Key, error) {
	if len(data) > maxPEMBytes {
		return nil, fmt.Errorf("%w: %d bytes of DER; at most %d are taken", ErrInvalid, len(data), maxPEMBytes)
	}
	problem := fmt.Errorf("%w: not a key in DER", ErrInvalid)
	labels := []string{"CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "RSA PUBLIC KEY"}
	if len(data) > maxKeyDER {
		problem = fmt.Errorf("%w: %d bytes of DER that are no certificate; of a key at most %d are taken", ErrInvalid, len(data), maxKeyDER)
		labels = labels[:1]
	}
	for _, label := range labels {
		material, err := pemForms[label](data)
		if err == nil {
			return New(material, p)
		}
		if errors.Is(err, ErrUnsupported) {
			problem = err
		}
	}
	return nil, problem
}

// MarshalPEM returns the public half as PEM, PKIX. It returns ErrPrivate for a
// symmetric key.
func (k *Key) MarshalPEM() ([]byte, error) {
	if k.public == nil {
		return nil, fmt.Errorf("%w: a symmetric key has no public half", ErrPrivate)
	}
	der, err := k.marshalPKIX()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// MarshalPrivatePEM returns the private half as PEM, PKCS #8. It returns ErrPrivate for
// a public or a symmetric key, and ErrUnsupported for one that keeps its private half to
// itself.
func (k *Key) MarshalPrivatePEM() ([]byte, error) {
	var private any = k.signer
	if k.exchanger != nil {
		private = k.exchanger
	} else if k.signer == nil {
		return nil, fmt.Errorf("%w: no private half to write", ErrPrivate)
	}
	der, err := k.marshalPKCS8(private)
	if err != nil {
		return nil, fmt.Errorf("%w: the private key cannot be written", ErrUnsupported)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ThumbprintURI returns the thumbprint as a name that says what it is, RFC 9278 §3.
func (k *Key) ThumbprintURI() string {
	return "urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + k.Thumbprint()
}
