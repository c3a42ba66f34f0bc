package upstream

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crewjam/saml"
)

const (
	maxSAMLAttributes = 200
	maxSAMLValues     = 1000 // of all attributes, groups among them
	maxSubject        = 256  // characters: saml-core §8.3.7
)

// samlClaims says of which attributes a claim is made: the first of them that is
// there. They are called by their names or friendly names as the X.500 profile
// (saml-profiles §8.2), Entra ID, AD FS, Okta, Keycloak and Google write them.
var samlClaims = []struct {
	claim string
	names []string
}{
	{"name", []string{
		"urn:oid:2.16.840.1.113730.3.1.241", "displayName", "http://schemas.microsoft.com/identity/claims/displayname",
		"urn:oid:2.5.4.3", "cn", "name",
	}},
	{"given_name", []string{
		"urn:oid:2.5.4.42", "givenName", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname", "firstName",
		"given_name",
	}},
	{"family_name", []string{
		"urn:oid:2.5.4.4", "sn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname", "surname", "lastName",
		"family_name",
	}},
	{"email", []string{
		"urn:oid:0.9.2342.19200300.100.1.3", "mail", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
		"urn:oid:1.2.840.113549.1.9.1", "email",
	}},
	{"preferred_username", []string{
		"urn:oid:0.9.2342.19200300.100.1.1", "uid", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
		"eduPersonPrincipalName", "username", "preferred_username",
	}},
	{"groups", []string{
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", "http://schemas.xmlsoap.org/claims/Group",
		"urn:oid:1.3.6.1.4.1.5923.1.5.1.1", "isMemberOf", "memberOf", "groups",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "Role", "roles",
		"urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "eduPersonAffiliation",
	}},
	{"locale", []string{"urn:oid:2.16.840.1.113730.3.1.39", "preferredLanguage", "locale"}},
}

// attributes lists the values of each attribute by its name, and by its friendly name
// where no attribute is called so.
func attributes(a *saml.Assertion) (map[string][]string, error) {
	byName, friendly := map[string][]string{}, map[string]string{}
	count := 0
	for _, statement := range a.AttributeStatements {
		for _, attribute := range statement.Attributes {
			if len(byName) >= maxSAMLAttributes || attribute.Name == "" || len(attribute.Name) > 512 {
				return nil, hearsay(Untrusted, "the assertion has more than 200 attributes, or one without a name")
			}
			for _, v := range attribute.Values {
				text := strings.TrimSpace(v.Value)
				if v.NameID != nil {
					text = v.NameID.Value
				}
				if count++; count > maxSAMLValues {
					return nil, hearsay(Untrusted, "the assertion has more than 1000 values")
				}
				if text != "" && utf8.ValidString(text) {
					byName[attribute.Name] = append(byName[attribute.Name], text)
				}
			}
			if attribute.FriendlyName != "" {
				friendly[attribute.FriendlyName] = attribute.Name
			}
		}
	}
	for short, name := range friendly {
		if list := byName[name]; byName[short] == nil && list != nil {
			byName[short] = list
		}
	}
	return byName, nil
}

// person reads an assertion that was verified.
func (p *serviceProvider) person(idp *saml.EntityDescriptor, a *saml.Assertion) (Person, error) {
	told, err := attributes(a)
	if err != nil {
		return Person{}, err
	}
	name := a.Subject.NameID
	key, err := nameIDKey(idp.EntityID, name)
	if err != nil {
		return Person{}, err
	}
	subject := key
	if p.c.Subject != "" {
		list := told[p.c.Subject]
		if len(list) != 1 || !plainSubject(list[0]) {
			return Person{}, hearsay(Misconfigured, "the assertion has not one value of the attribute subject")
		}
		subject = list[0]
	} else if name.Format == string(saml.TransientNameIDFormat) { // saml-core §8.3.8
		return Person{}, hearsay(Misconfigured, "the name ID is transient: subject must say which attribute does not change")
	}
	statement := a.AuthnStatements[0]
	person := Person{
		Issuer: idp.EntityID, Subject: subject, Claims: map[string]any{},
		Stay: Stay{Issuer: idp.EntityID, Subject: key, Session: statement.SessionIndex, Hint: hintOf(name)},
		// Until then crewjam/saml takes it, by its IssueInstant.
		Message: Message{ID: a.ID, ExpiresAt: a.IssueInstant.Add(saml.MaxIssueDelay).Unix() + 1},
	}
	// saml-core §2.3.3: without an ID it could be brought twice.
	if a.ID == "" || len(a.ID) > 256 || len(statement.SessionIndex) > 512 {
		return Person{}, hearsay(Untrusted, "the assertion has no ID, or one that is too long")
	}
	if !statement.AuthnInstant.IsZero() {
		person.AuthTime = min(statement.AuthnInstant.Unix(), p.Now().Unix())
	}
	if class := statement.AuthnContext.AuthnContextClassRef; class != nil {
		person.ACR = strings.TrimSpace(class.Value)
	}
	if end := statement.SessionNotOnOrAfter; end != nil {
		person.Stay.ExpiresAt = end.Unix()
	}
	samlClaimsOf(person.Claims, told)
	if person.Claims["email"] == nil && name.Format == string(saml.EmailAddressNameIDFormat) {
		person.Claims["email"] = name.Value
	}
	if err := settleClaims(person.Claims); err != nil {
		return Person{}, hearsay(Untrusted, "the provider tells more than 64 KiB of somebody")
	}
	return person, nil
}

func samlClaimsOf(claims map[string]any, told map[string][]string) {
	for name, list := range told {
		if protocol[name] {
			continue
		}
		if len(list) == 1 {
			claims[name] = list[0]
		} else if len(list) > 1 {
			claims[name] = anyList(list)
		}
	}
	for _, c := range samlClaims {
		for _, name := range c.names {
			if list := told[name]; len(list) > 0 {
				claims[c.claim] = list[0]
				if c.claim == "groups" {
					claims[c.claim] = anyList(list)
				}
				break
			}
		}
	}
}

// nameIDKey makes one text of a name ID, by which a sign-out finds it again. What one
// provider qualifies with another's name is not its own (saml-core §8.3.7).
func nameIDKey(issuer string, n *saml.NameID) (string, error) {
	if n == nil || !plainSubject(n.Value) {
		return "", hearsay(Untrusted, "the name ID is empty, too long, or has spaces around it")
	}
	if n.NameQualifier != "" && n.NameQualifier != issuer {
		return n.NameQualifier + "!" + n.Value, nil
	}
	return n.Value, nil
}

func plainSubject(text string) bool {
	return text != "" && utf8.RuneCountInString(text) <= maxSubject && utf8.ValidString(text) &&
		strings.TrimSpace(text) == text && !strings.ContainsFunc(text, unicode.IsControl)
}

// hintOf keeps a name ID for a sign-out, which must name it just so (saml-core §3.7.1).
func hintOf(n *saml.NameID) string {
	text, _ := json.Marshal(nameIDHint{n.Value, n.Format, n.NameQualifier, n.SPNameQualifier})
	return string(text)
}

type nameIDHint struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"name_qualifier,omitempty"`
	SPNameQualifier string `json:"sp_name_qualifier,omitempty"`
}
