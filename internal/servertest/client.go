package servertest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// Verifier is the PKCE secret of tests (RFC 7636 appendix B), Challenge its
// S256 hash.
const Verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

// Challenge is the S256 challenge of Verifier.
var Challenge = func() string {
	sum := sha256.Sum256([]byte(Verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// AuthorizePath is the path and query of an authorization request of a client,
// with PKCE, state and nonce; further parameters replace or add (name, value,
// …; an empty value removes).
func AuthorizePath(c model.Client, extra ...string) string {
	v := url.Values{
		"response_type": {"code"}, "client_id": {string(c.ID)}, "redirect_uri": {c.RedirectURIs[0]},
		"scope": {"openid profile email"}, "state": {"the-state"}, "nonce": {"the-nonce"},
		"code_challenge": {Challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(extra); i += 2 {
		v.Set(extra[i], extra[i+1])
		if extra[i+1] == "" {
			v.Del(extra[i])
		}
	}
	return "/authorize?" + v.Encode()
}

// Answer is a JSON answer of an endpoint.
type Answer struct {
	Status int
	Header http.Header
	JSON   map[string]any
	Text   string
}

// String returns a member that is text, "" where it is not there.
func (a Answer) String(name string) string {
	s, _ := a.JSON[name].(string)
	return s
}

// Call posts a form to an endpoint, as a confidential client if secret is not
// empty (HTTP Basic) and with what the form says otherwise.
func (h *House) Call(path string, c model.Client, secret model.Secret, form url.Values) Answer {
	h.t.Helper()
	if secret == "" && c.ID != "" && !form.Has("client_id") {
		form.Set("client_id", string(c.ID))
	}
	req, err := http.NewRequest(http.MethodPost, h.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		req.SetBasicAuth(url.QueryEscape(string(c.ID)), url.QueryEscape(secret.Reveal()))
	}
	return Do(h.t, req)
}

// Do sends a request and reads a JSON answer; one that is a list stays text.
func Do(t testing.TB, req *http.Request) Answer {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Text: string(body)}
	if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); kind == "application/json" && !strings.HasPrefix(a.Text, "[") {
		if err := json.Unmarshal(body, &a.JSON); err != nil {
			t.Fatalf("%s %s: %v in %q", req.Method, req.URL, err, body)
		}
	}
	return a
}

// SignIn walks a browser through the sign-in of a client and returns the
// address at the client to which it was sent, consenting where asked.
func (b *Browser) SignIn(path, login, password string) *url.URL {
	b.t.Helper()
	p := b.Get(path)
	if p.Left == nil && strings.HasSuffix(p.URL.Path, "/login") {
		p = p.Submit("primary", "login", login, "password", password)
	}
	if p.Left == nil && strings.HasSuffix(p.URL.Path, "/consent") {
		p = p.Submit("primary")
	}
	if p.Left == nil {
		b.t.Fatalf("the sign-in ended at %s with %d: %s", p.URL, p.Status, p.Body)
	}
	return p.Left
}

// Redeem exchanges the code in a client's address.
func (h *House) Redeem(c model.Client, secret model.Secret, at *url.URL) Answer {
	h.t.Helper()
	return h.Call("/token", c, secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")},
		"redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {Verifier},
	})
}
