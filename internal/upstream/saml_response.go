package upstream

import (
	"context"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/crewjam/saml"
)

// Finish reads a response. One that answers no request of ours is refused, whatever
// it says (saml-profiles §4.1.5 would allow it): it is how somebody is signed in as
// somebody else.
func (p *serviceProvider) Finish(ctx context.Context, kept Kept, a Answer) (Person, error) {
	values := a.Values["SAMLResponse"]
	switch {
	case kept["request"] == "":
		return Person{}, hearsay(Untrusted, "the response answers no request")
	case a.Method != "POST": // saml-profiles §4.1.2: it must not come by a redirect
		return Person{}, hearsay(Untrusted, "a response must be posted")
	case len(values) != 1:
		return Person{}, hearsay(Untrusted, "there is not one SAMLResponse")
	}
	text, err := readPosted(values[0])
	if err != nil {
		return Person{}, hearsay(Untrusted, "the response cannot be read: "+err.Error())
	}
	shape, err := checkShape(text)
	if err != nil {
		return Person{}, hearsay(Untrusted, "the response is refused: "+err.Error())
	}
	assertion, idp, err := p.verify(ctx, text, kept["request"])
	if err != nil {
		return Person{}, err
	}
	if !shape.signedResponse && !shape.signedAssertion && !shape.encrypted {
		return Person{}, hearsay(Untrusted, "neither the response nor its assertion is signed")
	}
	if p.c.RequireSignedResponse && !shape.signedResponse {
		return Person{}, hearsay(Untrusted, "the response is not signed, and require_signed_response wants it")
	}
	if p.c.RequireEncrypted && !shape.encrypted {
		return Person{}, hearsay(Untrusted, "the assertion is not encrypted, and require_encrypted wants it")
	}
	if err := p.checkTimes(kept, assertion); err != nil {
		return Person{}, err
	}
	return p.person(idp, assertion)
}

// verify holds a response to the keys of the provider. It may have others since its
// metadata was fetched: then they are fetched once more.
func (p *serviceProvider) verify(ctx context.Context, text []byte, request string) (*saml.Assertion, *saml.EntityDescriptor, error) {
	idp, err := p.identityProvider(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	// saml-core §2.4.1.2, §3.2.2: both InResponseTo; and Destination and Recipient,
	// which must be our address for this provider: another's answers never count here.
	assertion, err := p.provider(idp).ParseXMLResponse(text, []string{request}, p.acs)
	if errors.Is(err, saml.ErrInvalidSignature) {
		if newer, errMetadata := p.identityProvider(ctx, true); errMetadata == nil && newer != idp {
			idp = newer
			assertion, err = p.provider(idp).ParseXMLResponse(text, []string{request}, p.acs)
		}
	}
	var status saml.ErrBadStatus
	if errors.As(err, &status) {
		return nil, nil, refusedBy(text)
	}
	if err != nil {
		return nil, nil, &Error{Code: Untrusted, Reason: "the response is refused: " + samlReason(err), Hearsay: true, cause: err}
	}
	return assertion, idp, nil
}

// samlReasons says in words of ours why crewjam/saml refuses a message: its own have
// parts of the message in them.
var samlReasons = []struct {
	err    error
	reason string
}{
	{saml.ErrCertificateNotValidNow, "the provider's certificate is not valid now"},
	{saml.ErrUntrustedCertificate, "it is signed with a key that is not the provider's"},
	{saml.ErrInvalidSignature, "it is not signed, or not with the provider's key, or with SHA-1"},
	{saml.ErrDecryptionFailed, "it is not encrypted for a key of ours"},
	{saml.ErrIssuerMismatch, "it is from another provider"},
	{saml.ErrAudienceMismatch, "it is for another service (Audience)"},
	{saml.ErrDestinationMismatch, "it is for another address (Destination, Recipient)"},
	{saml.ErrRequestIDMismatch, "it answers another request (InResponseTo)"},
	{saml.ErrExpired, "it is too old, or the clocks differ"},
	{saml.ErrNotYetValid, "it is not valid yet: the clocks differ"},
	{saml.ErrMissingElement, "something is missing in it"},
	{saml.ErrUnsupported, "it has conditions or an identifier that are not known here"},
	{saml.ErrMalformedMessage, "it is malformed"},
}

func samlReason(err error) string {
	for _, r := range samlReasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return "it is not signed, or not what it must be"
}

// refusedBy says what a response without an assertion means (saml-core §3.2.2.2).
func refusedBy(text []byte) error {
	var response saml.Response
	if err := xml.Unmarshal(text, &response); err != nil {
		return hearsay(Untrusted, "the status cannot be read")
	}
	status := response.Status.StatusCode.Value
	if inner := response.Status.StatusCode.StatusCode; inner != nil {
		status = inner.Value
	}
	switch status {
	case saml.StatusNoPassive:
		return hearsay(Asks, "the provider would have to ask the person")
	case saml.StatusAuthnFailed, saml.StatusRequestDenied, saml.StatusUnknownPrincipal:
		return hearsay(Denied, "the provider says "+statusName(status))
	case saml.StatusResponder, saml.StatusNoAvailableIDP:
		return hearsay(Unavailable, "the provider says "+statusName(status))
	}
	return hearsay(Misconfigured, "the provider says "+statusName(status))
}

// statusName is the end of a status, if it is one that could be read in a log.
func statusName(status string) string {
	name := status[strings.LastIndexByte(status, ':')+1:]
	if name == "" || len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) }) {
		return "no, with a status that is not known"
	}
	return name
}

// checkTimes holds the sign-in over there to what was asked, and to its own end.
func (p *serviceProvider) checkTimes(kept Kept, a *saml.Assertion) error {
	statement := a.AuthnStatements[0]
	if since, err := strconv.ParseInt(kept["since"], 10, 64); err == nil {
		// saml-core §3.4.1: ForceAuthn
		if statement.AuthnInstant.Add(saml.MaxClockSkew).Before(time.Unix(since, 0)) {
			return hearsay(Untrusted, "a new sign-in was asked for, and the provider tells of an old one")
		}
	}
	// saml-profiles §4.1.4.3
	if end := statement.SessionNotOnOrAfter; end != nil && !p.Now().Before(end.Add(saml.MaxClockSkew)) {
		return hearsay(Untrusted, "the session at the provider has ended already")
	}
	return nil
}

// hearsay is a failure that the browser brought: see Error.
func hearsay(code Code, reason string) *Error {
	return &Error{Code: code, Reason: reason, Hearsay: true}
}
