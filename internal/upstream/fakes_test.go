package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// The fakes of this package are written by hand after what the providers document, in the
// formats that they answer in. They stand for a provider's whole Internet: every host name
// leads to them, and a request that is not exactly the one that is documented (method,
// host, path, headers, parameters and how those are encoded) fails the test. What they
// cannot show is that the documents are true; nothing on loopback can.

const (
	callback = "https://id.example/upstream/them/callback"
	oneState = "c3RhdGUtb2YtMjU2LXJhbmRvbS1iaXRzLWFzLXRleHQtMTI"
	someID   = "client:1/ä" // must be form-encoded in Basic, RFC 6749 §2.3.1
	someKey  = "s/cret+with&odd=signs%and 32 bytes"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// world is the Internet of one test.
type world struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	doors map[string]http.HandlerFunc // "GET host/path"
	asked map[string]int
	now   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, doors: map[string]http.HandlerFunc{}, asked: map[string]int{}, now: noon}
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		door := r.Method + " " + r.Host + r.URL.Path
		w.mu.Lock()
		w.asked[door]++
		answer := w.doors[door]
		w.mu.Unlock()
		if answer == nil {
			t.Errorf("nobody should ask for %s", door)
			http.NotFound(rw, r)
			return
		}
		answer(rw, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

// on says who answers at a door.
func (w *world) on(door string, answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doors[door] = answer
}

func (w *world) count(door string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[door]
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// http leads every name to the world.
func (w *world) http() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", w.server.Listener.Addr().String())
		},
	}}
}

func (w *world) config(kind, connection string, secrets map[string]model.Secret) upstream.Config {
	return upstream.Config{
		ID: "them", Kind: kind, Connection: []byte(connection), Secrets: secrets, Callback: callback,
		Logout: "https://id.example/upstream/them/logout", Client: w.http(), Now: w.Now,
	}
}

// open opens a connector to which browsers go.
func (w *world) open(kind, connection string, secrets map[string]model.Secret) upstream.Visitor {
	w.t.Helper()
	c, err := upstream.Open(w.config(kind, connection, secrets))
	if err != nil {
		w.t.Fatal(err)
	}
	return c.(upstream.Visitor)
}

// request is what an authorization request or a form must be, to the last parameter.
type request map[string]string

// parameters compares; "*" stands for whatever cannot be known.
func parameters(t *testing.T, what string, got url.Values, want request) {
	t.Helper()
	is := request{}
	for name, values := range got {
		is[name] = strings.Join(values, "|")
		if want[name] == "*" && len(values) == 1 && values[0] != "" {
			is[name] = "*"
		}
	}
	if d := cmp.Diff(want, is); d != "" {
		t.Errorf("%s: (-want +got)\n%s", what, d)
	}
}

// begin sends a browser away and returns the address as it is asked for.
func begin(t *testing.T, v upstream.Visitor, wish upstream.Wish) (*url.URL, upstream.Kept) {
	t.Helper()
	wish.State = oneState
	d, err := v.Begin(t.Context(), wish)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(d.Address)
	if err != nil || d.Form != nil {
		t.Fatalf("the way out: %v, a form: %v", err, d.Form)
	}
	return u, d.Kept
}

// back is an answer to the callback.
func back(method string, pairs ...string) upstream.Answer {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return upstream.Answer{Method: method, Values: v, At: callback}
}

// form reads a form that was posted as RFC 6749 §4.1.3 has it, and checks its verifier
// against the challenge (RFC 7636 §4.6).
func form(t *testing.T, r *http.Request, challenge string) url.Values {
	t.Helper()
	if kind := r.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
		t.Errorf("the form is %q", kind)
	}
	if accept := r.Header.Get("Accept"); accept != "application/json" {
		t.Errorf("Accept is %q", accept)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	v, err := url.ParseQuery(string(body))
	if err != nil || r.URL.RawQuery != "" {
		t.Errorf("the form: %v, a query %q", err, r.URL.RawQuery)
	}
	if challengeOf(v.Get("code_verifier")) != challenge || len(v.Get("code_verifier")) < 43 {
		t.Error("the verifier is not that of the challenge")
	}
	return v
}

// write answers in JSON.
func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if s, ok := v.(string); ok {
		io.WriteString(w, s)
		return
	}
	json.NewEncoder(w).Encode(v)
}

// refused checks an error's code, and that its reason says enough and no secret.
func refused(t *testing.T, what string, err error, code upstream.Code, says string) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Reason, says) {
		t.Errorf("%s: %v; want %s with %q", what, err, code, says)
		return &upstream.Error{}
	}
	if len(e.Reason) > 600 || strings.Contains(e.Reason, someKey) || strings.Contains(e.Reason, "eyJ") || strings.ContainsAny(e.Reason, "\r\n") {
		t.Errorf("%s: the reason is %q", what, e.Reason)
	}
	return e
}

// Making an RSA key is slow; all tests share two.
var rsaKeys = sync.OnceValue(func() (keys [2]*jwk.Key) {
	for i := range keys {
		material, err := rsa.GenerateKey(rand.Reader, 2048)
		if err == nil {
			keys[i], err = jwk.New(material, jwk.Params{ID: fmt.Sprint("key-", i)})
		}
		if err != nil {
			panic(err)
		}
	}
	return keys
})

func ecKey(t *testing.T, id string) *jwk.Key {
	t.Helper()
	material, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.New(material, jwk.Params{ID: id, Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t *testing.T, key *jwk.Key) model.Secret {
	t.Helper()
	text, err := key.MarshalPrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	return model.Secret(text)
}

// keySet publishes keys, with further members such as "issuer".
func keySet(t *testing.T, members map[string]any, keys ...*jwk.Key) string {
	t.Helper()
	var list []map[string]any
	for _, key := range keys {
		text, err := json.Marshal(key)
		one := map[string]any{}
		if err == nil {
			err = json.Unmarshal(text, &one)
		}
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(one, members)
		list = append(list, one)
	}
	text, _ := json.Marshal(map[string]any{"keys": list})
	return string(text)
}

// sign signs claims as they are; nil takes one out.
func sign(t *testing.T, key *jwk.Key, claims map[string]any, o jwt.SignOptions) string {
	t.Helper()
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	o.NoTimestamp = claims["iat"] == nil
	token, err := jwt.Sign(claims, key, o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// hash is at_hash for the algorithms with SHA-256, OpenID Connect Core §3.1.3.6.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// challengeOf is S256, RFC 7636 §4.2.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
