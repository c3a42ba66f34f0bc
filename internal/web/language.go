package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// Bounds on what is read of languages that somebody wishes for.
const (
	maxTags   = 10
	maxTag    = 35   // bytes, RFC 5646 §4.4.1
	maxAccept = 1024 // bytes of Accept-Language
	maxBack   = 4096 // bytes of an address to come back to
)

// Languages are the tags of the languages that the pages are in (BCP 47): the
// names of their files.
func Languages() []string {
	files, err := languageFS.ReadDir("languages")
	if err != nil {
		panic(err) // they are embedded
	}
	var tags []string
	for _, f := range files {
		tags = append(tags, strings.TrimSuffix(f.Name(), ".json"))
	}
	return tags
}

// wishes are what is found out, while a request is answered, of the language that
// its page should be in, and of its look. It goes along in the request's context.
type wishes struct {
	asked  []string // "ui_locales" of the application, OpenID Connect Core §3.1.2.1
	locale *string  // the claim of whoever is signed in; nil: nobody has looked

	sheet string // address of the style sheet of the client that the page is about
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
	tags     []string // of the languages that there are
	matcher  language.Matcher
	fallback string
	own      func(*http.Request) string // the person's choice on a page; "": none
	locale   func(*http.Request) string // the claim of whoever is signed in; "": none
}

func newChooser(tags []string, fallback string) chooser {
	c := chooser{tags: tags, fallback: fallback}
	var parsed []language.Tag
	for _, t := range tags {
		parsed = append(parsed, language.Make(t))
	}
	c.matcher = language.NewMatcher(parsed)
	none := func(*http.Request) string { return "" }
	c.own, c.locale = none, none
	return c
}

// of returns the language for who sent r: what they chose on a page, what the
// application asked for, what their account says, what their browser says, and in
// the end that of the installation.
func (c chooser) of(r *http.Request) string {
	if own := c.own(r); slices.Contains(c.tags, own) {
		return own
	}
	for _, wished := range []func() []language.Tag{
		func() []language.Tag { return tagsOf(wishesOf(r).asked) },
		func() []language.Tag { return tagsOf([]string{c.locale(r)}) },
		func() []language.Tag { return accepted(r.Header.Get("Accept-Language")) },
	} {
		if t := c.match(wished()); t != "" {
			return t
		}
	}
	return c.fallback
}

// match returns the language that fits best, "" where none would be called theirs
// by people who speak one of the wished: a guess must not stop the search.
func (c chooser) match(wished []language.Tag) string {
	if len(wished) == 0 {
		return ""
	}
	if _, i, confidence := c.matcher.Match(wished...); confidence >= language.High {
		return c.tags[i]
	}
	return ""
}

// tagsOf reads the first of the tags that somebody lists; what is none is not
// there (OpenID Connect Core §3.1.2.1: no error for what is not supported).
func tagsOf(list []string) (tags []language.Tag) {
	for _, s := range list[:min(len(list), maxTags)] {
		if s == "" || len(s) > maxTag {
			continue
		}
		if t, err := language.Parse(s); err == nil {
			tags = append(tags, t)
		}
	}
	return tags
}

// accepted reads an Accept-Language, RFC 9110 §12.5.4.
func accepted(header string) []language.Tag {
	if len(header) > maxAccept {
		header = header[:maxAccept]
		header = header[:max(strings.LastIndexByte(header, ','), 0)]
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return nil
	}
	return tags[:min(len(tags), maxTags)]
}

// localeOf is the "locale" claim of the one who is in use at a browser. A browser
// that has nobody's cookie costs nothing.
func (s *Web) localeOf(r *http.Request) string {
	w := wishesOf(r)
	if w.locale == nil && len(s.cookies.sessions(r)) > 0 {
		s.accounts(r) // notes it; a page is drawn all the same where it cannot be read
	}
	if w.locale == nil {
		return ""
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
	if !slices.Contains(s.pages.chooser.tags, tag) {
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
