// Package certificate owns the certificate with which the server speaks TLS by itself:
// it reads it from files and follows them, or gets it from an authority by ACME
// (RFC 8555), renews it, and shares it with the other nodes through the database.
//
// It uses the protocol package golang.org/x/crypto/acme, and not autocert above it or
// certmagic. Both ask the authority while a browser waits for its handshake. autocert
// knows of no other nodes: two that start together ask twice, and each of them comes
// back a minute after every failure, where authorities take five failures in an hour.
// Here a row of the database is claimed by one node, and holds the pauses of all.
// certmagic has locks, and twenty modules that we have no other use for.
//
// It never serves a request and never decides who may be asked for: the host is that
// of the issuer.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// base is what every connection gets: Go's own choice of everything, from TLS 1.2 on.
func base(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificate}
}

// maxFile bounds what is read of a certificate or of a key, in bytes.
const maxFile = 1 << 20

// parse makes a certificate of its chain and its key, both PEM.
func parse(chain, key []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	if c.Leaf == nil {
		c.Leaf, err = x509.ParseCertificate(c.Certificate[0])
	}
	return &c, err
}

// same reports whether two certificates are one and the same.
func same(a, b *tls.Certificate) bool {
	return a != nil && b != nil && slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal[[]byte])
}

// readBounded returns a file with its mode.
func readBounded(path string) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, info.Mode(), err
}

// errNone says that a handshake has come before the first certificate.
var errNone = errors.New("there is no certificate yet")
