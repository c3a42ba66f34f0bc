package web

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// keepState lets the browser's state say who is signed in: it is the states of all
// of them, so that nothing changes for one where another one comes or goes. A
// request without a session's cookie does not tell: another site made it.
func (s *Web) keepState(w http.ResponseWriter, r *http.Request, people []signedIn) {
	if len(people) == 0 && len(s.cookies.sessions(r)) == 0 {
		return
	}
	var states []string
	for _, one := range people {
		states = append(states, s.Authority.BrowserState(one.Session))
	}
	slices.Sort(states)
	s.cookies.keepState(w, r, strings.Join(states, "."), people)
}

// statePolicy lets anybody hold this page in a frame, and this page alone: it
// shows nothing that could be clicked, and does nothing but answer whether a
// state that the asker has already is still that of this browser.
const statePolicy = "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"

// stateTemplate is the frame that applications ask, OpenID Connect Session
// Management §3.2. Nobody sees it, so it has no text in any language.
var stateTemplate = template.Must(template.New("state").Funcs(template.FuncMap{"asset": asset}).Parse(`<!DOCTYPE html>
<html data-cookie="{{.Cookie}}">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex">
<title>{{.Installation}}</title>
<script src="{{.Base}}{{asset "state.js"}}"></script>
</head>
<body></body>
</html>
`))

func (s *Web) state(w http.ResponseWriter, r *http.Request) error {
	var body bytes.Buffer
	err := stateTemplate.Execute(&body, struct{ Cookie, Base, Installation string }{s.cookies.stateName(), s.base, s.pages.theme.Name})
	if err != nil {
		return err
	}
	s.pages.write(w, http.StatusOK, pageHeaders{kind: "text/html; charset=utf-8", policy: statePolicy, opener: openerFlow, framed: true}, body.Bytes())
	return nil
}
