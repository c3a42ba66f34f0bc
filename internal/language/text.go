package language

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Each language is one file of texts, named by its BCP 47 tag; the README beside
// them is for translators.
//
//go:embed languages/*.json
var files embed.FS

// Source is the language that every text exists in first. Three of its sentences
// are part of the public contract and do not change: error.title,
// signedout.title and the one that is put together from login.client.
const Source = "en"

// Texts are all those of one language, by key. A word in braces stands for a value
// that is put in when it is shown. Templates hold no text of their own.
type Texts struct {
	Tag       string // BCP 47
	Direction string // "ltr" or "rtl"
	Name      string // of the language, in itself
	// read takes the file apart, once, when the first text is wanted: thousands of them
	// are no business of a start.
	read func() (*content, error)
}

// content is what a file holds.
type content struct {
	keys    map[string]bool
	texts   *i18n.Localizer
	numbers *message.Printer
}

// All returns every language that there is, by its tag. They are read once, and
// shared: the map is not to be changed.
func All() (map[string]Texts, error) { return all() }

var all = sync.OnceValues(readAll)

func readAll() (map[string]Texts, error) {
	names, err := fs.Glob(files, "languages/*.json")
	if err != nil {
		return nil, fmt.Errorf("language: %w", err)
	}
	all := map[string]Texts{}
	for _, name := range names {
		m, err := newTexts(files, name)
		if err != nil {
			return nil, fmt.Errorf("language: %s: %w", name, err)
		}
		all[m.Tag] = m
	}
	return all, nil
}

// newTexts reads the head of a language, which tells its name and its direction, and no
// more of its file.
func newTexts(in fs.FS, file string) (Texts, error) {
	name := strings.TrimSuffix(path.Base(file), ".json")
	tag, err := language.Parse(name)
	if err != nil || tag.String() != name {
		return Texts{}, fmt.Errorf("%q is not a language tag in its canonical form", name)
	}
	m := Texts{Tag: name, read: sync.OnceValues(func() (*content, error) { return parse(tag, in, file) })}
	data, err := in.Open(file)
	if err != nil {
		return m, err
	}
	defer data.Close()
	head := json.NewDecoder(data)
	if _, err := head.Token(); err != nil { // the brace
		return m, err
	}
	if m.Name, err = nextText(head, "language.name"); err != nil {
		return m, err
	}
	if m.Direction, err = nextText(head, "language.direction"); err != nil {
		return m, err
	}
	if m.Direction != "ltr" && m.Direction != "rtl" {
		return m, fmt.Errorf("language.direction is %q and must be ltr or rtl", m.Direction)
	}
	return m, nil
}

// nextText reads the next text of a file, which must be that of key: as it is, or in
// an object with what is for translators.
func nextText(file *json.Decoder, key string) (string, error) {
	if found, err := file.Token(); err != nil || found != key {
		return "", errors.Join(fmt.Errorf("%s must stand here and not %v", key, found), err)
	}
	var text any
	if err := file.Decode(&text); err != nil {
		return "", err
	}
	if object, ok := text.(map[string]any); ok {
		text = object["other"]
	}
	s, ok := text.(string)
	if !ok || s == "" {
		return "", fmt.Errorf("%s is no text", key)
	}
	return s, nil
}

// parse reads a whole language. It has a bundle of its own, so that no text is
// ever taken from another language unseen.
func parse(tag language.Tag, in fs.FS, name string) (*content, error) {
	bundle := i18n.NewBundle(tag)
	file, err := bundle.LoadMessageFileFS(in, name)
	if err != nil {
		return nil, fmt.Errorf("language: %s: %w", tag, err)
	}
	t := &content{keys: map[string]bool{}, texts: i18n.NewLocalizer(bundle, tag.String()), numbers: message.NewPrinter(tag)}
	for _, one := range file.Messages {
		t.keys[one.ID] = true
	}
	return t, nil
}

// Has says whether there is a text behind key.
func (m Texts) Has(key string) bool {
	t, err := m.read()
	return err == nil && t.keys[key]
}

// Fill returns the text behind key with its {words} replaced by the values
// that follow in pairs of word and value. The value of {count} is a number, which
// also picks the plural. A key that does not exist is an error: nothing is shown
// with a hole in it.
func (m Texts) Fill(key string, pairs ...string) (string, error) {
	plain := func(s string) string { return s }
	return m.replace(key, filling{pairs, plain, func(_, v string) string { return v }})
}

// Rich is Fill for the body of a page: each value stands out, and its writing
// direction stays its own affair. It returns escaped HTML.
func (m Texts) Rich(key string, pairs ...string) (template.HTML, error) {
	s, err := m.replace(key, filling{pairs, template.HTMLEscapeString, func(word, v string) string {
		open := "<bdi>"
		if word == "host" {
			open = `<bdi dir="ltr">` // labels stand from left to right in every script
		}
		return "<strong>" + open + template.HTMLEscapeString(v) + "</bdi></strong>"
	}})
	return template.HTML(s), err
}

func (m Texts) replace(key string, f filling) (string, error) {
	t, err := m.read()
	if err != nil {
		return "", err
	}
	config := &i18n.LocalizeConfig{MessageID: key, TemplateData: f, TemplateParser: braces{}}
	if count, ok := pairOf(f.pairs, "count"); ok {
		n, err := strconv.Atoi(count)
		if err != nil {
			return "", fmt.Errorf("language: the text %q wants a number for {count}, not %q", key, count)
		}
		config.PluralCount = n
		config.TemplateData = filling{append([]string{"count", t.number(n)}, f.pairs...), f.text, f.value}
	}
	s, err := t.texts.Localize(config)
	if err != nil {
		return "", fmt.Errorf("language: the text %q in %s: %w", key, m.Tag, err)
	}
	return s, nil
}

// number writes a whole number as the language does.
func (t *content) number(n int) string { return t.numbers.Sprint(number.Decimal(n)) }

// filling is what goes into a text, and how text and values are written.
type filling struct {
	pairs []string
	text  func(string) string
	value func(word, v string) string
}

func pairOf(pairs []string, word string) (string, bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == word {
			return pairs[i+1], true
		}
	}
	return "", false
}

// braces reads a text with {words}. What translators write is no program: nothing
// but these words has a meaning.
type braces struct{}

func (braces) Cacheable() bool { return true }

func (braces) Parse(text, _, _ string) (i18ntemplate.ParsedTemplate, error) {
	var p parsed
	for {
		before, after, found := strings.Cut(text, "{")
		p.between = append(p.between, before)
		if !found {
			return p, nil
		}
		word, rest, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("{%s is not closed", after)
		}
		p.words, text = append(p.words, word), rest
	}
}

// parsed is a text taken apart: each word stands behind the text of its index.
type parsed struct{ between, words []string }

func (p parsed) Execute(data any) (string, error) {
	f := data.(filling)
	var b strings.Builder
	for i, text := range p.between {
		b.WriteString(f.text(text))
		if i == len(p.words) {
			break
		}
		v, ok := pairOf(f.pairs, p.words[i])
		if !ok {
			return "", fmt.Errorf("a value is wanted for {%s}", p.words[i])
		}
		b.WriteString(f.value(p.words[i], v))
	}
	return b.String(), nil
}
