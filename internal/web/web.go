// Package web is the door for people: all that a browser visits. It owns the
// pages, their templates and styles, the cookies, and the way from one page to
// the next.
//
// It never decides: whether somebody may sign in is account's to say, what an
// application may have is oauth's. Each page proves one thing, stores it by one
// of these two, and sends the browser back to the dispatcher (proceed), which
// asks oauth for the next step. Pages never send to pages.
package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
)

// Config says what the pages work with; all but Logger and Visited is required.
type Config struct {
	Accounts   *account.Accounts
	Registrar  *registration.Registrar
	Authority  *oauth.Authority
	Federation *federation.Federation
	Theme      Theme
	Box        *mail.Box                    // shown at /mailbox; nil: there is none
	Logger     *slog.Logger                 // nil: slog.Default
	RequestID  func(r *http.Request) string // names a request in the log and on the error page
	Address    func(r *http.Request) string // of the person
	Places     device.Places                // where networks are
	Visited    func(r *http.Request)        // is told of each request whose Pattern is known; nil: nobody is
}

// Web serves the pages.
type Web struct {
	Config
	pages   *pages
	cookies cookies
	base    string          // path of the issuer, "" at the root
	ours    map[string]bool // pages of the account area, which a sign-in of our own can lead to
}

// New returns the pages, or an error where a template is broken.
func New(c Config) (*Web, error) {
	if c.Accounts == nil || c.Federation == nil || c.Registrar == nil || c.Authority == nil || c.RequestID == nil || c.Address == nil {
		return nil, errors.New("web: Accounts, Federation, Registrar, Authority, RequestID and Address are required")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	base := c.Authority.BasePath()
	c.Theme.Base = base
	p, err := newPages(c.Theme)
	if err != nil {
		return nil, err
	}
	s := &Web{
		Config:  c,
		pages:   p,
		cookies: cookies{secure: strings.HasPrefix(c.Authority.Issuer, "https:"), base: base},
		base:    base,
		ours:    map[string]bool{},
	}
	p.passwordLength = c.Accounts.PasswordLength()
	p.chooser.own, p.chooser.locale = s.cookies.language, s.localeOf
	return s, nil
}

// route gives an address a page; the base path of the issuer is put before it.
type route func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Route is one page, as a reader needs to know it.
type Route struct {
	Pattern string // method and path from the root of the host
	For     string // who may visit it, in words
}

// Who may visit a page.
const (
	forAll       = "everybody"
	forStarters  = "the browser that began the sign-in"
	forSignedIn  = "whoever is signed in"
	forLately    = "whoever has signed in lately"
	forReturning = "the browser that went to the identity provider"
	forAskers    = "the browser that asked for the letter"
)

// Handler answers at every page of the site map.
func (s *Web) Handler() http.Handler {
	mux := http.NewServeMux()
	s.siteMap(func(string) route {
		return func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
			free := lyingReady(pattern)
			mux.HandleFunc(s.below(pattern), func(w http.ResponseWriter, r *http.Request) {
				if s.Visited != nil {
					s.Visited(r)
				}
				var err error
				if !free {
					err = s.Authority.Admit(s.Address(r))
				}
				if err == nil {
					err = h(w, r)
				}
				if err != nil {
					s.refuse(w, r, err)
				}
			})
		}
	})
	return hear(s.sameOrigin().Handler(mux))
}

// lyingReady reports whether at an address is a file that cost nothing to make: a page
// asks for several of them, and everybody may have them as often as they like.
func lyingReady(pattern string) bool {
	return slices.ContainsFunc([]string{"GET /static/", "GET /theme/", "GET /logo/"}, func(begin string) bool { return strings.HasPrefix(pattern, begin) })
}

// Routes lists every page.
func (s *Web) Routes() []Route {
	var all []Route
	s.siteMap(func(who string) route {
		return func(pattern string, _ func(http.ResponseWriter, *http.Request) error) {
			all = append(all, Route{s.below(pattern), who})
		}
	})
	return all
}

// below puts the base path of the issuer into a pattern.
func (s *Web) below(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	return method + " " + s.base + path
}

// siteMap has every page: pages leads from who may visit some of them to what takes
// them.
func (s *Web) siteMap(pages func(who string) route) {
	page := pages(forAll)
	// Where applications send people.
	page("GET "+oauth.PathAuthorize, s.authorize)
	page("POST "+oauth.PathAuthorize, s.authorize)
	page("GET "+oauth.PathLogout, s.logout)
	page("POST "+oauth.PathLogout, s.logout)
	page("GET "+oauth.PathState, s.state)

	s.signInPages(pages(forStarters))
	s.directoryPages(pages(forStarters))
	s.upstreamPages(pages)

	// What a device tells its person to visit.
	page("GET "+oauth.PathDevice, s.showDevice)
	page("POST "+oauth.PathDevice, s.device)
	page("GET "+oauth.PathDevice+"/done", s.deviceDone)
	page("GET "+oauth.PathDevice+"/refused", s.deviceRefused)

	// What a person visits on their own.
	page("GET /{$}", s.home)
	page("GET /sign-in", s.signIn)
	page("POST /switch", s.switchAccount)
	page("POST /language", s.chooseLanguage)
	page("POST /logout/confirm", s.confirmLogout)
	page("GET "+pathSignedOut, s.signedOut)
	page("GET /setup", s.showSetup)
	page("POST /setup", s.setup)

	s.letterPages(pages)
	s.ownPages(pages)

	page("GET /logo/{hash}", s.logo)
	page("GET /theme/{file}", s.themeFile)
	page("GET /theme/{client}/{file}", s.clientFile)
	static := http.StripPrefix(s.base, staticFiles())
	page("GET /static/", func(w http.ResponseWriter, r *http.Request) error {
		static.ServeHTTP(w, r)
		return nil
	})
	page("GET /", s.notFound)
}

// signInPages are the steps of a sign-in.
func (s *Web) signInPages(page route) {
	page("GET /interaction/{id}", s.resume)
	page("GET /interaction/{id}/login", s.showLogin)
	page("POST /interaction/{id}/login", s.login)
	page("GET /interaction/{id}/factor", s.showFactor)
	page("POST /interaction/{id}/factor", s.factor)
	page("GET /interaction/{id}/enrol", s.showEnrol)
	page("POST /interaction/{id}/enrol", s.enrol)
	page("POST /interaction/{id}/passkey", s.proveFirst)
	page("POST /interaction/{id}/passkey/options", s.askFirst)
	page("POST /interaction/{id}/factor/passkey", s.proveSecond)
	page("POST /interaction/{id}/factor/passkey/options", s.askSecond)
	page("POST /interaction/{id}/enrol/passkey", s.enrolPasskey)
	page("POST /interaction/{id}/enrol/passkey/options", s.askEnrol)
	page("GET /interaction/{id}/select", s.showSelect)
	page("POST /interaction/{id}/select", s.selectAccount)
	page("GET /interaction/{id}/create", s.showCreate)
	page("POST /interaction/{id}/create", s.create)
	page("GET /interaction/{id}/create/code", s.showCreateCode)
	page("POST /interaction/{id}/create/code", s.createCode)
	page("GET /interaction/{id}/mail", s.showMailSignIn)
	page("POST /interaction/{id}/mail", s.mailSignIn)
	page("GET /interaction/{id}/mail/code", s.showMailSignInCode)
	page("POST /interaction/{id}/mail/code", s.mailSignInCode)
	page("GET /interaction/{id}/consent", s.showConsent)
	page("POST /interaction/{id}/consent", s.consent)
}

// letterPages are what letters lead to.
func (s *Web) letterPages(pages func(string) route) {
	page, asked := pages(forAll), pages(forAskers)
	page("GET "+pathRecover, s.showRecover)
	page("POST "+pathRecover, s.recover)
	asked("GET "+pathRecover+"/{id}", s.showRecoverCode)
	asked("POST "+pathRecover+"/{id}", s.recoverCode)
	asked("GET "+pathRecover+"/{id}/password", s.showRecoverPassword)
	asked("POST "+pathRecover+"/{id}/password", s.recoverPassword)
	page("GET /link", s.showLink)
	page("POST /link", s.link)
	page("POST "+pathLinkPasskey, s.acceptPasskey)
	page("POST "+pathLinkPasskey+"/options", s.askInvited)
	page("GET "+pathMailbox, s.mailbox)
	page("GET "+pathMailbox+"/{letter}", s.letter)
	page("GET "+pathMailbox+"/{letter}/html", s.letterHTML)
}

// ownPages are those of the account area. Where there is a page, a sign-in can lead
// to it.
func (s *Web) ownPages(pages func(string) route) {
	behind := func(pattern string, need proof, h mine) {
		who := forSignedIn
		if need == fresh {
			who = forLately
		}
		pages(who)(pattern, s.guard(need, h))
	}
	own := func(pattern string, need proof, h mine) {
		if method, path, _ := strings.Cut(pattern, " "); method == http.MethodGet {
			s.ours[path] = true
		}
		behind(pattern, need, h)
	}
	s.ours[oauth.PathAccount] = true
	pages(forSignedIn)("GET "+oauth.PathAccount, s.overview)
	own("GET /account/profile", live, s.showProfile)
	own("POST /account/profile", live, s.changeProfile)
	own("GET /account/sign-in", fresh, s.showMethods)
	own("POST /account/sign-in", fresh, s.changePassword)
	own("GET "+totpPath, fresh, s.showTOTP)
	own("POST "+totpPath, fresh, s.changeTOTP)
	own("GET /account/sessions", live, s.showSessions)
	own("POST /account/sessions", live, s.endSession)
	own("GET /account/applications", live, s.showApplications)
	own("POST /account/applications", live, s.withdraw)
	own("GET /account/activity", live, s.showActivity)
	own("GET /account/data", fresh, s.showData)
	own("POST /account/data", fresh, s.exportData)
	own("GET /account/delete", fresh, s.showDelete)
	own("POST /account/delete", fresh, s.deleteAccount)
	own("GET "+pathPasskeys, fresh, s.showPasskeys)
	own("POST "+pathPasskeys, fresh, s.addPasskey)
	own("POST "+pathPasskeys+"/options", fresh, s.askNewPasskey)
	own("POST "+pathPasskeys+"/{passkey}", fresh, s.changePasskey)
	own("GET "+pathIdentities, fresh, s.showIdentities)
	own("POST "+pathIdentities, fresh, s.connectIdentity)
	own("POST "+pathIdentities+"/{identity}", fresh, s.disconnectIdentity)
	behind("GET "+pathIdentities+"/at/{upstream}", fresh, s.showConnectDirectory)
	behind("POST "+pathIdentities+"/at/{upstream}", fresh, s.connectDirectory)

	own("GET "+pathMail, live, s.showMail)
	own("POST "+pathMail, fresh, s.changeMail)
	behind("GET "+pathMail+"/{id}", live, s.showMailCode)
	behind("POST "+pathMail+"/{id}", live, s.mailCode)
}

// sameOrigin refuses what another site makes a browser post, but for the addresses
// to which other sites are meant to post: OpenID Connect Core §3.1.2.1 and
// RP-Initiated Logout §2, neither of which changes anything without a page in
// between; and those of identity providers (OAuth 2.0 Form Post Response Mode §2,
// SAML V2.0 Bindings §3.5), where what is posted has to prove itself.
func (s *Web) sameOrigin() *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	p.AddInsecureBypassPattern("POST " + s.base + oauth.PathAuthorize)
	p.AddInsecureBypassPattern("POST " + s.base + oauth.PathLogout)
	p.AddInsecureBypassPattern("POST " + s.base + pathUpstream + "/{upstream}/callback")
	p.AddInsecureBypassPattern("POST " + s.base + pathUpstream + "/{upstream}/logout")
	if u, err := url.Parse(s.Authority.Issuer); err == nil {
		// A reverse proxy may give us another Host than the browser sees.
		if err := p.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			s.Logger.Warn("the issuer is not an origin", "error", err)
		}
	}
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := s.errorPage(r, oauth.InvalidRequest, s.pages.text(r, "refusal.site"))
		page.Status = http.StatusForbidden
		s.pages.error(w, r, page)
	}))
	return p
}

// refuse is the one place where an error becomes what a person sees, or is
// carried back to the application.
func (s *Web) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var page errorPage
	var e *oauth.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e) && !e.Shown():
		s.log(r, err, e.Code)
		s.send(w, r, e.To.Error(e))
		return
	case errors.As(err, &e):
		page = s.errorPage(r, e.Code, s.pages.refusal(r, e))
		page.Wait = e.RetryAfter
		if page.Description != e.Description {
			page.Detail = e.Description
		}
	case errors.As(err, &tooLarge):
		page = s.errorPage(r, oauth.InvalidRequest, s.pages.text(r, "refusal.large"))
		page.Status = http.StatusRequestEntityTooLarge
	case errors.Is(err, errForm):
		page = s.errorPage(r, oauth.InvalidRequest, s.pages.text(r, "refusal.form"))
	default:
		e = oauth.Unforeseen(err)
		page = s.errorPage(r, e.Code, s.pages.refusal(r, e))
	}
	switch oauth.Code(page.Code) {
	case oauth.ServerError:
		page.Status = http.StatusInternalServerError
	case oauth.TooManyRequests:
		if page.Status = http.StatusTooManyRequests; e.Busy {
			page.Status = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", strconv.FormatInt(e.RetryAfter, 10))
	}
	s.log(r, err, oauth.Code(page.Code))
	s.pages.error(w, r, page)
}

// errorPage is one with what a person needs who asks about it.
func (s *Web) errorPage(r *http.Request, code oauth.Code, description string) errorPage {
	return errorPage{Code: string(code), Description: description, RequestID: s.RequestID(r), At: s.Authority.Now().Unix()}
}

func (s *Web) log(r *http.Request, err error, code oauth.Code) {
	level := slog.LevelInfo
	if code == oauth.ServerError {
		level = slog.LevelError
	}
	s.Logger.Log(r.Context(), level, "refused", "path", r.URL.Path, "error", err, "request", s.RequestID(r))
}

// errForm says that a query or a body could not be read as a form.
var errForm = errors.New("not a form")

// form reads the parameters of a request. Those of a body and of the query
// count together, so that a parameter in both is seen to come twice.
func form(r *http.Request) (url.Values, error) {
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, err
	}
	if err != nil || r.Method == http.MethodPost && !isForm(r) {
		return nil, errors.Join(errForm, err)
	}
	return r.Form, nil
}

// pageForm reads what a form of ours sends, which is all in the body: what stands
// in an address is in histories and logs, and a password there is not taken.
func pageForm(r *http.Request) (url.Values, error) {
	if _, err := form(r); err != nil {
		return nil, err
	}
	return r.PostForm, nil
}

func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// redirect sends the browser on with 303: never 307, which would make it post
// a password again (RFC 9700 §4.12).
func redirect(w http.ResponseWriter, _ *http.Request, to string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func (s *Web) actor(r *http.Request, id model.UserID) model.Actor {
	return model.Actor{Kind: model.ActorUser, ID: string(id), Address: s.Address(r)}
}
