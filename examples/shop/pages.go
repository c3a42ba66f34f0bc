package shop

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"sync"

	"github.com/ostiary/ostiary/client"
)

//go:embed templates
var files embed.FS

// templates are parsed when the first page is drawn: the program that holds this
// sample has more to do than to show it.
var templates = sync.OnceValue(func() map[string]*template.Template {
	all := make(map[string]*template.Template)
	for _, name := range []string{"front", "receipt", "message", "inside", "attacks", "attack", "source"} {
		all[name] = template.Must(template.ParseFS(files, "templates/frame.html", "templates/"+name+".html"))
	}
	return all
})

// page is what templates draw.
type page struct {
	Title    string
	Person   string // empty: nobody is signed in
	Note     string
	Refused  string // why the cart that came is not used
	Items    []Item
	Lines    []Line
	Pieces   int
	Total    Cents
	Order    string
	Buyer    string
	Comments []Comment
	Switches switches
	Held     []held
	Attacks  []attack
	Report   report
	Source   []place
}

// nameOf returns what to call a person.
func nameOf(s *client.Session) string {
	if s == nil {
		return ""
	}
	for _, name := range []string{s.Profile.Name, s.Profile.PreferredUsername, s.Profile.Email} {
		if name != "" {
			return name
		}
	}
	return "customer " + s.Subject
}

func (s *Shop) showFront(w http.ResponseWriter, r *http.Request, status int, note string) {
	cart, err := s.carts.read(r, s.owner(r))
	if err != nil {
		s.carts.clear(w) // it is said once
	}
	list, total, pieces := lines(cart.Items)
	s.render(w, status, "front", page{
		Title: "Everything for the door", Person: nameOf(client.SessionFrom(r.Context())), Note: note, Refused: refusal(err),
		Items: catalogue, Lines: list, Pieces: pieces, Total: total, Comments: s.said.all(),
	})
}

// notice is a page that says one thing.
type notice struct {
	status          int
	title, sentence string
}

func (s *Shop) message(w http.ResponseWriter, r *http.Request, n notice) {
	s.render(w, n.status, "message", page{Title: n.title, Person: nameOf(client.SessionFrom(r.Context())), Note: n.sentence})
}

// render draws the whole page before the first byte goes out, so that a failure
// can still be told as one.
func (s *Shop) render(w http.ResponseWriter, status int, name string, p page) {
	var out bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&out, "frame", p); err != nil {
		s.log.Error("page not drawn", "page", name, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	w.WriteHeader(status)
	out.WriteTo(w) // the status is out: nothing to do on failure
}
