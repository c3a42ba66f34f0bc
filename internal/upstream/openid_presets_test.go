package upstream_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// openID is a provider's program side: metadata, keys and token endpoint, at the addresses
// that it documents.
type openID struct {
	*world
	metadata   map[string]any
	keyMembers map[string]any
	key        *jwk.Key                               // what is published; rsaKeys()[0] signs
	check      func(r *http.Request, form url.Values) // of the token request
	challenge  string
	claims     map[string]any // of the ID token; nil takes one out
	answer     map[string]any // of the token endpoint, beside the tokens
}

func (w *world) openID(issuer, discovery, authorize, token, jwks string) *openID {
	o := &openID{world: w, key: rsaKeys()[0], answer: map[string]any{}}
	o.metadata = map[string]any{
		"issuer": issuer, "authorization_endpoint": authorize, "token_endpoint": "https://" + token, "jwks_uri": "https://" + jwks,
		"response_types_supported": []string{"code", "id_token"}, "subject_types_supported": []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}
	w.on("GET "+discovery, func(rw http.ResponseWriter, r *http.Request) { write(rw, 200, o.metadata) })
	w.on("GET "+jwks, func(rw http.ResponseWriter, r *http.Request) { write(rw, 200, keySet(w.t, o.keyMembers, o.key)) })
	w.on("POST "+token, func(rw http.ResponseWriter, r *http.Request) {
		o.check(r, form(w.t, r, o.challenge))
		answer := map[string]any{"access_token": "ya29.access", "token_type": "Bearer", "expires_in": 3599, "scope": "openid email"}
		claims := maps.Clone(o.claims)
		answer["id_token"] = sign(w.t, rsaKeys()[0], claims, jwt.SignOptions{Algorithm: "RS256", Now: w.Now})
		maps.Copy(answer, o.answer)
		write(rw, 200, answer)
	})
	return o
}

// visit walks there and back, and returns what the callback makes of it.
func (o *openID) visit(v upstream.Visitor, claims map[string]any, extra ...string) (upstream.Person, error) {
	o.t.Helper()
	u, kept := begin(o.t, v, upstream.Wish{})
	o.challenge = u.Query().Get("code_challenge")
	o.claims = map[string]any{"nonce": u.Query().Get("nonce"), "iat": o.Now().Unix(), "exp": o.Now().Add(time.Hour).Unix()}
	maps.Copy(o.claims, claims)
	return v.Finish(o.t.Context(), kept, back("POST", append([]string{"code", "4/P7q7W91a", "state", oneState}, extra...)...))
}

// TestGoogle: developers.google.com/identity/openid-connect.
func TestGoogle(t *testing.T) {
	w := newWorld(t)
	o := w.openID("https://accounts.google.com", "accounts.google.com/.well-known/openid-configuration",
		"https://accounts.google.com/o/oauth2/v2/auth", "oauth2.googleapis.com/token", "www.googleapis.com/oauth2/v3/certs")
	o.metadata["userinfo_endpoint"] = "https://openidconnect.googleapis.com/v1/userinfo" // never asked
	const id = "1008719970978-hb24n2dstb40o45d4feuo2ukqmcc6381.apps.googleusercontent.com"
	o.check = func(r *http.Request, form url.Values) {
		parameters(t, "token request", form, request{
			"grant_type": "authorization_code", "code": "4/P7q7W91a", "redirect_uri": callback, "code_verifier": "*",
			"client_id": id, "client_secret": "GOCSPX-secret",
		})
		if r.Header.Get("Authorization") != "" {
			t.Error("two ways to prove the same")
		}
	}
	secrets := map[string]model.Secret{"client_secret": "GOCSPX-secret"}
	v := w.open("google", `{"client_id":"`+id+`","hosted_domain":"example.com","parameters":{"access_type":"offline"}}`, secrets)
	age := int64(60)
	u, _ := begin(t, v, upstream.Wish{Prompt: []string{"login"}, MaxAge: &age, LoginHint: "ada@example.com", ACRValues: []string{"2"}, Locales: []string{"uk"}})
	if u.Scheme+"://"+u.Host+u.Path != "https://accounts.google.com/o/oauth2/v2/auth" {
		t.Errorf("the browser goes to %s", u)
	}
	parameters(t, "authorization request", u.Query(), request{
		"response_type": "code", "client_id": id, "redirect_uri": callback, "scope": "openid profile email", "state": oneState, "nonce": "*",
		"code_challenge": "*", "code_challenge_method": "S256", "hd": "example.com", "access_type": "offline",
		"prompt": "select_account", "login_hint": "ada@example.com", // neither login nor max_age is known there
	})
	// As recorded of a Workspace account.
	claims := map[string]any{
		"iss": "https://accounts.google.com", "azp": id, "aud": id, "sub": "110169484474386276334", "hd": "example.com",
		"email": "ada@example.com", "email_verified": true, "at_hash": hash("ya29.access"), "name": "Ada Lovelace",
		"picture": "https://lh3.googleusercontent.com/a/x=s96-c", "given_name": "Ada", "family_name": "Lovelace",
	}
	p, err := o.visit(v, claims)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": "https://accounts.google.com", "sub": "110169484474386276334", "hd": "example.com", "email": "ada@example.com", "email_verified": true,
		"name": "Ada Lovelace", "picture": "https://lh3.googleusercontent.com/a/x=s96-c", "given_name": "Ada", "family_name": "Lovelace",
	}
	if d := cmp.Diff(want, p.Claims); d != "" || p.Issuer != "https://accounts.google.com" || p.Subject != "110169484474386276334" {
		t.Errorf("%s %s (-want +got)\n%s", p.Issuer, p.Subject, d)
	}
	for _, row := range []struct {
		name, domain string
		change       map[string]any
		verified     any // nil: refused
	}{
		{"of another Workspace", "example.com", map[string]any{"hd": "evil.example"}, nil},
		{"of none", "example.com", map[string]any{"hd": nil}, nil},
		{"of any, and of none", "*", map[string]any{"hd": nil}, nil},
		{"of any", "*", map[string]any{"hd": "other.example"}, true},
		{"a Gmail address", "", map[string]any{"hd": nil, "email": "Ada@gmail.com"}, true},
		{"an address elsewhere, which Google does not vouch for", "", map[string]any{"hd": nil, "email": "ada@example.com"}, false},
		{"one that ends like it", "", map[string]any{"hd": nil, "email": "ada@evilgmail.com"}, false},
	} {
		v := w.open("google", `{"client_id":"`+id+`","hosted_domain":"`+row.domain+`"}`, secrets)
		changed := maps.Clone(claims)
		maps.Copy(changed, row.change)
		p, err := o.visit(v, changed)
		if row.verified == nil {
			refused(t, row.name, err, upstream.Denied, "Workspace")
		} else if err != nil || p.Claims["email_verified"] != row.verified {
			t.Errorf("%s: %v %v", row.name, p.Claims["email_verified"], err)
		}
	}
	if _, err := v.(upstream.Leaver).Leave(t.Context(), p.Stay, "https://id.example/", "s"); err != upstream.ErrUnsupported {
		t.Errorf("signing out at Google: %v", err)
	}
}

const (
	tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	msaID  = "9188040d-6c67-4c5b-b112-36a304b66dad"
	msHost = "login.microsoftonline.com"
	appID  = "00001111-aaaa-2222-bbbb-3333cccc4444"
)

// TestMicrosoft: learn.microsoft.com/entra/identity-platform/v2-protocols-oidc. One row
// for each kind of tenant, and for each token that another tenant might slip in.
func TestMicrosoft(t *testing.T) {
	w := newWorld(t)
	template := "https://" + msHost + "/{tenantid}/v2.0"
	of := func(tid string) string { return "https://" + msHost + "/" + tid + "/v2.0" }
	for _, row := range []struct {
		name, connection, path, issuer string // of the discovery document
		keyIssuer                      any
		claims                         map[string]any
		ok                             bool
	}{
		{"one tenant", `"tenant":"` + tenant + `"`, tenant, of(tenant), of(tenant), map[string]any{"iss": of(tenant), "tid": tenant}, true},
		{"one tenant, in capitals", `"tenant":"72F988BF-86F1-41AF-91AB-2D7CD011DB47"`, tenant, of(tenant), nil, map[string]any{"iss": of(tenant), "tid": tenant}, true},
		{"one tenant, and another's token", `"tenant":"` + tenant + `"`, tenant, of(tenant), nil, map[string]any{"iss": of(msaID), "tid": msaID}, false},
		{"consumers", `"tenant":"consumers"`, msaID, of(msaID), of(msaID), map[string]any{"iss": of(msaID), "tid": msaID}, true},
		{"common", `"tenant":"common"`, "common", template, template, map[string]any{"iss": of(tenant), "tid": tenant}, true},
		{"common, a private account", `"tenant":"common"`, "common", template, of(msaID), map[string]any{"iss": of(msaID), "tid": msaID}, true},
		{"organizations", `"tenant":"organizations"`, "organizations", template, template, map[string]any{"iss": of(tenant), "tid": tenant}, true},
		{"organizations, one of those", `"tenant":"organizations","tenants":["` + tenant + `"]`, "organizations", template, template, map[string]any{"iss": of(tenant), "tid": tenant}, true},

		{"organizations, a private account", `"tenant":"organizations"`, "organizations", template, template, map[string]any{"iss": of(msaID), "tid": msaID}, false},
		{"organizations, none of those", `"tenant":"organizations","tenants":["` + msaID[:35] + `e"]`, "organizations", template, template, map[string]any{"iss": of(tenant), "tid": tenant}, false},
		{"the issuer of another tenant", `"tenant":"common"`, "common", template, template, map[string]any{"iss": of(tenant), "tid": msaID}, false},
		{"the template itself", `"tenant":"common"`, "common", template, template, map[string]any{"iss": template, "tid": "{tenantid}"}, false},
		{"no tenant", `"tenant":"common"`, "common", template, template, map[string]any{"iss": of(tenant), "tid": nil}, false},
		{"a tenant that is a path", `"tenant":"common"`, "common", template, template, map[string]any{"iss": "https://" + msHost + "/../v2.0", "tid": ".."}, false},
		{"another host", `"tenant":"common"`, "common", template, template, map[string]any{"iss": "https://login.evil.example/" + tenant + "/v2.0", "tid": tenant}, false},
		// One set has all keys: that of private accounts must not sign for a company.
		{"a key of private accounts, a company's token", `"tenant":"common"`, "common", template, of(msaID), map[string]any{"iss": of(tenant), "tid": tenant}, false},
	} {
		o := w.openID(row.issuer, msHost+"/"+row.path+"/v2.0/.well-known/openid-configuration",
			"https://"+msHost+"/"+row.path+"/oauth2/v2.0/authorize", msHost+"/"+row.path+"/oauth2/v2.0/token", msHost+"/"+row.path+"/discovery/v2.0/keys")
		o.metadata["end_session_endpoint"] = "https://" + msHost + "/" + row.path + "/oauth2/v2.0/logout"
		if row.keyIssuer != nil {
			o.keyMembers = map[string]any{"issuer": row.keyIssuer}
		}
		o.check = func(r *http.Request, form url.Values) {
			parameters(t, row.name, form, request{
				"grant_type": "authorization_code", "code": "4/P7q7W91a", "redirect_uri": callback, "code_verifier": "*",
				"client_id": appID, "client_secret": "ms~secret",
			})
		}
		v := w.open("microsoft", `{"client_id":"`+appID+`",`+row.connection+`}`, map[string]model.Secret{"client_secret": "ms~secret"})
		claims := map[string]any{
			"ver": "2.0", "aud": appID, "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "oid": "00000000-0000-0000-66f3-3332eca7ea81",
			"preferred_username": "ada@contoso.example", "name": "Ada Lovelace", "email": "ada@contoso.example", "sid": "00aa-sid",
		}
		maps.Copy(claims, row.claims)
		p, err := o.visit(v, claims, "session_state", "0b4d")
		if !row.ok {
			refused(t, row.name, err, upstream.Untrusted, "")
			continue
		}
		if err != nil || p.Issuer != claims["iss"] || p.Stay.Session != "00aa-sid" || p.Claims["email_verified"] != false {
			t.Errorf("%s: %v %v %v", row.name, p.Issuer, p.Claims, err)
		}
		// Front-Channel Logout §2: of the very tenant, or of one that may be.
		h := v.(upstream.Hearer)
		if e, err := h.Ended(t.Context(), back("GET", "iss", p.Issuer, "sid", "00aa-sid")); err != nil || e.Session != "00aa-sid" || e.Issuer != p.Issuer {
			t.Errorf("%s: signed out there: %+v %v", row.name, e, err)
		}
		_, err = h.Ended(t.Context(), back("GET", "iss", "https://login.evil.example/"+tenant+"/v2.0", "sid", "00aa-sid"))
		refused(t, row.name+", somebody else's sign-out", err, upstream.Untrusted, "names no session")
	}
}

// TestMicrosoftMail: whoever administers a tenant writes any address into "email". Only
// "xms_edov" says that its domain is theirs.
func TestMicrosoftMail(t *testing.T) {
	w := newWorld(t)
	issuer := "https://" + msHost + "/" + tenant + "/v2.0"
	o := w.openID(issuer, msHost+"/"+tenant+"/v2.0/.well-known/openid-configuration", "https://"+msHost+"/"+tenant+"/oauth2/v2.0/authorize",
		msHost+"/"+tenant+"/oauth2/v2.0/token", msHost+"/"+tenant+"/discovery/v2.0/keys")
	o.check = func(*http.Request, url.Values) {}
	v := w.open("microsoft", `{"client_id":"`+appID+`","tenant":"`+tenant+`","domain_hint":"contoso.example"}`, map[string]model.Secret{"client_secret": "x"})
	u, _ := begin(t, v, upstream.Wish{Prompt: []string{"login"}, LoginHint: "ada", Locales: []string{"uk", "en"}})
	parameters(t, "authorization request", u.Query(), request{
		"response_type": "code", "client_id": appID, "redirect_uri": callback, "scope": "openid profile email", "state": oneState, "nonce": "*",
		"code_challenge": "*", "code_challenge_method": "S256", "response_mode": "form_post", "domain_hint": "contoso.example",
		"prompt": "login", "login_hint": "ada", "ui_locales": "uk en",
	})
	for _, row := range []struct{ edov, claimed, want any }{
		{nil, nil, false}, {nil, true, false}, {false, nil, false}, {"0", true, false}, {"yes", nil, false},
		{true, nil, true}, {"true", nil, true}, {"1", nil, true}, {1, nil, true},
	} {
		p, err := o.visit(v, map[string]any{
			"iss": issuer, "aud": appID, "sub": "s", "email": "boss@bank.example", "email_verified": row.claimed, "xms_edov": row.edov,
		})
		if err != nil || p.Claims["email_verified"] != row.want {
			t.Errorf("xms_edov %v, email_verified %v: %v %v", row.edov, row.claimed, p.Claims["email_verified"], err)
		}
	}
}

// TestApple: developer.apple.com/documentation/signinwithapplerestapi.
func TestApple(t *testing.T) {
	w := newWorld(t)
	const id = "com.example.signin"
	key := ecKey(t, "ABC123DEFG")
	o := w.openID("https://appleid.apple.com", "appleid.apple.com/.well-known/openid-configuration",
		"https://appleid.apple.com/auth/authorize", "appleid.apple.com/auth/token", "appleid.apple.com/auth/keys")
	var used []string
	o.check = func(r *http.Request, form url.Values) {
		parameters(t, "token request", form, request{
			"grant_type": "authorization_code", "code": "4/P7q7W91a", "redirect_uri": callback, "code_verifier": "*", "client_id": id, "client_secret": "*",
		})
		// "Creating a client secret": ES256, kid, iss, iat, exp, aud, sub and nothing else.
		token, err := jwt.Verify[map[string]any](r.Context(), form.Get("client_secret"), key, jwt.VerifyOptions{
			Issuers: []string{"TEAM123456"}, Subject: id, Audiences: []string{"https://appleid.apple.com"}, Required: []string{"iat", "exp"}, Now: w.Now,
		})
		if err != nil || token.Header.Algorithm != "ES256" || token.Header.KeyID != "ABC123DEFG" || len(token.Claims) != 5 {
			t.Errorf("the client secret: %v %v", token, err)
		}
		used = append(used, form.Get("client_secret"))
	}
	secrets := map[string]model.Secret{"private_key": pemOf(t, key)}
	v := w.open("apple", `{"client_id":"`+id+`","team_id":"TEAM123456","key_id":"ABC123DEFG"}`, secrets)
	u, _ := begin(t, v, upstream.Wish{Prompt: []string{"login"}, LoginHint: "ada"})
	parameters(t, "authorization request", u.Query(), request{
		"response_type": "code", "client_id": id, "redirect_uri": callback, "scope": "openid name email", "state": oneState, "nonce": "*",
		"code_challenge": "*", "code_challenge_method": "S256", "response_mode": "form_post",
	})
	claims := map[string]any{
		"iss": "https://appleid.apple.com", "aud": id, "sub": "000792.d71059495fa24644b94e4a644e2e3b4a.0638", "at_hash": hash("ya29.access"),
		"email": "x7a@privaterelay.appleid.com", "email_verified": "true", "is_private_email": "true", "auth_time": w.Now().Unix(), "nonce_supported": true,
	}
	first := `{"name":{"firstName":" Ada ","lastName":"Lovelace"},"email":"boss@bank.example"}`
	p, err := o.visit(v, claims, "user", first)
	if err != nil || p.Subject != claims["sub"] || p.Claims["name"] != "Ada Lovelace" || p.Claims["given_name"] != "Ada" || p.AuthTime != w.Now().Unix() {
		t.Errorf("the first sign-in: %+v %v", p, err)
	}
	// Nothing signs the parameter: the address is that of the ID token.
	if p.Claims["email"] != "x7a@privaterelay.appleid.com" || p.Claims["email_verified"] != true {
		t.Errorf("the address: %v %v", p.Claims["email"], p.Claims["email_verified"])
	}
	w.move(time.Minute)
	if p, err = o.visit(v, claims); err != nil || p.Claims["name"] != nil {
		t.Errorf("every other sign-in: %v %v", p.Claims, err)
	}
	if len(used) != 2 || used[0] == used[1] {
		t.Error("a client secret was used twice")
	}
	for name, told := range map[string]string{"no JSON": `{"name":`, "a member twice": `{"name":{"firstName":"A"},"name":{"firstName":"B"}}`, "nested": nested(40)} {
		_, err := o.visit(v, claims, "user", told)
		refused(t, name, err, upstream.Untrusted, "the parameter user")
	}
	_, err = o.visit(v, claims, "user", first, "user", first)
	refused(t, "user twice", err, upstream.Untrusted, "twice")
	delete(claims, "email_verified")
	if p, err = o.visit(v, claims); err != nil || p.Claims["email_verified"] != nil {
		t.Errorf("an address that nobody vouches for: %v %v", p.Claims, err)
	}
	u, kept := begin(t, v, upstream.Wish{})
	_ = u
	_, err = v.Finish(t.Context(), kept, back("POST", "error", "user_cancelled_authorize", "state", oneState))
	if e := refused(t, "the person cancels", err, upstream.Denied, "user_cancelled_authorize"); !e.Hearsay {
		t.Error("a browser's word counts for the provider's")
	}
}

// nested is an object in an object in an object.
func nested(deep int) string {
	var v any = "x"
	for range deep {
		v = map[string]any{"a": v}
	}
	text, _ := json.Marshal(v)
	return string(text)
}
