package interop

import (
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// apache is an Apache HTTP Server with mod_auth_openidc, whose pages below
// /inside are for people who are signed in.
type apache struct {
	world
	URL string
	log string
}

// apacheConfig is a whole configuration: nothing of the system's is read.
var apacheConfig = template.Must(template.New("apache").Parse(`
ServerRoot "{{.Dir}}"
ServerName localhost
Listen 127.0.0.1:{{.Port}}
PidFile "{{.Dir}}/pid"
ErrorLog "{{.Dir}}/error.log"
LogLevel warn auth_openidc:info
DocumentRoot "{{.Dir}}/pages"
User nobody
Group nogroup
{{range .Modules}}LoadModule {{.}}_module "{{$.ModuleDir}}/mod_{{.}}.so"
{{end}}
OIDCProviderMetadataURL {{.Issuer}}/.well-known/openid-configuration
OIDCClientID {{.Client}}
OIDCClientSecret {{.Secret}}
OIDCRedirectURI http://localhost:{{.Port}}/inside/callback
OIDCCryptoPassphrase a-passphrase-for-this-test-alone
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCCookieSameSite Off
{{range .Directives}}{{.}}
{{end}}
<Location "/inside">
	AuthType openid-connect
	Require valid-user
	Header always set X-Person "expr=%{REMOTE_USER}"
</Location>
`))

const moduleDir = "/usr/lib/apache2/modules"

func startApache(t *testing.T, s model.ClientSettings, directives ...string) apache {
	t.Helper()
	program := "/usr/sbin/apache2"
	for _, file := range []string{program, moduleDir + "/mod_auth_openidc.so"} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%s is missing: run make test, which installs it, or apt-get install apache2-bin libapache2-mod-auth-openidc", file)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	a := apache{URL: fmt.Sprintf("http://localhost:%d", port)}
	s.RedirectURIs = []string{a.URL + "/inside/callback"}
	s.PostLogoutRedirectURIs = []string{a.URL + "/bye.html"}
	if s.BackchannelSession {
		s.BackchannelURI = s.RedirectURIs[0] + "?logout=backchannel"
	}
	if s.FrontchannelSession {
		s.FrontchannelURI = s.RedirectURIs[0] + "?logout=get"
	}
	a.world = newWorld(t, s)
	dir := pages(t)
	a.log = filepath.Join(dir, "error.log")
	config := filepath.Join(dir, "apache.conf")
	f, err := os.OpenFile(config, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	err = apacheConfig.Execute(f, map[string]any{
		"Dir": dir, "Port": port, "Issuer": a.Issuer, "Client": a.client.ID, "Secret": a.secret.Reveal(), "Directives": directives,
		"ModuleDir": moduleDir, "Modules": []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "auth_openidc"},
	})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(program, "-D", "FOREGROUND", "-f", config)
	var out strings.Builder
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run.Process.Signal(syscall.SIGTERM)
		run.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(a.log)
			t.Logf("Apache: %s\n%s", out.String(), text)
		}
	})
	a.await(t)
	return a
}

// pages makes a folder that Apache's own account can read.
func pages(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ostiary-apache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{"pages/inside/index.html": "inside", "pages/bye.html": "bye"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (a apache) await(t *testing.T) {
	t.Helper()
	for range 200 {
		if r, err := http.Get(a.URL + "/bye.html"); err == nil {
			r.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("Apache does not answer")
}

// TestApache: Debian's mod_auth_openidc, the relying party in front of many an
// old application, signs a person in by each flow and response mode that it
// knows, and out again.
func TestApache(t *testing.T) {
	front := model.ClientSettings{GrantTypes: []string{model.GrantAuthorizationCode, model.GrantImplicit}}
	for _, flow := range []struct{ responseType, mode string }{
		{"code", "query"}, {"code", "form_post"},
		{"id_token", "form_post"}, {"id_token token", "form_post"},
		{"code id_token", "form_post"}, {"code token", "form_post"}, {"code id_token token", "form_post"},
	} {
		t.Run(flow.responseType+" by "+flow.mode, func(t *testing.T) {
			s := front
			s.ResponseTypes = []string{flow.responseType}
			a := startApache(t, s, `OIDCResponseType "`+flow.responseType+`"`, "OIDCResponseMode "+flow.mode)
			b := a.Browser().Roam()
			page := a.URL + "/inside/index.html"
			p := a.visit(t, b, page)
			if p.Status != http.StatusOK || p.Body != "inside" || !strings.HasPrefix(p.Header.Get("X-Person"), string(a.user.ID)+"@") {
				t.Fatalf("%s: %d %q as %q, want %s", p.URL, p.Status, p.Body, p.Header.Get("X-Person"), a.user.ID)
			}

			// Signing out there signs out here.
			p = b.Get(a.URL + "/inside/callback?logout=" + a.URL + "/bye.html")
			if p.Body != "bye" {
				t.Fatalf("after signing out: %s %d %s", p.URL, p.Status, p.Body)
			}
			if p = b.Get(page); !a.atHome(p.URL) || !strings.HasSuffix(p.URL.Path, "/login") {
				t.Errorf("signed in still: %s", p.URL)
			}
		})
	}
}

// signedIn reports whether the browser's page of Apache is shown, or leads to
// our sign-in.
func (a apache) signedIn(t *testing.T, b *servertest.Browser) bool {
	t.Helper()
	p := b.Get(a.URL + "/inside/index.html")
	switch {
	case p.Body == "inside":
		return true
	case a.atHome(p.URL) && strings.HasSuffix(p.URL.Path, "/login"):
		return false
	}
	t.Fatalf("neither inside nor at the sign-in: %s %d %s", p.URL, p.Status, p.Body)
	return false
}

// TestApacheBackChannel: a session that somebody else ends is over at Apache,
// which takes our logout token.
func TestApacheBackChannel(t *testing.T) {
	a := startApache(t, model.ClientSettings{BackchannelSession: true})
	b := a.Browser().Roam()
	a.visit(t, b, a.URL+"/inside/index.html")
	if !a.signedIn(t, b) {
		t.Fatal("not signed in")
	}
	sessions, err := a.Accounts.Sessions(t.Context(), a.user.ID)
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%v %v", sessions, err)
	}
	if err := a.Accounts.SignOut(t.Context(), servertest.Operator, sessions[0].ID); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); a.signedIn(t, b); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("signed in still")
		}
	}
}

// frame finds what a page loads in frames.
var frame = regexp.MustCompile(`<iframe[^>]* src="([^"]*)"`)

// TestApacheFrontChannel: who signs out here signs out at Apache, which a frame of
// our page tells.
func TestApacheFrontChannel(t *testing.T) {
	a := startApache(t, model.ClientSettings{FrontchannelSession: true})
	b := a.Browser().Roam()
	a.visit(t, b, a.URL+"/inside/index.html")
	out := b.Get("/logout").Submit("primary")
	frames := frame.FindAllStringSubmatch(out.Body, -1)
	if len(frames) != 1 || !a.signedIn(t, b) {
		t.Fatalf("%d frames: %s", len(frames), out.Body)
	}
	b.Get(html.UnescapeString(frames[0][1]))
	if a.signedIn(t, b) {
		t.Error("signed in still")
	}
}
