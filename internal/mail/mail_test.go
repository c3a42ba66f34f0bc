package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// taker is a mail server for tests.
type taker struct {
	mu      sync.Mutex
	got     []string // letters as they came
	to      []string
	user    string
	refuse  func(to string) error // at RCPT
	hang    chan struct{}         // nil: it answers at once
	drop    bool                  // the connection is lost in the middle of a letter
	tries   int
	pool    *x509.CertPool
	address string
	server  *smtp.Server
}

func (k *taker) NewSession(*smtp.Conn) (smtp.Session, error) { return &talk{k: k}, nil }

type talk struct {
	k    *taker
	auth bool
}

func (s *talk) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *talk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ostiary" || password != "the secret of it" {
			return &smtp.SMTPError{Code: 535, Message: "no"}
		}
		s.auth, s.k.user = true, user
		return nil
	}), nil
}

func (s *talk) Mail(string, *smtp.MailOptions) error { return nil }

func (s *talk) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.k.tries++
	if s.k.refuse != nil {
		if err := s.k.refuse(to); err != nil {
			return err
		}
	}
	s.k.to = append(s.k.to, to)
	return nil
}

func (s *talk) Data(r io.Reader) error {
	if s.k.hang != nil {
		<-s.k.hang
	}
	if s.k.drop {
		s.k.server.Close()
		return io.ErrUnexpectedEOF
	}
	data, err := io.ReadAll(r)
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.k.got = append(s.k.got, string(data))
	return err
}

func (s *talk) Reset()        {}
func (s *talk) Logout() error { return nil }

// letters are what the server has taken.
func (k *taker) letters() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.got...)
}

func (k *taker) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tries
}

// take starts a mail server, with STARTTLS unless plain, or with TLS from the
// beginning.
func take(t *testing.T, how string, change ...func(*taker)) *taker {
	t.Helper()
	k := &taker{}
	for _, c := range change {
		c(k)
	}
	k.server = smtp.NewServer(k)
	k.server.Domain, k.server.AllowInsecureAuth, k.server.EnableSMTPUTF8 = "localhost", how == "plain", how == "utf8"
	k.server.ErrorLog = quiet{}
	certificate, pool := certify(t)
	k.pool = pool
	if how != "plain" {
		k.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.address = l.Addr().String()
	if how == "tls" {
		l = tls.NewListener(l, k.server.TLSConfig)
	}
	served := make(chan struct{})
	go func() { defer close(served); k.server.Serve(l) }()
	t.Cleanup(func() { k.server.Close(); <-served })
	return k
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func certify(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// config is that of a post which knows the server.
func (k *taker) config(scheme string) Config {
	return Config{
		Server: scheme + "://" + k.address, From: "Example <sign-in@example.org>", User: "ostiary", Password: "the secret of it", Roots: k.pool,
		Name: "Example", Issuer: "https://login.example.org", Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, c Config) *Post {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var sample = Letter{Kind: Recover, To: "olena@example.org", Language: "uk-UA", Code: "12345678", Link: "https://login.example.org/link?token=t&x=1", Login: "olena", Life: 1800}

// TestDelivery: a letter goes out over TLS, to who it is to, with the headers of what
// no person has written.
func TestDelivery(t *testing.T) {
	for _, c := range []struct{ how, scheme string }{{"starttls", "smtp"}, {"tls", "smtps"}} {
		k := take(t, c.how)
		if err := open(t, k.config(c.scheme)).Deliver(t.Context(), sample); err != nil {
			t.Fatalf("%s: %v", c.how, err)
		}
		if k.user != "ostiary" || len(k.to) != 1 || k.to[0] != sample.To {
			t.Errorf("%s: by %q to %q", c.how, k.user, k.to)
		}
		m, parts := read(t, k.letters()[0])
		for name, want := range map[string]string{
			"From": `"Example" <sign-in@example.org>`, "To": "<olena@example.org>", "Auto-Submitted": "auto-generated", "Content-Language": "uk", "Mime-Version": "1.0",
		} {
			if m.Header.Get(name) != want {
				t.Errorf("%s: %s is %q", c.how, name, m.Header.Get(name))
			}
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || subject != "Відновлення доступу до облікового запису" {
			t.Errorf("the subject: %q, %v", subject, err)
		}
		if id := m.Header.Get("Message-Id"); !strings.HasSuffix(id, "@example.org>") || len(id) < 30 {
			t.Errorf("the message ID: %q", id)
		}
		if at, err := m.Header.Date(); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("the date: %v, %v", at, err)
		}
		if !strings.Contains(parts["text/plain"], "12345678") || !strings.Contains(parts["text/plain"], sample.Link) || !strings.Contains(parts["text/plain"], "«olena»") {
			t.Errorf("the text: %s", parts["text/plain"])
		}
		if !strings.Contains(parts["text/html"], "12345678") || !strings.Contains(parts["text/html"], `href="https://login.example.org/link?token=t&amp;x=1"`) || !strings.Contains(parts["text/html"], `<html lang="uk"`) {
			t.Errorf("the HTML: %s", parts["text/html"])
		}
		if !strings.Contains(parts["text/html"], `src="cid:logo"`) || strings.Contains(parts["text/html"], "Zgotmpl") {
			t.Error("the letter does not show the logo that it brings")
		}
		for _, remote := range []string{`src="http`, "url(", "<script", "@import", "<link"} {
			if strings.Contains(parts["text/html"], remote) {
				t.Errorf("the letter fetches something: %s", remote)
			}
		}
		if parts["image/png"] != string(mark) {
			t.Error("the logo is not there")
		}
	}
}

// read takes a letter apart: its header, and its parts by their types.
func read(t *testing.T, letter string) (*netmail.Message, map[string]string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	take := func(kind, encoding string, r io.Reader) {
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch encoding {
		case "quoted-printable":
			data, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(data)))
		case "base64":
			data, err = base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(string(data)))
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ = mime.ParseMediaType(kind)
		parts[kind] = string(data)
	}
	var walk func(kind string, r io.Reader)
	walk = func(kind string, r io.Reader) {
		_, p, err := mime.ParseMediaType(kind)
		if err != nil {
			t.Fatal(err)
		}
		for reader := multipart.NewReader(r, p["boundary"]); ; {
			part, err := reader.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if kind := part.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/") {
				walk(kind, part)
			} else {
				take(kind, part.Header.Get("Content-Transfer-Encoding"), part)
			}
		}
	}
	walk(m.Header.Get("Content-Type"), m.Body)
	return m, parts
}

// TestHeaderInjection: whatever stands in a letter, it adds no header and no
// recipient.
func TestHeaderInjection(t *testing.T) {
	k := take(t, "starttls")
	c := k.config("smtp")
	for _, evil := range []string{"x\r\nBcc: thief@example.net\r\n\r\nbody", "x\nBcc: thief@example.net", "x\rBcc: thief@example.net", "x\u2028Bcc: y", "=?utf-8?q?x=0D=0ABcc:_y?=", "\"x\" <thief@example.net>, y"} {
		c.Name = evil
		p := open(t, c)
		for _, l := range []Letter{
			{Kind: Recover, To: "olena@example.org", Code: evil, Link: evil, Login: evil, From: evil, Life: 1800, At: 1},
			{Kind: Recover, To: "olena@example.org", Language: evil},
			{Kind: Recover, To: evil},
			{Kind: Recover, To: "olena@example.org\r\nRCPT TO:<thief@example.net>"},
		} {
			err := p.Deliver(t.Context(), l)
			if l.To != "olena@example.org" {
				if !errors.Is(err, ErrRefused) {
					t.Errorf("to %q: %v", l.To, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := (Config{Server: "smtp://localhost", From: evil}).Check(); err == nil {
			t.Errorf("from %q", evil)
		}
	}
	for _, to := range k.to {
		if to != "olena@example.org" {
			t.Errorf("a letter went to %q", to)
		}
	}
	if len(k.letters()) != 12 {
		t.Errorf("%d letters", len(k.letters()))
	}
	for _, letter := range k.letters() {
		m, parts := read(t, letter)
		for name := range m.Header {
			if strings.EqualFold(name, "Bcc") || strings.EqualFold(name, "Cc") {
				t.Errorf("there is a header %s", name)
			}
		}
		if len(m.Header) != 9 || len(parts) != 3 {
			t.Errorf("%d headers, %d parts: %v", len(m.Header), len(parts), m.Header)
		}
	}
}

// TestTLSIsWanted: no letter goes to a server without TLS, to one whose certificate is
// not good, or without TLS to another machine.
func TestTLSIsWanted(t *testing.T) {
	plain := take(t, "plain")
	if err := open(t, plain.config("smtp")).Deliver(t.Context(), sample); err == nil || len(plain.letters()) > 0 || plain.user != "" {
		t.Errorf("without STARTTLS: %v", err)
	}
	c := take(t, "starttls").config("smtp")
	c.Roots = x509.NewCertPool()
	if err := open(t, c).Deliver(t.Context(), sample); err == nil {
		t.Error("a certificate that nobody trusts is taken")
	}
	c = plain.config("smtp")
	c.Insecure, c.User, c.Password = true, "", ""
	if err := open(t, c).Deliver(t.Context(), sample); err != nil || len(plain.letters()) != 1 {
		t.Errorf("without TLS on loopback: %v", err)
	}
	for wrong, c := range map[string]Config{
		"elsewhere":    {Server: "smtp://mail.example.org", From: "a@example.org", Insecure: true},
		"contradicted": {Server: "smtps://localhost", From: "a@example.org", Insecure: true},
		"scheme":       {Server: "http://localhost", From: "a@example.org"},
		"password":     {Server: "smtp://user:secret@localhost", From: "a@example.org"},
		"path":         {Server: "smtp://localhost/x", From: "a@example.org"},
		"no from":      {Server: "smtp://localhost"},
		"half":         {Server: "smtp://localhost", From: "a@example.org", User: "x"},
		"other half":   {Server: "smtp://localhost", From: "a@example.org", Password: "secret"},
		"no server":    {From: "a@example.org"},
	} {
		err := c.Check()
		if err == nil {
			t.Errorf("%s is no error", wrong)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", wrong, err)
		}
	}
	if err := (Config{}).Check(); err != nil {
		t.Errorf("no mail: %v", err)
	}
}

// TestRefusals: what will never work is told apart from what may.
func TestRefusals(t *testing.T) {
	k := take(t, "starttls", func(k *taker) {
		k.refuse = func(to string) error {
			switch {
			case strings.HasPrefix(to, "nobody"):
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
			case strings.HasPrefix(to, "full"):
				return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "mailbox full"}
			}
			return nil
		}
	})
	p := open(t, k.config("smtp"))
	to := func(address string) Letter { l := sample; l.To = address; return l }
	if err := p.Deliver(t.Context(), to("nobody@example.org")); !errors.Is(err, ErrRefused) {
		t.Errorf("550: %v", err)
	}
	if err := p.Deliver(t.Context(), to("full@example.org")); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("452: %v", err)
	}
	if err := p.Deliver(t.Context(), to("оленка@example.org")); !errors.Is(err, ErrAddress) {
		t.Errorf("an address that needs SMTPUTF8: %v", err)
	}
	if err := p.Deliver(t.Context(), to("olena@приклад.укр")); err != nil || k.to[len(k.to)-1] != "olena@xn--80aikifvh.xn--j1amh" {
		t.Errorf("a domain in Ukrainian: %v, %v", err, k.to)
	}
	for _, none := range []string{"", "olena", "@example.org", "a b@example.org", "olena@example..org", "olena@example.org,x@example.org", "<olena@example.org>"} {
		if err := p.Deliver(t.Context(), to(none)); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", none, err)
		}
	}
	c := k.config("smtp")
	c.Password = "not the secret of it"
	if err := open(t, c).Deliver(t.Context(), sample); err == nil || strings.Contains(err.Error(), "not the secret") {
		t.Errorf("a wrong password: %v", err)
	}
	utf8 := take(t, "utf8")
	if err := open(t, utf8.config("smtp")).Deliver(t.Context(), to("оленка@example.org")); err != nil || utf8.to[0] != "оленка@example.org" {
		t.Errorf("with SMTPUTF8: %v, %v", err, utf8.to)
	}
	if err := open(t, Config{}).Deliver(t.Context(), sample); !errors.Is(err, ErrOff) {
		t.Errorf("no server: %v", err)
	}
	for _, l := range []Letter{{Kind: "x", To: sample.To}, {Kind: Changed, To: sample.To}} {
		if err := p.Deliver(t.Context(), l); !errors.Is(err, errWriting) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// lost notes what was given up.
type lost struct {
	mu   sync.Mutex
	list []error
}

func (l *lost) note(_ Letter, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, err)
}

func (l *lost) errors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.list...)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

// TestRetries: what may pass is tried again, with pauses, and given up in the end;
// what will not is given up at once, and so is what nobody has a use for any more.
func TestRetries(t *testing.T) {
	var mu sync.Mutex
	failures := 2
	k := take(t, "starttls", func(k *taker) {
		k.refuse = func(to string) error {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case strings.HasPrefix(to, "nobody"):
				return &smtp.SMTPError{Code: 550, Message: "no"}
			case strings.HasPrefix(to, "never"):
				return &smtp.SMTPError{Code: 451, Message: "later"}
			case failures > 0:
				failures--
				return &smtp.SMTPError{Code: 451, Message: "later"}
			}
			return nil
		}
	})
	gone := &lost{}
	c := k.config("smtp")
	c.Lost = gone.note
	p := open(t, c)
	p.pauses = []time.Duration{20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	send := func(l Letter) {
		t.Helper()
		if err := p.Send(l); err != nil {
			t.Fatal(err)
		}
	}
	send(sample)
	eventually(t, "it was not tried again", func() bool { return len(k.letters()) == 1 })
	if k.count() != 3 || len(gone.errors()) != 0 {
		t.Errorf("%d tries, lost %v", k.count(), gone.errors())
	}
	l := sample
	l.To = "nobody@example.org"
	send(l)
	eventually(t, "550 was not given up", func() bool { return len(gone.errors()) == 1 })
	if k.count() != 4 || !errors.Is(gone.errors()[0], ErrRefused) {
		t.Errorf("%d tries, lost %v", k.count(), gone.errors())
	}
	l.To = "never@example.org"
	send(l)
	eventually(t, "451 was not given up in the end", func() bool { return len(gone.errors()) == 2 })
	if k.count() != 8 {
		t.Errorf("%d tries", k.count())
	}
	l = sample
	l.Until = time.Now().Unix() - 1
	send(l)
	eventually(t, "one that is late was not given up", func() bool { return len(gone.errors()) == 3 })
	if k.count() != 8 || !errors.Is(gone.errors()[2], ErrLate) {
		t.Errorf("%d tries, lost %v", k.count(), gone.errors())
	}
	// What waits when the server stops is tried once more.
	mu.Lock()
	failures = 1
	mu.Unlock()
	p.pauses = []time.Duration{time.Hour}
	send(sample)
	eventually(t, "it was not tried", func() bool { return k.count() == 9 })
	time.Sleep(20 * time.Millisecond)
	stop()
	<-done
	if len(k.letters()) != 2 {
		t.Errorf("%d letters", len(k.letters()))
	}
}

// TestQueueIsBounded: what does not find a place is refused, and whoever waits for a
// slow server holds nobody up.
func TestQueueIsBounded(t *testing.T) {
	p := open(t, Config{Server: "smtp://127.0.0.1:1", From: "a@example.org"})
	for range maxWaiting {
		if err := p.Send(sample); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Send(sample); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := open(t, Config{}).Send(sample); !errors.Is(err, ErrOff) {
		t.Errorf("no server: %v", err)
	}
	var none *Post
	if none.Ready() {
		t.Error("nobody is ready")
	}
	hang := make(chan struct{})
	k := take(t, "starttls", func(k *taker) { k.hang = hang })
	slow := open(t, k.config("smtp"))
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	began := time.Now()
	err := slow.Deliver(ctx, sample)
	close(hang)
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Errorf("a server that does not answer: %v after %v", err, took)
	}
}

// TestConnectionIsLost: in the middle of a letter, and before.
func TestConnectionIsLost(t *testing.T) {
	k := take(t, "starttls", func(k *taker) { k.drop = true })
	p := open(t, k.config("smtp"))
	if err := p.Deliver(t.Context(), sample); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("lost: %v", err)
	}
	if err := p.Deliver(t.Context(), sample); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
}
