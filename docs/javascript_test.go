package docs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// scripts returns the blocks of a page in JavaScript that belong to no file.
func scripts(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for _, b := range blocks(read(t, path)) {
		if b.language == "js" && !strings.HasPrefix(b.text, "// ") {
			all = append(all, b.text)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no script", path)
	}
	return all
}

// TestVerifyInJavaScript: what "Protect an API" says to do with the package jose lets a
// token of ours in, and no other.
func TestVerifyInJavaScript(t *testing.T) {
	const api = "https://api.example.com"
	h := servertest.Start(t)
	token := func(id, audience string) string {
		c, secret := h.Client(id, model.ClientSettings{
			GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{"read"}, Audiences: []string{audience},
		})
		r, err := http.NewRequest(http.MethodPost, h.Issuer+"/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(string(c.ID)), url.QueryEscape(secret.Reveal()))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var said struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(res.Body).Decode(&said); err != nil || said.Token == "" {
			t.Fatal(res.Status, err)
		}
		return said.Token
	}
	good := token("one", api)
	last := "A"
	if strings.HasSuffix(good, last) {
		last = "Q"
	}
	code := strings.ReplaceAll(scripts(t, "docs/protect-an-api.md")[0], "https://login.example.com", h.Issuer)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jose.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		text, err := os.ReadFile("testdata/jose/jose.js")
		if err != nil {
			t.Error(err)
		}
		w.Write(text)
	})
	mux.HandleFunc("GET /token.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "const token = %q\n%s\ndocument.getElementById('said').textContent = 'it is good, and for ' + payload.aud\n", r.FormValue("token"), code)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><p id="said">nothing yet</p><script type="importmap">{"imports":{"jose":"/jose.js"}}</script>
			<script type="module">import('/token.js?token=%s').catch(e => document.getElementById('said').textContent = 'refused: ' + e.code)</script>`,
			url.QueryEscape(r.FormValue("token")))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	b := openTab(t)
	for _, row := range []struct{ name, token, want string }{
		{"a good one", good, "it is good, and for " + api},
		{"for another API", token("two", "https://other.example.com"), "ERR_JWT_CLAIM_VALIDATION_FAILED"},
		{"with another signature", good[:len(good)-8] + strings.Repeat(last, 8), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"},
	} {
		b.do(row.name, browsertest.Visit(site.URL+"/?token="+url.QueryEscape(row.token)))
		b.expect("#said", row.want)
	}
}

// TestClientDocumentShown: the file that "Let applications register themselves" shows is
// JSON, but for the line that says where it lies.
func TestClientDocumentShown(t *testing.T) {
	shown := 0
	for _, b := range blocks(read(t, "docs/register-applications.md")) {
		if b.language != "js" {
			continue
		}
		shown++
		address, text, _ := strings.Cut(strings.TrimPrefix(b.text, "// "), "\n")
		var file struct {
			ID string `json:"client_id"`
		}
		if err := json.Unmarshal([]byte(text), &file); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if file.ID != address { // draft-ietf-oauth-client-id-metadata-document-03 §4
			t.Errorf("the file at %q is that of %q", address, file.ID)
		}
	}
	if shown != 1 {
		t.Errorf("%d files", shown)
	}
}
