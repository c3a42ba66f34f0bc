package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

// addProvider makes an identity provider known to a server.
func addProvider(t *testing.T, h *servertest.House, id model.UpstreamID, s model.UpstreamSettings, connection map[string]any, secrets map[string]model.Secret) {
	t.Helper()
	var err error
	if s.Connection, err = json.Marshal(connection); err != nil {
		t.Fatal(err)
	}
	_, err = h.Federation.Change(t.Context(), servertest.Operator, federation.Change{ID: id, After: &model.Upstream{UpstreamSettings: s}, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
}

// addHouse starts a second server, on another site, at which people of the first sign in
// by OpenID Connect.
func addHouse(t *testing.T, h *servertest.House) *servertest.House {
	t.Helper()
	op := servertest.Start(t, func(c *server.Config) {
		c.Issuer, c.Name = strings.Replace(c.Issuer, "localhost", "127.0.0.1", 1), "The second house"
	})
	at := h.Issuer + "/upstream/house"
	c, key := op.Client("first", model.ClientSettings{
		Name: "The first house", FirstParty: true, Scopes: []string{"openid", "profile", "email"},
		RedirectURIs: []string{at + "/callback"}, PostLogoutRedirectURIs: []string{h.Issuer + "/signed-out"},
		BackchannelURI: at + "/backchannel", BackchannelSession: true,
	})
	addProvider(t, h, "house", model.UpstreamSettings{Kind: "oidc", Name: "Second House", SignUp: true, Position: 1},
		map[string]any{"issuer": op.Issuer, "client_id": string(c.ID)}, map[string]model.Secret{"client_secret": key})
	return op
}

// addGitHub starts what stands for a GitHub Enterprise Server. It knows one person, and
// checks each request against docs.github.com/apps/oauth-apps.
func addGitHub(t *testing.T, h *servertest.House) {
	t.Helper()
	var mu sync.Mutex
	challenge := ""
	redirect := h.Issuer + "/upstream/github/callback"
	bad := func(w http.ResponseWriter, format string, args ...any) {
		t.Errorf("GitHub is asked wrongly: "+format, args...)
		http.Error(w, "no", http.StatusBadRequest)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "Iv1.test" || q.Get("redirect_uri") != redirect || q.Get("scope") != "user:email" || q.Get("code_challenge_method") != "S256" {
			bad(w, "%v", q)
			return
		}
		mu.Lock()
		challenge = q.Get("code_challenge")
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>GitHub</title><h1>Sign in to GitHub</h1><a id="authorize" href="%s?%s">Authorize</a>`,
			redirect, strings.ReplaceAll(url.Values{"code": {"c-1"}, "state": {q.Get("state")}}.Encode(), "&", "&amp;"))
	})
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		mu.Lock()
		proven := base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
		mu.Unlock()
		if form.Get("client_id") != "Iv1.test" || form.Get("client_secret") != "github secret" || form.Get("code") != "c-1" || form.Get("redirect_uri") != redirect ||
			!proven || !strings.Contains(r.Header.Get("Accept"), "application/json") {
			bad(w, "%v %v", form, r.Header)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, `{"access_token":"gho_16C7e42F292c6912E7710c838347Ae178B4a","token_type":"bearer","scope":"user:email"}`)
	})
	api := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer gho_16C7e42F292c6912E7710c838347Ae178B4a" || r.UserAgent() == "" {
				bad(w, "%v", r.Header)
				return
			}
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /api/v3/user", api(`{"login":"ada","id":583231,"name":"Ada Lovelace","email":null}`))
	mux.HandleFunc("GET /api/v3/user/emails", api(`[{"email":"ada@engines.example","primary":true,"verified":true,"visibility":"private"}]`))
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	addProvider(t, h, "github", model.UpstreamSettings{Kind: "github", Name: "GitHub", SignUp: true, Position: 2},
		map[string]any{"client_id": "Iv1.test", "server": site.URL}, map[string]model.Secret{"client_secret": "github secret"})
}

// addSAML starts the identity provider of crewjam/saml, which is on another site.
func addSAML(t *testing.T, h *servertest.House) {
	t.Helper()
	idp := upstreamtest.NewIdentityProvider(t, h.Clock.Now)
	addProvider(t, h, "work", model.UpstreamSettings{Kind: "saml", Name: "Work", SignUp: true, TrustMail: true, Position: 3},
		map[string]any{"metadata_url": idp.MetadataURL}, nil)
	res, err := http.Get(h.Issuer + "/upstream/work/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ours, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("our metadata: %d %s %v", res.StatusCode, ours, err)
	}
	idp.Register(t, ours)
}

// addDirectory starts Debian's slapd.
func addDirectory(t *testing.T, h *servertest.House) {
	t.Helper()
	d := upstreamtest.NewDirectory(t)
	addProvider(t, h, "staff", model.UpstreamSettings{Kind: "ldap", Name: "Staff Directory", SignUp: true, TrustMail: true, Position: 4, Domains: []string{"staff.example"}},
		map[string]any{
			"servers": []string{d.LDAPS}, "ca": d.CA, "bind_dn": d.ReaderDN,
			"search": map[string]any{"base": "ou=people," + d.Base, "filter": "(uid={login})"},
		}, map[string]model.Secret{"bind_password": model.Secret(d.ReaderPassword)})
}

// TestSignInElsewhereInBrowser signs in by each kind of provider: the first time an
// account is made, which has an identity then; that is seen, taken away and connected
// again, and the person signs out.
func TestSignInElsewhereInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("admin", secret)
	op := addHouse(t, h)
	op.User("olena", secret)
	addGitHub(t, h)
	addSAML(t, h)
	addDirectory(t, h)
	for _, kind := range []struct {
		name, login string
		there       func(b *browser) // from the button to what follows
	}{
		{"house", "olena", func(b *browser) {
			b.do("to the second house", browsertest.Click(`button[formaction$="/upstream/house"], button[value="house"]`))
			b.expect(`header.brand`, "The second house")
			b.do("signing in there", browsertest.Visible(`#password`), browsertest.Fill(`#login`, "olena"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`))
		}},
		{"github", "ada", func(b *browser) {
			b.do("to GitHub", browsertest.Click(`button[formaction$="/upstream/github"], button[value="github"]`), browsertest.Visible(`#authorize`), browsertest.Click(`#authorize`))
		}},
		{"work", "alice", func(b *browser) {
			b.do("to work", browsertest.Click(`button[formaction$="/upstream/work"], button[value="work"]`), browsertest.Visible(`input[name="user"]`),
				browsertest.Type(`input[name="user"]`, "alice"), browsertest.Type(`input[name="password"]`, "alice's password"), browsertest.Submit(`input[name="password"]`))
		}},
		{"staff", "bob", func(b *browser) {
			b.do("to the directory", browsertest.Click(`a[href$="/directory/staff"], button[value="staff"]`))
			b.expect(`h1`, "Staff Directory")
			b.do("a wrong password", browsertest.Visible(`#password`), browsertest.Fill(`#login`, "bob"), browsertest.Type(`#password`, "guessed"), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
			b.do("the right one", browsertest.Type(`#password`, "bob's password"), browsertest.Submit(`#password`))
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			b := openBrowser(t)
			b.do("asking for the account", browsertest.Visit(h.Issuer+"/account/sign-in/elsewhere"), browsertest.Visible(`#password`))
			kind.there(b)
			b.do("the new account", browsertest.Visible(`#name`), browsertest.Fill(`#login`, kind.login), browsertest.Click(`.primary`), browsertest.Visible(`nav.menu`))
			b.expect(`h1`, "Connected accounts")
			b.expect(`.thing`, "Connected ")
			user, err := h.Accounts.ByLogin(context.Background(), kind.login)
			if err != nil {
				t.Fatal(err)
			}
			b.do("the last way stays", browsertest.Click(`.thing .danger`), browsertest.Visible(`[role="alert"]`))
			b.expect(`[role="alert"]`, "last way to sign in")
			b.do("a password", browsertest.Visit(h.Issuer+"/account/sign-in"), browsertest.Visible(`#password`), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`.notice`))
			b.do("disconnecting", browsertest.Visit(h.Issuer+"/account/sign-in/elsewhere"), browsertest.Visible(`.thing .danger`), browsertest.Click(`.thing .danger`), browsertest.Gone(`.thing`))
			b.expect(`.notice`, "The account is disconnected")
			if list, err := h.Federation.Identities(context.Background(), user.ID); err != nil || len(list) != 0 {
				t.Errorf("connected is %v (%v)", list, err)
			}
			b.connectAgain(h, kind.name, kind.login, kind.there)
			if list, err := h.Federation.Identities(context.Background(), user.ID); err != nil || len(list) != 1 {
				t.Errorf("connected is %v (%v)", list, err)
			}
			b.signOutAnd(h, kind.name)
		})
	}
}

// connectAgain connects the account elsewhere from the page of the own account. Who is
// signed in over there need not type anything.
func (b *browser) connectAgain(h *servertest.House, name, login string, there func(b *browser)) {
	b.t.Helper()
	b.do("the page", browsertest.Visit(h.Issuer+"/account/sign-in/elsewhere"), browsertest.Visible(`button[value="`+name+`"]`))
	switch name {
	case "staff":
		there(b)
	case "github":
		there(b)
	default:
		b.do("to "+name, browsertest.Click(`button[value="`+name+`"]`))
		if name == "house" { // where several may be signed in they say which
			b.do("which", browsertest.Visible(`button.account`), browsertest.Click(`button.account`))
		}
	}
	b.do("back", browsertest.Visible(`.thing .danger`))
	b.expect(`.notice`, "The account is connected")
}

// signOutAnd signs out here, signs in anew by the provider, and signs out over there as
// well where there is a way.
func (b *browser) signOutAnd(h *servertest.House, name string) {
	b.t.Helper()
	out := func() {
		b.do("signing out", browsertest.Visit(h.Issuer+"/logout"), browsertest.Visible(`button[value="signout"]`), browsertest.Click(`button[value="signout"]`), browsertest.Visible(`.state.good`))
		b.expect(`h1`, "You are signed out")
	}
	out()
	if name != "house" {
		return
	}
	b.do("in again", browsertest.Visit(h.Issuer+"/account"), browsertest.Visible(`main a.primary`), browsertest.Click(`main a.primary`), browsertest.Visible(`button[formaction$="/house"]`), browsertest.Click(`button[formaction$="/house"]`), browsertest.Visible(`nav.menu`))
	out()
	b.expect(`.lede`, "You are still signed in at Second House")
	b.fits("upstream-signedout")
	b.do("over there as well", browsertest.Click(`a.also`), browsertest.Gone(`a.also`))
	b.expect(`.lede`, "Your session has ended")
}

// TestProvidersOnPages photographs what there is to see of providers, in each language.
func TestProvidersOnPages(t *testing.T) {
	h := servertest.Start(t)
	h.User("admin", secret)
	h.User("olena", secret)
	op := addHouse(t, h)
	olena := op.User("olena", secret)
	op.User("taras", secret)
	addDirectory(t, h)
	for i, known := range []string{"google", "github", "facebook", "x"} {
		addProvider(t, h, model.UpstreamID(known), model.UpstreamSettings{Kind: known, Position: int64(10 + i)}, map[string]any{"client_id": "1"}, map[string]model.Secret{"client_secret": "a secret"})
	}
	addProvider(t, h, "microsoft", model.UpstreamSettings{Kind: "microsoft", Position: 10}, map[string]any{"client_id": "1", "tenant": "common"}, map[string]model.Secret{"client_secret": "a secret"})
	shop, _ := h.Client("shop", model.ClientSettings{Name: "The Lantern Shop", RedirectURIs: []string{"http://127.0.0.1:1/callback"}, Scopes: []string{"openid", "profile", "email"}})
	for _, tag := range []string{"en", "uk", "ja"} {
		b := openBrowser(t)
		login := func() {
			b.do("the sign-in page", browsertest.Visit(h.Issuer+servertest.AuthorizePath(shop, "ui_locales", tag, "prompt", "login")), browsertest.Visible(`html[lang="`+tag+`"] .upstreams`))
		}
		login()
		b.fits("upstream-" + tag + "-login")
		b.do("the directory", browsertest.Click(`a[href$="/directory/staff"]`), browsertest.Visible(`#password`), browsertest.Type(`#password`, "guessed"), browsertest.Type(`#login`, "bob"), browsertest.Submit(`#login`), browsertest.Visible(`[role="alert"]`))
		b.fits("upstream-" + tag + "-directory")
		there := func(who, then string) {
			login()
			b.do("to the second house", browsertest.Click(`button[formaction*="/upstream/house"]`))
			b.expect(`header.brand`, "The second house")
			b.do("signing in there", browsertest.Visible(`#password`), browsertest.Fill(`#login`, who), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(then))
		}
		there("olena", `.person + .lede`)
		b.fits("upstream-" + tag + "-connect")
		there("taras", `#name`)
		b.fits("upstream-" + tag + "-join")
		login()
		b.do("to the second house", browsertest.Click(`button[formaction*="/upstream/house"]`))
		b.expect(`header.brand`, "The second house")
		b.do("saying no", browsertest.Visible(`.cancel`), browsertest.Click(`.cancel`), browsertest.Visible(`.upstreams`))
		b.fits("upstream-" + tag + "-denied")
		b.do("the account", browsertest.Visit(h.Issuer+"/account/sign-in/elsewhere?ui_locales="+tag), browsertest.Visible(`#password`), browsertest.Fill(`#login`, "olena"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`nav.menu`))
		if tag == "ja" { // the last: who is connected is not asked again
			b.do("connecting", browsertest.Click(`button[value="house"]`))
			b.expect(`header.brand`, "The second house")
			b.do("which of those who are signed in there", browsertest.Visible(`button.account`), browsertest.Click(`button.account[value="`+string(olena.ID)+`"]`), browsertest.Visible(`.thing`))
		}
		b.do("in the language", browsertest.Click(`.languages button[value="`+tag+`"]`), browsertest.Visible(`html[lang="`+tag+`"] h1`))
		b.fits("upstream-" + tag + "-identities")
	}
}
