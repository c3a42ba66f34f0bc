package web

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/theme"
)

// TestTemplates: no page is broken, in any language; and what would be is found.
func TestTemplates(t *testing.T) {
	all, err := language.All()
	if err != nil {
		t.Fatal(err)
	}
	check := func(files fs.FS) error {
		p, err := pagesOf(files, Theme{}, all)
		if err != nil {
			t.Fatal(err)
		}
		return p.check()
	}
	if err := check(templateFS); err != nil {
		t.Error(err)
	}
	broken := func(name, content string) fs.FS {
		files := fstest.MapFS{}
		for f := range pageData {
			files["templates/"+f+".html"] = &fstest.MapFile{Data: []byte(`{{define "title"}}x{{end}}{{define "main"}}y{{end}}`)}
		}
		files["templates/layout.html"] = &fstest.MapFile{Data: []byte(`<title>{{template "title" .Page}}</title>{{template "main" .Page}}`)}
		files["templates/parts.html"], files["templates/shell.html"], files["templates/passkey.html"], files["templates/upstream.html"] = &fstest.MapFile{}, &fstest.MapFile{}, &fstest.MapFile{}, &fstest.MapFile{}
		if name != "" {
			files["templates/"+name+".html"] = &fstest.MapFile{Data: []byte(content)}
		}
		return files
	}
	if err := check(broken("", "")); err != nil {
		t.Fatalf("sound templates: %v", err)
	}
	for why, content := range map[string]string{
		"no main":      `{{define "title"}}x{{end}}`,
		"no title":     `{{define "main"}}x{{end}}`,
		"syntax":       `{{define "title"}}x{{end}}{{define "main"}}{{if}}{{end}}`,
		"no such text": `{{define "title"}}x{{end}}{{define "main"}}{{t "absent"}}{{end}}`,
		"no such file": `{{define "title"}}x{{end}}{{define "main"}}{{asset "absent.css"}}{{end}}`,
		"no such data": `{{define "title"}}x{{end}}{{define "main"}}{{.Absent}}{{end}}`,
		"unsafe place": `{{define "title"}}x{{end}}{{define "main"}}<a href={{.Action}}"x>{{end}}`,
	} {
		if err := check(broken("login", content)); err == nil {
			t.Errorf("%s: is not found", why)
		}
	}
	files := broken("", "").(fstest.MapFS)
	delete(files, "templates/consent.html")
	if err := check(files); err == nil {
		t.Error("an absent page is not found")
	}
}

func TestStartFailsOnTheme(t *testing.T) {
	for _, base := range []string{"auth", "//evil.test", "https://issuer.example/auth"} {
		if _, err := newPages(Theme{Base: base}); err == nil {
			t.Errorf("base path %q must not start", base)
		}
	}
	if _, err := newPages(Theme{Language: "eo"}); err == nil {
		t.Error("a language without pages must not start")
	}
	for _, base := range []string{"", "/", "/auth", "/auth/"} {
		if _, err := newPages(Theme{Base: base}); err != nil {
			t.Errorf("base path %q: %v", base, err)
		}
	}
}

func TestThemeName(t *testing.T) {
	p := testPages(t, Theme{Name: "ACME <b>&\u202e Co", Base: "/auth/"})
	doc := parse(t, show(t, p, notFoundPage{}).Body)
	if got := textOf(named(doc, "title")[0]); got != "There is no such page · ACME <b>& Co" {
		t.Errorf("title %q", got)
	}
	for _, a := range named(doc, "a") {
		if attr(a, "href") != "/auth/" {
			t.Errorf("link %q", attr(a, "href"))
		}
	}
}

// samplePicture is a logo of a size.
func samplePicture(width, height int) *theme.Picture {
	return &theme.Picture{Type: "image/svg+xml", Suffix: ".svg", Body: fmt.Appendf(nil, "<svg %d %d/>", width, height), Width: width, Height: height}
}

// TestLook: what an operator says about the look is on every page, and nothing of
// it is a style or a script on the page itself.
func TestLook(t *testing.T) {
	look := theme.Look{
		Colours: theme.Colours{Accent: "#0b5cad"}, Logo: samplePicture(24, 24), LogoDark: samplePicture(25, 25),
		Sheet: ".card { border-radius: 0 }",
	}
	p := testPages(t, Theme{Name: "ACME", Base: "/auth", Look: look})
	for _, c := range samplePages {
		doc := parse(t, show(t, p, c.page).Body)
		var sheets, pictures []string
		for _, e := range named(doc, "link", "img", "source") {
			switch attr(e, "rel") {
			case "stylesheet":
				sheets = append(sheets, attr(e, "href"))
			case "icon":
				if attr(e, "href") != p.brand.Logo.Address || attr(e, "type") != "image/svg+xml" {
					t.Errorf("%s: icon %v", c.name, e.Attr)
				}
			case "":
				pictures = append(pictures, attr(e, "src")+attr(e, "srcset"))
			}
		}
		if len(sheets) != 2 || sheets[0] != "/auth"+asset("style.css") || sheets[1] != p.brand.Sheet {
			t.Errorf("%s: style sheets %q: the operator's comes last", c.name, sheets)
		}
		if len(pictures) < 2 || pictures[0] != p.brand.LogoDark.Address || pictures[1] != p.brand.Logo.Address {
			t.Errorf("%s: pictures %q", c.name, pictures)
		}
		if len(named(doc, "style")) > 0 { // scripts: TestNothingActive
			t.Errorf("%s: a style on the page", c.name)
		}
		checkAccessOf(t, doc, "ACME")
	}
	if got := string(p.files[path.Base(p.brand.Sheet)].data); !strings.Contains(got, "--door: #0b5cad") || !strings.HasSuffix(got, look.Sheet) {
		t.Errorf("the style sheet is\n%s", got)
	}

	// A wordmark says the name itself, and does not fit into a square.
	p = testPages(t, Theme{Name: "ACME", Look: theme.Look{Logo: samplePicture(300, 60)}})
	doc := parse(t, show(t, p, consentPage{Client: sampleClient, User: sampleUser}).Body)
	home := named(named(doc, "header")[0], "a")[0]
	if textOf(home) != "" || !strings.Contains(attr(home, "aria-label"), "ACME") {
		t.Errorf("the name is there twice: %q", textOf(home))
	}
	if len(named(doc, "img")) != 1 || p.brand.Icon != nil {
		t.Error("the wordmark is squeezed into a square")
	}
}

func TestThemedClient(t *testing.T) {
	p := testPages(t, Theme{Look: theme.Look{Colours: theme.Colours{Accent: "#0b5cad", Background: "#ffffff"}}})
	own := model.ClientSettings{ThemeAccent: "#8a1c1c", ThemeSheet: ".x { color: red }"}
	for _, c := range []struct {
		name   string
		client model.Client
		want   []string
	}{
		{"of an operator", model.Client{ClientSettings: own}, []string{"--door: #8a1c1c", "--page: #ffffff", ".x { color: red }"}},
		{"with a style sheet alone", model.Client{ClientSettings: model.ClientSettings{ThemeSheet: ".x {}"}}, []string{".x {}"}},
		{"without", model.Client{}, nil},
		{"that registered itself", model.Client{Origin: model.OriginRegistered, ClientSettings: own}, nil},
		{"of a document", model.Client{Origin: model.OriginDocument, ClientSettings: own}, nil},
		{"that is disabled", model.Client{Disabled: true, ClientSettings: own}, nil},
	} {
		got := p.clientStyle(c.client)
		if c.want == nil && got != "" {
			t.Errorf("a client %s: %s", c.name, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("a client %s: %q is not in %s", c.name, w, got)
			}
		}
	}
}
