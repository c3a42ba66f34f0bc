package web

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// signedIn is a session that a browser has, with its person.
type signedIn struct {
	oauth.Visitor
	User model.User
}

func (v *signedIn) or() *oauth.Visitor {
	if v == nil {
		return nil
	}
	return &v.Visitor
}

// accounts returns who is signed in at a browser: first the current one, which
// was used last, then the others, the latest sign-in first.
func (s *Web) accounts(r *http.Request) ([]signedIn, error) {
	cookies := s.cookies.sessions(r)
	held, err := s.Accounts.Held(r.Context(), slices.Collect(maps.Values(cookies)))
	if err != nil {
		return nil, err
	}
	var list []signedIn
	for _, in := range held {
		// The name of a cookie says whose it is, so that one person has one.
		if cookies[in.User.ID] == in.Cookie {
			stands := func(methods []string) oauth.Standing { return oauth.Standing(s.Accounts.StandingOf(in, methods)) }
			list = append(list, signedIn{oauth.Visitor{Session: in.Session, Stands: stands}, in.User})
		}
	}
	current := s.cookies.current(r)
	slices.SortFunc(list, func(a, b signedIn) int {
		if (a.UserID == current) != (b.UserID == current) {
			if a.UserID == current {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.AuthTime, a.AuthTime), cmp.Compare(a.ID, b.ID))
	})
	if len(list) > 0 {
		wishesOf(r).locale = &list[0].User.Profile.Locale
	}
	return list, nil
}

// use notes that a session is in use; nil says that it was ended meanwhile.
func (s *Web) use(r *http.Request, v signedIn) (*signedIn, error) {
	var err error
	v.Session, err = s.Accounts.Touch(r.Context(), v.Session)
	if errors.Is(err, account.ErrNoSession) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// enter gives the browser the cookie of a session that has just begun, and takes
// away those that stand for nothing any more.
func (s *Web) enter(w http.ResponseWriter, r *http.Request, in account.Entry) {
	for id := range s.cookies.sessions(r) {
		if id != in.User.ID && !slices.Contains(in.Beside, id) {
			s.cookies.dropSession(w, id)
		}
	}
	s.cookies.setSession(w, in.Cookie, in.Session)
	if in.Device != "" {
		s.cookies.setDevice(w, r, in.User.ID, in.Device)
	}
}

// cookiesOf are the cookies of the sessions that a browser has.
func (s *Web) cookiesOf(r *http.Request) []model.Secret {
	return slices.Collect(maps.Values(s.cookies.sessions(r)))
}

// visit is a browser at a page of an authorization request.
type visit struct {
	z        oauth.Authorization
	accounts []signedIn // all who are signed in
	who      *signedIn  // whom of them the request is for; nil: nobody
	step     oauth.Step
	refusal  *oauth.Error
	progress account.Progress // on the way to a session
}

// arrive finds out whom a request is for and what it needs next.
func (s *Web) arrive(r *http.Request, z oauth.Authorization) (v visit, err error) {
	v.z = z
	if v.accounts, err = s.accounts(r); err != nil {
		return v, err
	}
	var sessions []model.Session
	var others []oauth.Visitor
	for _, one := range v.accounts {
		sessions, others = append(sessions, one.Session), append(others, one.Visitor)
	}
	if i := oauth.Pick(z.Request, sessions, hinted(z, v.accounts)); i >= 0 {
		if v.who, err = s.use(r, v.accounts[i]); err != nil {
			return v, err
		}
		wishesOf(r).locale = &v.accounts[i].User.Profile.Locale
		others = slices.Delete(others, i, i+1)
	}
	v.step, v.refusal = s.Authority.Next(r.Context(), z, v.who.or(), others...)
	if v.step == oauth.StepFactor || z.Stored() && v.step != oauth.StepRefuse {
		v.progress, err = s.Accounts.Progress(r.Context(), holder(z), s.wanted(r, v))
	}
	return v, err
}

// hinted is the one whom a request's login_hint means, if they are signed in.
func hinted(z oauth.Authorization, accounts []signedIn) model.UserID {
	if z.Request.Asked.LoginHint == "" {
		return ""
	}
	var people []model.User
	for _, one := range accounts {
		people = append(people, one.User)
	}
	if i := account.Called(z.Request.Asked.LoginHint, people); i >= 0 {
		return people[i].ID
	}
	return ""
}

// holder is under what the proofs for a request are kept. A request is bound to its
// browser, and so are they.
func holder(z oauth.Authorization) string { return string(z.Request.ID) }

// wanted is what somebody has to prove for a request before a session begins.
func (s *Web) wanted(r *http.Request, v visit) account.Wanted {
	w := account.Wanted{Methods: v.z.Client.SignInMethods, Devices: s.cookies.devices(r)}
	w.ACR, w.Wish = s.Authority.Wanted(v.z)
	if v.step == oauth.StepFactor {
		w.Session = &v.who.Session
	}
	return w
}

// find returns who of a browser's people has an ID.
func find(accounts []signedIn, id string) *signedIn {
	i := slices.IndexFunc(accounts, func(v signedIn) bool { return string(v.UserID) == id })
	if i < 0 {
		return nil
	}
	return &accounts[i]
}

// accountViews shows who is signed in at a browser; one of them stands out.
func accountViews(accounts []signedIn, who model.UserID) (views []accountView) {
	for _, one := range accounts {
		views = append(views, accountView{User: userOf(one.User), ID: string(one.UserID), Current: one.UserID == who})
	}
	return views
}
