package upstream_test

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

// pysaml2 is an identity provider of another house: pysaml2 with xmlsec1.
type pysaml2 struct {
	folder string
	in     io.Writer
	out    *bufio.Reader
	stderr *bytes.Buffer
}

func newPysaml2(t *testing.T) *pysaml2 {
	t.Helper()
	p := &pysaml2{folder: t.TempDir(), stderr: &bytes.Buffer{}}
	key, cert := upstreamtest.NewKey(t)
	p.write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	p.write(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	cmd := exec.Command("/usr/bin/python3", "testdata/pysaml2.py", p.folder) // the system's, which has the package
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out, cmd.Stderr = in, bufio.NewReader(out), p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return p
}

func (p *pysaml2) write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pysaml2) do(t *testing.T, asked object) object {
	t.Helper()
	line, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	p.in.Write(append(line, '\n'))
	out, err := p.out.ReadBytes('\n')
	var answered object
	if err != nil || json.Unmarshal(out, &answered) != nil {
		time.Sleep(100 * time.Millisecond) // for what it still says
		t.Fatalf("pysaml2 gives no answer: is it installed (scripts/setup, or apt-get install python3-pysaml2 xmlsec1)?\n%s%s", out, p.stderr)
	}
	return answered
}

// sent is a message of ours as pysaml2 takes it.
func sent(t *testing.T, d upstream.Departure, more object) object {
	t.Helper()
	values := d.Form
	if values == nil {
		u, err := url.Parse(d.Address)
		if err != nil {
			t.Fatal(err)
		}
		values = u.Query()
	}
	return object{
		"message": values.Get("SAMLRequest"), "state": values.Get("RelayState"),
		"algorithm": values.Get("SigAlg"), "signature": values.Get("Signature"),
	}.with(more)
}

// TestPysaml2 speaks with a provider whose XML, signatures and encryption are of other
// libraries than ours: it verifies what we sign, and we what it does.
func TestPysaml2(t *testing.T) {
	idp := newPysaml2(t)
	metadata := idp.do(t, object{"do": "metadata"})["metadata"]
	for name, row := range map[string]struct {
		binding                      string
		response, assertion, encrypt bool
	}{
		"assertion signed":                     {"redirect", false, true, false},
		"response signed":                      {"redirect", true, false, false},
		"both signed":                          {"post", true, true, false},
		"encrypted, the assertion signed":      {"redirect", false, true, true},
		"encrypted, both signed, posted to it": {"post", true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := openSAML(t, samlConfig(t, object{"metadata": metadata, "binding": row.binding}))
			text, _, err := c.Describe()
			if err != nil {
				t.Fatal(err)
			}
			idp.write(t, "sp.xml", text)
			d, err := c.Begin(t.Context(), upstream.Wish{State: state, Prompt: []string{"login"}})
			if err != nil {
				t.Fatal(err)
			}
			answered := idp.do(t, sent(t, d, object{
				"do": "answer", "sign_response": row.response, "sign_assertion": row.assertion, "encrypt": row.encrypt,
			}))
			if answered["force"] != "true" || answered["acs"] != ourCallback {
				t.Errorf("it has read %v", answered)
			}
			response := base64.StdEncoding.EncodeToString([]byte(answered["response"].(string)))
			person, err := c.Finish(t.Context(), d.Kept, answer(url.Values{"SAMLResponse": {response}, "RelayState": {state}}))
			if err != nil {
				t.Fatal(err)
			}
			if person.Issuer != "https://pysaml2.example.net/metadata" || person.Subject != "7f3c-alice" || person.Claims["email"] != "alice@example.com" ||
				person.Claims["given_name"] != "Alice" || person.Claims["family_name"] != "Example" {
				t.Errorf("%+v", person)
			}
			if diff := cmp.Diff([]any{"staff", "member"}, person.Claims["groups"]); diff != "" {
				t.Error(diff)
			}
			leave, err := c.Leave(t.Context(), person.Stay, "", state)
			if err != nil {
				t.Fatal(err)
			}
			ended := idp.do(t, sent(t, leave, object{"do": "end", "back": ourLogout}))
			if ended["name"] != "7f3c-alice" {
				t.Errorf("it has read %v", ended)
			}
			u, err := url.Parse(ended["location"].(string))
			if err != nil {
				t.Fatal(err)
			}
			ending, err := c.Ended(t.Context(), upstream.Answer{Method: http.MethodGet, Values: u.Query(), Query: u.RawQuery, At: ourLogout})
			if err != nil || ending.Answers != leave.Kept["request"] || u.Query().Get("RelayState") != state {
				t.Errorf("%+v, %v", ending, err)
			}
		})
	}
}
