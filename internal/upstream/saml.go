package upstream

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"net/url"
	"strings"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// samlConnection is the connection of a provider of the kind "saml". Its secrets are
// key, which NewKeyPair makes, and other_key: see keyPair.
type samlConnection struct {
	// MetadataURL is where the provider says what it is, or Metadata that text itself.
	MetadataURL string `json:"metadata_url,omitempty"`
	Metadata    string `json:"metadata,omitempty"`
	// MetadataCertificate holds certificates, in PEM, one of whose keys must have signed
	// the metadata; empty: TLS vouches for it.
	MetadataCertificate string `json:"metadata_certificate,omitempty"`
	// EntityID is which provider it has to be; empty: the one that the metadata names.
	EntityID string `json:"entity_id,omitempty"`
	// Binding is how requests are sent: "redirect" or "post"; empty: what the provider
	// can take, redirect first.
	Binding string `json:"binding,omitempty"`
	// NameIDFormat is "persistent" when empty, or "email", "transient", "unspecified".
	NameIDFormat string `json:"name_id_format,omitempty"`
	// Subject is the attribute that names somebody for ever; empty: the name ID.
	Subject string `json:"subject,omitempty"`
	// ACRValues says which class of authentication context one of ours is there. Those
	// that are not in it are not asked for.
	ACRValues map[string]string `json:"acr_values,omitempty"`
	// RequireSignedResponse wants a signature on the response, besides that which any
	// assertion must have. RequireEncrypted wants the assertion encrypted.
	RequireSignedResponse bool `json:"require_signed_response,omitempty"`
	RequireEncrypted      bool `json:"require_encrypted,omitempty"`
	// HintParameter is what login_hint is called in the provider's own address: SAML has
	// no word for it. Empty: it is not sent.
	HintParameter string `json:"hint_parameter,omitempty"`
	// AllowInternal is read by whoever makes Client.
	AllowInternal bool `json:"allow_internal,omitempty"`
}

var nameIDFormats = map[string]saml.NameIDFormat{
	"":            saml.PersistentNameIDFormat,
	"persistent":  saml.PersistentNameIDFormat,
	"email":       saml.EmailAddressNameIDFormat,
	"transient":   saml.TransientNameIDFormat,
	"unspecified": saml.UnspecifiedNameIDFormat,
}

var samlBindings = map[string][]string{
	"":         {saml.HTTPRedirectBinding, saml.HTTPPostBinding},
	"redirect": {saml.HTTPRedirectBinding},
	"post":     {saml.HTTPPostBinding},
}

// serviceProvider is a connector to a SAML 2.0 identity provider. The rules of SAML
// are crewjam/saml's to check, as far as it has the strict ones; where it is lenient,
// this package is not: see checkXML, checkShape and person.
type serviceProvider struct {
	Config
	c    samlConnection
	keys []keyPair // the first one signs
	pins []*x509.Certificate

	acs, slo url.URL
	metadata metadata
}

func openSAML(c Config) (Connector, error) {
	p := &serviceProvider{Config: c}
	if err := decodeConnection(c.Connection, &p.c); err != nil {
		return nil, err
	}
	if err := p.checkConnection(); err != nil {
		return nil, err
	}
	for _, name := range []string{"key", "other_key"} {
		if secret := c.Secrets[name]; secret != "" {
			pair, err := parseKeyPair(secret)
			if err != nil {
				return nil, ErrInvalid{name, err.Error()}
			}
			p.keys = append(p.keys, pair)
		}
	}
	if c.Secrets["key"] == "" {
		return nil, ErrInvalid{"key", "is missing: requests are signed"}
	}
	for text, into := range map[string]*url.URL{c.Callback: &p.acs, c.Logout: &p.slo} {
		u, err := url.Parse(text)
		if err != nil {
			return nil, ErrInvalid{"callback", "must be a URL"}
		}
		*into = *u
	}
	if err := p.openMetadata(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *serviceProvider) checkConnection() error {
	_, format := nameIDFormats[p.c.NameIDFormat]
	_, binding := samlBindings[p.c.Binding]
	switch {
	case (p.c.MetadataURL == "") == (p.c.Metadata == ""):
		return ErrInvalid{"metadata_url", "or metadata must be there, and not both"}
	case p.c.MetadataURL != "" && !safeAddress(p.c.MetadataURL):
		return ErrInvalid{"metadata_url", "must be an https address"}
	case !format:
		return ErrInvalid{"name_id_format", `must be "persistent", "email", "transient" or "unspecified"`}
	case p.c.NameIDFormat == "transient" && p.c.Subject == "":
		return ErrInvalid{"subject", "is needed: a transient name ID is another one each time"}
	case !binding:
		return ErrInvalid{"binding", `must be "redirect" or "post"`}
	case len(p.c.EntityID) > 1024: // saml-core §8.3.6
		return ErrInvalid{"entity_id", "must have 1024 characters at most"}
	case strings.ContainsAny(p.c.HintParameter, "&=#?%+ "):
		return ErrInvalid{"hint_parameter", "must be the name of a parameter"}
	}
	for _, class := range p.c.ACRValues {
		if u, err := url.Parse(class); err != nil || !u.IsAbs() {
			return ErrInvalid{"acr_values", "must translate to URIs"}
		}
	}
	rest := []byte(p.c.MetadataCertificate)
	for len(strings.TrimSpace(string(rest))) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return ErrInvalid{"metadata_certificate", "must be certificates in PEM"}
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return ErrInvalid{"metadata_certificate", "must be certificates in PEM"}
		}
		p.pins = append(p.pins, cert)
	}
	return nil
}

// safeAddress reports whether a browser may be sent there, or a request: https, or
// this very machine.
func safeAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && u.Fragment == "" && len(text) <= 2048 &&
		(u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// provider returns what crewjam/saml has to know for one message. Each has its own,
// so that none changes what another sees.
func (p *serviceProvider) provider(idp *saml.EntityDescriptor) *saml.ServiceProvider {
	sp := &saml.ServiceProvider{
		EntityID: p.Metadata, AcsURL: p.acs, SloURL: p.slo, IDPMetadata: idp,
		Key: p.keys[0].key, Certificate: p.keys[0].cert,
		SignatureMethod:   dsig.RSASHA256SignatureMethod,
		AuthnNameIDFormat: nameIDFormats[p.c.NameIDFormat], SendUnspecifiedNameIDFormat: true,
		// What a browser may bring as an answer, and what the provider may send for a
		// sign-out: saml-profiles §4.1.2, §4.4.3.
		AssertionConsumerServiceBindings: []string{saml.HTTPPostBinding},
		LogoutBindings:                   []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding},
		MetadataOmitValidUntil:           true,
		LimitRelayStateLength:            true, // saml-bindings §3.4.3
		RejectUnknownConditions:          true, // saml-core §2.5.1.1
		RejectExpiredIDPMetadata:         true, // saml-metadata §4.3.1
		RejectSHA1Signatures:             true,
		RequireSignedResponseForCBC:      p.c.RequireSignedResponse,
		Clock:                            dsig.NewFakeClockAt(p.Now()),
	}
	for _, pair := range p.keys[1:] {
		sp.DecryptionKeys = append(sp.DecryptionKeys, pair.key)
	}
	return sp
}

// Probe fetches the provider's metadata.
func (p *serviceProvider) Probe(ctx context.Context) error {
	_, err := p.identityProvider(ctx, true)
	return err
}

// Describe returns our metadata, with both our keys: so the provider knows a new one
// before it signs.
func (p *serviceProvider) Describe() (body []byte, mediaType string, err error) {
	entity := p.provider(nil).Metadata()
	role := &entity.SPSSODescriptors[0]
	for _, pair := range p.keys[1:] {
		for _, known := range role.KeyDescriptors {
			known.KeyInfo = saml.KeyInfo{X509Data: saml.X509Data{X509Certificates: []saml.X509Certificate{{Data: pair.base64()}}}}
			role.KeyDescriptors = append(role.KeyDescriptors, known)
		}
	}
	text, err := xml.MarshalIndent(entity, "", "  ")
	if err != nil {
		return nil, "", err
	}
	return append([]byte(xml.Header), append(text, '\n')...), "application/samlmetadata+xml", nil
}
