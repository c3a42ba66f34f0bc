package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

func newKey(t *testing.T, alg jwa.Algorithm) *jwk.Key {
	t.Helper()
	return must[*jwk.Key](t)(jwk.Generate(alg))
}

func privateJWK(t *testing.T, key *jwk.Key) string {
	t.Helper()
	return string(must[[]byte](t)(key.MarshalPrivateJSON()))
}

func publicJWK(t *testing.T, key *jwk.Key) string {
	t.Helper()
	return string(must[[]byte](t)(key.MarshalJSON()))
}

// sample is a token without a fault.
func sample(t *testing.T, key *jwk.Key) string {
	t.Helper()
	return must[string](t)(jwt.Sign(map[string]any{"sub": "alice", "aud": "https://api.example.com"}, key,
		jwt.SignOptions{Issuer: "https://login.example.com", ExpiresIn: time.Hour}))
}

func TestDebuggerReads(t *testing.T) {
	b := openBench(t, startDebugger(t))
	b.screenshots("debugger-empty")
	b.click("example")
	b.verdict("good", "Signature verified")
	b.expect(`#header-view`, "an access token, RFC 9068")
	b.expect(`#claims-view`, "in 4 minutes")
	b.eventually("nothing is wrong with the example", `document.getElementById('problems-card').hidden`)
	b.screenshots("debugger-example")
	for _, width := range []int64{320, 1920} {
		b.do("resizing", chromedp.EmulateViewport(width, 900))
		if got := ask(b.browser, "measuring", chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); got > width {
			b.t.Errorf("the page is %d wide in a window of %d", got, width)
		}
	}

	// A name is explained when the keyboard comes to it, and Escape puts that away.
	b.do("focusing a name", browsertest.Front, chromedp.EmulateViewport(1280, 860), browsertest.Focus(`#claims-view button.name`))
	b.expect(`#tip`, "RFC 7519 §4.1.1")
	b.screenshots("debugger-tip")
	b.do("Escape", browsertest.Focus(`#claims-view button.name`), chromedp.KeyEvent("\x1b"), browsertest.Hidden(`#tip`))

	// A token may expire while it is looked at.
	soon := must[string](t)(jwt.Sign(map[string]any{"aud": "x"}, newKey(t, "HS256"), jwt.SignOptions{ExpiresIn: 2 * time.Second}))
	shown := b.value("token")
	b.put("token", soon)
	b.expect(`#shape`, "no problems")
	b.expect(`#problems`, "It expired")
	// A thumbprint may hold what begins a comment in SQL.
	b.put("token", must[string](t)(jwt.Sign(map[string]any{"aud": "x"}, newKey(t, "HS256"), jwt.SignOptions{KeyID: "a--b", ExpiresIn: time.Hour})))
	b.expect(`#header-view`, "a--b")
	b.expect(`#shape`, "no problems")
	b.put("token", shown)

	// The same for a pointer.
	at := ask(b.browser, "finding a name", chromedp.Evaluate[[]float64](`(() => {
		document.activeElement.blur()
		const name = [...document.querySelectorAll('#claims-view .name')].find(n => n.textContent === 'exp')
		name.scrollIntoView()
		const box = name.getBoundingClientRect()
		return [box.x + 4, box.y + 4]
	})()`))
	b.do("pointing at a name", chromedp.MouseEvent("mouseMoved", at[0], at[1]))
	b.expect(`#tip`, "RFC 7519 §4.1.4")
	b.do("pointing away", chromedp.MouseEvent("mouseMoved", 2, 2), browsertest.Hidden(`#tip`))
	b.quiet()
}

// What is wrong with a token is said, and nothing in it becomes markup.
func TestDebuggerProblems(t *testing.T) {
	b := openBench(t, startDebugger(t))
	encode := func(header, claims string) string { return base64URL(header) + "." + base64URL(claims) + "." }
	long := `{"alg":"HS256","typ":"JWT"}`
	sized := func(bytes int) string { // whatever it says
		token := encode(long, `{"exp":9999999999}`)
		return token + strings.Repeat("A", bytes-len(token))
	}
	for _, row := range []struct{ name, token, want string }{
		{"RFC 8725 §3.2 alg none", encode(`{"alg":"none"}`, `{}`), `"alg" is "none"`},
		{"RFC 8725 §3.2 alg none, disguised", encode(`{"alg":"nOnE"}`, `{}`), `"alg" is "none"`},
		{"RFC 7519 §4.1.4 expired", encode(long, `{"exp":1}`), "It expired 5"},
		{"RFC 7519 §4.1.4 no exp", encode(long, `{}`), `There is no "exp"`},
		{"RFC 7519 §4.1.5 not yet", encode(long, `{"nbf":9999999999}`), "It is not valid yet"},
		{"RFC 7519 §2 milliseconds", encode(long, `{"exp":1999999999000}`), "milliseconds"},
		{"RFC 7519 §2 text", encode(long, `{"exp":"1999999999"}`), `"exp" is not a number`},
		{"RFC 7519 §4 twice", encode(long, `{"sub":"a","sub":"b"}`), `"sub" more than once`},
		{"RFC 7515 §4 twice", encode(`{"alg":"HS256","alg":"none"}`, `{}`), `"alg" more than once`},
		{"RFC 7515 §2 padding", encode(long, `{}`) + "YQ==", `padded with "="`},
		{"RFC 7515 §2 base64", encode(long, `{}`) + "+/+/", "this is base64, not base64url"},
		{"RFC 7515 §2 unused bits", encode(long, `{}`) + "YR", "bits that nothing uses"},
		{"RFC 7515 §2 line break", encode(long, `{}`) + "YW\nJj", "a line break"},
		{"RFC 7515 §7.1 parts", "a.b", "It has 2 parts"},
		{"RFC 7515 §4.1.11 crit", encode(`{"alg":"HS256","crit":["x"],"x":1}`, `{}`), `demands to understand "x"`},
		{"RFC 8725 §3.10 jku", encode(`{"alg":"RS256","jku":"https://evil.example/"}`, `{}`), "the attacker's key"},
		{"RFC 8725 §3.10 jwk", encode(`{"alg":"RS256","jwk":{}}`, `{}`), "brings a key along"},
		{"RFC 8725 §3.10 kid", encode(`{"alg":"RS256","kid":"../../dev/null"}`, `{}`), "looks like a path"},
		{"RFC 7518 §3.4 DER", encode(`{"alg":"ES256"}`, `{}`) + base64URL("0"+strings.Repeat("x", 69)), "It looks like DER"},
		{"RFC 7519 §7.2 no JSON", encode(long, `{"a":1,}`), "line 1, column 8"},
		{"RFC 7519 §7.2 no object", encode(long, `[1]`), "no object"},
		{"RFC 9068 §2.2", encode(`{"alg":"RS256","typ":"at+jwt"}`, `{"iss":"x"}`), `must have "exp", "aud"`},
		{"RFC 9110 §5.4 a header of more than 8 KiB", sized(jwt.MaxInHeader + 1), "It is 8169 bytes long. Many servers and proxies take 8168"},
		{"RFC 9110 §5.4 just fits", sized(jwt.MaxInHeader), "does not fit into a cookie: browsers keep 4096"},
		{"RFC 6265 §6.1 a cookie", sized(jwt.MaxInCookie + 1), "It is 4097 bytes long, and does not fit into a cookie"},
		{"64 KiB", sized(1<<16 + 1), "most software refuses it"},
		{"RFC 6750 §2.1 Bearer", "Bearer " + encode(long, `{}`), "belongs to the HTTP header"},
		{"markup", encode(`{"alg":"<img src=x onerror=alert(1)>"}`, `{"<script>alert(1)</script>":"<img src=x onerror=alert(1)>"}`), "<img"},
	} {
		b.put("token", row.token)
		if got := ask(b.browser, row.name, browsertest.Text(`#problems`)); !strings.Contains(got, row.want) {
			t.Errorf("%s: the page says %q, want %q in it", row.name, got, row.want)
		}
	}
	if ask(b.browser, "looking for markup", chromedp.Evaluate[int](`document.querySelectorAll('main img, main script').length`)) != 0 {
		t.Error("a claim became markup")
	}

	// Names that every object of JavaScript has mean nothing here.
	b.put("token", encode(`{"alg":"constructor","typ":"constructor","toString":"x"}`, `{"__proto__":{"exp":1},"constructor":"x","valueOf":1}`)+"AAAA")
	b.key("jwk", `{"kty":"oct","k":"AAAA"}`)
	b.verdict("bad", "constructor is not an algorithm")
	for _, half := range []string{"#header-view", "#claims-view"} {
		if got := ask(b.browser, "reading", browsertest.Text(half)); strings.Contains(got, "[object") || strings.Contains(got, "native code") {
			t.Errorf("%s says %q", half, got)
		}
	}
	b.key("jwk", "")

	b.put("token", encode(`{"alg":"none","kid":"../../etc/passwd","jku":"https://keys.evil.example/set"}`, `{"sub":"alice","exp":1700000000,"password":"open sesame"}`))
	b.verdict("bad", "Not verified")
	b.screenshots("debugger-problems")
	b.quiet()
}

func TestDebuggerVerifies(t *testing.T) {
	b := openBench(t, startDebugger(t))
	for _, alg := range []jwa.Algorithm{"HS256", "HS384", "HS512", "RS256", "PS384", "ES256", "ES384", "ES512", "Ed25519"} {
		t.Run(string(alg), func(t *testing.T) {
			key, other := newKey(t, alg), newKey(t, alg)
			right, wrong := privateJWK(t, key), privateJWK(t, other)
			if !key.Symmetric() {
				right, wrong = publicJWK(t, key), publicJWK(t, other)
			}
			token := sample(t, key)
			b.put("token", token)
			b.key("jwk", right)
			b.verdict("good", "Signature verified")
			b.key("jwk", wrong)
			b.verdict("bad", "The signature does not fit this key")
			b.key("jwk", `{"keys":[`+wrong+`,`+right+`]}`)
			b.verdict("good", key.ID())

			parts := strings.Split(token, ".")
			b.put("token", parts[0]+"."+base64URL(`{"sub":"mallory","exp":9999999999}`)+"."+parts[2])
			b.verdict("bad", "The signature does not fit this key")
		})
	}
	b.quiet()
}

func TestDebuggerKeys(t *testing.T) {
	b := openBench(t, startDebugger(t))
	t.Run("secret", func(t *testing.T) {
		key := must[*jwk.Key](t)(jwk.New([]byte("correct horse battery staple 123"), jwk.Params{}))
		b.put("token", must[string](t)(jwt.Sign(map[string]any{"aud": "x"}, key, jwt.SignOptions{Algorithm: "HS256", ExpiresIn: time.Hour})))
		b.key("secret", "correct horse battery staple 123")
		b.verdict("good", "Signature verified")
		b.key("secret", "correct horse battery staple 124")
		b.verdict("bad", "Not verified")
		b.eval(`document.querySelector('[name=encoding][value=base64url]').click()`)
		b.put("secret", base64URL("correct horse battery staple 123"))
		b.verdict("good", "Signature verified")
		b.put("secret", base64URL("correct horse battery staple 123")+"=")
		b.expect(`#key-note`, `padded with "="`)
		b.verdict("key", "Not verified yet")
	})
	for name, one := range pems(t) {
		t.Run(name, func(t *testing.T) {
			b.put("token", one.token)
			b.key("pem", one.pem)
			b.verdict("good", "Signature verified")
		})
	}
	// RFC 8725 §3.1: a public key is never the secret of an HMAC.
	t.Run("confusion", func(t *testing.T) {
		for name, one := range pems(t) {
			if name != "RSA PUBLIC KEY" {
				continue
			}
			secret := must[*jwk.Key](t)(jwk.New([]byte(one.pem), jwk.Params{}))
			b.put("token", must[string](t)(jwt.Sign(map[string]any{}, secret, jwt.SignOptions{Algorithm: "HS256", ExpiresIn: time.Hour})))
			b.key("pem", one.pem)
			b.verdict("bad", "HS256 needs a secret, and this is a public RSA key")
		}
	})
	b.quiet()
}

// A set of keys comes from the address that the person asked for, and nothing
// goes there or anywhere else.
func TestDebuggerFetches(t *testing.T) {
	b := openBench(t, startDebugger(t))
	house := servertest.Start(t)
	token := must[string](t)(house.Keys.Sign("ES256", "JWT", map[string]any{"aud": "x", "exp": time.Now().Add(time.Hour).Unix()}))
	b.put("token", token)
	b.key("url", house.Issuer+"/jwks")
	b.verdict("key", "Not verified yet")
	b.click("fetch")
	b.expect(`#key-note`, "Fetched 4 keys.")
	b.verdict("good", "Signature verified")
	b.screenshots("debugger-set")
	b.quiet()

	asked := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String() + r.Referer() + r.Header.Get("Cookie")
		http.Redirect(w, r, house.Issuer+"/jwks", http.StatusFound)
	}))
	defer elsewhere.Close()
	b.put("url", elsewhere.URL+"/set")
	b.click("fetch")
	b.expect(`#key-note`, "It could not be fetched") // it redirects
	if got := <-asked; got != "/set" {
		t.Errorf("the address was asked for %q", got)
	}
	for address, want := range map[string]string{
		"not an address":                "This is no address",
		"http://keys.example.com/jwks":  "must begin with https",
		"https://a:b@keys.example.com/": "must not hold a user name",
		"javascript:alert(1)":           "must begin with https",
		"http://[::1]:1/":               "must begin with https",
		"https://[::1]:1/":              "IPv6",
	} {
		b.put("url", address)
		b.click("fetch")
		b.expect(`#key-note`, want)
	}
	b.complaints()

	// The policies hold even if the scripts did not.
	outcome := ask(b.browser, "breaking out", chromedp.Evaluate[string](fmt.Sprintf(`(async () => {
		const tried = []
		try { await fetch(%[1]q); tried.push('the page fetched') } catch {}
		try { document.body.innerHTML = '<b>x</b>'; tried.push('a text became markup') } catch {}
		try { new Worker(%[2]q); tried.push('a text became a script') } catch {}
		const remote = await import(document.querySelector('script').src.replace('page.js', 'remote.js'))
		try { await remote.load({ origin: %[3]q, href: %[1]q }); tried.push('the worker fetched elsewhere') } catch {}
		return tried.join(', ')
	})()`, elsewhere.URL+"/leak", b.address+"/fetch?origin=https://a.example", house.Issuer), chromedp.EvalAwaitPromise))
	if outcome != "" || len(asked) > 0 {
		t.Errorf("%s; asked %d times", outcome, len(asked))
	}
}

func TestDebuggerSigns(t *testing.T) {
	b := openBench(t, startDebugger(t))
	for _, alg := range []jwa.Algorithm{"HS256", "RS256", "PS512", "ES256", "ES512", "Ed25519", "EdDSA"} {
		t.Run(string(alg), func(t *testing.T) {
			b.put("token", "")
			b.put("sign-alg", string(alg))
			b.put("jwk", "")
			b.click("generate")
			b.eventually("a key", `document.getElementById('jwk').value !== ''`)
			b.put("header-text", `{"typ":"JWT"}`)
			b.put("claims-text", fmt.Sprintf(`{"sub":"alice","n":12345678901234567890,"exp":%d}`, time.Now().Add(time.Hour).Unix()))
			b.click("make")
			b.expect(`#outcome`, "Signed with "+string(alg))
			key := must[*jwk.Key](t)(jwk.Parse([]byte(b.value("jwk"))))
			type numbered struct {
				Subject string      `json:"sub"`
				N       json.Number `json:"n"`
			}
			got := must[jwt.Token[numbered]](t)(jwt.Verify[numbered](t.Context(), b.value("token"), key, jwt.VerifyOptions{}))
			if want := (numbered{"alice", "12345678901234567890"}); got.Claims != want || got.Header.KeyID != key.ID() {
				t.Errorf("signed %v with %v", got.Claims, got.Header)
			}
			if !key.Symmetric() {
				b.eventually("the public key", `document.getElementById('public-pem').value.startsWith('-----BEGIN PUBLIC KEY')`)
				if public := must[*jwk.Key](t)(jwk.ParsePEM([]byte(b.value("public-pem")), jwk.Params{})); public.Thumbprint() != key.Thumbprint() {
					t.Error("the PEM is another key")
				}
			}
		})
	}
	b.put("header-text", `{"alg":`)
	b.click("make")
	b.expect(`#outcome`, "The header is not JSON: line 1, column 8")
	b.click("header-json")
	b.click("claims-json")
	b.screenshots("debugger-edit")
	b.quiet()
}

func TestDebuggerEncrypts(t *testing.T) {
	b := openBench(t, startDebugger(t))
	claims := fmt.Sprintf(`{"sub":"alice","aud":"x","exp":%d}`, time.Now().Add(time.Hour).Unix())
	for _, alg := range []jwa.Algorithm{"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "A256KW", "A128GCMKW"} {
		t.Run("decrypt "+string(alg), func(t *testing.T) {
			key := newKey(t, alg)
			b.key("jwk", "")
			b.put("token", must[string](t)(jwe.Encrypt([]byte(claims), key, jwe.EncryptOptions{Algorithm: alg, Type: "JWT"})))
			b.verdict("key", "Not decrypted yet")
			b.key("jwk", privateJWK(t, key))
			b.verdict("good", "Decrypted")
			b.expect(`#claims-view`, "alice")
			b.key("jwk", privateJWK(t, newKey(t, alg)))
			b.verdict("bad", "cannot be decrypted with this key")
			b.expect(`#claims-view`, "They are encrypted")
		})
	}
	t.Run("RFC 7517 §4.3 key_ops", func(t *testing.T) {
		key := newKey(t, "A256KW")
		b.put("token", must[string](t)(jwe.Encrypt([]byte(claims), key, jwe.EncryptOptions{})))
		b.key("jwk", strings.Replace(privateJWK(t, key), "{", `{"key_ops":["wrapKey"],`, 1))
		b.verdict("bad", `its "key_ops" are wrapKey`)
	})
	t.Run("password", func(t *testing.T) {
		key := must[*jwk.Key](t)(jwk.New([]byte("open sesame, please"), jwk.Params{Algorithm: "PBES2-HS256+A128KW"}))
		b.put("token", must[string](t)(jwe.Encrypt([]byte(claims), key, jwe.EncryptOptions{Algorithm: "PBES2-HS256+A128KW", Iterations: 2000})))
		b.key("secret", "open sesame, please")
		b.verdict("good", "Decrypted")
	})
	for alg, enc := range map[string]string{"RSA-OAEP-256": "A256GCM", "ECDH-ES": "A128CBC-HS256", "dir": "A256GCM", "A128KW": "A256CBC-HS512", "PBES2-HS256+A128KW": "A128GCM"} {
		t.Run("encrypt "+alg, func(t *testing.T) {
			b.show()
			b.click("mode-encrypt")
			b.put("enc-alg", alg)
			b.put("enc", enc)
			b.click("generate")
			b.eventually("a key", `document.getElementById('jwk').value !== ''`)
			b.put("claims-text", claims)
			b.click("make")
			b.expect(`#outcome`, "Encrypted with "+alg)
			b.verdict("good", "Decrypted")
			key := must[*jwk.Key](t)(jwk.Parse([]byte(b.value("jwk"))))
			message := must[jwe.Message](t)(jwe.Decrypt(t.Context(), b.value("token"), key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.Algorithm(alg)}}))
			if string(message.Plaintext) != claims {
				t.Errorf("decrypted %s", message.Plaintext)
			}
		})
	}
	t.Run("RFC 7519 §11.2 nested", func(t *testing.T) {
		b.show()
		inside := newKey(t, "ES256")
		signed := sample(t, inside)
		b.put("token", signed)
		b.click("mode-encrypt")
		b.put("enc-alg", "ECDH-ES")
		b.put("inside", "token")
		b.click("generate")
		b.eventually("a key", `document.getElementById('jwk').value !== ''`)
		b.click("make")
		b.expect(`#claims-view`, "Inside is another token")
		b.screenshots("debugger-encrypted")
		b.do("opening the inner token", browsertest.Click(`#open-inner`))
		b.key("jwk", publicJWK(t, inside))
		b.verdict("good", "Signature verified")
		if b.value("token") != signed {
			t.Error("another token came out")
		}
	})
	b.quiet()
}

// A link may bring a token, where no server sees it; the address forgets it.
func TestDebuggerLink(t *testing.T) {
	b := openBench(t, startDebugger(t))
	token := sample(t, newKey(t, "ES256"))
	b.do("following a link", browsertest.Visit("about:blank"), browsertest.Visit(b.address+"#token="+token), browsertest.Visible(`#bench`))
	b.eventually("the token is there", `document.getElementById('token').value.length > 100`)
	if got := ask(b.browser, "where", chromedp.Location()); got != b.address {
		t.Errorf("the address is still %s", got)
	}
	b.verdict("key", "Not verified yet")

	// A public key may come along, and is said to; a private one and a secret are not taken.
	key := newKey(t, "ES256")
	public := publicJWK(t, key)
	follow := func(jwk string) {
		t.Helper()
		b.do("following a link", browsertest.Visit("about:blank"),
			browsertest.Visit(b.address+"#"+url.Values{"token": {sample(t, key)}, "jwk": {jwk}}.Encode()), browsertest.Visible(`#bench`))
	}
	follow(public)
	b.verdict("good", "Signature verified")
	b.expect(`#key-note`, "Whoever made the link chose it")
	b.put("jwk", public+" ")
	b.eventually("it is the person's own now", `document.getElementById("key-note").textContent === ""`)
	for _, refused := range []string{`{"d":"AQ",` + public[1:], `{"kty":"oct","k":"c2VjcmV0"}`, "nonsense"} {
		follow(refused)
		b.verdict("key", "Not verified yet")
		if got := b.value("jwk"); got != "" {
			t.Errorf("the link brought the key %s", got)
		}
	}
	b.do("switching scripts off", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), browsertest.Visit(b.address), browsertest.Visible(`noscript p`))
	b.expect(`main`, "It needs JavaScript")
	b.quiet()
}
