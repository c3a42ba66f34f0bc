package web

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/ostiary/ostiary/internal/language"
)

func TestStartFailsOnBrokenTemplates(t *testing.T) {
	all, err := language.All()
	if err != nil {
		t.Fatal(err)
	}
	broken := func(name, content string) fs.FS {
		files := fstest.MapFS{}
		for f := range pageData {
			files["templates/"+f+".html"] = &fstest.MapFile{Data: []byte(`{{define "title"}}x{{end}}{{define "main"}}y{{end}}`)}
		}
		files["templates/layout.html"] = &fstest.MapFile{Data: []byte(`<title>{{template "title" .Page}}</title>{{template "main" .Page}}`)}
		files["templates/parts.html"], files["templates/shell.html"], files["templates/passkey.html"] = &fstest.MapFile{}, &fstest.MapFile{}, &fstest.MapFile{}
		if name != "" {
			files["templates/"+name+".html"] = &fstest.MapFile{Data: []byte(content)}
		}
		return files
	}
	if _, err := parsePages(broken("", ""), Theme{}, all); err != nil {
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
		if _, err := parsePages(broken("login", content), Theme{}, all); err == nil {
			t.Errorf("%s: must not start", why)
		}
	}
	files := broken("", "").(fstest.MapFS)
	delete(files, "templates/consent.html")
	if _, err := parsePages(files, Theme{}, all); err == nil {
		t.Error("an absent page must not start")
	}
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
