package upstream

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// forgedLogout is a logout message of the provider's, and what is wrong with it.
type forgedLogout struct {
	issuer, destination, id, nameID string
	sessions                        []string
	issued                          time.Time
	notAfter                        *time.Time
	signer                          *signer // nil: unsigned
	algorithm                       string
	answers, status                 string // of a response: then it is one
}

func baseLogout() forgedLogout {
	return forgedLogout{
		issuer: forgeEntity, destination: oursLogout, id: "logout-1", nameID: "7f3c-alice", sessions: []string{"session-1"},
		issued: forgeNow, signer: &signers().idp, algorithm: dsig.RSASHA256SignatureMethod,
	}
}

func (f forgedLogout) element() (name string, el *etree.Element) {
	issuer := &saml.Issuer{Value: f.issuer}
	if f.status != "" {
		return "SAMLResponse", (&saml.LogoutResponse{
			ID: f.id, InResponseTo: f.answers, Version: "2.0", IssueInstant: f.issued, Destination: f.destination, Issuer: issuer,
			Status: saml.Status{StatusCode: saml.StatusCode{Value: f.status}},
		}).Element()
	}
	r := &saml.LogoutRequest{
		ID: f.id, Version: "2.0", IssueInstant: f.issued, NotOnOrAfter: f.notAfter, Destination: f.destination, Issuer: issuer,
		NameID: &saml.NameID{Format: string(saml.PersistentNameIDFormat), Value: f.nameID},
	}
	saml.WithSessionIndexes(f.sessions...)(r)
	return "SAMLRequest", r.Element()
}

// posted is the message by the POST binding.
func (f forgedLogout) posted() Answer {
	name, el := f.element()
	if f.signer != nil {
		el.InsertChildAt(1, f.signer.sign(el, f.algorithm))
	}
	return Answer{Method: "POST", At: oursLogout, Values: url.Values{
		name: {base64.StdEncoding.EncodeToString([]byte(write(el)))}, "RelayState": {"theirs"},
	}}
}

// redirected is the message by the redirect binding (saml-bindings §3.4.4.1).
func (f forgedLogout) redirected() Answer {
	name, el := f.element()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(write(el)))
	w.Close()
	query := name + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes())) + "&RelayState=theirs"
	if f.signer != nil {
		query += "&SigAlg=" + url.QueryEscape(f.algorithm)
		signature, err := f.signer.context(f.algorithm).SignString(query)
		if err != nil {
			panic(err)
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	return queried(query)
}

func queried(query string) Answer {
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	return Answer{Method: "GET", At: oursLogout, Values: values, Query: query}
}

// TestLogoutRequest: the provider ends a session, by either binding, and is answered.
func TestLogoutRequest(t *testing.T) {
	p := against(t, nil)
	for name, row := range map[string]struct {
		change  func(*forgedLogout)
		session string
	}{
		"one session":                       {func(*forgedLogout) {}, "session-1"},
		"all sessions":                      {func(f *forgedLogout) { f.sessions = nil }, ""},
		"several, for which all end":        {func(f *forgedLogout) { f.sessions = []string{"session-1", "session-2"} }, ""},
		"until a minute ago, as clocks are": {func(f *forgedLogout) { end := forgeNow.Add(-time.Minute); f.notAfter = &end }, "session-1"},
	} {
		f := baseLogout()
		row.change(&f)
		for binding, a := range map[string]Answer{"post": f.posted(), "redirect": f.redirected()} {
			e, err := p.Ended(t.Context(), a)
			if err != nil || e.Issuer != forgeEntity || e.Subject != "7f3c-alice" || e.Session != row.session ||
				e.ID != "logout-1" || e.Answers != "" || e.ExpiresAt <= forgeNow.Unix() {
				t.Errorf("%s by %s: %+v, %v", name, binding, e, err)
			}
			// saml-metadata §2.2.2: ResponseLocation
			if !strings.HasPrefix(e.Reply.Address, forgeEntity+"/slo-answers?SAMLResponse=") ||
				!strings.Contains(e.Reply.Address, "&RelayState=theirs&SigAlg=") || !strings.Contains(e.Reply.Address, "&Signature=") {
				t.Errorf("%s by %s is answered at %s", name, binding, e.Reply.Address)
			}
			p.Now = func() time.Time { return time.Unix(e.ExpiresAt, 0) }
			if _, err := p.Ended(t.Context(), a); err == nil {
				t.Errorf("%s by %s: taken when nobody remembers it", name, binding)
			}
			p.Now = func() time.Time { return forgeNow }
		}
	}
}

// TestLogoutRefused: each differs in one thing from what TestLogoutRequest or
// TestLogoutResponse take.
func TestLogoutRefused(t *testing.T) {
	p := against(t, nil)
	stranger := &signers().stranger
	for name, change := range map[string]func(*forgedLogout){
		"saml-profiles §4.4.4.1: unsigned": func(f *forgedLogout) { f.signer = nil },
		"with another key":                 func(f *forgedLogout) { f.signer = stranger },
		"SHA-1":                            func(f *forgedLogout) { f.algorithm = dsig.RSASHA1SignatureMethod },
		"of another provider":              func(f *forgedLogout) { f.issuer = otherEntity },
		"for another address":              func(f *forgedLogout) { f.destination = strings.Replace(oursLogout, "corp", "other", 1) },
		"for no address":                   func(f *forgedLogout) { f.destination = "" },
		"old":                              func(f *forgedLogout) { f.issued = forgeNow.Add(-time.Hour) },
		"of the future":                    func(f *forgedLogout) { f.issued = forgeNow.Add(time.Hour) },
		"saml-core §3.7.1: expired": func(f *forgedLogout) {
			end := forgeNow.Add(-time.Hour)
			f.notAfter = &end
		},
		"of nobody":   func(f *forgedLogout) { f.nameID = "" },
		"without ID":  func(f *forgedLogout) { f.id = "" },
		"with a long": func(f *forgedLogout) { f.id = "i" + strings.Repeat("d", 300) },
	} {
		f := baseLogout()
		change(&f)
		for binding, a := range map[string]Answer{"post": f.posted(), "redirect": f.redirected()} {
			e, err := p.Ended(t.Context(), a)
			if code, _ := refusal(err); code != Untrusted || e.Subject != "" || e.Reply.Address != "" {
				t.Errorf("%s by %s: %q %+v", name, binding, code, e)
			}
		}
		f.answers, f.status = forgeRequest, saml.StatusSuccess
		if f.nameID == "" || f.notAfter != nil || f.id != "logout-1" { // which a response does not have, or need
			continue
		}
		for binding, a := range map[string]Answer{"post": f.posted(), "redirect": f.redirected()} {
			e, err := p.Ended(t.Context(), a)
			if code, _ := refusal(err); code != Untrusted || e.Answers != "" {
				t.Errorf("a response, %s by %s: %q %+v", name, binding, code, e)
			}
		}
	}
	good := baseLogout().redirected().Query
	post := baseLogout().posted()
	other := baseLogout()
	other.nameID = "7f3c-bob"
	otherMessage, _, _ := strings.Cut(other.redirected().Query, "&")
	for name, a := range map[string]Answer{
		"another state":               queried(strings.Replace(good, "RelayState=theirs", "RelayState=mine", 1)),
		"no state":                    queried(strings.Replace(good, "&RelayState=theirs", "", 1)),
		"another message":             queried(otherMessage + good[strings.Index(good, "&"):]),
		"two messages":                queried(good + "&" + otherMessage),
		"a request and a response":    queried(good + "&SAMLResponse=x"),
		"no signature":                queried(good[:strings.Index(good, "&Signature=")]),
		"no algorithm":                queried(good[:strings.Index(good, "&SigAlg=")]),
		"nothing":                     queried("RelayState=x"),
		"not deflated":                queried("SAMLRequest=" + url.QueryEscape(post.Values.Get("SAMLRequest"))),
		"a long state":                queried(good + "&RelayState=" + strings.Repeat("x", 2000)),
		"a bomb":                      queried("SAMLRequest=" + url.QueryEscape(bomb())),
		"a comment":                   commented(post),
		"posted, signed by the query": {Method: "POST", Values: queried(good).Values},
	} {
		e, err := p.Ended(t.Context(), a)
		if code, _ := refusal(err); code != Untrusted || e.Subject != "" {
			t.Errorf("%s: %q %+v", name, code, e)
		}
	}
	if _, err := p.Ended(t.Context(), queried(good)); err != nil {
		t.Errorf("as it came: %v", err)
	}
}

// bomb is 20 KiB that become 16 MiB.
func bomb() string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte("<x>" + strings.Repeat(" ", 16<<20) + "</x>"))
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func commented(a Answer) Answer {
	text, _ := base64.StdEncoding.DecodeString(a.Values.Get("SAMLRequest"))
	changed := strings.Replace(string(text), "7f3c-alice", "7f3c-<!-- -->alice", 1)
	return Answer{Method: "POST", Values: url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(changed))}}}
}

// TestLogoutResponse: the provider answers one request of ours, which the caller
// compares.
func TestLogoutResponse(t *testing.T) {
	p := against(t, nil)
	f := baseLogout()
	f.answers, f.status = forgeRequest, saml.StatusSuccess
	for binding, a := range map[string]Answer{"post": f.posted(), "redirect": f.redirected()} {
		e, err := p.Ended(t.Context(), a)
		if err != nil || e.Answers != forgeRequest || e.Subject != "" || e.ID != "logout-1" || e.Reply.Address != "" {
			t.Errorf("%s: %+v, %v", binding, e, err)
		}
	}
	f.status = saml.StatusResponder
	if _, err := p.Ended(t.Context(), f.posted()); err == nil {
		t.Error("a session that has not ended is told as one that has")
	} else if code, _ := refusal(err); code != Denied {
		t.Error(err)
	}
	f.status, f.answers = saml.StatusSuccess, ""
	if _, err := p.Ended(t.Context(), f.posted()); err == nil {
		t.Error("an answer to nothing was taken")
	}
}

// TestLeave: what the assertion named is named again, just so.
func TestLeave(t *testing.T) {
	p := against(t, nil)
	f := base()
	f.assertion = func(a *saml.Assertion) { a.Subject.NameID.SPNameQualifier = oursEntity }
	person, err := p.Finish(t.Context(), asked, posted(f.text()))
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Leave(t.Context(), person.Stay, "", "our-state")
	if err != nil || !strings.HasPrefix(d.Address, forgeEntity+"/slo?SAMLRequest=") || !strings.Contains(d.Address, "&RelayState=our-state&SigAlg=") {
		t.Fatalf("%+v, %v", d, err)
	}
	u, _ := url.Parse(d.Address)
	text, err := readRedirected(u.Query().Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`SPNameQualifier="` + oursEntity + `"`, ">7f3c-alice</saml:NameID>", "session-1", d.Kept["request"], string(saml.PersistentNameIDFormat)} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	if strings.Contains(string(text), ` NameQualifier=`) {
		t.Errorf("the name ID had no NameQualifier: %s", text)
	}
	other := person.Stay
	other.Issuer = otherEntity
	if _, err := p.Leave(t.Context(), other, "", "s"); err != ErrUnsupported {
		t.Errorf("a stay at another provider: %v", err)
	}
	none := against(t, map[string]any{"metadata": strings.Replace(metadataOf(forgeEntity, signers().idp), "SingleLogoutService", "ArtifactResolutionService", 1)})
	if _, err := none.Leave(t.Context(), person.Stay, "", "s"); err != ErrUnsupported {
		t.Errorf("a provider without logout: %v", err)
	}
}
