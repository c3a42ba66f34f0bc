package web

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/oauth"
)

// send carries an answer back to the client, in the mode that it asked for. That
// to a request of our own leads to a page of the site map, whatever was stored.
func (s *Web) send(w http.ResponseWriter, r *http.Request, a oauth.Answer) {
	if a.Mode == oauth.ModeOwn && !s.ours[strings.TrimPrefix(a.URI, s.base)] {
		a.URI = s.base + "/"
	}
	if a.Mode != oauth.ModeFormPost {
		redirect(w, r, a.Location())
		return
	}
	var fields []hiddenField
	for name, values := range a.Params {
		fields = append(fields, hiddenField{name, values[0]})
	}
	slices.SortFunc(fields, func(a, b hiddenField) int { return strings.Compare(a.Name, b.Name) })
	s.pages.formPost(w, r, s.formPostPage(r, s.pages.text(r, "formpost.text"), a.URI, fields))
}

// formPostPage is a form to action; the text says what it is for.
func (s *Web) formPostPage(r *http.Request, text, action string, fields []hiddenField) formPostPage {
	words := s.pages.edition(r).words
	return formPostPage{
		Language: words.Tag, Direction: words.Direction, Installation: s.pages.theme.Name,
		Title: s.pages.text(r, "formpost.title"), Text: text, Submit: s.pages.text(r, "formpost.submit"),
		Action: action, Base: s.base, Fields: fields, Sheets: s.pages.sheets(r),
	}
}

// formPostPage is a form that sends itself, OAuth 2.0 Form Post Response Mode §2
// and appendix A. Where no script runs, its button does.
type formPostPage struct {
	Language, Direction, Installation string
	Title, Text, Submit               string
	Action, Base                      string
	Sheets                            []string // addresses of style sheets beside ours
	Fields                            []hiddenField
}

// formPostPolicy is contentPolicy and one script of ours, the only one on any
// page of a sign-in. form-action is left out for the reason given there.
const formPostPolicy = contentPolicy + "; script-src 'self'"

// formPostTemplate stands apart from the other pages: it is the only one with a
// script, and is seen for an instant.
var formPostTemplate = template.Must(template.New("formpost").Funcs(template.FuncMap{"asset": asset}).Parse(`<!DOCTYPE html>
<html lang="{{.Language}}" dir="{{.Direction}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{.Title}} · {{.Installation}}</title>
<link rel="stylesheet" href="{{.Base}}{{asset "style.css"}}">
{{range .Sheets}}<link rel="stylesheet" href="{{.}}">
{{end -}}
</head>
<body>
<main class="card">
<h1>{{.Title}}</h1>
<p class="lede">{{.Text}}</p>
<form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<div class="actions"><button class="primary" type="submit">{{.Submit}}</button></div>
</form>
</main>
<script src="{{.Base}}{{asset "submit.js"}}"></script>
</body>
</html>
`))

func (p *pages) formPost(w http.ResponseWriter, r *http.Request, v formPostPage) {
	var body bytes.Buffer
	if err := formPostTemplate.Execute(&body, v); err != nil {
		p.error(w, r, errorPage{Status: http.StatusInternalServerError, Code: string(oauth.ServerError)})
		return
	}
	p.write(w, http.StatusOK, pageHeaders{kind: "text/html; charset=utf-8", policy: formPostPolicy, opener: openerFlow, language: v.Language}, body.Bytes())
}
