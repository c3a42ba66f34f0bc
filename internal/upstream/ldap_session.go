package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-ldap/ldap/v3"

	"github.com/ostiary/ostiary/internal/model"
)

// ldapSession is a connection for one sign-in, which ends at a fixed time.
type ldapSession struct {
	*ldap.Conn
	d    *directory
	wire *meteredConn
	end  func() // gives the place to the next
}

// meteredConn reads so many bytes and no more, whatever lengths the other side
// announces.
type meteredConn struct {
	net.Conn
	left atomic.Int64
}

var errTooLong = errors.New("the answer is too long")

func (m *meteredConn) Read(p []byte) (int, error) {
	left := m.left.Load()
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := m.Conn.Read(p[:min(int64(len(p)), left)])
	m.left.Add(-int64(n))
	return n, err
}

// dial reaches the first server that can be.
func (d *directory) dial(ctx context.Context) (*ldapSession, error) {
	ctx, cancel := context.WithTimeout(ctx, ldapTime)
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return nil, hearsay(Unavailable, "too many sign-ins wait for the directory")
	}
	var first error
	for i, server := range d.c.Servers {
		try, done := ctx, context.CancelFunc(func() {})
		if i < len(d.c.Servers)-1 {
			try, done = context.WithTimeout(ctx, ldapFirstTime)
		}
		s, err := d.connect(try, server)
		done()
		if err == nil {
			deadline, _ := ctx.Deadline()
			s.wire.SetDeadline(deadline)
			stop := context.AfterFunc(ctx, func() { s.wire.Close() })
			s.end = func() { stop(); cancel(); <-d.slots }
			return s, nil
		}
		if first == nil {
			first = err
		}
	}
	cancel()
	<-d.slots
	return nil, first
}

func (s *ldapSession) close() {
	s.Conn.Close()
	s.end()
}

// connect reaches one server, and does not come back without TLS.
func (d *directory) connect(ctx context.Context, server string) (*ldapSession, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, failed(Misconfigured, "the address of the server is not one")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	conn, err := d.Dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, caused(Unavailable, "the directory cannot be reached", err)
	}
	wire := &meteredConn{Conn: conn}
	wire.left.Store(ldapBytes)
	if deadline, ok := ctx.Deadline(); ok {
		wire.SetDeadline(deadline)
	}
	// Whoever calls may give up sooner.
	defer context.AfterFunc(ctx, func() { wire.Close() })()
	s := &ldapSession{d: d, wire: wire}
	name := d.c.ServerName
	if name == "" {
		name = u.Hostname()
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.roots, ServerName: name}
	switch {
	case u.Scheme == "ldaps":
		secure := tls.Client(wire, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			wire.Close()
			return nil, handshakeFailed(err)
		}
		s.Conn = ldap.NewConn(secure, true)
		s.Start()
	default:
		s.Conn = ldap.NewConn(wire, false)
		s.Start()
		if err := d.secure(s, config); err != nil {
			s.Conn.Close()
			return nil, err
		}
	}
	s.SetTimeout(ldapTime)
	return s, nil
}

// secure begins TLS on a connection, unless it leads to this machine and the
// operator wants none.
func (d *directory) secure(s *ldapSession, config *tls.Config) error {
	if d.c.InsecurePlain {
		host, _, _ := net.SplitHostPort(s.wire.RemoteAddr().String())
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return failed(Misconfigured, "insecure_plain is for this very machine alone")
		}
		return nil
	}
	// RFC 4513 §3.1.1
	err := s.StartTLS(config)
	var refused *ldap.Error
	if errors.As(err, &refused) && refused.ResultCode < ldap.ErrorNetwork {
		return failed(Misconfigured, "the directory does not begin TLS on "+config.ServerName)
	}
	if err != nil {
		return handshakeFailed(err)
	}
	return nil
}

// handshakeFailed says whether it was the certificate.
func handshakeFailed(err error) error {
	var invalid *tls.CertificateVerificationError
	// go-ldap keeps nothing of the cause of a failed StartTLS but its text.
	if errors.As(err, &invalid) || strings.Contains(err.Error(), "x509: ") {
		return caused(Unavailable, "the certificate of the directory is not one that ca trusts for its name", err)
	}
	return caused(Unavailable, "no TLS with the directory", err)
}

// bindOwn binds as bind_dn.
func (s *ldapSession) bindOwn() error {
	if s.d.c.BindDN == "" {
		return nil
	}
	err := s.Bind(s.d.c.BindDN, s.d.Secrets["bind_password"].Reveal())
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInvalidDNSyntax) {
		return failed(Misconfigured, "the directory does not take bind_dn with bind_password")
	}
	return s.failure(err)
}

// What Active Directory says where a bind fails: after "data", in hexadecimal. All
// of these it says to the right password alone. It says 775 (locked out) to a wrong
// one as well, so that is told as a wrong password, like 525 (no such user) and 52e.
var adStates = map[string]string{
	"530": "may not sign in at this time",
	"531": "may not sign in from this machine",
	"532": "has a password that has expired",
	"533": "is disabled",
	"701": "has expired",
	"773": "has to change their password first",
}

var adState = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9A-F]{8}: LdapErr: .*, data ([0-9a-f]{1,8}),`)
})

// bindPerson binds with a password that was typed.
func (s *ldapSession) bindPerson(name string, password model.Secret) error {
	if name == "" { // RFC 4513 §5.1.1: nobody, whatever the password
		return ErrWrongPassword
	}
	err := s.Bind(name, password.Reveal())
	var refused *ldap.Error
	if !errors.As(err, &refused) {
		return s.failure(err)
	}
	switch refused.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		if m := adState().FindStringSubmatch(refused.Err.Error()); m != nil && adStates[m[1]] != "" {
			return failed(Denied, "the account "+adStates[m[1]])
		}
		return ErrWrongPassword
	// An entry without a password, or one that is not there: nobody's password. A
	// login may make a DN that the directory finds no sense in.
	case ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax:
		return ErrWrongPassword
	}
	return s.failure(err)
}

// bindEntry returns an entry whose password it is.
func (s *ldapSession) bindEntry(entry *ldap.Entry, password model.Secret) (*ldap.Entry, error) {
	if err := s.bindPerson(entry.DN, password); err != nil {
		return nil, err
	}
	return entry, nil
}

// find returns the one entry that a search finds, or nil.
func (s *ldapSession) find(r *ldap.SearchRequest) (*ldap.Entry, error) {
	found, err := s.Search(r)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || err == nil && len(found.Entries) > 1 {
		return nil, failed(Misconfigured, "the directory has more than one entry for a login")
	}
	if err != nil {
		return nil, s.failure(err)
	}
	// References to other servers are not followed: a directory may say where a
	// password is sent, but not to whom.
	if len(found.Entries) == 0 {
		return nil, nil
	}
	return found.Entries[0], nil
}

// read returns the entry with a DN.
func (s *ldapSession) read(dn string, attributes []string) (*ldap.Entry, error) {
	entry, err := s.find(&ldap.SearchRequest{
		BaseDN: dn, Scope: ldap.ScopeBaseObject, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: 2, TimeLimit: int(ldapTime.Seconds()), Filter: "(objectClass=*)", Attributes: attributes,
	})
	if err == nil && entry == nil {
		return nil, failed(Misconfigured, "an entry of the directory cannot be read")
	}
	return entry, err
}

// hello asks for something that needs no rights, and is content with any answer.
func (s *ldapSession) hello() error {
	_, err := s.Search(&ldap.SearchRequest{
		Scope: ldap.ScopeBaseObject, SizeLimit: 1, TimeLimit: int(ldapTime.Seconds()),
		Filter: "(objectClass=*)", Attributes: []string{"1.1"},
	})
	var answered *ldap.Error
	if errors.As(err, &answered) && answered.ResultCode < ldap.ErrorNetwork {
		return nil
	}
	return s.failure(err)
}

// failure says what an error of the directory's means. Its own text stays out of it:
// it may have names in it.
func (s *ldapSession) failure(err error) error {
	if err == nil {
		return nil
	}
	var answered *ldap.Error
	if !errors.As(err, &answered) || answered.ResultCode >= ldap.ErrorNetwork {
		if s.wire.left.Load() <= 0 {
			return failed(Misconfigured, "the directory answered with more than 1 MiB")
		}
		return caused(Unavailable, "the directory gave no answer, or none that makes sense", err)
	}
	switch answered.ResultCode {
	case ldap.LDAPResultReferral:
		return failed(Misconfigured, "the directory refers to another server, where no password is sent")
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultOther, ldap.LDAPResultOperationsError:
		return failed(Unavailable, resultCode(answered.ResultCode))
	}
	return failed(Misconfigured, resultCode(answered.ResultCode))
}

func resultCode(code uint16) string {
	return fmt.Sprintf("the directory answered %d (%s)", code, ldap.LDAPResultCodeMap[code])
}

// groupsOf searches the groups that a filter finds, page by page (RFC 2696).
func (s *ldapSession) groupsOf(base, filter, name string) ([]*ldap.Entry, error) {
	paging := ldap.NewControlPaging(ldapPage)
	r := &ldap.SearchRequest{
		BaseDN: base, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases,
		TimeLimit: int(ldapTime.Seconds()), Filter: filter, Attributes: []string{name},
		Controls: []ldap.Control{paging},
	}
	var all []*ldap.Entry
	for range maxGroups/ldapPage + 1 {
		found, err := s.Search(r)
		if err != nil {
			return nil, s.failure(err)
		}
		all = append(all, found.Entries...)
		more, _ := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if more == nil || len(more.Cookie) == 0 {
			return all, nil
		}
		paging.SetCookie(more.Cookie)
	}
	return nil, tooManyGroups()
}

func tooManyGroups() error {
	return failed(Misconfigured, fmt.Sprintf("somebody is in more than %d groups: narrow groups.base or groups.filter", maxGroups))
}
