package upstream_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// op is a provider that can be told to lie.
func (w *world) op() *openID {
	o := w.openID("https://op.example", "op.example/.well-known/openid-configuration", "https://op.example/authorize", "op.example/token", "op.example/jwks")
	o.check = func(*http.Request, url.Values) {}
	return o
}

func (w *world) openOIDC(more string) upstream.Visitor {
	return w.open("oidc", `{"issuer":"https://op.example","client_id":"`+someID+`"`+more+`}`, map[string]model.Secret{"client_secret": someKey})
}

func goodClaims() map[string]any {
	return map[string]any{"iss": "https://op.example", "aud": someID, "sub": "person-1", "sid": "session-1", "acr": "2", "amr": []string{"pwd", "otp"}, "email": "ada@op.example", "email_verified": true}
}

// TestIDToken: OpenID Connect Core §2 and §3.1.3.7. The first rows are the good twins.
func TestIDToken(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	v := w.openOIDC(`,"trusted_audiences":["https://friend.example"]`)
	now := w.Now().Unix()
	public, err := rsaKeys()[0].MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	confused, err := jwk.New(public, jwk.Params{ID: "key-0"})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := jwk.New([]byte(someKey), jwk.Params{})
	if err != nil {
		t.Fatal(err)
	}
	type change = map[string]any
	for _, row := range []struct {
		name   string
		change change
		token  func(claims map[string]any) any // in place of the good one; nil: of the claims
		ok     bool
	}{
		{"as it should be", nil, nil, true},
		{"with at_hash", change{"at_hash": hash("ya29.access")}, nil, true},
		{"a list of one audience", change{"aud": []string{someID}}, nil, true},
		{"a trusted audience beside", change{"aud": []string{someID, "https://friend.example"}, "azp": someID}, nil, true},
		{"expired within the leeway", change{"exp": now - 10}, nil, true},
		{"iat ahead within the leeway", change{"iat": now + 10}, nil, true},
		{"typ JWT", nil, func(c map[string]any) any {
			return sign(t, rsaKeys()[0], c, jwt.SignOptions{Algorithm: "RS256", Type: "JWT"})
		}, true},

		{"rule 2, another issuer", change{"iss": "https://evil.example"}, nil, false},
		{"rule 2, with a slash", change{"iss": "https://op.example/"}, nil, false},
		{"rule 3, another audience", change{"aud": "other"}, nil, false},
		{"rule 3, none", change{"aud": nil}, nil, false},
		{"rule 3, one that is not trusted", change{"aud": []string{someID, "https://evil.example"}, "azp": someID}, nil, false},
		{"rule 4, several and no azp", change{"aud": []string{someID, "https://friend.example"}}, nil, false},
		{"rule 5, azp is another", change{"azp": "other"}, nil, false},
		{"rule 6, another's key", nil, func(c map[string]any) any { return sign(t, rsaKeys()[1], c, jwt.SignOptions{Algorithm: "RS256"}) }, false},
		{"rule 6, another's key under this one's name", nil, func(c map[string]any) any {
			return sign(t, rsaKeys()[1], c, jwt.SignOptions{Algorithm: "RS256", KeyID: "key-0"})
		}, false},
		{"rule 6, unsigned", nil, func(c map[string]any) any {
			token, err := jwt.InsecureSignNone(c, jwt.SignOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return token
		}, false},
		{"rule 6, the signature cut off", nil, func(c map[string]any) any {
			token := sign(t, rsaKeys()[0], c, jwt.SignOptions{Algorithm: "RS256"})
			return token[:strings.LastIndexByte(token, '.')+1]
		}, false},
		{"rule 7, HS256 with the public key", nil, func(c map[string]any) any { return sign(t, confused, c, jwt.SignOptions{Algorithm: "HS256"}) }, false},
		{"rule 7, HS256 with the client secret", nil, func(c map[string]any) any { return sign(t, secret, c, jwt.SignOptions{Algorithm: "HS256"}) }, false},
		{"rule 7, PS256 by the same key", nil, func(c map[string]any) any { return sign(t, rsaKeys()[0], c, jwt.SignOptions{Algorithm: "PS256"}) }, false},
		{"rule 9, expired", change{"exp": now - 60}, nil, false},
		{"rule 9, for ever", change{"exp": nil}, nil, false},
		{"rule 10, no iat", change{"iat": nil}, nil, false},
		{"rule 10, from the future", change{"iat": now + 60}, nil, false},
		{"rule 11, no nonce", change{"nonce": nil}, nil, false},
		{"rule 11, that of another sign-in", change{"nonce": "another"}, nil, false},
		{"§3.1.3.8, at_hash of another token", change{"at_hash": hash("another")}, nil, false},
		{"§2, no sub", change{"sub": nil}, nil, false},
		{"§2, sub too long", change{"sub": strings.Repeat("x", 256)}, nil, false},
		{"§2, sub a number", nil, func(c map[string]any) any { return signRaw(t, c, "sub", 7) }, false},
		{"RFC 7519 §4, a claim twice", nil, func(c map[string]any) any { return signRaw(t, c, "twice", nil) }, false},
		{"RFC 8725 §3.11, an access token", nil, func(c map[string]any) any {
			return sign(t, rsaKeys()[0], c, jwt.SignOptions{Algorithm: "RS256", Type: "at+jwt"})
		}, false},
		{"RFC 8725 §3.11, a logout token", nil, func(c map[string]any) any {
			return sign(t, rsaKeys()[0], c, jwt.SignOptions{Algorithm: "RS256", Type: "logout+jwt"})
		}, false},
		{"claims nested too deep", change{"deep": json.RawMessage(nested(9))}, nil, false},
		{"more than 64 KiB of claims", change{"more": strings.Repeat("x", 40<<10), "and": strings.Repeat("y", 40<<10)}, nil, false},
	} {
		claims := goodClaims()
		maps.Copy(claims, row.change)
		o.answer = map[string]any{}
		p, err := func() (upstream.Person, error) {
			if row.token == nil {
				return o.visit(v, claims)
			}
			u, kept := begin(t, v, upstream.Wish{})
			o.challenge = u.Query().Get("code_challenge")
			maps.Copy(claims, map[string]any{"nonce": u.Query().Get("nonce"), "iat": now, "exp": now + 3600})
			o.claims, o.answer = map[string]any{}, map[string]any{"id_token": row.token(claims)}
			return v.Finish(t.Context(), kept, back("GET", "code", "c", "state", oneState))
		}()
		if !row.ok {
			refused(t, row.name, err, upstream.Untrusted, "")
			if p.Subject != "" || p.Tokens != nil {
				t.Errorf("%s: somebody all the same: %+v", row.name, p)
			}
			continue
		}
		if err != nil || p.Subject != "person-1" || p.ACR != "2" || !cmp.Equal(p.AMR, []string{"pwd", "otp"}) {
			t.Errorf("%s: %+v %v", row.name, p, err)
		}
		if p.Stay.Session != "session-1" || p.Stay.Hint == "" || p.Claims["nonce"] != nil {
			t.Errorf("%s: the stay %+v, the claims %v", row.name, p.Stay, p.Claims)
		}
	}
	o.answer = map[string]any{"id_token": nil}
	_, err = o.visit(v, goodClaims())
	refused(t, "§3.1.3.3, no ID token", err, upstream.Unavailable, "id_token")
}

// signRaw signs claims that jwt.Sign would refuse to.
func signRaw(t *testing.T, claims map[string]any, name string, value any) string {
	t.Helper()
	if value != nil {
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	if value == nil {
		text = append([]byte(`{"sub":"boss",`), text[1:]...)
	}
	token, err := jws.Sign(text, rsaKeys()[0], jws.SignOptions{Algorithm: "RS256"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestMaxAge: OpenID Connect Core §3.1.2.1 and §3.1.3.7 rule 13.
func TestMaxAge(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	v := w.openOIDC("")
	for _, row := range []struct {
		age  int64
		told any // seconds ago; nil: not told
		ok   bool
	}{{0, 0, true}, {0, 20, true}, {0, 60, false}, {600, 500, true}, {600, 700, false}, {600, nil, false}, {0, nil, false}} {
		u, kept := begin(t, v, upstream.Wish{MaxAge: &row.age, ACRValues: []string{"2", "1"}, Prompt: []string{"login", "consent", "odd"}})
		q := u.Query()
		if q.Get("prompt") != "login consent" || q.Get("acr_values") != "2 1" || !q.Has("max_age") {
			t.Errorf("the request is %s", u.RawQuery)
		}
		o.challenge = q.Get("code_challenge")
		o.claims = goodClaims()
		maps.Copy(o.claims, map[string]any{"nonce": q.Get("nonce"), "iat": w.Now().Unix(), "exp": w.Now().Unix() + 60})
		if ago, ok := row.told.(int); ok {
			o.claims["auth_time"] = w.Now().Unix() - int64(ago)
		}
		p, err := v.Finish(t.Context(), kept, back("GET", "code", "c", "state", oneState))
		if row.ok && (err != nil || p.AuthTime != o.claims["auth_time"]) {
			t.Errorf("%+v: %v %v", row, p.AuthTime, err)
		} else if !row.ok {
			refused(t, "too old or not told", err, upstream.Untrusted, "auth_time")
		}
	}
}

// TestAnswers: what a browser may bring to the callback. A code is shown to the provider
// for the first rows alone.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	o.metadata["authorization_response_iss_parameter_supported"] = true
	v := w.openOIDC("")
	const iss = "https://op.example"
	for _, row := range []struct {
		name string
		a    upstream.Answer
		code upstream.Code // "" for none
	}{
		{"by GET", back("GET", "code", "c", "state", oneState, "iss", iss), ""},
		{"by POST", back("POST", "code", "c", "state", oneState, "iss", iss, "session_state", "x"), ""},

		{"no state", back("GET", "code", "c", "iss", iss), upstream.Untrusted},
		{"another state", back("GET", "code", "c", "state", oneState+"x", "iss", iss), upstream.Untrusted},
		{"state twice", back("GET", "code", "c", "state", oneState, "state", oneState, "iss", iss), upstream.Untrusted},
		{"code twice", back("GET", "code", "c", "code", "d", "state", oneState, "iss", iss), upstream.Untrusted},
		{"mix-up: another issuer", back("GET", "code", "c", "state", oneState, "iss", "https://evil.example"), upstream.Untrusted},
		{"mix-up: no issuer", back("GET", "code", "c", "state", oneState), upstream.Untrusted},
		{"mix-up: another's error", back("GET", "error", "access_denied", "state", oneState, "iss", "https://evil.example"), upstream.Untrusted},
		{"nothing", back("GET", "state", oneState, "iss", iss), upstream.Untrusted},
		{"an error of somebody else's sign-in", back("GET", "error", "access_denied", "iss", iss), upstream.Untrusted},

		{"denied", back("GET", "error", "access_denied", "state", oneState, "iss", iss), upstream.Denied},
		{"login_required", back("GET", "error", "login_required", "state", oneState, "iss", iss), upstream.Asks},
		{"interaction_required", back("GET", "error", "interaction_required", "state", oneState, "iss", iss), upstream.Asks},
		{"consent_required", back("GET", "error", "consent_required", "state", oneState, "iss", iss), upstream.Asks},
		{"account_selection_required", back("GET", "error", "account_selection_required", "state", oneState, "iss", iss), upstream.Asks},
		{"server_error", back("GET", "error", "server_error", "state", oneState, "iss", iss), upstream.Unavailable},
		{"temporarily_unavailable", back("GET", "error", "temporarily_unavailable", "state", oneState, "iss", iss), upstream.Unavailable},
		{"invalid_scope", back("GET", "error", "invalid_scope", "state", oneState, "iss", iss), upstream.Misconfigured},
		{"unauthorized_client", back("GET", "error", "unauthorized_client", "state", oneState, "iss", iss), upstream.Misconfigured},
		{"a word of its own", back("GET", "error", "odd\r\nset-cookie: a=b", "error_description", strings.Repeat("é\x00long", 500), "state", oneState, "iss", iss), upstream.Misconfigured},
	} {
		u, kept := begin(t, v, upstream.Wish{})
		o.challenge = u.Query().Get("code_challenge")
		o.claims = goodClaims()
		maps.Copy(o.claims, map[string]any{"nonce": u.Query().Get("nonce"), "iat": w.Now().Unix(), "exp": w.Now().Unix() + 60})
		before := w.count("POST op.example/token")
		_, err := v.Finish(t.Context(), kept, row.a)
		if row.code == "" {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
			continue
		}
		e := refused(t, row.name, err, row.code, "")
		if row.code == upstream.Unavailable && !e.Hearsay {
			t.Errorf("%s: anybody could shut the provider out", row.name)
		}
		if w.count("POST op.example/token") != before {
			t.Errorf("%s: a code was shown", row.name)
		}
	}
	u, kept := begin(t, v, upstream.Wish{})
	o.challenge = u.Query().Get("code_challenge")
	w.move(11 * time.Minute)
	_, err := v.Finish(t.Context(), kept, back("GET", "code", "c", "state", oneState, "iss", iss))
	refused(t, "a quarter of an hour later", err, upstream.Untrusted, "expired")
	_, err = v.Finish(t.Context(), upstream.Kept{}, back("GET", "code", "c", "state", oneState, "iss", iss))
	refused(t, "nobody went", err, upstream.Untrusted, "")
}

// TestStolen: an answer counts for the browser that went, and for the provider that was
// asked. Attack rows P10 and O27.
func TestStolen(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	v := w.openOIDC("")
	victim, victimKept := begin(t, v, upstream.Wish{})
	_, thiefKept := begin(t, v, upstream.Wish{})
	claims := func(u *url.URL) map[string]any {
		c := goodClaims()
		maps.Copy(c, map[string]any{"nonce": u.Query().Get("nonce"), "iat": w.Now().Unix(), "exp": w.Now().Unix() + 60})
		return c
	}
	codes := map[string]bool{}
	o.check = func(*http.Request, url.Values) {}
	// The provider takes each code once and checks the verifier, as RFC 6749 §4.1.2 and
	// RFC 7636 §4.6 say.
	w.on("POST op.example/token", func(rw http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		sum := challengeOf(r.PostForm.Get("code_verifier"))
		if codes[r.PostForm.Get("code")] || sum != victim.Query().Get("code_challenge") {
			write(rw, 400, `{"error":"invalid_grant"}`)
			return
		}
		codes[r.PostForm.Get("code")] = true
		write(rw, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, rsaKeys()[0], claims(victim), jwt.SignOptions{Algorithm: "RS256"})})
	})
	_, err := v.Finish(t.Context(), thiefKept, back("GET", "code", "of-the-victim", "state", oneState))
	refused(t, "a stolen code, in the thief's browser", err, upstream.Untrusted, "invalid_grant")
	if p, err := v.Finish(t.Context(), victimKept, back("GET", "code", "of-the-victim", "state", oneState)); err != nil || p.Subject != "person-1" {
		t.Errorf("the good twin: %v", err)
	}
	_, err = v.Finish(t.Context(), victimKept, back("GET", "code", "of-the-victim", "state", oneState))
	refused(t, "the same answer again", err, upstream.Untrusted, "invalid_grant")

	// A provider that does not look at the verifier: the nonce is that of another sign-in.
	w.on("POST op.example/token", func(rw http.ResponseWriter, r *http.Request) {
		write(rw, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, rsaKeys()[0], claims(victim), jwt.SignOptions{Algorithm: "RS256"})})
	})
	_, err = v.Finish(t.Context(), thiefKept, back("GET", "code", "of-the-victim", "state", oneState))
	refused(t, "a stolen code, where PKCE is not looked at", err, upstream.Untrusted, "nonce")

	// Mix-up: the browser went to one provider, and its answer is brought to another's
	// address. RFC 9700 §4.4.
	evil := w.openID("https://evil.example", "evil.example/.well-known/openid-configuration", "https://evil.example/authorize", "evil.example/token", "evil.example/jwks")
	evil.check = func(*http.Request, url.Values) { t.Error("the other provider is shown a code") }
	other := w.open("oidc", `{"issuer":"https://evil.example","client_id":"x"}`, nil)
	_, kept := begin(t, v, upstream.Wish{})
	_, err = other.Finish(t.Context(), kept, back("GET", "code", "of-op", "state", oneState))
	refused(t, "an answer for another provider", err, upstream.Untrusted, "not begun here")
}

// TestUserinfo: OpenID Connect Core §5.3.2, and what of two answers counts.
func TestUserinfo(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	o.metadata["userinfo_endpoint"] = "https://op.example/userinfo"
	ec := ecKey(t, "key-ec")
	w.on("GET op.example/jwks", func(rw http.ResponseWriter, r *http.Request) { write(rw, 200, keySet(t, nil, rsaKeys()[0], ec)) })
	plain, signed := w.openOIDC(""), w.openOIDC(`,"userinfo_signed_response_alg":"ES256"`)
	type answer struct{ kind, body string }
	jsonOf := func(pairs ...any) answer {
		c := map[string]any{"sub": "person-1"}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = pairs[i+1]
		}
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		text, _ := json.Marshal(c)
		return answer{"application/json", string(text)}
	}
	jwtOf := func(key *jwk.Key, alg string, pairs ...any) answer {
		c := map[string]any{"sub": "person-1", "iss": "https://op.example", "aud": someID, "name": "Ada"}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = pairs[i+1]
		}
		return answer{"application/jwt", sign(t, key, c, jwt.SignOptions{Algorithm: key.Algorithm()})}
	}
	unsigned := answer{"application/jwt", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"person-1"}`)) + "."}
	for _, row := range []struct {
		name string
		v    upstream.Visitor
		a    answer
		code upstream.Code // "" for none
		want map[string]any
	}{
		{"more of them", plain, jsonOf("name", "Ada", "groups", []string{"a"}), "", map[string]any{"name": "Ada", "groups": []any{"a"}, "email": "ada@op.example", "email_verified": true}},
		{"another address, verified", plain, jsonOf("email", "new@op.example", "email_verified", true), "", map[string]any{"email": "new@op.example", "email_verified": true}},
		{"another address, of which nothing is said", plain, jsonOf("email", "boss@bank.example"), "", map[string]any{"email": "boss@bank.example", "email_verified": nil}},
		{"another address, not verified", plain, jsonOf("email", "boss@bank.example", "email_verified", false), "", map[string]any{"email": "boss@bank.example", "email_verified": false}},
		{"verified, and no address", plain, jsonOf("email_verified", false), "", map[string]any{"email": "ada@op.example", "email_verified": true}},
		{"verified as a text", plain, jsonOf("email", "a@op.example", "email_verified", "true"), "", map[string]any{"email_verified": true}},
		{"verified as a number", plain, jsonOf("email", "a@op.example", "email_verified", 1), upstream.Unavailable, nil},
		{"an address that is none", plain, jsonOf("email", []string{"a"}, "email_verified", true), upstream.Unavailable, nil},
		{"an address that is empty", plain, jsonOf("email", "", "email_verified", true), "", map[string]any{"email": nil, "email_verified": nil}},
		{"what the ID token alone may say", plain, jsonOf("acr", "9", "iss", "https://evil.example", "sid", "x", "amr", []string{"mfa"}), "", map[string]any{"acr": "2", "iss": "https://op.example", "sid": nil}},
		{"somebody else", plain, jsonOf("sub", "boss"), upstream.Untrusted, nil},
		{"nobody", plain, jsonOf("sub", nil), upstream.Untrusted, nil},
		{"SUB", plain, jsonOf("sub", nil, "SUB", "person-1"), upstream.Untrusted, nil},
		{"sub twice", plain, answer{"application/json", `{"sub":"person-1","sub":"person-1"}`}, upstream.Untrusted, nil},
		{"nested", plain, answer{"application/json", `{"sub":"person-1","x":` + nested(8) + `}`}, upstream.Untrusted, nil},
		{"a bomb", plain, answer{"application/json", `{"sub":"person-1","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`}, upstream.Unavailable, nil},
		{"a page", plain, answer{"text/html", `<p>hello</p>`}, upstream.Unavailable, nil},
		{"signed, and nobody asked", plain, jwtOf(ec, "ES256"), upstream.Unavailable, nil},

		{"signed", signed, jwtOf(ec, "ES256"), "", map[string]any{"name": "Ada"}},
		{"signed, for several", signed, jwtOf(ec, "ES256", "aud", []string{"other", someID}), "", map[string]any{"name": "Ada"}},
		{"not signed", signed, jsonOf("name", "Ada"), upstream.Untrusted, nil},
		{"signed by none", signed, unsigned, upstream.Untrusted, nil},
		{"signed by another algorithm", signed, jwtOf(rsaKeys()[0], "RS256"), upstream.Untrusted, nil},
		{"signed by another key", signed, jwtOf(ecKey(t, "key-ec"), "ES256"), upstream.Untrusted, nil},
		{"signed for another", signed, jwtOf(ec, "ES256", "aud", "other"), upstream.Untrusted, nil},
		{"signed for nobody", signed, jwtOf(ec, "ES256", "aud", nil), upstream.Untrusted, nil},
		{"signed by another issuer", signed, jwtOf(ec, "ES256", "iss", "https://evil.example"), upstream.Untrusted, nil},
		{"signed, of somebody else", signed, jwtOf(ec, "ES256", "sub", "boss"), upstream.Untrusted, nil},
		{"signed, and expired", signed, jwtOf(ec, "ES256", "exp", w.Now().Unix()-60), upstream.Untrusted, nil},
	} {
		w.on("GET op.example/userinfo", func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer ya29.access" || r.URL.RawQuery != "" {
				t.Errorf("userinfo is asked with %q", r.Header.Get("Authorization"))
			}
			rw.Header().Set("Content-Type", row.a.kind)
			rw.Write([]byte(row.a.body))
		})
		p, err := o.visit(row.v, goodClaims())
		if row.code != "" {
			refused(t, row.name, err, row.code, "")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		for name, want := range row.want {
			if d := cmp.Diff(want, p.Claims[name]); d != "" {
				t.Errorf("%s: %s (-want +got)\n%s", row.name, name, d)
			}
		}
	}
	// What is told there alone would be taken for gone: so there is no sign-in without it.
	w.on("GET op.example/userinfo", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusServiceUnavailable) })
	_, err := o.visit(plain, goodClaims())
	refused(t, "userinfo is down", err, upstream.Unavailable, "503")
	if _, err := o.visit(w.openOIDC(`,"no_userinfo":true`), goodClaims()); err != nil {
		t.Errorf("userinfo is down and not asked: %v", err)
	}
}
