package upstream

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlsp"

	"github.com/ostiary/ostiary/internal/fetch"
)

// How long a provider's metadata is taken from memory, unless it asks for less; how
// soon it is fetched again, whoever asks; and how long it lasts when it cannot be.
const (
	metadataFresh = time.Hour
	metadataSoon  = time.Minute
	metadataLasts = 7 * 24 * time.Hour
	maxMetadata   = 1 << 20 // bytes
)

// metadata is what is known of a provider.
type metadata struct {
	fetching chan struct{} // holds one token: whoever fetches has it

	mu      sync.Mutex
	idp     *saml.EntityDescriptor
	fetched time.Time
	tried   time.Time
	err     error // of the last try
}

// openMetadata reads metadata that the operator gave, and nothing else.
func (p *serviceProvider) openMetadata() error {
	p.metadata.fetching = make(chan struct{}, 1)
	if p.c.Metadata == "" {
		return nil
	}
	idp, err := p.readMetadata([]byte(p.c.Metadata))
	if err != nil {
		return ErrInvalid{"metadata", "cannot be used: " + err.Error()}
	}
	p.metadata.idp = idp
	return nil
}

// identityProvider returns what the provider says it is. With again it is fetched
// again, if that was not done just now.
func (p *serviceProvider) identityProvider(ctx context.Context, again bool) (*saml.EntityDescriptor, error) {
	if p.c.MetadataURL != "" {
		if err := p.refreshMetadata(ctx, again); err != nil {
			return nil, err
		}
	}
	m := &p.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	now := p.Now()
	if m.idp == nil || p.c.MetadataURL != "" && m.err != nil && (again || !now.Before(m.fetched.Add(metadataLasts))) {
		return nil, m.err
	}
	// saml-metadata §2.3.2
	if until := m.idp.ValidUntil; !until.IsZero() && !now.Before(until) {
		return nil, failed(Misconfigured, "the provider's metadata has expired (validUntil)")
	}
	return m.idp, nil
}

// refreshMetadata fetches metadata that are due. Nobody waits for that who can do with
// what is known.
func (p *serviceProvider) refreshMetadata(ctx context.Context, again bool) error {
	m := &p.metadata
	if known, due := m.state(p.Now(), again); !due || known && !again && len(m.fetching) > 0 {
		return nil
	}
	select {
	case m.fetching <- struct{}{}:
		defer func() { <-m.fetching }()
	case <-ctx.Done():
		return caused(Unavailable, "the metadata could not be fetched in time", ctx.Err())
	}
	now := p.Now()
	if _, due := m.state(now, again); !due { // somebody else was faster
		return nil
	}
	idp, err := p.fetchMetadata(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err = err; err == nil {
		m.idp, m.fetched = idp, now
	}
	if err == nil || ctx.Err() == nil { // or whoever asked has gone, which says nothing
		m.tried = now
	}
	return nil
}

// state reports whether there are metadata, and whether they are to be fetched now.
func (m *metadata) state(now time.Time, again bool) (known, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := metadataFresh
	if m.idp != nil && m.idp.CacheDuration > 0 {
		fresh = min(fresh, max(m.idp.CacheDuration, metadataSoon))
	}
	stale := m.idp == nil || again || !now.Before(m.fetched.Add(fresh))
	return m.idp != nil, stale && !now.Before(m.tried.Add(metadataSoon))
}

func (p *serviceProvider) fetchMetadata(ctx context.Context) (*saml.EntityDescriptor, error) {
	document, err := fetch.Get(ctx, p.Client, p.c.MetadataURL, fetch.Limits{Bytes: maxMetadata})
	if err != nil {
		return nil, caused(Unavailable, "the metadata: "+err.Error(), err)
	}
	idp, err := p.readMetadata(document.Body)
	if err != nil {
		return nil, caused(Misconfigured, "the metadata cannot be used: "+err.Error(), err)
	}
	return idp, nil
}

// readMetadata finds the provider in its metadata, which may be one of a federation.
// The errors repeat nothing of it.
func (p *serviceProvider) readMetadata(text []byte) (*saml.EntityDescriptor, error) {
	if err := checkXML(text, maxMetadata, true); err != nil {
		return nil, err
	}
	if len(p.pins) > 0 {
		signed, err := saml.VerifyMetadataSignature(text, p.pins)
		if err != nil || weaklySigned(text) {
			return nil, errors.New("it is not signed with a key of metadata_certificate")
		}
		text = signed
	}
	var idp *saml.EntityDescriptor
	var err error
	if p.c.EntityID != "" {
		idp, err = samlsp.ParseMetadataByEntityID(text, p.c.EntityID)
	} else {
		idp, err = samlsp.ParseMetadata(text)
	}
	if err != nil {
		if p.c.EntityID != "" {
			return nil, errors.New("it is not the metadata of entity_id")
		}
		return nil, errors.New("it is not the metadata of one identity provider: for that of many, entity_id says which")
	}
	if err := p.checkIdentityProvider(idp); err != nil {
		return nil, err
	}
	return idp, nil
}

// weaklySigned reports whether the signature of the root uses SHA-1.
func weaklySigned(text []byte) bool {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil {
		return true
	}
	for _, signature := range doc.Root().SelectElements("Signature") {
		for _, el := range signature.FindElements(".//*") {
			if strings.HasSuffix(el.SelectAttrValue("Algorithm", ""), "sha1") {
				return true
			}
		}
	}
	return false
}

// checkIdentityProvider holds what the metadata says to what we do with it.
func (p *serviceProvider) checkIdentityProvider(idp *saml.EntityDescriptor) error {
	if idp.EntityID == "" || len(idp.EntityID) > 1024 { // saml-core §8.3.6
		return errors.New("its entityID must have 1 to 1024 characters")
	}
	if len(idp.IDPSSODescriptors) == 0 {
		return errors.New("it has no IDPSSODescriptor")
	}
	keys := 0
	for _, role := range idp.IDPSSODescriptors {
		// saml-metadata §2.4.1.1: without use, a key is for both
		for _, descriptor := range role.KeyDescriptors {
			if descriptor.Use != "" && descriptor.Use != "signing" {
				continue
			}
			for _, c := range descriptor.KeyInfo.X509Data.X509Certificates {
				if !strongCertificate(c.Data) {
					return errors.New("one of its signing certificates cannot be used: RSA keys need 2048 bits")
				}
				keys++
			}
		}
		for _, endpoint := range slices.Concat(role.SingleSignOnServices, role.SingleLogoutServices) {
			for _, address := range []string{endpoint.Location, endpoint.ResponseLocation} {
				if address != "" && endpoint.Binding != saml.SOAPBinding && !safeAddress(address) {
					return errors.New("one of its addresses is not https")
				}
			}
		}
	}
	if keys == 0 {
		return errors.New("it has no signing certificate")
	}
	if _, address := p.endpoint(idp); address == "" {
		return errors.New("it has no single sign-on service with the binding")
	}
	return nil
}

func strongCertificate(text string) bool {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return false
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	key, isRSA := cert.PublicKey.(*rsa.PublicKey)
	return !isRSA || key.N.BitLen() >= minRSABits
}

// endpoint returns where requests go, and how.
func (p *serviceProvider) endpoint(idp *saml.EntityDescriptor) (binding, address string) {
	sp := &saml.ServiceProvider{IDPMetadata: idp}
	for _, binding := range samlBindings[p.c.Binding] {
		if address := sp.GetSSOBindingLocation(binding); address != "" {
			return binding, address
		}
	}
	return "", ""
}
