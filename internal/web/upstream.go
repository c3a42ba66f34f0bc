package web

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// pathUpstream is below which the addresses stand that are registered at identity
// providers.
const pathUpstream = "/upstream"

// maxAnswer bounds what a provider sends by way of a browser, in bytes. A SAML response
// with the groups of a person is larger than a form of ours.
const maxAnswer = 320 << 10

// Body returns how large a body may be that comes to a path, in bytes, where that is
// more than anywhere else; 0: it is not.
func (s *Web) Body(path string) int64 {
	if strings.HasPrefix(path, s.base+pathUpstream+"/") && strings.HasSuffix(path, "/callback") {
		return maxAnswer
	}
	return 0
}

// asIs in a query asks for the sign-in page itself, and to be sent nowhere from it.
const asIs = "page"

// directoryPages are the steps of a sign-in with an account elsewhere.
func (s *Web) directoryPages(page route) {
	page("POST /interaction/{id}/upstream/{upstream}", s.visitUpstream)
	page("GET /interaction/{id}/directory/{upstream}", s.showDirectory)
	page("POST /interaction/{id}/directory/{upstream}", s.directory)
	page("GET /interaction/{id}/join", s.showJoin)
	page("POST /interaction/{id}/join", s.join)
}

// upstreamPages are the way back from an identity provider.
func (s *Web) upstreamPages(pages func(string) route) {
	page, back := pages(forAll), pages(forReturning)
	back("GET "+pathUpstream+"/{upstream}/callback", s.comeBack)
	page("POST "+pathUpstream+"/{upstream}/callback", s.keepAnswer)
	page("GET "+pathUpstream+"/{upstream}/logout", s.hearLogout)
	page("POST "+pathUpstream+"/{upstream}/logout", s.hearLogout)
}

// offer says which providers a sign-in page offers, and whether it is one that the
// browser goes to at once.
func (s *Web) offer(r *http.Request, v visit) (federation.Offer, error) {
	if !s.Accounts.Takes(model.MethodUpstream, v.z.Client.SignInMethods) {
		return federation.Offer{}, nil
	}
	asked, q := v.z.Request.Asked, r.URL.Query()
	a := federation.Asking{Allowed: v.z.Client.IdentityProviders, Hint: cmp.Or(asked.UpstreamHint, v.z.Client.IDPHint), Login: asked.LoginHint, Last: s.cookies.lastUpstream(r)}
	// Whoever wants to be asked is asked, and so is whom the request is for already:
	// what is the usual way for others need not be theirs. Who says where to go is sent
	// there all the same, and what else was asked for goes along.
	wanted := slices.Contains(asked.Prompt, "login") || slices.Contains(asked.Prompt, "select_account") || v.who != nil
	// And who has come back without what is taken here is not sent there again.
	a.Page = v.progress.Begun || q.Has(asIs) || q.Has(another) || q.Has(refusedCode) || wanted && a.Hint == ""
	return s.Federation.Offer(r.Context(), a)
}

// upstreamViews are the buttons of an offer on the sign-in page of a request.
func (s *Web) upstreamViews(r *http.Request, v visit, o federation.Offer) (views []upstreamView) {
	for _, b := range o.Buttons {
		view := upstreamView{Kind: b.Kind, Name: b.Name, Unavailable: b.Unavailable, Last: b.Last}
		if b.Directory {
			view.Link = s.pageOf(v.z, "/directory/"+string(b.ID))
		} else {
			view.Action = s.pageOf(v.z, "/upstream/"+string(b.ID))
			if r.URL.Query().Has(another) {
				view.Action += "?" + another
			}
		}
		views = append(views, view)
	}
	return views
}

// upstreamView is a button that leads to a provider.
type upstreamView struct {
	Kind, Name  string
	Action      string // where it posts the sign-in form to
	Link        string // the page where login and password are typed; empty: it posts
	Unavailable bool
	Last        bool // this browser used it last
}

// connectsView is somebody who has come from a provider, whose address an account here
// has: they sign in to that, and it is connected.
type connectsView struct{ Kind, Name, Mail string }

// visitUpstream sends the browser of a sign-in to the provider that the person chose.
func (s *Web) visitUpstream(w http.ResponseWriter, r *http.Request) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	v, err := s.arrive(r, z)
	if err != nil {
		return err
	}
	return s.goUpstream(w, r, v, going{to: model.UpstreamID(r.PathValue("upstream")), login: f.Get("login"), remember: f.Get("remember") != ""})
}

// going is what is known of somebody who goes to a provider.
type going struct {
	to       model.UpstreamID
	login    string // what they typed; empty: nothing
	remember bool
}

func (s *Web) goUpstream(w http.ResponseWriter, r *http.Request, v visit, g going) error {
	if !s.Accounts.Takes(model.MethodUpstream, v.z.Client.SignInMethods) {
		return s.notFound(w, r)
	}
	leaving, err := s.Federation.Begin(r.Context(), federation.Departing{
		Upstream: g.to, Allowed: v.z.Client.IdentityProviders, Holder: holder(v.z), Wish: s.wish(r, v, g.login), Remember: g.remember,
	})
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holder(v.z), Upstream: federation.Choice{ID: g.to}}, err)
	}
	s.setOut(w, r, leaving)
	return nil
}

// wish is what a request wants, as far as it is about how people sign in, for the
// provider that they go to.
func (s *Web) wish(r *http.Request, v visit, login string) federation.Wish {
	asked := v.z.Request.Asked
	wish := federation.Wish{
		MaxAge: asked.MaxAge, LoginHint: cmp.Or(login, asked.LoginHint), ACRValues: asked.ACRValues,
		Locales: []string{s.pages.edition(r).words.Tag},
	}
	// What else a prompt can say is between us and the client.
	for _, p := range []string{"login", "select_account"} {
		if slices.Contains(asked.Prompt, p) || p == "select_account" && r.URL.Query().Has(another) {
			wish.Prompt = append(wish.Prompt, p)
		}
	}
	// Both clocks are right, more or less: what the provider takes for fresh enough is
	// so here as well.
	if age := wish.MaxAge; age != nil && *age > 2*int64(model.Leeway.Seconds()) {
		less := *age - int64(model.Leeway.Seconds())
		wish.MaxAge = &less
	}
	return wish
}

// setOut sends the browser to a provider, with the cookie by which it is known when it
// comes back.
func (s *Web) setOut(w http.ResponseWriter, r *http.Request, l federation.Leaving) {
	s.cookies.setVisit(w, r, l.Cookie)
	s.sendAway(w, r, l.Departure)
}

// sendAway sends the browser to an address of a provider's: by a redirect, or by a form
// that it posts (SAML V2.0 Bindings §3.5).
func (s *Web) sendAway(w http.ResponseWriter, r *http.Request, d federation.Departure) {
	if d.Form == nil {
		redirect(w, r, d.Address)
		return
	}
	s.pages.formPost(w, r, s.formPostPage(r, s.pages.text(r, "upstream.going"), d.Address, hiddenFields(d.Form)))
}

// hiddenFields are the fields of a form, in the order of their names.
func hiddenFields(form url.Values) (fields []hiddenField) {
	for name, values := range form {
		for _, value := range values {
			fields = append(fields, hiddenField{name, value})
		}
	}
	slices.SortStableFunc(fields, func(a, b hiddenField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// brought is what a provider sent with the browser.
func (s *Web) brought(r *http.Request) (federation.Answer, error) {
	if _, err := form(r); err != nil {
		return federation.Answer{}, err
	}
	a := federation.Answer{Method: r.Method, Values: r.Form, Query: r.URL.RawQuery, At: s.Authority.Issuer + strings.TrimPrefix(r.URL.Path, s.base)}
	if r.Method == http.MethodPost {
		a.Values = r.PostForm
	}
	return a, nil
}

// keepAnswer keeps an answer that came by a form. Where another site posted it, the
// browser did not send its cookies along; it does so when it comes back by itself, in
// answer to the redirect.
func (s *Web) keepAnswer(w http.ResponseWriter, r *http.Request) error {
	a, err := s.brought(r)
	if err != nil {
		return err
	}
	id := model.UpstreamID(r.PathValue("upstream"))
	state, err := s.Federation.Keep(r.Context(), id, a)
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Upstream: federation.Choice{ID: id}}, err)
	}
	redirect(w, r, r.URL.Path+"?"+url.Values{"state": {state}}.Encode())
	return nil
}

// comeBack takes the answer of a provider, in the browser that went there. Where it
// leads, the sign-in's dispatcher knows, or the page where it was begun.
func (s *Web) comeBack(w http.ResponseWriter, r *http.Request) error {
	a, err := s.brought(r)
	if err != nil {
		return err
	}
	id, name := model.UpstreamID(r.PathValue("upstream")), s.cookies.visitName(federation.CookieFor(a))
	out, err := s.Federation.Finish(r.Context(), federation.Return{Upstream: id, Answer: a, Browser: read(r, name), Address: s.Address(r)})
	if out.Holder != "" {
		s.cookies.drop(w, name)
	}
	if err != nil {
		out.Upstream.ID = id
		return s.upstreamFailed(w, r, out, err)
	}
	s.arrived(w, r, out)
	return nil
}

// arrived sends on whoever has come back from a provider, or has given a directory's
// password.
func (s *Web) arrived(w http.ResponseWriter, r *http.Request, out federation.Outcome) {
	if out.Connecting {
		s.done(w, r, pathIdentities, "connected")
		return
	}
	s.cookies.setLastUpstream(w, out.Upstream.ID)
	redirect(w, r, s.base+"/interaction/"+out.Holder)
}

// upstreamFailed tells somebody why a provider has not signed them in: on the page
// where they chose it, or on one of its own where that is not known.
func (s *Web) upstreamFailed(w http.ResponseWriter, r *http.Request, out federation.Outcome, err error) error {
	var no *federation.Refusal
	if !errors.As(err, &no) {
		return err
	}
	s.logRefusal(r, out.Upstream.ID, no)
	why := "?" + url.Values{refusedCode: {string(no.Code)}, refusedAt: {string(out.Upstream.ID)}}.Encode()
	switch {
	case out.Holder != "" && out.Connecting:
		redirect(w, r, s.base+pathIdentities+why)
	case out.Holder != "":
		redirect(w, r, s.base+"/interaction/"+out.Holder+"/login"+why)
	default:
		page := s.errorPage(r, oauth.InvalidRequest, s.refusedText(r, no.Code, out.Upstream.ID))
		page.Hint, page.Once = s.pages.text(r, "upstream.again"), true
		if no.Code == federation.Unavailable {
			page.Code, page.Status = string(oauth.TooManyRequests), http.StatusServiceUnavailable
		}
		s.pages.error(w, r, page)
	}
	return nil
}

// logRefusal tells the operator what the person is not told.
func (s *Web) logRefusal(r *http.Request, id model.UpstreamID, no *federation.Refusal) {
	level := slog.LevelInfo
	switch no.Code {
	case federation.Misconfigured, federation.Untrusted, federation.Unavailable:
		level = slog.LevelWarn
	}
	s.Logger.Log(r.Context(), level, "an identity provider has not signed somebody in",
		"upstream", id, "code", no.Code, "reason", no.Reason, "request", s.RequestID(r))
}

// In the query of a page, these say which provider has not signed somebody in, and why.
const (
	refusedCode = "refused"
	refusedAt   = "at"
)

// refusals of providers, in words.
var upstreamRefusals = map[federation.Code]string{
	federation.Denied:        "upstream.refused.denied",
	federation.Unavailable:   "upstream.refused.unavailable",
	federation.Misconfigured: "upstream.refused.misconfigured",
	federation.Untrusted:     "upstream.refused.untrusted",
	federation.Asks:          "upstream.refused.asks",
	federation.Unknown:       "upstream.refused.unknown",
	federation.Stale:         "upstream.refused.stale",
	federation.TooOld:        "upstream.refused.old",
	federation.Locked:        "login.error.locked",
	federation.Taken:         "upstream.refused.taken",
	federation.TooMany:       "upstream.refused.many",
	federation.NoAccount:     "upstream.refused.account",
}

// refused is the text about what a query says that a provider has refused; empty: it
// says nothing.
func (s *Web) refused(r *http.Request) string {
	code := federation.Code(r.URL.Query().Get(refusedCode))
	if upstreamRefusals[code] == "" {
		return ""
	}
	return s.refusedText(r, code, model.UpstreamID(r.URL.Query().Get(refusedAt)))
}

func (s *Web) refusedText(r *http.Request, code federation.Code, id model.UpstreamID) string {
	name := s.pages.text(r, "upstream.nameless")
	if c, err := s.Federation.Choice(r.Context(), id); err == nil {
		name = tidy(c.Name)
	}
	return s.pages.text(r, upstreamRefusals[code], "upstream", name)
}
