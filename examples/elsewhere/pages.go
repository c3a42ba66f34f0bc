package elsewhere

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"
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
	for _, name := range []string{"choose", "leave", "home", "message"} {
		all[name] = template.Must(template.ParseFS(files, "templates/frame.html", "templates/"+name+".html"))
	}
	return all
})

// page is what templates draw.
type page struct {
	House   string
	OpenID  bool
	Title   string
	Client  string
	Request string
	People  []Person
	Person  *Person // who is signed in here
	Hint    string
	Wants   []string
	Note    string
}

// Initials are drawn in the place of a picture.
func (p Person) Initials() string {
	var out strings.Builder
	for _, word := range strings.Fields(p.Name) {
		if r, _ := utf8.DecodeRuneInString(word); out.Len() < 2*utf8.UTFMax && r != utf8.RuneError {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// choose shows the people that one can be.
func (h *house) choose(w http.ResponseWriter, id string, asked request) {
	wants := []string{"who you are"}
	for _, s := range asked.scopes {
		switch s {
		case "email", ScopeEmail:
			wants = append(wants, "your mail address")
		case "profile":
			wants = append(wants, "your name")
		}
	}
	h.draw(w, http.StatusOK, "choose", page{Title: "Who are you?", Request: id, People: h.config.People, Hint: asked.hint, Wants: wants})
}

// ask shows whom a sign-out is about.
func (h *house) ask(w http.ResponseWriter, id string, p Person) {
	h.draw(w, http.StatusOK, "leave", page{Title: "Sign out of " + h.config.Name + "?", Request: id, Person: &p})
}

// home is the front of the house.
func (h *house) home(w http.ResponseWriter, r *http.Request) {
	v := page{Title: h.config.Name}
	h.mu.Lock()
	if s, there := h.session(r); there {
		if p, ok := h.person(s.person); ok {
			v.Person = &p
		}
	}
	h.mu.Unlock()
	h.draw(w, http.StatusOK, "home", v)
}

// tell shows one sentence.
func (h *house) tell(w http.ResponseWriter, status int, sentence string) {
	h.draw(w, status, "message", page{Title: h.config.Name, Note: sentence})
}

// draw fills the whole page before the first byte goes out, so that a failure can still
// be told as one.
func (h *house) draw(w http.ResponseWriter, status int, name string, v page) {
	v.House, v.OpenID, v.Client = h.config.Name, h.openid, h.config.Client.Name
	var out bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&out, "frame", v); err != nil {
		h.config.Logger.Error("page not drawn", "page", name, "error", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	out.WriteTo(w) // the status is out: nothing to do on failure
}
