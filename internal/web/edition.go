package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/language"
)

// edition is every page in one language.
type edition struct {
	words language.Texts
	views map[string]*template.Template
}

// layoutFiles are shared by all pages; each other file in templates is one page
// and defines pageParts.
var (
	layoutFiles = []string{"templates/layout.html", "templates/parts.html", "templates/shell.html", "templates/passkey.html", "templates/upstream.html"}
	pageParts   = []string{"title", "main"}
)

func (p *pages) parseEdition(files fs.FS, words language.Texts) (*edition, error) {
	e := &edition{words: words, views: map[string]*template.Template{}}
	layout, err := template.New("layout.html").Funcs(p.funcs(words)).ParseFS(files, layoutFiles...)
	if err != nil {
		return nil, err
	}
	for name, zero := range pageData {
		if e.views[name], err = parseView(files, layout, name); err != nil {
			return nil, err
		}
		// html/template finds its own objections at the first execution only.
		if err := e.views[name].Execute(&bytes.Buffer{}, frame{Page: zero, Back: "/", Sheets: []string{"/"}}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func parseView(files fs.FS, layout *template.Template, name string) (*template.Template, error) {
	t, err := layout.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(files, path.Join("templates", name+".html")); err != nil {
		return nil, err
	}
	for _, part := range pageParts {
		if t.Lookup(part) == nil {
			return nil, fmt.Errorf("templates/%s.html does not define %q", name, part)
		}
	}
	return t, nil
}

// funcs are what the templates can call.
func (p *pages) funcs(words language.Texts) template.FuncMap {
	return template.FuncMap{
		"t":              words.Fill,
		"rich":           words.Rich,
		"date":           func(unix int64) (string, error) { return words.Date(unix, time.UTC) },
		"language":       func() string { return words.Tag },
		"direction":      func() string { return words.Direction },
		"languages":      func() []menuItem { return p.menu },
		"installation":   func() string { return p.theme.Name },
		"at":             func(path string) string { return p.theme.Base + path },
		"passwordLength": func() string { return strconv.Itoa(p.passwordLength) },
		"home":           func() string { return p.theme.Base + "/" },
		"logo":           func(hash string) string { return p.theme.Base + "/logo/" + hash },
		"asset": func(name string) (string, error) {
			if a := asset(name); a != "" {
				return p.theme.Base + a, nil
			}
			return "", errors.New("no static file " + name)
		},
		"brand":   func() brand { return p.brand },
		"name":    tidy,
		"capital": capital,
		"initial": initial,
		"website": website,
		"host":    hostOf,
	}
}
