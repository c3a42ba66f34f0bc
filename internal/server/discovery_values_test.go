package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

func exerciseScopes(t *testing.T, w *tour) {
	offered := w.list(t, "scopes_supported")
	for _, scope := range offered {
		a := w.tokens(t, w.c, w.secret, "scope", "openid "+scope)
		if a.Status != http.StatusOK || !slices.Contains(strings.Fields(a.String("scope")), scope) {
			t.Errorf("%s: %d %s", scope, a.Status, a.Text)
		}
		told := w.userInfo(t, a.String("access_token")).JSON
		if delete(told, "sub"); len(told) == 0 != (scope == "openid" || scope == "offline_access") {
			t.Errorf("%s tells %v", scope, told)
		}
	}
	for _, scope := range without([]string{"profile", "email", "address", "phone", "groups", "offline_access", "admin", "*", "roles", "OpenID"}, offered) {
		w.fails(t, "invalid_scope", "scope", "openid "+scope)
	}
	if a := newPerson(t, w.h, nil); slices.Contains(offered, "offline_access") { // OpenID Connect Core §11
		token := a.code(t, "scope", "openid offline_access")
		a.b.Get("/logout?id_token_hint=" + token.String("id_token"))
		if got := renew(w.h, a.c, a.secret, token.String("refresh_token")); got.Status != http.StatusOK {
			t.Errorf("offline_access: %d %s", got.Status, got.Text)
		}
	}
}

func exerciseResponseTypes(t *testing.T, w *tour) {
	offered := w.list(t, "response_types_supported")
	for _, kind := range offered {
		for _, mode := range w.list(t, "response_modes_supported") {
			v, where := w.ask(t, w.c, "response_type", kind, "response_mode", mode)
			if mode == "query" && kind != "code" { // OAuth 2.0 Multiple Response Types §5
				if v.Get("error") != "invalid_request" || where != "fragment" {
					t.Errorf("%s by query, in the %s: %v", kind, where, v)
				}
				continue
			}
			if where != mode {
				t.Errorf("%s by %s came in the %s", kind, mode, where)
			}
			checkFront(t, w.h, w.c, w.secret, kind, v)
		}
	}
	all := []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token", "token", "none", "code none", "id_token code token cheese", "Code"}
	for _, kind := range without(all, offered) {
		w.fails(t, "unsupported_response_type", "response_type", kind)
	}
}

func exerciseResponseModes(t *testing.T, w *tour) {
	offered := w.list(t, "response_modes_supported")
	for _, mode := range offered {
		for _, prompt := range []string{"", "dance"} { // an answer and an error
			v, where := w.ask(t, w.c, "response_mode", mode, "prompt", prompt)
			if where != mode || v.Has("code") == v.Has("error") {
				t.Errorf("%s, in the %s: %v", mode, where, v)
			}
		}
	}
	for _, mode := range without([]string{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt", "web_message", "Query"}, offered) {
		w.fails(t, "invalid_request", "response_mode", mode)
	}
}

func exerciseGrantTypes(t *testing.T, w *tour) {
	offered := w.list(t, "grant_types_supported")
	for _, grant := range offered {
		var a servertest.Answer
		switch grant {
		case "authorization_code":
			a = w.tokens(t, w.c, w.secret)
		case "implicit": // OpenID Connect Discovery §3
			v, _ := w.ask(t, w.c, "response_type", "id_token token")
			a.JSON = map[string]any{"access_token": v.Get("access_token")}
		case "refresh_token":
			a = renew(w.h, w.c, w.secret, w.tokens(t, w.c, w.secret).String("refresh_token"))
		case "client_credentials":
			a = w.h.Call(w.path(t, "token_endpoint"), w.c, w.secret, url.Values{"grant_type": {grant}})
		case deviceGrant: // RFC 8628 §3
			c, secret := w.client(t, func(s *model.ClientSettings) { s.GrantTypes = append(slices.Clone(s.GrantTypes), grant) })
			d := w.h.Call(w.path(t, "device_authorization_endpoint"), c, secret, url.Values{"scope": {"openid"}})
			typeCode(w.h.Browser(), d.String("user_code")).Submit("primary")
			a = w.h.Call(w.path(t, "token_endpoint"), c, secret, url.Values{"grant_type": {grant}, "device_code": {d.String("device_code")}})
			if !active(w.h, c, secret, a.String("access_token")) {
				t.Errorf("%s: %d %s", grant, a.Status, a.Text)
			}
			continue
		default:
			t.Errorf("nothing exercises the grant %s", grant)
			continue
		}
		if !active(w.h, w.c, w.secret, a.String("access_token")) {
			t.Errorf("%s: %d %s", grant, a.Status, a.Text)
		}
	}
	for _, grant := range without([]string{"authorization_code", "refresh_token", "client_credentials", "password", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:token-exchange", "urn:openid:params:grant-type:ciba"}, offered) {
		a := w.h.Call(w.path(t, "token_endpoint"), w.c, w.secret, url.Values{"grant_type": {grant}, "username": {"olena"}, "password": {password}})
		refused(t, a, http.StatusBadRequest, "unsupported_grant_type") // RFC 6749 §5.2
		w.unregistrable(t, "grant_types", grant, func(s *model.ClientSettings) { s.GrantTypes = append(slices.Clone(s.GrantTypes), grant) })
	}
}

func exerciseSubjectTypes(t *testing.T, w *tour) {
	for _, kind := range w.list(t, "subject_types_supported") {
		var subs []any
		for _, host := range []string{"one.example", "two.example"} {
			c, secret := w.client(t, func(s *model.ClientSettings) {
				s.SubjectType, s.RedirectURIs = kind, []string{"https://" + host + "/callback"}
			})
			subs = append(subs, claimsOf(t, w.tokens(t, c, secret).String("id_token"))["sub"])
		}
		public := subs[0] == string(w.u.ID) && subs[1] == subs[0]
		pairwise := subs[0] != string(w.u.ID) && subs[1] != string(w.u.ID) && subs[0] != subs[1]
		if kind == "public" && !public || kind == "pairwise" && !pairwise || kind != "public" && kind != "pairwise" {
			t.Errorf("%s: %v", kind, subs)
		}
	}
	w.unregistrable(t, "subject_type", "ephemeral", func(s *model.ClientSettings) { s.SubjectType = "ephemeral" })
}

// signatures are the algorithms of RFC 7518 §3.1 and some more: what of them is not in
// the document is refused.
var signatures = []string{"none", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "ES256K", "RS1", "HS1"}

func exerciseIDTokenSigning(t *testing.T, w *tour) {
	offered := w.list(t, "id_token_signing_alg_values_supported")
	for _, alg := range offered {
		c, secret := w.client(t, func(s *model.ClientSettings) { s.IDTokenAlgorithm = alg })
		readID(t, w.h, c, jwa.Algorithm(alg), w.tokens(t, c, secret).String("id_token"))
	}
	for _, alg := range without(slices.Clone(signatures), offered) {
		w.unregistrable(t, "id_token_signed_response_alg", alg, func(s *model.ClientSettings) { s.IDTokenAlgorithm = alg })
	}
}

func exerciseUserInfoSigning(t *testing.T, w *tour) {
	offered := w.list(t, "userinfo_signing_alg_values_supported")
	for _, alg := range offered {
		c, secret := w.client(t, func(s *model.ClientSettings) { s.UserInfoAlgorithm = alg })
		a := w.userInfo(t, w.tokens(t, c, secret).String("access_token"))
		if told := readInfo(t, w.h, nil, alg, "", a.Text); told["sub"] != string(w.u.ID) || a.Header.Get("Content-Type") != "application/jwt" {
			t.Errorf("%s: %v", alg, told)
		}
	}
	for _, alg := range without(slices.Clone(signatures), offered) {
		w.unregistrable(t, "userinfo_signed_response_alg", alg, func(s *model.ClientSettings) { s.UserInfoAlgorithm = alg })
	}
}

// encryption is an answer that can be encrypted.
type encryption struct {
	kind   string // as it stands in the names of members and settings
	change func(s *model.ClientSettings, alg, enc string)
	answer func(t *testing.T, w *tour, c model.Client, secret model.Secret) string
}

var idTokenEncryption = encryption{"id_token",
	func(s *model.ClientSettings, alg, enc string) { s.IDTokenEncryption, s.IDTokenContent = alg, enc },
	func(t *testing.T, w *tour, c model.Client, secret model.Secret) string {
		return w.tokens(t, c, secret).String("id_token")
	},
}

var userInfoEncryption = encryption{"userinfo",
	func(s *model.ClientSettings, alg, enc string) {
		s.UserInfoAlgorithm, s.UserInfoEncryption, s.UserInfoContent = "RS256", alg, enc
	},
	func(t *testing.T, w *tour, c model.Client, secret model.Secret) string {
		return w.userInfo(t, w.tokens(t, c, secret).String("access_token")).Text
	},
}

var introspectionEncryption = encryption{"introspection",
	func(s *model.ClientSettings, alg, enc string) {
		s.IntrospectionEncryption, s.IntrospectionContent = alg, enc
	},
	func(t *testing.T, w *tour, c model.Client, secret model.Secret) string {
		return introspect(t, w.h, c, secret, w.tokens(t, c, secret).String("access_token"), introspectionJWT).Text
	},
}

func exerciseIntrospectionSigning(t *testing.T, w *tour) {
	offered := w.list(t, "introspection_signing_alg_values_supported")
	for _, alg := range offered {
		c, secret := w.client(t, func(s *model.ClientSettings) { s.IntrospectionAlgorithm = alg })
		a := introspect(t, w.h, c, secret, w.tokens(t, c, secret).String("access_token"), introspectionJWT)
		if told := readIntrospection(t, w.h, c, alg, a.Text); told["active"] != true || told["sub"] != string(w.u.ID) {
			t.Errorf("%s: %v", alg, told)
		}
	}
	for _, alg := range without(slices.Clone(signatures), offered) {
		w.unregistrable(t, "introspection_signed_response_alg", alg, func(s *model.ClientSettings) { s.IntrospectionAlgorithm = alg })
	}
}

// exercise has each algorithm with each content encryption.
func (e encryption) exercise(t *testing.T, w *tour) {
	offered := w.list(t, e.kind+"_encryption_alg_values_supported")
	for _, alg := range offered {
		for _, enc := range w.list(t, e.kind+"_encryption_enc_values_supported") {
			key := w.key(t, jwa.Algorithm(alg))
			c, secret := w.client(t, func(s *model.ClientSettings) {
				s.JWKS = setOf(t, key)
				e.change(s, alg, enc)
			})
			m := open(t, e.answer(t, w, c, secret), key, jwa.Algorithm(alg), jwa.Encryption(enc))
			told := claimsOf(t, string(m.Plaintext))
			if inner, ok := told["token_introspection"].(map[string]any); ok {
				told = inner
			}
			if told["sub"] != string(w.u.ID) {
				t.Errorf("%s %s: %s", alg, enc, m.Plaintext)
			}
		}
	}
	all := []string{"RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW", "A128KW", "A256KW", "A128GCMKW", "dir", "PBES2-HS256+A128KW", "none"}
	for _, alg := range without(all, offered) { // RFC 7518 §4.1
		w.unregistrable(t, e.kind+"_encrypted_response_alg", alg, func(s *model.ClientSettings) {
			s.JWKS = setOf(t, w.key(t, jwa.RSAOAEP256))
			e.change(s, alg, "A128GCM")
		})
	}
}

func (e encryption) exerciseContent(t *testing.T, w *tour) {
	offered := w.list(t, e.kind+"_encryption_enc_values_supported")
	all := []string{"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM", "A128CBC", "XC20P", "none"}
	for _, enc := range without(all, offered) { // RFC 7518 §5.1; the others are in exercise
		w.unregistrable(t, e.kind+"_encrypted_response_enc", enc, func(s *model.ClientSettings) {
			s.JWKS = setOf(t, w.key(t, jwa.RSAOAEP256))
			e.change(s, "RSA-OAEP-256", enc)
		})
	}
}

// exerciseClaims has each claim told in an ID token or by userinfo, and looks for
// any that the document does not name.
func exerciseClaims(t *testing.T, w *tour) {
	offered := w.list(t, "claims_supported")
	each := `{"` + strings.Join(offered, `":null,"`) + `":null,"zodiac":{"essential":true}}`
	// Which of an ID token's own claims ("c_hash") there are depends on its flow.
	scope := strings.Join(w.list(t, "scopes_supported"), " ")
	v, _ := w.ask(t, w.c, "response_type", "code id_token token", "claims", `{"id_token":`+each+`,"userinfo":`+each+`}`, "scope", scope)
	tokens := w.redeem(t, w.c, w.secret, v.Get("code"))
	first, second, told := claimsOf(t, v.Get("id_token")), claimsOf(t, tokens.String("id_token")), w.userInfo(t, tokens.String("access_token")).JSON
	own := []string{"iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash"}
	for _, name := range offered {
		if first[name] == nil {
			t.Errorf("no ID token has %s: %v", name, first)
		}
		if told[name] == nil && !slices.Contains(own, name) {
			t.Errorf("userinfo does not tell %s: %v", name, told)
		}
	}
	for _, claims := range []map[string]any{first, second, told} {
		for name := range claims {
			if !slices.Contains(offered, name) {
				t.Errorf("%s is told and stands not in the document", name)
			}
		}
	}
}

func exerciseClaimTypes(t *testing.T, w *tour) {
	if got := w.list(t, "claim_types_supported"); !slices.Equal(got, []string{"normal"}) {
		t.Errorf("nothing exercises one of %v", got)
	}
	told := w.userInfo(t, w.tokens(t, w.c, w.secret).String("access_token")).JSON
	if told["name"] == nil || told["_claim_names"] != nil || told["_claim_sources"] != nil { // OpenID Connect Core §5.6
		t.Errorf("%v", told)
	}
}

func exercisePrompts(t *testing.T, w *tour) {
	pages := map[string]string{"none": "", "login": "/login", "consent": "/consent", "select_account": "/select", "create": "/create"}
	offered := w.list(t, "prompt_values_supported")
	p := newParty(w.h, "code", "")
	p.ask(t)
	for _, prompt := range offered {
		want, known := pages[prompt]
		page := p.b.Get(p.path("prompt", prompt))
		if !known || prompt == "none" && (page.Left == nil || !page.Left.Query().Has("code")) || want != "" && (page.Left != nil || !strings.HasSuffix(page.URL.Path, want)) {
			t.Errorf("%s: %d %s %v", prompt, page.Status, page.URL, page.Left)
		}
	}
	for _, prompt := range append(slices.Sorted(maps.Keys(pages)), "dance") {
		if !slices.Contains(offered, prompt) {
			w.fails(t, "invalid_request", "prompt", prompt)
		}
	}
}

func exerciseACR(t *testing.T, w *tour) {
	acr := func(value string) []string {
		return []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"` + value + `"}}}`}
	}
	// A passkey reaches the strongest, and with it all that are weaker.
	w.h.User("keeper", password)
	c, secret := w.h.Client("keepers", model.ClientSettings{Name: "Keepers", FirstParty: true, RedirectURIs: []string{"https://keepers.example/cb"}})
	b := w.h.Browser()
	signInWith(t, w.h, b, servertest.AuthorizePath(c), withPasskey(t, w.h, "keeper"))
	for _, value := range w.list(t, "acr_values_supported") {
		page := b.Get(w.path(t, "authorization_endpoint") + strings.TrimPrefix(servertest.AuthorizePath(c, acr(value)...), "/authorize"))
		if got := idClaims(t, w.h, c, secret, page.Left)["acr"]; got != value {
			t.Errorf("%s: %v", value, got)
		}
	}
	w.fails(t, "unmet_authentication_requirements", acr("urn:example:gold")...)
}

func exerciseDisplay(t *testing.T, w *tour) {
	looks := map[string]string{"page": "<body>", "popup": `<body class="popup">`, "touch": `<body class="touch">`}
	for _, display := range w.list(t, "display_values_supported") {
		if body := w.request(t, w.c, "prompt", "login", "display", display).Body; looks[display] == "" || !strings.Contains(body, looks[display]) {
			t.Errorf("%s: %.200s", display, body)
		}
	}
	if body := w.request(t, w.c, "prompt", "login", "display", "wap").Body; !strings.Contains(body, looks["page"]) {
		t.Errorf("wap: %.200s", body)
	}
}

func exerciseLocales(t *testing.T, w *tour) {
	offered := w.list(t, "ui_locales_supported")
	if len(offered) < 3 {
		t.Errorf("offered are %v", offered)
	}
	for _, locale := range append(slices.Clone(offered), "se", "eo fr") {
		want := locale
		if !slices.Contains(offered, locale) {
			want = "en"
		}
		if body := w.request(t, w.c, "prompt", "login", "ui_locales", locale).Body; !strings.Contains(body, `<html lang="`+want+`"`) {
			t.Errorf("%s: %.200s", locale, body)
		}
	}
}

func exerciseChallengeMethods(t *testing.T, w *tour) {
	if got := w.list(t, "code_challenge_methods_supported"); !slices.Equal(got, []string{"S256"}) {
		t.Errorf("nothing exercises one of %v", got)
	}
	w.tokens(t, w.c, w.secret, "code_challenge_method", "S256")
	v, _ := w.ask(t, w.c)
	a := w.h.Call(w.path(t, "token_endpoint"), w.c, w.secret, url.Values{"grant_type": {"authorization_code"}, "code": {v.Get("code")},
		"redirect_uri": w.c.RedirectURIs, "code_verifier": {servertest.Challenge}})
	refused(t, a, http.StatusBadRequest, "invalid_grant") // RFC 7636 §4.6
	for _, method := range []string{"plain", "", "s256", "S512"} {
		w.fails(t, "invalid_request", "code_challenge_method", method)
	}
}

func exerciseIss(t *testing.T, w *tour) {
	w.said(t, "authorization_response_iss_parameter_supported")
	for _, mode := range w.list(t, "response_modes_supported") {
		for _, prompt := range []string{"none", "dance"} {
			if v, _ := w.ask(t, w.c, "response_mode", mode, "prompt", prompt); v.Get("iss") != w.document["issuer"] { // RFC 9207 §2
				t.Errorf("by %s, prompt=%s: %v", mode, prompt, v)
			}
		}
	}
}

// object is a request of nobody in particular, signed by a client of its own.
func (w *tour) object(t *testing.T, alg jwa.Algorithm, change func(*model.ClientSettings)) (model.Client, string) {
	t.Helper()
	key := w.key(t, alg)
	c := requestSigner(t, w.h, "", key, func(s *model.ClientSettings) {
		s.RequestObjectAlgorithm = string(alg)
		if change != nil {
			change(s)
		}
	})
	return c, sign(t, key, jws.SignOptions{Algorithm: alg}, asked(w.h, c, nil))
}

func exerciseRequest(t *testing.T, w *tour) {
	w.said(t, "request_parameter_supported")
	c, object := w.object(t, jwa.ES256, nil)
	if p := w.h.Browser().Get(beside(c, "request", object)); answer(p) != "login_required" || p.Left.Query().Get("state") != "inside" {
		t.Errorf("%d %v", p.Status, p.Left)
	}
}

func exerciseRequestURI(t *testing.T, w *tour) {
	w.said(t, "request_uri_parameter_supported")
	w.said(t, "require_request_uri_registration")
	object := ""
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
		fmt.Fprint(rw, object)
	}))
	defer site.Close()
	var c model.Client
	c, object = w.object(t, jwa.ES256, func(s *model.ClientSettings) { s.RequestURIs = []string{site.URL + "/registered"} })
	for path, want := range map[string]string{"/registered": "login_required", "/other": "invalid_request_uri"} {
		if p := w.h.Browser().Get(beside(c, "request_uri", site.URL+path)); answer(p) != want {
			t.Errorf("%s: %d %v, want %s", path, p.Status, p.Left, want)
		}
	}
}

func exerciseRequestAlgorithms(t *testing.T, w *tour) {
	offered := w.list(t, "request_object_signing_alg_values_supported")
	for _, alg := range offered {
		c, object := w.object(t, jwa.Algorithm(alg), nil)
		if p := w.h.Browser().Get(beside(c, "request", object)); answer(p) != "login_required" {
			t.Errorf("%s: %d %v", alg, p.Status, p.Left)
		}
	}
	for _, alg := range without(slices.Clone(signatures), offered) {
		w.unregistrable(t, "request_object_signing_alg", alg, func(s *model.ClientSettings) {
			s.JWKS, s.RequestObjectAlgorithm = published(t, w.key(t, jwa.ES256)), alg
		})
	}
	c, object := w.object(t, jwa.ES256, nil)
	unsigned, err := jwt.InsecureSignNone(asked(w.h, c, nil), jwt.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := jwe.Encrypt([]byte(object), w.key(t, jwa.RSAOAEP256), jwe.EncryptOptions{ContentType: "JWT"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{unsigned, sealed} { // nor can they be encrypted: nothing says so
		if p := w.h.Browser().Get(beside(c, "request", text)); answer(p) != "invalid_request_object" {
			t.Errorf("%d %v", p.Status, p.Left)
		}
	}
}

func exerciseClaimsParameter(t *testing.T, w *tour) {
	w.said(t, "claims_parameter_supported")
	a := w.tokens(t, w.c, w.secret, "scope", "openid", "claims", `{"id_token":{"birthdate":null},"userinfo":{"name":null}}`)
	tells(t, "ID token", claimsOf(t, a.String("id_token")), map[string]any{"birthdate": "1990-02-28", "name": nil})
	told := w.userInfo(t, a.String("access_token")).JSON
	tells(t, "userinfo", told, map[string]any{"birthdate": nil})
	if told["name"] == nil {
		t.Errorf("userinfo: %v", told)
	}
}

func exerciseDocuments(t *testing.T, w *tour) {
	c := w.site.publish(t, "/discovered.json", meta{"client_name": "Discovered"})
	before := w.site.times("/discovered.json")
	p := w.h.Browser().Get(servertest.AuthorizePath(c, "scope", "openid"))
	if w.document["client_id_metadata_document_supported"] == true {
		if p.Status != http.StatusOK || !strings.Contains(p.Body, "Discovered") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		return
	}
	if p.Status != http.StatusBadRequest || p.Left != nil || w.site.times("/discovered.json") != before {
		t.Errorf("%d %v", p.Status, p.Left)
	}
}
