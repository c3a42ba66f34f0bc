package shop_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestAPI(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	token, other := s.accessToken("person-1", "orders:write"), s.accessToken("person-2", "orders:write")
	call := func(method, path, token, key, body string) (page, map[string]any) {
		t.Helper()
		req, err := http.NewRequest(method, s.api.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		req.Header.Set("Idempotency-Key", key)
		p := c.see(http.DefaultClient.Do(req))
		var got map[string]any
		json.Unmarshal([]byte(p.text), &got)
		return p, got
	}
	for _, row := range []struct {
		name, token, key, body string
		status                 int
	}{
		{"good", token, "", `{"items":{"key":2}}`, http.StatusCreated},
		{"no token", "", "", `{"items":{"key":2}}`, http.StatusUnauthorized},
		{"no scope", s.accessToken("person-1", "openid"), "", `{"items":{"key":2}}`, http.StatusForbidden},
		{"too much", token, "", `{"items":{"lantern":11}}`, http.StatusForbidden},
		{"nothing", token, "", `{"items":{}}`, http.StatusUnprocessableEntity},
		{"unknown item", token, "", `{"items":{"key":1,"gold":1}}`, http.StatusUnprocessableEntity},
		{"a negative count", token, "", `{"items":{"key":-1}}`, http.StatusUnprocessableEntity},
		{"too many of one", token, "", `{"items":{"key":21}}`, http.StatusUnprocessableEntity},
		{"not JSON", token, "", `items=key`, http.StatusBadRequest},
		{"too long", token, "", `{"items":{"` + strings.Repeat("x", 5000) + `":1}}`, http.StatusBadRequest},
		{"a key too long", token, strings.Repeat("k", 65), `{"items":{"key":2}}`, http.StatusBadRequest},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, got := call("POST", "/orders", row.token, row.key, row.body)
			if p.status != row.status {
				t.Errorf("%d %s", p.status, p.text)
			}
			if row.status == http.StatusCreated && (got["total"] != 2400.0 || p.header.Get("Location") != "/orders/"+got["id"].(string)) {
				t.Errorf("order is %v, at %s", got, p.header.Get("Location"))
			}
		})
	}
	_, first := call("POST", "/orders", token, "cart-1", `{"items":{"key":1}}`)
	if _, again := call("POST", "/orders", token, "cart-1", `{"items":{"key":1}}`); again["id"] != first["id"] {
		t.Error("one cart was bought twice")
	}
	if _, theirs := call("POST", "/orders", other, "cart-1", `{"items":{"key":1}}`); theirs["id"] == first["id"] {
		t.Error("another person got the same order")
	}
	if p, _ := call("GET", "/orders/"+first["id"].(string), token, "", ""); p.status != http.StatusOK {
		t.Errorf("own order: %d", p.status)
	}
	if p, _ := call("GET", "/orders/"+first["id"].(string), other, "", ""); p.status != http.StatusNotFound {
		t.Errorf("another person's order: %d", p.status)
	}
	if p, got := call("GET", "/.well-known/oauth-protected-resource", "", "", ""); p.status != http.StatusOK || got["resource"] != audience {
		t.Errorf("RFC 9728 §3.2: %d %v", p.status, got)
	}
}
