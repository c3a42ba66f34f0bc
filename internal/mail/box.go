package mail

import (
	"slices"
	"sync"

	"github.com/ostiary/ostiary/internal/model"
)

// maxBox is how many letters a Box keeps.
const maxBox = 100

// Box is a mailbox in memory for development: it takes the letters to everybody in
// place of a mail server, and keeps the latest.
type Box struct {
	mu      sync.Mutex
	letters []Kept
}

// Kept is a letter in a Box.
type Kept struct {
	ID   string
	At   int64
	Link string // where its button leads; empty: it has none
	Written
}

// Letters lists what is kept, the latest first.
func (b *Box) Letters() []Kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.letters)
	slices.Reverse(list)
	return list
}

// Letter returns one of them.
func (b *Box) Letter(id string) (Kept, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.letters, func(k Kept) bool { return k.ID == id })
	if i < 0 {
		return Kept{}, false
	}
	return b.letters[i], true
}

func (b *Box) put(w Written, link string, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.letters) >= maxBox {
		b.letters = slices.Delete(b.letters, 0, len(b.letters)-maxBox+1)
	}
	b.letters = append(b.letters, Kept{ID: model.NewID(), At: at, Link: link, Written: w})
}
