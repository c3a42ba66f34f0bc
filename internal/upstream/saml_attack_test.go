package upstream

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

var asked = Kept{"request": forgeRequest}

// refusal is why a response was refused; "" if it was not.
func refusal(err error) (Code, string) {
	var e *Error
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &e):
		return e.Code, e.Reason
	}
	return "?", err.Error()
}

// TestResponse: good ones, in the shapes in which providers write them.
func TestResponse(t *testing.T) {
	p := against(t, nil)
	for name, change := range map[string]func(*forgery){
		"both signed":                           func(*forgery) {},
		"saml-profiles §4.1.3.5: the assertion": func(f *forgery) { f.signResponse = false },
		"saml-profiles §4.1.3.5: the response":  func(f *forgery) { f.signAssertion = false },
		"encrypted":                             func(f *forgery) { f.encryptTo = p.keys[0].cert },
		"encrypted for our other key":           func(f *forgery) { f.encryptTo = p.keys[1].cert },
		"encrypted, and only the inner signed":  func(f *forgery) { f.encryptTo, f.signResponse = p.keys[0].cert, false },
		"SHA-512":                               func(f *forgery) { f.algorithm = dsig.RSASHA512SignatureMethod },
		"a clock that is two minutes ahead": func(f *forgery) {
			f.issued, f.notBefore = forgeNow.Add(2*time.Minute), forgeNow.Add(2*time.Minute)
		},
		"a clock that is a minute behind": func(f *forgery) {
			f.issued, f.notAfter = forgeNow.Add(-time.Minute), forgeNow.Add(-time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := base()
			change(&f)
			person, err := p.Finish(t.Context(), asked, posted(f.text()))
			if err != nil {
				t.Fatal(err)
			}
			if person.Issuer != forgeEntity || person.Subject != "7f3c-alice" || person.Claims["email"] != "alice@example.net" ||
				person.ACR == "" || person.Stay.Session != "session-1" {
				t.Errorf("%+v", person)
			}
		})
	}
}

// TestResponseRefused: each differs in one thing from the one that TestResponse takes.
func TestResponseRefused(t *testing.T) {
	p := against(t, nil)
	stranger := signers().stranger
	for name, row := range map[string]struct {
		change func(*forgery)
		code   Code
		reason string
	}{
		"unsigned":                       {func(f *forgery) { f.signAssertion, f.signResponse = false, false }, Untrusted, "not signed"},
		"re-signed with another key":     {func(f *forgery) { f.signer = &stranger }, Untrusted, "key"},
		"a stranger signs the assertion": {func(f *forgery) { f.signer, f.signResponse = &stranger, false }, Untrusted, "key"},
		"signed with SHA-1":              {func(f *forgery) { f.algorithm = dsig.RSASHA1SignatureMethod }, Untrusted, "SHA-1"},

		"saml-core §2.5.1.4: another audience":    {func(f *forgery) { f.audience = "https://other.example" }, Untrusted, "Audience"},
		"saml-profiles §4.1.4.2: no audience":     {func(f *forgery) { f.assertion = func(a *saml.Assertion) { a.Conditions.AudienceRestrictions = nil } }, Untrusted, "Audience"},
		"saml-profiles §4.1.4.3: Recipient":       {func(f *forgery) { f.recipient = strings.Replace(oursCallback, "corp", "mallory", 1) }, Untrusted, "Recipient"},
		"saml-bindings §3.5.5.2: Destination":     {func(f *forgery) { f.destination = strings.Replace(oursCallback, "corp", "mallory", 1) }, Untrusted, "Destination"},
		"saml-profiles §4.1.4.3: InResponseTo":    {func(f *forgery) { f.inAssertion = "id-of-another" }, Untrusted, "InResponseTo"},
		"saml-core §3.2.2: InResponseTo":          {func(f *forgery) { f.inResponse = "id-of-another" }, Untrusted, "InResponseTo"},
		"saml-profiles §4.1.5: unsolicited":       {func(f *forgery) { f.inAssertion, f.inResponse = "", "" }, Untrusted, "InResponseTo"},
		"from another provider, with its own key": {func(f *forgery) { f.issuer, f.responseIssuer, f.signer = otherEntity, otherEntity, &stranger }, Untrusted, "key"},
		// Attack row O27: an answer for another provider's address, or of another provider.
		"mix-up: another provider's assertion":      {func(f *forgery) { f.issuer = otherEntity }, Untrusted, "another provider"},
		"mix-up: another provider's response":       {func(f *forgery) { f.responseIssuer = otherEntity }, Untrusted, "another provider"},
		"saml-core §2.5.1.2: expired":               {func(f *forgery) { f.notAfter = forgeNow.Add(-4 * time.Minute) }, Untrusted, "too old"},
		"saml-core §2.5.1.2: not yet valid":         {func(f *forgery) { f.notBefore = forgeNow.Add(4 * time.Minute) }, Untrusted, "not valid yet"},
		"issued long ago, and valid for a year":     {func(f *forgery) { f.issued, f.notAfter = forgeNow.Add(-time.Hour), forgeNow.Add(365*24*time.Hour) }, Untrusted, "too old"},
		"issued in the future":                      {func(f *forgery) { f.issued = forgeNow.Add(time.Hour) }, Untrusted, "not valid yet"},
		"saml-profiles §4.1.4.2: no bearer":         {func(f *forgery) { f.method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key" }, Untrusted, "missing"},
		"saml-profiles §4.1.4.2: no AuthnStatement": {func(f *forgery) { f.assertion = func(a *saml.Assertion) { a.AuthnStatements = nil } }, Untrusted, "missing"},
		"saml-core §2.5.1.1: an unknown condition": {func(f *forgery) {
			f.edit = func(a *etree.Element) {
				a.SelectElement("Conditions").CreateElement("saml:Condition").CreateAttr("Kind", "x")
			}
		}, Untrusted, "not known"},
		"saml-profiles §4.1.4.2: no Conditions": {func(f *forgery) { f.assertion = func(a *saml.Assertion) { a.Conditions = nil } }, Untrusted, "missing"},
		"saml-core §2.3.3: no ID":               {func(f *forgery) { f.signAssertion = false; f.edit = func(a *etree.Element) { a.RemoveAttr("ID") } }, Untrusted, "no ID"},
		"saml-core §2.3.3: another version":     {func(f *forgery) { f.edit = func(a *etree.Element) { a.CreateAttr("Version", "1.1") } }, Untrusted, "not known"},
		"a transient name ID":                   {func(f *forgery) { f.format = string(saml.TransientNameIDFormat) }, Misconfigured, "transient"},
		"an empty name ID":                      {func(f *forgery) { f.nameID = "" }, Untrusted, "name ID"},
		"a name ID with a space at its end":     {func(f *forgery) { f.nameID = "7f3c-alice " }, Untrusted, "name ID"},
		"a name ID that is too long":            {func(f *forgery) { f.nameID = strings.Repeat("x", 257) }, Untrusted, "name ID"},
		"encrypted for another":                 {func(f *forgery) { f.encryptTo = stranger.cert }, Untrusted, "encrypted for"},
		"saml-profiles §4.1.4.3: the session has ended": {func(f *forgery) {
			end := forgeNow.Add(-time.Hour)
			f.assertion = func(a *saml.Assertion) { a.AuthnStatements[0].SessionNotOnOrAfter = &end }
		}, Untrusted, "ended"},
		"too many values": {func(f *forgery) {
			for range maxSAMLValues {
				f.attributes[0].Values = append(f.attributes[0].Values, saml.AttributeValue{Value: "x"})
			}
		}, Untrusted, "values"},
		"64 KiB of claims": {func(f *forgery) { f.attributes[0].Values[0].Value = strings.Repeat("x", 70<<10) }, Untrusted, "64 KiB"},
		"256 KiB in all":   {func(f *forgery) { f.attributes[0].Values[0].Value = strings.Repeat("x", 257<<10) }, Untrusted, "too long"},

		// saml-core §3.2.2.2: there is no assertion, and the status says why.
		"AuthnFailed":         {func(f *forgery) { f.status, f.inner = saml.StatusResponder, saml.StatusAuthnFailed }, Denied, "AuthnFailed"},
		"RequestDenied":       {func(f *forgery) { f.status, f.inner = saml.StatusResponder, saml.StatusRequestDenied }, Denied, "RequestDenied"},
		"NoPassive":           {func(f *forgery) { f.status, f.inner = saml.StatusResponder, saml.StatusNoPassive }, Asks, ""},
		"Responder":           {func(f *forgery) { f.status = saml.StatusResponder }, Unavailable, "Responder"},
		"InvalidNameIDPolicy": {func(f *forgery) { f.status, f.inner = saml.StatusRequester, saml.StatusInvalidNameIDPolicy }, Misconfigured, "InvalidNameIDPolicy"},
		"a status of its own": {func(f *forgery) { f.status = "urn:x:<script>" }, Misconfigured, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			f := base()
			row.change(&f)
			person, err := p.Finish(t.Context(), asked, posted(f.text()))
			code, reason := refusal(err)
			if code != row.code || !strings.Contains(reason, row.reason) || person.Subject != "" || person.Claims != nil {
				t.Errorf("%q %q, want %q %q; %+v", code, reason, row.code, row.reason, person)
			}
			var e *Error
			if errors.As(err, &e) && !e.Hearsay {
				t.Error("anybody can send a browser with this, and it counts against the provider")
			}
		})
	}
}

// TestResponseText: what is done to the text of a good response. The signatures stay
// right in some of these: canonical XML has no comments.
func TestResponseText(t *testing.T) {
	p := against(t, nil)
	good := base().text()
	assertionOnly := base()
	assertionOnly.signResponse = false
	lone := assertionOnly.text()
	laughs := `<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	for name, text := range map[string]string{
		"a comment in the name ID":      strings.Replace(good, "7f3c-alice<", "7f3c-<!-- -->alice<", 1),
		"a comment, assertion signed":   strings.Replace(lone, "7f3c-alice<", "7f3c-<!---->alice<", 1),
		"a comment in an attribute":     strings.Replace(lone, "alice@example.net", "alice@example.net<!-- -->.evil.example", 1),
		"a processing instruction":      strings.Replace(lone, "7f3c-alice<", "7f3c-<?x y?>alice<", 1),
		"CDATA in a signed name ID":     strings.Replace(lone, "7f3c-alice<", "<![CDATA[7f3c-mallory]]><", 1),
		"a document type":               "<!DOCTYPE r>" + good,
		"entities that expand":          laughs + strings.Replace(good, "7f3c-alice<", "&c;<", 1),
		"an external entity":            `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + strings.Replace(good, "7f3c-alice<", "&x;<", 1),
		"an entity that nobody defines": strings.Replace(good, "7f3c-alice<", "&x;<", 1),
		"a changed name ID":             strings.Replace(good, "7f3c-alice<", "7f3c-mallory<", 1),
		"a changed attribute":           strings.Replace(lone, "alice@example.net", "mallory@evil.example", 1),
		"UTF-16":                        `<?xml version="1.0" encoding="UTF-16"?>` + good,
		"not UTF-8":                     strings.Replace(good, "7f3c-alice<", "7f3c-\xff<", 1),
		"deep":                          strings.Replace(good, "</saml:Assertion>", strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40)+"</saml:Assertion>", 1),
		"many elements":                 strings.Replace(lone, "</samlp:Response>", "<x>"+strings.Repeat("<a/>", 30000)+"</x></samlp:Response>", 1),
		"many attributes":               strings.Replace(good, "<samlp:Response ", "<samlp:Response "+attributesXML(80), 1),
		"two roots":                     good + good,
		"cut off":                       good[:len(good)-20],
		"nothing":                       "",
		"not XML":                       "SAMLResponse",
		"another message":               strings.ReplaceAll(good, "samlp:Response", "samlp:LogoutResponse"),
		"a signature method that is a MAC": strings.ReplaceAll(good, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
			"http://www.w3.org/2000/09/xmldsig#hmac-sha1"),
		"a reference to the whole document": strings.Replace(lone, `URI="#assertion-1"`, `URI=""`, 1),
		"no certificate, and another key":   strings.ReplaceAll(stripKeyInfo(forgedBy(&signers().stranger)), "\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			person, err := p.Finish(t.Context(), asked, posted(text))
			if code, _ := refusal(err); code != Untrusted || person.Subject != "" {
				t.Errorf("%q, %+v, %v", code, person, err)
			}
		})
	}
	// The good twins: as it came, and with what providers do write.
	for name, text := range map[string]string{
		"as it came":          good,
		"with a declaration":  `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + good,
		"with line breaks":    strings.ReplaceAll(good, "><samlp:Status", ">\n<samlp:Status"),
		"without certificate": stripKeyInfo(forgedBy(&signers().idp)),
	} {
		_, err := p.Finish(t.Context(), asked, posted(text))
		if name == "with line breaks" { // which the signature of the response covers
			if code, _ := refusal(err); code != Untrusted {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, a := range map[string]Answer{
		"saml-profiles §4.1.2: by a redirect": {Method: "GET", Values: posted(good).Values},
		"twice":                               {Method: "POST", Values: map[string][]string{"SAMLResponse": {"a", "b"}}},
		"not at all":                          {Method: "POST"},
		"not base64":                          {Method: "POST", Values: map[string][]string{"SAMLResponse": {"%"}}},
		"a megabyte":                          {Method: "POST", Values: map[string][]string{"SAMLResponse": {strings.Repeat("A", 1<<20)}}},
	} {
		if _, err := p.Finish(t.Context(), asked, a); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := p.Finish(t.Context(), nil, posted(good)); err == nil {
		t.Error("a response that answers nothing was taken")
	}
}

func attributesXML(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="" `, i)
	}
	return b.String()
}

func forgedBy(s *signer) string {
	f := base()
	f.signer, f.signResponse = s, false
	return f.text()
}

func stripKeyInfo(text string) string {
	before, rest, _ := strings.Cut(text, "<ds:KeyInfo>")
	_, after, _ := strings.Cut(rest, "</ds:KeyInfo>")
	return before + after
}

// TestResponseWish: a new sign-in was asked for, so an old one is not an answer.
func TestResponseWish(t *testing.T) {
	p := against(t, nil)
	forced := Kept{"request": forgeRequest, "since": fmt.Sprint(forgeNow.Unix())}
	old, fresh := base(), base()
	old.authn = forgeNow.Add(-time.Hour)
	if _, err := p.Finish(t.Context(), forced, posted(old.text())); err == nil {
		t.Error("a sign-in of an hour ago is no new one")
	}
	if _, err := p.Finish(t.Context(), asked, posted(old.text())); err != nil {
		t.Errorf("where none was asked for it is: %v", err)
	}
	if _, err := p.Finish(t.Context(), forced, posted(fresh.text())); err != nil {
		t.Error(err)
	}
	strict := against(t, map[string]any{"require_signed_response": true, "require_encrypted": true})
	for _, row := range []struct {
		change func(*forgery)
		good   bool
	}{
		{func(*forgery) {}, false},
		{func(f *forgery) { f.encryptTo, f.signResponse = strict.keys[0].cert, false }, false},
		{func(f *forgery) { f.encryptTo = strict.keys[0].cert }, true},
	} {
		f := base()
		row.change(&f)
		if _, err := strict.Finish(t.Context(), asked, posted(f.text())); (err == nil) != row.good {
			t.Errorf("%+v: %v", row.good, err)
		}
	}
}

// TestResponseReplay: whoever remembers what Message says takes it once, for as long
// as it could be taken at all.
func TestResponseReplay(t *testing.T) {
	p := against(t, nil)
	text := base().text()
	first, err := p.Finish(t.Context(), asked, posted(text))
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Finish(t.Context(), asked, posted(text))
	if err != nil || second.Message != first.Message || first.Message.ID != "assertion-1" {
		t.Errorf("%+v, %+v, %v", first.Message, second.Message, err)
	}
	for _, when := range []time.Time{time.Unix(first.Message.ExpiresAt, 0), forgeNow.Add(24 * time.Hour)} {
		p.Now = func() time.Time { return when }
		if _, err := p.Finish(t.Context(), asked, posted(text)); err == nil {
			t.Errorf("taken at %s, when nobody remembers it", when)
		}
	}
}

// evil is what an attacker makes of an assertion.
func evil(a *etree.Element) *etree.Element {
	e := a.Copy()
	e.FindElement(".//NameID").SetText("7f3c-mallory")
	e.CreateAttr("ID", "evil-1")
	if s := e.SelectElement("Signature"); s != nil {
		e.RemoveChild(s)
	}
	return e
}

func unsigned(el *etree.Element) *etree.Element {
	el = el.Copy()
	el.RemoveChild(el.SelectElement("Signature"))
	return el
}

// TestSignatureWrapping makes the eight classic variants of signature wrapping
// (Somorovsky and others, "On Breaking SAML", 2012) of a good response. All are
// refused for their shape; and what the signature check alone makes of them is never
// the attacker's.
func TestSignatureWrapping(t *testing.T) {
	p := against(t, nil)
	lone := func() *etree.Element {
		f := base()
		f.signResponse = false
		return f.element()
	}
	whole := func() *etree.Element {
		f := base()
		f.signAssertion = false
		return f.element()
	}
	swap := func(root *etree.Element, with *etree.Element) {
		old := root.SelectElement("Assertion")
		root.InsertChildAt(old.Index(), with)
		root.RemoveChild(old)
	}
	for name, variant := range map[string]func() *etree.Element{
		"XSW1: the signed response within its signature": func() *etree.Element {
			original := whole()
			root := original.Copy()
			root.CreateAttr("ID", "evil-response")
			swap(root, evil(root.SelectElement("Assertion")))
			root.SelectElement("Signature").AddChild(unsigned(original))
			return root
		},
		"XSW2: the signed response beside its signature": func() *etree.Element {
			original := whole()
			root := original.Copy()
			root.CreateAttr("ID", "evil-response")
			swap(root, evil(root.SelectElement("Assertion")))
			root.InsertChildAt(1, unsigned(original))
			return root
		},
		"XSW3: an assertion before the signed one": func() *etree.Element {
			root := lone()
			original := root.SelectElement("Assertion")
			root.InsertChildAt(original.Index(), evil(original))
			return root
		},
		"XSW4: an assertion around the signed one": func() *etree.Element {
			root := lone()
			original := root.SelectElement("Assertion")
			e := evil(original)
			e.AddChild(original.Copy())
			swap(root, e)
			return root
		},
		"XSW5: a changed assertion keeps the signature of a copy": func() *etree.Element {
			root := lone()
			original := root.SelectElement("Assertion")
			e := evil(original)
			e.InsertChildAt(1, original.SelectElement("Signature").Copy())
			copied := unsigned(original)
			swap(root, e)
			root.AddChild(copied)
			return root
		},
		"XSW6: the copy within the signature": func() *etree.Element {
			root := lone()
			original := root.SelectElement("Assertion")
			e := evil(original)
			signature := original.SelectElement("Signature").Copy()
			signature.AddChild(unsigned(original))
			e.InsertChildAt(1, signature)
			swap(root, e)
			return root
		},
		"XSW7: an assertion in extensions": func() *etree.Element {
			root := lone()
			extensions := etree.NewElement("samlp:Extensions")
			extensions.AddChild(evil(root.SelectElement("Assertion")))
			root.InsertChildAt(1, extensions)
			return root
		},
		"XSW8: the signed one in an object of the signature": func() *etree.Element {
			root := lone()
			original := root.SelectElement("Assertion")
			e := evil(original)
			signature := original.SelectElement("Signature").Copy()
			object := etree.NewElement("ds:Object")
			object.AddChild(unsigned(original))
			signature.AddChild(object)
			e.InsertChildAt(1, signature)
			swap(root, e)
			return root
		},
		"one ID twice": func() *etree.Element {
			root := lone()
			e := evil(root.SelectElement("Assertion"))
			e.CreateAttr("ID", "assertion-1")
			root.AddChild(e)
			return root
		},
		"an assertion of another namespace": func() *etree.Element {
			root := lone()
			e := evil(root.SelectElement("Assertion"))
			e.Space = ""
			e.CreateAttr("xmlns", "urn:x")
			root.AddChild(e)
			return root
		},
		"an encrypted one beside it": func() *etree.Element {
			root := lone()
			f := base()
			f.nameID, f.signAssertion, f.encryptTo = "7f3c-mallory", false, p.keys[0].cert
			root.InsertChildAt(1, f.element().SelectElement("EncryptedAssertion"))
			return root
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := write(variant())
			if !strings.Contains(text, "7f3c-mallory") && !strings.Contains(text, "EncryptedAssertion") {
				t.Fatal("the attack is not in it")
			}
			person, err := p.Finish(t.Context(), asked, posted(text))
			if code, reason := refusal(err); code != Untrusted || person.Subject != "" {
				t.Errorf("%q %q: %+v", code, reason, person)
			}
			if _, err := checkShape([]byte(text)); err == nil {
				t.Error("its shape is not refused")
			}
			// Without the shape.
			if a, _, err := p.verify(t.Context(), []byte(text), forgeRequest); err == nil && a.Subject.NameID.Value != "7f3c-alice" {
				t.Errorf("verified as %q", a.Subject.NameID.Value)
			}
		})
	}
	// Wrapped before it was encrypted, which anybody can do with our public key.
	for name, wrap := range map[string]func(original *etree.Element) *etree.Element{
		"around the signed one": func(original *etree.Element) *etree.Element {
			e := evil(original)
			e.AddChild(original.Copy())
			return e
		},
		"in an object": func(original *etree.Element) *etree.Element {
			e := evil(original)
			signature := original.SelectElement("Signature").Copy()
			object := etree.NewElement("ds:Object")
			object.AddChild(unsigned(original))
			signature.AddChild(object)
			e.InsertChildAt(1, signature)
			return e
		},
		"as it was": func(original *etree.Element) *etree.Element { return original.Copy() },
	} {
		root := lone()
		original := root.SelectElement("Assertion")
		f := base()
		f.encryptTo = p.keys[0].cert
		swap(root, f.carried(wrap(original)))
		person, err := p.Finish(t.Context(), asked, posted(write(root)))
		if good := name == "as it was"; (err == nil) != good || person.Subject == "7f3c-mallory" {
			t.Errorf("encrypted, %s: %+v, %v", name, person.Subject, err)
		}
	}
}

// TestReasons: no reason repeats what was in a message.
func TestReasons(t *testing.T) {
	p := against(t, nil)
	f := base()
	f.audience, f.nameID = "https://secret-audience.example", "secret-name"
	_, err := p.Finish(t.Context(), asked, posted(f.text()))
	if err == nil || strings.Contains(err.Error(), "secret") || len(err.Error()) > 300 {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("secret-name"))) {
		t.Error("told in base64")
	}
}
