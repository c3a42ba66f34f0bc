package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// conformanceModules are all modules of the OpenID Foundation's suite for the
// profiles that the server is held to, without "oidcc-": Basic, Implicit, Hybrid,
// Form Post, Config, Dynamic, Third-Party Initiated Login, and the four of logout.
var conformanceModules = strings.Fields(`
	server response-type-missing idtoken-signature idtoken-unsigned idtoken-rs256
	userinfo-get userinfo-post-header userinfo-post-body userinfo-rs256
	ensure-request-without-nonce-succeeds-for-code-flow ensure-request-without-nonce-fails
	scope-profile scope-email scope-address scope-phone scope-all
	claims-essential alternate-happy-flow display-page display-popup ui-locales claims-locales login-hint
	ensure-request-with-acr-values-succeeds ensure-request-with-unknown-parameter-succeeds
	prompt-login max-age-1 max-age-10000 prompt-none-not-logged-in prompt-none-logged-in id-token-hint
	codereuse codereuse-30seconds ensure-registered-redirect-uri ensure-post-request-succeeds server-client-secret-post
	request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
	unsigned-request-object-supported-correctly-or-rejected-as-unsupported
	ensure-request-object-with-redirect-uri refresh-token ensure-request-with-valid-pkce-succeeds
	discovery-endpoint-verification ensure-redirect-uri-in-authorization-request
	redirect-uri-query-OK redirect-uri-query-mismatch redirect-uri-query-added redirect-uri-regfrag
	registration-logo-uri registration-policy-uri registration-tos-uri registration-jwks-uri registration-sector-uri registration-sector-bad
	server-rotate-keys refresh-token-rp-key-rotation request-uri-unsigned request-uri-signed-rs256
	ensure-client-assertion-with-iss-aud-succeeds
	3rd_party-init-login 3rd_party-init-login-nohttps
	rp-initiated-logout-discovery-endpoint-verification
	rp-initiated-logout rp-initiated-logout-no-state rp-initiated-logout-bad-post-logout-redirect-uri
	rp-initiated-logout-query-added-to-post-logout-redirect-uri rp-initiated-logout-modified-id-token-hint
	rp-initiated-logout-bad-id-token-hint rp-initiated-logout-no-id-token-hint rp-initiated-logout-no-params
	rp-initiated-logout-no-post-logout-redirect-uri rp-initiated-logout-only-state
	backchannel-logout-discovery-endpoint-verification backchannel-rp-initiated-logout
	frontchannel-logout-discovery-endpoint-verification frontchannel-rp-initiated-logout
	session-management-discovery-endpoint-verification session-management-rp-initiated-logout`)

// TestConformanceTable: the table of modules has lost no row. A row is a name
// where one names a subtest: in a call of Run, as a key of a table, or as the
// first member of a row of one.
func TestConformanceTable(t *testing.T) {
	files, err := filepath.Glob("conformance_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	add := func(e ast.Expr) {
		if k, ok := e.(*ast.KeyValueExpr); ok {
			if name, ok := k.Key.(*ast.Ident); ok && name.Name == "name" {
				e = k.Value
			} else {
				e = k.Key
			}
		}
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			rows[name] = true
		}
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if call, ok := n.Fun.(*ast.SelectorExpr); ok && call.Sel.Name == "Run" && len(n.Args) == 2 {
					add(n.Args[0])
				}
			case *ast.CompositeLit:
				if _, list := n.Type.(*ast.ArrayType); list || len(n.Elts) == 0 {
					break
				}
				add(n.Elts[0])
				if _, table := n.Type.(*ast.MapType); table {
					for _, e := range n.Elts {
						add(e)
					}
				}
			}
			return true
		})
	}
	for _, name := range conformanceModules {
		if !rows[name] {
			t.Errorf("no subtest %s", name)
		}
	}
}
