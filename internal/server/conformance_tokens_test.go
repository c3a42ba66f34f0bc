package server_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// document is what stands at the address of a sector.
type document struct {
	url  string
	text atomic.Value
}

func (d *document) set(text string) { d.text.Store(text) }

// sectorServer serves the document of a sector by TLS, and has the server trust
// its certificate.
func sectorServer(t *testing.T) (*document, servertest.Option) {
	t.Helper()
	d := &document{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := d.text.Load().(string)
		if text == "" || r.URL.Path != "/sector.json" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	d.url = s.URL + "/sector.json"
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return d, func(c *server.Config) { c.OutgoingRoots = roots }
}

// person is a signed-in browser with one client, as the conformance suite has
// them.
type person struct {
	h      *servertest.House
	b      *servertest.Browser
	u      model.User
	c      model.Client
	secret model.Secret
}

func newPerson(t *testing.T, h *servertest.House, change func(*model.ClientSettings)) person {
	t.Helper()
	s := front()
	if change != nil {
		change(&s)
	}
	login := strings.ToLower("p" + strings.Trim(model.NewID(), "-_"))
	p := person{h: h, b: h.Browser(), u: h.User(login, "correct horse battery")}
	p.c, p.secret = h.Client(model.NewID(), s)
	p.b.SignIn(servertest.AuthorizePath(p.c), login, "correct horse battery")
	return p
}

// code walks the code flow and returns the answer of the token endpoint.
func (p person) code(t *testing.T, extra ...string) servertest.Answer {
	t.Helper()
	state := strings.Repeat("s", 128)
	at := p.b.Get(servertest.AuthorizePath(p.c, append(extra, "state", state)...)).Left
	if at == nil || at.Query().Get("state") != state || at.Query().Get("iss") != p.h.Issuer {
		t.Fatalf("the answer is %v", at)
	}
	a := p.h.Redeem(p.c, p.secret, at)
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.String("token_type") != "Bearer" {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	return a
}

// standard are the claims of each scope with their JSON types, OpenID Connect Core
// §5.1 and §5.4.
var standard = map[string]map[string]string{
	"profile": {
		"name": "string", "family_name": "string", "given_name": "string", "middle_name": "string", "nickname": "string",
		"preferred_username": "string", "profile": "string", "picture": "string", "website": "string", "gender": "string",
		"birthdate": "string", "zoneinfo": "string", "locale": "string", "updated_at": "number",
	},
	"email":   {"email": "string", "email_verified": "boolean"},
	"address": {"address": "object"},
	"phone":   {"phone_number": "string", "phone_number_verified": "boolean"},
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case map[string]any:
		return "object"
	}
	return "something else"
}

// checkStandard: the claims of the scopes are there, of the right type, and those
// of other scopes are not.
func checkStandard(t *testing.T, where string, claims map[string]any, scopes []string) {
	t.Helper()
	for scope, types := range standard {
		for name, kind := range types {
			v, told := claims[name]
			if want := slices.Contains(scopes, scope); told != want {
				t.Errorf("%s: %s is told: %t", where, name, told)
			} else if want && kindOf(v) != kind {
				t.Errorf("%s: %s is a %s, want a %s", where, name, kindOf(v), kind)
			}
		}
	}
	if address, ok := claims["address"].(map[string]any); ok {
		for name, v := range address {
			if _, ok := v.(string); !ok || !slices.Contains([]string{"formatted", "street_address", "locality", "region", "postal_code", "country"}, name) {
				t.Errorf("%s: address.%s is %v", where, name, v) // §5.1.1
			}
		}
	}
	if at, ok := claims["updated_at"].(float64); ok && (at < 1e9 || at > 1e10 || at != float64(int64(at))) {
		t.Errorf("%s: updated_at is %v, want seconds", where, at)
	}
}

// TestConformanceTokens has one row for each module of the conformance suite that
// is about tokens, claims and userinfo, by the module's name.
func TestConformanceTokens(t *testing.T) {
	sector, roots := sectorServer(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := newPerson(t, h, nil)
		rows := map[string]func(t *testing.T){
			"oidcc-server": func(t *testing.T) {
				claims := readID(t, h, p.c, jwa.RS256, p.code(t).String("id_token")) // iss, aud, exp, and RS256 by default
				if now := h.Clock.Now(); claims.IssuedAt.After(now) || now.Sub(claims.IssuedAt.Time) > 5*time.Minute {
					t.Errorf("iat %v", claims.IssuedAt)
				}
				if claims.Subject == "" || len(claims.Subject) > 255 || claims.Nonce != "the-nonce" { // OpenID Connect Core §2
					t.Errorf("%+v", claims)
				}
			},
			"oidcc-idtoken-rs256":     func(t *testing.T) { conformIDToken(t, h, "RS256") },
			"oidcc-idtoken-signature": func(t *testing.T) { conformIDToken(t, h, "") },
			"oidcc-userinfo-get":      func(t *testing.T) { conformUserInfo(t, p, http.MethodGet, true) },
			"oidcc-userinfo-post-header": func(t *testing.T) {
				conformUserInfo(t, p, http.MethodPost, true)
			},
			"oidcc-userinfo-post-body":      func(t *testing.T) { conformUserInfo(t, p, http.MethodPost, false) },
			"oidcc-userinfo-rs256":          func(t *testing.T) { conformSignedUserInfo(t, h) },
			"oidcc-registration-sector-uri": func(t *testing.T) { conformSector(t, h, sector) },
			"oidcc-registration-sector-bad": func(t *testing.T) { conformBadSector(t, h, sector) },
			"oidcc-server-rotate-keys":      func(t *testing.T) { conformRotation(t, p) },
		}
		for scope := range standard {
			rows["oidcc-scope-"+scope] = func(t *testing.T) { conformScope(t, p, scope) }
		}
		rows["oidcc-scope-all"] = func(t *testing.T) { conformScope(t, p, slices.Sorted(maps.Keys(standard))...) }
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			t.Run(name, rows[name])
		}
	}, roots)
}

func conformIDToken(t *testing.T, h *servertest.House, alg string) {
	p := newPerson(t, h, func(s *model.ClientSettings) { s.IDTokenAlgorithm = alg })
	token := p.code(t).String("id_token")
	readID(t, h, p.c, jwa.RS256, token)
	head, err := jwt.DecodeUnverified[map[string]any](token)
	if err != nil || head.Header.Algorithm != jwa.RS256 || head.Header.KeyID == "" {
		t.Errorf("%+v, %v", head.Header, err)
	}
}

func conformUserInfo(t *testing.T, p person, method string, header bool) {
	a := p.code(t)
	body := ""
	if !header {
		body = url.Values{"access_token": {a.String("access_token")}}.Encode()
	}
	req, err := http.NewRequest(method, p.h.Issuer+"/userinfo", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header {
		req.Header.Set("Authorization", "Bearer "+a.String("access_token"))
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	got := servertest.Do(t, req)
	if got.Status != http.StatusOK || got.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", got.Status, got.Text)
	}
	if got.String("sub") != claimsOf(t, a.String("id_token"))["sub"] { // OpenID Connect Core §5.3.2
		t.Errorf("sub %q is not that of the ID token", got.String("sub"))
	}
}

func conformSignedUserInfo(t *testing.T, h *servertest.House) {
	p := newPerson(t, h, func(s *model.ClientSettings) { s.UserInfoAlgorithm = "RS256" })
	a := p.code(t)
	got := info(t, h, a.String("access_token"))
	if got.Header.Get("Content-Type") != "application/jwt" {
		t.Fatalf("%s %s", got.Header.Get("Content-Type"), got.Text)
	}
	tok, err := jwt.Verify[map[string]any](context.Background(), got.Text, keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{h.Issuer}, Audiences: []string{string(p.c.ID)},
		AllowMissingExpiration: true, Now: h.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tok.Claims["nonce"]; ok || tok.Claims["sub"] != claimsOf(t, a.String("id_token"))["sub"] {
		t.Errorf("%v", tok.Claims)
	}
}

// conformScope: from userinfo, or from the ID token where there is no access token
// to ask with (OpenID Connect Core §5.4).
func conformScope(t *testing.T, p person, scopes ...string) {
	scope := "openid " + strings.Join(scopes, " ")
	a := p.code(t, "scope", scope)
	checkStandard(t, "userinfo", info(t, p.h, a.String("access_token")).JSON, scopes)
	checkStandard(t, "the ID token beside a code", claimsOf(t, a.String("id_token")), nil)
	for _, responseType := range []string{"id_token", "id_token token"} {
		v, _ := answerOf(t, p.b.Get(servertest.AuthorizePath(p.c, "response_type", responseType, "scope", scope)), p.c.RedirectURIs[0])
		readID(t, p.h, p.c, jwa.RS256, v.Get("id_token"))
		if responseType == "id_token" {
			checkStandard(t, "the ID token alone", claimsOf(t, v.Get("id_token")), scopes)
			continue
		}
		checkStandard(t, "the ID token beside a token", claimsOf(t, v.Get("id_token")), nil)
		checkStandard(t, "userinfo", info(t, p.h, v.Get("access_token")).JSON, scopes)
	}
}

// conformSector: two clients on two hosts whom one document makes a sector.
func conformSector(t *testing.T, h *servertest.House, sector *document) {
	sector.set(`["https://one.example/callback","https://two.example/callback","https://three.example/callback"]`)
	in := func(hosts ...string) person {
		return newPerson(t, h, func(s *model.ClientSettings) {
			*s = pairwise(hosts[0])
			s.SectorURI, s.RedirectURIs = sector.url, nil
			for _, host := range hosts {
				s.RedirectURIs = append(s.RedirectURIs, "https://"+host+"/callback")
			}
		})
	}
	one := in("one.example", "two.example")
	three := in("three.example")
	three.b, three.u = one.b, one.u // the same person in the same browser
	sub := claimsOf(t, one.code(t).String("id_token"))["sub"]
	if sub != claimsOf(t, three.code(t).String("id_token"))["sub"] || sub == string(one.u.ID) {
		t.Error("one sector knows one person by two subjects")
	}
}

func conformBadSector(t *testing.T, h *servertest.House, sector *document) {
	s := pairwise("shop.example")
	s.SectorURI = sector.url
	sector.set(`["https://shop.example/callback"]`)
	if _, _, err := h.Authority.CreateClient(t.Context(), servertest.Operator, s, ""); err != nil {
		t.Fatalf("the good twin: %v", err)
	}
	for name, text := range map[string]string{
		"a redirect URI is missing":        `["https://other.example/callback"]`,
		"nearly the same":                  `["https://shop.example/callback/"]`,
		"none is listed":                   `[]`,
		"null":                             `null`,
		"not an array":                     `{"https://shop.example/callback":true}`,
		"not an array of strings":          `["https://shop.example/callback",1]`,
		"not JSON":                         `https://shop.example/callback`,
		"more after it":                    `["https://shop.example/callback"] []`,
		"too long":                         `["https://shop.example/callback"` + strings.Repeat(" ", 70_000) + `]`,
		"nothing there":                    ``,
		"nested deeper than anybody wants": strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
	} {
		sector.set(text)
		for _, kind := range []string{"pairwise", "public"} { // checked whoever names it
			s.SubjectType = kind
			_, _, err := h.Authority.CreateClient(t.Context(), servertest.Operator, s, "")
			var invalid *oauth.InvalidClientError
			if !errors.As(err, &invalid) || invalid.Setting != "sector_identifier_uri" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	several := s
	several.SubjectType, several.SectorURI, several.RedirectURIs = "pairwise", "", []string{"https://shop.example/callback", "https://www.shop.example/callback"}
	if _, _, err := h.Authority.CreateClient(t.Context(), servertest.Operator, several, ""); err == nil {
		t.Error("two hosts and no document (OpenID Connect Core §8.1)")
	}
	s.SubjectType, s.SectorURI = "pairwise", "https://[::1]:1/sector.json"
	if _, _, err := h.Authority.CreateClient(t.Context(), servertest.Operator, s, ""); err == nil || strings.Contains(err.Error(), "refused") {
		t.Errorf("a port where nobody listens: %v", err) // and says nothing of the network
	}
}

// conformRotation: the new key appears before it signs, the old one stays, and all
// that is issued meanwhile can be verified.
func conformRotation(t *testing.T, p person) {
	ids := func() (list []string) {
		for _, k := range keySet(t, p.h).All() {
			list = append(list, k.ID())
		}
		return list
	}
	old, before := p.code(t).String("id_token"), ids()
	if err := p.h.Keys.Rotate(t.Context(), servertest.Operator, false); err != nil {
		t.Fatal(err)
	}
	after := ids()
	if len(after) != 2*len(before) || slices.ContainsFunc(before, func(id string) bool { return !slices.Contains(after, id) }) {
		t.Fatalf("%v, then %v", before, after)
	}
	readID(t, p.h, p.c, jwa.RS256, p.code(t).String("id_token"))
	if err := p.h.Keys.Rotate(t.Context(), servertest.Operator, true); err != nil {
		t.Fatal(err)
	}
	fresh := p.code(t).String("id_token")
	readID(t, p.h, p.c, jwa.RS256, fresh)
	readID(t, p.h, p.c, jwa.RS256, old)
	if head, _, _ := strings.Cut(fresh, "."); strings.HasPrefix(old, head+".") {
		t.Error("the old key signs on")
	}
}
