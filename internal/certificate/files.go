package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// ErrMode says that others can read the key.
var ErrMode = errors.New("the key can be read or changed by others")

// lookEvery is how often the files are looked at. What is in them counts, not their
// times: a link may lead elsewhere, as where Kubernetes keeps secrets.
const lookEvery = 5 * time.Second

// FilesConfig names the files of a certificate.
type FilesConfig struct {
	Certificate string // PEM: the server's own first, then those above it
	Key         string // PEM; nobody but the server's user, and a group that may read it
	Host        string // of the issuer: that of which it is expected
	Every       time.Duration
	Logger      *slog.Logger
	Now         func() time.Time
}

// Files is a certificate in files. It follows them: connections that are open keep
// what they have, new ones get what is there.
type Files struct {
	c       FilesConfig
	current atomic.Pointer[tls.Certificate]
	seen    [sha256.Size]byte // what was there when it was last looked
	told    [sha256.Size]byte // of what the log has been told that it is no good
	warned  time.Time
}

// OpenFiles reads the files. Its errors are sentences that name the file and the cure.
func OpenFiles(c FilesConfig) (*Files, error) {
	if c.Every == 0 {
		c.Every = lookEvery
	}
	f := &Files{c: c}
	certificate, sum, err := f.read()
	if err != nil {
		return nil, err
	}
	f.current.Store(certificate)
	f.seen = sum
	if err := certificate.Leaf.VerifyHostname(c.Host); err != nil {
		// A proxy that speaks TLS with its nodes may know them by another name.
		c.Logger.Warn("the certificate is not one of the issuer's host", "file", c.Certificate, "host", c.Host, "reason", err)
	}
	f.warn()
	return f, nil
}

// TLS is what the server listens with.
func (f *Files) TLS() *tls.Config {
	return base(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil })
}

// Run follows the files until ctx is done.
func (f *Files) Run(ctx context.Context) {
	ticker := time.NewTicker(f.c.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.look()
			f.warn()
		}
	}
}

// look takes what is in the files now, if it is good. Whoever renews writes one file
// after the other: what is no good is told of when it was found twice.
func (f *Files) look() {
	certificate, sum, err := f.read()
	settled := sum == f.seen
	f.seen = sum
	if err == nil && !same(certificate, f.current.Load()) {
		err = f.accept(certificate)
	}
	switch {
	case err == nil:
		f.told = [sha256.Size]byte{}
	case settled && sum != f.told:
		f.c.Logger.Error("the certificate in the files cannot be used: the one from before stays", "error", err)
		f.told = sum
	}
}

func (f *Files) accept(next *tls.Certificate) error {
	now, leaf := f.c.Now(), next.Leaf
	if now.After(leaf.NotAfter) && !now.After(f.current.Load().Leaf.NotAfter) {
		return fmt.Errorf("%s ran out on %s", f.c.Certificate, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if leaf.VerifyHostname(f.c.Host) != nil && f.current.Load().Leaf.VerifyHostname(f.c.Host) == nil {
		return fmt.Errorf("%s is not for %s, as the one from before is", f.c.Certificate, f.c.Host)
	}
	f.current.Store(next)
	f.c.Logger.Info("new certificate", "file", f.c.Certificate, "serial", leaf.SerialNumber.Text(16), "expires", leaf.NotAfter.UTC())
	return nil
}

// warn tells once a day of a certificate that has less than a tenth of its life left.
func (f *Files) warn() {
	now, leaf := f.c.Now(), f.current.Load().Leaf
	if left := leaf.NotAfter.Sub(now); left < leaf.NotAfter.Sub(leaf.NotBefore)/10 && now.Sub(f.warned) > 24*time.Hour {
		f.c.Logger.Error("the certificate must be renewed", "file", f.c.Certificate, "expires", leaf.NotAfter.UTC())
		f.warned = now
	}
}

// read returns what is in the files, and with any error a sum of what it is about.
func (f *Files) read() (c *tls.Certificate, sum [sha256.Size]byte, err error) {
	sum = sha256.Sum256(nil)
	chain, _, err := readBounded(f.c.Certificate)
	if err != nil {
		return nil, sum, fmt.Errorf("the certificate cannot be read: %w: correct --tls-certificate", err)
	}
	key, mode, err := readBounded(f.c.Key)
	if err != nil {
		return nil, sum, fmt.Errorf("the key of the certificate cannot be read: %w: correct --tls-key, or let the server's user read it", err)
	}
	sum = sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%o", chain, key, mode))
	if err := checkMode(f.c.Key, mode); err != nil {
		return nil, sum, err
	}
	if c, err = parse(chain, key); err != nil {
		// What the parser says names no part of the key.
		return nil, sum, fmt.Errorf("%s and %s are not a certificate and its key: %w: name PEM files that belong together with --tls-certificate and --tls-key", f.c.Certificate, f.c.Key, err)
	}
	return c, sum, nil
}

// checkMode lets a group read the key: that of Debian's ssl-cert, or the one by which
// Kubernetes gives a secret to a user. Windows has no such bits: there the rights of
// the folder decide.
func checkMode(path string, mode os.FileMode) error {
	if mode.Perm()&0o037 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%w: the file %s has mode %04o; run chmod 640 %s, or 600", ErrMode, path, mode.Perm(), path)
	}
	return nil
}
