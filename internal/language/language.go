// Package language owns what people read: the texts of pages and letters in each
// language, plurals and dates, and the choice among the languages there are. It
// knows nothing of HTTP, of templates, or of whom it is that reads.
package language

import (
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// Bounds on what is read of languages that somebody wishes for.
const (
	maxTags   = 10
	maxTag    = 35   // bytes, RFC 5646 §4.4.1
	maxAccept = 1024 // bytes of Accept-Language
)

// Tags are those of the languages that there are (BCP 47): the names of their
// files.
func Tags() []string {
	names, err := files.ReadDir("languages")
	if err != nil {
		panic(err) // they are embedded
	}
	var tags []string
	for _, f := range names {
		tags = append(tags, strings.TrimSuffix(f.Name(), ".json"))
	}
	return tags
}

// Matcher finds the language that fits what somebody wishes for.
type Matcher struct {
	Tags    []string // of the languages that there are
	matcher language.Matcher
}

// NewMatcher returns one for the languages of some tags.
func NewMatcher(tags []string) Matcher {
	var parsed []language.Tag
	for _, t := range tags {
		parsed = append(parsed, language.Make(t))
	}
	return Matcher{Tags: slices.Clone(tags), matcher: language.NewMatcher(parsed)}
}

// Match returns the tag of the language that fits the wished tags best, of which
// the first few are read; what is no tag is not there (OpenID Connect Core
// §3.1.2.1: no error for what is not supported). It returns "" where none fits.
func (m Matcher) Match(wished ...string) string {
	var tags []language.Tag
	for _, s := range wished[:min(len(wished), maxTags)] {
		if s == "" || len(s) > maxTag {
			continue
		}
		if t, err := language.Parse(s); err == nil {
			tags = append(tags, t)
		}
	}
	return m.match(tags)
}

// Accept is Match for an Accept-Language, RFC 9110 §12.5.4.
func (m Matcher) Accept(header string) string {
	if len(header) > maxAccept {
		header = header[:maxAccept]
		header = header[:max(strings.LastIndexByte(header, ','), 0)]
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return ""
	}
	return m.match(tags[:min(len(tags), maxTags)])
}

// match returns the language that fits best, "" where none would be called theirs
// by people who speak one of the wished: a guess must not stop the search.
func (m Matcher) match(wished []language.Tag) string {
	if len(wished) == 0 {
		return ""
	}
	if _, i, confidence := m.matcher.Match(wished...); confidence >= language.High {
		return m.Tags[i]
	}
	return ""
}
