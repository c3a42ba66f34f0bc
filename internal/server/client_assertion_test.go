package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// TestAssertions: RFC 7523 §3 and OpenID Connect Core §9 for both kinds of keys.
// Each fault has the first row as its good twin. Attack row T2.
func TestAssertions(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		key, foreign := newKey(t, jwa.ES256), newKey(t, jwa.ES256)
		private := by(model.AuthPrivateKey)
		private.JWKS = published(t, key)
		h.Client("private", private)
		_, shared := h.Client("shared", by(model.AuthSecretJWT))
		_, other := h.Client("other", by(model.AuthSecretJWT))
		now, used := h.Clock.Now().Unix(), model.NewID()
		type change = map[string]any
		for _, row := range []struct {
			name    string
			foreign bool // signed with another client's key
			o       jws.SignOptions
			change  change
			ok      bool
		}{
			{"issuer as audience", false, jws.SignOptions{}, change{"jti": used}, true},
			{"token endpoint as audience", false, jws.SignOptions{}, change{"aud": h.Issuer + "/token"}, true},
			{"both of ours", false, jws.SignOptions{}, change{"aud": []string{h.Issuer, h.Issuer + "/token"}}, true},
			{"typ of its own", false, jws.SignOptions{Type: "client-authentication+jwt"}, nil, true},
			{"typ in full", false, jws.SignOptions{Type: "application/client-authentication+jwt"}, nil, true},
			{"nbf within the leeway", false, jws.SignOptions{}, change{"nbf": now + 8}, true},
			{"further claims", false, jws.SignOptions{}, change{"iat": now, "extra": []int{1}}, true},

			{"jti used before", false, jws.SignOptions{}, change{"jti": used}, false},
			{"jti missing", false, jws.SignOptions{}, change{"jti": nil}, false},
			{"jti empty", false, jws.SignOptions{}, change{"jti": ""}, false},
			{"jti long", false, jws.SignOptions{}, change{"jti": strings.Repeat("x", 257)}, false},
			{"jti a number", false, jws.SignOptions{}, change{"jti": 7}, false},
			{"another audience", false, jws.SignOptions{}, change{"aud": "https://other.example"}, false},
			{"a foreign audience beside ours", false, jws.SignOptions{}, change{"aud": []string{h.Issuer, "https://other.example"}}, false},
			{"another endpoint of ours", false, jws.SignOptions{}, change{"aud": h.Issuer + "/introspect"}, false},
			{"our issuer with a slash", false, jws.SignOptions{}, change{"aud": h.Issuer + "/"}, false},
			{"no audience", false, jws.SignOptions{}, change{"aud": nil}, false},
			{"an empty list of audiences", false, jws.SignOptions{}, change{"aud": []string{}}, false},
			{"audience a number", false, jws.SignOptions{}, change{"aud": 7}, false},
			{"expired", false, jws.SignOptions{}, change{"exp": now - 60}, false},
			{"no exp", false, jws.SignOptions{}, change{"exp": nil}, false},
			{"exp as text", false, jws.SignOptions{}, change{"exp": "9999999999"}, false},
			{"exp a day ahead", false, jws.SignOptions{}, change{"exp": now + 86400}, false},
			{"nbf ahead", false, jws.SignOptions{}, change{"nbf": now + 120}, false},
			{"iss of another", false, jws.SignOptions{}, change{"iss": "other"}, false},
			{"no iss", false, jws.SignOptions{}, change{"iss": nil}, false},
			{"sub of another", false, jws.SignOptions{}, change{"sub": "other"}, false},
			{"no sub", false, jws.SignOptions{}, change{"sub": nil}, false},
			{"another client's key", true, jws.SignOptions{}, nil, false},
			{"a request object (RFC 9101 §10.8)", false, jws.SignOptions{Type: "oauth-authz-req+jwt"}, nil, false},
			{"a DPoP proof", false, jws.SignOptions{Type: "dpop+jwt"}, nil, false},
			{"an access token", false, jws.SignOptions{Type: "at+jwt"}, nil, false},
			{"a logout token", false, jws.SignOptions{Type: "logout+jwt"}, nil, false},
		} {
			for client, keys := range map[string][2]*jwk.Key{"private": {key, foreign}, "shared": {secretKey(t, shared), secretKey(t, other)}} {
				t.Run(row.name+" "+client, func(t *testing.T) {
					with := keys[0]
					if row.foreign {
						with = keys[1]
					}
					a := prove(h, "/token", sign(t, with, row.o, proof(h, client, row.change)))
					if (a.Status == http.StatusOK) != row.ok || !row.ok && (a.Status != 401 || a.String("error") != "invalid_client") {
						t.Errorf("%d %s", a.Status, a.Text)
					}
				})
			}
		}
	})
}

// TestAssertionAlgorithms: the registration chooses the kind of key, and where it
// says so the algorithm; a request chooses nothing (RFC 8725 §3.1).
func TestAssertionAlgorithms(t *testing.T) { servertest.Each(t, testAssertionAlgorithms) }

func testAssertionAlgorithms(t *testing.T, h *servertest.House) {
	ecMaterial, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaMaterial, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keyOf := func(material any, p jwk.Params) *jwk.Key {
		key, err := jwk.New(material, p)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ec, open := newKey(t, jwa.ES256), keyOf(rsaMaterial, jwk.Params{ID: "open"}) // the latter for RS and PS
	enc := keyOf(ecMaterial, jwk.Params{ID: "enc", Use: jwk.UseEncryption})
	private := by(model.AuthPrivateKey)
	private.JWKS = published(t, ec, open, keyOf(ecMaterial, jwk.Params{ID: "enc"}))
	h.Client("private", private)
	private.AuthAlgorithm = "PS256"
	h.Client("ps256", private)
	private.AuthAlgorithm, private.JWKS = "", published(t, ec, enc)
	h.Client("encrypts", private)
	_, secret := h.Client("shared", by(model.AuthSecretJWT))
	bound := by(model.AuthSecretJWT)
	bound.AuthAlgorithm = "HS512"
	_, boundSecret := h.Client("hs512", bound)
	both := by(model.AuthSecretJWT)
	both.JWKS = published(t, ec)
	_, bothSecret := h.Client("both", both)
	_, plainSecret := h.Client("plain", machine)

	signed := func(key *jwk.Key, alg jwa.Algorithm, client string) string {
		return sign(t, key, jws.SignOptions{Algorithm: alg}, proof(h, client, nil))
	}
	type row struct {
		name, token string
		ok          bool
	}
	table := []row{
		{"ES256", signed(ec, jwa.ES256, "private"), true},
		{"RS256", signed(open, jwa.RS256, "private"), true},
		{"PS512", signed(open, jwa.PS512, "private"), true},
		{"PS256 where it is registered", signed(open, jwa.PS256, "ps256"), true},
		{"RS256 where PS256 is registered", signed(open, jwa.RS256, "ps256"), false},
		{"ES256 where PS256 is registered", signed(ec, jwa.ES256, "ps256"), false},
		{"a key for encryption", signed(keyOf(ecMaterial, jwk.Params{ID: "enc"}), jwa.ES256, "encrypts"), false},
		{"the key beside it", signed(ec, jwa.ES256, "encrypts"), true},
		{"HS256", signed(secretKey(t, secret), jwa.HS256, "shared"), true},
		{"HS384", signed(secretKey(t, secret), jwa.HS384, "shared"), true},
		{"HS512", signed(secretKey(t, secret), jwa.HS512, "shared"), true},
		{"HS512 where it is registered", signed(secretKey(t, boundSecret), jwa.HS512, "hs512"), true},
		{"HS256 where HS512 is registered", signed(secretKey(t, boundSecret), jwa.HS256, "hs512"), false},
		{"its public key where its secret is registered", signed(ec, jwa.ES256, "both"), false},
		{"its secret where its secret is registered", signed(secretKey(t, bothSecret), jwa.HS256, "both"), true},
		{"the secret of a client that sends it", signed(secretKey(t, plainSecret), jwa.HS256, "plain"), false},
		{"what is stored of the secret", signed(secretKey(t, model.Secret(secret.Hash())), jwa.HS256, "shared"), false},
	}
	for name, material := range publicTexts(t, ec, open, &ecMaterial.PublicKey, &rsaMaterial.PublicKey) { // the attacks J2 and J3: what is public is no secret
		guess := keyOf(material, jwk.Params{InsecureSize: true})
		for _, client := range []string{"private", "both"} {
			table = append(table, row{"HS256 with " + name + ", " + client, sign(t, guess, jws.SignOptions{Algorithm: jwa.HS256}, proof(h, client, nil)), false})
		}
	}
	for _, client := range []string{"private", "shared"} { // J1, J6
		none, err := jwt.InsecureSignNone(proof(h, client, nil), jwt.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		good := signed(map[string]*jwk.Key{"private": ec, "shared": secretKey(t, secret)}[client], "", client)
		table = append(table,
			row{"none, " + client, none, false},
			row{"no signature, " + client, good[:strings.LastIndexByte(good, '.')+1], false},
			row{"no third part, " + client, good[:strings.LastIndexByte(good, '.')], false},
			row{"the twin with its signature, " + client, good, true})
	}
	// J8 and J9: a key that comes along, or is to be fetched, is none.
	table = append(table, row{"a key in the header", withHeader(t, newKey(t, jwa.ES256), proof(h, "private", nil)), false})
	// J20: encrypted to a key of ours is not signed by the client.
	sealed, err := jwe.Encrypt([]byte(`{"iss":"private"}`), newKey(t, jwa.RSAOAEP256), jwe.EncryptOptions{Encryption: jwa.A256GCM})
	if err != nil {
		t.Fatal(err)
	}
	table = append(table, row{"encrypted, not signed", sealed, false})
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			a := prove(h, "/token", row.token)
			if (a.Status == 200) != row.ok || !row.ok && a.Status != 401 {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
}

// publicTexts are the forms in which public keys may be taken for secrets.
func publicTexts(t *testing.T, keys ...any) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{}
	for i, k := range keys {
		if key, ok := k.(*jwk.Key); ok {
			public, err := key.Public()
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(public)
			if err != nil {
				t.Fatal(err)
			}
			texts[fmt.Sprintf("the JWK %d", i)] = text
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		texts[fmt.Sprintf("the DER %d", i)] = der
		texts[fmt.Sprintf("the PEM %d", i)] = block
		texts[fmt.Sprintf("the PEM %d without its last line end", i)] = bytes.TrimRight(block, "\n")
	}
	return texts
}

// withHeader signs with a key that the header brings along.
func withHeader(t *testing.T, key *jwk.Key, claims map[string]any) string {
	t.Helper()
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, key, jws.SignOptions{Header: map[string]any{"jwk": public, "jku": "https://evil.example/jwks"}}, claims)
}

// TestAssertionAudience (attack row T3): RFC 7523 §3(3). By default the issuer, the token endpoint
// and the endpoint that is called are all fine; a client that is held to the
// issuer must name it, alone, as one string (FAPI 2.0 Security Profile §5.3.2.1).
func TestAssertionAudience(t *testing.T) { servertest.Each(t, testAssertionAudience) }

func testAssertionAudience(t *testing.T, h *servertest.House) {
	key := newKey(t, jwa.ES256)
	s := by(model.AuthPrivateKey)
	s.JWKS = published(t, key)
	h.Client("usual", s)
	s.AssertionAudience = model.AudienceIssuer
	h.Client("strict", s)
	for _, row := range []struct {
		name          string
		aud           any
		usual, strict bool
	}{
		{"the issuer", h.Issuer, true, true},
		{"the issuer in a list", []string{h.Issuer}, true, false},
		{"the token endpoint", h.Issuer + "/token", true, false},
		{"the endpoint that is called", "called", true, false},
		{"all of them", []string{h.Issuer, h.Issuer + "/token"}, true, false},
		{"another server beside us", []string{h.Issuer, "https://evil.example"}, false, false},
		{"us beside another server", []string{"https://evil.example", h.Issuer}, false, false},
		{"another server", "https://evil.example", false, false},
		{"our host with another path", h.Issuer + "/other", false, false},
	} {
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			for client, ok := range map[string]bool{"usual": row.usual, "strict": row.strict} {
				t.Run(row.name+" "+client+path, func(t *testing.T) {
					aud := row.aud
					if aud == "called" {
						aud = h.Issuer + path
					}
					a := prove(h, path, sign(t, key, jws.SignOptions{}, proof(h, client, map[string]any{"aud": aud})))
					if (a.Status == 200) != ok || !ok && a.Status != 401 {
						t.Errorf("%d %s", a.Status, a.Text)
					}
				})
			}
		}
	}
}

// TestAssertionReplay: of many uses of one assertion at the same time one is the
// first, whichever node they reach.
func TestAssertionReplay(t *testing.T) {
	race := func(t *testing.T, nodes ...*servertest.House) {
		h := nodes[0]
		key := newKey(t, jwa.ES256)
		s := by(model.AuthPrivateKey)
		s.JWKS = published(t, key)
		h.Client("signer", s)
		token := sign(t, key, jws.SignOptions{}, proof(h, "signer", nil))
		var won atomic.Int32
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if prove(nodes[i%len(nodes)], "/token", token).Status == 200 {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 20 uses succeeded, want 1", won.Load())
		}
		h.Clock.Move(90 * time.Second)
		if a := prove(h, "/token", token); a.Status != 401 {
			t.Errorf("after it has expired: %d", a.Status)
		}
		if a := prove(h, "/token", sign(t, key, jws.SignOptions{}, proof(h, "signer", nil))); a.Status != 200 {
			t.Errorf("the next one: %d %s", a.Status, a.Text)
		}
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) { race(t, h) })
	t.Run("two nodes", func(t *testing.T) {
		database, master := storetest.PostgresURL(t), model.NewSecret("")
		one := servertest.Start(t, func(c *server.Config) { c.Database, c.MasterKey = database, master })
		two := servertest.Start(t, func(c *server.Config) { c.Database, c.MasterKey, c.Issuer = database, master, one.Issuer })
		there := *two
		there.Issuer = "http://" + two.Addr().String()
		race(t, one, &there)
	})
}

// TestSigningSecretRotation: a client that signs with its secret may have two,
// and they are nowhere to be read.
func TestSigningSecretRotation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, old := h.Client("robot", by(model.AuthSecretJWT))
		ask := func(s model.Secret) int {
			return prove(h, "/token", sign(t, secretKey(t, s), jws.SignOptions{}, proof(h, "robot", nil))).Status
		}
		row, fresh, err := h.Registrar.AddSecret(t.Context(), servertest.Operator, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ask(old) != 200 || ask(fresh) != 200 {
			t.Error("two live secrets must both work")
		}
		if err := h.Registrar.RemoveSecret(t.Context(), servertest.Operator, c.ID, row.ID); err != nil {
			t.Fatal(err)
		}
		if ask(old) != 200 || ask(fresh) != 401 {
			t.Error("the removed secret works, or the other does not")
		}
		files, _ := filepath.Glob(filepath.Join(h.Config.Data, "ostiary.db*"))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []model.Secret{old, fresh} {
				if bytes.Contains(data, []byte(s.Reveal())) || bytes.Contains(data, []byte(base64.RawURLEncoding.EncodeToString([]byte(s.Reveal())))) {
					t.Errorf("a secret stands in %s", filepath.Base(f))
				}
			}
		}

		// A client that sent its secret until now has to get one to sign with.
		moved, was := h.Client("moved", machine)
		settings := moved.ClientSettings
		settings.AuthMethod = model.AuthSecretJWT
		if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, moved.ID, settings); err != nil {
			t.Fatal(err)
		}
		as := func(s model.Secret) int {
			return prove(h, "/token", sign(t, secretKey(t, s), jws.SignOptions{Algorithm: jwa.HS256}, proof(h, "moved", nil))).Status
		}
		if as(was) != 401 {
			t.Error("a secret of which only the hash was stored verifies a signature")
		}
		_, now, err := h.Registrar.AddSecret(t.Context(), servertest.Operator, moved.ID)
		if err != nil || as(now) != 200 {
			t.Errorf("the new secret: %v", err)
		}
	})
}

// keyServer publishes what may change, and counts who asks.
type keyServer struct {
	*httptest.Server
	body  atomic.Value
	asked atomic.Int32
}

func serveKeys(t *testing.T, keys ...*jwk.Key) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.publish(t, keys...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Write(s.body.Load().(json.RawMessage))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) publish(t *testing.T, keys ...*jwk.Key) { s.body.Store(published(t, keys...)) }

// TestClientKeyRotation: a client signs with a new key under a new "kid" a minute
// after it has published it; and whoever invents identifiers makes the server ask
// no more than twice a minute, and keeps the client waiting no longer than that
// (attack row J44).
func TestClientKeyRotation(t *testing.T) {
	h := servertest.Start(t)
	first, second, third := newKey(t, jwa.RS256), newKey(t, jwa.RS256), newKey(t, jwa.ES256)
	keys := serveKeys(t, first)
	s := by(model.AuthPrivateKey)
	s.JWKSURI = keys.URL + "/jwks"
	h.Client("signer", s)
	ask := func(key *jwk.Key) int {
		return prove(h, "/token", sign(t, key, jws.SignOptions{}, proof(h, "signer", nil))).Status
	}
	for range 2 {
		if ask(first) != 200 || keys.asked.Load() != 1 {
			t.Fatalf("the first key: asked %d times", keys.asked.Load())
		}
	}
	keys.publish(t, second)
	h.Clock.Move(time.Minute)
	if ask(second) != 200 || keys.asked.Load() != 2 {
		t.Errorf("the key that replaced it: asked %d times", keys.asked.Load())
	}
	if ask(first) != 401 {
		t.Error("the key that was withdrawn works")
	}

	h.Clock.Move(time.Minute)
	before := keys.asked.Load()
	for range 100 {
		if ask(newKey(t, jwa.ES256)) != 401 {
			t.Fatal("an invented key works")
		}
	}
	if n := keys.asked.Load() - before; n > 1 {
		t.Errorf("100 invented keys made the server ask %d times", n)
	}
	keys.publish(t, second, third)
	if ask(second) != 200 {
		t.Error("strangers locked the client out")
	}
	h.Clock.Move(31 * time.Second)
	if ask(third) != 200 {
		t.Error("strangers kept the client's new key out for longer than the interval")
	}
	keys.Close()
	if ask(third) != 200 {
		t.Error("without the client's server its known keys no longer work")
	}
}
