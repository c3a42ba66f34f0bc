package server_test

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
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
	page := p.b.Get(servertest.AuthorizePath(p.c, append(extra, "state", state)...))
	v := expected{p.h.Issuer, p.c.RedirectURIs[0], "query", state}.read(t, page)
	a := tokens(t, p.h.Redeem(p.c, p.secret, &url.URL{RawQuery: v.Encode()}))
	if a.Status != http.StatusOK {
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

// TestConformanceSectors has a subtest for each module about pairwise subjects.
func TestConformanceSectors(t *testing.T) {
	sector, roots := sectorServer(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		runModules(t, h, []module{
			{name: "registration-sector-uri", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) { conformSector(t, p, sector) }},
			{name: "registration-sector-bad", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) { conformBadSector(t, p, sector) }},
		})
	}, openRegistration, roots)
}

// inSector is a client on some hosts that one document makes a sector.
func inSector(sector *document, hosts ...string) meta {
	m := meta{"subject_type": model.SubjectPairwise, "sector_identifier_uri": sector.url}
	var uris []string
	for _, host := range hosts {
		uris = append(uris, "https://"+host+"/callback")
	}
	return m.and("redirect_uris", uris)
}

// conformSector: two clients on several hosts know one person by one subject, and
// a third one, outside, by another.
func conformSector(t *testing.T, p *party, sector *document) {
	if !slices.Contains(offeredIn(t, p.h, "subject_types_supported"), "pairwise") {
		t.Error("pairwise is not offered")
	}
	public := p.read(t, p.ask(t)).idToken["sub"]
	sector.set(`["https://one.example/callback","https://two.example/callback","https://three.example/callback"]`)
	p.enrol(t, inSector(sector, "one.example", "two.example"))
	one := p.read(t, p.ask(t)).idToken["sub"]
	p.enrol(t, inSector(sector, "three.example"))
	if three := p.read(t, p.ask(t)).idToken["sub"]; three != one || three == public {
		t.Errorf("%v and %v, outside %v", one, three, public)
	}
}

func conformBadSector(t *testing.T, p *party, sector *document) {
	bad := func(name string, m meta) {
		t.Helper()
		a := register(t, p.h, p.metadata(m))
		refused(t, a, 400, "invalid_client_metadata")
		if text := a.String("error_description"); !strings.HasPrefix(text, "sector_identifier_uri") || strings.Contains(text, "connection refused") {
			t.Errorf("%s: %s", name, a.Text) // it says nothing of the network
		}
	}
	good := inSector(sector, "shop.example")
	sector.set(`["https://shop.example/callback"]`)
	p.enrol(t, good)
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
			bad(name+", "+kind, good.and("subject_type", kind))
		}
	}
	bad("two hosts and no document (OpenID Connect Core §8.1)", inSector(sector, "shop.example", "www.shop.example").and("sector_identifier_uri", nil))
	bad("a port where nobody listens", good.and("sector_identifier_uri", "https://[::1]:1/sector.json"))
}

// TestConformanceRotation is the module server-rotate-keys: the new key appears
// before it signs, the old one stays, and all that is issued meanwhile can be
// verified.
func TestConformanceRotation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		t.Run("server-rotate-keys", func(t *testing.T) { conformRotation(t, h) })
	}, openRegistration)
}

func conformRotation(t *testing.T, h *servertest.House) {
	ids := func() (list []string) {
		for _, k := range keySet(t, h).All() {
			list = append(list, k.ID())
		}
		return list
	}
	var parties []*party
	var old []string
	for _, responseType := range registration.ResponseTypes {
		p := enrolled(t, h, responseType, "", nil)
		parties, old = append(parties, p), append(old, p.read(t, p.ask(t)).raw)
	}
	before := ids()
	if err := h.Keys.Rotate(t.Context(), servertest.Operator, false); err != nil {
		t.Fatal(err)
	}
	after := ids()
	if len(after) != 2*len(before) || slices.ContainsFunc(before, func(id string) bool { return !slices.Contains(after, id) }) {
		t.Fatalf("%v, then %v", before, after)
	}
	for _, p := range parties {
		p.read(t, p.ask(t))
	}
	if err := h.Keys.Rotate(t.Context(), servertest.Operator, true); err != nil {
		t.Fatal(err)
	}
	for i, p := range parties {
		fresh := p.read(t, p.ask(t)).raw
		p.verify(t, old[i])
		if head, _, _ := strings.Cut(fresh, "."); strings.HasPrefix(old[i], head+".") {
			t.Errorf("%s: the old key signs on", p.responseType)
		}
	}
}
