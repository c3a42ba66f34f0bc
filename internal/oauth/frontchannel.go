package oauth

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// maxFrames bounds how many applications a browser is made to visit at once.
const maxFrames = 50

// Frame is an address that a browser has to load so that an application signs
// its person out, OpenID Connect Front-Channel Logout §3.
type Frame struct {
	URI    string
	Origin string // of the URI
}

// FrontChannel lists what the browser of a session has to load when that is over,
// for each client that took part in it and asked for that.
func (a *Authority) FrontChannel(ctx context.Context, id model.SessionID) ([]Frame, error) {
	var clients []model.Client
	err := a.view(ctx, func(tx *store.Tx) (err error) {
		clients, err = tx.Participants(id, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	var frames []Frame
	for _, c := range clients {
		origin := originOf(c.FrontchannelURI)
		if origin == "" || len(frames) == maxFrames {
			continue
		}
		// §2: both or neither, and what the URI has of a query is retained.
		joint := "?"
		if strings.Contains(c.FrontchannelURI, "?") {
			joint = "&"
		}
		query := url.Values{"iss": {a.Issuer}, "sid": {string(id)}}.Encode()
		frames = append(frames, Frame{URI: c.FrontchannelURI + joint + query, Origin: origin})
	}
	return frames, nil
}

// originOf is the origin of a web address as a browser spells it (RFC 6454 §6.2),
// or nothing where the address is not one of the web or its host holds anything
// but what hosts are made of: an origin is written into a policy.
func originOf(uri string) string {
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
		if originOf(l.uri) == "" {
			return invalid(l.name+"_uri", "%q: its host is not a name or an address", l.uri)
		}
	}
	if s.FrontchannelURI == "" {
		return nil
	}
	// Front-Channel Logout §2: "The domain, port, and scheme of this URL MUST be
	// the same as that of a registered Redirection URI value."
	origin := originOf(s.FrontchannelURI)
	if !slices.ContainsFunc(s.RedirectURIs, func(uri string) bool { return originOf(uri) == origin }) {
		return invalid("frontchannel_logout_uri", "its scheme, host and port must be those of one of the redirect_uris")
	}
	return nil
}
