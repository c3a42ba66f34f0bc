package upstream_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

var now = time.Unix(1_800_000_000, 0)

// object is JSON in a test.
type object map[string]any

// with returns a copy in which some members are others; nil takes one away.
func (o object) with(more object) object {
	o = maps.Clone(o)
	for k, v := range more {
		if v == nil {
			delete(o, k)
		} else {
			o[k] = v
		}
	}
	return o
}

func openLDAP(c object, password string) (upstream.Directory, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var secrets map[string]model.Secret
	if password != "" {
		secrets = map[string]model.Secret{"bind_password": model.Secret(password)}
	}
	connector, err := upstream.Open(upstream.Config{
		ID: "corp", Kind: "ldap", Connection: text, Secrets: secrets,
		Dial: (&net.Dialer{}).DialContext, Now: func() time.Time { return now },
	})
	if err != nil {
		return nil, err
	}
	return connector.(upstream.Directory), nil
}

// searching is a connection that searches first.
func searching(d *upstreamtest.Directory) object {
	return object{
		"servers": []string{d.LDAPS}, "ca": d.CA, "bind_dn": d.ReaderDN,
		"search": object{"base": "ou=people," + d.Base, "filter": "(&(objectClass=person)(uid={login}))"},
	}
}

func signIn(t *testing.T, c object, secret, login, password string) (upstream.Person, error) {
	t.Helper()
	d, err := openLDAP(c, secret)
	if err != nil {
		t.Fatal(err)
	}
	return d.Password(t.Context(), login, model.Secret(password))
}

// codeOf says which of the errors of a connector it is.
func codeOf(err error) upstream.Code {
	var e *upstream.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, upstream.ErrWrongPassword):
		return "wrong"
	case errors.As(err, &e):
		return e.Code
	}
	return "?"
}

// TestDirectory signs in with a real slapd, in each way to find somebody and to
// protect the connection.
func TestDirectory(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	search := searching(d)
	template := object{"servers": []string{d.LDAPS}, "ca": d.CA, "user_dn": "uid={login},ou=people," + d.Base}
	_, port, _ := strings.Cut(strings.TrimPrefix(d.LDAP, "ldap://"), ":")
	for name, row := range map[string]struct {
		connection object
		secret     string
	}{
		"LDAPS, search":          {search, d.ReaderPassword},
		"StartTLS, search":       {search.with(object{"servers": []string{d.LDAP}}), d.ReaderPassword},
		"LDAPS, template":        {template, ""},
		"StartTLS, template":     {template.with(object{"servers": []string{d.LDAP}}), ""},
		"plain, on this machine": {template.with(object{"servers": []string{d.LDAP}, "ca": nil, "insecure_plain": true}), ""},
		"plain, localhost":       {template.with(object{"servers": []string{"ldap://localhost:" + port}, "ca": nil, "insecure_plain": true}), ""},
		"the second server":      {search.with(object{"servers": []string{"ldaps://127.0.0.1:9", d.LDAPS}}), d.ReaderPassword},
		"one level":              {search.with(object{"search": object{"base": "ou=people," + d.Base, "filter": "(uid={login})", "scope": "one"}}), d.ReaderPassword},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := openLDAP(row.connection, row.secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Probe(t.Context()); err != nil {
				t.Errorf("probe: %v", err)
			}
			p, err := c.Password(t.Context(), "alice", "alice's password")
			if err != nil {
				t.Fatal(err)
			}
			if p.Issuer != "ldap:corp" || len(p.Subject) != 36 || p.AuthTime != now.Unix() || len(p.AMR) != 1 {
				t.Errorf("%+v", p)
			}
			for claim, want := range map[string]string{
				"name": "Alice Example", "given_name": "Alice", "family_name": "Example",
				"email": "alice@example.com", "preferred_username": "alice", "locale": "uk",
			} {
				if p.Claims[claim] != want {
					t.Errorf("%s is %q", claim, p.Claims[claim])
				}
			}
			if p.Claims["email_verified"] != nil || p.Claims["userPassword"] != nil {
				t.Errorf("told too much: %v", p.Claims)
			}
			for _, wrong := range [][2]string{
				{"alice", "bob's password"}, {"alice", ""}, {"nobody", "alice's password"}, {"", "x"}, {"alice", "alice's password "},
			} {
				if _, err := c.Password(t.Context(), wrong[0], model.Secret(wrong[1])); !errors.Is(err, upstream.ErrWrongPassword) {
					t.Errorf("%q with %q: %v", wrong[0], wrong[1], err)
				}
			}
		})
	}
}

// TestDirectorySubject: what names somebody is an attribute that does not change.
func TestDirectorySubject(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	before, err := signIn(t, searching(d), d.ReaderPassword, "alice", "alice's password")
	if err != nil {
		t.Fatal(err)
	}
	// [MS-DTYP] §2.3.4.2: 00112233-4455… on the wire is 33221100-5544-… in writing.
	guid := searching(d).with(object{"subject": "objectGUID"})
	if p, err := signIn(t, guid, d.ReaderPassword, "alice", "alice's password"); err != nil || p.Subject != "33221100-5544-7766-8899-aabbccddeeff" {
		t.Errorf("%q, %v", p.Subject, err)
	}
	if p, err := signIn(t, guid, d.ReaderPassword, "bob", "bob's password"); codeOf(err) != upstream.Misconfigured || p.Subject != "" {
		t.Errorf("an entry without the attribute: %q, %v", p.Subject, err)
	}
	if _, err := signIn(t, searching(d).with(object{"subject": "mail"}), d.ReaderPassword, "bob", "bob's password"); codeOf(err) != upstream.Misconfigured {
		t.Errorf("two values: %v", err)
	}
	d.Do(t, func(c *ldap.Conn) error {
		return c.ModifyDN(ldap.NewModifyDNRequest("uid=alice,ou=people,"+d.Base, "uid=alicia", true, ""))
	})
	after, err := signIn(t, searching(d), d.ReaderPassword, "alicia", "alice's password")
	if err != nil || after.Subject != before.Subject {
		t.Errorf("renamed: %q, was %q, %v", after.Subject, before.Subject, err)
	}
}

// TestDirectoryGroups reads them in each way that there is.
func TestDirectoryGroups(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	groups := "ou=groups," + d.Base
	for name, row := range map[string]struct {
		groups     object
		alice, bob []any
	}{
		"memberOf":      {object{}, []any{"admins", "staff"}, []any{"staff"}},
		"memberOf, DNs": {object{"name": "dn"}, []any{"cn=admins," + groups, "cn=staff," + groups}, []any{"cn=staff," + groups}},
		"searched":      {object{"base": groups}, []any{"admins", "staff"}, []any{"staff"}},
		"searched, DNs": {object{"base": groups, "name": "dn"}, []any{"cn=admins," + groups, "cn=staff," + groups}, []any{"cn=staff," + groups}},
		"by a filter":   {object{"base": groups, "filter": "(&(objectClass=posixGroup)(memberUid={uid}))"}, []any{"wheel"}, []any{}},
		"by what bob has twice": {object{"base": groups, "filter": "(|(description={mail})(member={dn}))"},
			[]any{"admins", "staff"}, []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			for login, want := range map[string][]any{"alice": row.alice, "bob": row.bob} {
				p, err := signIn(t, searching(d).with(object{"groups": row.groups}), d.ReaderPassword, login, login+"'s password")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, p.Claims["groups"]); diff != "" {
					t.Errorf("%s: %s", login, diff)
				}
			}
		})
	}
	if p, err := signIn(t, searching(d), d.ReaderPassword, "alice", "alice's password"); err != nil || p.Claims["groups"] != nil {
		t.Errorf("groups that nobody asked for: %v %v", p.Claims["groups"], err)
	}
}
