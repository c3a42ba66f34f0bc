package upstream

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/ostiary/ostiary/internal/model"
)

func openDirectory(t testing.TB, connection string, dial Dial) *directory {
	t.Helper()
	c, err := Open(Config{ID: "corp", Kind: "ldap", Connection: []byte(connection), Dial: dial, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*directory)
}

// FuzzLogin: a login is one value, in a filter and in a DN, and is itself there.
func FuzzLogin(f *testing.F) {
	search := openDirectory(f, `{"servers": ["ldaps://x"], "search": {"base": "dc=x", "filter": "(&(objectClass=person)(uid={login}))"}}`, nil)
	template := openDirectory(f, `{"servers": ["ldaps://x"], "user_dn": "uid={login},ou=people,dc=x"}`, nil)
	for _, login := range []string{"alice", "*", "a)(uid=*", `\2a`, "a,b", "a+b=c", " a ", "#a", "тарас", `a\`, "{dn}", ";<>\""} {
		f.Add(login)
	}
	f.Fuzz(func(t *testing.T, login string) {
		if !plainLogin(login) {
			return
		}
		packet, err := ldap.CompileFilter(search.userSearch(login).Filter)
		if err != nil || len(packet.Children) != 2 || packet.Children[1].Tag != ldap.FilterEqualityMatch {
			t.Fatalf("%q makes another filter: %v", login, err)
		}
		if got := packet.Children[1].Children[1].Data.String(); got != login {
			t.Errorf("%q is searched as %q", login, got)
		}
		name, _ := template.bindName(login)
		dn, err := ldap.ParseDN(name)
		if err != nil || len(dn.RDNs) != 3 || len(dn.RDNs[0].Attributes) != 1 || !strings.EqualFold(dn.RDNs[0].Attributes[0].Type, "uid") {
			t.Fatalf("%q makes another DN, %q: %v", login, name, err)
		}
		if got := dn.RDNs[0].Attributes[0].Value; got != login {
			t.Errorf("%q binds as %q", login, got)
		}
	})
}

// loopbackPipe is a connection that says it is to this machine.
type loopbackPipe struct{ net.Conn }

func (loopbackPipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 389} }

// FuzzDirectory: whatever a directory answers, a sign-in ends, without a panic, and
// tells of nobody without a subject.
func FuzzDirectory(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"))                         // a bind that succeeds
	f.Add([]byte("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"))                         // that does not
	f.Add([]byte("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x0a\x04\x00\x04\x00\x30\x80\x30\x80\x00\x00")) // a referral
	f.Add([]byte("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00" +
		"\x30\x2a\x02\x01\x02\x64\x25\x04\x04uid=\x30\x1d\x30\x1b\x04\x09entryUUID\x31\x0e\x04\x0c0123456789ab" +
		"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"))
	connection, _ := json.Marshal(map[string]any{
		"servers": []string{"ldap://127.0.0.1"}, "insecure_plain": true, "user_dn": "uid={login},dc=x", "groups": map[string]any{},
	})
	f.Fuzz(func(t *testing.T, answer []byte) {
		d := openDirectory(t, string(connection), func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				buf := make([]byte, 4<<10)
				there.Read(buf)
				go func() { // for what still comes
					for {
						if _, err := there.Read(buf); err != nil {
							return
						}
					}
				}()
				there.SetWriteDeadline(time.Now().Add(time.Second))
				there.Write(answer)
				time.Sleep(5 * time.Millisecond)
				there.Close()
			}()
			return loopbackPipe{here}, nil
		})
		began := time.Now()
		p, err := d.Password(t.Context(), "alice", model.Secret("right"))
		if time.Since(began) > 6*time.Second {
			t.Error("it took too long")
		}
		if (err == nil) != (p.Subject != "") {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
