package server_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// tour is a walk through the discovery document of a running server.
type tour struct {
	person
	document map[string]any
	site     *site // where clients publish documents about themselves
	keys     map[jwa.Algorithm]*jwk.Key
}

// exercisers has for each member of the document what proves that its values work,
// and that those that are not in it do not.
var exercisers = map[string]func(*testing.T, *tour){
	"issuer":                 exerciseIssuer,
	"authorization_endpoint": exerciseAuthorization,
	"token_endpoint":         exerciseToken,
	"userinfo_endpoint":      exerciseUserInfo,
	"jwks_uri":               exerciseKeys,
	"registration_endpoint":  exerciseRegistration,
	"introspection_endpoint": exerciseIntrospection,
	"revocation_endpoint":    exerciseRevocation,
	"end_session_endpoint":   exerciseEndSession,
	"check_session_iframe":   exerciseSessionState,

	"authorization_challenge_endpoint": exerciseChallenge,
	"device_authorization_endpoint":    exerciseGrantTypes,
	"global_token_revocation_endpoint": exerciseGlobalRevocation,
	"revocation_feed_endpoint":         exerciseFeed,

	"frontchannel_logout_supported":         exerciseFrontchannel,
	"frontchannel_logout_session_supported": exerciseFrontchannel,
	"backchannel_logout_supported":          exerciseBackchannel,
	"backchannel_logout_session_supported":  exerciseBackchannel,

	"scopes_supported":         exerciseScopes,
	"response_types_supported": exerciseResponseTypes,
	"response_modes_supported": exerciseResponseModes,
	"grant_types_supported":    exerciseGrantTypes,
	"subject_types_supported":  exerciseSubjectTypes,

	"id_token_signing_alg_values_supported":    exerciseIDTokenSigning,
	"id_token_encryption_alg_values_supported": idTokenEncryption.exercise,
	"id_token_encryption_enc_values_supported": idTokenEncryption.exerciseContent,
	"userinfo_signing_alg_values_supported":    exerciseUserInfoSigning,
	"userinfo_encryption_alg_values_supported": userInfoEncryption.exercise,
	"userinfo_encryption_enc_values_supported": userInfoEncryption.exerciseContent,

	"introspection_signing_alg_values_supported":    exerciseIntrospectionSigning,
	"introspection_encryption_alg_values_supported": introspectionEncryption.exercise,
	"introspection_encryption_enc_values_supported": introspectionEncryption.exerciseContent,

	"token_endpoint_auth_methods_supported":                    exerciseAuthMethods("token"),
	"token_endpoint_auth_signing_alg_values_supported":         exerciseAuthAlgorithms("token"),
	"introspection_endpoint_auth_methods_supported":            exerciseAuthMethods("introspection"),
	"introspection_endpoint_auth_signing_alg_values_supported": exerciseAuthAlgorithms("introspection"),
	"revocation_endpoint_auth_methods_supported":               exerciseAuthMethods("revocation"),
	"revocation_endpoint_auth_signing_alg_values_supported":    exerciseAuthAlgorithms("revocation"),

	"claim_types_supported":                          exerciseClaimTypes,
	"claims_supported":                               exerciseClaims,
	"prompt_values_supported":                        exercisePrompts,
	"acr_values_supported":                           exerciseACR,
	"display_values_supported":                       exerciseDisplay,
	"ui_locales_supported":                           exerciseLocales,
	"code_challenge_methods_supported":               exerciseChallengeMethods,
	"authorization_response_iss_parameter_supported": exerciseIss,
	"request_parameter_supported":                    exerciseRequest,
	"request_uri_parameter_supported":                exerciseRequestURI,
	"require_request_uri_registration":               exerciseRequestURI,
	"request_object_signing_alg_values_supported":    exerciseRequestAlgorithms,
	"claims_parameter_supported":                     exerciseClaimsParameter,
	"client_id_metadata_document_supported":          exerciseDocuments,
}

// configured are the members that say how the server is configured.
var configured = []string{"client_id_metadata_document_supported", "prompt_values_supported", "registration_endpoint"}

// members lists what a document says or could say.
func members(document map[string]any) []string {
	all := slices.Collect(maps.Keys(document))
	for i := range reflect.TypeFor[oauth.Metadata]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[oauth.Metadata]().Field(i).Tag.Get("json"), ",")
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unproven lists the members of a document that nothing exercises.
func unproven(document map[string]any) []string {
	return slices.DeleteFunc(members(document), func(name string) bool { return exercisers[name] != nil })
}

// TestDiscovery: OpenID Connect Discovery §3, RFC 8414 §2. What the document says
// works, what works is in the document, and nothing else, however the server is
// configured.
func TestDiscovery(t *testing.T) {
	s := newSite(t)
	open := []servertest.Option{s.documents(registration.Policy{Mode: registration.ModeOpen, PerHour: 100_000}), signUpOpen}
	w := newTour(t, servertest.Start(t, open...), s)
	if got := unproven(w.document); len(got) != 0 {
		t.Errorf("nothing exercises %v", got)
	}
	if got := unproven(map[string]any{"invented": true}); !slices.Contains(got, "invented") {
		t.Errorf("a new member is not noticed: %v", got)
	}
	for _, name := range members(w.document) {
		if run := exercisers[name]; run != nil {
			t.Run(name, func(t *testing.T) { run(t, w) })
		}
	}
	t.Run("closed", func(t *testing.T) {
		closed := newTour(t, servertest.Start(t), s)
		if got := differences(w, closed); !slices.Equal(got, configured) {
			t.Errorf("the document differs in %v, want %v", got, configured)
		}
		for _, name := range configured {
			t.Run(name, func(t *testing.T) { exercisers[name](t, closed) })
		}
	})
	t.Run("postgres", func(t *testing.T) {
		other := newTour(t, servertest.Start(t, append(open, func(c *server.Config) { c.Database = storetest.PostgresURL(t) })...), s)
		if got := differences(w, other); len(got) != 0 {
			t.Errorf("the document differs in %v", got)
		}
		exerciseResponseTypes(t, other)
	})
}

// differences lists the members in which two documents differ, apart from where the
// servers are.
func differences(one, other *tour) (names []string) {
	for _, name := range members(one.document) {
		at := func(w *tour) any {
			if s, ok := w.document[name].(string); ok {
				return strings.Replace(s, w.h.Issuer, "", 1)
			}
			return w.document[name]
		}
		if !reflect.DeepEqual(at(one), at(other)) {
			names = append(names, name)
		}
	}
	return names
}

func newTour(t *testing.T, h *servertest.House, s *site) *tour {
	t.Helper()
	h.User("olena", password)
	w := &tour{person: newPerson(t, h, nil), site: s, keys: map[jwa.Algorithm]*jwk.Key{}}
	discover(t, h, &w.document)
	return w
}

// list returns a member that is a list of texts, each of which stands there once.
func (w *tour) list(t *testing.T, name string) (list []string) {
	t.Helper()
	all, _ := w.document[name].([]any)
	for _, v := range all {
		text, _ := v.(string)
		if text == "" || slices.Contains(list, text) {
			t.Fatalf("%s is %v", name, all)
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return list
}

// path returns an endpoint's path below the issuer.
func (w *tour) path(t *testing.T, name string) string {
	t.Helper()
	address, _ := w.document[name].(string)
	path, ok := strings.CutPrefix(address, w.h.Issuer)
	if !ok || path == "" {
		t.Fatalf("%s is %q", name, address)
	}
	return path
}

func (w *tour) said(t *testing.T, name string) {
	t.Helper()
	if w.document[name] != true {
		t.Fatalf("%s is %v", name, w.document[name])
	}
}

// key is one of a client's own for an algorithm.
func (w *tour) key(t *testing.T, alg jwa.Algorithm) *jwk.Key {
	if w.keys[alg] == nil {
		w.keys[alg] = generate(t, alg)
	}
	return w.keys[alg]
}

// client registers a client that may do everything.
func (w *tour) client(t *testing.T, change func(*model.ClientSettings)) (model.Client, model.Secret) {
	t.Helper()
	s := front()
	change(&s)
	return w.h.Client("", s)
}

// unregistrable wants an operator to be told that there is no such setting.
func (w *tour) unregistrable(t *testing.T, setting, value string, change func(*model.ClientSettings)) {
	t.Helper()
	s := front()
	change(&s)
	_, _, err := w.h.Registrar.CreateClient(t.Context(), servertest.Operator, s, "")
	var e *registration.InvalidClientError
	if !errors.As(err, &e) || e.Setting != setting {
		t.Errorf("%s %q, which is not in the document: %v", setting, value, err)
	}
}

// request sends the signed-in browser with an authorization request.
func (w *tour) request(t *testing.T, c model.Client, extra ...string) *servertest.Page {
	t.Helper()
	return w.b.Get(w.path(t, "authorization_endpoint") + strings.TrimPrefix(servertest.AuthorizePath(c, extra...), "/authorize"))
}

// ask is request with its answer.
func (w *tour) ask(t *testing.T, c model.Client, extra ...string) (url.Values, string) {
	t.Helper()
	return answerOf(t, w.request(t, c, extra...), c.RedirectURIs[0])
}

// fails wants an authorization request to be refused with a code.
func (w *tour) fails(t *testing.T, code string, extra ...string) {
	t.Helper()
	if v, _ := w.ask(t, w.c, extra...); v.Get("error") != code || v.Has("code") || v.Has("access_token") || v.Has("id_token") {
		t.Errorf("%v, which the document does not offer: %v, want %s", extra, v, code)
	}
}

// tokens walks the code flow.
func (w *tour) tokens(t *testing.T, c model.Client, secret model.Secret, extra ...string) servertest.Answer {
	t.Helper()
	v, _ := w.ask(t, c, extra...)
	return w.redeem(t, c, secret, v.Get("code"))
}

func (w *tour) redeem(t *testing.T, c model.Client, secret model.Secret, code string) servertest.Answer {
	t.Helper()
	a := w.h.Call(w.path(t, "token_endpoint"), c, secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {servertest.Verifier},
	})
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	return a
}

// userInfo asks the endpoint that the document names.
func (w *tour) userInfo(t *testing.T, token string) servertest.Answer {
	t.Helper()
	a := get(t, w.h.Issuer+w.path(t, "userinfo_endpoint"), "Authorization", "Bearer "+token)
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	return a
}

func exerciseIssuer(t *testing.T, w *tour) {
	a := get(t, w.h.Issuer+"/.well-known/openid-configuration") // OpenID Connect Discovery §4
	if a.Status != 200 || a.String("issuer") != w.h.Issuer || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if b := get(t, w.h.Issuer+"/.well-known/oauth-authorization-server"); b.Text != a.Text { // RFC 8414 §3
		t.Errorf("the two documents differ: %s", b.Text)
	}
	if b := get(t, w.h.Issuer+"/.well-known/openid-configuration", "If-None-Match", a.Header.Get("ETag")); b.Status != http.StatusNotModified {
		t.Errorf("If-None-Match: %d", b.Status)
	}
	for _, name := range []string{"id_token", "access_token"} {
		if iss := claimsOf(t, w.tokens(t, w.c, w.secret).String(name))["iss"]; iss != w.document["issuer"] {
			t.Errorf("%s: iss %v", name, iss)
		}
	}
}

func exerciseAuthorization(t *testing.T, w *tour) {
	if v, _ := w.ask(t, w.c); !v.Has("code") {
		t.Errorf("%v", v)
	}
	u, _ := url.Parse(servertest.AuthorizePath(w.c)) // OpenID Connect Core §3.1.2.1: and by POST
	if v, _ := answerOf(t, w.b.Post(w.path(t, "authorization_endpoint"), u.Query()), w.c.RedirectURIs[0]); !v.Has("code") {
		t.Errorf("by POST: %v", v)
	}
}

func exerciseToken(t *testing.T, w *tour) {
	if a := w.tokens(t, w.c, w.secret); a.String("access_token") == "" || a.String("id_token") == "" {
		t.Errorf("%s", a.Text)
	}
	if a := get(t, w.h.Issuer+w.path(t, "token_endpoint")); a.Status != http.StatusMethodNotAllowed { // RFC 6749 §3.2
		t.Errorf("by GET: %d", a.Status)
	}
}

func exerciseUserInfo(t *testing.T, w *tour) {
	if a := w.userInfo(t, w.tokens(t, w.c, w.secret).String("access_token")); a.String("sub") != string(w.u.ID) {
		t.Errorf("%s", a.Text)
	}
}

func exerciseKeys(t *testing.T, w *tour) {
	set, err := jwk.ParseSet([]byte(get(t, w.h.Issuer+w.path(t, "jwks_uri")).Text))
	if err != nil {
		t.Fatal(err)
	}
	token := w.tokens(t, w.c, w.secret).String("id_token")
	if _, err := jwt.Verify[idToken](t.Context(), token, set, jwt.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{w.h.Issuer}, Audiences: []string{string(w.c.ID)}}); err != nil {
		t.Error(err)
	}
	for _, alg := range w.list(t, "id_token_signing_alg_values_supported") {
		if !strings.Contains(get(t, w.h.Issuer+w.path(t, "jwks_uri")).Text, `"alg":"`+alg+`"`) {
			t.Errorf("there is no key for %s", alg)
		}
	}
}

func exerciseRegistration(t *testing.T, w *tour) {
	if w.document["registration_endpoint"] == nil {
		refused(t, register(t, w.h, suite), http.StatusForbidden, "access_denied")
		return
	}
	a := send(t, http.MethodPost, w.h.Issuer+w.path(t, "registration_endpoint"), "", suite)
	if a.Status != http.StatusCreated || a.String("client_id") == "" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func exerciseIntrospection(t *testing.T, w *tour) {
	a := w.h.Call(w.path(t, "introspection_endpoint"), w.c, w.secret, url.Values{"token": {w.tokens(t, w.c, w.secret).String("access_token")}})
	if a.JSON["active"] != true {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func exerciseRevocation(t *testing.T, w *tour) {
	token := w.tokens(t, w.c, w.secret).String("access_token")
	if a := w.h.Call(w.path(t, "revocation_endpoint"), w.c, w.secret, url.Values{"token": {token}}); a.Status != http.StatusOK || active(w.h, w.c, w.secret, token) {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func exerciseEndSession(t *testing.T, w *tour) {
	p := newPerson(t, w.h, nil)
	q := url.Values{"id_token_hint": {p.code(t).String("id_token")}, "post_logout_redirect_uri": {p.c.PostLogoutRedirectURIs[0]}, "state": {"x"}}
	if left := p.b.Get(w.path(t, "end_session_endpoint") + "?" + q.Encode()).Left; left == nil || left.String() != p.c.PostLogoutRedirectURIs[0]+"?state=x" {
		t.Errorf("%v", left)
	}
	if left := p.b.Get(servertest.AuthorizePath(p.c, "prompt", "none")).Left; left.Query().Get("error") != "login_required" {
		t.Errorf("afterwards: %v", left)
	}
}

func exerciseSessionState(t *testing.T, w *tour) {
	p := w.b.Get(w.path(t, "check_session_iframe"))
	if scripts := p.Attributes("script", "src"); p.Status != 200 || len(scripts) != 1 || w.b.Get(scripts[0]).Status != 200 {
		t.Errorf("%d %s", p.Status, p.Body)
	}
	if v, _ := w.ask(t, w.c); v.Get("session_state") == "" { // OpenID Connect Session Management §2
		t.Errorf("%v", v)
	}
}

func exerciseFeed(t *testing.T, w *tour) {
	token := follower(t, w.h, model.NewID(), orders)
	if path := w.path(t, "revocation_feed_endpoint"); path != "/revocations" {
		t.Error(path)
	}
	s := following(t, w.h.Issuer, token)
	revokeTokens(t, w.h, []string{orders}, "exercise")
	for s.entries()[0].Value != "exercise" { // the rest of the walk ends things as well
	}
}

func exerciseFrontchannel(t *testing.T, w *tour) {
	w.said(t, "frontchannel_logout_supported")
	w.said(t, "frontchannel_logout_session_supported")
	p := newPerson(t, w.h, func(s *model.ClientSettings) {
		s.FrontchannelURI, s.FrontchannelSession = "http://127.0.0.1:1/front", true
	})
	hint := p.code(t).String("id_token")
	frames := p.b.Get(w.path(t, "end_session_endpoint")+"?id_token_hint="+hint).Attributes("iframe", "src")
	sid, _ := claimsOf(t, hint)["sid"].(string)
	if want := "http://127.0.0.1:1/front?" + (url.Values{"iss": {w.h.Issuer}, "sid": {sid}}).Encode(); sid == "" || !slices.Equal(frames, []string{want}) {
		t.Errorf("frames %v, want %s", frames, want)
	}
}

func exerciseBackchannel(t *testing.T, w *tour) {
	w.said(t, "backchannel_logout_supported")
	w.said(t, "backchannel_logout_session_supported")
	a := newTold(t)
	p := newPerson(t, w.h, func(s *model.ClientSettings) { s.BackchannelURI, s.BackchannelSession = a.URL+"/back", true })
	hint := p.code(t).String("id_token")
	p.b.Get(w.path(t, "end_session_endpoint") + "?id_token_hint=" + hint)
	if k := checkLogoutToken(t, w.h, a.waitFor(t, 1)[0], p.c, jwa.RS256); k.SessionID != claimsOf(t, hint)["sid"] {
		t.Errorf("sid %q", k.SessionID)
	}
}

func exerciseAuthMethods(endpoint string) func(*testing.T, *tour) {
	return func(t *testing.T, w *tour) {
		path, offered := w.path(t, endpoint+"_endpoint"), w.list(t, endpoint+"_endpoint_auth_methods_supported")
		for _, method := range offered {
			if good, bad := w.authenticate(t, path, method, ""), w.authenticate(t, path, method, "bad"); good != http.StatusOK || bad == http.StatusOK {
				t.Errorf("%s: %d, and with what is wrong %d", method, good, bad)
			}
		}
		for _, method := range []string{"none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"} {
			if !slices.Contains(offered, method) && w.authenticate(t, path, method, "") != http.StatusUnauthorized {
				t.Errorf("%s, which is not in the document, works", method)
			}
		}
		for _, method := range []string{"tls_client_auth", "self_signed_tls_client_auth", "attest_jwt_client_auth", "password"} {
			if !slices.Contains(offered, method) {
				w.unregistrable(t, "token_endpoint_auth_method", method, func(s *model.ClientSettings) { s.AuthMethod = method })
			}
		}
	}
}

// authenticate registers a client for a method and has it call an endpoint in that
// way, with what is its own or with what is not.
func (w *tour) authenticate(t *testing.T, path, method, fault string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "token": {"x"}}
	switch method {
	case model.AuthNone:
		c, _ := w.client(t, func(s *model.ClientSettings) {
			s.AuthMethod, s.GrantTypes, s.ResponseTypes = method, []string{"authorization_code", "refresh_token"}, nil
		})
		v, _ := w.ask(t, c)
		form = url.Values{"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": c.RedirectURIs, "code_verifier": {servertest.Verifier}, "token": {"x"}}
		c.ID += model.ClientID(fault)
		return w.h.Call(path, c, "", form).Status
	case model.AuthBasic:
		c, secret := w.h.Client("", by(method))
		return w.h.Call(path, c, secret+model.Secret(fault), form).Status
	case model.AuthPost:
		c, secret := w.h.Client("", by(method))
		form.Set("client_secret", secret.Reveal()+fault)
		return w.h.Call(path, c, "", form).Status
	case model.AuthSecretJWT:
		return w.assert(t, path, jwa.HS256, fault)
	}
	return w.assert(t, path, jwa.ES256, fault)
}

// assert authenticates with a JWT that is signed in an algorithm.
func (w *tour) assert(t *testing.T, path string, alg jwa.Algorithm, fault string) int {
	t.Helper()
	s := by(model.AuthPrivateKey)
	if secret := strings.HasPrefix(string(alg), "HS"); secret {
		s = by(model.AuthSecretJWT)
	} else {
		s.JWKS = published(t, w.key(t, alg))
	}
	s.AuthAlgorithm = string(alg)
	c, secret := w.h.Client("", s)
	key := w.keys[alg]
	if key == nil {
		key = secretKey(t, secret)
	}
	token := sign(t, key, jws.SignOptions{Algorithm: alg}, proof(w.h, string(c.ID), nil))
	if fault != "" {
		token = token[:len(token)-8] + "AAAAAAAA"
	}
	return prove(w.h, path, token).Status
}

func exerciseAuthAlgorithms(endpoint string) func(*testing.T, *tour) {
	return func(t *testing.T, w *tour) {
		path, offered := w.path(t, endpoint+"_endpoint"), w.list(t, endpoint+"_endpoint_auth_signing_alg_values_supported")
		for _, alg := range offered {
			if good, bad := w.assert(t, path, jwa.Algorithm(alg), ""), w.assert(t, path, jwa.Algorithm(alg), "bad"); good != http.StatusOK || bad != http.StatusUnauthorized {
				t.Errorf("%s: %d, and with a broken signature %d", alg, good, bad)
			}
		}
		for _, alg := range without(slices.Clone(signatures), offered) {
			for _, method := range []string{model.AuthSecretJWT, model.AuthPrivateKey} {
				w.unregistrable(t, "token_endpoint_auth_signing_alg", alg, func(s *model.ClientSettings) {
					s.AuthMethod, s.AuthAlgorithm, s.JWKS = method, alg, published(t, w.key(t, jwa.ES256))
				})
			}
		}
	}
}
