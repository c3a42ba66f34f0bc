package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

// TestDirectoryInjection: a login is a value, whatever is in it.
func TestDirectoryInjection(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	template := object{"servers": []string{d.LDAPS}, "ca": d.CA, "user_dn": "uid={login},ou=people," + d.Base}
	ways := map[string]struct {
		connection object
		secret     string
	}{"search": {searching(d), d.ReaderPassword}, "template": {template, ""}}
	for _, login := range []string{
		"*", "a*", "alice)", "alice)(uid=*", "*)(objectClass=*", "alice))(|(uid=*", `alice\2a`, `\61lice`, "alice\x00", "alice\n",
		"alice,ou=people", "alice,ou=people," + d.Base, "alice+uid=bob", "alice,", `alice\`, `"alice"`, "#616c696365", "=alice",
		"alice\u200b", "<alice>", "alice;", strings.Repeat("a", 257), "al\xffice", "{login}", "{dn}",
	} {
		for name, way := range ways {
			p, err := signIn(t, way.connection, way.secret, login, "alice's password")
			if !errors.Is(err, upstream.ErrWrongPassword) || p.Subject != "" {
				t.Errorf("%s: %q is %q: %v", name, login, p.Subject, err)
			}
		}
	}
	// People who are called like that sign in.
	for _, login := range []string{"o'brien, jr.", "we(i)rd*", `back\slash`, "a+b=c", "#hash", `say "hi"`, "тарас", "semi;colon<>"} {
		d.Add(t, "uid="+ldap.EscapeDN(login)+",ou=people", "objectClass", "inetOrgPerson", "uid", login, "cn", "x", "sn", "x", "userPassword", "strange")
		for name, way := range ways {
			p, err := signIn(t, way.connection, way.secret, login, "strange")
			if err != nil || p.Claims["preferred_username"] != login {
				t.Errorf("%s: %q: %v, %v", name, login, p.Claims, err)
			}
		}
	}
}

// TestDirectoryEmptyPassword: RFC 4513 §5.1.2. The directory takes a name without a
// password for nobody, and says success.
func TestDirectoryEmptyPassword(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	c, err := ldap.DialURL(d.LDAP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.UnauthenticatedBind("uid=alice,ou=people," + d.Base); err != nil {
		t.Fatalf("this directory would not be fooled: %v", err)
	}
	for _, connection := range []object{searching(d), {"servers": []string{d.LDAPS}, "ca": d.CA, "user_dn": "uid={login},ou=people," + d.Base}} {
		secret := ""
		if connection["bind_dn"] != nil {
			secret = d.ReaderPassword
		}
		asked := func() int { return strings.Count(d.Log(t), `BIND dn="uid=alice,`) }
		before := asked()
		if p, err := signIn(t, connection, secret, "alice", ""); !errors.Is(err, upstream.ErrWrongPassword) || p.Subject != "" {
			t.Errorf("%+v, %v", p, err)
		}
		if asked() != before {
			t.Error("the directory was asked")
		}
		if _, err := signIn(t, connection, secret, "alice", "alice's password"); err != nil {
			t.Errorf("with the password: %v", err)
		}
		if asked() == before {
			t.Error("the log does not tell of it")
		}
	}
}

// TestDirectoryReferral: a password goes nowhere else.
func TestDirectoryReferral(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	var visits atomic.Int64
	elsewhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	go func() {
		for {
			conn, err := elsewhere.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			conn.Close()
		}
	}()
	d.Add(t, "ou=abroad,ou=people", "objectClass", "referral", "objectClass", "extensibleObject", "ou", "abroad",
		"ref", "ldap://"+elsewhere.Addr().String()+"/ou=people,dc=example,dc=com")
	// A reference beside what was searched is left alone.
	if _, err := signIn(t, searching(d), d.ReaderPassword, "alice", "alice's password"); err != nil {
		t.Error(err)
	}
	if _, err := signIn(t, searching(d), d.ReaderPassword, "eve", "x"); !errors.Is(err, upstream.ErrWrongPassword) {
		t.Errorf("somebody who could be elsewhere: %v", err)
	}
	// One in place of it is an error, as is another server's tree.
	for _, base := range []string{"ou=abroad,ou=people," + d.Base, "dc=elsewhere"} {
		c := searching(d).with(object{"search": object{"base": base, "filter": "(uid={login})"}})
		if _, err := signIn(t, c, d.ReaderPassword, "alice", "alice's password"); codeOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "refers") {
			t.Errorf("%s: %v", base, err)
		}
	}
	template := object{"servers": []string{d.LDAPS}, "ca": d.CA, "user_dn": "uid={login},dc=elsewhere"}
	if _, err := signIn(t, template, "", "alice", "alice's password"); err == nil {
		t.Error("bound elsewhere")
	}
	if visits.Load() != 0 {
		t.Errorf("%d connections to where a referral points", visits.Load())
	}
}

// TestDirectoryAnswers: what a real directory may answer, and is not taken.
func TestDirectoryAnswers(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	by := func(filter string) object {
		return searching(d).with(object{"search": object{"base": "ou=people," + d.Base, "filter": filter}})
	}
	if _, err := signIn(t, by("(employeeNumber={login})"), d.ReaderPassword, "7", "alice's password"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("two entries for one login: %v", err)
	}
	if p, err := signIn(t, by("(mail={login})"), d.ReaderPassword, "alice@example.com", "alice's password"); err != nil || p.Claims["preferred_username"] != "alice" {
		t.Errorf("one entry: %v", err)
	}
	if _, err := signIn(t, searching(d), "wrong", "alice", "alice's password"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("our own password is wrong: %v", err)
	}
	if _, err := signIn(t, searching(d).with(object{"bind_dn": nil}), "", "alice", "alice's password"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("nobody may search: %v", err)
	}
	if _, err := signIn(t, searching(d).with(object{"search": object{"base": "ou=nowhere," + d.Base, "filter": "(uid={login})"}}),
		d.ReaderPassword, "alice", "alice's password"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("a base that is not there: %v", err)
	}
	// As long as is told, and longer.
	for size, want := range map[int]upstream.Code{60 << 10: "ok", 70 << 10: upstream.Untrusted, 2 << 20: upstream.Misconfigured} {
		login := fmt.Sprintf("long%d", size)
		d.Add(t, "uid="+login+",ou=people", "objectClass", "inetOrgPerson", "uid", login, "cn", "x", "sn", "x", "userPassword", "long",
			"description", strings.Repeat("x", size))
		if _, err := signIn(t, searching(d).with(object{"attributes": []string{"description"}}), d.ReaderPassword, login, "long"); codeOf(err) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := signIn(t, searching(d), d.ReaderPassword, login, "long"); err != nil {
			t.Errorf("%d bytes that nobody asked for: %v", size, err)
		}
	}
}

// TestDirectoryManyGroups reads them in pages, as far as there is an end.
func TestDirectoryManyGroups(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	d.Do(t, func(c *ldap.Conn) error {
		for i := range 1001 {
			r := ldap.NewAddRequest(fmt.Sprintf("cn=g%d,ou=groups,%s", i, d.Base), nil)
			r.Attribute("objectClass", []string{"posixGroup"})
			r.Attribute("cn", []string{fmt.Sprintf("g%d", i)})
			r.Attribute("gidNumber", []string{"1"})
			members := []string{"carol"}
			if i < 1000 {
				members = append(members, "bob")
			}
			r.Attribute("memberUid", members)
			if err := c.Add(r); err != nil {
				return err
			}
		}
		return nil
	})
	c := searching(d).with(object{"groups": object{"base": "ou=groups," + d.Base, "filter": "(memberUid={uid})"}})
	before := strings.Count(d.Log(t), " SRCH base=\"ou=groups")
	p, err := signIn(t, c, d.ReaderPassword, "bob", "bob's password")
	if err != nil || len(p.Claims["groups"].([]any)) != 1000 {
		t.Errorf("1000 groups: %v, %d", err, len(p.Claims["groups"].([]any)))
	}
	if pages := strings.Count(d.Log(t), " SRCH base=\"ou=groups") - before; pages != 5 {
		t.Errorf("%d pages", pages)
	}
	if _, err := signIn(t, c, d.ReaderPassword, "carol", "carol's password"); codeOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "1000 groups") {
		t.Errorf("1001 groups: %v", err)
	}
}

// TestDirectoryTLS: to whom a password is told.
func TestDirectoryTLS(t *testing.T) {
	d, other := upstreamtest.NewDirectory(t), upstreamtest.NewDirectory(t)
	for _, server := range []string{d.LDAPS, d.LDAP} {
		c := searching(d).with(object{"servers": []string{server}})
		for name, row := range map[string]struct {
			change object
			want   upstream.Code
		}{
			"as it is":                         {object{}, "ok"},
			"named in full":                    {object{"server_name": "127.0.0.1"}, "ok"},
			"another authority's certificate":  {object{"ca": other.CA}, upstream.Unavailable},
			"an authority that nobody trusts":  {object{"ca": nil}, upstream.Unavailable},
			"a certificate for another server": {object{"server_name": "ldap.example.com"}, upstream.Unavailable},
			"another name for the server":      {object{"servers": []string{strings.Replace(server, "127.0.0.1", "localhost", 1)}}, upstream.Unavailable},
		} {
			asked := func() int { return strings.Count(d.Log(t), `BIND dn="cn=reader,`) }
			before := asked()
			_, err := signIn(t, c.with(row.change), d.ReaderPassword, "alice", "alice's password")
			if codeOf(err) != row.want || row.want != "ok" && !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%.7s, %s: %v", server, name, err)
			}
			if told := asked() != before; told != (row.want == "ok") {
				t.Errorf("%.7s, %s: our password was told: %t", server, name, told)
			}
		}
	}
}

// TestDirectoryConnection: what an operator may write, and what not.
func TestDirectoryConnection(t *testing.T) {
	good := object{"servers": []string{"ldaps://ldap.example.com"}, "search": object{"base": "dc=example,dc=com", "filter": "(uid={login})"}}
	for name, row := range map[string]struct {
		change object
		member string // of the ErrInvalid; "": it is good
	}{
		"good":                    {object{}, ""},
		"two servers":             {object{"servers": []string{"ldaps://a.example.com:636", "ldap://b.example.com"}}, ""},
		"a template":              {object{"search": nil, "user_dn": "uid={login},dc=example,dc=com"}, ""},
		"Active Directory":        {object{"user_dn": "{login}@corp.example.com", "subject": "objectGUID", "groups": object{"base": "dc=example,dc=com", "nested": true}, "allow_internal": true}, ""},
		"no server":               {object{"servers": []string{}}, "servers"},
		"six servers":             {object{"servers": strings.Fields(strings.Repeat("ldaps://a.example.com ", 6))}, "servers"},
		"a socket":                {object{"servers": []string{"ldapi:///run/slapd"}}, "servers"},
		"a URL with more":         {object{"servers": []string{"ldaps://a.example.com/dc=x?uid"}}, "servers"},
		"a password in it":        {object{"servers": []string{"ldaps://u:p@a.example.com"}}, "servers"},
		"plain":                   {object{"servers": []string{"ldap://a.example.com"}, "insecure_plain": true}, "insecure_plain"},
		"plain over TLS":          {object{"servers": []string{"ldaps://127.0.0.1"}, "insecure_plain": true}, "insecure_plain"},
		"plain, here and there":   {object{"servers": []string{"ldap://127.0.0.1", "ldap://10.0.0.1"}, "insecure_plain": true}, "insecure_plain"},
		"no PEM":                  {object{"ca": "x"}, "ca"},
		"a name without password": {object{"bind_dn": "cn=reader,dc=example,dc=com"}, "bind_dn"},
		"no way to find anybody":  {object{"search": nil}, "search"},
		"two ways":                {object{"user_dn": "uid={login},dc=example,dc=com"}, "search"},
		"no login in it":          {object{"search": nil, "user_dn": "uid=alice,dc=example,dc=com"}, "user_dn"},
		"two logins in it":        {object{"search": nil, "user_dn": "uid={login},ou={login},dc=example,dc=com"}, "user_dn"},
		"a login as attribute":    {object{"search": nil, "user_dn": "{login}=x,dc=example,dc=com"}, "user_dn"},
		"no base":                 {object{"search": object{"base": "", "filter": "(uid={login})"}}, "search.base"},
		"a base that is none":     {object{"search": object{"base": "example.com", "filter": "(uid={login})"}}, "search.base"},
		"a filter for everybody":  {object{"search": object{"base": "dc=x", "filter": "(uid=*)"}}, "search.filter"},
		"a filter that is none":   {object{"search": object{"base": "dc=x", "filter": "uid={login})"}}, "search.filter"},
		"a login for attribute":   {object{"search": object{"base": "dc=x", "filter": "({login}=x)"}}, "search.filter"},
		"another name":            {object{"search": object{"base": "dc=x", "filter": "(uid={user})"}}, "search.filter"},
		"another scope":           {object{"search": object{"base": "dc=x", "filter": "(uid={login})", "scope": "base"}}, "search.scope"},
		"no attribute":            {object{"subject": "entry UUID"}, "attributes"},
		"options":                 {object{"attributes": []string{"cn;lang-de"}}, "attributes"},
		"groups in two ways":      {object{"groups": object{"attribute": "memberOf", "base": "dc=x"}}, "groups"},
		"nested, and a filter":    {object{"groups": object{"base": "dc=x", "filter": "(member={dn})", "nested": true}}, "groups.nested"},
		"groups of everybody":     {object{"groups": object{"base": "dc=x", "filter": "(cn=*)"}}, "groups.filter"},
		"another member":          {object{"server": "x"}, "connection"},
	} {
		_, err := openLDAP(good.with(row.change), "")
		var invalid upstream.ErrInvalid
		errors.As(err, &invalid)
		if invalid.Member != row.member || err != nil && row.member == "" {
			t.Errorf("%s: %v, want %q", name, err, row.member)
		}
	}
	if _, err := openLDAP(good, "a password without a name"); err == nil {
		t.Error("a password without a name was taken")
	}
}

// activeDirectory answers as Active Directory does to the one person whom it knows.
func activeDirectory(attributes ...string) func(int64, *ber.Packet) []*ber.Packet {
	return func(id int64, op *ber.Packet) []*ber.Packet {
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			name, password := op.Children[1].Value.(string), op.Children[2].Data.String()
			states := map[string]string{"disabled": "533", "expired": "701", "stale": "532", "new": "773", "hours": "530", "machine": "531", "locked": "775"}
			if who, _, _ := strings.Cut(name, "@"); states[who] != "" && (password == "right" || who == "locked") {
				return []*ber.Packet{result(id, ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials,
					"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data "+states[who]+", v3839\x00")}
			}
			if password != "right" || !strings.HasPrefix(name, "alice@") && !strings.HasPrefix(name, "CN=Alice,") {
				return []*ber.Packet{result(id, ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials,
					"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v3839\x00")}
			}
			return []*ber.Packet{result(id, ldap.ApplicationBindResponse, 0, "")}
		case ldap.ApplicationSearchRequest:
			filter := strings.TrimPrefix(describe(op), "search ")
			done := result(id, ldap.ApplicationSearchResultDone, 0, "")
			switch {
			case strings.Contains(filter, "1.2.840.113556.1.4.1941:=CN=Alice,DC=corp"):
				return []*ber.Packet{entry(id, "CN=Nested,DC=corp", "cn", "Nested"), entry(id, "CN=Direct,DC=corp", "cn", "Direct"), done}
			case filter == "(userPrincipalName=alice@corp.example.com)":
				return []*ber.Packet{entry(id, "CN=Alice,DC=corp", append([]string{
					"objectGUID", "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
					"sAMAccountName", "alice", "userPrincipalName", "alice@corp.example.com",
				}, attributes...)...), done}
			case filter == "(sAMAccountName=alice)": // somebody else, by a mistake in the filter
				return []*ber.Packet{entry(id, "CN=Bob,DC=corp", "objectGUID", "\xff\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"), done}
			}
			return []*ber.Packet{done}
		}
		return nil
	}
}

// TestActiveDirectory: names with a domain, its GUIDs, nested groups, and what its
// codes tell to whom.
func TestActiveDirectory(t *testing.T) {
	f := &fakeDirectory{answer: activeDirectory()}
	f.start(t)
	c := object{
		"servers": []string{f.address}, "insecure_plain": true, "user_dn": "{login}@corp.example.com", "subject": "objectGUID",
		"search": object{"base": "DC=corp", "filter": "(userPrincipalName={login}@corp.example.com)"},
		"groups": object{"base": "DC=corp", "nested": true},
	}
	p, err := signIn(t, c, "", "alice", "right")
	if err != nil || p.Subject != "33221100-5544-7766-8899-aabbccddeeff" || p.Claims["preferred_username"] != "alice" ||
		fmt.Sprint(p.Claims["groups"]) != "[Direct Nested]" {
		t.Errorf("%+v, %v", p, err)
	}
	want := "[bind alice@corp.example.com search (userPrincipalName=alice@corp.example.com) bind CN=Alice,DC=corp " +
		"search (member:1.2.840.113556.1.4.1941:=CN=Alice,DC=corp)]"
	if got := fmt.Sprint(f.heard()); got != want {
		t.Errorf("asked\n%s, want\n%s", got, want)
	}
	for login, want := range map[string]upstream.Code{
		// With the right password these say why.
		"disabled": upstream.Denied, "expired": upstream.Denied, "stale": upstream.Denied, "new": upstream.Denied,
		"hours": upstream.Denied, "machine": upstream.Denied,
		// This one it says to anybody, so nobody is told.
		"locked": "wrong",
		"nobody": "wrong",
	} {
		if _, err := signIn(t, c, "", login, "right"); codeOf(err) != want {
			t.Errorf("%s: %v", login, err)
		}
		if _, err := signIn(t, c, "", login, "a guess"); codeOf(err) != "wrong" {
			t.Errorf("%s, with a wrong password: %v", login, err)
		}
	}
	before := len(f.heard())
	for _, login := range []string{"alice@evil.example.com", `EVIL\alice`, "alice corp", "alice*", "CN=Alice,DC=corp", "alice@corp.example.com"} {
		if _, err := signIn(t, c, "", login, "right"); codeOf(err) != "wrong" {
			t.Errorf("%s: %v", login, err)
		}
	}
	if got := f.heard()[before:]; len(got) != 0 {
		t.Errorf("asked %q", got)
	}
	whole := c.with(object{"user_dn": "{login}", "search": object{"base": "DC=corp", "filter": "(userPrincipalName={login})"}})
	if _, err := signIn(t, whole, "", "alice@corp.example.com", "right"); err != nil {
		t.Errorf("a name with its domain: %v", err)
	}
	other := c.with(object{"search": object{"base": "DC=corp", "filter": "(sAMAccountName={login})"}})
	if p, err := signIn(t, other, "", "alice", "right"); codeOf(err) != "wrong" {
		t.Errorf("the filter finds somebody else, who is signed in: %+v, %v", p, err)
	}
	f.answer = activeDirectory("memberOf;range=0-1499", "CN=One,DC=corp")
	if _, err := signIn(t, c.with(object{"groups": object{}}), "", "alice", "right"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("more groups than it tells at once: %v", err)
	}
	f.answer = activeDirectory("memberOf", "CN=One\\, Two,DC=corp")
	if p, err := signIn(t, c.with(object{"groups": object{}}), "", "alice", "right"); err != nil || fmt.Sprint(p.Claims["groups"]) != "[One, Two]" {
		t.Errorf("%v, %v", p.Claims["groups"], err)
	}
}

// TestDirectoryStartTLSRefused: without TLS nothing is said at all.
func TestDirectoryStartTLSRefused(t *testing.T) {
	f := &fakeDirectory{answer: func(id int64, op *ber.Packet) []*ber.Packet {
		return []*ber.Packet{result(id, ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError, "")}
	}}
	f.start(t)
	c := object{"servers": []string{f.address}, "user_dn": "uid={login},dc=x"}
	if _, err := signIn(t, c, "", "alice", "right"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("%v", err)
	}
	if said := f.heard(); len(said) != 1 || said[0] != "extended 1.3.6.1.4.1.1466.20037" {
		t.Errorf("%q", said)
	}
	// An answer that somebody has put behind the one to StartTLS is not heard as TLS.
	f.answer = func(id int64, op *ber.Packet) []*ber.Packet {
		return []*ber.Packet{result(id, ldap.ApplicationExtendedResponse, 0, ""), result(id+1, ldap.ApplicationBindResponse, 0, "")}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	d, err := openLDAP(c, "")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := d.Password(ctx, "alice", "right"); codeOf(err) != upstream.Unavailable || p.Subject != "" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestDirectoryHangs: whatever it does, a sign-in ends in time, and few wait at once.
func TestDirectoryHangs(t *testing.T) {
	silent := func(int64, *ber.Packet) []*ber.Packet { return nil }
	// A message that announces 2 GiB, and one of which there is no end.
	for name, f := range map[string]*fakeDirectory{
		"silent": {answer: silent},
		"silent after a bind": {answer: func(id int64, op *ber.Packet) []*ber.Packet {
			if op.Tag == ldap.ApplicationBindRequest {
				return []*ber.Packet{result(id, ldap.ApplicationBindResponse, 0, "")}
			}
			return nil
		}},
		"noise":      {raw: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"a long one": {raw: []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01}},
		"endless":    {raw: make([]byte, 2<<20)},
		"deep":       {raw: []byte(strings.Repeat("\x30\x80", 5000))},
		"nobody's":   {raw: result(99, ldap.ApplicationBindResponse, 0, "").Bytes()},
		"another's":  {raw: result(1, ldap.ApplicationSearchResultDone, 0, "").Bytes()},
	} {
		t.Run(name, func(t *testing.T) {
			f.start(t)
			d, err := openLDAP(object{"servers": []string{f.address}, "insecure_plain": true, "user_dn": "uid={login},dc=x"}, "")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			began := time.Now()
			p, err := d.Password(ctx, "alice", "right")
			if err == nil || codeOf(err) == "wrong" || p.Subject != "" {
				t.Errorf("%+v, %v", p, err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	f := &fakeDirectory{answer: silent}
	f.start(t)
	for _, c := range []object{
		{"servers": []string{strings.Replace(f.address, "ldap://", "ldaps://", 1)}, "user_dn": "uid={login},dc=x"},
		{"servers": []string{f.address}, "user_dn": "uid={login},dc=x"},
	} {
		d, err := openLDAP(c, "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := d.Probe(ctx); codeOf(err) != upstream.Unavailable {
			t.Errorf("%v: %v", c["servers"], err)
		}
	}
	// By itself it gives up after five seconds; so do thirty at once, of whom eight wait.
	text, err := json.Marshal(object{"servers": []string{f.address}, "insecure_plain": true, "user_dn": "uid={login},dc=x"})
	if err != nil {
		t.Fatal(err)
	}
	dial := &countingDial{}
	c, err := upstream.Open(upstream.Config{ID: "corp", Kind: "ldap", Connection: text, Dial: dial.dial, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			_, err := c.(upstream.Directory).Password(t.Context(), "alice", "right")
			if codeOf(err) != upstream.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < 4*time.Second || took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	if dial.most == 0 || dial.most > 8 || dial.open != 0 {
		t.Errorf("%d connections at once, %d left open", dial.most, dial.open)
	}
}

// pipeDial connects to nowhere: to a name that says this machine and is another.
func pipeDial(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	go func() {
		buf := make([]byte, 1<<10)
		for {
			if _, err := b.Read(buf); err != nil {
				return
			}
		}
	}()
	return a, nil
}

// TestDirectoryPlain: "localhost" that leads elsewhere gets no password.
func TestDirectoryPlain(t *testing.T) {
	text, err := json.Marshal(object{"servers": []string{"ldap://localhost"}, "insecure_plain": true, "user_dn": "uid={login},dc=x"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := upstream.Open(upstream.Config{ID: "corp", Kind: "ldap", Connection: text, Dial: pipeDial, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.(upstream.Directory).Password(t.Context(), "alice", model.Secret("right")); codeOf(err) != upstream.Misconfigured {
		t.Errorf("%v", err)
	}
}
