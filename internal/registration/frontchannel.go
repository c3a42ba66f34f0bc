package registration

import (
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// Origin is the origin of a web address as a browser spells it (RFC 6454 §6.2),
// or nothing where the address is not one of the web or its host holds anything
// but what hosts are made of: an origin is written into a policy.
func Origin(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") != "" || strings.HasSuffix(host, ":") {
		return ""
	}
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host
}

// checkClientLogout says whether a client may be told of sign-outs where it asks
// to be told.
func checkClientLogout(s model.ClientSettings) error {
	for _, l := range []struct {
		name, uri string
		session   bool
	}{
		{"backchannel_logout", s.BackchannelURI, s.BackchannelSession},
		{"frontchannel_logout", s.FrontchannelURI, s.FrontchannelSession},
	} {
		if l.uri == "" {
			if l.session {
				return invalid(l.name+"_session_required", "it needs %s_uri", l.name)
			}
			continue
		}
		// Back-Channel Logout §2.2, Front-Channel Logout §2: absolute, and no fragment.
		if err := checkRedirectURI(l.uri, false); err != nil {
			return invalid(l.name+"_uri", "%q: %v", l.uri, err)
		}
		if Origin(l.uri) == "" {
			return invalid(l.name+"_uri", "%q: its host is not a name or an address", l.uri)
		}
	}
	if s.FrontchannelURI == "" {
		return nil
	}
	// Front-Channel Logout §2: "The domain, port, and scheme of this URL MUST be
	// the same as that of a registered Redirection URI value."
	origin := Origin(s.FrontchannelURI)
	if !slices.ContainsFunc(s.RedirectURIs, func(uri string) bool { return Origin(uri) == origin }) {
		return invalid("frontchannel_logout_uri", "its scheme, host and port must be those of one of the redirect_uris")
	}
	return nil
}
