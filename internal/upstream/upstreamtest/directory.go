// Package upstreamtest starts identity providers that others have written, for
// tests to sign in with: Debian's slapd, and the SAML identity provider of
// crewjam/saml. They listen on the loopback address and end with the test.
package upstreamtest

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Directory is a running slapd with people below ou=people,dc=example,dc=com:
//
//	login   password                mail               groups
//	alice   alice's password        alice@example.com  staff, admins
//	bob     bob's password          bob@example.com    staff
//	carol   carol's password        none               none
//
// and two entries with the employeeNumber 7. ReaderDN may search, and nobody else may.
type Directory struct {
	LDAPS, LDAP string // ldaps://127.0.0.1:port, ldap://127.0.0.1:port
	CA          string // PEM
	// Base is the DN of everything; ReaderDN and ReaderPassword are whose that searches.
	Base, ReaderDN, ReaderPassword string

	log  *lockedBuffer
	root string // password of cn=root

	marks int // in the log
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Log returns what slapd has logged until now: connections, filters, results.
func (d *Directory) Log(t testing.TB) string {
	t.Helper()
	d.marks++
	mark := fmt.Sprintf("cn=mark%d,%s", d.marks, d.Base)
	d.Do(t, func(c *ldap.Conn) error {
		_, err := c.Search(&ldap.SearchRequest{BaseDN: mark, Filter: "(cn=*)"})
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return nil
		}
		return err
	})
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if text := d.log.String(); strings.Contains(text, mark) { // so all before it is there too
			return text
		}
	}
	t.Fatal("slapd does not log what it is asked")
	return ""
}

const config = `
{{schemas}}
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.32473.1 NAME 'adPerson' SUP top AUXILIARY MAY ( objectGUID $ sAMAccountName ) )
pidfile {{folder}}/pid
argsfile {{folder}}/args
{{modules}}
TLSCertificateFile {{folder}}/cert.pem
TLSCertificateKeyFile {{folder}}/key.pem
referral ldap://127.0.0.1:9/
sizelimit unlimited
sockbuf_max_incoming_auth 8388607
# A name without a password binds as nobody, with success, as in Active Directory.
allow bind_anon_dn
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=com" read by self read by anonymous auth by * none
database mdb
maxsize 67108864
dbnosync
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw {{root}}
directory {{folder}}/data
overlay memberof
`

// NewDirectory starts a slapd with a certificate of its own for 127.0.0.1.
func NewDirectory(t testing.TB) *Directory {
	t.Helper()
	program, schemas, modules := findSlapd(t)
	folder := t.TempDir()
	ca, cert, key := newCertificate(t, "127.0.0.1")
	d := &Directory{
		CA: ca, Base: "dc=example,dc=com", ReaderDN: "cn=reader,dc=example,dc=com",
		ReaderPassword: "reader's password", log: &lockedBuffer{}, root: "root's password",
	}
	var includes strings.Builder
	for _, name := range []string{"core", "cosine", "nis", "inetorgperson"} {
		fmt.Fprintf(&includes, "include %s/%s.schema\n", schemas, name)
	}
	text := strings.NewReplacer("{{folder}}", folder, "{{schemas}}", includes.String(), "{{modules}}", modules,
		"{{root}}", `"`+d.root+`"`).Replace(config)
	for name, content := range map[string]string{"slapd.conf": text, "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 5 { // a port may be taken between being found and being used
		if d.start(t, program, folder) {
			d.fill(t)
			return d
		}
	}
	t.Fatalf("slapd did not start:\n%s", d.log)
	return nil
}

// findSlapd returns the program, the folder of its schemas, and what loads its parts.
func findSlapd(t testing.TB) (program, schemas, modules string) {
	t.Helper()
	path := os.Getenv("PATH") + ":/usr/sbin:/usr/local/sbin:/usr/libexec:/opt/homebrew/opt/openldap/libexec"
	for _, folder := range filepath.SplitList(path) {
		if at := filepath.Join(folder, "slapd"); program == "" && isFile(at) {
			program = at
		}
	}
	for _, folder := range []string{"/etc/ldap/schema", "/etc/openldap/schema", "/opt/homebrew/etc/openldap/schema"} {
		if schemas == "" && isFile(filepath.Join(folder, "core.schema")) {
			schemas = folder
		}
	}
	if program == "" || schemas == "" {
		t.Fatal("slapd is not installed, and signing in with a directory is tested against it: run scripts/setup, or apt-get install slapd")
	}
	if isFile("/usr/lib/ldap/back_mdb.la") {
		modules = "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\n"
	}
	return program, schemas, modules
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *Directory) start(t testing.TB, program, folder string) bool {
	t.Helper()
	d.LDAP, d.LDAPS = "ldap://"+freePort(t), "ldaps://"+freePort(t)
	// -d keeps it in the foreground; 256 logs each request in a line.
	cmd := exec.Command(program, "-d", "256", "-f", filepath.Join(folder, "slapd.conf"), "-h", d.LDAP+"/ "+d.LDAPS+"/")
	cmd.Stdout, cmd.Stderr = d.log, d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(d.LDAPS, "ldaps://")); err == nil {
			conn.Close()
			t.Cleanup(func() {
				cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-ended:
				case <-time.After(10 * time.Second):
					cmd.Process.Kill()
				}
			})
			return true
		}
		select {
		case <-ended:
			return false
		default:
		}
	}
	cmd.Process.Kill()
	return false
}

// Do changes the directory as its owner.
func (d *Directory) Do(t testing.TB, change func(c *ldap.Conn) error) {
	t.Helper()
	c, err := ldap.DialURL(d.LDAP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind("cn=root,"+d.Base, d.root); err != nil {
		t.Fatal(err)
	}
	if err := change(c); err != nil {
		t.Fatal(err)
	}
}

// Add adds an entry: its attributes are name, value, name, value.
func (d *Directory) Add(t testing.TB, dn string, attributes ...string) {
	t.Helper()
	r := ldap.NewAddRequest(dn+","+d.Base, nil)
	all := map[string][]string{}
	for i := 0; i < len(attributes); i += 2 {
		all[attributes[i]] = append(all[attributes[i]], attributes[i+1])
	}
	for name, values := range all {
		r.Attribute(name, values)
	}
	d.Do(t, func(c *ldap.Conn) error { return c.Add(r) })
}

func (d *Directory) fill(t testing.TB) {
	t.Helper()
	root := ldap.NewAddRequest(d.Base, nil)
	root.Attribute("objectClass", []string{"dcObject", "organization"})
	root.Attribute("o", []string{"Example"})
	root.Attribute("dc", []string{"example"})
	d.Do(t, func(c *ldap.Conn) error { return c.Add(root) })
	d.Add(t, "cn=reader", "objectClass", "organizationalRole", "objectClass", "simpleSecurityObject",
		"cn", "reader", "userPassword", d.ReaderPassword)
	for _, ou := range []string{"people", "groups"} {
		d.Add(t, "ou="+ou, "objectClass", "organizationalUnit", "ou", ou)
	}
	person := func(uid, given string, more ...string) {
		d.Add(t, "uid="+uid+",ou=people", append([]string{
			"objectClass", "inetOrgPerson", "objectClass", "adPerson", "uid", uid, "cn", given + " Example", "sn", "Example",
			"givenName", given, "userPassword", uid + "'s password", "sAMAccountName", uid,
		}, more...)...)
	}
	person("alice", "Alice", "mail", "alice@example.com", "employeeNumber", "7", "preferredLanguage", "uk",
		"objectGUID", "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff")
	person("bob", "Bob", "mail", "bob@example.com", "employeeNumber", "7", "mail", "robert@example.com")
	person("carol", "Carol")
	d.Add(t, "cn=staff,ou=groups", "objectClass", "groupOfNames", "cn", "staff",
		"member", "uid=alice,ou=people,"+d.Base, "member", "uid=bob,ou=people,"+d.Base)
	d.Add(t, "cn=admins,ou=groups", "objectClass", "groupOfNames", "cn", "admins", "member", "uid=alice,ou=people,"+d.Base)
	d.Add(t, "cn=wheel,ou=groups", "objectClass", "posixGroup", "cn", "wheel", "gidNumber", "10", "memberUid", "alice")
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
