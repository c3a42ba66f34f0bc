package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
)

const pathMailbox = "/mailbox"

// letterPolicy is that of a letter as a mail program would show it: nothing runs and
// nothing is fetched, and its links open elsewhere. Only the mailbox frames it.
const letterPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"

// mailboxPage shows the letters that a server keeps in place of sending them.
type mailboxPage struct {
	Base    string // the address of a letter is this and its ID
	Letters []keptLetter
	Open    *keptLetter // the one that is read; nil: they are listed
}

// keptLetter is one of them.
type keptLetter struct {
	mail.Kept
	When string
}

func (p *pages) mailbox(w http.ResponseWriter, r *http.Request, v mailboxPage) {
	p.draw(w, r, drawing{view: "mailbox", status: http.StatusOK, opener: openerOwn, policy: "; frame-src 'self'", data: v})
}

func (s *Web) mailbox(w http.ResponseWriter, r *http.Request) error {
	if s.Box == nil {
		return s.notFound(w, r)
	}
	page := mailboxPage{Base: s.base + pathMailbox + "/"}
	for _, k := range s.Box.Letters() {
		one, err := s.kept(r, k)
		if err != nil {
			return err
		}
		page.Letters = append(page.Letters, one)
	}
	s.pages.mailbox(w, r, page)
	return nil
}

func (s *Web) kept(r *http.Request, k mail.Kept) (keptLetter, error) {
	when, err := s.pages.edition(r).words.Date(k.At, time.UTC)
	return keptLetter{k, when}, err
}

// letter shows one letter, or, below it, what a mail program would show of it.
func (s *Web) letter(w http.ResponseWriter, r *http.Request) error {
	if s.Box == nil {
		return s.notFound(w, r)
	}
	k, ok := s.Box.Letter(r.PathValue("letter"))
	if !ok {
		return s.notFound(w, r)
	}
	one, err := s.kept(r, k)
	if err != nil {
		return err
	}
	s.pages.mailbox(w, r, mailboxPage{Base: s.base + pathMailbox + "/", Open: &one})
	return nil
}

func (s *Web) letterHTML(w http.ResponseWriter, r *http.Request) error {
	if s.Box == nil {
		return s.notFound(w, r)
	}
	k, ok := s.Box.Letter(r.PathValue("letter"))
	if !ok {
		return s.notFound(w, r)
	}
	body := strings.Replace(k.HTML, "<head>", `<head><base target="_blank">`, 1)
	s.pages.write(w, http.StatusOK, pageHeaders{kind: "text/html; charset=utf-8", policy: letterPolicy, opener: openerOwn, language: k.Language, framed: true}, []byte(body))
	return nil
}
