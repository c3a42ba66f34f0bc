package tour

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
)

//go:embed templates
var files embed.FS

var functions = template.FuncMap{
	"clock": func(t time.Time) string { return t.Local().Format("15:04") },
	"short": func(d time.Duration) string {
		return strconv.FormatFloat(float64(d.Round(100*time.Microsecond))/float64(time.Millisecond), 'f', -1, 64) + " ms"
	},
	"initial": func(name string) string { return string([]rune(name + "?")[:1]) },
}

// templates are parsed when the first page is drawn: the program that holds this
// sample has more to do than to show it.
var templates = sync.OnceValue(func() map[string]*template.Template {
	all := make(map[string]*template.Template)
	names := []string{"front", "bob", "message"}
	for _, s := range scenes {
		names = append(names, s.Path)
	}
	for _, name := range names {
		all[name] = template.Must(template.New("frame.html").Funcs(functions).ParseFS(files,
			"templates/frame.html", "templates/pictures.html", "templates/pieces.html", "templates/"+name+".html"))
	}
	return all
})

// page is what templates draw.
type page struct {
	Title string
	Scene Scene // Number 0: none
	Next  Scene // likewise
	Tour  Config
	Done  map[string]bool

	Session *client.Session // nil: nobody is signed in
	Person  string
	IsBob   bool

	ID, Access   *shownToken
	Until        int64 // when the access token ends, unix seconds
	Applications []visited
	Renewal      *shownRenewal
	Bob          standing
	Trial        *trial
	Tried        []string // parts of its token
	Notice       notice
}

// visited is an application, and whether the session has been there.
type visited struct {
	Application
	In bool
}

// shownRenewal is a renewal as its page shows it.
type shownRenewal struct {
	Before, After shownToken
	Claims        []claim
	Took          time.Duration
}

type notice struct {
	Status    int
	Head, Say string
}

// Scenes are all of them, for the list.
func (page) Scenes() []Scene { return scenes }

// Count is how many scenes are done.
func (p page) Count() int { return len(p.Done) }

// Begin is the first scene that is not done; Number 0 when all are.
func (p page) Begin() Scene {
	for _, s := range scenes {
		if !p.Done[s.Path] {
			return s
		}
	}
	return Scene{}
}

// Guide is whom the tour suggests to be.
func (p page) Guide() Person { return p.Tour.People[0] }

func (t *Tour) page(r *http.Request) page {
	p := page{Tour: t.config, Done: t.done(r), Session: client.SessionFrom(r.Context())}
	if s := p.Session; s != nil {
		p.Person = s.Profile.Name
		if p.Person == "" {
			p.Person = s.Subject
		}
		p.IsBob = p.Person == t.config.Bob.Name
	}
	return p
}

func (t *Tour) front(w http.ResponseWriter, r *http.Request) {
	p := t.page(r)
	p.Title = "Ostiary in six scenes"
	t.render(w, r, "front", p)
}

// scene draws one scene. What it needs is learned anew each time, so that a reload
// shows how things are.
func (t *Tour) scene(s Scene) http.HandlerFunc {
	fill := map[string]func(http.ResponseWriter, *http.Request, *page) error{
		sceneSignIn: t.fillSignIn, sceneTokens: t.fillTokens, sceneSSO: t.fillApplications,
		sceneRenew: t.fillRenewal, sceneLock: t.fillBob, sceneBreak: t.fillTrial,
	}[s.Path]
	return func(w http.ResponseWriter, r *http.Request) {
		p := t.page(r)
		p.Scene, p.Title = s, s.Title
		if s.Number < len(scenes) {
			p.Next = scenes[s.Number]
		}
		if err := fill(w, r, &p); err != nil {
			t.gone(w, r, err)
			return
		}
		t.render(w, r, s.Path, p)
	}
}

func (t *Tour) fillSignIn(w http.ResponseWriter, r *http.Request, p *page) error {
	if p.Session != nil {
		p.Done = t.did(w, r, sceneSignIn)
	}
	return nil
}

func (t *Tour) fillTokens(w http.ResponseWriter, r *http.Request, p *page) error {
	if p.Session == nil {
		return nil
	}
	id, err := show(p.Session.IDToken())
	if err != nil {
		return err
	}
	if err := p.takeAccess(); err != nil {
		return err
	}
	p.ID, p.Done = &id, t.did(w, r, sceneTokens)
	return nil
}

// takeAccess takes the access token of the session apart.
func (p *page) takeAccess() error {
	text, err := p.Session.AccessToken()
	if err != nil {
		return err
	}
	token, err := show(text)
	if err != nil {
		return err
	}
	for _, c := range token.Claims {
		if c.Name == "exp" {
			p.Until = c.Moment
		}
	}
	p.Access = &token
	return nil
}

func (t *Tour) fillApplications(w http.ResponseWriter, r *http.Request, p *page) error {
	var in []string
	if p.Session != nil {
		var err error
		if in, err = t.operator.applications(r.Context(), p.Session.Identity.SessionID); err != nil {
			return err
		}
	}
	for _, a := range t.config.Applications {
		v := visited{a, slices.Contains(in, a.ID)}
		if v.In {
			p.Done = t.did(w, r, sceneSSO)
		}
		p.Applications = append(p.Applications, v)
	}
	return nil
}

func (t *Tour) fillRenewal(w http.ResponseWriter, r *http.Request, p *page) error {
	if p.Session == nil {
		return nil
	}
	if err := p.takeAccess(); err != nil {
		return err
	}
	was := t.seen.of(p.Session.ID).renewal
	if was == nil {
		return nil
	}
	before, err := show(was.before)
	if err != nil {
		return err
	}
	after, err := show(was.after)
	if err != nil {
		return err
	}
	p.Renewal = &shownRenewal{before, after, compare(before, after), was.took}
	return nil
}

func (t *Tour) fillBob(w http.ResponseWriter, r *http.Request, p *page) error {
	who, err := t.operator.find(r.Context(), t.config.Bob.Login)
	if err != nil {
		return err
	}
	t.bob.learn(who.locked())
	p.Bob, _ = t.bob.stands()
	return nil
}

func (t *Tour) fillTrial(w http.ResponseWriter, r *http.Request, p *page) error {
	if p.Session == nil {
		return nil
	}
	if err := p.takeAccess(); err != nil {
		return err
	}
	if p.Trial = t.seen.of(p.Session.ID).trial; p.Trial != nil {
		p.Tried = strings.SplitN(p.Trial.token, ".", 3)
	}
	return nil
}

// window is Bob's.
func (t *Tour) window(w http.ResponseWriter, r *http.Request) {
	p := t.page(r)
	p.Title = "Bob's window"
	if err := t.fillBob(w, r, &p); err != nil {
		t.oops(w, r, err)
		return
	}
	t.render(w, r, "bob", p)
}

// render draws a page first and sends it then, so that a page that fails is none.
func (t *Tour) render(w http.ResponseWriter, r *http.Request, name string, p page) {
	var out bytes.Buffer
	if err := templates()[name].Execute(&out, p); err != nil {
		t.log.ErrorContext(r.Context(), "a page was not drawn", "page", name, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if p.Notice.Status != 0 {
		w.WriteHeader(p.Notice.Status)
	}
	w.Write(out.Bytes()) // a browser that went away is nobody's error
}

func (t *Tour) message(w http.ResponseWriter, r *http.Request, n notice) {
	p := t.page(r)
	p.Title, p.Notice = n.Head, n
	t.render(w, r, "message", p)
}

// gone answers where the session or the server let the tour down.
func (t *Tour) gone(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, client.ErrNoSession), errors.Is(err, client.ErrExpired):
		http.Redirect(w, r, "/"+sceneSignIn, http.StatusSeeOther)
	default:
		t.oops(w, r, err)
	}
}

func (t *Tour) oops(w http.ResponseWriter, r *http.Request, err error) {
	t.log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	status, say := http.StatusInternalServerError, "Something went wrong on our side."
	if errors.Is(err, client.ErrUnavailable) {
		status, say = http.StatusServiceUnavailable, fmt.Sprintf("%s does not answer. Please try again in a moment.", t.config.Issuer)
	}
	t.message(w, r, notice{status, "That did not work", say})
}
