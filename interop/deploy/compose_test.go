package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// composition is what Compose's own library makes of the file.
func composition(t *testing.T) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(folder, "compose"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}}, Environment: types.Mapping{"OSTIARY_HOST": host},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	p := composition(t)
	if names := p.ServiceNames(); !slices.Equal(names, []string{"caddy", "ostiary-1", "ostiary-2", "postgres"}) {
		t.Fatalf("the services are %v", names)
	}
	for name, s := range p.Services {
		published := len(s.Ports) > 0
		if published != (name == "caddy") {
			t.Errorf("%s is reached from outside: %v", name, published)
		}
		for on, d := range s.DependsOn {
			if d.Condition != types.ServiceConditionHealthy || p.Services[on].HealthCheck == nil {
				t.Errorf("%s waits for %s: %s", name, on, d.Condition)
			}
		}
		for variable, value := range s.Environment {
			if value != nil && strings.Contains(strings.ToLower(variable), "password") && !strings.HasPrefix(*value, "/run/secrets/") {
				t.Errorf("%s: a secret in the environment: %s", name, variable)
			}
		}
		for _, c := range s.Configs {
			if _, err := os.Stat(p.Configs[c.Source].File); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !strings.HasPrefix(name, "ostiary") {
			continue
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s is not shut in", name)
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
	}
	// Who is believed about who calls is the network in which Caddy is.
	if subnet := p.Networks["front"].Ipam.Config[0].Subnet; !strings.Contains(read(t, folder, "compose", "ostiary.yaml"), "trusted-proxies: "+subnet) {
		t.Errorf("the nodes do not believe %s", subnet)
	}
	if _, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(p.WorkingDir, "compose.yaml")}}}); err == nil || !strings.Contains(err.Error(), "set OSTIARY_HOST") {
		t.Errorf("without a host: %v", err)
	}
}

// node runs what a service of the file runs, with its settings, at an address of ours.
type node struct {
	*program
	at string
}

func startNode(t *testing.T, s types.ServiceConfig, settings, at string) node {
	t.Helper()
	cmd := exec.Command(binary(t), s.Command...)
	cmd.Env = []string{"OSTIARY_CONFIG=" + settings, "OSTIARY_LISTEN=" + at, "OSTIARY_DATA=" + t.TempDir(), "OSTIARY_ISSUER=" + *s.Environment["OSTIARY_ISSUER"]}
	n := node{start(t, cmd), at}
	n.waitFor(t, http.DefaultClient, "http://"+at+"/readyz")
	return n
}

// Two nodes, as the files say, behind Caddy, as its file says: one is killed and nobody
// notices, and comes back.
func TestComposeRuns(t *testing.T) {
	p := composition(t)
	settings := nodeSettings(t)
	service := func(name string) types.ServiceConfig { return p.Services[name] }
	one, two := startNode(t, service("ostiary-1"), settings, free(t)), startNode(t, service("ostiary-2"), settings, free(t))
	caddy := startCaddy(t, map[string]string{"ostiary-1:8080": one.at, "ostiary-2:8080": two.at})
	asked := func(times int) {
		t.Helper()
		for range times {
			res, err := caddy.Get("https://" + host + "/.well-known/openid-configuration")
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), `"issuer":"https://`+host+`"`) {
				t.Fatalf("%d %s %v", res.StatusCode, text, err)
			}
		}
	}
	asked(20)
	if out := health(t, settings, one.at); out != "ready\n" {
		t.Errorf("health: %s", out)
	}
	for _, n := range []node{one, two} {
		if !strings.Contains(n.printed.String(), `"path":"/.well-known/openid-configuration"`) {
			t.Errorf("Caddy has sent nobody to %s:\n%s", n.at, &n.printed)
		}
		if !strings.Contains(n.printed.String(), `"peer":"127.0.0.9"`) {
			t.Errorf("the node at %s does not know who calls", n.at)
		}
	}
	one.kill()
	asked(50)
	one = startNode(t, service("ostiary-1"), settings, one.at)
	time.Sleep(3 * time.Second) // Caddy looks every second, and forgets a failure after five
	two.stop(t)
	asked(50)
}

// nodeSettings is ostiary.yaml with the secrets in files, and the tests' PostgreSQL in
// place of its own.
func nodeSettings(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	database, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := database.User.Password()
	database.User = url.User(database.User.Username())
	write(t, filepath.Join(dir, "master-key"), strings.Repeat("0123456789abcdef", 4)+"\n", 0o400)
	write(t, filepath.Join(dir, "postgres-password"), password+"\n", 0o400)
	path := filepath.Join(dir, "ostiary.yaml")
	write(t, path, replaceAll(t, read(t, folder, "compose", "ostiary.yaml"),
		"/run/secrets/", dir+"/", "postgres://ostiary@postgres/ostiary?sslmode=disable", database.String(), "172.31.80.0/24", "127.0.0.0/8"), 0o600)
	return path
}

func health(t *testing.T, settings, at string) string {
	t.Helper()
	cmd := exec.Command(binary(t), "health")
	cmd.Env = []string{"OSTIARY_CONFIG=" + settings, "OSTIARY_LISTEN=" + at}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

// startCaddy runs it with the Caddyfile of the folder, but for addresses and the
// authority, and returns a client that reaches the host through it.
func startCaddy(t *testing.T, nodes map[string]string) *http.Client {
	t.Helper()
	plain, secure := free(t), free(t)
	_, plainPort, _ := net.SplitHostPort(plain)
	_, port, _ := net.SplitHostPort(secure)
	text := replaceAll(t, read(t, folder, "compose", "Caddyfile"), "{\n\tlog {",
		fmt.Sprintf("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port %s\n\thttps_port %s\n\tlocal_certs\n\tskip_install_trust\n\tlog {", plainPort, port))
	for name, at := range nodes {
		text = replaceAll(t, text, name, at)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Caddyfile"), text, 0o600)
	path, err := exec.LookPath("caddy")
	if err != nil {
		t.Fatal("caddy is missing: run make test, which installs it")
	}
	cmd := exec.Command(path, "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "OSTIARY_HOST="+host, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	caddy := start(t, cmd)
	trusted := x509.NewCertPool()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}).DialContext(ctx, network, secure)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	certificate := filepath.Join(dir, "caddy", "pki", "authorities", "local", "root.crt")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if text, err := os.ReadFile(certificate); err == nil && trusted.AppendCertsFromPEM(text) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("Caddy has made no certificate")
		}
	}
	caddy.waitFor(t, client, "https://"+host+"/readyz")
	return client
}
