package shop_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/shop"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

func TestVisit(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	p := c.get("/")
	if p.status != http.StatusOK || !p.has("sign-in") || p.has("sign-out") || p.element("cart-count") != "0" || p.has("buy") {
		t.Fatalf("front: %d %s", p.status, p.text)
	}
	// What was put together before signing in is kept.
	if p = c.post("/cart", "item", "lantern"); p.element("cart-count") != "1" {
		t.Fatalf("add: %d %s", p.status, p.text)
	}
	if p = c.get("/login"); !p.has("sign-out") || p.has("sign-in") || p.element("person") != "Ada Lovelace" || p.element("cart-count") != "1" {
		t.Fatalf("signed in: %d %s", p.status, p.text)
	}
	c.post("/cart", "item", "key")
	if p = c.post("/cart", "item", "key"); p.element("cart-count") != "3" || p.element("cart-total") != "€72.00" {
		t.Fatalf("add: %d %s", p.status, p.text)
	}
	if p = c.post("/cart", "remove", "lantern"); p.element("cart-count") != "2" {
		t.Fatalf("remove: %d %s", p.status, p.text)
	}
	p = c.post("/orders")
	if p.status != http.StatusOK || !p.has("receipt") || !strings.Contains(p.text, "Thank you, Ada Lovelace") || !strings.Contains(p.text, "€24.00") {
		t.Fatalf("buy: %d %s", p.status, p.text)
	}
	order := p.element("order")
	if p = c.get("/"); p.element("cart-count") != "0" {
		t.Error("the cart is not empty after buying")
	}
	if p = c.get("/orders/" + order); !p.has("receipt") {
		t.Errorf("receipt: %d", p.status)
	}
	c.post("/cart", "item", "bell")
	if p = c.post("/logout"); !p.has("sign-in") || p.element("cart-count") != "0" {
		t.Errorf("signed out: %d %s", p.status, p.text)
	}
	// Somebody else does not see the receipt.
	s.set(func() { s.person, s.name = "person-2", "Charles" })
	other := s.customer()
	if p = other.get("/orders/" + order); p.status != http.StatusNotFound || !strings.Contains(p.text, "no such order") {
		t.Errorf("another person's receipt: %d", p.status)
	}
}

func TestBuyWithoutSession(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.post("/cart", "item", "mat")
	if p := c.post("/orders"); p.has("receipt") || !p.has("buy") || p.element("cart-count") != "1" {
		t.Errorf("signing in on the way: %d %s", p.status, p.text)
	}
	if p := c.post("/orders"); !p.has("receipt") {
		t.Errorf("buying then: %d", p.status)
	}
	if p := c.post("/orders"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("buying nothing: %d", p.status)
	}
}

// resign makes a cart as the shop would, changed.
func resign(t *testing.T, key []byte, claims map[string]any, o jwt.SignOptions) string {
	t.Helper()
	k, err := jwk.New(key, jwk.Params{Algorithm: jwa.HS256})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Sign(claims, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A cart that is not exactly what the shop signed for this very person is empty.
func TestCartAttacks(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.get("/login")
	c.post("/cart", "item", "key")
	good := c.cookie("cart")
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	more := encode([]byte(`{"iss":"shop","aud":"shop","sub":"person:person-1","exp":99999999999,"items":{"key":9}}`))
	claims := func() map[string]any {
		return map[string]any{"iss": "shop", "aud": "shop", "sub": "person:person-1", "jti": "x", "items": map[string]int{"key": 1}}
	}
	o := jwt.SignOptions{Type: "cart+jwt", ExpiresIn: time.Hour, Now: s.clock}

	s.set(func() { s.person = "person-2" })
	thief := s.customer()
	thief.get("/login")
	thief.post("/cart", "item", "bell")
	nobody := s.customer()
	nobody.post("/cart", "item", "bell")

	for _, row := range []struct {
		name, cart, count string
	}{
		{"good", good, "1"},
		{"good, made by hand", resign(t, cartKey, claims(), o), "1"},
		{"another content under the old signature", parts[0] + "." + more + "." + parts[2], "0"},
		{"RFC 8725 §3.1: alg none", encode([]byte(`{"alg":"none","typ":"cart+jwt"}`)) + "." + more + ".", "0"},
		{"RFC 8725 §3.1: alg none and the old signature", encode([]byte(`{"alg":"none","typ":"cart+jwt"}`)) + "." + more + "." + parts[2], "0"},
		{"no signature", parts[0] + "." + parts[1] + ".", "0"},
		{"signed by somebody else", resign(t, []byte("another key of thirty-two bytes!"), claims(), o), "0"},
		{"RFC 8725 §3.11: another kind of token", resign(t, cartKey, claims(), jwt.SignOptions{ExpiresIn: time.Hour, Now: s.clock}), "0"},
		{"expired", resign(t, cartKey, claims(), jwt.SignOptions{Type: "cart+jwt", ExpiresIn: time.Hour, Now: func() time.Time { return s.clock().Add(-time.Hour) }}), "0"},
		{"another person's", thief.cookie("cart"), "0"},
		{"another browser's", nobody.cookie("cart"), "0"},
		{"signed by the authorization server", s.sign("cart+jwt", map[string]any{"aud": "shop", "sub": "person:person-1", "items": map[string]int{"key": 1}}), "0"},
		{"noise", "x", "0"},
		{"empty", "", "0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c.setCookie("cart", row.cart)
			if p := c.get("/"); p.status != http.StatusOK || p.element("cart-count") != row.count {
				t.Errorf("%d, %s pieces, want %s", p.status, p.element("cart-count"), row.count)
			}
		})
	}
	c.setCookie("cart", good)
	s.set(func() { s.now = s.now.Add(time.Hour) })
	if p := c.get("/"); p.element("cart-count") != "0" {
		t.Error("a cart outlives its hour")
	}
}

func TestCartIsBounded(t *testing.T) {
	c := newStreet(t).customer()
	var p page
	for range 25 {
		p = c.post("/cart", "item", "key")
	}
	if p.element("cart-count") != "20" {
		t.Errorf("%s pieces", p.element("cart-count"))
	}
	if p = c.post("/cart", "item", "<script>"); p.element("cart-count") != "20" {
		t.Errorf("unknown item: %s pieces", p.element("cart-count"))
	}
	if p = c.post("/cart", "item", strings.Repeat("x", 1<<20)); p.status != http.StatusBadRequest {
		t.Errorf("a megabyte: %d", p.status)
	}
}

func TestOtherSites(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.get("/login")
	c.post("/cart", "item", "key")
	for _, path := range []string{"/cart", "/orders", "/comments", "/inside", "/attacks/strip", "/attacks/token", "/logout"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			req, _ := http.NewRequest("POST", s.shop.URL+path, strings.NewReader("item=key"))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(name, value)
			if p := c.see(c.browser.Do(req)); p.status != http.StatusForbidden {
				t.Errorf("POST %s with %s: %d", path, name, p.status)
			}
		}
		// An image that asks for it changes nothing.
		if p := c.get(path + "?item=key&text=x&turn=tokens"); p.status == http.StatusOK && path != "/inside" && path != "/attacks/token" {
			t.Errorf("GET %s: %d", path, p.status)
		}
	}
	if p := c.get("/"); p.element("cart-count") != "1" || !p.has("sign-out") || p.quote() != "" || c.cookie("switches") != "" {
		t.Errorf("something has changed: %s", p.text)
	}
}

func TestPages(t *testing.T) {
	s := newStreet(t)
	s.name = `<script>alert(1)</script>`
	c := s.customer()
	for _, path := range []string{"/", "/login", "/inside", "/attacks", "/source/cart.go", "/nowhere", "/callback?state=x&error=<script>"} {
		p := c.get(path)
		csp := p.header.Get("Content-Security-Policy")
		ours := strings.Count(p.text, `<script src="/static/`)
		if strings.Count(p.text, "<script") != ours || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			!strings.Contains(csp, "frame-ancestors 'none'") || p.header.Get("Cache-Control") != "no-store" || p.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v %s", path, p.header, p.text)
		}
	}
	if p := c.get("/"); p.element("person") != s.name {
		t.Errorf("the name is shown as %q", p.element("person"))
	}
	for _, path := range []string{"/static/style.css", "/static/key.svg", "/static/gate.svg", "/static/cart.js", "/static/attack.js"} {
		if p := c.get(path); p.status != http.StatusOK {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestAPISaysNo(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.get("/login")
	for range 11 {
		c.post("/cart", "item", "lantern")
	}
	if p := c.post("/orders"); p.status != http.StatusForbidden || !strings.Contains(p.element("note"), "€500.00 at most") || p.element("cart-count") != "11" {
		t.Errorf("a rule of the API: %d %s", p.status, p.text)
	}
	s.set(func() { s.apiDown = true })
	if p := c.post("/orders"); p.status != http.StatusServiceUnavailable || p.element("cart-count") != "11" {
		t.Errorf("API down: %d %s", p.status, p.text)
	}
	s.set(func() { s.apiDown = false })
	s.set(func() { s.scope = "openid" })
	c.get("/login")
	if p := c.post("/orders"); p.status != http.StatusForbidden || !p.has("note") {
		t.Errorf("scope missing: %d %s", p.status, p.text)
	}
	// The access token has died and there is no refresh token: sign in again.
	s.set(func() { s.scope, s.now = "", s.now.Add(6*time.Minute) })
	c.post("/cart", "remove", "lantern")
	c.post("/cart", "item", "key")
	if p := c.post("/orders"); p.status != http.StatusOK || p.has("receipt") || p.element("cart-count") != "1" {
		t.Errorf("token expired: %d %s", p.status, p.text)
	}
	if p := c.post("/orders"); !p.has("receipt") {
		t.Errorf("with the new token: %d", p.status)
	}
}

func TestConfig(t *testing.T) {
	good := shop.Config{Issuer: "https://id.example", ClientID: "shop", BaseURL: "https://shop.example", APIURL: "https://api.example"}
	if _, err := shop.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*shop.Config){
		"no issuer":         func(c *shop.Config) { c.Issuer = "" },
		"no client":         func(c *shop.Config) { c.ClientID = "" },
		"no base":           func(c *shop.Config) { c.BaseURL = "" },
		"http base":         func(c *shop.Config) { c.BaseURL = "http://shop.example" },
		"no API":            func(c *shop.Config) { c.APIURL = "" },
		"short cart key":    func(c *shop.Config) { c.CartKey = []byte("short") },
		"short session key": func(c *shop.Config) { c.SessionKey = []byte("short") },
	} {
		config := good
		change(&config)
		if _, err := shop.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
