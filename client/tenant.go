package client

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
)

// tenantPlace stands in an issuer for the tenant, in the words of Microsoft's metadata.
const tenantPlace = "{tenantid}"

// issuers are those that a token may name, as far as that is known beforehand: with
// tenants, checkTenant looks.
func (c *Client) issuers() []string {
	if c.config.Tenants != nil {
		return nil
	}
	return []string{c.config.Issuer}
}

// mayIssue reports whether an authorization response may name an issuer, RFC 9207 §2.4.
func (c *Client) mayIssue(issuer string) bool {
	if c.config.Tenants == nil {
		return issuer == c.config.Issuer
	}
	before, after, _ := strings.Cut(c.config.Issuer, tenantPlace)
	rest, fits := strings.CutPrefix(issuer, before)
	tenant, ends := strings.CutSuffix(rest, after)
	return fits && ends && (tenant == tenantPlace || validTenant(tenant))
}

// checkTenant checks with Tenants that a verified token comes from the issuer of the
// tenant that it names, that its key may sign for that issuer, and that the tenant is
// welcome.
func (c *Client) checkTenant(ctx context.Context, up *upstream, kid string, claims json.RawMessage) error {
	if c.config.Tenants == nil {
		return nil
	}
	var named map[string]json.RawMessage
	var issuer, tenant string
	if json.Unmarshal(claims, &named) != nil || json.Unmarshal(named["iss"], &issuer) != nil || json.Unmarshal(named["tid"], &tenant) != nil {
		return errors.New("iss or tid is missing")
	}
	if !validTenant(tenant) || issuer != strings.Replace(c.config.Issuer, tenantPlace, tenant, 1) {
		return errors.New("iss is not that of the tenant")
	}
	// One set has the keys for all tenants, and some that sign for one tenant only. The
	// signature does not tell them apart, the member "issuer" of the key does.
	keys, err := up.keys.Find(ctx, kid)
	if err != nil || kid == "" || len(keys) != 1 {
		return errors.New("it does not name its key")
	}
	if by := keys[0].Issuer(); by != "" && by != c.config.Issuer && by != issuer {
		return errors.New("its key signs for another tenant")
	}
	if !c.config.Tenants(tenant) {
		return errors.New("the tenant is not welcome")
	}
	return nil
}

// validTenant: a UUID, in whichever case; nothing that could change a path.
func validTenant(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return s != ""
}
