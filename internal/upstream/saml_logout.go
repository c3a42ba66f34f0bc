package upstream

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/crewjam/saml"
)

// Leave asks the provider to end a session. It answers at the address of ours for
// that: see Ended. The departure is empty where the provider has no single logout.
func (p *serviceProvider) Leave(ctx context.Context, s Stay, _, state string) (Departure, error) {
	idp, err := p.identityProvider(ctx, false)
	if err != nil {
		return Departure{}, err
	}
	var name nameIDHint
	if err := json.Unmarshal([]byte(s.Hint), &name); err != nil || s.Issuer != idp.EntityID {
		return Departure{}, ErrUnsupported
	}
	sp := p.provider(idp)
	binding, address := logoutEndpoint(sp)
	if address == "" {
		return Departure{}, ErrUnsupported
	}
	request, err := sp.MakeLogoutRequest(address, name.Value, saml.WithSessionIndex(s.Session), func(r *saml.LogoutRequest) {
		// saml-core §3.7.1: as it stood in the assertion
		r.NameID = &saml.NameID{Value: name.Value, Format: name.Format,
			NameQualifier: name.NameQualifier, SPNameQualifier: name.SPNameQualifier}
	})
	if err != nil {
		return Departure{}, err
	}
	kept := Kept{"request": request.ID}
	if binding == saml.HTTPRedirectBinding {
		u, err := sp.RedirectLogoutRequestURL(request, state)
		if err != nil {
			return Departure{}, err
		}
		return Departure{Address: u.String(), Kept: kept}, nil
	}
	form, err := messageForm("SAMLRequest", request.Element(), state)
	return Departure{Address: address, Form: form, Kept: kept}, err
}

func logoutEndpoint(sp *saml.ServiceProvider) (binding, address string) {
	for _, binding := range samlBindings[""] {
		if address := sp.GetSLOBindingLocation(binding); address != "" {
			return binding, address
		}
	}
	return "", ""
}

// Ended reads a logout request of the provider's, or its answer to one of ours.
func (p *serviceProvider) Ended(ctx context.Context, a Answer) (Ending, error) {
	requests, responses := a.Values["SAMLRequest"], a.Values["SAMLResponse"]
	if len(requests)+len(responses) != 1 || len(a.Values.Get("RelayState")) > maxRelayState {
		return Ending{}, hearsay(Untrusted, "there is not one SAMLRequest or SAMLResponse")
	}
	value := slices.Concat(requests, responses)[0]
	read := readPosted
	if a.Method != "POST" {
		read = readRedirected
	}
	text, err := read(value)
	if err != nil {
		return Ending{}, hearsay(Untrusted, "the message cannot be read: "+err.Error())
	}
	idp, err := p.identityProvider(ctx, false)
	if err != nil {
		return Ending{}, err
	}
	hear := p.heardRequest
	if len(responses) == 1 {
		hear = p.heardResponse
	}
	ending, err := hear(idp, a, text)
	if errors.Is(err, saml.ErrInvalidSignature) || err != nil && a.Method != "POST" {
		if newer, errMetadata := p.identityProvider(ctx, true); errMetadata == nil && newer != idp {
			ending, err = hear(newer, a, text)
		}
	}
	if err != nil {
		return Ending{}, asError(err)
	}
	return ending, nil
}

// asError tells of a message that crewjam/saml refused.
func asError(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Code: Untrusted, Reason: "the message is refused: " + samlReason(err), Hearsay: true, cause: err}
}

// httpRequest is a message as crewjam/saml reads it. The redirect binding signs the
// query as it came.
func httpRequest(a Answer) *http.Request {
	r := &http.Request{Method: a.Method, URL: &url.URL{RawQuery: a.Query}, Header: http.Header{}}
	if a.Method == "POST" {
		r.URL.RawQuery = ""
		// SAMLResponse and SAMLRequest alone: SigAlg and Signature would be another
		// binding, which is not offered.
		r.PostForm = url.Values{}
		for _, name := range []string{"SAMLRequest", "SAMLResponse"} {
			if values := a.Values[name]; len(values) > 0 {
				r.PostForm[name] = values
			}
		}
		r.Form = r.PostForm
	}
	return r
}

// heardRequest verifies a LogoutRequest (saml-core §3.7.3.1) and prepares the answer.
func (p *serviceProvider) heardRequest(idp *saml.EntityDescriptor, a Answer, _ []byte) (Ending, error) {
	sp := p.provider(idp)
	request, err := sp.ValidateLogoutRequest(httpRequest(a))
	if err != nil {
		return Ending{}, err
	}
	key, err := nameIDKey(idp.EntityID, request.NameID)
	if err != nil {
		return Ending{}, err
	}
	if len(request.ID) > 256 {
		return Ending{}, hearsay(Untrusted, "the message has an ID that is too long")
	}
	e := Ending{
		Issuer: idp.EntityID, Subject: key, ID: request.ID,
		ExpiresAt: request.IssueInstant.Add(saml.MaxIssueDelay).Unix() + 1,
	}
	// More than one at once is rare. Then all of the person's end.
	if sessions := request.AllSessionIndexes(); len(sessions) == 1 {
		e.Session = sessions[0].Value
	}
	e.Reply, err = logoutReply(sp, idp, request.ID, a.Values.Get("RelayState"))
	return e, err
}

// logoutReply answers where the provider wants answers (saml-metadata §2.2.2).
func logoutReply(sp *saml.ServiceProvider, idp *saml.EntityDescriptor, request, state string) (Departure, error) {
	sp.IDPMetadata = answeredAt(idp)
	binding, address := logoutEndpoint(sp)
	switch binding {
	case saml.HTTPRedirectBinding:
		u, err := sp.MakeRedirectLogoutResponse(request, state)
		if err != nil {
			return Departure{}, err
		}
		return Departure{Address: u.String()}, nil
	case saml.HTTPPostBinding:
		response, err := sp.MakeLogoutResponse(address, request)
		if err != nil {
			return Departure{}, err
		}
		form, err := messageForm("SAMLResponse", response.Element(), state)
		return Departure{Address: address, Form: form}, err
	}
	return Departure{}, nil
}

// answeredAt returns metadata in which the addresses for logout are those of answers.
func answeredAt(idp *saml.EntityDescriptor) *saml.EntityDescriptor {
	other := *idp
	other.IDPSSODescriptors = slices.Clone(idp.IDPSSODescriptors)
	for i := range other.IDPSSODescriptors {
		role := &other.IDPSSODescriptors[i]
		role.SingleLogoutServices = slices.Clone(role.SingleLogoutServices)
		for j, endpoint := range role.SingleLogoutServices {
			if endpoint.ResponseLocation != "" {
				role.SingleLogoutServices[j].Location = endpoint.ResponseLocation
			}
		}
	}
	return &other
}

// heardResponse verifies a LogoutResponse (saml-core §3.7.3.2). Which request it
// answers the caller compares with the one that was sent.
func (p *serviceProvider) heardResponse(idp *saml.EntityDescriptor, a Answer, text []byte) (Ending, error) {
	var claimed saml.LogoutResponse
	if err := xml.Unmarshal(text, &claimed); err != nil || claimed.InResponseTo == "" {
		return Ending{}, hearsay(Untrusted, "the message is refused: it answers no request")
	}
	response, err := p.provider(idp).ParseLogoutResponse(httpRequest(a), []string{claimed.InResponseTo})
	var status saml.ErrBadStatus
	if errors.As(err, &status) {
		return Ending{}, hearsay(Denied, "the provider did not end the session: "+statusName(status.Status))
	}
	if err != nil {
		return Ending{}, err
	}
	return Ending{
		Issuer: idp.EntityID, ID: response.ID, Answers: response.InResponseTo,
		ExpiresAt: response.IssueInstant.Add(saml.MaxIssueDelay).Unix() + 1,
	}, nil
}
