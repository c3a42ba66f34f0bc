package docs_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oldHouse is the issuer from which the pages about moving move, where it is one of a
// provider.
const oldHouse = `https://(?:example\.eu\.auth0\.com/|keycloak\.example\.com/realms/example)`

// auth0 stands for a tenant at Auth0: its exports lie in the reader's folder, and a
// second server of ours, where one of its people is, signs people in.
const auth0 = `
cp "$REPOSITORY"/docs/testdata/auth0/*.json .
mkdir old
start ostiary serve --data old --listen 127.0.0.1:$PORT_8082 --issuer https://example.eu.auth0.com/
echo '{"id":"auth0|64b7e1f0c3a5d20012f4a801","login":"ada@example.com","password_hash":"$2b$10$8ZVxhlNiQpNs/tktE1z2U.8aVYOB8vYvsPs5lWs4QssO9Y5RR.boy"}' >old/ada.jsonl
ostiary user import --data old old/ada.jsonl
OLD_SECRET=$(ostiary client create --data old --json --id 3Yd0nQx7sWm2 --redirect-uri https://login.example.com/upstream/auth0/callback --scope "openid profile email" 2>/dev/null | jq -r .client_secret)
`

// fromAuth0: people who have moved sign in as before, and by the old house.
func fromAuth0(t *testing.T, s *session) {
	s.comesWith(t, "ada@example.com", "correct horse battery", "Ada Obrenović")
	s.comesWith(t, "dan", "velvet hammer sunrise", "Dan Wójcik")
	s.stays(t, "bo@example.com", "open sesame please") // was blocked
	s.ostiary(t, "upstream", "enable", "auth0")
	s.comesBy(t, "auth0", "5sGm0gkEKYV9nqUIyPBlvTAyGxYrJQcF", "https://orders.example.com/callback", "ada@example.com", "correct horse battery")
}

// keycloak stands for a realm of Keycloak in the same way.
const keycloak = `
cp "$REPOSITORY"/docs/testdata/keycloak/*.json .
mkdir old
start ostiary serve --data old --listen 127.0.0.1:$PORT_8082 --issuer https://keycloak.example.com/realms/example
echo '{"id":"0b4d3f52-54f5-4a0e-8a44-0e3a7a4b9c02","login":"bo","password_hash":"$2b$10$lJow881fEH9uzBDh9CjvWOeDBA8zuo3EM3fVh9bxq/68aHm4mq0iK"}' >old/bo.jsonl
ostiary user import --data old old/bo.jsonl
OLD_SECRET=$(ostiary client create --data old --json --id ostiary --redirect-uri https://login.example.com/upstream/keycloak/callback --scope "openid profile email" 2>/dev/null | jq -r .client_secret)
`

func fromKeycloak(t *testing.T, s *session) {
	s.comesWith(t, "ada", "correct horse battery", "Ada Obrenović") // Argon2id
	s.comesWith(t, "bo", "open sesame please", "bo")                // PBKDF2 with SHA-256
	s.comesWith(t, "carol", "velvet hammer sunrise", "Carol Ito")   // PBKDF2 with SHA-512
	s.stays(t, "dan", "quiet marble lantern")                       // was disabled
	s.ostiary(t, "user", "unlock", "dan")
	s.comesWith(t, "dan", "quiet marble lantern", "dan") // PBKDF2 with SHA-1
	s.ostiary(t, "upstream", "enable", "keycloak")
	s.comesBy(t, "keycloak", "orders", "https://orders.example.com/callback", "bo", "open sesame please")
}

// ostiary runs the command as the reader would, in the folder of the document.
func (s *session) ostiary(t *testing.T, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(binary(t), arguments...)
	cmd.Dir, cmd.Env, cmd.Stderr = filepath.Join(s.root, "work"), s.environment(t), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ostiary %s: %v", strings.Join(arguments, " "), err)
	}
	return string(out)
}

func (s *session) server() string { return "http://localhost:" + s.ports["8080"] }

// comesWith: somebody signs in with the password that they have brought, whose hash is
// then one of ours.
func (s *session) comesWith(t *testing.T, login, password, name string) {
	t.Helper()
	kept := func() string { return s.ostiary(t, "user", "export", "--with-hashes", "--search", login) }
	if strings.Contains(kept(), "$v=19$m=8192,t=1,p=1$") {
		t.Fatalf("%s has a hash of ours before they have signed in: %s", login, kept())
	}
	b := newBrowser(t)
	b.get(s.server() + "/account")
	b.submit("login", login, "password", "not "+password)
	b.shows("wrong")
	b.submit("login", login, "password", password)
	b.shows(name)
	if !strings.Contains(kept(), `"$argon2id$v=19$m=8192,t=1,p=1$`) {
		t.Errorf("the hash of %s was not replaced: %s", login, kept())
	}
}

// stays: somebody is not let in.
func (s *session) stays(t *testing.T, login, password string) {
	t.Helper()
	b := newBrowser(t)
	b.get(s.server() + "/account")
	b.submit("login", login, "password", password)
	if !strings.Contains(b.body, "password") || strings.Contains(b.at.Path, "/account") {
		t.Errorf("%s was let in: %s\n%s", login, b.at, b.body)
	}
}

// comesBy: an application that has moved sends somebody to the old house, where they
// sign in, and gets a code.
func (s *session) comesBy(t *testing.T, provider, client, callback, login, password string) {
	t.Helper()
	b := newBrowser(t)
	var left *url.URL
	b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback+"?") {
			left = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.get(s.server() + "/authorize?" + url.Values{
		"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"here"}, "idp_hint": {provider},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636 appendix B
	}.Encode())
	if b.at.Port() != s.ports["8082"] {
		t.Fatalf("the way to %s leads to %s", provider, b.at)
	}
	b.submit("login", login, "password", password)
	if left == nil { // asks for consent, over there
		b.submit()
	}
	if left == nil || left.Query().Get("code") == "" || left.Query().Get("state") != "here" {
		t.Fatalf("the way by %s ends at %s (%v)\n%s", provider, b.at, left, b.body)
	}
}
