package upstream

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/crewjam/saml/xmlenc"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/ostiary/ostiary/internal/model"
)

const (
	forgeEntity  = "https://idp.example.net/saml"
	otherEntity  = "https://elsewhere.example.net/saml"
	forgeRequest = "id-0123456789abcdef"
	oursCallback = "https://login.example.com/upstream/corp/callback"
	oursLogout   = "https://login.example.com/upstream/corp/logout"
	oursEntity   = "https://login.example.com/upstream/corp/metadata"
)

var forgeNow = time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC)

// signer is a key with its certificate.
type signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

type signersOf struct {
	idp, stranger signer
	ours, others  model.Secret
}

// signers are read from a file: the processes of a fuzz test need the same ones.
var signers = sync.OnceValue(func() *signersOf {
	text, err := os.ReadFile("testdata/keys.pem")
	if err != nil {
		panic(err)
	}
	var pairs []keyPair
	var secrets []model.Secret
	for range 4 {
		key, afterKey := pem.Decode(text)
		cert, rest := pem.Decode(afterKey)
		secret := model.Secret(append(pem.EncodeToMemory(key), pem.EncodeToMemory(cert)...))
		pair, err := parseKeyPair(secret)
		if err != nil {
			panic(err)
		}
		pairs, secrets, text = append(pairs, pair), append(secrets, secret), rest
	}
	return &signersOf{
		idp: signer(pairs[0]), stranger: signer(pairs[1]), ours: secrets[2], others: secrets[3],
	}
})

func pemOf(s signer) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}))
}

// metadataOf writes the metadata of an identity provider, as operators get it.
func metadataOf(entity string, signing ...signer) string {
	keys := ""
	for _, s := range signing {
		keys += fmt.Sprintf(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`,
			base64.StdEncoding.EncodeToString(s.cert.Raw))
	}
	return fmt.Sprintf(`<?xml version="1.0"?><!-- written by hand -->
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="m1" entityID="%s"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">%s
<SingleLogoutService Binding="%s" Location="%s/slo" ResponseLocation="%s/slo-answers"/>
<SingleSignOnService Binding="%s" Location="%s/sso"/></IDPSSODescriptor></EntityDescriptor>`,
		entity, keys, saml.HTTPRedirectBinding, entity, entity, saml.HTTPRedirectBinding, entity)
}

// forgery is a response, and what is wrong with it. Of base() nothing is.
type forgery struct {
	issuer, responseIssuer, audience, recipient, destination string
	inResponse, inAssertion                                  string // InResponseTo
	nameID, format, method, status, inner                    string
	issued, notBefore, notAfter, authn                       time.Time
	signer                                                   *signer
	signAssertion, signResponse                              bool
	algorithm                                                string
	encryptTo                                                *x509.Certificate
	assertion                                                func(a *saml.Assertion)
	edit                                                     func(a *etree.Element)
	attributes                                               []saml.Attribute
}

func base() forgery {
	return forgery{
		issuer: forgeEntity, responseIssuer: forgeEntity, audience: oursEntity, recipient: oursCallback, destination: oursCallback,
		inResponse: forgeRequest, inAssertion: forgeRequest, nameID: "7f3c-alice", format: string(saml.PersistentNameIDFormat),
		method: "urn:oasis:names:tc:SAML:2.0:cm:bearer", status: saml.StatusSuccess,
		issued: forgeNow, notBefore: forgeNow.Add(-time.Minute), notAfter: forgeNow.Add(5 * time.Minute), authn: forgeNow.Add(-time.Second),
		signer: &signers().idp, signAssertion: true, signResponse: true, algorithm: dsig.RSASHA256SignatureMethod,
		attributes: []saml.Attribute{{Name: "mail", Values: []saml.AttributeValue{{Type: "xs:string", Value: "alice@example.net"}}}},
	}
}

func (s signer) context(algorithm string) *dsig.SigningContext {
	c := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{s.cert.Raw}, PrivateKey: s.key}))
	c.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := c.SetSignatureMethod(algorithm); err != nil {
		panic(err)
	}
	return c
}

// sign returns the Signature of an element.
func (s signer) sign(el *etree.Element, algorithm string) *etree.Element {
	signed, err := s.context(algorithm).SignEnveloped(el)
	if err != nil {
		panic(err)
	}
	return signed.Child[len(signed.Child)-1].(*etree.Element)
}

func (f forgery) element() *etree.Element {
	a := &saml.Assertion{
		ID: "assertion-1", IssueInstant: f.issued, Version: "2.0",
		Issuer: saml.Issuer{Value: f.issuer},
		Subject: &saml.Subject{
			NameID: &saml.NameID{Format: f.format, Value: f.nameID},
			SubjectConfirmations: []saml.SubjectConfirmation{{
				Method: f.method,
				SubjectConfirmationData: &saml.SubjectConfirmationData{
					InResponseTo: f.inAssertion, NotOnOrAfter: f.notAfter, Recipient: f.recipient,
				},
			}},
		},
		Conditions: &saml.Conditions{
			NotBefore: f.notBefore, NotOnOrAfter: f.notAfter,
			AudienceRestrictions: []saml.AudienceRestriction{{Audience: saml.Audience{Value: f.audience}}},
		},
		AuthnStatements: []saml.AuthnStatement{{
			AuthnInstant: f.authn, SessionIndex: "session-1",
			AuthnContext: saml.AuthnContext{AuthnContextClassRef: &saml.AuthnContextClassRef{Value: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}},
		}},
		AttributeStatements: []saml.AttributeStatement{{Attributes: f.attributes}},
	}
	if f.assertion != nil {
		f.assertion(a)
	}
	assertion := a.Element()
	if f.edit != nil {
		f.edit(assertion)
	}
	if f.signAssertion {
		assertion.InsertChildAt(1, f.signer.sign(assertion, f.algorithm)) // after Issuer
	}
	response := &saml.Response{
		ID: "response-1", InResponseTo: f.inResponse, IssueInstant: f.issued, Version: "2.0", Destination: f.destination,
		Issuer: &saml.Issuer{Value: f.responseIssuer},
		Status: saml.Status{StatusCode: saml.StatusCode{Value: f.status}},
	}
	if f.inner != "" {
		response.Status.StatusCode.StatusCode = &saml.StatusCode{Value: f.inner}
	}
	el := response.Element()
	if f.status == saml.StatusSuccess {
		el.AddChild(f.carried(assertion))
	}
	if f.signResponse {
		el.InsertChildAt(1, f.signer.sign(el, f.algorithm))
	}
	return el
}

// carried is the assertion as the response has it.
func (f forgery) carried(a *etree.Element) *etree.Element {
	if f.encryptTo == nil {
		return a
	}
	encrypter := xmlenc.OAEP()
	encrypter.BlockCipher = xmlenc.AES128CBC // which most providers use
	encrypter.DigestMethod = &xmlenc.SHA1
	doc := etree.NewDocument()
	doc.SetRoot(a)
	text, err := doc.WriteToBytes()
	if err != nil {
		panic(err)
	}
	data, err := encrypter.Encrypt(f.encryptTo, text, nil)
	if err != nil {
		panic(err)
	}
	data.CreateAttr("Type", "http://www.w3.org/2001/04/xmlenc#Element")
	wrapped := etree.NewElement("saml:EncryptedAssertion")
	wrapped.AddChild(data)
	return wrapped
}

func write(el *etree.Element) string {
	doc := etree.NewDocument()
	doc.SetRoot(el.Copy())
	text, err := doc.WriteToString()
	if err != nil {
		panic(err)
	}
	return text
}

func (f forgery) text() string { return write(f.element()) }

// posted is an answer with a response in it.
func posted(text string) Answer {
	return Answer{Method: "POST", At: oursCallback, Values: url.Values{
		"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(text))},
	}}
}

// against opens a connector to the provider that forgeries are from, as c says besides.
func against(t testing.TB, c map[string]any) *serviceProvider {
	t.Helper()
	connection := map[string]any{"metadata": metadataOf(forgeEntity, signers().idp)}
	for k, v := range c {
		connection[k] = v
	}
	text, err := json.Marshal(connection)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(Config{
		ID: "corp", Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": signers().ours, "other_key": signers().others},
		Callback: oursCallback, Logout: oursLogout, Metadata: oursEntity, Now: func() time.Time { return forgeNow },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.(*serviceProvider)
}
