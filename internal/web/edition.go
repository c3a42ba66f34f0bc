package web

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/language"
)

// edition is every page in one language.
type edition struct {
	words language.Texts
	views map[string]func() (*template.Template, error)
}

// layoutFiles are shared by all pages; each other file in templates is one page
// and defines pageParts.
var (
	layoutFiles = []string{"templates/layout.html", "templates/parts.html", "templates/shell.html", "templates/passkey.html", "templates/upstream.html"}
	pageParts   = []string{"title", "main"}
)

// newEdition returns an edition whose pages are parsed when they are wanted first: to
// parse all of them would take longer than all else that a start does, and as much
// memory.
func (p *pages) newEdition(files fs.FS, words language.Texts) *edition {
	e := &edition{words: words, views: map[string]func() (*template.Template, error){}}
	layout := sync.OnceValues(func() (*template.Template, error) {
		return template.New("layout.html").Funcs(p.funcs(words)).ParseFS(files, layoutFiles...)
	})
	for name := range pageData {
		e.views[name] = sync.OnceValues(func() (*template.Template, error) {
			of, err := layout()
			if err != nil {
				return nil, err
			}
			return parseView(files, of, name)
		})
	}
	return e
}

// check parses and draws every page. The templates are a part of the program, so a
// test that calls it is enough: what is sound there is sound everywhere.
func (p *pages) check() error {
	for tag, e := range p.editions {
		for name, zero := range pageData {
			view, err := e.views[name]()
			if err == nil {
				// html/template finds its own objections at the first execution only.
				err = view.Execute(io.Discard, frame{Page: zero, Back: "/", Sheets: []string{"/"}})
			}
			if err != nil {
				return fmt.Errorf("web: %s: %s: %w", tag, name, err)
			}
		}
	}
	return nil
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
