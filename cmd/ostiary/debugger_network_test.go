package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/debugger"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
)

// A toll is a proxy that all the traffic of a browser goes through, that of its
// workers too. It keeps each request as it was sent.
type toll struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func openToll(t *testing.T) *toll {
	p := &toll{}
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}} // to where it is addressed
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := r.URL.Hostname(); strings.HasSuffix(host, ".google.com") || strings.HasSuffix(host, ".googleapis.com") {
			http.Error(w, "what Chromium itself asks its maker, for updates and the like", http.StatusForbidden)
			return
		}
		text, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.URL.String()+"\n"+string(text))
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// options send a browser through the toll, also to this machine.
func (p *toll) options() []chromedp.ExecAllocatorOption {
	return []chromedp.ExecAllocatorOption{chromedp.ProxyServer(p.URL), chromedp.Flag("proxy-bypass-list", "<-loopback>")}
}

// taken returns the requests since the last call, once there come no more.
func (p *toll) taken() []string {
	for n := -1; ; time.Sleep(500 * time.Millisecond) {
		p.mu.Lock()
		if n == len(p.asked) {
			all := p.asked
			p.asked = nil
			p.mu.Unlock()
			return all
		}
		n = len(p.asked)
		p.mu.Unlock()
	}
}

// serveDebugger serves the page by itself, so that it can go away.
func serveDebugger(t *testing.T) (server *httptest.Server, address string) {
	page := must[*debugger.Debugger](t)(debugger.New(debugger.Config{}))
	server = httptest.NewServer(page)
	t.Cleanup(server.Close)
	return server, server.URL + debugger.Path
}

// Once the page is there it needs no network and asks for nothing: its server is
// gone, and no request leaves the browser whatever is done with tokens and keys.
func TestDebuggerOffline(t *testing.T) {
	p := openToll(t)
	server, address := serveDebugger(t)
	b := openBench(t, address, p.options()...)
	for _, one := range p.taken() {
		if !strings.HasPrefix(one, "GET "+address) {
			t.Errorf("to show itself the page asks for %s", one)
		}
	}
	server.Close()

	b.click("example")
	b.verdict("good", "Signature verified")
	for _, alg := range []jwa.Algorithm{"HS256", "PS256", "Ed25519"} {
		key := newKey(t, alg)
		b.put("token", sample(t, key))
		b.key("jwk", privateJWK(t, key))
		b.verdict("good", "Signature verified")
	}
	for _, one := range pems(t) {
		b.put("token", one.token)
		b.key("pem", one.pem)
		b.verdict("good", "Signature verified")
	}
	key := newKey(t, "ECDH-ES")
	b.put("token", must[string](t)(jwe.Encrypt([]byte(`{"sub":"alice"}`), key, jwe.EncryptOptions{})))
	b.key("jwk", privateJWK(t, key))
	b.verdict("good", "Decrypted")

	b.click("generate")
	b.expect(`#outcome`, "A new key is above")
	b.click("make")
	b.expect(`#outcome`, "Signed with")
	b.click("mode-encrypt")
	b.click("generate")
	b.expect(`#outcome`, "A new key is above")
	b.click("make")
	b.expect(`#outcome`, "Encrypted with")
	b.verdict("good", "Decrypted")

	// Addresses in a token and in a key are text.
	leak := p.URL + "/leak"
	b.put("token", base64URL(fmt.Sprintf(`{"alg":"RS256","jku":%[1]q,"x5u":%[1]q,"jwk":{"x5u":%[1]q}}`, leak))+"."+
		base64URL(fmt.Sprintf(`{"iss":%[1]q,"picture":%[1]q,"a":"<img src=%[2]s><link rel=stylesheet href=%[2]s>"}`, leak, leak))+".AAAA")
	b.expect(`#claims-view`, "<img src=")
	b.key("jwk", fmt.Sprintf(`{"kty":"RSA","n":"AQ","e":"AQAB","x5u":%q}`, leak))
	b.verdict("bad", "Not verified")
	b.key("url", leak) // nothing happens before the button is pressed
	b.verdict("key", "Not verified yet")
	for _, one := range p.taken() {
		t.Errorf("the page asked for %s", one)
	}
	b.quiet()
}

// Fetching a key set makes two requests: for the script that may fetch it, which
// tells its origin, and for the set. Neither tells anything of a token or a key.
func TestDebuggerAsksForOneSet(t *testing.T) {
	p := openToll(t)
	_, address := serveDebugger(t)
	key := newKey(t, "ES256")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprintf(w, `{"keys":[%s]}`, publicJWK(t, key))
	}))
	t.Cleanup(keys.Close)
	b := openBench(t, address, p.options()...)
	token := sample(t, key)
	b.put("token", token)
	b.key("secret", "correct horse battery staple 123")
	b.key("url", keys.URL+"/set?tenant=7")
	p.taken()
	b.click("fetch")
	b.verdict("good", "Signature verified")
	got := p.taken()
	want := []string{"GET " + address + "/fetch?origin=" + url.QueryEscape(keys.URL), "GET " + keys.URL + "/set?tenant=7"}
	if len(got) != len(want) {
		t.Fatalf("%d requests: %s", len(got), got)
	}
	for n, one := range got {
		if !strings.HasPrefix(one, want[n]+"\n") {
			t.Errorf("it asked for %s, want %s", one, want[n])
		}
		for _, secret := range append(strings.Split(token, "."), "horse", "alice", key.ID()) {
			if strings.Contains(one, secret) {
				t.Errorf("it tells %s: %s", secret, one)
			}
		}
		if strings.Contains(one, "Cookie:") || n == 1 && strings.Contains(one, "Referer:") {
			t.Errorf("it says where it comes from: %s", one)
		}
	}
	// The set is kept for this token and the next, and asked for once.
	b.put("token", sample(t, key))
	b.verdict("good", "Signature verified")
	if more := p.taken(); len(more) > 0 {
		t.Errorf("it asked again: %s", more)
	}
	b.quiet()
}
