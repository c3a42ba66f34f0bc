package web

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/oauth"
)

// texts is a file of texts as it is written: the keys in their order, and the
// plural forms of each; a text without a plural has the form "other" alone.
type texts struct {
	keys  []string
	forms map[string]map[string]string
}

func readTexts(t *testing.T, tag string) texts {
	t.Helper()
	f, err := languageFS.Open("languages/" + tag + ".json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := texts{forms: map[string]map[string]string{}}
	d := json.NewDecoder(f)
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		var one string
		forms := map[string]string{}
		if json.Unmarshal(raw, &one) == nil {
			forms["other"] = one
		} else if err := json.Unmarshal(raw, &forms); err != nil {
			t.Fatalf("%s: %v: %v", tag, key, err)
		}
		if delete(forms, "description"); tag != source && len(forms) == 1 && one == "" && forms["other"] == "" {
			t.Errorf("%s: %v has no text", tag, key)
		}
		all.keys = append(all.keys, key.(string))
		all.forms[key.(string)] = forms
	}
	return all
}

// theSame are texts that may be the same in another language as in English.
var theSame = []string{"language.direction"}

// TestLanguages holds the file of each language against the English one: the same
// texts in the same order, each with the same words in braces and all the plurals
// that its language has, and none that was left in English.
func TestLanguages(t *testing.T) {
	english := readTexts(t, source)
	for _, tag := range Languages() {
		got := readTexts(t, tag)
		if !slices.Equal(got.keys, english.keys) {
			t.Errorf("%s: the keys are not those of English in their order: %v", tag, differing(got.keys, english.keys))
		}
		wanted := plurals(tag)
		for key, forms := range got.forms {
			words := wordsIn(english.forms[key]["other"])
			if counts := slices.Contains(words, "count"); counts && !slices.Equal(slices.Sorted(maps.Keys(forms)), wanted) {
				t.Errorf("%s: %s has the plurals %v, and the language %v", tag, key, slices.Sorted(maps.Keys(forms)), wanted)
			} else if !counts && len(forms) != 1 {
				t.Errorf("%s: %s has plurals, but no {count}", tag, key)
			}
			for form, text := range forms {
				if !slices.Equal(wordsIn(text), words) {
					t.Errorf("%s: %s (%s) has the words %v, want %v", tag, key, form, wordsIn(text), words)
				}
				if tag != source && text == english.forms[key]["other"] && len(wordsIn(text)) < len(text) && strings.ContainsFunc(text, isLetter) && !slices.Contains(theSame, key) {
					t.Errorf("%s: %s is left in English: %q", tag, key, text)
				}
				for name, wrong := range typography[tag] {
					if found := wrong.FindString(text); found != "" {
						t.Errorf("%s: %s has %s: %q in %q", tag, key, name, found, text)
					}
				}
			}
		}
	}
	if !slices.Equal(plurals("uk"), []string{"few", "many", "one", "other"}) || !slices.Equal(plurals("ja"), []string{"other"}) {
		t.Errorf("plurals: %v, %v", plurals("uk"), plurals("ja"))
	}
}

// typography is what a text of a language never has.
var typography = map[string]map[string]*regexp.Regexp{
	"en": {"straight quotes": regexp.MustCompile(`["']`), "three dots": regexp.MustCompile(`\.\.\.`), "two spaces": regexp.MustCompile(`  `)},
	"uk": {
		"straight or foreign quotes": regexp.MustCompile("[\"'“”`ʼ]"), "three dots": regexp.MustCompile(`\.\.\.`), "two spaces": regexp.MustCompile(`  `),
		"a hyphen for a dash": regexp.MustCompile(` - `), "a letter that is not Ukrainian": regexp.MustCompile(`[ыэъё]`), "Latin inside of a word": regexp.MustCompile(`\p{Cyrillic}[a-zA-Z]|[a-zA-Z]\p{Cyrillic}`),
	},
	"ja": {
		"straight or foreign quotes": regexp.MustCompile("[\"'“”«»]"), "three dots": regexp.MustCompile(`\.\.\.`), "half-width katakana": regexp.MustCompile(`[\x{FF61}-\x{FF9F}]`),
		"half-width punctuation": regexp.MustCompile(`[\p{Han}\p{Hiragana}\p{Katakana}ー][,.!?:;()]|[,.!?:;()][\p{Han}\p{Hiragana}\p{Katakana}]`),
		"full-width letters":     regexp.MustCompile(`[Ａ-Ｚａ-ｚ０-９]`), "a space between Japanese": regexp.MustCompile(`[\p{Hiragana}\p{Katakana}] [\p{Han}\p{Hiragana}]`),
	},
}

func isLetter(c rune) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

func differing(a, b []string) (list []string) {
	for _, s := range append(slices.Clone(a), b...) {
		if count(a, s) != 1 || count(b, s) != 1 {
			list = append(list, s)
		}
	}
	return list
}

func count(list []string, s string) (n int) {
	for _, one := range list {
		if one == s {
			n++
		}
	}
	return n
}

// wordsIn lists the words in braces of a text, sorted.
func wordsIn(text string) (words []string) {
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}

// plurals are the plural forms of a language for cardinal numbers, sorted, by the
// rules of CLDR as another module has them.
func plurals(tag string) []string {
	names := map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}
	found := map[string]bool{"other": true}
	for n := range 1000 {
		found[names[plural.Cardinal.MatchPlural(language.Make(tag), n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestPlurals: numbers are written, and their nouns chosen, as the language does.
func TestPlurals(t *testing.T) {
	all, err := readMessages(languageFS)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tag  string
		n    int
		want string
	}{
		{"en", 1, "The parameter x is longer than 1 byte"}, {"en", 16384, "The parameter x is longer than 16,384 bytes"},
		{"uk", 1, "Параметр x довший за 1\u00a0байт"}, {"uk", 21, "Параметр x довший за 21\u00a0байт"}, {"uk", 2, "Параметр x довший за 2\u00a0байти"},
		{"uk", 64, "Параметр x довший за 64\u00a0байти"}, {"uk", 11, "Параметр x довший за 11\u00a0байтів"}, {"uk", 16385, "Параметр x довший за 16\u00a0385\u00a0байтів"},
		{"ja", 1, "パラメーター x が1バイトを超えています"}, {"ja", 16384, "パラメーター x が16,384バイトを超えています"},
	} {
		if got, err := all[c.tag].fill("refusal.long", "parameter", "x", "count", strconv.Itoa(c.n)); err != nil || got != c.want {
			t.Errorf("%s, %d: %q, %v", c.tag, c.n, got, err)
		}
	}
	for tag, want := range map[string]string{"en": "7 March 2026, 09:05 UTC", "uk": "7 березня 2026\u00a0р., 09:05 UTC", "ja": "2026年3月7日 09:05 UTC"} {
		if got, err := all[tag].date(1772874300); err != nil || got != want {
			t.Errorf("%s: %q, %v", tag, got, err)
		}
	}
	if _, err := all["en"].fill("refusal.long", "parameter", "x", "count", "many"); err == nil {
		t.Error("a count that is no number must be an error")
	}
}

// TestTexts: each text that a template or a handler asks for exists, and no
// text is there for nothing.
func TestTexts(t *testing.T) {
	var code strings.Builder
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, templates...) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(data)
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:\b(?:t|rich) |text\(r, |m\.fill\(|\bkey = )"([a-z_.]*[a-z])"`).FindAllStringSubmatch(code.String(), -1) {
		used[m[1]] = true
	}
	for _, prefix := range []string{"error.title", "error.hint"} { // put together in error.html
		for _, status := range []int{400, 429, 500} {
			used[prefix+errorPage{Status: status}.Kind()] = true
		}
	}
	for _, name := range oauth.StandardClaims() { // put together in pages.claims
		used["claim."+name] = true
	}
	for _, s := range refusals {
		used[s.key] = true
	}
	for _, key := range slices.Concat(slices.Collect(maps.Values(refusalCodes)), slices.Collect(maps.Values(flaws))) {
		used[key] = true
	}
	english := readTexts(t, source)
	for key := range used {
		if english.forms[key]["other"] == "" {
			t.Errorf("there is no text %q", key)
		}
	}
	for _, key := range english.keys {
		if !used[key] && !strings.HasPrefix(key, "scope.") {
			t.Errorf("nobody uses the text %q", key)
		}
	}
}

// TestNoTextInTemplates: what can be read on a page is not written in its
// template.
func TestNoTextInTemplates(t *testing.T) {
	sources := map[string]string{"formpost": written(formPostTemplate), "session state": written(stateTemplate)}
	files, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources[f] = string(data)
	}
	if len(sources) < len(pageData)+4 {
		t.Fatalf("%d templates", len(sources))
	}
	for name, text := range sources {
		if found := literal(text); len(found) != 0 {
			t.Errorf("%s: %q", name, found)
		}
	}
	for _, wrong := range []string{`<p>Hello {{.}}</p>`, `<a title="Home">{{t "x"}}</a>`, `<svg aria-label="x"></svg>`, `{{if .}}<b>世</b>{{end}}`} {
		if len(literal(wrong)) == 0 {
			t.Errorf("%s has a text that is not found", wrong)
		}
	}
}

func written(t *template.Template) string { return t.Tree.Root.String() }

// literal lists what is to be read in a template, beside what its actions yield.
func literal(text string) (found []string) {
	text = regexp.MustCompile(`(?s)\{\{.*?\}\}`).ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, ` class=""`, "") // of the body's tag, which stands elsewhere
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return found
		case html.TextToken:
			if s := strings.Trim(string(z.Text()), " \n·"); s != "" {
				found = append(found, s)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range z.Token().Attr {
				if slices.Contains([]string{"title", "alt", "placeholder", "aria-label", "aria-description", "label", "summary"}, a.Key) && strings.TrimSpace(a.Val) != "" {
					found = append(found, a.Val)
				}
			}
		}
	}
}

// TestPagesInEachLanguage draws every page in every language: it says which one
// it is in, and nothing on it is in English.
func TestPagesInEachLanguage(t *testing.T) {
	p := testPages(t, Theme{})
	english := readTexts(t, source)
	for _, tag := range Languages() {
		for _, c := range samplePages {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept-Language", tag)
			res := showTo(t, p, r, c.page)
			doc := parse(t, res.Body)
			root := named(doc, "html")[0]
			if attr(root, "lang") != tag || attr(root, "dir") != "ltr" || res.Header.Get("Content-Language") != tag || !slices.Contains(res.Header.Values("Vary"), "Accept-Language") {
				t.Errorf("%s in %s: %v, %v", c.name, tag, root.Attr, res.Header)
			}
			checkAccess(t, doc)
			if tag == source {
				continue
			}
			text := textOf(doc)
			for key, forms := range english.forms {
				plain := forms["other"]
				if len(plain) > 7 && !strings.Contains(plain, "{") && !strings.HasPrefix(key, "language.") && strings.Contains(text, plain) {
					t.Errorf("%s in %s says %q: %s", c.name, tag, plain, text)
				}
			}
		}
	}
}

// shownBy are the functions of oauth whose errors a person can be shown: what
// comes before there is an address to trust, and sign-out.
var shownBy = strings.Fields("checkClientID checkRedirect takeRequestObject take takeAll sound room errGone Resume BeginLogout errHint")

// TestRefusals: the errors that people are shown are known in every language, and
// the English one is the sentence itself.
func TestRefusals(t *testing.T) {
	formats := map[string]bool{}
	files, err := filepath.Glob("../oauth/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || strings.HasSuffix(f, "_test.go") || !slices.Contains(shownBy, fn.Name.Name) {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if name, isName := callName(call); ok && isName && name == "fail" {
					if lit, ok := call.Args[1].(*ast.BasicLit); ok {
						format, err := strconv.Unquote(lit.Value)
						if err != nil {
							t.Fatal(err)
						}
						formats[format] = true
					}
				}
				return true
			})
		}
	}
	for format := range formats {
		if _, ok := refusals[format]; !ok {
			t.Errorf("people are shown %q, which is in no other language", format)
		}
	}
	english := readTexts(t, source)
	verb := regexp.MustCompile(`%[sd]`)
	for format, s := range refusals {
		if !formats[format] && format != "The parameter %s is missing" {
			t.Errorf("nobody says %q", format)
		}
		i := 0
		want := verb.ReplaceAllStringFunc(format, func(string) string { i++; return "{" + s.words[i-1] + "}" })
		if got := strings.ReplaceAll(english.forms[s.key]["other"], "{parameter}", cmpOr(s.parameter, "{parameter}")); got != want {
			t.Errorf("%s is %q, and the error %q", s.key, got, want)
		}
	}
}

func callName(call *ast.CallExpr) (string, bool) {
	if call == nil {
		return "", false
	}
	id, ok := call.Fun.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestRefusalInWords: a sentence that is known is said with its values, another
// one by its code.
func TestRefusalInWords(t *testing.T) {
	p := testPages(t, Theme{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	long := &oauth.Error{Code: oauth.InvalidRequest, Description: "The parameter state is longer than 16384 bytes", Format: "The parameter %s is longer than %d bytes", Values: []any{"state", 16384}}
	fixed := &oauth.Error{Code: oauth.InvalidRequest, Description: "The parameter client_id is missing", Format: "The parameter client_id is missing"}
	new := &oauth.Error{Code: oauth.InvalidClient, Description: "Something new", Format: "Something new"}
	newer := &oauth.Error{Code: "invented", Description: "Something newer"}
	for tag, want := range map[string][]string{
		"en": {long.Description, fixed.Description, "Something new", "Something newer"},
		"uk": {"Параметр state довший за 16\u00a0384\u00a0байти", "Бракує параметра client_id", "Відомостями, які застосунок подає про себе, не можна скористатися", "Застосунок надіслав запит, на який не можна відповісти"},
		"ja": {"パラメーター state が16,384バイトを超えています", "パラメーター client_id がありません", "アプリが公開している自身の情報を利用できません", "アプリから、応答できないリクエストが送信されました"},
	} {
		r.Header.Set("Accept-Language", tag)
		for i, e := range []*oauth.Error{long, fixed, new, newer} {
			if got := p.refusal(r, e); got != want[i] {
				t.Errorf("%s: %q, want %q", tag, got, want[i])
			}
		}
		if got := p.flaw(r, account.ErrInvalid{Field: "zoneinfo", Reason: "is odd"}); got != p.text(r, "flaw.other") || got == "flaw.other" {
			t.Errorf("%s: a flaw that nobody knows: %q", tag, got)
		}
	}
}

func TestMessages(t *testing.T) {
	m, err := newMessages("en", []byte(`{"language.name": "x", "language.direction": "rtl", "k": "a <b> {client} c {host}", "open": "a {b"}`))
	if err != nil || m.direction != "rtl" || m.name != "x" {
		t.Fatal(m, err)
	}
	if s, err := m.fill("k", "client", "<x>", "host", "{{.}}"); err != nil || s != "a <b> <x> c {{.}}" {
		t.Errorf("fill: %q, %v", s, err)
	}
	want := `a &lt;b&gt; <strong><bdi>&lt;x&gt;</bdi></strong> c <strong><bdi dir="ltr">{client}</bdi></strong>`
	if s, err := m.rich("k", "client", "<x>", "host", "{client}"); err != nil || string(s) != want {
		t.Errorf("rich: %q, %v", s, err)
	}
	for key, pairs := range map[string][]string{"absent": nil, "k": {"client", "x"}, "open": {"b", "x"}} {
		if s, err := m.fill(key, pairs...); err == nil {
			t.Errorf("%s must be an error, and is %q", key, s)
		}
	}
	for name, data := range map[string]string{"en": "{", "EN": "{}", "none at all": "{}", "uk": `{"language.name": "x"}`, "ja": `{"language.name": "x", "language.direction": "up"}`} {
		if _, err := newMessages(name, []byte(data)); err == nil {
			t.Errorf("%s with %s must not start", name, data)
		}
	}
}
