package upstream

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/client"
)

// microsoftConnection is the connection of Microsoft Entra ID and of Microsoft accounts.
// Its secret is client_secret.
type microsoftConnection struct {
	ClientID string `json:"client_id"`
	// Tenant is whose people may come: the ID of one tenant, "organizations" for those of
	// any, "consumers" for private accounts, or "common" for both.
	Tenant string `json:"tenant"`
	// Tenants are the IDs of those that may come, of organizations and common; empty:
	// all.
	Tenants []string `json:"tenants,omitempty"`
	Scopes  []string `json:"scopes,omitempty"` // empty: openid, profile and email
	// DomainHint leads people to their organization without a question.
	DomainHint string `json:"domain_hint,omitempty"`

	Parameters    map[string]string `json:"parameters,omitempty"`
	AllowInternal bool              `json:"allow_internal,omitempty"`
}

const (
	microsoftLogin = "https://login.microsoftonline.com/"
	// microsoftConsumers is the tenant of all private accounts.
	microsoftConsumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

var uuid = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`) })

func openMicrosoft(c Config) (Connector, error) {
	var o microsoftConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	for i, tenant := range o.Tenants {
		if o.Tenants[i] = strings.ToLower(tenant); !uuid().MatchString(o.Tenants[i]) {
			return nil, ErrInvalid{"tenants", "are IDs, such as " + microsoftConsumers}
		}
	}
	extra, err := extraParameters(o.Parameters, "form_post")
	if err != nil {
		return nil, err
	}
	if o.DomainHint != "" {
		extra.Set("domain_hint", o.DomainHint)
	}
	p := preset{
		config: client.Config{ClientID: o.ClientID, Scopes: o.Scopes, AuthMethod: client.AuthPost},
		oidc: oidc{
			carries: carries{prompts: []string{"none", "login", "consent", "select_account"}, hint: true, locales: true},
			extra:   extra,
			// Its userinfo endpoint tells less than the ID token does.
			noUserinfo: true,
			settle:     microsoftSettles,
		},
	}
	if err := p.tenant(o); err != nil {
		return nil, err
	}
	return openPreset(c, p)
}

// tenant says whose tokens are taken. One tenant has an issuer like everybody else; the
// endpoints for several name theirs with a gap in it, and each token fills the gap.
func (p *preset) tenant(o microsoftConnection) error {
	tenant := strings.ToLower(o.Tenant)
	if tenant == "consumers" {
		tenant = microsoftConsumers
	}
	switch {
	case uuid().MatchString(tenant):
		if len(o.Tenants) > 0 {
			return ErrInvalid{"tenants", "is for organizations and common"}
		}
		p.config.Issuer = microsoftLogin + tenant + "/v2.0"
		return nil
	case tenant != "organizations" && tenant != "common":
		return ErrInvalid{"tenant", "is the ID of one, organizations, consumers or common"}
	}
	p.config.Issuer = microsoftLogin + "{tenantid}/v2.0"
	p.config.Discovery = microsoftLogin + tenant + "/v2.0/.well-known/openid-configuration"
	p.config.Tenants = func(named string) bool {
		named = strings.ToLower(named)
		if tenant == "organizations" && named == microsoftConsumers {
			return false
		}
		return uuid().MatchString(named) && (len(o.Tenants) == 0 || slices.Contains(o.Tenants, named))
	}
	p.issues = func(issuer string) bool {
		rest, begins := strings.CutPrefix(issuer, microsoftLogin)
		named, ends := strings.CutSuffix(rest, "/v2.0")
		return begins && ends && p.config.Tenants(named)
	}
	return nil
}

// microsoftSettles: the claim email is whatever an administrator of somebody's tenant has
// written there, and may be anybody's address. That its domain is the tenant's own is told
// by xms_edov, an optional claim that has to be asked for where the application is
// registered.
func microsoftSettles(p *Person, _ Answer) error {
	verified := p.Claims["xms_edov"]
	p.Claims["email_verified"] = verified == true || slices.Contains([]string{"1", "true"}, strings.ToLower(written(verified)))
	return nil
}
