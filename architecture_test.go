package ostiary_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayImport is the table of ARCHITECTURE.md: a package, and which of ours it
// may import. Packages under internal/ are named without that prefix.
var mayImport = map[string]string{
	"jwa":                                "–",
	"jwk":                                "jwa, strictjson",
	"jws":                                "jwk, jwa, strictjson",
	"jwe":                                "jwk, jwa, strictjson",
	"jwt":                                "jws, jwe, jwk, jwa, strictjson",
	"resource":                           "jwt, jwk, jwa",
	"client":                             "jwt, jwk, jwa",
	"internal/strictjson":                "–",
	"internal/debugger":                  "–",
	"internal/model":                     "–",
	"internal/trace":                     "–",
	"internal/measure":                   "store, model, keys, signal, mail, audit, fetch, limit",
	"internal/store":                     "model, trace",
	"internal/store/storetest":           "store, model",
	"internal/audit":                     "store, model, fetch, trace",
	"internal/limit":                     "store, model",
	"internal/keys":                      "audit, store, model, library",
	"internal/backup":                    "keys, store, model",
	"internal/doctor":                    "server, keys, mail, model, registration, store",
	"internal/signal":                    "store, model, keys, fetch, library, trace",
	"internal/certificate":               "store, model, keys",
	"internal/guard":                     "resource",
	"internal/upstream":                  "model, fetch, strictjson, library, client",
	"internal/upstream/upstreamtest":     "–",
	"internal/fetch":                     "trace",
	"internal/language":                  "–",
	"internal/mail":                      "language, model, theme, trace",
	"internal/device":                    "–",
	"internal/credential":                "model",
	"internal/account":                   "credential, device, store, model, keys, mail, trace",
	"internal/roster":                    "account, model",
	"internal/federation":                "account, upstream, store, model, keys, fetch",
	"internal/theme":                     "–",
	"internal/registration":              "store, model, keys, fetch, strictjson, library, theme",
	"internal/oauth":                     "registration, limit, store, model, keys, signal, fetch, strictjson, library, trace",
	"internal/web":                       "language, account, federation, device, registration, oauth, model, theme, mail, credential",
	"internal/api":                       "registration, oauth, account, federation, signal, model, resource, roster",
	"internal/server":                    "language, store, model, audit, backup, device, keys, signal, mail, fetch, account, federation, registration, oauth, web, api, debugger, library, client, resource, theme, limit, measure, trace, certificate",
	"internal/browsertest":               "–",
	"internal/servertest":                "server, client, account, model, store/storetest, mail, jwa, jwk",
	"cmd/ostiary":                        "server, audit, backup, doctor, account, federation, registration, oauth, signal, store, model, theme, debugger, guard, library, examples, mail, device, roster, resource, limit, certificate",
	"examples/*":                         "library, client, resource",
	"bench/house":                        "–",
	"bench/kickout":                      "resource, bench/house",
	"bench/bare":                         "–",
	"bench/fill":                         "–",
	"bench/flood":                        "bench/house",
	"bench/load":                         "bench/house, bench/fill",
	"bench/faults":                       "bench/house",
	"bench/start":                        "bench/house",
	"scripts/pack-passwords":             "credential",
	"internal/credential/credentialtest": "–",
}

// groups are the words of the table that stand for several packages.
var groups = map[string][]string{
	"library":  {"jwa", "jwk", "jws", "jwe", "jwt"},
	"examples": {"examples/*"},
}

// A library that is imported everywhere must bring nothing along.
var standardOnly = []string{"jwa", "jwk", "jws", "jwe", "jwt", "resource", "client", "internal/strictjson"}

// Names that say nothing about what a package owns.
var meaningless = strings.Fields(`util utils helper helpers common base core types dto service
	services manager lib handler handlers registry factory provider strategy misc shared`)

var testsOnly = []string{"internal/servertest", "internal/browsertest", "internal/store/storetest", "internal/credential/credentialtest", "internal/upstream/upstreamtest"}

const module = "github.com/ostiary/ostiary"

type listed struct {
	ImportPath, Name string
	Imports, GoFiles []string
}

func TestArchitecture(t *testing.T) {
	for _, p := range list(t) {
		name := rowOf(p.ImportPath)
		row, known := mayImport[name]
		if len(p.GoFiles) == 0 { // tests only: they may import everything
			continue
		}
		if !known {
			t.Errorf("%s is not in the table: add it there and in ARCHITECTURE.md", name)
			continue
		}
		if slices.Contains(meaningless, p.Name) {
			t.Errorf("%s: a package is named after what it owns, never %q", name, p.Name)
		}
		allowed := expand(row)
		for _, imported := range p.Imports {
			target := rowOf(imported)
			switch {
			case !strings.HasPrefix(imported+"/", module+"/"):
				if slices.Contains(standardOnly, name) && strings.Contains(strings.Split(imported, "/")[0], ".") {
					t.Errorf("%s imports %s, but uses the standard library only", name, imported)
				}
			case slices.Contains(testsOnly, target) && !slices.Contains(testsOnly, name):
				t.Errorf("%s imports %s outside its tests", name, target)
			case target != name && !slices.Contains(allowed, target):
				t.Errorf("%s imports %s; it may import: %s", name, target, row)
			}
		}
	}
}

// The document shows the table that is tested, and knows what is there.
func TestArchitectureDocument(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]bool{}
	for _, p := range list(t) {
		present[rowOf(p.ImportPath)] = true
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		name, planned := row[1], strings.Contains(row[2], "*planned*")
		documented[name] = strings.TrimSpace(row[3])
		if planned == present[name] {
			t.Errorf("ARCHITECTURE.md: %s: *planned* is %v, the package exists is %v", name, planned, present[name])
		}
		if documented[name] != mayImport[name] {
			t.Errorf("ARCHITECTURE.md: %s may import %q, in the test %q", name, documented[name], mayImport[name])
		}
	}
	for name := range maps.Keys(mayImport) {
		if _, ok := documented[name]; !ok {
			t.Errorf("ARCHITECTURE.md: no row for %s", name)
		}
	}
}

// rowOf returns the name of a package in the table; samples share a row.
func rowOf(importPath string) string {
	name := strings.TrimPrefix(importPath, module+"/")
	if strings.HasPrefix(name, "examples/") {
		return "examples/*"
	}
	return name
}

func expand(row string) []string {
	var all []string
	for word := range strings.SplitSeq(row, ", ") {
		names, isGroup := groups[word]
		switch {
		case isGroup:
			all = append(all, names...)
		case mayImport["internal/"+word] != "":
			all = append(all, "internal/"+word)
		default:
			all = append(all, path.Clean(word))
		}
	}
	return all
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
