package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// linkPage is what the link of a letter leads to: it says what the button does. It
// posts token.
type linkPage struct {
	Action      string // empty: there is nothing to do here
	Token       string
	Title, Text string
	Submit      string
}

func (p *pages) link(w http.ResponseWriter, r *http.Request, v linkPage) {
	p.draw(w, r, drawing{view: "link", status: http.StatusOK, opener: openerFlow, data: v})
}

// showLink tells what a link is for. It changes nothing: programs that look through
// mail open links.
func (s *Web) showLink(w http.ResponseWriter, r *http.Request) error {
	token := r.URL.Query().Get("token")
	l, err := s.Accounts.Linked(r.Context(), model.Secret(token), s.cookies.letter(r))
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	if !l.Here {
		s.pages.link(w, r, linkPage{Title: s.pages.text(r, "verify.elsewhere.title"), Text: s.pages.text(r, "verify.elsewhere.text")})
		return nil
	}
	if l.Purpose == model.ConfirmInvite || l.Purpose == model.ConfirmReset {
		page, err := s.acceptPage(r, l, token)
		if err != nil {
			return s.linkRefused(w, r, err)
		}
		s.pages.password(w, r, page)
		return nil
	}
	page := linkPage{Action: s.base + "/link", Token: token, Submit: s.pages.text(r, "verify.submit")}
	switch l.Purpose {
	case model.ConfirmRecover:
		page.Title, page.Text = s.pages.text(r, "recover.title"), s.pages.text(r, "recover.go")
	case model.ConfirmSignIn:
		page.Title, page.Text = s.pages.text(r, "verify.signin.title"), s.pages.text(r, "verify.signin.go")
	case model.ConfirmUndo:
		page.Title, page.Text = s.pages.text(r, "recover.undo.title"), s.pages.text(r, "recover.undo.text", "address", tidy(l.Address), "login", tidy(l.User.Login))
		page.Submit = s.pages.text(r, "recover.undo.submit")
	default:
		page.Title, page.Text = s.pages.text(r, "verify.go.title"), s.pages.text(r, "verify.go.text", "address", tidy(l.Address))
		page.Submit = s.pages.text(r, "verify.go.submit")
	}
	s.pages.link(w, r, page)
	return nil
}

func (s *Web) acceptPage(r *http.Request, l account.Linked, token string) (passwordPage, error) {
	page := passwordPage{Action: s.base + "/link", Token: token, Login: l.User.Login}
	keyable, err := s.Accounts.Keyable(r.Context(), l.User.ID)
	if err != nil {
		return page, err
	}
	if keyable {
		page.Passkey = &passkeyView{Action: s.base + pathLinkPasskey, New: true, Token: token}
	}
	if l.Purpose == model.ConfirmInvite {
		page.Title = s.pages.text(r, "invite.title")
		page.Text = s.pages.text(r, "invite.text", "installation", s.pages.theme.Name, "login", tidy(l.User.Login))
		return page, nil
	}
	page.Title, page.Text = s.pages.text(r, "recover.password.title"), s.pages.text(r, "recover.password.text", "login", tidy(l.User.Login))
	return page, nil
}

// link does what a link is for.
func (s *Web) link(w http.ResponseWriter, r *http.Request) error {
	if _, err := pageForm(r); err != nil {
		return err
	}
	by := s.answer(r, "")
	l, err := s.Accounts.Linked(r.Context(), by.Link, by.Browser)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	switch l.Purpose {
	case model.ConfirmInvite, model.ConfirmReset:
		return s.accept(w, r, l, by)
	case model.ConfirmUndo:
		return s.undoMail(w, r, by)
	case model.ConfirmMail:
		user, err := s.Accounts.ConfirmMail(r.Context(), by)
		if errors.Is(err, account.ErrLoginTaken) {
			return s.mailTaken(w, r)
		}
		if err != nil {
			return s.linkRefused(w, r, elsewhere(err))
		}
		s.pages.done(w, r, donePage{
			Title: s.pages.text(r, "verify.done.title"), Text: s.pages.text(r, "verify.done.text", "address", tidy(user.Profile.Email)),
			Link: s.base + "/", Go: s.pages.text(r, "verify.done.home"),
		})
		return nil
	}
	c, err := s.Accounts.Confirm(r.Context(), l.Purpose, by)
	if err != nil {
		return s.linkRefused(w, r, elsewhere(err))
	}
	to := s.base + pathRecover + "/" + c.ID + "/password"
	if c.Purpose != model.ConfirmRecover {
		to = s.base + "/interaction/" + url.PathEscape(c.Holder) + proven[c.Purpose]
	}
	redirect(w, r, to)
	return nil
}

// proven is the page of a sign-in that goes on when a letter was answered.
var proven = map[string]string{model.ConfirmSignUp: "/create/code", model.ConfirmSignIn: "/mail/code"}

// elsewhere makes a link of another browser one that is not valid: its page has no
// button.
func elsewhere(err error) error {
	if errors.Is(err, account.ErrElsewhereAsked) {
		return account.ErrConfirmation
	}
	return err
}

func (s *Web) mailTaken(w http.ResponseWriter, r *http.Request) error {
	s.pages.done(w, r, donePage{
		Status: http.StatusConflict, Title: s.pages.text(r, "verify.go.title"), Text: s.pages.text(r, "verify.error.taken"),
		Link: s.base + "/", Go: s.pages.text(r, "verify.done.home"),
	})
	return nil
}

// accept takes the password of somebody who is invited, or has lost theirs.
func (s *Web) accept(w http.ResponseWriter, r *http.Request, l account.Linked, by account.Answer) error {
	if _, err := s.Accounts.Accept(r.Context(), by, model.Secret(r.PostForm.Get("password"))); err != nil {
		page, failed := s.acceptPage(r, l, by.Link.Reveal())
		if failed != nil {
			return s.linkRefused(w, r, failed)
		}
		return s.passwordRefused(w, r, page, err)
	}
	s.pages.done(w, r, donePage{
		Title: s.pages.text(r, "recover.done.title"), Text: s.pages.text(r, "recover.done.text"),
		Link: s.base + "/sign-in", Go: s.pages.text(r, "recover.done.signin"),
	})
	return nil
}

// pathLinkPasskey is where a passkey is chosen in place of a password.
const pathLinkPasskey = "/link/passkey"

// askInvited asks for the passkey of somebody who is invited, or is reset.
func (s *Web) askInvited(w http.ResponseWriter, r *http.Request) error {
	if _, err := pageForm(r); err != nil {
		return err
	}
	options, err := s.Accounts.AskInvited(r.Context(), s.answer(r, "").Link)
	if errors.Is(err, account.ErrConfirmation) || errors.Is(err, account.ErrFactor) {
		err = errors.Join(errForm, err)
	}
	return s.sendOptions(w, options, err)
}

// acceptPasskey takes the passkey of somebody who is invited, or is reset.
func (s *Web) acceptPasskey(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	by := s.answer(r, "")
	l, err := s.Accounts.Linked(r.Context(), by.Link, by.Browser)
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	if err := s.Accounts.AcceptPasskey(r.Context(), by, []byte(f.Get("answer"))); errors.Is(err, account.ErrFactor) {
		return errors.Join(errForm, err) // it was not offered
	} else if err != nil {
		page, failed := s.acceptPage(r, l, by.Link.Reveal())
		if failed != nil {
			return s.linkRefused(w, r, failed)
		}
		if page.Error = s.passkeyFault(r, err); page.Error == "" {
			return s.passwordRefused(w, r, page, err)
		}
		page.Status = http.StatusUnprocessableEntity
		s.Logger.InfoContext(r.Context(), "passkey refused", "error", err, "request", s.RequestID(r))
		s.pages.password(w, r, page)
		return nil
	}
	s.pages.done(w, r, donePage{
		Title: s.pages.text(r, "passkey.done.added"), Text: s.pages.text(r, "passkey.accepted"), Link: s.base + "/sign-in", Go: s.pages.text(r, "recover.done.signin"),
	})
	return nil
}

// undoMail gives somebody their old address back.
func (s *Web) undoMail(w http.ResponseWriter, r *http.Request, by account.Answer) error {
	user, err := s.Accounts.UndoMail(r.Context(), by)
	if errors.Is(err, account.ErrLoginTaken) {
		return s.mailTaken(w, r)
	}
	if err != nil {
		return s.linkRefused(w, r, err)
	}
	page := donePage{
		Title: s.pages.text(r, "recover.undo.done"), Text: s.pages.text(r, "recover.undo.next", "address", tidy(user.Profile.Email)),
		Link: s.base + pathRecover, Go: s.pages.text(r, "recover.password.title"),
	}
	s.pages.done(w, r, page)
	return nil
}
