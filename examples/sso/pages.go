package sso

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
)

var (
	//go:embed static
	static embed.FS
	//go:embed templates
	files embed.FS
)

// templates are parsed when the first page is drawn: the program that holds this
// sample has more to do than to show it.
var templates = sync.OnceValue(func() map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range []string{"front", "welcome", "message"} {
		all[name] = template.Must(template.ParseFS(files, "templates/frame.html", "templates/"+name+".html"))
	}
	return all
})

// page is what templates draw.
type page struct {
	App, Other    trade
	OtherURL      string
	Host, Issuer  string
	Title, Person string // Person is empty: nobody is signed in
	FrontChannel  bool
	Heard         []notice
	Now           time.Time

	// When somebody is signed in.
	Session *client.Session
	Came    *arrival
	Own     call
	Tried   *call // the other API
	API     string

	// When nobody is.
	Said string
	Ways []Way
	Note string
}

// Ago says how long ago a notice came.
func (p page) Ago(t time.Time) string {
	switch d := p.Now.Sub(t); {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	default:
		return "at " + t.Format("15:04:05")
	}
}

// Milliseconds writes a duration for people.
func (p page) Milliseconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// Methods is "amr" in words.
func (p page) Methods() string { return strings.Join(p.Session.Identity.AMR, ", ") }

// nameOf returns what to call a person.
func nameOf(s *client.Session) string {
	for _, name := range []string{s.Profile.Name, s.Profile.PreferredUsername, s.Profile.Email} {
		if name != "" {
			return name
		}
	}
	return s.Subject
}

// show draws the front for who is signed in, with what was tried, if anything.
func (a *App) show(w http.ResponseWriter, r *http.Request, tried *call) {
	s := client.SessionFrom(r.Context())
	a.draw(w, http.StatusOK, "front", page{
		Title: a.trade.About, Person: nameOf(s), Session: s, Came: a.came(r), API: a.config.APIURL,
		Own: a.call(r.Context(), s, a.config.APIURL), Tried: tried,
	})
}

// welcome is for who is not signed in. Nobody is asked for from here.
func (a *App) welcome(w http.ResponseWriter, r *http.Request) {
	if client.SessionFrom(r.Context()) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	a.draw(w, http.StatusOK, "welcome", page{Title: "Nobody is signed in", Said: r.URL.Query().Get("said"), Ways: a.config.Ways})
}

// message shows one sentence.
func (a *App) message(w http.ResponseWriter, status int, sentence string) {
	a.draw(w, status, "message", page{Title: a.trade.Name, Note: sentence})
}

// draw fills the whole page before the first byte goes out, so that a failure can still
// be told as one.
func (a *App) draw(w http.ResponseWriter, status int, name string, p page) {
	p.App, p.Other, p.OtherURL, p.FrontChannel = a.trade, a.other, a.config.OtherURL, a.config.FrontChannel
	p.Host, p.Heard, p.Now = a.base.Hostname(), a.heard.all(), a.config.Now()
	if u, err := url.Parse(a.config.Issuer); err == nil {
		p.Issuer = u.Host
	}
	var out bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&out, "frame", p); err != nil {
		a.config.Logger.Error("page not drawn", "page", name, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	w.WriteHeader(status)
	out.WriteTo(w) // the status is out: nothing to do on failure
}
