package shop_test

import (
	"bytes"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/examples/shop"
)

// try presses the button of an attack.
func (c *customer) try(name string) page {
	c.t.Helper()
	return c.post("/attacks/" + name)
}

// verdict is what the page says came of an attack.
func (p page) verdict() string {
	m := regexp.MustCompile(`class="verdict (\w+)"`).FindStringSubmatch(p.text)
	if m == nil {
		return ""
	}
	return m[1]
}

// Each attack on the shop fails, with carts that are signed and with encrypted ones, and
// the page says why in the words of the answer.
func TestAttacksFail(t *testing.T) {
	for _, form := range []string{"signed", "encrypted"} {
		t.Run(form, func(t *testing.T) {
			s := newStreet(t)
			c := s.customer()
			c.post("/inside", "turn", form)
			for _, row := range []struct{ name, reason, shown string }{
				{"strip", map[string]string{"signed": "Its signature is missing", "encrypted": "not a cart of this shop"}[form], "no signature"},
				{"none", "signed in another way than this shop signs, or not at all", `"alg": "none"`},
				{"price", "the lantern costs €48.00", "€0.01"},
				{"swap", "somebody else", "cart"},
				{"expired", "more than an hour old", "cart"},
				{"script", "&lt;script>", "&lt;script&gt;"},
			} {
				p := c.try(row.name)
				if p.status != http.StatusOK || p.verdict() != "stopped" || !strings.Contains(p.element("reason"), row.reason) ||
					!strings.Contains(html.UnescapeString(p.text), row.shown) {
					t.Errorf("%s: %d %s: %q\n%s", row.name, p.status, p.verdict(), p.element("reason"), p.text)
				}
			}
			if p := c.try("fire"); p.status != http.StatusNotFound {
				t.Errorf("no such attack: %d", p.status)
			}
		})
	}
}

// weaken puts something between the network and the shop.
func (s *street) weaken(around func(http.Handler) http.Handler) {
	s.set(func() { s.front = around(s.front) })
}

// rewritten changes what the shop answers.
func rewritten(old, new string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := &kept{header: w.Header(), status: http.StatusOK}
			next.ServeHTTP(out, r)
			w.Header().Del("Content-Length")
			w.WriteHeader(out.status)
			io.WriteString(w, strings.ReplaceAll(out.body.String(), old, new))
		})
	}
}

// kept is an answer that is held back.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// The page is honest: take a protection away, and it says that the attack worked.
func TestAttacksWorkWithoutProtection(t *testing.T) {
	anybody := func(next http.Handler) http.Handler { // a shop that does not ask whose a cart is
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if cookie, err := r.Cookie("cart"); err == nil {
				if token := claimsOf(cookie.Value); token != "" {
					value := strings.TrimPrefix(token, "browser:")
					r.Header.Set("Cookie", "cart="+cookie.Value+"; browser="+value)
				}
			}
			next.ServeHTTP(w, r)
		})
	}
	for name, weaken := range map[string]func(s *street){
		"strip":   func(s *street) { s.sh.Careless() },
		"none":    func(s *street) { s.sh.Careless() },
		"expired": func(s *street) { s.sh.Careless() },
		"swap":    func(s *street) { s.weaken(anybody) },
		"price": func(s *street) {
			cheap := rewritten("€48.00", "€0.01")
			s.weaken(func(next http.Handler) http.Handler {
				fooled := cheap(next)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if copy, err := r.Cookie("cart-copy"); err == nil && strings.Contains(decoded(copy.Value), "0.01") {
						fooled.ServeHTTP(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
		},
		"script": func(s *street) {
			s.weaken(func(next http.Handler) http.Handler {
				return rewritten("&#34;", `"`)(rewritten("&lt;", "<")(rewritten("&gt;", ">")(next)))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			weaken(s)
			if p := s.customer().try(name); p.verdict() != "worked" || !strings.Contains(p.text, "The attack worked!") {
				t.Errorf("%s: %s\n%s", p.verdict(), p.element("reason"), p.text)
			}
		})
	}
}

// A shop that serves nobody is not a safe one.
func TestAttacksThatProveNothing(t *testing.T) {
	for name, weaken := range map[string]func(http.Handler) http.Handler{
		"no cart is ever good": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if cookie, err := r.Cookie("cart"); err == nil {
					r.Header.Set("Cookie", "cart=x"+cookie.Value)
				}
				next.ServeHTTP(w, r)
			})
		},
		"the shop is down": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.UserAgent() == "thief/1.0" {
					http.Error(w, "down", http.StatusBadGateway)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
	} {
		for _, attack := range []string{"strip", "none", "price", "swap", "expired"} {
			s := newStreet(t)
			s.weaken(weaken)
			if p := s.customer().try(attack); p.verdict() != "untried" {
				t.Errorf("%s, %s: %s", name, attack, p.verdict())
			}
		}
	}
}

// visitOther goes to the other site, and sends what a browser sends from there. With
// cookies: as a browser would that does not know SameSite.
func (c *customer) visitOther(cookies bool) page {
	c.t.Helper()
	p := c.try("image") // follows to the other site
	target := regexp.MustCompile(`<img src="([^"]+)"`).FindStringSubmatch(p.text)
	back := regexp.MustCompile(`id="back"[^>]* href="([^"]+)"`).FindStringSubmatch(p.text)
	if p.status != http.StatusOK || target == nil || back == nil || !strings.Contains(p.text, "This is another site") {
		c.t.Fatalf("the other site: %d %s", p.status, p.text)
	}
	browser := http.DefaultClient
	if cookies {
		browser = c.browser
	}
	for _, method := range []string{"GET", "POST"} {
		req, _ := http.NewRequest(method, html.UnescapeString(target[1]), strings.NewReader("item=lantern"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		c.see(browser.Do(req))
	}
	return c.see(c.browser.Get(html.UnescapeString(back[1])))
}

func TestOtherSite(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	c.post("/cart", "item", "key")
	for _, cookies := range []bool{false, true} {
		p := c.visitOther(cookies)
		if p.verdict() != "stopped" || !strings.Contains(p.element("reason"), "had 1 pieces before the visit, and has 1 now") ||
			!strings.Contains(p.text, "404 Not Found") || !strings.Contains(p.text, "403 Forbidden") || !strings.Contains(p.text, "Sec-Fetch-Site: cross-site") {
			t.Errorf("with cookies %t: %s %s\n%s", cookies, p.verdict(), p.element("reason"), p.text)
		}
	}
	t.Run("without protection", func(t *testing.T) {
		s := newStreet(t)
		s.weaken(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				next.ServeHTTP(w, r)
			})
		})
		if p := s.customer().visitOther(true); p.verdict() != "worked" {
			t.Errorf("%s\n%s", p.verdict(), p.text)
		}
	})
	t.Run("nothing arrives", func(t *testing.T) {
		c := newStreet(t).customer()
		p := c.try("image")
		back := regexp.MustCompile(`id="back"[^>]* href="([^"]+)"`).FindStringSubmatch(p.text)
		if p := c.see(c.browser.Get(html.UnescapeString(back[1]))); p.verdict() != "untried" {
			t.Errorf("%s", p.verdict())
		}
	})
	t.Run("an address that nobody made", func(t *testing.T) {
		if p := newStreet(t).customer().get("/attacks/image?attack=ABC"); p.verdict() != "" || p.status != http.StatusOK {
			t.Errorf("%d %s", p.status, p.verdict())
		}
	})
	// The other site has nothing of the shop.
	u, _ := url.Parse(s.shop.URL)
	for _, path := range []string{"/", "/cart", "/kittens", "/kittens?attack=x", "/attacks"} {
		if p := c.see(c.browser.Get("http://localhost:" + u.Port() + path)); p.status != http.StatusNotFound {
			t.Errorf("the other site, %s: %d", path, p.status)
		}
	}
}

// The API of this street follows no feed, so a stolen token works: and the page says so.
func TestStolenTokenWithoutFeed(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	if p := c.try("token"); !strings.Contains(p.text, "<h1>Attack me</h1>") || !p.has("sign-out") {
		t.Fatalf("it signs in first: %d %s", p.status, p.text)
	}
	p := c.try("token")
	if p.verdict() != "worked" || p.has("sign-out") {
		t.Fatalf("%s, signed in: %t\n%s", p.verdict(), p.has("sign-out"), p.text)
	}
	if strings.Contains(p.text, s.lastToken()) {
		t.Error("the page has the whole token in it")
	}
	if p := c.get("/"); p.verdict() != "" || !p.has("sign-in") {
		t.Errorf("it goes on: %s", p.text)
	}
	if p := c.get("/attacks/token"); p.verdict() != "" {
		t.Errorf("it is told again: %s", p.text)
	}
}

// Every link to a line that stops an attack leads to that line, in this program and in
// the repository.
func TestLinksToTheSource(t *testing.T) {
	s := newStreet(t)
	c := s.customer()
	link := regexp.MustCompile(`<a class="stop" href="/source/([^#"]+)#L(\d+)">examples/shop/([^:<]+):(\d+)</a><pre[^>]*>([^<]*)</pre>`)
	seen := 0
	for _, name := range shop.Attacks() {
		var p page
		switch name {
		case "image":
			p = c.visitOther(false)
		case "token":
			c.get("/login")
			p = c.try(name)
		default:
			p = c.try(name)
		}
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			seen++
			text, err := os.ReadFile(m[1])
			if err != nil || m[1] != m[3] || m[2] != m[4] {
				t.Errorf("%s: %v %v", name, m, err)
				continue
			}
			n, _ := strconv.Atoi(m[2])
			line := strings.TrimSpace(strings.Split(string(text), "\n")[n-1])
			if line != html.UnescapeString(m[5]) {
				t.Errorf("%s: line %s of %s is %q, not %q", name, m[2], m[1], line, m[5])
			}
			source := c.get("/source/" + m[1])
			if source.status != http.StatusOK || !strings.Contains(source.text, `id="L`+m[2]+`"`) || !strings.Contains(html.UnescapeString(source.text), line) {
				t.Errorf("%s: the page of %s: %d", name, m[1], source.status)
			}
		}
		if !link.MatchString(p.text) {
			t.Errorf("%s points to no line", name)
		}
	}
	if seen < len(shop.Attacks()) {
		t.Errorf("%d links", seen)
	}
	for _, path := range []string{"/source/", "/source/go.mod", "/source/../shop.go", "/source/till.go", "/source/%2e%2e/shop.go"} {
		if p := c.get(path); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestAttackPages(t *testing.T) {
	c := newStreet(t).customer()
	p := c.get("/attacks")
	for _, name := range shop.Attacks() {
		if !p.has("attack-" + name) {
			t.Errorf("no button for %s", name)
		}
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' ") || !strings.Contains(csp, "http://localhost:") {
		t.Errorf("the way to the other site is closed: %s", csp)
	}
	if csp := c.get("/").header.Get("Content-Security-Policy"); strings.Contains(csp, "http://localhost:") {
		t.Errorf("every page leads to the other site: %s", csp)
	}
	// A shop that is not on this machine has no other site to send people to.
	s, err := shop.New(shop.Config{Issuer: "https://id.example", ClientID: "shop", BaseURL: "https://shop.example", APIURL: "https://api.example"})
	if err != nil {
		t.Fatal(err)
	}
	w := record(s.Handler(), "GET", "https://shop.example/attacks")
	if text := w.Body.String(); strings.Contains(text, "attack-image") || !strings.Contains(text, "attack-strip") {
		t.Errorf("%d %s", w.Code, text)
	}
	if w := record(s.Handler(), "POST", "https://shop.example/attacks/image"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	if !slices.Contains(shop.Attacks(), "token") {
		t.Error("no attack by a stolen token")
	}
}
