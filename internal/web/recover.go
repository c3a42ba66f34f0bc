package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// pathRecover is where people begin who have lost what they sign in with.
const pathRecover = "/recover"

// asker is whoever asks for a letter at a page: this browser, and no other, can
// answer it with the code.
func (s *Web) asker(w http.ResponseWriter, r *http.Request, holder string) account.Asker {
	return account.Asker{
		Browser: s.cookies.keepLetter(w, r), Address: s.Address(r), Language: s.pages.edition(r).words.Tag, Holder: holder,
	}
}

// answer is what somebody sends of a letter.
func (s *Web) answer(r *http.Request, id string) account.Answer {
	return account.Answer{ID: id, Code: r.PostForm.Get("code"), Link: model.Secret(r.PostForm.Get("token")), Browser: s.cookies.letter(r), Address: s.Address(r)}
}

// askPage asks whom a letter is to go to. It posts login.
type askPage struct {
	Status        int // 0: 200
	Action        string
	Title, Text   string
	Known         bool   // whom is known, and not asked
	Login         string // what was typed before, or who it is
	Error         string // empty: none
	Back          string // address of the sign-in
	Submit, Leave string
}

// codePage asks for the code of a letter. It posts code.
type codePage struct {
	Status      int // 0: 200
	Action      string
	Title, Text string
	Error       string // empty: none
	Again       string // where another letter is asked for
	Back        string // where it is given up
}

// passwordPage asks for a new password. It posts password, and token if it has one.
type passwordPage struct {
	Status      int // 0: 200
	Action      string
	Title, Text string
	Token       string // of the link that leads here; empty: none
	Login       string // for whoever keeps passwords
	Error       string // empty: none

	Passkey *passkeyView // in place of a password; nil: none can be chosen
}

func (v passwordPage) policy() string { return v.Passkey.policy() }

// donePage says that something has been done, and where to go on.
type donePage struct {
	Status      int // 0: 200
	Title, Text string
	Link, Go    string
}

func (p *pages) ask(w http.ResponseWriter, r *http.Request, v askPage) {
	p.draw(w, r, drawing{view: "ask", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

func (p *pages) code(w http.ResponseWriter, r *http.Request, v codePage) {
	p.draw(w, r, drawing{view: "code", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

func (p *pages) password(w http.ResponseWriter, r *http.Request, v passwordPage) {
	p.draw(w, r, drawing{view: "password", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, policy: v.policy(), data: v})
}

func (p *pages) done(w http.ResponseWriter, r *http.Request, v donePage) {
	p.draw(w, r, drawing{view: "done", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

// sent is the address of the sign-in that somebody came from, or the account's.
func (s *Web) sent(r *http.Request) string {
	if id := r.URL.Query().Get("request"); id != "" && len(id) <= maxRequestID {
		return s.base + "/interaction/" + url.PathEscape(id)
	}
	return s.base + "/sign-in"
}

// maxRequestID bounds what is read of a request's ID, in bytes.
const maxRequestID = 64

// query is handed on from page to page: where somebody came from.
func query(r *http.Request) string {
	if id := r.URL.Query().Get("request"); id != "" && len(id) <= maxRequestID {
		return "?request=" + url.QueryEscape(id)
	}
	return ""
}

func (s *Web) recoverPage(r *http.Request) askPage {
	return askPage{
		Action: s.base + pathRecover + query(r), Back: s.sent(r), Title: s.pages.text(r, "recover.title"), Text: s.pages.text(r, "recover.text"),
		Submit: s.pages.text(r, "recover.submit"), Leave: s.pages.text(r, "recover.signin"),
	}
}

// showRecover begins a recovery. Where no letters are sent there is none.
func (s *Web) showRecover(w http.ResponseWriter, r *http.Request) error {
	if !s.Accounts.Mails() {
		return s.notFound(w, r)
	}
	s.pages.ask(w, r, s.recoverPage(r))
	return nil
}

// recover sends a letter, or does as if it did: the answer is the same.
func (s *Web) recover(w http.ResponseWriter, r *http.Request) error {
	if !s.Accounts.Mails() {
		return s.notFound(w, r)
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	id, err := s.Accounts.AskRecovery(r.Context(), f.Get("login"), s.asker(w, r, ""))
	if errors.Is(err, account.ErrLetterLimit) {
		page := s.recoverPage(r)
		page.Status, page.Login, page.Error = s.tooManyLetters(w), f.Get("login"), s.pages.text(r, "verify.error.limit")
		s.pages.ask(w, r, page)
		return nil
	}
	if err != nil {
		return err
	}
	redirect(w, r, s.base+pathRecover+"/"+id+query(r))
	return nil
}

func (s *Web) tooManyLetters(w http.ResponseWriter) int {
	w.Header().Set("Retry-After", "3600")
	return http.StatusTooManyRequests
}

func (s *Web) recoverCodePage(r *http.Request) codePage {
	return codePage{
		Action: r.URL.EscapedPath() + query(r), Title: s.pages.text(r, "verify.title"), Text: s.pages.text(r, "recover.sent"),
		Again: s.base + pathRecover + query(r), Back: s.sent(r),
	}
}

func (s *Web) showRecoverCode(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Accounts.Waiting(r.Context(), model.ConfirmRecover, r.PathValue("id"), s.cookies.letter(r))
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	if c.ProvenAt != 0 {
		redirect(w, r, r.URL.EscapedPath()+"/password"+query(r))
		return nil
	}
	s.pages.code(w, r, s.recoverCodePage(r))
	return nil
}

// recoverCode takes the code of a letter.
func (s *Web) recoverCode(w http.ResponseWriter, r *http.Request) error {
	if _, err := pageForm(r); err != nil {
		return err
	}
	by := s.answer(r, r.PathValue("id"))
	by.Link = ""
	c, err := s.Accounts.Confirm(r.Context(), model.ConfirmRecover, by)
	if err != nil {
		page := s.recoverCodePage(r)
		if page.Error, err = s.wrongCode(r, err); err != nil {
			return err
		}
		page.Status = http.StatusUnprocessableEntity
		s.pages.code(w, r, page)
		return nil
	}
	redirect(w, r, s.base+pathRecover+"/"+c.ID+"/password"+query(r))
	return nil
}

// wrongCode says what is wrong with a code, or returns an error of another sort.
func (s *Web) wrongCode(r *http.Request, err error) (string, error) {
	switch {
	case errors.Is(err, account.ErrCode):
		return s.pages.text(r, "verify.error.code"), nil
	case errors.Is(err, account.ErrConfirmation):
		return s.pages.text(r, "verify.error.dead"), nil
	}
	return "", err
}

// recovering is the page of the new password of a recovery whose letter was answered
// in this browser.
func (s *Web) recovering(r *http.Request) (page passwordPage, err error) {
	c, err := s.Accounts.Waiting(r.Context(), model.ConfirmRecover, r.PathValue("id"), s.cookies.letter(r))
	if err == nil && c.ProvenAt == 0 {
		err = account.ErrConfirmation
	}
	if err != nil {
		return page, err
	}
	user, err := s.Accounts.User(r.Context(), c.UserID)
	if errors.Is(err, account.ErrNoUser) {
		err = account.ErrConfirmation
	}
	return passwordPage{
		Action: r.URL.EscapedPath() + query(r), Login: user.Login,
		Title: s.pages.text(r, "recover.password.title"), Text: s.pages.text(r, "recover.password.text", "login", tidy(user.Login)),
	}, err
}

func (s *Web) showRecoverPassword(w http.ResponseWriter, r *http.Request) error {
	page, err := s.recovering(r)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	s.pages.password(w, r, page)
	return nil
}

// recoverPassword gives the person a new password. Nobody is signed in by it.
func (s *Web) recoverPassword(w http.ResponseWriter, r *http.Request) error {
	page, err := s.recovering(r)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	err = s.Accounts.Recover(r.Context(), s.answer(r, r.PathValue("id")), model.Secret(f.Get("password")))
	if err != nil {
		return s.passwordRefused(w, r, page, err)
	}
	s.pages.done(w, r, donePage{
		Title: s.pages.text(r, "recover.done.title"), Text: s.pages.text(r, "recover.done.text"), Link: s.sent(r), Go: s.pages.text(r, "recover.done.signin"),
	})
	return nil
}

// passwordRefused shows a page again whose password cannot be taken.
func (s *Web) passwordRefused(w http.ResponseWriter, r *http.Request, page passwordPage, err error) error {
	var wrong account.ErrInvalid
	switch {
	case errors.As(err, &wrong):
		page.Status, page.Error = http.StatusUnprocessableEntity, s.pages.flaw(r, wrong)
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Status, page.Error = http.StatusServiceUnavailable, s.pages.text(r, "login.error.busy")
	case errors.Is(err, account.ErrLocked):
		page.Status, page.Error = http.StatusForbidden, s.pages.text(r, "login.error.locked")
	default:
		return s.linkRefused(w, r, err)
	}
	s.pages.password(w, r, page)
	return nil
}

// linkRefused says why a link, or what follows a letter, does not work.
func (s *Web) linkRefused(w http.ResponseWriter, r *http.Request, err error) error {
	if !errors.Is(err, account.ErrConfirmation) {
		return err
	}
	page := s.errorPage(r, oauth.InvalidRequest, s.pages.text(r, "verify.error.link"))
	page.Hint = s.pages.text(r, "verify.error.hint")
	s.log(r, err, oauth.InvalidRequest)
	s.pages.error(w, r, page)
	return nil
}
