package guard

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const api = `
rules:
  - path: /status            # everybody
    public: true
  - path: /orders
    methods: [GET]
    scopes: [orders:read]
  - path: /orders
    methods: [POST, PUT]
    scopes: [orders:write]
  - path: /orders/{id}
    scopes: [orders:read]
  - path: /orders/export
    scopes: [orders:export]
  - path: /orders/export.csv
    scopes: [orders:csv]
  - path: /admin/
    scopes: [admin]
  - path: /Files/{name...}
    scopes: [files]
  - path: /кава
    scopes: [coffee]
  - path: /
    claims: acr
`

func mustParse(t *testing.T, text string) *Rules {
	t.Helper()
	rules, err := ParseRules("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Each request has the rule of the row, named by its scope, or is refused.
func TestFind(t *testing.T) {
	rules := mustParse(t, api)
	const general, public = "general", "public"
	for _, row := range []struct{ name, request, want string }{
		{"a rule for everybody", "GET /status", public},
		{"ServeMux: the more specific method wins", "GET /orders", "orders:read"},
		{"ServeMux: GET is HEAD as well", "HEAD /orders", "orders:read"},
		{"ServeMux: another method", "POST /orders", "orders:write"},
		{"a method that no rule names has the general one", "DELETE /orders", general},
		{"ServeMux: one segment", "GET /orders/17", "orders:read"},
		{"ServeMux: a literal is more specific", "GET /orders/export", "orders:export"},
		{"ServeMux: not below a segment", "GET /orders/17/items", general},
		{"all that is below", "GET /admin/users/7", "admin"},
		{"a slash at the end of a rule means the path itself, too", "GET /admin", "admin"},
		{"the rest of a path", "GET /Files/a/b", "files"},
		{"all else", "GET /", general},
		{"RFC 3986 §2.5: UTF-8", "GET /%D0%BA%D0%B0%D0%B2%D0%B0", "coffee"},

		{"RFC 3986 §6.2.2.2: an escape that is needless", "GET /%61dmin/x", "admin"},
		{"RFC 3986 §5.2.4: dot segments", "GET /status/../admin/x", errDots.Error()},
		{"RFC 3986 §5.2.4: a dot", "GET /./admin/x", errDots.Error()},
		{"dots escaped", "GET /status/%2e%2E/admin", errDots.Error()},
		{"dots with a parameter", "GET /status/..;x/admin", errDots.Error()},
		{"dots with more dots", "GET /status/.../admin", errDots.Error()},
		{"dots and a space", "GET /status/..%20/admin", errDots.Error()},
		{"a segment of a parameter alone", "GET /;x/admin", errDots.Error()},
		{"two slashes", "GET //admin/x", errEmpty.Error()},
		{"two slashes within", "GET /admin//x", errEmpty.Error()},
		{"an escaped slash", "GET /status%2fadmin", errSlash.Error()},
		{"a backslash", `GET /status\admin`, errSlash.Error()},
		{"an escaped backslash", "GET /status%5Cadmin", errSlash.Error()},
		{"escaped twice", "GET /%2561dmin/x", errTwice.Error()},
		{"escaped twice: a slash", "GET /status%252fadmin", errTwice.Error()},
		{"a percent sign that escapes nothing", "GET /orders/100%25", "orders:read"},
		{"an overlong dot", "GET /%c0%ae%c0%ae/admin", errText.Error()},
		{"a null character", "GET /status%00", errText.Error()},
		{"a line", "GET /status%0a", errText.Error()},
		{"half an escape", "GET /status%2", errEscape.Error()},
		{"no path", "OPTIONS *", errRelative.Error()},
		{"RFC 9112 §3.2.2: absolute-form", "GET http://api.example/status", errRelative.Error()},
		{"8 KiB", "GET /" + strings.Repeat("x", maxPath), errLong.Error()},

		{"case", "GET /ADMIN/x", errAmbiguous.Error()},
		{"case, of a long s", "GET /%C5%BFtatus", errAmbiguous.Error()},
		{"case in a wildcard", "GET /orders/ABC", "orders:read"},
		{"case of a rule", "GET /files/a", errAmbiguous.Error()},
		{"case, of Cyrillic", "GET /%D0%9A%D0%90%D0%92%D0%90", errAmbiguous.Error()},
		{"a dot at the end", "GET /admin./x", errAmbiguous.Error()},
		{"a space at the end", "GET /admin%20/x", errAmbiguous.Error()},
		{"a parameter", "GET /admin;v=1/x", errAmbiguous.Error()},
		{"a parameter, escaped", "GET /admin%3Bv=1/x", errAmbiguous.Error()},
		{"an escaped query", "GET /admin%3Fx", errAmbiguous.Error()},
		{"an escaped fragment", "GET /status%23x", errAmbiguous.Error()},
		{"a slash at the end", "GET /orders/", errAmbiguous.Error()},
		{"a slash at the end of everybody's", "GET /status/", errAmbiguous.Error()},
		{"a format at the end", "GET /orders/export.json", errAmbiguous.Error()},
		{"a format at the end of everybody's", "GET /status.json", errAmbiguous.Error()},
		{"several habits at once", "GET /STATUS.;a.json/", errAmbiguous.Error()},
		{"a format that a rule names in full", "GET /orders/export.csv", "orders:csv"},
		{"what is ambiguous and has the same rule", "GET /orders/17.json", "orders:read"},
		{"what is ambiguous below a rule", "GET /admin/A./b;c.json", "admin"},

		{"RFC 9110 §9.1: methods are case-sensitive", "get /orders", errMethod.Error()},
		{"RFC 9110 §9.3.6: CONNECT", "CONNECT /orders", errMethod.Error()},
		{"a method in a header", "POST,DELETE /orders", errAmbiguous.Error()},
		{"a method in a header with the same rule", "POST,PUT /orders", "orders:write"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sent, path, _ := strings.Cut(row.request, " ")
			rule, err := rules.find(strings.Split(sent, ","), path)
			got := ""
			switch {
			case err != nil:
				got = err.Error()
			case rule.Public:
				got = public
			case len(rule.Scopes) == 0:
				got = general
			default:
				got = rule.Scopes[0]
			}
			if got != row.want {
				t.Errorf("%s: %s, want %s", row.request, got, row.want)
			}
		})
	}
}

// With rules, what none of them names is refused.
func TestFindNothing(t *testing.T) {
	rules := mustParse(t, "rules:\n  - path: /orders/\n    methods: GET\n  - path: /v1/{id}/{$}\n    public: true\n")
	for _, row := range []struct {
		request string
		want    error
	}{
		{"GET /orders/1", nil},
		{"GET /orders", nil},
		{"POST /orders", errNoRule},
		{"GET /", errNoRule},
		{"GET /ORDERS", errNoRule},
		{"GET /v1/7/", nil},
		{"GET /v1/7", nil},
		{"GET /v1/7/8", errNoRule},
	} {
		method, path, _ := strings.Cut(row.request, " ")
		if _, err := rules.find([]string{method}, path); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.request, err, row.want)
		}
	}
}

// The path at the top of a rule for all that is below it has the rule that names
// it, for the methods that it names; nothing that was not said opens it.
func TestTop(t *testing.T) {
	for _, row := range []struct{ name, text, request, want string }{
		{"nothing else is said", "[{path: /a/, scopes: [s]}]", "GET /a", "s"},
		{"it is named", "[{path: /a, scopes: [own]}, {path: /a/, public: true}]", "GET /a", "own"},
		{"it is named, and the rule for what is below names a method", "[{path: /a, scopes: [own]}, {path: /a/, methods: GET, public: true}]", "GET /a", "own"},
		{"in the other order", "[{path: /a/, methods: GET, public: true}, {path: /a, scopes: [own]}]", "GET /a", "own"},
		{"it is named for a method", "[{path: /a, methods: GET, scopes: [own]}, {path: /a/, scopes: [s]}]", "GET /a", "own"},
		{"it is named for another method", "[{path: /a, methods: POST, scopes: [own]}, {path: /a/, scopes: [s]}]", "GET /a", "s"},
		{"with wildcards of other names", "[{path: '/{x}', scopes: [own]}, {path: '/{y}/{z...}', public: true}]", "GET /a", "own"},
		{"all below another path", "[{path: '/a/{x}/', scopes: [s]}, {path: '/a/{z...}', public: true}]", "GET /a/1", "s"},
		{"two rules that mean the same", "[{path: /a/, scopes: [s]}, {path: '/a/{$}', scopes: [s]}]", "GET /a", "s"},
		{"the top of another rule's wildcard", "[{path: /a/, scopes: [s]}, {path: '/{x}', scopes: [own]}]", "GET /a", "s"},
		{"two rules that differ", "[{path: /a/, scopes: [s]}, {path: '/a/{$}', public: true}]", "GET /a",
			"rules.yaml:1: path: /a, and /a at rules.yaml:1, can mean the same request, and neither is more specific: make one narrower, or write one rule for both; a rule for /a/{$} includes /a: say with a rule of its own what that needs"},
		{"a wildcard with a method", "[{path: /a/, scopes: [s]}, {path: '/{x}', methods: GET, public: true}]", "GET /a",
			"rules.yaml:1: path: /a, and GET /{x} at rules.yaml:1, can mean the same request, and neither is more specific: make one narrower, or write one rule for both; a rule for /a/ includes /a: say with a rule of its own what that needs"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			rules, err := ParseRules("rules.yaml", []byte("rules: "+row.text))
			if err == nil {
				var rule *Rule
				method, path, _ := strings.Cut(row.request, " ")
				if rule, err = rules.find([]string{method}, path); err == nil {
					got = strings.Join(append([]string{}, rule.Scopes...), " ")
				}
			}
			if err != nil {
				got = err.Error()
			}
			if got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

func TestParseRules(t *testing.T) {
	rules := mustParse(t, api)
	if want := []string{"admin", "coffee", "files", "orders:csv", "orders:export", "orders:read", "orders:write"}; !slices.Equal(rules.Scopes(), want) {
		t.Errorf("scopes are %v", rules.Scopes())
	}
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", "rules.yaml: it must hold rules:"},
		{"a list at the top", "- path: /", "rules.yaml: it must hold rules:"},
		{"no list", "rules: 7", "rules.yaml:1: rules: it must hold rules:"},
		{"another member at the top", "rule:\n  - path: /", "rules.yaml:1: rule: it must hold rules:"},
		{"an empty list", "rules: []", "rules.yaml: there is no rule in it, so every request would be refused"},
		{"two documents", "rules:\n  - path: /\n---\nrules:\n  - path: /x", "rules.yaml: it must hold rules:"},
		{"no YAML", "rules:\n  - path: \"/", "rules.yaml:2:11: "},
		{"a rule that is none", "rules:\n  - /orders", "rules.yaml:2: a rule must be lines"},
		{"an unknown member", "rules:\n  - path: /\n    scpoes: a", "rules.yaml:3: scpoes: a rule has no such line: write some of path, methods, public, scopes, stale, max_age, acr, claims"},
		{"a member twice", "rules:\n  - path: /\n    path: /x", "rules.yaml:3:5: "},
		{"no path", "rules:\n  - scopes: a", "rules.yaml:2: the rule has no path:"},
		{"a relative path", "rules:\n  - path: orders", "rules.yaml:2: path: it must begin with a slash"},
		{"a method in the path", "rules:\n  - path: GET /orders", "rules.yaml:2: path: it must begin with a slash, and methods stand in methods:"},
		{"a path with an escape", "rules:\n  - path: /a%20b", "rules.yaml:2: path: it must hold no space"},
		{"a path that never matches", "rules:\n  - path: /a//b", "rules.yaml:2: path: it must hold no empty segment and no dots"},
		{"half a wildcard", "rules:\n  - path: /a{b}", "rules.yaml:2: path: it is no pattern"},
		{"the same path twice", "rules:\n  - path: /a\n  - path: /a", "rules.yaml:3: path: /a, and /a at rules.yaml:2, can mean the same request"},
		{"paths that overlap", "rules:\n  - path: /a/{x}\n  - path: /{y}/b", "rules.yaml:3: path: /{y}/b, and /a/{x} at rules.yaml:2, can mean the same request, and neither is more specific"},
		{"paths that differ in case", "rules:\n  - path: /a/{x}\n  - path: /A/{y}", "rules.yaml:3: path: /A/{y}, and /a/{x} at rules.yaml:2, can mean the same request"},
		{"a method in small letters", "rules:\n  - path: /\n    methods: [GET, post]", `rules.yaml:3: methods: "post" is not a method such as GET, in capitals`},
		{"a method twice", "rules:\n  - path: /\n    methods: [GET, GET]", `rules.yaml:3: methods: "GET" is there twice`},
		{"no methods", "rules:\n  - path: /\n    methods: []", "rules.yaml:3: methods: the list is empty"},
		{"no value", "rules:\n  - path: /\n    scopes:", "rules.yaml:3: scopes: the value is missing"},
		{"a scope with a space", "rules:\n  - path: /\n    scopes: a b", `rules.yaml:3: scopes: "a b" is not a scope`},
		{"a scope that is a list", "rules:\n  - path: /\n    scopes: [[a]]", "rules.yaml:3: scopes: the value must be a single text"},
		{"half public", "rules:\n  - path: /\n    public: yes please", "rules.yaml:3: public: it is neither true nor false"},
		{"public with a scope", "rules:\n  - path: /\n    public: true\n    scopes: a", "rules.yaml:2: the rule is public"},
		{"public with an age", "rules:\n  - path: /\n    public: true\n    max_age: 5m", "rules.yaml:2: the rule is public"},
		{"an unknown policy", "rules:\n  - path: /\n    stale: maybe", `rules.yaml:3: stale: "maybe" is not allowed: write one of deny, introspect, allow`},
		{"an age without a unit", "rules:\n  - path: /\n    max_age: 300", `rules.yaml:3: max_age: "300" is not a length of time`},
		{"a broken age", "rules:\n  - path: /\n    max_age: 1.5s", `rules.yaml:3: max_age: "1.5s" is not a length of time of whole seconds`},
		{"an acr with a quote", "rules:\n  - path: /\n    acr: 'a\"b'", "rules.yaml:3: acr: "},
		{"a claim with a colon", "rules:\n  - path: /\n    claims: 'a:b'", "rules.yaml:3: claims: "},
		{"claims with one header", "rules:\n  - path: /\n    claims: [auth_time, Auth-Time]", "rules.yaml:2: claims: two of them"},
		{"an alias", "rules:\n  - path: &p /\n  - path: *p", "rules.yaml:2: path: the value must be a single text"},
		{"more than fit", "rules:\n" + strings.Repeat("  - path: /\n", maxRules+1), "rules.yaml: there are 1001 rules; 1000 is the most"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := ParseRules("rules.yaml", []byte(row.text))
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("error is %v, want %s", err, row.want)
			}
		})
	}
}

// A thousand rules are ready at once, and found as fast as one.
func BenchmarkFind(b *testing.B) {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range maxRules {
		text.WriteString("  - path: /things/" + strings.Repeat("x", i%20) + string(rune('a'+i%26)) + "/z" + strings.Repeat("y", i/20) + "/{id}\n    scopes: [a]\n")
	}
	rules, err := ParseRules("rules.yaml", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.find([]string{"GET"}, "/things/a/y/17.json"); err != nil && !errors.Is(err, errNoRule) {
			b.Fatal(err)
		}
	}
}

// FuzzFind: whatever is let through has one reading that counts.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{"/status", "/admin/../status", "/ADMIN/x", "/admin;x/", "/%61dmin/", "/status%3F/../admin", "/orders/export.csv"} {
		f.Add(seed)
	}
	rules, err := ParseRules("rules.yaml", []byte(api))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		rule, err := rules.find([]string{"GET"}, raw)
		if err != nil {
			return
		}
		path, err := decode(raw)
		if err != nil {
			t.Fatalf("%q was let through, and is refused", raw)
		}
		if again, err := decode(path); err == nil && again != path {
			t.Errorf("%q is %q, and then %q", raw, path, again)
		}
		low := strings.ToLower(path)
		for _, habit := range habits {
			low = habit(low)
		}
		if (low == "/admin" || strings.HasPrefix(low, "/admin/")) && !slices.Contains(rule.Scopes, "admin") {
			t.Errorf("%q reaches the administration with the rule of %s", raw, rule.Path)
		}
	})
}
