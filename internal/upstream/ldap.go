package upstream

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/ostiary/ostiary/internal/model"
)

// ldapConnection is the connection of a provider of the kind "ldap". Its secret is
// bind_password.
type ldapConnection struct {
	// Servers are asked in this order until one can be reached: "ldaps://host:port", or
	// "ldap://host:port", which begins with StartTLS (RFC 4511 §4.14). At most 5.
	Servers []string `json:"servers"`
	// CA holds the certificates, in PEM, that the server's must come from; empty: those
	// that the system trusts. ServerName is what its certificate names; empty: the host.
	CA         string `json:"ca,omitempty"`
	ServerName string `json:"server_name,omitempty"`
	// InsecurePlain sends passwords in clear, to this very machine only.
	InsecurePlain bool `json:"insecure_plain,omitempty"`
	// AllowInternal is read by whoever makes Dial.
	AllowInternal bool `json:"allow_internal,omitempty"`

	// BindDN is who searches; empty: nobody in particular.
	BindDN string `json:"bind_dn,omitempty"`
	// UserDN is what somebody's login makes the name to bind with: a DN with {login} in
	// it, or what Active Directory takes besides, such as "{login}@corp.example.com".
	// Without it their entry is searched first.
	UserDN string      `json:"user_dn,omitempty"`
	Search *ldapSearch `json:"search,omitempty"`

	// Subject is the attribute that never changes: entryUUID (RFC 4530) when empty,
	// objectGUID in Active Directory.
	Subject string `json:"subject,omitempty"`
	// Attributes are told besides those of everybody: see ldapClaims.
	Attributes []string    `json:"attributes,omitempty"`
	Groups     *ldapGroups `json:"groups,omitempty"`
}

// ldapSearch finds the entry of a login.
type ldapSearch struct {
	Base   string `json:"base"`
	Filter string `json:"filter"`          // with {login} in it
	Scope  string `json:"scope,omitempty"` // "sub" when empty, or "one"
}

// ldapGroups says whose member somebody is: what an attribute of theirs lists, or
// the groups below a base that name them.
type ldapGroups struct {
	Attribute string `json:"attribute,omitempty"` // "memberOf" when there is no base
	Base      string `json:"base,omitempty"`
	// Filter has {dn} in it, or an attribute of the person's, such as {uid}; empty:
	// (member={dn}).
	Filter string `json:"filter,omitempty"`
	// Nested takes groups of groups in as well, as Active Directory can find them.
	Nested bool `json:"nested,omitempty"`
	// Name is the attribute of a group that is told; empty: "cn". "dn" tells all of it.
	Name string `json:"name,omitempty"`
}

// Bounds on what a directory is asked, and on how it is told to us.
const (
	ldapTime      = 5 * time.Second // a sign-in with everything in it
	ldapFirstTime = 2 * time.Second // until the next server is tried
	ldapAtOnce    = 8               // connections to one directory
	ldapBytes     = 1 << 20         // of all answers in one sign-in
	maxServers    = 5
	maxGroups     = 1000
	ldapPage      = 200 // groups in one answer
	maxAttributes = 50
	maxLogin      = 256  // bytes
	maxPassword   = 4096 // bytes
)

// directory is a connector to LDAP servers (RFC 4511).
type directory struct {
	Config
	c     ldapConnection
	roots *x509.CertPool
	slots chan struct{} // one for each connection
}

func openLDAP(c Config) (Connector, error) {
	d := &directory{Config: c, slots: make(chan struct{}, ldapAtOnce)}
	if err := decodeConnection(c.Connection, &d.c); err != nil {
		return nil, err
	}
	if d.c.Subject == "" {
		d.c.Subject = "entryUUID"
	}
	for _, check := range []func() error{d.checkServers, d.checkUsers, d.checkGroups} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *directory) checkServers() error {
	if n := len(d.c.Servers); n == 0 || n > maxServers {
		return ErrInvalid{"servers", "must name 1 to 5 servers"}
	}
	for _, text := range d.c.Servers {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" ||
			strings.TrimSuffix(text, "/") != u.Scheme+"://"+u.Host {
			return ErrInvalid{"servers", "must be like ldaps://ldap.example.com:636"}
		}
		if d.c.InsecurePlain && (u.Scheme != "ldap" || !isLoopback(u.Hostname())) {
			return ErrInvalid{"insecure_plain", "is for ldap:// on this very machine alone"}
		}
	}
	if d.c.CA != "" {
		d.roots = x509.NewCertPool()
		if len(d.c.CA) > 1<<20 || !d.roots.AppendCertsFromPEM([]byte(d.c.CA)) {
			return ErrInvalid{"ca", "must be certificates in PEM"}
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (d *directory) checkUsers() error {
	// RFC 4513 §5.1.2: a name without a password would bind as nobody, with success.
	if (d.c.BindDN != "") != (d.Secrets["bind_password"] != "") {
		return ErrInvalid{"bind_dn", "needs the secret bind_password, and the other way round"}
	}
	isDN := d.templateIsDN()
	switch s := d.c.Search; {
	case d.c.UserDN != "" && strings.Count(d.c.UserDN, "{login}") != 1, isDN && !inValues(d.c.UserDN, ","):
		return ErrInvalid{"user_dn", "must have {login} in it once, as a value"}
	case isDN && s != nil:
		return ErrInvalid{"search", "is not needed where user_dn is a DN"}
	case !isDN && s == nil:
		return ErrInvalid{"search", "is needed where user_dn is not a DN"}
	}
	if s := d.c.Search; s != nil {
		if _, err := ldap.ParseDN(s.Base); err != nil || s.Base == "" {
			return ErrInvalid{"search.base", "must be a DN"}
		}
		if s.Scope != "" && s.Scope != "sub" && s.Scope != "one" {
			return ErrInvalid{"search.scope", `must be "sub" or "one"`}
		}
		if err := checkFilter("search.filter", s.Filter, "login"); err != nil {
			return err
		}
	}
	if len(d.c.Attributes) > maxAttributes {
		return ErrInvalid{"attributes", "must be 50 at most"}
	}
	for _, name := range append([]string{d.c.Subject}, d.c.Attributes...) {
		if !isAttribute(name) {
			return ErrInvalid{"attributes", "must be names of attributes"}
		}
	}
	return nil
}

// templateIsDN reports whether user_dn makes DNs.
func (d *directory) templateIsDN() bool {
	_, err := ldap.ParseDN(strings.ReplaceAll(d.c.UserDN, "{login}", "x"))
	return d.c.UserDN != "" && err == nil
}

func (d *directory) checkGroups() error {
	g := d.c.Groups
	if g == nil {
		return nil
	}
	if g.Attribute == "" && g.Base == "" {
		g.Attribute = "memberOf"
	}
	if g.Name == "" {
		g.Name = "cn"
	}
	switch {
	case g.Attribute != "" && (g.Base != "" || g.Filter != "" || g.Nested):
		return ErrInvalid{"groups", "is either an attribute, or a base with a filter"}
	case g.Attribute != "" && !isAttribute(g.Attribute), !isAttribute(g.Name):
		return ErrInvalid{"groups", "must name attributes"}
	case g.Attribute != "":
		return nil
	case g.Nested && g.Filter != "":
		return ErrInvalid{"groups.nested", "has a filter of its own"}
	case g.Nested: // [MS-ADTS] §3.1.1.3.4.4.3: LDAP_MATCHING_RULE_TRANSITIVE_EVAL
		g.Filter = "(member:1.2.840.113556.1.4.1941:={dn})"
	case g.Filter == "":
		g.Filter = "(member={dn})"
	}
	if _, err := ldap.ParseDN(g.Base); err != nil {
		return ErrInvalid{"groups.base", "must be a DN"}
	}
	return checkFilter("groups.filter", g.Filter, "")
}

// checkFilter holds a filter template to RFC 4515. Every name that it has in braces
// must be that of an attribute; one of them must be want, if that is not empty.
func checkFilter(member, filter, want string) error {
	names := placeholders(filter)
	if len(filter) > 4096 || len(names) == 0 || want != "" && slices.ContainsFunc(names, func(n string) bool { return n != want }) {
		if want == "" {
			want = "dn"
		}
		return ErrInvalid{member, "must have {" + want + "} in it"}
	}
	for _, name := range names {
		if !isAttribute(name) {
			return ErrInvalid{member, "must have names of attributes in braces"}
		}
	}
	filled := fill(filter, func(string) string { return "x" })
	if _, err := ldap.CompileFilter(filled); err != nil || strings.ContainsAny(filled, "{}") || !inValues(filter, "(") {
		return ErrInvalid{member, "must be a filter such as (uid={login})"}
	}
	return nil
}

// placeholders lists what stands in braces.
func placeholders(template string) (names []string) {
	fill(template, func(name string) string {
		names = append(names, name)
		return ""
	})
	return names
}

// fill puts values where names in braces are.
func fill(template string, value func(name string) string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			b.WriteString(template)
			return b.String()
		}
		b.WriteString(before)
		b.WriteString(value(name))
		template = after
	}
}

// inValues reports whether all names in braces stand where values do: an escaped
// value means nothing there, and a great deal where attributes are named.
func inValues(template, open string) bool {
	for part := range strings.SplitSeq(template, open) {
		if name := strings.Index(part, "{"); name >= 0 && !strings.Contains(part[:name], "=") {
			return false
		}
	}
	return true
}

// isAttribute reports whether a name is a short attribute description without
// options (RFC 4512 §2.5), which needs no escaping anywhere.
func isAttribute(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// plainLogin reports whether a login can be one at all.
func plainLogin(login string) bool {
	return login != "" && len(login) <= maxLogin && utf8.ValidString(login) &&
		!strings.ContainsFunc(login, unicode.IsControl)
}

// bindName makes what user_dn says of a login; false: it cannot be of one. A DN
// escapes the login (RFC 4514 §2.4). For other names no escaping is defined, so the
// login may only have what means nothing in any.
func (d *directory) bindName(login string) (string, bool) {
	if d.templateIsDN() {
		return strings.ReplaceAll(d.c.UserDN, "{login}", ldap.EscapeDN(login)), true
	}
	signs := "._-"
	if d.c.UserDN == "{login}" { // a name with its domain
		signs += "@"
	}
	if strings.ContainsFunc(login, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(signs, r)
	}) {
		return "", false
	}
	return strings.ReplaceAll(d.c.UserDN, "{login}", login), true
}

// Password signs somebody in. An empty password never gets as far as the directory,
// which would take it for an anonymous bind.
func (d *directory) Password(ctx context.Context, login string, password model.Secret) (Person, error) {
	// RFC 4513 §5.1.2
	if !plainLogin(login) || password == "" || len(password) > maxPassword {
		return Person{}, ErrWrongPassword
	}
	s, err := d.dial(ctx)
	if err != nil {
		return Person{}, err
	}
	defer s.close()
	var entry *ldap.Entry
	if d.c.UserDN != "" {
		entry, err = d.bindFirst(s, login, password)
	} else {
		entry, err = d.searchFirst(s, login, password)
	}
	if err != nil {
		return Person{}, err
	}
	return d.person(s, entry)
}

// bindFirst binds with the name that user_dn makes, and reads the entry as that
// person.
func (d *directory) bindFirst(s *ldapSession, login string, password model.Secret) (*ldap.Entry, error) {
	name, ok := d.bindName(login)
	if !ok {
		return nil, ErrWrongPassword
	}
	if err := s.bindPerson(name, password); err != nil {
		return nil, err
	}
	if d.templateIsDN() {
		return s.read(name, d.wanted())
	}
	entry, err := s.find(d.userSearch(login))
	if err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, failed(Misconfigured, "the directory takes the password, but search does not find the entry")
	}
	// The filter may find somebody else than whom the name means: so it has to be
	// their password too.
	return s.bindEntry(entry, password)
}

// searchFirst finds the entry as bind_dn, and binds as what it found.
func (d *directory) searchFirst(s *ldapSession, login string, password model.Secret) (*ldap.Entry, error) {
	if err := s.bindOwn(); err != nil {
		return nil, err
	}
	entry, err := s.find(d.userSearch(login))
	if err != nil {
		return nil, err
	}
	if entry == nil {
		// As many steps for nobody as for somebody, so that time tells less.
		s.bindPerson("cn=nobody,"+d.c.Search.Base, model.NewSecret("no"))
		return nil, ErrWrongPassword
	}
	return s.bindEntry(entry, password)
}

func (d *directory) userSearch(login string) *ldap.SearchRequest {
	scope := ldap.ScopeWholeSubtree
	if d.c.Search.Scope == "one" {
		scope = ldap.ScopeSingleLevel
	}
	filter := fill(d.c.Search.Filter, func(string) string { return ldap.EscapeFilter(login) }) // RFC 4515 §3
	return &ldap.SearchRequest{
		BaseDN: d.c.Search.Base, Scope: scope, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: 2, TimeLimit: int(ldapTime.Seconds()), Filter: filter, Attributes: d.wanted(),
	}
}

// Probe connects, binds as bind_dn, and looks for the base of the search.
func (d *directory) Probe(ctx context.Context) error {
	s, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.bindOwn(); err != nil {
		return err
	}
	if d.c.Search == nil || d.c.UserDN != "" { // nothing that we may read
		return s.hello()
	}
	_, err = s.read(d.c.Search.Base, []string{"1.1"}) // RFC 4511 §4.5.1.8: no attributes
	return err
}
