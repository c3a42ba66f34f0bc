// Package docs_test tries the documents as a reader would: it types what they
// say to type, in order, and holds what comes of it against what they show.
//
// What cannot be done as it stands is in the tables below, with the reason.
package docs_test

import (
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/internal/store/storetest"
	_ "modernc.org/sqlite"
)

// document is a page that is tried.
type document struct {
	path   string
	before string                     // what its prose asks for, as commands
	after  func(*testing.T, *session) // while its programs still run
}

var documents = []document{
	{path: "README.md", after: ownAPI},
	{path: "ARCHITECTURE.md"},
	{path: "examples/shop/README.md"},
	{path: "examples/restapi/README.md"},
	{path: "examples/sso/README.md", after: singleSignOn},
	{path: "examples/elsewhere/README.md", after: signInElsewhere},
	{path: "docs/README.md"},
	{path: "docs/protect-an-api.md"},
	{path: "docs/guard.md"},
	{path: "docs/out-at-once.md"},
	{path: "docs/sign-people-in.md", after: signIn},
	{path: "docs/sign-in-without-redirect.md"},
	{path: "docs/single-page-applications.md", after: clickThrough},
	{path: "docs/machine-to-machine.md"},
	{path: "docs/devices.md", after: letDeviceIn},
	{path: "docs/native-and-terminal.md", before: opensAddresses},
	{path: "docs/register-applications.md"},
	{path: "docs/sign-out.md", after: signOut},
	{path: "docs/revocation-feed.md"},
	{path: "docs/shared-signals.md"},
	{path: "docs/operate.md"},
	{path: "docs/which-status-when.md"},
	{path: "docs/audit.md"},
	{path: "docs/observe.md"},
	{path: "docs/endpoints.md", after: tryEndpoints},
	{path: "docs/languages.md"},
	{path: "docs/people.md"},
	{path: "docs/upstream.md", before: appleKey},
	{path: "docs/debugger.md"},
	{path: "docs/command-jwt.md"},
	{path: "docs/library.md"},
	{path: "docs/coming-from.md"},
	{path: "docs/production.md"},
	{path: "docs/deploy.md", before: checkout},
	{path: "docs/limits.md"},
	{path: "docs/jwt-or-session.md"},
	{path: "docs/move-from-auth0.md", before: auth0, after: fromAuth0},
	{path: "docs/move-from-keycloak.md", before: keycloak, after: fromKeycloak},
	{path: "docs/comparison.md"},
	{path: "docs/specifications.md"},
	{path: "docs/reference/settings.md"},
	{path: "docs/reference/commands.md"},
	{path: "docs/reference/endpoints.md"},
	{path: "docs/reference/errors.md"},
}

// appleKey is the file that Apple lets its customers download.
const appleKey = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out AuthKey_ABC123DEFG.p8 2>/dev/null\n"

// checkout is a folder with the files of the repository that the reader is to install.
const checkout = "ln -s \"$REPOSITORY/deploy\" deploy\n"

// opensAddresses is a desktop whose browser has a person before it: one who signs in
// and agrees to what they are asked.
const opensAddresses = `
mkdir bin
printf '#!/bin/sh\nOSTIARY_DOCS_BROWSER="$1" exec "$TEST" 2>>"$ROOT/log/browser"\n' >bin/xdg-open
chmod 755 bin/xdg-open
PATH="$WORK/bin:$PATH"
`

// notRun names the fences whose blocks are not run, and why.
var notRun = map[string]string{
	"adfs":       "is typed into AD FS",
	"caddyfile":  "needs a name in the DNS: TestProxies goes through that of docs/operate.md, internal/guard through that of docs/guard.md",
	"nginx":      "likewise, and a certificate",
	"auth0":      "asks a tenant at Auth0",
	"docker":     "needs a container engine: interop/deploy tries what the files say without one",
	"kubernetes": "needs a cluster: likewise",
	"keycloak":   "is run where Keycloak is",
	"js":         "without the name of a file; javascript_test.go has what there is of it",
}

// substitutions are done to all that is run, and to what is expected of it.
func substitutions(t *testing.T, s *session, d document) []substitution {
	t.Helper()
	fixed := func(text string) func(string) string { return func(string) string { return text } }
	var database []substitution
	if strings.Contains(read(t, d.path), "db.example.com") {
		database = ofDatabase(t)
	}
	return append(database, []substitution{
		// A name in the DNS, and TLS: the server itself, on loopback.
		{regexp.MustCompile(`https://login\.example\.com`), fixed("http://localhost:" + s.ports["8080"])},
		// The ports of the documents may be taken: free ones.
		{regexp.MustCompile(`(?:localhost|127\.0\.0\.1):808[0-5]\b`), func(m string) string {
			host, port, _ := strings.Cut(m, ":")
			return host + ":" + s.ports[port]
		}},
		// The house from which people move: another server of ours.
		{regexp.MustCompile(`--set issuer=` + oldHouse), func(m string) string { return m + " --set allow_internal=true" }},
		{regexp.MustCompile(oldHouse), func(m string) string {
			u, _ := url.Parse(m) // of this very pattern: it can be
			return "http://localhost:" + s.ports["8082"] + strings.TrimSuffix(u.Path, "/")
		}},
		{regexp.MustCompile(`\w+_MadeUpSecretOf(?:Auth0|Keycloak)\b`), fixed("$OLD_SECRET")},
		// Folders of the system: the same below a temporary one.
		{regexp.MustCompile(`(?m)(?:^|[\s='"])/(?:etc|var|usr/local)/`), func(m string) string {
			i := strings.Index(m, "/")
			return m[:i] + s.root + m[i:]
		}},
	}...)
}

// ofDatabase puts one on the server of the tests in place of the database of the reader,
// which the document makes, backs up and makes again.
func ofDatabase(t *testing.T) []substitution {
	t.Helper()
	database, server := storetest.NewDatabase(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	name := strings.TrimPrefix(u.Path, "/")
	var all []substitution
	for _, one := range [][2]string{
		{`postgres://ostiary:PASSWORD@db\.example\.com/ostiary`, database},
		{`db\.example\.com:5432:\*:ostiary:PASSWORD`, strings.Join([]string{u.Hostname(), u.Port(), "*", u.User.Username(), password}, ":")},
		{`--host db\.example\.com --username ostiary --dbname ostiary`, "--host " + u.Hostname() + " --port " + u.Port() + " --username " + u.User.Username() + " --dbname " + name},
		{`createdb --owner ostiary ostiary`, `createdb --maintenance-db="` + server + `" ` + name},
		{`dropdb ostiary`, `dropdb --maintenance-db="` + server + `" ` + name},
	} {
		all = append(all, substitution{regexp.MustCompile(one[0]), func(string) string { return one[1] }})
	}
	return all
}

// rewritten are commands that are not typed as they stand.
var rewritten = map[string]string{
	// Keys have times in whole seconds, and no two of an algorithm begin in the
	// same one. A reader is slower than that.
	"ostiary key rotate --now": "sleep 1.1 && ostiary key rotate --now",
	// Its default ports may be taken.
	"go run ./examples/shop/cmd/shop":                    "go run ./examples/shop/cmd/shop --listen localhost:$PORT_8081 --api-listen localhost:$PORT_8082",
	"go run ./examples/restapi/cmd/restapi":              "go run ./examples/restapi/cmd/restapi --issuer http://localhost:$PORT_8080 --listen localhost:$PORT_8081",
	"go run ./examples/sso/cmd/sso":                      "go run ./examples/sso/cmd/sso --issuer http://localhost:$PORT_8080 --app1-port $PORT_8081 --app2-port $PORT_8082 --api1-port $PORT_8083 --api2-port $PORT_8084",
	"go run ./examples/elsewhere/cmd/elsewhere":          "go run ./examples/elsewhere/cmd/elsewhere --server http://localhost:$PORT_8080 --harbour-port $PORT_8081 --workbench-port $PORT_8082",
	"http.server --directory page --bind localhost 8083": "http.server --directory page --bind localhost $PORT_8083",
	// It has a name in the DNS in front of it, and its port is taken by the first one.
	"./ostiary serve --issuer": "./ostiary serve --listen 127.0.0.1:$PORT_8085 --issuer",
	"./notes client":           "./notes client --api http://localhost:$PORT_8081",
}

// replaced are programs that are not run as they are.
var replaced = []struct{ program, with, because string }{
	{"go", goProgram, "what the test has built already is not built again, and nothing is downloaded"},
	{"make", makeProgram, "make build is what the test has done; make test runs this very test"},
	{"curl", `command curl --no-progress-meter "$@"`, "a reader's output is a terminal, where it shows no progress"},
	{"npm", npmProgram, "what it would install lies in testdata, as scripts/refresh-oidc-client-ts has got it"},
	{"useradd", `:`, "the test changes nothing on this machine"},
	{"sudo", `:`, "the test is the server's user already"},
	{"systemctl", systemdProgram, "what the unit starts is run without systemd"},
	{"journalctl", `cat "$log"`, "likewise"},
	{"createuser", `:`, "the role is that of the test's server"},
}

const goProgram = `
	case "$*" in
	"build -o ostiary ./cmd/ostiary") cp "$BINARY" ostiary ;;
	"build -o "*) (cd "$REPOSITORY" && GOFLAGS=-mod=readonly command go build -o "$WORK/$3" "$4") ;;
	"install github.com/ostiary/ostiary/cmd/ostiary@latest") ;;
	"get github.com/ostiary/ostiary@latest")
		command go mod edit -require=github.com/ostiary/ostiary@v0.0.0 -replace="github.com/ostiary/ostiary=$REPOSITORY"
		cp "$REPOSITORY/go.sum" . ;;
	"run ./cmd/ostiary "*) shift 2 && "$BINARY" "$@" ;;
	"run ./"*) (cd "$REPOSITORY" && GOFLAGS=-mod=readonly command go "$@") ;;
	*) command go "$@" ;;
	esac`

const npmProgram = `
	[[ "$*" == "install oidc-client-ts@3.5.0" ]] || return 1
	mkdir -p node_modules/oidc-client-ts/dist/browser
	cp "$REPOSITORY/docs/testdata/oidc-client-ts/oidc-client-ts.min.js" node_modules/oidc-client-ts/dist/browser/`

const makeProgram = `
	case "$*" in
	build) mkdir -p bin && cp "$BINARY" bin/ostiary ;;
	test) ;;
	*) return 1 ;;
	esac`

const systemdProgram = `
	case "$1" in
	daemon-reload) return ;;
	stop | restart) interrupt ;;
	esac
	if [[ $1 != stop ]]; then
		# The unit of deploy/ names folders of the system as they are.
		start $(sed -n 's/^ExecStart=//p' "$ROOT/etc/systemd/system/ostiary.service" |
			sed "s, /etc/, $ROOT/etc/,; s,^/usr/local/bin/ostiary,$BINARY,; s,\${CREDENTIALS_DIRECTORY},$ROOT/etc/ostiary,")
	fi`

func TestMain(m *testing.M) {
	if file := os.Getenv("OSTIARY_DOCS_SQLITE"); file != "" {
		if err := execute(file, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if address := os.Getenv("OSTIARY_DOCS_BROWSER"); address != "" {
		person(address)
		return
	}
	status := m.Run()
	os.RemoveAll(built.folder)
	os.Exit(status)
}

// execute does what sqlite3 does for a reader, who may not have it either.
func execute(file string, statements io.Reader) error {
	text, err := io.ReadAll(statements)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+file+"?mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(string(text))
	return err
}

// built is the command, built once.
var built struct {
	once   sync.Once
	folder string
	err    error
}

// binary returns the path of the command.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "ostiary-docs-"); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", filepath.Join(built.folder, "ostiary"), "./cmd/ostiary")
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.folder, "ostiary")
}

// TestDocuments does what each document says.
func TestDocuments(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: the documents tell their readers to use it; run make test, which installs it", tool)
		}
	}
	dependOnSources(t)
	for _, path := range linked(t) {
		if strings.HasPrefix(path, "docs/") && !slices.ContainsFunc(documents, func(d document) bool { return d.path == path }) {
			t.Errorf("%s is not in the list of documents", path)
		}
	}
	for _, d := range documents {
		t.Run(d.path, func(t *testing.T) {
			all := blocks(read(t, d.path))
			checkPrograms(t, d.path, all)
			s := newSession(t, d)
			if slices.ContainsFunc(all, func(b block) bool { return s.step(t, b) != "" }) {
				s.run(t, d, all)
			}
		})
	}
}

// dependOnSources lets go test know that its result depends on the sources of
// the command, which this package does not import: a file that a test looks at
// is one that its cached result depends on.
func dependOnSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".html")) {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkPrograms: a whole program is run by the commands that follow it, and so
// compiled.
func checkPrograms(t *testing.T, path string, all []block) {
	t.Helper()
	for i, b := range all {
		if b.kind() != "program" {
			continue
		}
		if i+1 == len(all) || all[i+1].kind() != "sh" || !strings.HasPrefix(all[i+1].text, "go run .") && !strings.HasPrefix(all[i+1].text, "go build &&") {
			t.Errorf("%s:%d: the next block does not run this program", path, b.line)
		}
	}
}

// checkFragment holds a piece of a program to the syntax, as declarations or as
// statements, and to the names that our packages have.
func checkFragment(t *testing.T, path string, b block) {
	t.Helper()
	piece, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+b.text, 0)
	if err != nil {
		piece, err = parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+b.text+"}\n", 0)
	}
	if err != nil {
		t.Errorf("%s:%d: %v", path, b.line, err)
		return
	}
	ast.Inspect(piece, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, ok := selector.X.(*ast.Ident)
		if ok && slices.Contains([]string{"resource", "client", "jwt", "jws", "jwe", "jwk", "jwa"}, of.Name) && !exports(t, of.Name)[selector.Sel.Name] {
			t.Errorf("%s:%d: package %s has no %s", path, b.line, of.Name, selector.Sel.Name)
		}
		return true
	})
}

// exports are the names that a package of ours has for others.
func exports(t *testing.T, name string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, f := range files {
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				all[d.Name.Name] = all[d.Name.Name] || d.Recv == nil
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						all[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							all[n.Name] = true
						}
					}
				}
			}
		}
	}
	return all
}

// help returns what a command says about itself.
func help(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(binary(t), append(command, "--help")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

var (
	subcommand = regexp.MustCompile(`(?m)^ {3}([a-z-]+)(?:, \w+)? {2,}`)
	flag       = regexp.MustCompile(`--[a-z][a-z-]+`)
	variable   = regexp.MustCompile(`\bOSTIARY_[A-Z_]+\b`)
)

// Every flag and every variable that the prose names is one of the command's.
func TestFlags(t *testing.T) {
	known := map[string]bool{}
	var visit func(command ...string)
	visit = func(command ...string) {
		text := help(t, command...)
		for _, f := range flag.FindAllString(text, -1) {
			known[f] = true
		}
		for _, v := range variable.FindAllString(text, -1) {
			known[v] = true
		}
		_, list, _ := strings.Cut(text, "COMMANDS:")
		list, _, _ = strings.Cut(list, "OPTIONS:")
		for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
			if m[1] != "help" {
				visit(append(slices.Clone(command), m[1])...)
			}
		}
	}
	visit()
	for _, d := range documents {
		for _, code := range spans(prose(read(t, d.path))) {
			for _, name := range append(flag.FindAllString(code, -1), variable.FindAllString(code, -1)...) {
				if !known[name] && !strings.HasPrefix(d.path, "examples/") {
					t.Errorf("%s: the command has no %s", d.path, name)
				}
			}
		}
	}
}
