// Package endpoints measures what each endpoint costs: microseconds of
// processor time and allocations for a request through the real handler, on
// SQLite with synchronous=FULL, with the database and all background work in
// the same process. The network is left out, and so is the cost of the client.
//
//	go test ./bench/endpoints -bench . -benchmem
package endpoints

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// site is a server with one person, who is signed in, and two clients.
type site struct {
	*servertest.House
	browser     *servertest.Browser
	shop, robot model.Client
	shopSecret  model.Secret
	robotSecret model.Secret
	cookies     string
}

func open(b *testing.B) *site {
	b.Helper()
	s := &site{House: servertest.Start(b)}
	s.User("olena", "correct horse battery")
	s.shop, s.shopSecret = s.Client("shop", model.ClientSettings{
		RedirectURIs: []string{"http://127.0.0.1:1/cb"}, FirstParty: true,
		Scopes: []string{"openid", "profile", "email"}, IDTokenAlgorithm: "ES256",
	})
	s.robot, s.robotSecret = s.Client("robot", model.ClientSettings{GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{"read"}})
	s.browser = s.Browser()
	s.browser.SignIn(s.path(), "olena", "correct horse battery")
	home, err := url.Parse(s.Issuer)
	if err != nil {
		b.Fatal(err)
	}
	var cookies []string
	for _, c := range s.browser.HTTP().Jar.Cookies(home) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	s.cookies = strings.Join(cookies, "; ")
	return s
}

func (s *site) path() string { return servertest.AuthorizePath(s.shop) }

// post builds a request of a client to an endpoint.
func (s *site) post(path string, c model.Client, secret model.Secret, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, s.Issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(string(c.ID), secret.Reveal())
	return r
}

func (s *site) do(b *testing.B, r *http.Request, want int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != want {
		b.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
	}
	return w
}

// code gets an authorization code by the session.
func (s *site) code(b *testing.B) string {
	r := httptest.NewRequest(http.MethodGet, s.Issuer+s.path(), nil)
	r.Header.Set("Cookie", s.cookies)
	to, err := url.Parse(s.do(b, r, http.StatusSeeOther).Header().Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		b.Fatal(to, err)
	}
	return to.Query().Get("code")
}

func (s *site) redeem(code string) *http.Request {
	return s.post("/token", s.shop, s.shopSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.shop.RedirectURIs[0]}, "code_verifier": {servertest.Verifier},
	})
}

func (s *site) refresh(token string) *http.Request {
	return s.post("/token", s.shop, s.shopSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// member takes a text member out of a JSON answer without decoding it: the
// client's work is not what is measured.
func member(w *httptest.ResponseRecorder, name string) string {
	_, rest, _ := strings.Cut(w.Body.String(), `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// workers is how many requests are under way at once.
const workers = 16

// run measures b.N operations by that many workers, who share durable commits
// as the requests of a busy server do. Each worker gets its own operation.
func run(b *testing.B, worker func() func()) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(max(1, workers/runtime.GOMAXPROCS(0)))
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		op := worker()
		for pb.Next() {
			op()
		}
	})
	b.StopTimer()
	b.ReportMetric((cpu(b)-before)*1e6/float64(b.N), "cpu-µs/op")
}

// cpu is the processor time of this process, in seconds.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func BenchmarkClientCredentials(b *testing.B) {
	s := open(b)
	run(b, func() func() {
		return func() {
			s.do(b, s.post("/token", s.robot, s.robotSecret, url.Values{"grant_type": {"client_credentials"}}), http.StatusOK)
		}
	})
}

func BenchmarkAuthorizeWithSession(b *testing.B) {
	s := open(b)
	run(b, func() func() { return func() { s.code(b) } })
}

func BenchmarkCodeRedemption(b *testing.B) {
	s := open(b)
	codes := make(chan string, b.N)
	for range b.N {
		codes <- s.code(b)
	}
	run(b, func() func() { return func() { s.do(b, s.redeem(<-codes), http.StatusOK) } })
}

func BenchmarkRefresh(b *testing.B) {
	s := open(b)
	tokens := make(chan string, workers)
	for range workers {
		tokens <- member(s.do(b, s.redeem(s.code(b)), http.StatusOK), "refresh_token")
	}
	run(b, func() func() {
		token := <-tokens
		return func() { token = member(s.do(b, s.refresh(token), http.StatusOK), "refresh_token") }
	})
}

func BenchmarkIntrospection(b *testing.B) {
	s := open(b)
	token := member(s.do(b, s.redeem(s.code(b)), http.StatusOK), "access_token")
	run(b, func() func() {
		return func() {
			s.do(b, s.post("/introspect", s.shop, s.shopSecret, url.Values{"token": {token}}), http.StatusOK)
		}
	})
}

func BenchmarkUserInfo(b *testing.B) {
	s := open(b)
	token := member(s.do(b, s.redeem(s.code(b)), http.StatusOK), "access_token")
	run(b, func() func() {
		return func() {
			r := httptest.NewRequest(http.MethodGet, s.Issuer+"/userinfo", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			s.do(b, r, http.StatusOK)
		}
	})
}

func BenchmarkKeySet(b *testing.B) {
	s := open(b)
	run(b, func() func() {
		return func() { s.do(b, httptest.NewRequest(http.MethodGet, s.Issuer+"/jwks", nil), http.StatusOK) }
	})
}

// BenchmarkSignature is the yardstick: a bare ES256 signature, which no server can do
// without and nothing here can make faster. On a machine with neighbours it tells how
// much of a figure is theirs.
func BenchmarkSignature(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("ostiary"))
	run(b, func() func() {
		return func() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
