package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/language"
)

// maxBack bounds an address to come back to, in bytes.
const maxBack = 4096

// wishes are what is found out, while a request is answered, of the language that
// its page should be in, and of its look. It goes along in the request's context.
type wishes struct {
	asked  []string // "ui_locales" of the application, OpenID Connect Core §3.1.2.1
	locale *string  // the claim of whoever is signed in; nil: nobody has looked

	chosen choice // of a language, for those above

	sheet string // address of the style sheet of the client that the page is about
}

// choice is a language, and what it was chosen for.
type choice struct {
	asked  []string
	locale *string
	tag    string
}

type wishesKey struct{}

// wishesOf returns those of a request. What is noted in those of one that came
// by another way than the Handler is lost.
func wishesOf(r *http.Request) *wishes {
	if w, ok := r.Context().Value(wishesKey{}).(*wishes); ok {
		return w
	}
	return &wishes{}
}

// hear gives each request its wishes.
func hear(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), wishesKey{}, &wishes{})))
	})
}

// chooser picks the language of a page.
type chooser struct {
	language.Matcher
	fallback string
	own      func(*http.Request) string // the person's choice on a page; "": none
	locale   func(*http.Request) string // the claim of whoever is signed in; "": none
}

func newChooser(tags []string, fallback string) chooser {
	none := func(*http.Request) string { return "" }
	return chooser{Matcher: language.NewMatcher(tags), fallback: fallback, own: none, locale: none}
}

// of returns the language for who sent r: what they chose on a page, what the
// application asked for, what their account says, what their browser says, and in
// the end that of the installation. A page has many texts and asks for each: so what
// was chosen is kept until more is known.
func (c chooser) of(r *http.Request) string {
	w := wishesOf(r)
	if k := w.chosen; k.tag == "" || k.locale != w.locale || !slices.Equal(k.asked, w.asked) {
		tag := c.choose(r)
		w.chosen = choice{w.asked, w.locale, tag}
	}
	return w.chosen.tag
}

func (c chooser) choose(r *http.Request) string {
	if own := c.own(r); slices.Contains(c.Tags, own) {
		return own
	}
	for _, wished := range []func() string{
		func() string { return c.Match(wishesOf(r).asked...) },
		func() string { return c.Match(c.locale(r)) },
		func() string { return c.Accept(r.Header.Get("Accept-Language")) },
	} {
		if t := wished(); t != "" {
			return t
		}
	}
	return c.fallback
}

// localeOf is the "locale" claim of the one who is in use at a browser. A browser
// that has nobody's cookie costs nothing.
func (s *Web) localeOf(r *http.Request) string {
	w := wishesOf(r)
	if w.locale == nil && len(s.cookies.sessions(r)) > 0 {
		s.accounts(r) // notes it; a page is drawn all the same where it cannot be read
	}
	if w.locale == nil {
		w.locale = new(string) // nobody's: a cookie of somebody who is gone is not read again for each text
	}
	return *w.locale
}

// chooseLanguage keeps what a person chose in the menu of a page, and leads back
// to it.
func (s *Web) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	tag := f.Get("language")
	if !slices.Contains(s.pages.chooser.Tags, tag) {
		return errForm
	}
	s.cookies.setLanguage(w, tag)
	redirect(w, r, s.local(f.Get("back")))
	return nil
}

// local returns an address that is one of ours, without scheme and host; the home
// page in the place of any other one.
func (s *Web) local(back string) string {
	home := s.base + "/"
	u, err := url.Parse(back)
	if err != nil || u.Scheme != "" || u.Host != "" || len(back) > maxBack ||
		!strings.HasPrefix(back, home) || strings.HasPrefix(back, "//") || strings.Contains(back, `\`) {
		return home
	}
	return back
}

// backTo is the address at which the page that answers r is seen again; "" where
// there is none, because it answers what was sent in a form.
func (p *pages) backTo(r *http.Request) string {
	back := ""
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		back = r.URL.RequestURI()
	case strings.HasPrefix(r.URL.Path, p.theme.Base+"/interaction/"):
		back = r.URL.EscapedPath()
	}
	if len(back) > maxBack {
		return ""
	}
	return back
}
