package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// readID verifies an ID token of a client as OpenID Connect Core §3.1.3.7 says.
func readID(t *testing.T, h *servertest.House, c model.Client, alg jwa.Algorithm, token string) frontToken {
	t.Helper()
	tok, err := jwt.Verify[frontToken](context.Background(), token, keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{alg}, Types: []string{"JWT"}, Issuers: []string{h.Issuer}, Audiences: []string{string(c.ID)},
		Now: h.Clock.Now,
	})
	if err != nil {
		t.Fatalf("ID token: %v in %s", err, token)
	}
	return tok.Claims
}

// open decrypts what was encrypted to a client.
func open(t *testing.T, token string, key *jwk.Key, alg jwa.Algorithm, enc jwa.Encryption) jwe.Message {
	t.Helper()
	m, err := jwe.Decrypt(context.Background(), token, key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{alg}, Encryptions: []jwa.Encryption{enc}})
	if err != nil {
		t.Fatalf("%v in %q", err, token)
	}
	return m
}

func generate(t *testing.T, alg jwa.Algorithm) *jwk.Key {
	t.Helper()
	k, err := jwk.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func setOf(t *testing.T, keys ...*jwk.Key) json.RawMessage {
	t.Helper()
	set, err := jwk.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// info asks userinfo.
func info(t *testing.T, h *servertest.House, token string) servertest.Answer {
	t.Helper()
	return get(t, h.Issuer+"/userinfo", "Authorization", "Bearer "+token)
}

// TestIDTokenAlgorithms: id_token_signed_response_alg, everywhere ID tokens come
// from (OpenID Connect Core §2, §3.1.3.6, §3.3.2.11, §12.2).
func TestIDTokenAlgorithms(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		b := h.Browser()
		for _, alg := range registration.IDAlgorithms {
			t.Run(string(alg), func(t *testing.T) {
				s := front()
				s.IDTokenAlgorithm = string(alg)
				c, secret := h.Client("app-"+string(alg), s)
				at := b.SignIn(servertest.AuthorizePath(c, "response_type", "code id_token token"), "olena", "correct horse battery")
				v, err := url.ParseQuery(at.EscapedFragment())
				if err != nil {
					t.Fatal(err)
				}
				first := readID(t, h, c, alg, v.Get("id_token"))
				size := 22 // half of SHA-256
				if alg == jwa.EdDSA {
					size = 43 // half of SHA-512
				}
				if len(first.AtHash) != size || len(first.CHash) != size || first.Nonce != "the-nonce" {
					t.Errorf("%+v", first)
				}
				a := h.Redeem(c, secret, &url.URL{RawQuery: v.Encode()})
				second := readID(t, h, c, alg, a.String("id_token"))
				third := readID(t, h, c, alg, renew(h, c, secret, a.String("refresh_token")).String("id_token"))
				if second.Subject != first.Subject || third.Subject != first.Subject || third.AuthTime != first.AuthTime {
					t.Errorf("%+v, then %+v", first, third)
				}
				p := b.Get(servertest.AuthorizePath(c, "prompt", "none", "id_token_hint", a.String("id_token")))
				if p.Left == nil || p.Left.Query().Get("code") == "" {
					t.Errorf("its own ID token is no hint: %v", p.Left)
				}
			})
		}
	})
}

// TestEncryptedIDToken: OpenID Connect Core §10.2: signed, then encrypted to a key
// of the client's that is for it, in every pair of algorithms that is advertised.
func TestEncryptedIDToken(t *testing.T) {
	decoy := generate(t, jwa.ES256)
	keys := map[jwa.Algorithm]*jwk.Key{}
	for _, alg := range registration.EncryptionAlgorithms {
		keys[alg] = generate(t, alg)
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		b := h.Browser()
		for _, alg := range registration.EncryptionAlgorithms {
			for _, enc := range append([]jwa.Encryption{""}, registration.ContentEncryptions...) {
				t.Run(string(alg)+" "+string(enc), func(t *testing.T) {
					s := front()
					s.JWKS, s.IDTokenEncryption, s.IDTokenContent = setOf(t, decoy, keys[alg]), string(alg), string(enc)
					if enc == "" {
						enc = jwa.A128CBCHS256 // OpenID Connect Dynamic Client Registration §2: the default
					}
					c, secret := h.Client(model.NewID(), s)
					read := func(token string) frontToken {
						m := open(t, token, keys[alg], alg, enc)
						if m.Header.ContentType != "JWT" || m.Header.KeyID != keys[alg].ID() { // RFC 7519 §5.2
							t.Errorf("header %+v", m.Header)
						}
						return readID(t, h, c, jwa.RS256, string(m.Plaintext))
					}
					at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
					a := h.Redeem(c, secret, at)
					first := read(a.String("id_token"))
					if alg != jwa.ECDHES {
						return // where it is issued does not depend on the algorithm
					}
					second := read(renew(h, c, secret, a.String("refresh_token")).String("id_token"))
					v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code id_token")), c.RedirectURIs[0])
					third := read(v.Get("id_token"))
					if first.Subject == "" || second.Subject != first.Subject || third.Subject != first.Subject || third.CHash == "" {
						t.Errorf("%+v, %+v, %+v", first, second, third)
					}
				})
			}
		}
	})
}

// TestRecipientUnavailable: where the client's keys cannot be had, nothing is
// used up and nothing is stored: the same code, and the same refresh token, are
// good when they can be had again.
func TestRecipientUnavailable(t *testing.T) {
	key, other := generate(t, jwa.ECDHES), generate(t, jwa.ES256)
	var set atomic.Value // what the client publishes; empty: its server is down
	set.Store("")
	publisher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := set.Load().(string); text != "" {
			w.Write([]byte(text))
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer publisher.Close()
	good, wrong := string(setOf(t, key)), string(setOf(t, other))
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		set.Store("")
		h.User("olena", "correct horse battery")
		s := front()
		s.JWKSURI, s.IDTokenEncryption, s.UserInfoEncryption = publisher.URL, "ECDH-ES", "ECDH-ES"
		c, secret := h.Client("app", s)
		b := h.Browser()
		at := b.SignIn(servertest.AuthorizePath(c, "scope", "openid offline_access"), "olena", "correct horse battery")
		refused := func(what string, a servertest.Answer) {
			t.Helper()
			if a.Status != http.StatusInternalServerError || a.String("error") != "server_error" || !strings.Contains(a.String("error_description"), "jwks_uri") {
				t.Errorf("%s: %d %s", what, a.Status, a.Text)
			}
		}
		publish := func(text string) {
			set.Store(text)
			h.Clock.Move(90 * time.Minute) // longer than a set is kept
		}
		grants := func() (n int) {
			t.Helper()
			err := h.Store.View(t.Context(), func(tx *store.Tx) error {
				list, err := tx.Events(0, 1000)
				for _, e := range list {
					if e.Action == "grant.create" {
						n++
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		refused("a code", h.Redeem(c, secret, at))
		before := grants()
		v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code id_token")), c.RedirectURIs[0])
		if v.Get("error") != "server_error" || v.Has("code") || grants() != before {
			t.Errorf("by the front channel: %v", v)
		}
		set.Store(good)
		h.Clock.Move(2 * time.Second) // the pause after a failure
		a := h.Redeem(c, secret, at)
		if a.Status != http.StatusOK {
			t.Fatalf("the code is lost: %d %s", a.Status, a.Text)
		}
		open(t, a.String("id_token"), key, jwa.ECDHES, jwa.A128CBCHS256)

		publish(wrong)
		refused("a refresh token", renew(h, c, secret, a.String("refresh_token")))
		publish(good)
		again := renew(h, c, secret, a.String("refresh_token"))
		if again.Status != http.StatusOK {
			t.Fatalf("the refresh token is lost: %d %s", again.Status, again.Text)
		}
		set.Store(wrong)
		h.Clock.Move(2 * time.Minute)
		if got := info(t, h, again.String("access_token")); got.Status != http.StatusOK {
			t.Errorf("a key that is still in the cache: %d %s", got.Status, got.Text)
		}
	})
}

// TestUserInfoForms: OpenID Connect Core §5.3.2: JSON, signed, encrypted, and both.
func TestUserInfoForms(t *testing.T) {
	key := generate(t, jwa.RSAOAEP256)
	set := setOf(t, key)
	type form struct{ sign, encrypt string }
	forms := []form{{"", ""}, {"", "RSA-OAEP-256"}, {"RS256", "RSA-OAEP-256"}}
	for _, alg := range registration.IDAlgorithms {
		forms = append(forms, form{string(alg), ""})
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		b := h.Browser()
		for _, f := range forms {
			t.Run("signed "+f.sign+" encrypted "+f.encrypt, func(t *testing.T) {
				s := front()
				s.JWKS, s.UserInfoAlgorithm, s.UserInfoEncryption = set, f.sign, f.encrypt
				c, secret := h.Client(model.NewID(), s)
				at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
				a := info(t, h, h.Redeem(c, secret, at).String("access_token"))
				if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Fatalf("%d %s %v", a.Status, a.Text, a.Header)
				}
				claims := a.JSON
				if f != (form{}) {
					if a.Header.Get("Content-Type") != "application/jwt" {
						t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
					}
					claims = readInfo(t, h, key, f.sign, f.encrypt, a.Text)
					if claims["iss"] != h.Issuer || claims["aud"] != string(c.ID) {
						t.Errorf("iss %v, aud %v", claims["iss"], claims["aud"])
					}
				}
				if claims["sub"] != string(u.ID) || claims["email"] != "olena@example.com" {
					t.Errorf("%v", claims)
				}
				for _, name := range []string{"nonce", "exp", "auth_time", "at_hash"} { // what would make it an ID token
					if _, ok := claims[name]; ok {
						t.Errorf("%s is there", name)
					}
				}
			})
		}
	})
}

func readInfo(t *testing.T, h *servertest.House, key *jwk.Key, sign, encrypt, token string) (claims map[string]any) {
	t.Helper()
	if encrypt != "" {
		m := open(t, token, key, jwa.Algorithm(encrypt), jwa.A128CBCHS256)
		if sign == "" {
			if err := json.Unmarshal(m.Plaintext, &claims); err != nil || m.Header.Type != "userinfo+jwt" {
				t.Fatalf("%v in %s, %+v", err, m.Plaintext, m.Header)
			}
			return claims
		}
		if token = string(m.Plaintext); m.Header.ContentType != "JWT" { // RFC 7519 §5.2
			t.Errorf("header %+v", m.Header)
		}
	}
	tok, err := jwt.Verify[map[string]any](context.Background(), token, keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.Algorithm(sign)}, Types: []string{"userinfo+jwt"}, AllowMissingExpiration: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok.Claims
}

// TestRecipientIsRegistered is the attack in which somebody has an ID token
// encrypted to a key of their own (attack O32): nothing that travels with a
// request names a key.
func TestRecipientIsRegistered(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	mine, theirs := generate(t, jwa.ECDHES), generate(t, jwa.ECDHES)
	s := front()
	s.JWKS, s.IDTokenEncryption = setOf(t, mine), "ECDH-ES"
	c, secret := h.Client("app", s)
	set := string(setOf(t, theirs))
	b := h.Browser()
	b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	p := b.Get(servertest.AuthorizePath(c, "response_type", "code id_token", "jwks", set, "jwks_uri", "https://evil.example/",
		"id_token_encrypted_response_alg", "none", "id_token_encrypted_response_enc", "A128GCM"))
	v, _ := answerOf(t, p, c.RedirectURIs[0])
	open(t, v.Get("id_token"), mine, jwa.ECDHES, jwa.A128CBCHS256)
	a := h.Call("/token", c, secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {servertest.Verifier},
		"jwks": {set}, "id_token_encrypted_response_alg": {"none"},
	})
	open(t, a.String("id_token"), mine, jwa.ECDHES, jwa.A128CBCHS256)
	p = b.Get(servertest.AuthorizePath(c, "registration", `{"jwks":`+set+`}`))
	if v, _ := answerOf(t, p, c.RedirectURIs[0]); v.Get("error") != "registration_not_supported" {
		t.Errorf("registration: %v", v)
	}

	// The good twin: an authenticated change of the registration.
	s.JWKS = json.RawMessage(set)
	if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, s); err != nil {
		t.Fatal(err)
	}
	v, _ = answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code id_token")), c.RedirectURIs[0])
	open(t, v.Get("id_token"), theirs, jwa.ECDHES, jwa.A128CBCHS256)
}

// TestAnswersAdvertised: discovery says what works, and every value of it stands
// in the tests above.
func TestAnswersAdvertised(t *testing.T) {
	h := servertest.Start(t)
	a := get(t, h.Issuer+"/.well-known/openid-configuration")
	for name, want := range map[string][]string{
		"id_token_signing_alg_values_supported":    {"RS256", "PS256", "ES256", "EdDSA"},
		"userinfo_signing_alg_values_supported":    {"RS256", "PS256", "ES256", "EdDSA"},
		"id_token_encryption_alg_values_supported": {"RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"},
		"userinfo_encryption_alg_values_supported": {"RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"},
		"id_token_encryption_enc_values_supported": {"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"},
		"userinfo_encryption_enc_values_supported": {"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"},
		"subject_types_supported":                  {"public", "pairwise"},
	} {
		var got []string
		list, _ := a.JSON[name].([]any)
		for _, v := range list {
			text, _ := v.(string)
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
