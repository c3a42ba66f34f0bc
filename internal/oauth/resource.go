package oauth

import (
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// maxRepeated bounds how often a parameter comes that may come more than once.
const maxRepeated = 20

// audience says for whom the access tokens of a client can be, RFC 9068 §3: its
// APIs, and this server itself where there is something to ask it (userinfo, or
// what a reserved scope allows).
func (a *Authority) audience(c model.Client, scope []string) []string {
	aud := slices.Clone(c.Audiences)
	if len(aud) == 0 || slices.ContainsFunc(scope, own) {
		aud = append(aud, a.Issuer)
	}
	return unique(aud)
}

// checkResources reads for which of its APIs a client wants tokens, RFC 8707
// §2.1.
func checkResources(d *draft) *Error {
	d.asked.Resources = d.params.all("resource")
	_, e := d.target(d.asked.Resources, d.asked.Scope, d.audience(d.client.Client, d.asked.Scope))
	return e
}

// target narrows an audience to the resources that are asked for, RFC 8707 §2;
// with none, it is the whole. It never widens it. This server itself stays in the
// audience of a token with the scope openid, because such a token is there to ask
// userinfo with; likewise with a reserved scope.
func (a *Authority) target(resources, scope, audience []string) ([]string, *Error) {
	if len(resources) == 0 {
		return audience, nil
	}
	for _, r := range resources {
		switch {
		case !resourceSyntax(r):
			return nil, fail(InvalidTarget, "A resource must be an absolute URI without a fragment")
		case !slices.Contains(audience, r):
			return nil, fail(InvalidTarget, "The resource %s is not one for which this client may have a token", plain(r))
		}
	}
	if slices.ContainsFunc(scope, own) && slices.Contains(audience, a.Issuer) {
		resources = append(slices.Clone(resources), a.Issuer)
	}
	return unique(resources), nil
}

// resourceSyntax holds for what RFC 8707 §2 takes: "an absolute URI" which "MUST
// NOT include a fragment component".
func resourceSyntax(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "") && !strings.ContainsAny(s, "# ")
}
