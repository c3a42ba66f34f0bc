package upstream

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
)

// Begin sends the browser to the provider with a signed request.
func (p *serviceProvider) Begin(ctx context.Context, w Wish) (Departure, error) {
	idp, err := p.identityProvider(ctx, false)
	if err != nil {
		return Departure{}, err
	}
	sp := p.provider(idp)
	// SAML knows no age of a sign-in: who wants one gets a new one.
	force := slices.Contains(w.Prompt, "login") || w.MaxAge != nil
	passive := slices.Contains(w.Prompt, "none")
	sp.ForceAuthn = &force
	var classes []string
	for _, acr := range w.ACRValues {
		if class := p.c.ACRValues[acr]; class != "" && !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	if len(classes) > 0 {
		sp.RequestedAuthnContext = &saml.RequestedAuthnContext{Comparison: "exact", AuthnContextClassRefs: classes}
	}
	binding, address := p.endpoint(idp)
	// Signed below, when all of it is there.
	request, err := sp.MakeAuthenticationRequest(address, saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		return Departure{}, err
	}
	request.IsPassive = &passive
	kept := Kept{"request": request.ID}
	if force {
		kept["since"] = strconv.FormatInt(p.Now().Unix(), 10)
	}
	if binding == saml.HTTPRedirectBinding {
		u, err := request.Redirect(w.State, sp)
		if err != nil {
			return Departure{}, err
		}
		if p.c.HintParameter != "" && w.LoginHint != "" { // beside what is signed
			u.RawQuery += "&" + url.Values{p.c.HintParameter: {w.LoginHint}}.Encode()
		}
		return Departure{Address: u.String(), Kept: kept}, nil
	}
	if err := sp.SignAuthnRequest(request); err != nil {
		return Departure{}, err
	}
	form, err := messageForm("SAMLRequest", request.Element(), w.State)
	return Departure{Address: address, Form: form, Kept: kept}, err
}

// messageForm is a message for the POST binding (saml-bindings §3.5.4).
func messageForm(name string, message *etree.Element, state string) (url.Values, error) {
	doc := etree.NewDocument()
	doc.SetRoot(message)
	text, err := doc.WriteToBytes()
	if err != nil {
		return nil, err
	}
	form := url.Values{name: {base64.StdEncoding.EncodeToString(text)}}
	if state != "" {
		form.Set("RelayState", state)
	}
	return form, nil
}
