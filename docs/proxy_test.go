package docs_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwt"
	"github.com/ostiary/ostiary/resource"
)

// host is the name that the manual gives to the server.
const host = "login.example.com"

// TestProxies puts what the manual shows for nginx and for Caddy before a server, with
// TLS, and goes through it as browsers, applications and APIs do.
func TestProxies(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *proxied){"nginx": runNGINX, "caddy": runCaddy} {
		t.Run(name, func(t *testing.T) {
			h := servertest.Start(t, func(c *server.Config) {
				c.Issuer, c.TrustedProxies = "https://"+host, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			})
			p := &proxied{House: h, dir: t.TempDir(), plain: freeAddress(t), tls: freeAddress(t)}
			run(t, p)
			p.redirects(t)
			p.signsIn(t)
			p.knowsWhoCalls(t)
			p.imports(t)
			p.tellsAtOnce(t)
			p.keepsSecrets(t)
		})
	}
}

// proxied is a server behind a proxy.
type proxied struct {
	*servertest.House
	dir        string // of the proxy
	plain, tls string // its addresses
	trusted    *x509.CertPool
	output     output
}

// output is what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + freePort(t)
}

// configuration returns the block of the manual that has such a fence.
func configuration(t *testing.T, language string) string {
	t.Helper()
	for _, b := range blocks(read(t, "docs/operate.md")) {
		if b.language == language {
			return b.text
		}
	}
	t.Fatalf("docs/operate.md has no block of %s", language)
	return ""
}

func runNGINX(t *testing.T, p *proxied) {
	certificate, key := p.certify(t)
	logs := filepath.Join(p.dir, "logs") + "/"
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	site := replaceAll(t, configuration(t, "nginx"),
		"listen 80;", "listen "+p.plain+";", "listen 443 ssl;", "listen "+p.tls+" ssl;",
		"/etc/letsencrypt/live/login.example.com/fullchain.pem", certificate, "/etc/letsencrypt/live/login.example.com/privkey.pem", key,
		"127.0.0.1:8080", p.Addr().String(), "/var/log/nginx/", logs)
	p.start(t, "nginx", "-e", "stderr", "-p", p.dir, "-c", p.file(t, "nginx.conf", `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log `+logs+`others.log;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
`+site+"}\n"))
}

func runCaddy(t *testing.T, p *proxied) {
	// Its own authority in place of one on the Internet. The name is one for which it
	// would ask there.
	_, plain, _ := net.SplitHostPort(p.plain)
	_, port, _ := net.SplitHostPort(p.tls)
	text := replaceAll(t, configuration(t, "caddyfile"), "127.0.0.1:8080", p.Addr().String(), "{\n\tlog {", fmt.Sprintf(
		"{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port %s\n\thttps_port %s\n\tlocal_certs\n\tskip_install_trust\n\tlog {", plain, port))
	p.start(t, "caddy", "run", "--adapter", "caddyfile", "--config", p.file(t, "Caddyfile", text))
	root := filepath.Join(p.dir, "caddy", "pki", "authorities", "local", "root.crt")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(root)
		if p.trusted = x509.NewCertPool(); err == nil && p.trusted.AppendCertsFromPEM(text) {
			if res, err := p.client().Get("https://" + host + "/healthz"); err == nil {
				res.Body.Close()
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Caddy has made no certificate: %v\n%s", err, &p.output)
		}
	}
}

// replaceAll puts other texts in place of some, each of which must be there.
func replaceAll(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func (p *proxied) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certify makes an authority and a certificate for the host.
func (p *proxied) certify(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.trusted = x509.NewCertPool()
	p.trusted.AppendCertsFromPEM(text)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return p.file(t, "fullchain.pem", string(text)), p.file(t, "privkey.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// start runs a proxy until the test ends, and waits until it answers.
func (p *proxied) start(t *testing.T, name string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; exec.Command(path, "-v").Run() != nil {
			t.Fatalf("%s is missing: run make test, which installs it", name)
		}
	}
	cmd := exec.Command(path, arguments...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &p.output, &p.output, p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir, "XDG_DATA_HOME="+p.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, &p.output)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", p.tls); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen\n%s", name, &p.output)
		}
	}
}

// caller is where clients come from: another address than that of the proxy.
const caller = "127.0.0.2"

// client reaches the proxy under the name of the server, and believes its certificate.
func (p *proxied) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		to := map[string]string{host + ":80": p.plain, host + ":443": p.tls}[address]
		if to == "" {
			return nil, fmt.Errorf("nobody is to ask %s", address)
		}
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(caller)}}).DialContext(ctx, network, to)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: p.trusted}}}
}

// TestMaxInHeader: jwt.MaxInHeader is what nginx takes that nobody has told anything.
func TestMaxInHeader(t *testing.T) {
	p := &proxied{dir: t.TempDir(), tls: freeAddress(t)}
	p.start(t, "nginx", "-e", "stderr", "-p", p.dir, "-c", p.file(t, "nginx.conf", `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen `+p.tls+`;
		location / { return 200; }
	}
}
`))
	for length, want := range map[int]int{jwt.MaxInHeader: http.StatusOK, jwt.MaxInHeader + 1: http.StatusBadRequest} {
		req, err := http.NewRequest(http.MethodGet, "http://"+p.tls+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", length))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a token of %d bytes: %d, want %d", length, res.StatusCode, want)
		}
	}
}

// redirects: whoever comes by plain http is sent to https, with the address that they
// asked for, and what comes back is the server's.
func (p *proxied) redirects(t *testing.T) {
	res, err := p.client().Get("http://" + host + "/.well-known/openid-configuration?a=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Request.URL.String(); got != "https://"+host+"/.well-known/openid-configuration?a=1" {
		t.Errorf("http leads to %s", got)
	}
	if !strings.Contains(string(text), `"issuer":"https://`+host+`"`) || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%v %s", res.Header, text)
	}
}

// signsIn: cookies come and go, and so does the longest state that the server takes, in
// an address on the way there and in a header on the way back.
func (p *proxied) signsIn(t *testing.T) {
	p.User("alice", "correct horse battery")
	c, _ := p.House.Client("shop", model.ClientSettings{
		RedirectURIs: []string{"https://shop.example/callback"}, Scopes: []string{"openid"}, FirstParty: true,
	})
	state := strings.Repeat("x", 16384)
	b := newBrowser(t)
	b.http.Transport = p.client().Transport
	var left *url.URL
	b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "shop.example" {
			left = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.get("https://" + host + servertest.AuthorizePath(c, "state", state, "scope", "openid"))
	b.submit("login", "alice", "password", "correct horse battery")
	if left == nil || left.Query().Get("code") == "" || left.Query().Get("state") != state {
		t.Fatalf("the sign-in ends at %s: %.600s", b.at, b.body)
	}
}

// knowsWhoCalls: the server is told where a request comes from, and believes nothing that
// the caller says about it.
func (p *proxied) knowsWhoCalls(t *testing.T) {
	b := newBrowser(t)
	b.http.Transport = forwarding{p.client().Transport}
	b.get("https://" + host + "/sign-in")
	b.submit("login", "alice", "password", "correct horse battery")
	var found []model.Event
	err := p.Store.View(t.Context(), func(tx *store.Tx) (err error) {
		found, err = tx.Events(0, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, e := range found {
		if e.Action != "session.start" {
			continue
		}
		sessions++
		if e.Actor.Address != caller {
			t.Errorf("somebody signed in from %q, want %s", e.Actor.Address, caller)
		}
	}
	if sessions != 2 {
		t.Errorf("%d sign-ins, want 2", sessions)
	}
}

// forwarding is a caller who pretends to be another.
type forwarding struct{ http.RoundTripper }

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	return f.RoundTripper.RoundTrip(r)
}

// imports: a list of people is larger than other requests, and may be as large as the
// server takes.
func (p *proxied) imports(t *testing.T) {
	c, secret := p.House.Client("ops", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Scopes: []string{"ostiary:users"}})
	token := p.token(t, c, secret, "ostiary:users")
	var list strings.Builder
	for list.Len() < 7<<20 {
		fmt.Fprintf(&list, `{"login":"person-%d"%s}`+"\n", list.Len(), strings.Repeat(" ", 5000))
	}
	req, err := http.NewRequest(http.MethodPost, "https://"+host+"/api/import/users?dry_run=true", strings.NewReader(list.String()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/jsonl")
	res, err := p.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Errorf("a list of 7 MiB: %d %.300s", res.StatusCode, text)
	}
}

// post asks something as a client, through the proxy.
func (p *proxied) post(t *testing.T, path string, c model.Client, secret model.Secret, form url.Values) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://"+host+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(string(c.ID), secret.Reveal())
	res, err := p.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, res.StatusCode, text, err)
	}
	return text
}

func (p *proxied) token(t *testing.T, c model.Client, secret model.Secret, scope string) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(p.post(t, "/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.AccessToken
}

// tellsAtOnce: the revocation feed comes through as a stream, and not when a buffer of
// the proxy is full.
func (p *proxied) tellsAtOnce(t *testing.T) {
	const audience = "https://api.example"
	api, apiSecret := p.House.Client("api", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Resources: []string{audience}, Scopes: []string{"ostiary:feed"}})
	caller, secret := p.House.Client("caller", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Scopes: []string{"orders:read"}, Audiences: []string{audience}})
	feed, err := resource.NewFeed(resource.FeedConfig{
		Issuer: "https://" + host, ClientID: string(api.ID), ClientSecret: apiSecret.Reveal(), HTTP: p.client(), Now: p.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() { feed.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	if err := feed.Ready(ctx); err != nil {
		t.Fatalf("the feed: %v, %+v", err, feed.State())
	}
	guard, err := resource.New(resource.Config{Issuer: "https://" + host, Audience: audience, Feed: feed, HTTP: p.client(), Now: p.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	token := p.token(t, caller, secret, "orders:read")
	if _, err := guard.Verify(ctx, token); err != nil {
		t.Fatal(err)
	}
	if s := feed.State(); s.Mode != "stream" {
		t.Errorf("the feed is followed by %q", s.Mode)
	}
	p.post(t, "/revoke", caller, secret, url.Values{"token": {token}})
	for at := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := guard.Verify(ctx, token); err != nil {
			return
		}
		if time.Since(at) > time.Second {
			t.Fatalf("after a second: %+v", feed.State())
		}
	}
}

// keepsSecrets: codes and links are in addresses, and must not come into the logs of
// the proxy, whether the server answers or not.
func (p *proxied) keepsSecrets(t *testing.T) {
	ask := func() int {
		res, err := p.client().Get("http://" + host + "/setup?token=ost_su_leak&code=leak") // and from there to https
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	ask()
	p.Stop()
	if status := ask(); status != http.StatusBadGateway {
		t.Errorf("without the server: %d", status)
	}
	logged := p.output.String()
	files, err := filepath.Glob(filepath.Join(p.dir, "logs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		logged += string(text)
	}
	if strings.Contains(logged, "leak") {
		t.Errorf("the log has what must not be in it:\n%s", logged)
	}
	if !strings.Contains(logged, "/setup") {
		t.Errorf("the log does not tell of requests:\n%s", logged)
	}
}
