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

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/oauth"
)

// english are the source texts as they are written, in their order, with the form
// of each that is used for most numbers.
func english(t *testing.T) (keys []string, forms map[string]string) {
	t.Helper()
	data, err := os.ReadFile("../language/languages/en.json")
	if err != nil {
		t.Fatal(err)
	}
	raw := map[string]any{}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	forms = map[string]string{}
	for key, text := range raw {
		if plural, ok := text.(map[string]any); ok {
			text = plural["other"]
		}
		forms[key] = text.(string)
	}
	return slices.Sorted(maps.Keys(forms)), forms
}

// speaking are the files in which texts are asked for.
var speaking = []string{"*.go", "templates/*.html", "../language/*.go", "../mail/*.go", "../mail/templates/*"}

// TestTexts: each text that a template or a handler asks for exists, and no
// text is there for nothing.
func TestTexts(t *testing.T) {
	var code strings.Builder
	var files []string
	for _, pattern := range speaking {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
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
	for _, m := range regexp.MustCompile(`(?:\b(?:t|rich) |text\(r, |\bm\.Fill\(|m\.when\(|\bkey = )"([a-z_.]*[a-z])"`).FindAllStringSubmatch(code.String(), -1) {
		used[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?:fill\(|[:{ ])"((?:letter|date|language)\.[a-z_.]*[a-z])"`).FindAllStringSubmatch(code.String(), -1) {
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
	for _, code := range federation.Codes() {
		if upstreamRefusals[code] == "" {
			t.Errorf("nothing says that a provider has not signed somebody in for the reason %q", code)
		}
		used[upstreamRefusals[code]] = true
	}
	for _, key := range slices.Concat(slices.Collect(maps.Values(refusalCodes)), slices.Collect(maps.Values(flaws)), slices.Collect(maps.Values(claimFlaws))) {
		used[key] = true
	}
	keys, texts := english(t)
	for key := range used {
		if texts[key] == "" {
			t.Errorf("there is no text %q", key)
		}
	}
	for _, key := range keys {
		if !used[key] && !strings.HasPrefix(key, "scope.") && !strings.HasPrefix(key, "account.event.") {
			t.Errorf("nobody uses the text %q", key)
		}
	}
}

// TestEventsInWords: of what the audit log can say of a person there are words for
// them, or it was decided that there is nothing to tell.
func TestEventsInWords(t *testing.T) {
	data, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	nobodys := regexp.MustCompile(`^(all|audit|certificate|client|key|master|registration_token|server|setup|sign_up|stream|upstream|identity\.refuse$|mail\.throttle$|transmitter\.(add|remove|renew_secret|update)$)\b`)
	keys, texts := english(t)
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\|").FindAllStringSubmatch(string(data), -1) {
		key := eventKey(m[1])
		known[key] = true
		if (texts[key] != "") == (silent[m[1]] || nobodys.MatchString(m[1])) {
			t.Errorf("%s: there must be a text %q, or it must be among the silent ones", m[1], key)
		}
	}
	if len(known) < 50 {
		t.Fatalf("%d actions", len(known))
	}
	for _, key := range keys {
		if strings.HasPrefix(key, eventKey("")) && !known[key] {
			t.Errorf("no action has the text %q", key)
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
	letters, err := filepath.Glob("../mail/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, letters...) {
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
	text = regexp.MustCompile(` class="(self|wide)?"`).ReplaceAllString(text, "")  // of the body's tag, which stands elsewhere
	text = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(text, "") // of letters, which have no other place for it
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
	_, texts := english(t)
	for _, tag := range language.Tags() {
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
			if tag == language.Source {
				continue
			}
			text := textOf(doc)
			for key, plain := range texts {
				if len(plain) > 7 && !strings.Contains(plain, "{") && !strings.HasPrefix(key, "language.") && strings.Contains(text, plain) {
					t.Errorf("%s in %s says %q: %s", c.name, tag, plain, text)
				}
			}
		}
	}
}

// shownBy are the functions of oauth whose errors a person can be shown: what
// comes before there is an address to trust, and sign-out.
var shownBy = strings.Fields("errUnmetACR checkClientID checkRedirect takeRequestObject take takeAll sound room errGone Resume BeginLogout BeginDevice errHint Admit admitUser errDatabase")

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
	_, texts := english(t)
	verb := regexp.MustCompile(`%[sd]`)
	for format, s := range refusals {
		if !formats[format] && format != "The parameter %s is missing" {
			t.Errorf("nobody says %q", format)
		}
		i := 0
		want := verb.ReplaceAllStringFunc(format, func(string) string { i++; return "{" + s.words[i-1] + "}" })
		if got := strings.ReplaceAll(texts[s.key], "{parameter}", cmpOr(s.parameter, "{parameter}")); got != want {
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
