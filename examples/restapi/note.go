package restapi

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/ostiary/ostiary/resource"
)

// Note is a line that somebody wrote.
type Note struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	Mine bool   `json:"mine"` // of whoever asks

	owner string // "sub" of who wrote it
}

// The notes are in memory: so many, and the oldest gives way; each so long, in bytes.
const (
	maxNotes = 1000
	maxText  = 1000
)

type notes struct {
	mu    sync.Mutex
	byID  map[string]*Note
	queue []*Note // oldest first
}

// list shows all notes to every reader.
func (a *API) list(w http.ResponseWriter, r *http.Request) {
	me := resource.Token(r.Context()).Subject
	a.notes.mu.Lock()
	list := make([]Note, 0, len(a.notes.queue))
	for _, n := range a.notes.queue {
		list = append(list, n.seenBy(me))
	}
	a.notes.mu.Unlock()
	answer(w, http.StatusOK, list)
}

func (n *Note) seenBy(who string) Note { return Note{ID: n.ID, Text: n.Text, Mine: n.owner == who} }

// text reads the text of a note.
func text(w http.ResponseWriter, r *http.Request) (string, bool) {
	var body struct {
		Text string `json:"text"`
	}
	if !read(w, r, &body) {
		return "", false
	}
	if body.Text = strings.TrimSpace(body.Text); body.Text == "" || len(body.Text) > maxText || !utf8.ValidString(body.Text) {
		problem(w, http.StatusUnprocessableEntity, "invalid_request", "A note has 1 to 1000 bytes of text")
		return "", false
	}
	return body.Text, true
}

func (a *API) add(w http.ResponseWriter, r *http.Request) {
	text, ok := text(w, r)
	if !ok {
		return
	}
	n := &Note{ID: rand.Text()[:8], Text: text, owner: resource.Token(r.Context()).Subject}
	a.notes.mu.Lock()
	a.notes.byID[n.ID] = n
	a.notes.queue = append(a.notes.queue, n)
	if len(a.notes.queue) > maxNotes {
		delete(a.notes.byID, a.notes.queue[0].ID)
		a.notes.queue = a.notes.queue[1:]
	}
	out := n.seenBy(n.owner)
	a.notes.mu.Unlock()
	w.Header().Set("Location", "/notes/"+out.ID)
	answer(w, http.StatusCreated, out)
}

// own runs do on a note of whoever asks, under the lock. That a note is somebody
// else's is no question of the token: no other token of this person would help.
func (a *API) own(w http.ResponseWriter, r *http.Request, do func(*Note)) {
	a.notes.mu.Lock()
	n, found := a.notes.byID[r.PathValue("id")]
	mine := found && n.owner == resource.Token(r.Context()).Subject
	var out Note
	if mine {
		do(n)
		out = n.seenBy(n.owner)
	}
	a.notes.mu.Unlock()
	switch {
	case !found:
		problem(w, http.StatusNotFound, "not_found", "There is no such note")
	case !mine:
		resource.Forbid(w, resource.Problem{Title: "Not your note", Detail: "Only who wrote a note can change it."})
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, http.StatusOK, out)
	}
}

func (a *API) change(w http.ResponseWriter, r *http.Request) {
	text, ok := text(w, r)
	if !ok {
		return
	}
	a.own(w, r, func(n *Note) { n.Text = text })
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) {
	a.own(w, r, func(n *Note) {
		delete(a.notes.byID, n.ID)
		a.notes.queue = slices.DeleteFunc(a.notes.queue, func(other *Note) bool { return other == n })
	})
}
