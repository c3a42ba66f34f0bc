package shop_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/shop"
)

func record(h http.Handler, method, address string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, address, nil))
	return w
}

func decoded(value string) string {
	text, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return ""
	}
	return string(text)
}

// claimsOf returns whose a cart is.
func claimsOf(cart string) string {
	var claims struct{ Sub string }
	if parts := strings.Split(cart, "."); len(parts) == 3 {
		json.Unmarshal([]byte(decoded(parts[1])), &claims)
	}
	return claims.Sub
}

func TestSwitches(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.post("/cart", "item", "lantern")
	if n := strings.Count(c.cookie("cart"), "."); n != 2 {
		t.Fatalf("RFC 7515 §7.1: a signed cart has three parts, this one %d", n+1)
	}
	p := c.post("/inside", "turn", "encrypted")
	if n := strings.Count(c.cookie("cart"), "."); p.status != http.StatusOK || n != 4 {
		t.Fatalf("RFC 7516 §7.1: an encrypted cart has five parts, this one %d", n+1)
	}
	if strings.Contains(c.cookie("cart"), base64.RawURLEncoding.EncodeToString([]byte(`lantern`))) || !strings.Contains(p.text, "that only the shop can read") {
		t.Error("an encrypted cart can be read")
	}
	if p = c.post("/cart", "item", "lantern"); p.element("cart-count") != "2" || strings.Count(c.cookie("cart"), ".") != 4 {
		t.Errorf("adding to an encrypted cart: %s", p.element("cart-count"))
	}
	good := c.cookie("cart")
	parts := strings.Split(good, ".")
	for name, cart := range map[string]string{
		"a bit of its content":       strings.Join([]string{parts[0], parts[1], parts[2], "A" + parts[3][1:], parts[4]}, "."),
		"its tag cut off":            strings.Join(parts[:4], ".") + ".",
		"its tag shortened":          good[:len(good)-2],
		"four parts":                 strings.Join(parts[:4], "."),
		"the header of another kind": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A128GCM","cty":"JWT"}`)) + good[len(parts[0]):],
	} {
		c.setCookie("cart", cart)
		if p := c.get("/"); cart != good && (p.element("cart-count") != "0" || !p.has("cart-refused")) {
			t.Errorf("%s: %s pieces, %q", name, p.element("cart-count"), p.element("cart-refused"))
		}
	}
	c.setCookie("cart", good)
	c.post("/inside", "turn", "signed")
	if p = c.get("/"); p.element("cart-count") != "2" || strings.Count(c.cookie("cart"), ".") != 2 {
		t.Errorf("back again: %s pieces", p.element("cart-count"))
	}
	if p = c.post("/inside", "turn", "nonsense"); p.status != http.StatusBadRequest {
		t.Errorf("no such switch: %d", p.status)
	}
	c.setCookie("switches", "encrypted.tokens.<script>")
	if p = c.get("/inside"); p.status != http.StatusOK || strings.Contains(p.text, "<script>") {
		t.Errorf("a cookie by hand: %d", p.status)
	}
}

func TestClear(t *testing.T) {
	c := newStreet(t).customer()
	c.post("/cart", "item", "lantern")
	c.post("/cart", "item", "key")
	if p := c.post("/cart", "clear", "all"); p.element("cart-count") != "0" || c.cookie("cart") != "" || c.cookie("cart-copy") != "" {
		t.Errorf("%s pieces, cart %q, copy %q", p.element("cart-count"), c.cookie("cart"), c.cookie("cart-copy"))
	}
}

// Signing in by form_post: the tokens come through the browser.
func TestSignInByTokens(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.post("/inside", "turn", "tokens")
	c.post("/cart", "item", "bell")
	p := c.signInByForm("/login?return_to=/inside")
	if p.status != http.StatusOK || p.element("person") != "Ada Lovelace" || !strings.Contains(p.text, "Access token") {
		t.Fatalf("%d %s", p.status, p.text)
	}
	if strings.Contains(p.text, s.lastToken()) {
		t.Error("the page has the whole access token in it")
	}
	if p = c.post("/orders"); !p.has("receipt") || p.element("buyer") != "Ada Lovelace" {
		t.Errorf("buying: %d %s", p.status, p.text)
	}
	// Nothing renews the token: after five minutes one signs in again.
	s.set(func() { s.now = s.now.Add(6 * time.Minute) })
	c.post("/cart", "item", "bell")
	if p = c.see(c.noRedirect("POST", "/orders")); p.status != http.StatusSeeOther || !strings.Contains(p.header.Get("Location"), "response_mode=form_post") {
		t.Errorf("%d %s", p.status, p.header.Get("Location"))
	}
}

// What is written in the readable copy counts for nothing.
func TestCopyIsNeverTrusted(t *testing.T) {
	c := newStreet(t).customer()
	c.get("/login")
	c.post("/cart", "item", "lantern")
	var copied struct {
		Pieces int
		Total  string
		Lines  []struct{ Name, Price string }
	}
	if err := json.Unmarshal([]byte(decoded(c.cookie("cart-copy"))), &copied); err != nil || copied.Pieces != 1 || copied.Total != "€48.00" || len(copied.Lines) != 1 {
		t.Fatalf("%+v %v", copied, err)
	}
	for _, value := range []string{
		base64.RawURLEncoding.EncodeToString([]byte(`{"pieces":9,"total":"€0.01","lines":[{"name":"Lantern","count":9,"price":"€0.01"}]}`)), "noise", "<script>",
	} {
		c.setCookie("cart-copy", value)
		if p := c.get("/"); p.element("cart-count") != "1" || p.element("cart-total") != "€48.00" {
			t.Errorf("%q: %s pieces, %s", value, p.element("cart-count"), p.element("cart-total"))
		}
	}
	if p := c.post("/orders"); p.element("receipt-total") != "€48.00" {
		t.Errorf("%s", p.text)
	}
}

func TestComments(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	for _, text := range []string{`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><i>`, `{{.Person}}`, "a & b <3"} {
		p := c.post("/comments", "text", text)
		if p.status != http.StatusOK || strings.Contains(p.text, text) && strings.ContainsAny(text, "<&") || p.quote() != text {
			t.Errorf("%q is shown as %q", text, p.quote())
		}
	}
	for name, text := range map[string]string{"nothing": " \n", "too long": strings.Repeat("x", 401), "no UTF-8": "\xff"} {
		if p := c.post("/comments", "text", text); p.status != http.StatusUnprocessableEntity || p.quote() != "a & b <3" {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	for range 20 {
		c.post("/comments", "text", "again")
	}
	if p := c.get("/"); strings.Count(p.text, "<blockquote>") != 12 {
		t.Errorf("%d comments are kept", strings.Count(p.text, "<blockquote>"))
	}
	c.get("/login")
	if p := c.post("/comments", "text", "me"); !strings.Contains(p.text, "<b>Ada Lovelace</b>") {
		t.Error("a comment of somebody is nobody's")
	}
}

func TestCookies(t *testing.T) {
	for _, row := range []struct {
		name, base, browser string
		secure              bool
	}{
		{"https", "https://shop.example", "Safari/605.1.15 AppleWebKit/605.1.15", true},
		{"Chromium on this machine", "http://localhost:8081", "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36", true},
		{"Firefox on this machine", "http://localhost:8081", "Mozilla/5.0 Gecko/20100101 Firefox/150.0", true},
		{"Safari on this machine keeps none that is Secure", "http://localhost:8081", "Mozilla/5.0 AppleWebKit/605.1.15 (KHTML, like Gecko) Version/20.0 Safari/605.1.15", false},
	} {
		s, err := shop.New(shop.Config{Issuer: "https://id.example", ClientID: "shop", BaseURL: row.base, APIURL: "https://api.example"})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", row.base+"/cart", strings.NewReader("item=key"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", row.browser)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		cookies := w.Result().Cookies()
		if len(cookies) != 3 {
			t.Errorf("%s: %d %v", row.name, w.Code, cookies)
		}
		for _, cookie := range cookies {
			readable := cookie.Name == "cart-copy" // and no other
			if cookie.Secure != row.secure || cookie.HttpOnly == readable || cookie.SameSite != http.SameSiteLaxMode || strings.Count(cookie.Raw, "Secure") > 1 {
				t.Errorf("%s: %s", row.name, cookie.Raw)
			}
		}
	}
}

// The till verifies the ID token anew, and names the person by it.
func TestBuyerIsVerified(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.get("/login")
	s.set(func() { s.name = "Somebody Else" }) // what the ID token of the session says stays
	c.post("/cart", "item", "key")
	p := c.post("/orders")
	if p.element("buyer") != "Ada Lovelace" || !strings.Contains(p.text, "Thank you, Ada Lovelace") {
		t.Errorf("bought by %q", p.element("buyer"))
	}
	for name, change := range map[string]func(s *street){
		"its key is not published": func(s *street) { s.now, s.published = s.now.Add(time.Minute), s.alien },
		"it has expired":           func(s *street) { s.now = s.now.Add(5*time.Minute + 31*time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			c := s.customer()
			c.get("/login")
			c.post("/cart", "item", "key")
			s.set(func() { change(s) })
			p := c.see(c.noRedirect("POST", "/orders"))
			if p.status != http.StatusSeeOther || !strings.Contains(p.header.Get("Location"), "/authorize?") {
				t.Errorf("%d %s", p.status, p.header.Get("Location"))
			}
		})
	}
}
