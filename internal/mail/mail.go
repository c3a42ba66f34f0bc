// Package mail owns letters: their kinds and templates, in text and in HTML, in the
// language of whoever reads them, and their way to a mail server. Letters wait in
// memory, a bounded number of them, are tried again for a while, and what cannot
// be delivered is told to whoever asked.
//
// It never knows who may be written to, or why, and keeps nothing: a code or a
// link that is lost with a letter is asked for anew.
package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/theme"
)

// Errors of this package.
var (
	// ErrOff says that there is no mail server, and no mailbox in its place.
	ErrOff = errors.New("there is no mail server: set mail-server")
	// ErrFull says that too many letters wait.
	ErrFull = errors.New("too many letters wait")
	// ErrRefused says that a mail server will not take a letter, however often it
	// is tried.
	ErrRefused = errors.New("the mail server refuses the letter")
	// ErrAddress says that an address needs what the mail server cannot do, RFC 6531.
	ErrAddress = errors.New("the mail server does not take addresses with letters other than those of ASCII before the @")
	// ErrLate says that a letter is of no use any more.
	ErrLate = errors.New("the letter could not be delivered in time")
)

// Config says how letters are sent and what stands in all of them. Its zero value
// sends none.
type Config struct {
	Server   string       // smtp://HOST:PORT (587) with STARTTLS, or smtps://HOST:PORT (465)
	Insecure bool         // without TLS; on loopback only
	User     string       // empty: no authentication
	Password model.Secret // with User
	From     string       // NAME <ADDRESS>, or ADDRESS
	Roots    *x509.CertPool
	Box      *Box // takes the letters in place of a server: for development

	Name     string         // of the installation
	Logo     *theme.Picture // in place of our mark; nil: our mark
	Issuer   string
	Language string // of whoever has none; empty: English

	// Outcome is told what became of each attempt to send a letter: Sent, Delayed or
	// GivenUp; it may be nil.
	Outcome func(string)
	// Lost is told of a letter that was given up; it may be nil.
	Lost   func(Letter, error)
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now
}

// server is the place of a mail server.
type server struct {
	host string
	port int
	tls  bool // from the first byte
}

func parseServer(s string) (server, error) {
	wrong := func() (server, error) {
		return server{}, errors.New("the mail server must be smtp://HOST:PORT or smtps://HOST:PORT, without user and password")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return wrong()
	}
	at := server{host: u.Hostname(), port: 587, tls: u.Scheme == "smtps"} // RFC 8314 §3.3
	if at.tls {
		at.port = 465
	}
	if p := u.Port(); p != "" {
		if at.port, err = net.LookupPort("tcp", p); err != nil || at.port == 0 {
			return wrong()
		}
	}
	return at, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost"
}

// check reads and judges the settings. Errors are one sentence that names the
// setting.
func (c Config) check() (server, *netmail.Address, error) {
	var from *netmail.Address
	if c.Box != nil {
		return server{}, &netmail.Address{Name: c.Name, Address: "ostiary@localhost"}, nil
	}
	if c.Server == "" {
		// A password alone says nothing: it stands in the environment, and the server's
		// place perhaps on the command line of another process.
		if c.User != "" || c.From != "" || c.Insecure {
			return server{}, nil, errors.New("there are settings for mail, but no mail-server")
		}
		return server{}, from, nil
	}
	at, err := parseServer(c.Server)
	switch {
	case err != nil:
		return at, nil, fmt.Errorf("mail-server: %w", err)
	case c.Insecure && !loopback(at.host):
		return at, nil, errors.New("mail-insecure: mail goes without TLS to a server on this machine only")
	case c.Insecure && at.tls:
		return at, nil, errors.New("mail-insecure contradicts smtps://")
	case (c.User == "") != (c.Password == ""):
		return at, nil, errors.New("mail-user and OSTIARY_MAIL_PASSWORD, or mail-password-file, need each other")
	}
	if from, err = netmail.ParseAddress(c.From); err != nil || strings.ContainsAny(c.From, "\r\n") || !ascii(from.Address) {
		return at, nil, errors.New("mail-from must be an address that letters come from, such as Example <sign-in@example.com>")
	}
	if from.Name == "" {
		from.Name = c.Name
	}
	return at, from, nil
}

// Check says whether letters can be sent by a Config, which they cannot by a zero one.
func (c Config) Check() error {
	_, _, err := c.check()
	return err
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// New returns a post office. Without a server and without a Box it takes no letter.
func New(c Config) (*Post, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Language == "" {
		c.Language = language.Source
	}
	if c.Name = tidy(c.Name); c.Name == "" {
		c.Name = "Ostiary"
	}
	p := &Post{config: c, wake: make(chan struct{}, 1), pauses: pauses}
	var err error
	if p.at, p.from, err = c.check(); err != nil {
		return nil, err
	}
	if p.writer, err = newWriter(c); err != nil {
		return nil, err
	}
	return p, nil
}
