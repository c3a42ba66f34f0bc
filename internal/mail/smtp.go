package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/trace"
)

// transmitTime bounds the talk with a mail server about one letter.
const transmitTime = 30 * time.Second

// transmit hands a letter to the mail server.
func (p *Post) transmit(ctx context.Context, w Written) error {
	m, foreign, err := p.message(w)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, transmitTime)
	defer cancel()
	client, err := p.client(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errWriting, err)
	}
	ctx, span := trace.StartCall(ctx, "SMTP")
	defer span.End()
	span.Text("server.address", p.at.host)
	talk, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("no connection to the mail server: %w", err)
	}
	defer client.CloseWithSMTPClient(talk) // what it says after the letter is of no interest
	if can, _ := talk.Extension("SMTPUTF8"); foreign && !can {
		return ErrAddress // RFC 6531 §3.1
	}
	if err := client.SendWithSMTPClient(talk, m); err != nil {
		if lasting(err) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return fmt.Errorf("the mail server did not take the letter: %w", err)
	}
	return nil
}

// Probe connects to the mail server as for a letter, with TLS and the password, and
// sends nothing. It returns ErrOff if there is none.
func (p *Post) Probe(ctx context.Context) error {
	if p.config.Box != nil {
		return nil
	}
	if p.config.Server == "" {
		return ErrOff
	}
	ctx, cancel := context.WithTimeout(ctx, transmitTime)
	defer cancel()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	talk, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	return client.CloseWithSMTPClient(talk)
}

// lasting reports whether a refusal stays one, RFC 5321 §4.2.1.
func lasting(err error) bool {
	var refusal *gomail.SendError
	if errors.As(err, &refusal) {
		return refusal.ErrorCode() >= 500 && refusal.ErrorCode() < 600
	}
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code >= 500
}

func (p *Post) client(ctx context.Context) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(p.at.port),
		gomail.WithTimeout(transmitTime),
		gomail.WithTLSConfig(&tls.Config{ServerName: p.at.host, RootCAs: p.config.Roots, MinVersion: tls.VersionTLS12}),
		gomail.WithHELO(p.domain()),
	}
	switch {
	case p.at.tls:
		options = append(options, gomail.WithSSL())
	case p.config.Insecure:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithDialContextFunc(dial(ctx)))
	default: // RFC 8314 §4.1: a server without STARTTLS gets no letter
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithDialContextFunc(dial(ctx)))
	}
	if p.config.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(p.config.User), gomail.WithPassword(p.config.Password.Reveal()))
	}
	return gomail.NewClient(p.at.host, options...)
}

// dial returns what connects to the mail server. When ctx is done, so is the
// connection, however slow the server is: the library waits for its own time. With
// TLS from the first byte it has to dial itself, to know that it may authenticate.
func dial(ctx context.Context) gomail.DialContextFunc {
	return func(dialling context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialling, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	}
}

// domain is the one that letters come from.
func (p *Post) domain() string {
	_, domain, _ := strings.Cut(p.from.Address, "@")
	return domain
}

// message makes the letter of RFC 5322. foreign says that its address has letters
// that are not ASCII before the @.
func (p *Post) message(w Written) (m *gomail.Msg, foreign bool, err error) {
	to, err := netmail.ParseAddress("<" + w.To + ">")
	if err != nil || to.Address != w.To || strings.ContainsAny(w.To, "\r\n") {
		return nil, false, errors.New("it has no address")
	}
	at := strings.LastIndexByte(w.To, '@')
	domain, err := idna.Lookup.ToASCII(w.To[at+1:])
	if err != nil {
		return nil, false, errors.New("the domain of its address is none")
	}
	m = gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(p.from)
	m.ToMailAddress(&netmail.Address{Address: w.To[:at+1] + domain})
	m.Subject(tidy(w.Subject))
	m.SetMessageIDWithValue(model.NewID() + "@" + p.domain())
	m.SetDateWithValue(p.config.Now())
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5.1
	m.SetGenHeader("Content-Language", w.Language)
	m.SetBodyString(gomail.TypeTextPlain, w.Text)
	m.AddAlternativeString(gomail.TypeTextHTML, w.HTML)
	if logo := p.writer.logo; logo != nil {
		err = m.EmbedReader("logo"+logo.Suffix, bytes.NewReader(logo.Body), gomail.WithFileContentID(logoID), gomail.WithFileContentType(gomail.ContentType(logo.Type)))
	}
	return m, !ascii(w.To[:at]), err
}
