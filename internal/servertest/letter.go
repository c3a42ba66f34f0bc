package servertest

import (
	"regexp"
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
	for range 200 {
		if list := h.letters(); len(list) >= n {
			if len(list) > n {
				h.t.Fatalf("%d letters, want %d: %v", len(list), n, list[len(list)-1].Subject)
			}
			return list
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("%d letters, want %d", len(h.letters()), n)
	return nil
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

func (h *House) letters() []mail.Kept {
	list := h.Mail.Box().Letters()
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// CodeIn is the code of a letter.
func CodeIn(k mail.Kept) string { return regexp.MustCompile(`\b[0-9]{8}\b`).FindString(k.Text) }
