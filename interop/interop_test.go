// Package interop drives the server with relying parties that others wrote, and signs
// people in here with providers that others wrote, unmodified. It is a module of its own,
// so that what they depend on stays out of ours.
package interop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

const (
	login    = "olena"
	password = "correct horse battery"
)

// world is a server with one person and one client, and a web server on which
// the client's pages stand.
type world struct {
	*servertest.House
	user   model.User
	client model.Client
	secret model.Secret
	site   *httptest.Server
	mux    *http.ServeMux
}

func newWorld(t *testing.T, s model.ClientSettings) world {
	t.Helper()
	w := world{House: servertest.Start(t), mux: http.NewServeMux()}
	w.site = httptest.NewServer(w.mux)
	t.Cleanup(w.site.Close)
	w.user = w.User(login, password)
	s.RedirectURIs = append(s.RedirectURIs, w.site.URL+"/callback")
	s.PostLogoutRedirectURIs = append(s.PostLogoutRedirectURIs, w.site.URL+"/bye")
	s.FirstParty = true
	s.Scopes = []string{"openid", "profile", "email", "offline_access"}
	w.client, w.secret = w.Client("interop", s)
	return w
}

// visit walks a browser from the client's start page through the sign-in back
// to the client, and returns what the client shows at the end.
func (w world) visit(t *testing.T, b *servertest.Browser, start string) *servertest.Page {
	t.Helper()
	p := b.Get(start)
	if w.atHome(p.URL) && strings.HasSuffix(p.URL.Path, "/login") {
		p = p.Submit("primary", "login", login, "password", password)
	}
	if w.atHome(p.URL) && p.Status == http.StatusOK {
		p = p.Submit("primary") // response_mode=form_post: a script would press it
	}
	if w.atHome(p.URL) {
		t.Fatalf("the browser stayed at %s with %d: %s", p.URL, p.Status, p.Body)
	}
	return p
}

func (w world) atHome(u *url.URL) bool { return u.Scheme+"://"+u.Host == w.Issuer }
