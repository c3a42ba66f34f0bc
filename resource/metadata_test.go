package resource_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/resource"
)

// RFC 9728 §3.1.
func TestMetadataPath(t *testing.T) {
	key := generate(t, jwa.ES256)
	const path = "/.well-known/oauth-protected-resource"
	for _, row := range []struct{ audience, resource, path, url string }{
		{"https://api.example", "", path, "https://api.example" + path},
		{"https://api.example/", "", path, "https://api.example" + path},
		{"https://api.example/v1", "", path + "/v1", "https://api.example" + path + "/v1"},
		{"https://api.example/a%20b", "", path + "/a%20b", "https://api.example" + path + "/a%20b"},
		{"orders", "https://api.example:8443/v1", path + "/v1", "https://api.example:8443" + path + "/v1"},
		{"orders", "http://localhost:8082", path, "http://localhost:8082" + path},
		{"orders", "", path, ""},
		{"http://api.example", "", path, ""},
	} {
		t.Run(row.audience+" "+row.resource, func(t *testing.T) {
			g := newGuard(t, key, func(c *resource.Config) { c.Audience, c.Metadata.Resource = row.audience, row.resource })
			if got := g.MetadataPath(); got != row.path {
				t.Errorf("path is %s", got)
			}
			want := `Bearer realm="api"`
			if row.url != "" {
				want += `, resource_metadata="` + row.url + `"` // §5.1
			}
			if s := serve(t, g.RequireFunc(fine), bearer("")); s.challenge != want {
				t.Errorf("challenge is %s, want %s", s.challenge, want)
			}
			w := httptest.NewRecorder()
			g.Metadata().ServeHTTP(w, httptest.NewRequest("GET", row.path, nil))
			if (w.Code == http.StatusOK) != (row.url != "") {
				t.Errorf("document: %d", w.Code)
			}
		})
	}
}

// RFC 9728 §2 and §3.2.
func TestMetadata(t *testing.T) {
	g := newGuard(t, generate(t, jwa.ES256), func(c *resource.Config) {
		c.Metadata = resource.Metadata{Scopes: []string{"orders:read"}, Name: "Orders", Documentation: "https://api.example/docs"}
	})
	w := httptest.NewRecorder()
	g.Metadata().ServeHTTP(w, httptest.NewRequest("GET", g.MetadataPath(), nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(w.Body.String())
	want := `{"resource":"https://api.example/v1","authorization_servers":["https://id.example"],"scopes_supported":["orders:read"],` +
		`"bearer_methods_supported":["header"],"resource_name":"Orders","resource_documentation":"https://api.example/docs"}`
	if text != want {
		t.Errorf("document is %s", text)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("header is %v", h)
	}
	w = httptest.NewRecorder()
	g.Metadata().ServeHTTP(w, httptest.NewRequest("POST", g.MetadataPath(), nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
