package upstream

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"github.com/ostiary/ostiary/internal/model"
)

// FuzzResponse: whatever is made of a response without the provider's key, it is
// refused, or says what the provider said.
func FuzzResponse(f *testing.F) {
	p := against(f, nil)
	lone, whole, encrypted, refused := base(), base(), base(), base()
	lone.signResponse, whole.signAssertion = false, false
	encrypted.encryptTo, refused.status = p.keys[0].cert, "urn:oasis:names:tc:SAML:2.0:status:Responder"
	for _, one := range []forgery{base(), lone, whole, encrypted, refused} {
		f.Add(one.text())
	}
	f.Add(strings.Replace(lone.text(), "7f3c-alice<", "7f3c-<!-- -->alice<", 1))
	f.Add("<!DOCTYPE x [<!ENTITY a \"b\">]><x>&a;</x>")
	f.Fuzz(func(t *testing.T, text string) {
		person, err := p.Finish(t.Context(), asked, posted(text))
		switch code, _ := refusal(err); {
		case err == nil && (person.Subject != "7f3c-alice" || person.Claims["email"] != "alice@example.net" || person.Issuer != forgeEntity):
			t.Errorf("%+v", person)
		case err != nil && (code == "?" || person.Subject != ""):
			t.Errorf("%v %+v", err, person)
		}
	})
}

// FuzzLogout: the same for sign-outs, by both bindings.
func FuzzLogout(f *testing.F) {
	p := against(f, nil)
	request, response := baseLogout(), baseLogout()
	response.answers, response.status = forgeRequest, "urn:oasis:names:tc:SAML:2.0:status:Success"
	for _, one := range []forgedLogout{request, response} {
		f.Add("GET", one.redirected().Query)
		f.Add("POST", one.posted().Values.Encode())
	}
	f.Fuzz(func(t *testing.T, method, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		e, err := p.Ended(t.Context(), Answer{Method: method, Values: values, Query: query, At: oursLogout})
		switch code, _ := refusal(err); {
		case err == nil && (e.Issuer != forgeEntity || e.ID != "logout-1" || e.Answers == "" && e.Subject != "7f3c-alice" || e.Answers != "" && e.Answers != forgeRequest):
			t.Errorf("%+v", e)
		case err != nil && (code == "?" || e.Subject != "" || e.Answers != ""):
			t.Errorf("%v %+v", err, e)
		}
	})
}

// FuzzMetadata: signed metadata means what was signed, or nothing.
func FuzzMetadata(f *testing.F) {
	plain := metadataOf(forgeEntity, signers().idp)
	f.Add(signMetadata(plain, signers().stranger, dsig.RSASHA256SignatureMethod))
	f.Add(plain)
	f.Add(aggregate(plain, metadataOf(otherEntity, signers().stranger)))
	pin := pemOf(signers().stranger)
	f.Fuzz(func(t *testing.T, text string) {
		for _, certificate := range []string{"", pin} {
			connection, _ := json.Marshal(map[string]any{"metadata": text, "metadata_certificate": certificate})
			c, err := Open(Config{
				ID: "corp", Kind: "saml", Connection: connection, Secrets: map[string]model.Secret{"key": signers().ours},
				Callback: oursCallback, Logout: oursLogout, Metadata: oursEntity, Now: time.Now,
			})
			if err != nil {
				continue
			}
			idp := c.(*serviceProvider).metadata.idp
			if _, address := c.(*serviceProvider).endpoint(idp); !safeAddress(address) {
				t.Errorf("browsers would be sent to %q", address)
			}
			if certificate != "" && (idp.EntityID != forgeEntity || len(idp.IDPSSODescriptors) != 1 ||
				idp.IDPSSODescriptors[0].SingleSignOnServices[0].Location != forgeEntity+"/sso") {
				t.Errorf("signed, and %+v", idp)
			}
		}
	})
}
