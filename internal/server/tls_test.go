package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/resource"
)

const tlsHost = "login.example.com"

// authority issues certificates for tests, into the two files of a folder.
type authority struct {
	t    *testing.T
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool

	certificate, private string
	last                 int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, pool: x509.NewCertPool(), last: 1}
	a.root = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.root, a.root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.root)
	dir := t.TempDir()
	a.certificate, a.private = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	return a
}

// make returns a new certificate and its key, as PEM.
func (a *authority) make(host string, life time.Duration) (chain, private []byte, serial int64) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), DNSNames: []string{host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.root, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), a.last
}

// issue puts a new certificate where the server looks for it.
func (a *authority) issue(host string, life time.Duration) (serial int64) {
	a.t.Helper()
	chain, private, serial := a.make(host, life)
	a.write(a.certificate, chain)
	a.write(a.private, private)
	return serial
}

func (a *authority) write(path string, data []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// withTLS makes a server speak TLS with what an authority has issued.
func (a *authority) withTLS(c *server.Config) {
	a.t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	c.Issuer, c.HTTPListener = "https://"+tlsHost, plain
	c.TLS = server.TLS{Certificate: a.certificate, Key: a.private, Every: 20 * time.Millisecond}
}

// client reaches a server under its name, by TLS and in the clear.
func (a *authority) client(h *servertest.House) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		to := h.Addr().String()
		if address == tlsHost+":80" {
			to = h.PlainAddr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: a.pool}, ForceAttemptHTTP2: true}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask returns the answer to a GET, and whether its connection was there before.
func ask(t *testing.T, c *http.Client, address string) (res *http.Response, body string, reused bool) {
	t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err = c.Do(req); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text), reused
}

func serialOf(res *http.Response) int64 { return res.TLS.PeerCertificates[0].SerialNumber.Int64() }

// serves waits until new connections get a certificate.
func (a *authority) serves(h *servertest.House, serial int64) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c := a.client(h)
		res, _, _ := ask(a.t, c, "https://"+tlsHost+"/healthz")
		c.CloseIdleConnections()
		if serialOf(res) == serial {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("the server has certificate %d, want %d\n%s", serialOf(res), serial, h.Log)
		}
	}
}

// logs waits until the log has a text more often than before.
func logs(t *testing.T, h *servertest.House, text string, before int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); strings.Count(h.Log.String(), text) <= before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not tell of %q:\n%s", text, h.Log)
		}
	}
}

// The certificate is exchanged while connections are open, which go on; what is no good
// is told of and not taken.
func TestCertificateFiles(t *testing.T) {
	a := newAuthority(t)
	first := a.issue(tlsHost, time.Hour)
	h := servertest.Start(t, a.withTLS)
	kept := a.client(h)
	res, _, _ := ask(t, kept, "https://"+tlsHost+"/.well-known/openid-configuration")
	if res.StatusCode != http.StatusOK || serialOf(res) != first || res.ProtoMajor != 2 {
		t.Fatalf("%d, certificate %d, %s", res.StatusCode, serialOf(res), res.Proto)
	}
	// RFC 6797 §7.1
	if got := res.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("Strict-Transport-Security is %q", got)
	}

	second := a.issue(tlsHost, time.Hour)
	a.serves(h, second)
	if res, _, reused := ask(t, kept, "https://"+tlsHost+"/healthz"); !reused || serialOf(res) != first {
		t.Errorf("a connection from before: reused %v, certificate %d", reused, serialOf(res))
	}

	chain, private, _ := a.make(tlsHost, time.Hour)
	for _, bad := range []struct {
		name   string
		spoil  func()
		reason string
	}{
		{"a certificate of another key", func() { a.write(a.certificate, chain) }, "private key does not match public key"},
		{"no certificate", func() { a.write(a.certificate, []byte("oops")) }, "failed to find any PEM data"},
		{"a key that everybody can read", func() {
			a.write(a.certificate, chain)
			a.write(a.private, private)
			if err := os.Chmod(a.private, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "has mode 0644"},
		{"one that has run out", func() {
			os.Remove(a.private)
			a.issue(tlsHost, -time.Hour)
		}, "ran out on"},
		{"one for another host", func() { a.issue("other.example.com", time.Hour) }, "is not for " + tlsHost},
		{"no file", func() { os.Remove(a.certificate) }, "no such file"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			before := strings.Count(h.Log.String(), bad.reason)
			bad.spoil()
			logs(t, h, bad.reason, before)
			a.serves(h, second)
			if n := strings.Count(h.Log.String(), bad.reason); n != before+1 {
				t.Errorf("the log tells of it %d times", n-before)
			}
		})
	}
	a.serves(h, a.issue(tlsHost, time.Hour))
}

// What is spoken: TLS 1.2 and above, HTTP/2 and HTTP/1.1.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue(tlsHost, time.Hour)
	h := servertest.Start(t, a.withTLS)
	for version, spoken := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", h.Addr().String(), &tls.Config{RootCAs: a.pool, ServerName: tlsHost, MinVersion: version, MaxVersion: version})
		if spoken != (err == nil) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
	for want, offered := range map[string][]string{"h2": {"h2", "http/1.1"}, "http/1.1": {"http/1.1"}} {
		conn, err := tls.Dial("tcp", h.Addr().String(), &tls.Config{RootCAs: a.pool, ServerName: tlsHost, NextProtos: offered})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("%v: %q", offered, got)
		}
		conn.Close()
	}
	// RFC 8737 §3: nobody validates where no authority is asked
	if _, err := tls.Dial("tcp", h.Addr().String(), &tls.Config{RootCAs: a.pool, ServerName: tlsHost, NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("acme-tls/1 is spoken")
	}
	res, err := http.Get("http://" + h.Addr().String() + "/healthz") // Go's server says so by itself
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("plain http at the port of TLS: %d", res.StatusCode)
	}
}

// The feed is a stream over HTTP/2, and people sign in, with nothing in front.
func TestTLSWhole(t *testing.T) {
	a := newAuthority(t)
	a.issue(tlsHost, time.Hour)
	h := servertest.Start(t, a.withTLS)
	api, secret := h.Client("api", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Resources: []string{"https://api.example"}, Scopes: []string{"ostiary:feed"}})
	feed, err := resource.NewFeed(resource.FeedConfig{Issuer: h.Issuer, ClientID: string(api.ID), ClientSecret: secret.Reveal(), HTTP: a.client(h), Now: h.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { feed.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	within, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := feed.Ready(within); err != nil {
		t.Fatalf("the feed: %v, %+v", err, feed.State())
	}
	if s := feed.State(); s.Mode != "stream" {
		t.Errorf("the feed is followed by %q", s.Mode)
	}
	h.User("alice", "correct horse battery")
	b := h.Browser()
	b.HTTP().Transport = a.client(h).Transport
	p := b.Get("/sign-in").Submit("primary", "login", "alice", "password", "correct horse battery")
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL.Path, "/account") {
		t.Errorf("the sign-in ends at %s with %d", p.URL, p.Status)
	}
}

// The plain listener sends people to the issuer, whatever Host they send, says how the
// server is, and does nothing else.
func TestPlainListener(t *testing.T) {
	a := newAuthority(t)
	a.issue(tlsHost, time.Hour)
	h := servertest.Start(t, a.withTLS)
	c := a.client(h)
	for _, row := range []struct {
		method, path, host string
		status             int
		location           string
	}{
		{"GET", "/", "", 301, "https://login.example.com/"},
		{"GET", "/authorize?client_id=a&state=b%2Fc", "", 301, "https://login.example.com/authorize?client_id=a&state=b%2Fc"},
		{"HEAD", "/account", "", 301, "https://login.example.com/account"},
		{"GET", "/account", "evil.example", 301, "https://login.example.com/account"},
		{"GET", "/a%2F..%2Fb", "", 301, "https://login.example.com/a%2F..%2Fb"},
		{"GET", "//evil.example/%2e%2e", "", 301, "https://login.example.com//evil.example/%2e%2e"},
		{"POST", "/token", "", 403, ""},
		{"GET", "/.well-known/openid-configuration", "", 301, "https://login.example.com/.well-known/openid-configuration"},
		{"GET", "/.well-known/acme-challenge/abc", "", 301, "https://login.example.com/.well-known/acme-challenge/abc"},
		{"GET", "/healthz", "127.0.0.1", 200, ""},
		{"GET", "/readyz", "127.0.0.1", 200, ""},
	} {
		req, err := http.NewRequest(row.method, "http://"+tlsHost+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = row.host
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.status || res.Header.Get("Location") != row.location {
			t.Errorf("%s %s: %d %q", row.method, row.path, res.StatusCode, res.Header.Get("Location"))
		}
		// RFC 6797 §7.2
		if got := res.Header.Get("Strict-Transport-Security"); got != "" {
			t.Errorf("%s: Strict-Transport-Security is %q in the clear", row.path, got)
		}
	}
}

// What does not go together is refused in a sentence that names the setting.
func TestTLSRefused(t *testing.T) {
	a := newAuthority(t)
	a.issue(tlsHost, time.Hour)
	issuer := "https://" + tlsHost
	files := server.TLS{Certificate: a.certificate, Key: a.private}
	acme := server.TLS{ACME: true, Agreed: true}
	data := t.TempDir()
	storetest.MakeFile(t, filepath.Join(data, "ostiary.db"))
	for want, c := range map[string]server.Config{
		"set --issuer to the https address":          {Issuer: "http://localhost:8080", TLS: files},
		"set both of --tls-certificate":              {Issuer: issuer, TLS: server.TLS{Certificate: a.certificate}},
		"set both of --tls-certificate and":          {Issuer: issuer, TLS: server.TLS{Key: a.private}},
		"leave --tls-acme or":                        {Issuer: issuer, TLS: server.TLS{Certificate: a.certificate, Key: a.private, ACME: true}},
		"correct --tls-certificate":                  {Issuer: issuer, TLS: server.TLS{Certificate: a.certificate + "x", Key: a.private}},
		"correct --tls-key":                          {Issuer: issuer, TLS: server.TLS{Certificate: a.certificate, Key: a.private + "x"}},
		"are not a certificate and its key":          {Issuer: issuer, TLS: server.TLS{Certificate: a.private, Key: a.private}},
		"set --tls-acme-agree to on":                 {Issuer: issuer, TLS: server.TLS{ACME: true}},
		"no authority issues a certificate for 10.0": {Issuer: "https://10.0.0.1", TLS: acme},
		"no authority issues a certificate for host": {Issuer: "https://host", TLS: acme},
		"correct --tls-acme-directory":               {Issuer: issuer, TLS: server.TLS{ACME: true, Agreed: true, Directory: "http://acme.example.com"}},
		"set --tls-acme-binding and":                 {Issuer: issuer, TLS: server.TLS{ACME: true, Agreed: true, BindingID: "a"}},
		"leave --http-listen out":                    {Issuer: issuer, HTTPListen: "127.0.0.1:1"},
		"choose another address with --http-listen":  {Issuer: issuer, TLS: files, HTTPListen: "192.0.2.1:1"},
	} {
		t.Run(want, func(t *testing.T) {
			c.Data, c.ChangeIssuer, c.Logger = data, true, slog.New(slog.DiscardHandler)
			c.Listen = "127.0.0.1:0"
			s, err := server.New(t.Context(), c)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("it says %v", err)
			}
		})
	}
}
