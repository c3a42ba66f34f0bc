package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

const pathMail = "/account/mail"

// mailPage shows the address of a person, and changes it. It posts email.
type mailPage struct {
	shell
	Action   string
	Mails    bool // letters can be sent
	Email    string
	Verified bool
	Typed    string // what was typed before
}

func (mailPage) view() string { return "mail" }

func (s *Web) mailPage(r *http.Request, me visitor) mailPage {
	page := mailPage{
		shell: s.shell(r, me), Action: s.base + pathMail, Mails: s.Accounts.Mails(),
		Email: me.User.Profile.Email, Verified: me.User.Profile.EmailVerified,
	}
	if !page.Verified {
		page.Typed = page.Email
	}
	return page
}

func (s *Web) showMail(w http.ResponseWriter, r *http.Request, me visitor) error {
	page := s.mailPage(r, me)
	page.Notice = notice(r, map[string]string{"confirmed": s.pages.text(r, "verify.done.title")})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// changeMail sends a code to the address that somebody wants to have.
func (s *Web) changeMail(w http.ResponseWriter, r *http.Request, me visitor) error {
	if !s.Accounts.Mails() {
		return s.notFound(w, r)
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	by := s.asker(w, r, "")
	by.Session = me.ID
	id, err := s.Accounts.AskMail(r.Context(), me.UserID, f.Get("email"), by)
	if err == nil {
		redirect(w, r, s.base+pathMail+"/"+id)
		return nil
	}
	page, status := s.mailPage(r, me), http.StatusUnprocessableEntity
	page.Typed = f.Get("email")
	var wrong account.ErrInvalid
	switch {
	case errors.As(err, &wrong):
		page.Error = s.pages.flaw(r, wrong)
	case errors.Is(err, account.ErrLetterLimit):
		status, page.Error = s.tooManyLetters(w), s.pages.text(r, "verify.error.limit")
	default:
		return err
	}
	s.pages.self(w, r, status, page)
	return nil
}

// mailCodePage asks for the code of the letter that went to an address.
type mailCodePage struct {
	shell
	Code codePage
}

func (mailCodePage) view() string { return "mailcode" }

func (s *Web) mailCodePage(r *http.Request, me visitor) (mailCodePage, error) {
	c, err := s.Accounts.Waiting(r.Context(), model.ConfirmMail, r.PathValue("id"), s.cookies.letter(r))
	if err == nil && c.UserID != me.UserID {
		err = account.ErrConfirmation
	}
	return mailCodePage{s.shell(r, me), codePage{
		Action: s.base + pathMail + "/" + c.ID, Title: s.pages.text(r, "verify.title"), Text: s.pages.text(r, "verify.sent", "address", tidy(c.Address)),
		Again: s.base + pathMail, Back: s.base + pathMail,
	}}, err
}

func (s *Web) showMailCode(w http.ResponseWriter, r *http.Request, me visitor) error {
	page, err := s.mailCodePage(r, me)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	s.pages.self(w, r, http.StatusOK, page)
	return nil
}

// mailCode takes the code, and with it the address.
func (s *Web) mailCode(w http.ResponseWriter, r *http.Request, me visitor) error {
	page, err := s.mailCodePage(r, me)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	if _, err := pageForm(r); err != nil {
		return err
	}
	by := s.answer(r, r.PathValue("id"))
	by.Link, by.User = "", me.UserID
	_, err = s.Accounts.ConfirmMail(r.Context(), by)
	if err == nil {
		s.done(w, r, pathMail, "confirmed")
		return nil
	}
	if errors.Is(err, account.ErrLoginTaken) {
		page.Code.Error = s.pages.text(r, "verify.error.taken")
	} else if page.Code.Error, err = s.wrongCode(r, err); err != nil {
		return err
	}
	page.Code.Status = http.StatusUnprocessableEntity
	s.pages.self(w, r, page.Code.Status, page)
	return nil
}
