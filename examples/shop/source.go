package shop

import (
	"embed"
	"fmt"
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// The sources that the page of attacks points into are part of the program: what a link
// shows is what runs.
//
//go:embed api.go cart.go catalogue.go comment.go copy.go shop.go templates/front.html
var sources embed.FS

// folder is where they are in the repository.
const folder = "examples/shop/"

// place is a line of source.
type place struct {
	File   string // below folder
	Number int
	Text   string
}

// Where is its place in the repository, such as "examples/shop/cart.go:42".
func (l place) Where() string { return fmt.Sprintf("%s%s:%d", folder, l.File, l.Number) }

// Link is where the shop shows it.
func (l place) Link() string { return fmt.Sprintf("/source/%s#L%d", l.File, l.Number) }

// lineOf finds the one line that has a text in it, so that links stay true when lines
// move. It panics if there is none, or more than one: no shop starts with a link that
// leads astray.
func lineOf(file, text string) place {
	var found []place
	source, _ := sources.ReadFile(file) // where there is none, nothing is found
	number := 0
	for line := range strings.Lines(string(source)) {
		number++
		if strings.Contains(line, text) {
			found = append(found, place{file, number, strings.TrimSpace(line)})
		}
	}
	if len(found) != 1 {
		panic(fmt.Sprintf("shop: %d lines of %s say %q", len(found), file, text))
	}
	return found[0]
}

// linesOf returns the lines of a source; none if there is no such one.
func linesOf(file string) (list []place) {
	text, err := sources.ReadFile(file)
	if err != nil {
		return nil
	}
	for i, l := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		list = append(list, place{file, i + 1, l})
	}
	return list
}

// source shows a file of the shop's own source.
func (s *Shop) source(w http.ResponseWriter, r *http.Request) {
	file := r.PathValue("file")
	list := linesOf(file)
	if list == nil {
		s.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such file."})
		return
	}
	s.render(w, http.StatusOK, "source", page{Title: folder + file, Person: nameOf(client.SessionFrom(r.Context())), Source: list})
}
