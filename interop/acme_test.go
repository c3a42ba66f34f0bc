package interop

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

const acmeHost = "login.example.com"

// pebble is Let's Encrypt's ACME server for tests. It looks the host up in a DNS of its
// own, which leads it to one node after the other, as a balancer does.
type pebble struct {
	*httptest.Server
	ca             *ca.CAImpl
	tls, plain     *balancer
	orders, refuse atomic.Int64 // how many there were; how many more are refused
}

// The account that the operator has there, RFC 8555 §7.3.4.
const (
	bindingID  = "kid-1"
	bindingKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

func startPebble(t *testing.T, life time.Duration) *pebble {
	t.Helper()
	for name, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"} {
		t.Setenv(name, value)
	}
	p := &pebble{tls: newBalancer(t), plain: newBalancer(t)}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	if err := store.AddExternalAccountKeyByID(bindingID, bindingKey); err != nil {
		t.Fatal(err)
	}
	p.ca = ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life / time.Second)}})
	front := wfe.New(quiet, store, va.New(quiet, p.plain.port(), p.tls.port(), true, startDNS(t), store), p.ca, []string{"pebble.example"}, true, true, 1, 1)
	handler := front.Handler()
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			p.orders.Add(1)
			if p.refuse.Add(-1) >= 0 { // RFC 8555 §6.6
				w.Header().Set("Content-Type", "application/problem+json")
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many orders"}`)
				return
			}
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// startDNS knows every name, on this machine.
func startDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the port is free for UDP, too, as good as always
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{address}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	s.SetDefaultDNSIPv6("")
	go s.Run()
	t.Cleanup(s.Shutdown)
	return address
}

// directory is where Pebble's ACME begins.
func (p *pebble) directory() string { return p.URL + wfe.DirectoryPath }

// roots trusts what Pebble issues.
func (p *pebble) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	root, err := x509.ParseCertificate(p.ca.GetRootCert(0).DER)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(root)
	return pool
}

// ask makes a server get its certificate from Pebble.
func (p *pebble) ask(t *testing.T, data, database string) servertest.Option {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(p.Certificate())
	key, err := base64.RawURLEncoding.DecodeString(bindingKey)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *server.Config) {
		c.Issuer, c.Data, c.Database, c.OutgoingRoots, c.HTTPListener = "https://"+acmeHost, data, database, trusted, plain
		c.TLS = server.TLS{
			ACME: true, Agreed: true, Directory: p.directory(), Mail: "operator@example.com", BindingID: bindingID, BindingKey: model.Secret(key),
			Every: 50 * time.Millisecond, Pause: 200 * time.Millisecond,
		}
	}
}

// balancer passes connections on, to one node after the other.
type balancer struct {
	net.Listener
	nodes atomic.Pointer[[]string]
	next  atomic.Int64
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{Listener: l}
	b.to()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(conn)
		}
	}()
	return b
}

func (b *balancer) port() int          { return b.Addr().(*net.TCPAddr).Port }
func (b *balancer) to(nodes ...string) { b.nodes.Store(&nodes) }
func (b *balancer) node() (node string) {
	if nodes := *b.nodes.Load(); len(nodes) > 0 {
		node = nodes[int(b.next.Add(1))%len(nodes)]
	}
	return node
}

func (b *balancer) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", b.node())
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		io.Copy(to, from)
		to.Close()
	}()
	io.Copy(from, to)
}

// serial returns that of the certificate that a node shows; "": it shows none. Whether
// it is good is verified, but for its time: some live for seconds here.
func serial(t *testing.T, address string, roots *x509.CertPool) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true})
	if err != nil {
		return ""
	}
	defer conn.Close()
	chain := conn.ConnectionState().PeerCertificates
	others := x509.NewCertPool()
	for _, c := range chain[1:] {
		others.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: acmeHost, Roots: roots, Intermediates: others, CurrentTime: chain[0].NotBefore}); err != nil {
		t.Fatal(err)
	}
	return chain[0].SerialNumber.Text(16)
}

// agree waits until all nodes show the same certificate, and another than before.
func agree(t *testing.T, roots *x509.CertPool, before string, nodes ...*servertest.House) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		first := serial(t, nodes[0].Addr().String(), roots)
		same := first != "" && first != before
		for _, n := range nodes[1:] {
			same = same && serial(t, n.Addr().String(), roots) == first
		}
		if same {
			return first
		}
		if time.Now().After(deadline) {
			t.Fatalf("the nodes show no certificate together, but %q\n%s", first, nodes[0].Log)
		}
	}
}

func row(t *testing.T, h *servertest.House) (c model.Certificate) {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) {
		c, err = tx.Certificate(acmeHost)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return c
}

// issues counts the certificates that the audit log tells of.
func issues(t *testing.T, h *servertest.House) (n int) {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Events(0, 1000)
		for _, e := range all {
			if e.Action == "certificate.issue" {
				n++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Two nodes that start together get one certificate, by TLS-ALPN-01, whichever of them
// the authority reaches; a third that comes later has it at once; and it is renewed.
func TestACME(t *testing.T) {
	p := startPebble(t, 9*time.Second)
	roots := p.roots(t)
	data, database := t.TempDir(), storetest.PostgresURL(t)
	one, two := servertest.Start(t, p.ask(t, data, database)), servertest.Start(t, p.ask(t, data, database))
	p.tls.to(one.Addr().String(), two.Addr().String())
	first := agree(t, roots, "", one, two)

	held, err := tls.Dial("tcp", two.Addr().String(), &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	answers := bufio.NewReader(held)
	ask := func() {
		t.Helper()
		io.WriteString(held, "GET /healthz HTTP/1.1\r\nHost: "+acmeHost+"\r\n\r\n")
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%d %v", res.StatusCode, err)
		}
	}
	ask()
	second := agree(t, roots, first, one, two) // a renewal
	ask()                                      // of a connection that was there before
	if n := issues(t, one); n > int(p.orders.Load()) {
		t.Errorf("%d certificates from %d orders", n, p.orders.Load())
	}
	// What is stored is sealed.
	if c := row(t, one); !strings.HasPrefix(c.Sealed, "v1.") || c.Directory != p.directory() {
		t.Errorf("%+v", c)
	}
	third := servertest.Start(t, p.ask(t, data, database))
	if got := serial(t, third.Addr().String(), roots); got == "" {
		t.Errorf("a node that comes later has no certificate; the others have %s", second)
	}
}

// Nodes that start together ask once. Nothing is shown to those who only say that they
// validate.
func TestACMEOnce(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour)
	data, database := t.TempDir(), storetest.PostgresURL(t)
	var nodes []*servertest.House
	var at []string
	for range 3 {
		nodes = append(nodes, servertest.Start(t, p.ask(t, data, database)))
		at = append(at, nodes[len(nodes)-1].Addr().String())
		p.tls.to(at...)
	}
	agree(t, p.roots(t), "", nodes...)
	// The first may have tried before the others, and the balancer, were there.
	if n := issues(t, nodes[0]); n != 1 {
		t.Errorf("%d certificates for %d nodes", n, len(nodes))
	}
	c := row(t, nodes[0])
	if c.Tries != 0 || c.Claim != "" || c.Challenge != "" || c.ExpiresAt-c.NextAt < 29*24*3600 {
		t.Errorf("%+v", c)
	}
	// RFC 8737 §3
	for _, name := range []string{acmeHost, "other.example.com"} {
		if _, err := tls.Dial("tcp", at[1], &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
			t.Errorf("%s is validated, and nobody has asked", name)
		}
	}
}

// Where nothing comes through to the port of TLS, the challenge is met in the clear; and
// an authority that has had enough is left alone for as long as it says.
func TestACMEByHTTP(t *testing.T) {
	for name, database := range map[string]string{"sqlite": "", "postgres": storetest.PostgresURL(t)} {
		t.Run(name, func(t *testing.T) { metByHTTP(t, database) })
	}
}

func metByHTTP(t *testing.T, database string) {
	p := startPebble(t, 90*24*time.Hour)
	p.refuse.Store(2)
	n := servertest.Start(t, p.ask(t, t.TempDir(), database))
	p.plain.to(n.PlainAddr().String())
	agree(t, p.roots(t), "", n)
	for _, told := range []string{"too many orders", "the challenge tls-alpn-01"} {
		if !strings.Contains(n.Log.String(), told) {
			t.Errorf("the log does not tell of %q:\n%s", told, n.Log)
		}
	}
	for _, token := range []string{"", "abc", strings.Repeat("a", 5000)} {
		res, err := http.Get("http://" + n.PlainAddr().String() + "/.well-known/acme-challenge/" + token)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("a token of %d bytes: %d", len(token), res.StatusCode)
		}
	}
}

// An account that the authority does not know gets nothing, and the log says why. When
// the operator has put it right and starts anew, nobody waits out the pause.
func TestACMEBinding(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour)
	data := t.TempDir()
	right := p.ask(t, data, "")
	n := servertest.Start(t, right, func(c *server.Config) { c.TLS.BindingID, c.TLS.Pause = "kid-2", time.Second })
	p.tls.to(n.Addr().String())
	for deadline := time.Now().Add(time.Minute); row(t, n).Tries < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v\n%s", row(t, n), n.Log)
		}
	}
	if !strings.Contains(n.Log.String(), "no account with the authority") || serial(t, n.Addr().String(), nil) != "" {
		t.Errorf("without an account:\n%s", n.Log)
	}
	if strings.Contains(n.Log.String(), bindingKey) {
		t.Error("the key of the account is in the log")
	}
	n.Stop()
	m := servertest.Start(t, p.ask(t, data, ""))
	p.tls.to(m.Addr().String())
	agree(t, p.roots(t), "", m)
}
