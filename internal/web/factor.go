package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// proving reports whether somebody is on the way to a session: they have to be, or
// they have begun.
func (v visit) proving() bool {
	return v.step == oauth.StepLogin || v.step == oauth.StepFactor || v.progress.Begun && v.step != oauth.StepRefuse
}

// within is the session in which somebody sets up a factor who does not sign in anew;
// empty: they do.
func (v visit) within() model.SessionID {
	if v.step == oauth.StepFactor && v.who.UserID == v.progress.User.ID {
		return v.who.ID
	}
	return ""
}

// prove is the dispatcher's way to a session: it sends the browser to the page that
// asks for what is missing, and begins the session when nothing is.
func (s *Web) prove(w http.ResponseWriter, r *http.Request, v visit) error {
	if !v.z.Stored() && v.step == oauth.StepLogin {
		return s.sendTo(w, r, v.z, "/login")
	}
	switch v.progress.Missing {
	case account.First:
		waits, err := s.stranger(r, v.z)
		if err != nil {
			return err
		}
		if waits != nil && !waits.Known {
			return s.sendTo(w, r, v.z, "/join")
		}
		return s.sendTo(w, r, v.z, "/login")
	case account.Second:
		return s.sendTo(w, r, v.z, "/factor")
	case account.Enrol:
		return s.sendTo(w, r, v.z, "/enrol")
	case account.Never:
		return s.decline(w, r, v.z, v.z.Unmet())
	}
	if !v.z.Stored() {
		if err := s.keep(w, r, &v.z); err != nil {
			return err
		}
	}
	in, err := s.Accounts.Finish(r.Context(), holder(v.z), s.wanted(r, v), s.attempt(r))
	if errors.Is(err, account.ErrFactor) || errors.Is(err, account.ErrCredentials) || errors.Is(err, account.ErrLocked) {
		// Something has changed since the page before: begin anew, and say nothing to
		// who may be somebody else by now.
		if err := s.Accounts.Abandon(r.Context(), holder(v.z)); err != nil {
			return err
		}
		redirect(w, r, s.pageOf(v.z, "/login"))
		return nil
	}
	if err != nil {
		return err
	}
	s.enter(w, r, in)
	if there, linked, err := s.Federation.Settle(r.Context(), holder(v.z), in.Session); linked || err != nil {
		// They are signed in, whether their account elsewhere could be connected or not.
		s.Logger.InfoContext(r.Context(), "an account elsewhere waited for this sign-in", "upstream", there.ID, "connected", linked, "error", err)
	}
	if err := s.Authority.Authenticated(r.Context(), &v.z, in.Session); err != nil {
		return err
	}
	redirect(w, r, s.pageOf(v.z, ""))
	return nil
}

// atProof is at, for a page that asks for what is missing on the way to a session.
func (s *Web) atProof(w http.ResponseWriter, r *http.Request, missing account.Lack) (v visit, here bool, err error) {
	z, err := s.waiting(r)
	if err != nil {
		return v, false, err
	}
	if v, err = s.arrive(r, z); err != nil {
		return v, false, err
	}
	if !v.proving() || v.progress.Missing != missing {
		redirect(w, r, s.pageOf(z, ""))
		return v, false, nil
	}
	return v, true, nil
}

// showFactor asks for a further factor: for the one that is asked for, or else for
// the best that the person has.
func (s *Web) showFactor(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	s.pages.factor(w, r, s.factorPage(v, r.URL.Query().Get("method")))
	return nil
}

// factorAddress is where a method is asked for. A code is mailed from a page of its
// own, so that none is on its way whenever somebody looks at this one.
func (s *Web) factorAddress(v visit, m model.Method) string {
	if m == model.MethodMail {
		return s.pageOf(v.z, "/mail")
	}
	return s.pageOf(v.z, "/factor?method="+string(m))
}

func (s *Web) factorPage(v visit, asked string) factorPage {
	page := factorPage{
		Action: s.pageOf(v.z, "/factor"), Client: clientOf(v.z), User: userOf(v.progress.User),
		Login: s.pageOf(v.z, "/login?"+another), Trust: s.Accounts.TrustDays(),
	}
	for _, m := range v.progress.Methods {
		if string(m) == asked {
			page.Method = asked
		}
	}
	if page.Method == "" && len(v.progress.Methods) > 0 {
		page.Method = string(v.progress.Methods[0])
	}
	for _, m := range v.progress.Methods {
		if string(m) != page.Method {
			page.Others = append(page.Others, factorLink{string(m), s.factorAddress(v, m)})
		}
	}
	page.Later = v.progress.Offered
	if page.Method == string(model.MethodMail) {
		page.Mail = s.factorAddress(v, model.MethodMail)
	}
	if page.Method == string(model.MethodPasskey) && s.offersPasskey(v) {
		page.Passkey = &passkeyView{Action: s.pageOf(v.z, "/factor/passkey"), Main: true}
	}
	return page
}

// factor takes a further factor.
func (s *Web) factor(w http.ResponseWriter, r *http.Request) error {
	v, f, here, err := s.posted(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	page := s.factorPage(v, f.Get("method"))
	switch m := model.Method(page.Method); m {
	case model.MethodPassword:
		t := s.attempt(r)
		t.User, t.Password = v.progress.User.ID, model.Secret(f.Get("code"))
		err = s.Accounts.Password(r.Context(), holder(v.z), t)
	case model.MethodTOTP, model.MethodRecovery:
		err = s.Accounts.Code(r.Context(), holder(v.z), s.wanted(r, v), account.TypedCode{
			Method: m, Text: f.Get("code"), Trust: f.Get("trust") != "", Address: s.Address(r),
		})
	default:
		err = account.ErrCredentials // it is not typed
	}
	if err == nil || errors.Is(err, account.ErrFactor) {
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	return s.factorFailed(w, r, page, err)
}

// posted is atProof for what the form of such a page sends, unless that is to leave.
func (s *Web) posted(w http.ResponseWriter, r *http.Request, missing account.Lack) (v visit, f url.Values, here bool, err error) {
	if v, here, err = s.atProof(w, r, missing); err != nil || !here {
		return v, nil, false, err
	}
	if f, err = pageForm(r); err != nil {
		return v, nil, false, err
	}
	answered, err := s.leave(w, r, v, f.Get("decision"))
	return v, f, !answered, err
}

// leave does what somebody wants who does not give a factor: nothing more, or to go
// on without what was only offered.
func (s *Web) leave(w http.ResponseWriter, r *http.Request, v visit, decision string) (answered bool, err error) {
	switch {
	case decision == "cancel":
		return true, s.cancel(w, r, v.z)
	case decision == "later" && v.progress.Offered:
		if err := s.Accounts.Decline(r.Context(), holder(v.z)); err != nil {
			return true, err
		}
		redirect(w, r, s.pageOf(v.z, ""))
		return true, nil
	}
	return false, nil
}

func (s *Web) factorFailed(w http.ResponseWriter, r *http.Request, page factorPage, err error) error {
	var tooSoon account.ErrTooSoon
	switch {
	case errors.As(err, &tooSoon):
		page.Status, page.Error = http.StatusTooManyRequests, s.tooSoon(w, r, tooSoon)
	case errors.Is(err, account.ErrCredentials):
		page.Status, page.Error = http.StatusUnprocessableEntity, s.wrongFactor(r, page.Method)
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Status, page.Error = http.StatusServiceUnavailable, s.pages.text(r, "login.error.busy")
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "second factor refused", "error", err, "request", s.RequestID(r))
	s.pages.factor(w, r, page)
	return nil
}

// wrongFactor is the text about one that is not right.
func (s *Web) wrongFactor(r *http.Request, method string) string {
	switch model.Method(method) {
	case model.MethodTOTP:
		return s.pages.text(r, "factor.error.totp")
	case model.MethodRecovery:
		return s.pages.text(r, "factor.error.recovery_code")
	case model.MethodPassword:
		return s.pages.text(r, "factor.error.password")
	}
	return s.pages.text(r, "factor.error.other")
}

// showEnrol lets a person set up a factor that they have to have from now on.
func (s *Web) showEnrol(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	page, err := s.enrolPage(r, v)
	if err != nil {
		return err
	}
	s.pages.enrol(w, r, page)
	return nil
}

func (s *Web) enrolPage(r *http.Request, v visit) (enrolPage, error) {
	page := enrolPage{Action: s.pageOf(v.z, "/enrol"), Client: clientOf(v.z), User: userOf(v.progress.User), Later: v.progress.Offered}
	for _, m := range v.progress.Methods {
		switch m {
		case model.MethodTOTP:
			app, err := s.appView(r, holder(v.z), v.progress.User)
			if err != nil {
				return page, err
			}
			page.App = app
		case model.MethodPasskey:
			page.Passkey = &passkeyView{Action: s.pageOf(v.z, "/enrol/passkey"), New: true, Main: page.App == nil}
		}
	}
	return page, nil
}

// appView is what a person needs to set up an app, kept under a holder until it has
// made a code.
func (s *Web) appView(r *http.Request, holder string, user model.User) (*appView, error) {
	secret, err := s.Accounts.OfferTOTP(r.Context(), holder, user.ID)
	if err != nil {
		return nil, err
	}
	offer, err := account.NewOffer(secret, s.pages.theme.Name, user.Login)
	if err != nil {
		return nil, err
	}
	return &appView{Secret: offer.Text, Address: offer.Address.Reveal(), Box: offer.Picture.Box(), Path: offer.Picture.Path}, nil
}

// enrol takes the first code of an app. The recovery codes that come with it are
// shown at once, and never again.
func (s *Web) enrol(w http.ResponseWriter, r *http.Request) error {
	v, f, here, err := s.posted(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	page, err := s.enrolPage(r, v)
	if err != nil {
		return err
	}
	if page.App == nil {
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	codes, err := s.Accounts.ConfirmTOTP(r.Context(), s.actor(r, v.progress.User.ID), holder(v.z), account.NewTOTP{
		User: v.progress.User.ID, Code: f.Get("code"), Signing: true, Session: v.within(),
	})
	switch {
	case errors.Is(err, account.ErrCredentials):
		page.Status, page.Error = http.StatusUnprocessableEntity, s.pages.text(r, "enrol.error")
		s.pages.enrol(w, r, page)
		return nil
	case err != nil && !errors.Is(err, account.ErrFactor) && !errors.Is(err, account.ErrTooMany) && !errors.Is(err, account.ErrNoSession):
		return err
	case len(codes) == 0:
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	s.pages.codes(w, r, newCodesPage(codes, s.pageOf(v.z, ""), page.User))
	return nil
}

// factorPage asks for a further factor. It posts method, code and, from the second
// button, decision=cancel.
type factorPage struct {
	Status int // 0: 200
	Action string
	Client clientView // zero: nobody sent them
	User   userView
	Method string // that is asked for
	Others []factorLink
	Login  string // address of the sign-in page, for somebody else
	Mail   string // where a code is mailed, if that is what is asked for; empty: it is not
	Trust  int    // days for which the browser can be remembered; 0: it cannot
	Later  bool   // it need not be now
	Error  string // empty: none

	Passkey *passkeyView // nil: none is asked for
}

// Typed reports whether the method is something to type.
func (v factorPage) Typed() bool { return v.Method != "passkey" && v.Method != "mail" }

// Days is Trust for people.
func (v factorPage) Days() string { return strconv.Itoa(v.Trust) }

// factorLink leads to another method.
type factorLink struct{ Method, Address string }

func (v factorPage) policy() string { return v.Passkey.policy() }

func (p *pages) factor(w http.ResponseWriter, r *http.Request, v factorPage) {
	p.draw(w, r, drawing{view: "factor", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, policy: v.policy(), data: v})
}

// enrolPage lets somebody set up the factor that they have to have from now on. It
// posts method, code and decision.
type enrolPage struct {
	Status  int // 0: 200
	Action  string
	Client  clientView // zero: nobody sent them
	User    userView
	App     *appView     // nil: none can be set up
	Passkey *passkeyView // nil: none can be set up
	Later   bool         // it need not be now
	Error   string       // empty: none
}

func (v enrolPage) policy() string { return v.Passkey.policy() }

// appView is the secret of an app that is being set up: as text, as an address, and
// as a picture in SVG.
type appView struct {
	Secret, Address string
	Box, Path       string
}

// Link is the address, which has a scheme that apps for codes have and html/template
// would not take.
func (v appView) Link() template.URL {
	if !strings.HasPrefix(v.Address, "otpauth://totp/") {
		return ""
	}
	return template.URL(v.Address)
}

// codesPage shows recovery codes, once.
type codesPage struct {
	Codes []string
	Next  string // address that it leads on to
	User  userView
}

// File is the codes as something to download, without a script.
func (v codesPage) File() template.URL {
	return template.URL("data:text/plain;charset=utf-8," + url.PathEscape(strings.Join(v.Codes, "\n")+"\n"))
}

func newCodesPage(codes []model.Secret, next string, user userView) codesPage {
	v := codesPage{Next: next, User: user}
	for _, code := range codes {
		v.Codes = append(v.Codes, code.Reveal())
	}
	return v
}

func (p *pages) codes(w http.ResponseWriter, r *http.Request, v codesPage) {
	p.draw(w, r, drawing{view: "codes", status: http.StatusOK, opener: openerFlow, once: true, data: v})
}

func (p *pages) enrol(w http.ResponseWriter, r *http.Request, v enrolPage) {
	p.draw(w, r, drawing{view: "enrol", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, policy: v.policy(), data: v})
}
