package resource

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Metadata describes the API to clients that know nothing but its address,
// RFC 9728 §2.
type Metadata struct {
	// Resource is the API's identifier: its https URL, http on this machine
	// only. Default: Config.Audience, if that is such a URL; otherwise there is
	// no metadata and challenges do not point to it.
	Resource             string
	AuthorizationServers []string // default: the issuers of Config
	Scopes               []string // all that the API uses, as far as it wants to tell
	Name                 string   // for people
	Documentation        string   // URL
	Policy               string   // URL
	TermsOfService       string   // URL
}

const wellKnown = "/.well-known/oauth-protected-resource"

// described is Metadata, checked and ready to be served.
type described struct {
	url  string // of the document; "" if there is none
	path string
	body []byte
}

func describe(m Metadata, audience string, issuers []string) (described, error) {
	if m.Resource == "" {
		if checkResource(audience) != nil {
			return described{path: wellKnown}, nil
		}
		m.Resource = audience
	}
	if err := checkResource(m.Resource); err != nil {
		return described{}, err
	}
	if len(m.AuthorizationServers) == 0 {
		m.AuthorizationServers = issuers
	}
	u, err := url.Parse(m.Resource)
	if err != nil {
		return described{}, err
	}
	// RFC 9728 §3.1: inserted between host and path; a lone slash goes.
	path := wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	body, err := json.Marshal(struct {
		Resource      string   `json:"resource"`
		Servers       []string `json:"authorization_servers"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Name          string   `json:"resource_name,omitempty"`
		Documentation string   `json:"resource_documentation,omitempty"`
		Policy        string   `json:"resource_policy_uri,omitempty"`
		Terms         string   `json:"resource_tos_uri,omitempty"`
	}{m.Resource, m.AuthorizationServers, m.Scopes, []string{"header"}, m.Name, m.Documentation, m.Policy, m.TermsOfService})
	if err != nil {
		return described{}, err
	}
	return described{url: u.Scheme + "://" + u.Host + path, path: path, body: body}, nil
}

// MetadataPath returns where Metadata must be mounted: the well-known path, with
// the path of the resource behind it, RFC 9728 §3.1.
func (g *Guard) MetadataPath() string { return g.described.path }

// Metadata serves the API's protected resource metadata, RFC 9728 §3.2, to
// everybody and to scripts of every origin. Where there is none it answers 404.
func (g *Guard) Metadata() http.Handler {
	body := g.described.body
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		switch {
		case body == nil:
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "Method not allowed.", http.StatusMethodNotAllowed)
		default:
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "public, max-age=300")
			h.Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body) // the status is out: nothing to do on failure
		}
	})
}

// checkResource: RFC 9728 §1.2, without the query that it advises against.
func checkResource(s string) error {
	if err := checkURL(s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "?#\"\\") {
		return errors.New("must have no query, no fragment and no quotes")
	}
	return nil
}

// checkURL accepts absolute https URLs, and http ones to this machine.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Contains(s, "#"):
		return errors.New("must be an absolute URL without user and fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return errors.New("must be https, or http on this machine only")
	}
}

// isLoopback recognises names and addresses of this machine, RFC 6761 §6.3.
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
