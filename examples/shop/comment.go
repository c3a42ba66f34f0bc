package shop

import (
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/client"
)

// Comment is what somebody says about the shop. It is kept as it was typed, and made
// harmless where it is shown: nobody knows beforehand where else it will be.
type Comment struct {
	Name string
	Text string
	When time.Time
}

const (
	maxComments = 12  // that are kept; the oldest gives way
	maxComment  = 400 // bytes
)

type comments struct {
	mu   sync.Mutex
	list []Comment // newest first
}

func (c *comments) add(new Comment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.list[:min(len(c.list), maxComments-1)]
	c.list = append([]Comment{new}, kept...)
}

func (c *comments) all() []Comment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list // never changed in place
}

// comment takes what somebody says.
func (s *Shop) comment(w http.ResponseWriter, r *http.Request) {
	text := strings.TrimSpace(r.PostFormValue("text"))
	if text == "" || len(text) > maxComment || !utf8.ValidString(text) {
		s.showFront(w, r, http.StatusUnprocessableEntity, "A comment has 1 to 400 characters.")
		return
	}
	name := nameOf(client.SessionFrom(r.Context()))
	if name == "" {
		name = "A visitor"
	}
	s.said.add(Comment{Name: name, Text: text, When: s.now()})
	http.Redirect(w, r, "/#comments", http.StatusSeeOther)
}
