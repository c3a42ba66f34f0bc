package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/theme"
)

// brand is how the installation shows itself; addresses, empty where nothing was
// chosen.
type brand struct {
	Logo, LogoDark *sign  // nil: our mark
	Wordmark       bool   // the logo has the name in it
	Tile           *sign  // what fits into a square; nil where the logo does not
	Icon           *sign  // of browser tabs; nil: our mark
	Sheet          string // address of the style sheet; empty: none
}

// sign is a picture of the installation.
type sign struct {
	Address, Type string
	Width, Height int
}

// dress makes the files that are served of a look, and the brand that shows them.
func (p *pages) dress(look theme.Look) {
	p.files = map[string]staticFile{}
	add := func(name string, picture *theme.Picture) *sign {
		if picture == nil {
			return nil
		}
		file := p.offer(name, picture.Suffix, picture.Type, picture.Body)
		return &sign{file, picture.Type, picture.Width, picture.Height}
	}
	b := brand{Logo: add("logo", look.Logo), LogoDark: add("logo-dark", look.LogoDark), Icon: add("icon", look.Icon)}
	if b.Logo != nil {
		if b.Wordmark = look.Logo.Wordmark(); !b.Wordmark {
			b.Tile = b.Logo
		} else {
			b.Tile = b.Icon
		}
		if b.Icon == nil && !b.Wordmark {
			b.Icon = b.Logo
		}
	}
	if style := look.Style(); style != "" {
		b.Sheet = p.offer("theme", ".css", staticTypes[".css"], []byte(style))
	}
	p.brand = b
}

// offer keeps a file to be served, and returns its address.
func (p *pages) offer(name, suffix, kind string, data []byte) string {
	f := staticFile{name: hashed(name, suffix, data), kind: kind, data: data}
	p.files[f.name] = f
	return p.theme.Base + "/theme/" + f.name
}

// themeFile serves a file of the installation's theme.
func (s *Web) themeFile(w http.ResponseWriter, r *http.Request) error {
	f, ok := s.pages.files[r.PathValue("file")]
	if !ok {
		return s.notFound(w, r)
	}
	f.serve(w, r)
	return nil
}

// clientStyle is the style sheet of a client, empty for none.
func (p *pages) clientStyle(c model.Client) string {
	if !registration.Themed(c) {
		return ""
	}
	own := registration.ColoursOf(c.ClientSettings)
	if own == (theme.Colours{}) {
		return c.ThemeSheet
	}
	return own.Over(p.theme.Look.Colours).Style() + c.ThemeSheet
}

// wear gives the pages that answer r the theme of a client.
func (s *Web) wear(r *http.Request, c model.Client) {
	if style := s.pages.clientStyle(c); style != "" {
		wishesOf(r).sheet = s.base + "/theme/" + url.PathEscape(string(c.ID)) + "/" + hashed("theme", ".css", []byte(style))
	}
}

// clientFile serves the style sheet of a client, made anew: it is small. A name that
// it does not have any more is gone.
func (s *Web) clientFile(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Registrar.ThemedClient(r.Context(), model.ClientID(r.PathValue("client")))
	if errors.Is(err, registration.ErrNoTheme) {
		return s.notFound(w, r)
	}
	if err != nil {
		return err
	}
	style := []byte(s.pages.clientStyle(c))
	f := staticFile{name: hashed("theme", ".css", style), kind: staticTypes[".css"], data: style}
	if f.name != r.PathValue("file") || len(style) == 0 {
		return s.notFound(w, r)
	}
	f.serve(w, r)
	return nil
}

// sheets are the addresses of the style sheets that a page has beside our own, the
// one that wins last.
func (p *pages) sheets(r *http.Request) []string {
	return slices.DeleteFunc([]string{p.brand.Sheet, wishesOf(r).sheet}, func(s string) bool { return s == "" })
}
