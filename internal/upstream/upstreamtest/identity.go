package upstreamtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"html"
	"html/template"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlidp"
	"github.com/jonboulle/clockwork"
	dsig "github.com/russellhaering/goxmldsig"
)

// IdentityProvider is a running SAML identity provider with a page to sign in, where
// alice, bob and carol have the passwords, addresses and groups that they have in a
// Directory. Its name IDs are mail addresses, and transient for carol, who has none. It
// encrypts for whoever has an encryption key.
type IdentityProvider struct {
	URL         string // http://127.0.0.1:port
	MetadataURL string // which is its entity ID too
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate
	Server      *samlidp.Server

	services int
}

// clock tells the time of now.
type clock struct {
	clockwork.Clock
	now func() time.Time
}

func (c clock) Now() time.Time { return c.now() }

// NewIdentityProvider starts one whose time is now's.
func NewIdentityProvider(t testing.TB, now func() time.Time) *IdentityProvider {
	t.Helper()
	p := &IdentityProvider{}
	p.Key, p.Certificate = NewKey(t)
	// The server's address is a part of what it says, so the handler comes after it.
	var handler http.Handler
	var mu sync.RWMutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.RLock()
		defer mu.RUnlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	server, err := samlidp.New(samlidp.Options{
		URL: *at, Key: p.Key, Certificate: p.Certificate, Store: &samlidp.MemoryStore{},
		Logger: log.New(io.Discard, "", 0), Clock: dsig.NewFakeClock(clock{clockwork.NewRealClock(), now}),
	})
	if err != nil {
		t.Fatal(err)
	}
	pages := &loginPages{Server: server, entered: map[string]bool{}}
	server.IDP.SessionProvider = pages
	mu.Lock()
	handler = pages
	mu.Unlock()
	p.Server, p.URL, p.MetadataURL = server, s.URL, s.URL+"/metadata"
	for _, u := range []samlidp.User{
		{Name: "alice", Email: "alice@example.com", CommonName: "Alice Example", GivenName: "Alice", Surname: "Example", Groups: []string{"staff", "admins"}},
		{Name: "bob", Email: "bob@example.com", CommonName: "Bob Example", GivenName: "Bob", Surname: "Example", Groups: []string{"staff"}},
		{Name: "carol", CommonName: "Carol Example", GivenName: "Carol", Surname: "Example"},
	} {
		password := u.Name + "'s password"
		u.PlaintextPassword = &password
		body, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		p.put(t, "/users/"+u.Name, body)
	}
	return p
}

// loginPages shows samlidp's page to sign in with. Its own form sends a request that
// came by a redirect on as if it had been posted, without its signature, and so cannot
// be used by whoever signs. This one comes back to where it was.
type loginPages struct {
	*samlidp.Server
	mu      sync.Mutex
	entered map[string]bool // addresses of requests for which somebody has signed in now
}

var loginPage = template.Must(template.New("").Parse(`<!doctype html><title>Identity provider</title><form method="post" action="{{.Action}}">
<label>User <input name="user" value="" autocomplete="off"></label> <label>Password <input type="password" name="password" value=""></label>
<input type="hidden" name="next" value="{{.Next}}"><button>Sign in there</button></form>`))

func (l *loginPages) GetSession(w http.ResponseWriter, r *http.Request, req *saml.IdpAuthnRequest) *saml.Session {
	if r.Method != http.MethodGet || req.Request.IsPassive != nil && *req.Request.IsPassive {
		return l.Server.GetSession(w, r, req)
	}
	next := r.URL.RequestURI()
	l.mu.Lock()
	entered := l.entered[next]
	delete(l.entered, next)
	l.mu.Unlock()
	asked := *req
	if entered {
		asked.Request.ForceAuthn = nil
	}
	if session := l.Server.GetSession(httptest.NewRecorder(), r, &asked); session != nil {
		return session
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	loginPage.Execute(w, map[string]string{"Action": l.IDP.SSOURL.Scheme + "://" + l.IDP.SSOURL.Host + "/enter", "Next": next})
	return nil
}

func (l *loginPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/enter" {
		l.Server.ServeHTTP(w, r)
		return
	}
	r.ParseForm()
	next := r.PostForm.Get("next")
	login := r.Clone(r.Context())
	login.URL = &url.URL{Path: "/login"}
	signedIn := httptest.NewRecorder()
	l.Server.ServeHTTP(signedIn, login)
	for _, cookie := range signedIn.Result().Cookies() {
		http.SetCookie(w, cookie)
		l.mu.Lock()
		l.entered[next] = true
		l.mu.Unlock()
	}
	http.Redirect(w, r, l.IDP.SSOURL.Scheme+"://"+l.IDP.SSOURL.Host+next, http.StatusSeeOther)
}

// NewKey makes a key for SAML, with a certificate that is valid for any clock of a
// test.
func NewKey(t testing.TB) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	return newKey(t, 2048)
}

// NewWeakKey makes one that nobody should trust.
func NewWeakKey(t testing.TB) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	return newKey(t, 1024)
}

func newKey(t testing.TB, bits int) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "identity provider"},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (p *IdentityProvider) put(t testing.TB, path string, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("PUT %s: %d %s", path, resp.StatusCode, text)
	}
}

// Register makes a service known by its metadata.
func (p *IdentityProvider) Register(t testing.TB, metadata []byte) {
	t.Helper()
	p.services++
	p.put(t, "/services/"+strings.Repeat("s", p.services), metadata)
}

// Browser keeps the cookies of somebody at the provider.
type Browser struct {
	client *http.Client
	at     string
}

// NewBrowser returns a browser that follows no redirect to elsewhere.
func (p *IdentityProvider) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{at: p.URL, client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), p.URL+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// Page is what a browser has been shown: a form, or where it is sent.
type Page struct {
	Action   string
	Fields   url.Values
	Location string // not followed
	Text     string
}

var (
	formTag   = regexp.MustCompile(`<form [^>]*action="([^"]*)"`)
	inputTag  = regexp.MustCompile(`<input [^>]*name="([^"]*)"[^>]*`)
	valueAttr = regexp.MustCompile(`value="([^"]*)"`)
)

// Visit goes to an address, by a form if there is one.
func (b *Browser) Visit(t testing.TB, address string, form url.Values) Page {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	page := Page{Text: string(text), Location: resp.Header.Get("Location"), Fields: url.Values{}}
	if m := formTag.FindStringSubmatch(page.Text); m != nil {
		page.Action = html.UnescapeString(m[1])
	}
	for _, m := range inputTag.FindAllStringSubmatch(page.Text, -1) {
		if v := valueAttr.FindStringSubmatch(m[0]); v != nil {
			page.Fields.Set(m[1], html.UnescapeString(v[1]))
		}
	}
	return page
}

// SignIn goes to an address and signs in where it is asked to. It returns the form with
// the response.
func (b *Browser) SignIn(t testing.TB, address string, form url.Values, login string) Page {
	t.Helper()
	page := b.Visit(t, address, form)
	if page.Fields.Has("password") {
		page.Fields.Set("user", login)
		page.Fields.Set("password", login+"'s password")
		page = b.Visit(t, page.Action, page.Fields)
	}
	if !page.Fields.Has("SAMLResponse") {
		t.Fatalf("the identity provider shows no response: %.500s", page.Text)
	}
	return page
}
