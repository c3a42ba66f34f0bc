package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// mailable finds the request of a sign-in that a mailed code may be a factor of: the
// first one, or one beside a password. known is the person who has given the first.
func (s *Web) mailable(w http.ResponseWriter, r *http.Request) (v visit, known model.User, here bool, err error) {
	z, err := s.waiting(r)
	if err != nil {
		return v, known, false, err
	}
	if v, err = s.arrive(r, z); err != nil {
		return v, known, false, err
	}
	if v.proving() && v.progress.Missing == account.Second && slices.Contains(v.progress.Methods, model.MethodMail) {
		return v, v.progress.User, true, nil
	}
	steps := []oauth.Step{oauth.StepLogin, oauth.StepFactor, oauth.StepSelect, oauth.StepCreate}
	if !slices.Contains(steps, v.step) || !s.Accounts.Takes(model.MethodMail, z.Client.SignInMethods) {
		redirect(w, r, s.pageOf(z, ""))
		return v, known, false, nil
	}
	return v, known, true, nil
}

// showMailSignIn offers a code by mail.
func (s *Web) showMailSignIn(w http.ResponseWriter, r *http.Request) error {
	v, known, here, err := s.mailable(w, r)
	if err != nil || !here {
		return err
	}
	s.mailSignInPage(w, r, v, askPage{Login: v.z.Request.Asked.LoginHint}, known)
	return nil
}

// mailSignInPage asks who somebody is, unless that is known.
func (s *Web) mailSignInPage(w http.ResponseWriter, r *http.Request, v visit, page askPage, known model.User) {
	page.Action, page.Back, page.Leave = s.pageOf(v.z, "/mail"), s.pageOf(v.z, "/login"), s.pages.text(r, "recover.signin")
	page.Title, page.Text, page.Submit = s.pages.text(r, "verify.signin.title"), s.pages.text(r, "verify.signin.text"), s.pages.text(r, "recover.submit")
	if known.ID != "" {
		page.Known, page.Login, page.Back = true, known.Login, s.pageOf(v.z, "/factor")
		page.Leave = s.pages.text(r, "verify.cancel")
	}
	s.pages.ask(w, r, page)
}

// mailSignIn sends a code, or does as if it did.
func (s *Web) mailSignIn(w http.ResponseWriter, r *http.Request) error {
	v, known, here, err := s.mailable(w, r)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	name := f.Get("login")
	if known.ID != "" {
		name = known.Login
	}
	_, err = s.Accounts.AskCode(r.Context(), name, s.asker(w, r, holder(v.z)))
	if errors.Is(err, account.ErrLetterLimit) {
		s.mailSignInPage(w, r, v, askPage{Status: s.tooManyLetters(w), Login: name, Error: s.pages.text(r, "verify.error.limit")}, known)
		return nil
	}
	if err != nil {
		return err
	}
	redirect(w, r, s.pageOf(v.z, "/mail/code"))
	return nil
}

func (s *Web) showMailSignInCode(w http.ResponseWriter, r *http.Request) error {
	return s.letterCode(w, r, model.ConfirmSignIn)
}

func (s *Web) mailSignInCode(w http.ResponseWriter, r *http.Request) error {
	return s.takeLetterCode(w, r, model.ConfirmSignIn)
}

// letters are the pages of a sign-in that ask for the code of a letter: where another
// one is asked for.
var letters = map[string]string{model.ConfirmSignUp: "/create", model.ConfirmSignIn: "/mail"}

func (s *Web) letterCodePage(r *http.Request, z oauth.Authorization, c model.Confirmation) codePage {
	page := codePage{
		Action: s.pageOf(z, proven[c.Purpose]), Title: s.pages.text(r, "verify.title"), Text: s.pages.text(r, "verify.sent", "address", tidy(c.Address)),
		Again: s.pageOf(z, letters[c.Purpose]), Back: s.pageOf(z, "/login"),
	}
	if c.Purpose == model.ConfirmSignIn { // whose address it is, nobody is told
		page.Text = s.pages.text(r, "recover.sent")
	}
	return page
}

// letterCode asks for the code of a letter that a sign-in waits for, or goes on where
// its link was used.
func (s *Web) letterCode(w http.ResponseWriter, r *http.Request, purpose string) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	c, err := s.Accounts.WaitingAt(r.Context(), purpose, holder(z), s.cookies.letter(r))
	if errors.Is(err, account.ErrConfirmation) { // it is over, or was never begun here
		redirect(w, r, s.pageOf(z, ""))
		return nil
	}
	if err != nil {
		return err
	}
	if c.ProvenAt != 0 {
		return s.goOn(w, r, z, purpose)
	}
	s.pages.code(w, r, s.letterCodePage(r, z, c))
	return nil
}

// takeLetterCode takes the code of a letter, and goes on.
func (s *Web) takeLetterCode(w http.ResponseWriter, r *http.Request, purpose string) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	if _, err := pageForm(r); err != nil {
		return err
	}
	c, err := s.Accounts.WaitingAt(r.Context(), purpose, holder(z), s.cookies.letter(r))
	if errors.Is(err, account.ErrConfirmation) {
		redirect(w, r, s.pageOf(z, ""))
		return nil
	}
	if err != nil {
		return err
	}
	by := s.answer(r, c.ID)
	by.Link = ""
	if _, err := s.Accounts.Confirm(r.Context(), purpose, by); err != nil {
		page := s.letterCodePage(r, z, c)
		if page.Error, err = s.wrongCode(r, err); err != nil {
			return err
		}
		page.Status = http.StatusUnprocessableEntity
		s.pages.code(w, r, page)
		return nil
	}
	return s.goOn(w, r, z, purpose)
}

// goOn does what the answer to a letter was for, and returns to the dispatcher.
func (s *Web) goOn(w http.ResponseWriter, r *http.Request, z oauth.Authorization, purpose string) error {
	var err error
	if browser := s.cookies.letter(r); purpose == model.ConfirmSignUp {
		err = s.Accounts.Join(r.Context(), holder(z), browser, s.Address(r))
	} else {
		err = s.Accounts.ProvedByMail(r.Context(), holder(z), browser)
	}
	switch {
	case errors.Is(err, account.ErrLoginTaken):
		return s.mailTaken(w, r)
	case errors.Is(err, account.ErrConfirmation), errors.Is(err, account.ErrCredentials), errors.Is(err, account.ErrLocked):
		// What has changed meanwhile the dispatcher finds out by itself.
	case err != nil:
		return err
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}
