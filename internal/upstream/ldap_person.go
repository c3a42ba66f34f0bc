package upstream

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// ldapClaims says of which attributes a claim is made: the first of them that the
// entry has.
var ldapClaims = []struct {
	claim      string
	attributes []string
}{
	{"name", []string{"displayName", "cn"}},
	{"given_name", []string{"givenName"}},
	{"family_name", []string{"sn"}},
	{"email", []string{"mail"}},
	{"preferred_username", []string{"uid", "sAMAccountName", "userPrincipalName"}},
	{"locale", []string{"preferredLanguage"}},
}

// wanted lists the attributes that are asked for.
func (d *directory) wanted() []string {
	list := []string{d.c.Subject}
	add := func(names ...string) {
		for _, name := range names {
			if !slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) }) {
				list = append(list, name)
			}
		}
	}
	for _, c := range ldapClaims {
		add(c.attributes...)
	}
	add(d.c.Attributes...)
	if g := d.c.Groups; g != nil {
		if g.Attribute != "" {
			add(g.Attribute)
		}
		for _, name := range placeholders(g.Filter) {
			if name != "dn" {
				add(name)
			}
		}
	}
	return list
}

// values returns the texts of an attribute. What is no text is left out, and so is
// what has options, such as "cn;lang-de".
func values(e *ldap.Entry, name string) []string {
	var list []string
	for _, v := range e.GetEqualFoldAttributeValues(name) {
		if utf8.ValidString(v) && v != "" {
			list = append(list, v)
		}
	}
	return list
}

// person reads an entry whose password was right.
func (d *directory) person(s *ldapSession, e *ldap.Entry) (Person, error) {
	subject, err := ldapSubject(e, d.c.Subject)
	if err != nil {
		return Person{}, err
	}
	p := Person{
		Issuer: "ldap:" + string(d.ID), Subject: subject,
		AuthTime: d.Now().Unix(), AMR: []string{"pwd"}, // RFC 8176 §2
		Claims: map[string]any{},
	}
	for _, name := range d.wanted() {
		switch list := values(e, name); {
		case strings.EqualFold(name, d.c.Subject), protocol[name], len(list) == 0:
		case len(list) == 1:
			p.Claims[name] = list[0]
		default:
			p.Claims[name] = anyList(list)
		}
	}
	for _, c := range ldapClaims {
		for _, name := range c.attributes {
			if list := values(e, name); p.Claims[c.claim] == nil && len(list) > 0 {
				p.Claims[c.claim] = list[0]
			}
		}
	}
	if d.c.Groups != nil {
		groups, err := d.groups(s, e)
		if err != nil {
			return Person{}, err
		}
		p.Claims["groups"] = anyList(groups)
	}
	if err := settleClaims(p.Claims); err != nil {
		return Person{}, err
	}
	return p, nil
}

func anyList(list []string) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}

// ldapSubject returns what names the entry for ever.
func ldapSubject(e *ldap.Entry, attribute string) (string, error) {
	raw := e.GetEqualFoldRawAttributeValues(attribute)
	if len(raw) != 1 || len(raw[0]) == 0 || len(raw[0]) > 255 {
		return "", failed(Misconfigured, "an entry has not one value of "+attribute)
	}
	if strings.EqualFold(attribute, "objectGUID") {
		if len(raw[0]) != 16 {
			return "", failed(Misconfigured, "objectGUID has not 16 bytes")
		}
		return guid(raw[0]), nil
	}
	if !utf8.Valid(raw[0]) {
		return "", failed(Misconfigured, attribute+" is not a text")
	}
	return string(raw[0]), nil
}

// guid writes 16 bytes as Active Directory's own tools do: the first three of the
// five numbers are little-endian ([MS-DTYP] §2.3.4.2).
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%s-%s", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), hex.EncodeToString(b[8:10]), hex.EncodeToString(b[10:]))
}

// groups names the groups of an entry, in order.
func (d *directory) groups(s *ldapSession, e *ldap.Entry) ([]string, error) {
	g := d.c.Groups
	names := []string{}
	if g.Attribute != "" {
		// [MS-ADTS] §3.1.1.3.1.3.3: of very many values a server tells the first ones,
		// under another name.
		for _, a := range e.Attributes {
			if strings.HasPrefix(strings.ToLower(a.Name), strings.ToLower(g.Attribute)+";range=") {
				return nil, tooManyGroups()
			}
		}
		for _, dn := range values(e, g.Attribute) {
			if name := groupName(dn, g.Name); name != "" {
				names = append(names, name)
			}
		}
	} else {
		filter, ok := groupFilter(g.Filter, e)
		if !ok {
			return []string{}, nil
		}
		if err := s.bindOwn(); err != nil { // the person may have no right to search
			return nil, err
		}
		found, err := s.groupsOf(g.Base, filter, g.Name)
		if err != nil {
			return nil, err
		}
		for _, group := range found {
			if g.Name == "dn" {
				names = append(names, group.DN)
			} else {
				names = append(names, values(group, g.Name)...)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxGroups {
		return nil, tooManyGroups()
	}
	return names, nil
}

// groupFilter fills in whose groups are searched; false: the entry has an attribute
// not once that the filter needs.
func groupFilter(filter string, e *ldap.Entry) (filled string, known bool) {
	known = true
	filled = fill(filter, func(name string) string {
		if name == "dn" {
			return ldap.EscapeFilter(e.DN)
		}
		list := values(e, name)
		if len(list) != 1 {
			known = false
			return ""
		}
		return ldap.EscapeFilter(list[0])
	})
	return filled, known
}

// groupName takes the name of a group out of its DN: the value of its first part, if
// that is the attribute; all of it for "dn".
func groupName(dn, attribute string) string {
	if attribute == "dn" {
		return dn
	}
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return ""
	}
	for _, a := range parsed.RDNs[0].Attributes {
		if strings.EqualFold(a.Type, attribute) {
			return a.Value
		}
	}
	return ""
}
