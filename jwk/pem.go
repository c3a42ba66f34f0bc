package jwk

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// maxPEMBytes is the longest text that ParsePEM takes: it may be a chain of
	// certificates.
	maxPEMBytes = 256 << 10

	// maxKeyDER bounds what stands in a block that holds a key. RSA with 8192
	// bits has 4.7 KB; a parser that checks the primes of a longer one is busy for
	// seconds.
	maxKeyDER = 8 << 10
)

// pemForms are the encodings of a key in PEM, by the label of their block.
var pemForms = map[string]func(der []byte) (any, error){
	"PRIVATE KEY":     func(der []byte) (any, error) { return parsePKCS8(der) },                // RFC 5958
	"PUBLIC KEY":      func(der []byte) (any, error) { return parsePKIX(der) },                 // RFC 5280 §4.1
	"RSA PRIVATE KEY": func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) }, // RFC 8017 A.1.2
	"RSA PUBLIC KEY":  func(der []byte) (any, error) { return x509.ParsePKCS1PublicKey(der) },  // RFC 8017 A.1.1
	"EC PRIVATE KEY":  func(der []byte) (any, error) { return parseSEC1(der) },                 // RFC 5915
	"CERTIFICATE": func(der []byte) (any, error) { // RFC 5280
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	},
}

// ParsePEM reads a key from PEM: a private key in PKCS #8, PKCS #1 or SEC 1, a
// public key in PKIX or PKCS #1, or a certificate. Of a certificate the public
// key is taken and nothing is verified, not even its dates; of a chain, the key
// of the first. (FromCertificate keeps the certificates.) More than one key is an error, for which one was meant?
//
// ParsePEM returns ErrInvalid, ErrWeak or ErrUnsupported.
func ParsePEM(data []byte, p Params) (*Key, error) {
	if len(data) > maxPEMBytes {
		return nil, fmt.Errorf("%w: %d bytes of PEM; at most %d are taken", ErrInvalid, len(data), maxPEMBytes)
	}
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	if block.Type == encryptedPEM {
		return nil, fmt.Errorf("%w: an encrypted key; ParseEncryptedPEM reads it", ErrUnsupported)
	}
	return parseBlock(block, p)
}

func parseBlock(block *pem.Block, p Params) (*Key, error) {
	parse, ok := pemForms[block.Type]
	if !ok {
		return nil, fmt.Errorf("%w: a PEM block labelled %.40q", ErrUnsupported, block.Type)
	}
	if block.Headers["DEK-Info"] != "" { // RFC 1421 §4.6.1.3; the key is derived with one round of MD5
		return nil, fmt.Errorf("%w: a PEM block in the old encryption; convert it to PKCS #8", ErrUnsupported)
	}
	if block.Type != "CERTIFICATE" && len(block.Bytes) > maxKeyDER {
		return nil, fmt.Errorf("%w: %d bytes of a key in the PEM; at most %d are taken", ErrInvalid, len(block.Bytes), maxKeyDER)
	}
	material, err := parse(block.Bytes)
	if errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		// The error of the parser is not wrapped: it may quote the key.
		return nil, fmt.Errorf("%w: the PEM block labelled %q does not parse", ErrInvalid, block.Type)
	}
	return New(material, p)
}

// onlyBlock returns the one block of a PEM text that holds a key. The curve
// that openssl writes in front of an EC key is passed over, and so are the
// further certificates of a chain.
func onlyBlock(data []byte) (*pem.Block, error) {
	var only *pem.Block
	for {
		block, rest := pem.Decode(data)
		switch {
		case block == nil && only == nil:
			return nil, fmt.Errorf("%w: not PEM", ErrInvalid)
		case block == nil:
			return only, nil
		case block.Type == "EC PARAMETERS":
		case only == nil:
			only = block
		case block.Type != "CERTIFICATE" || only.Type != "CERTIFICATE":
			return nil, fmt.Errorf("%w: more than one key in the PEM", ErrInvalid)
		}
		data = rest
	}
}
