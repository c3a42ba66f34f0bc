package servertest

import (
	"regexp"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/server"
)

// Mailbox makes the server keep its letters, in place of sending them.
func Mailbox(c *server.Config) { c.Mailbox = true }

// Letters waits until a server with a Mailbox has written n letters, and returns
// them, the first one first.
func (h *House) Letters(n int) []mail.Kept {
	h.t.Helper()
	var list []mail.Kept
	for range 200 {
		list = h.Mail.Box().Letters()
		slices.Reverse(list)
		if len(list) >= n {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(list) != n {
		var about []string
		for _, k := range list {
			about = append(about, k.To+": "+k.Subject)
		}
		h.t.Fatalf("%d letters, want %d: %q", len(list), n, about)
	}
	return list
}

// Letter is the last of n.
func (h *House) Letter(n int) mail.Kept {
	h.t.Helper()
	return h.Letters(n)[n-1]
}

// NoLetter makes sure that no letter follows the n there are.
func (h *House) NoLetter(n int) {
	h.t.Helper()
	time.Sleep(100 * time.Millisecond)
	h.Letters(n)
}

// CodeIn is the code of a letter.
func CodeIn(k mail.Kept) string { return regexp.MustCompile(`\b[0-9]{8}\b`).FindString(k.Text) }
