package upstream

import (
	"strings"

	"github.com/ostiary/ostiary/client"
)

// googleConnection is the connection of Google. Its secret is client_secret.
type googleConnection struct {
	ClientID string `json:"client_id"`
	// Domain lets people of one Google Workspace in alone; "*": of any, so that nobody
	// comes with a private account.
	Domain string   `json:"hosted_domain,omitempty"`
	Scopes []string `json:"scopes,omitempty"` // empty: openid, profile and email

	Parameters    map[string]string `json:"parameters,omitempty"`
	AllowInternal bool              `json:"allow_internal,omitempty"`
}

func openGoogle(c Config) (Connector, error) {
	var o googleConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	extra, err := extraParameters(o.Parameters, "")
	if err != nil {
		return nil, err
	}
	if o.Domain != "" {
		extra.Set("hd", o.Domain)
	}
	return openPreset(c, preset{
		config: client.Config{Issuer: "https://accounts.google.com", ClientID: o.ClientID, Scopes: o.Scopes, AuthMethod: client.AuthPost},
		oidc: oidc{
			carries:    carries{prompts: []string{"none", "consent", "select_account"}, hint: true},
			extra:      extra,
			noUserinfo: true, // the ID token has it all
			settle:     func(p *Person, _ Answer) error { return googleSettles(p, o.Domain) },
		},
	})
}

// googleSettles: the parameter hd is a wish that the person can take out of the address,
// the claim of that name is what counts. And Google vouches for its own addresses: of any
// other it knows that somebody had it when they made their account, which may be long
// ago.
func googleSettles(p *Person, domain string) error {
	hosted := text(p.Claims, "hd")
	if domain == "*" && hosted == "" || domain != "" && domain != "*" && !strings.EqualFold(hosted, domain) {
		return failed(Denied, "the account is not of the Google Workspace that is required")
	}
	email := strings.ToLower(text(p.Claims, "email"))
	if hosted == "" && !strings.HasSuffix(email, "@gmail.com") && !strings.HasSuffix(email, "@googlemail.com") {
		p.Claims["email_verified"] = false
	}
	return nil
}
