package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
)

// cookies names and sets the cookies of the pages.
//
// Each person who is signed in has one of their own, with the secret of their
// session and the life that they chose for it: so that nothing is lost where two
// tabs sign two people in at once. The person's ID is part of its name. Another
// cookie says which of them is the current one; it holds no secret, and what it says
// counts among those who are signed in only. All of these are "__Host-": bound to
// this very host and to https. On an http://localhost issuer, and only there, prefix
// and Secure fall away.
//
// A waiting request has a cookie of its own, whose path is that of its pages:
// so each of any number of tabs carries the one that it needs, in no order,
// and a header never grows. "__Host-" would forbid the path.
//
// The third one, the browser's state (OpenID Connect Session Management §3.2), is
// for the script in the frame at oauth.PathState, and holds nothing that anybody
// could use. It is read where an application on another site holds that frame,
// so it is SameSite=None, which browsers take with Secure alone; on
// http://localhost they take that as well.
//
// One more says to a person who has signed in before that this browser is known to
// them: so that strangers who guess elsewhere hold nobody up here, and so that no
// second factor need be asked again. It is there for each person, under their ID.
//
// Whoever goes to an identity provider gets one for each visit, by which their browser
// is known when it comes back; another says which provider was used last, and nothing
// of who used it. Both come with a top-level navigation from elsewhere, as Lax has it.
//
// The last one is the language that somebody chose. It says nothing else, and is
// there for those alone who chose one.
type cookies struct {
	secure bool
	base   string
}

func (c cookies) name(prefix, name string) string {
	if c.secure {
		return prefix + name
	}
	return name
}

func (c cookies) sessionName(id model.UserID) string {
	return c.name("__Host-", "ostiary_session_"+string(id))
}
func (c cookies) currentName() string     { return c.name("__Host-", "ostiary_account") }
func (c cookies) interactionName() string { return c.name("__Secure-", "ostiary_interaction") }

func (c cookies) deviceName(id model.UserID) string {
	return c.name("__Host-", "ostiary_device_"+string(id))
}

func (c cookies) languageName() string { return c.name("__Host-", "ostiary_language") }

func (c cookies) stateName() string { return c.name("__Host-", "ostiary_state") }

// maxSessions bounds how many session cookies of a request are read: twice as many
// as there can be, because some may be over.
const maxSessions = 2 * account.MaxAccounts

// sessions returns the session cookies of a browser, by whom they say they are of.
func (c cookies) sessions(r *http.Request) map[model.UserID]model.Secret {
	return byPerson(r, c.sessionName(""))
}

// devices returns the cookies by which people know a browser.
func (c cookies) devices(r *http.Request) map[model.UserID]model.Secret {
	return byPerson(r, c.deviceName(""))
}

// setDevice makes a browser known to a person, as long as browsers remember. Those
// of more people than can be signed in are not kept.
func (c cookies) setDevice(w http.ResponseWriter, r *http.Request, id model.UserID, value model.Secret) {
	known := c.devices(r)
	delete(known, id)
	for one := range known {
		if len(known) < account.MaxAccounts {
			break
		}
		delete(known, one)
		c.drop(w, c.deviceName(one))
	}
	k := c.cookie(c.deviceName(id), "/", value)
	k.MaxAge = int(account.DeviceLife.Seconds())
	http.SetCookie(w, k)
}

// byPerson returns the cookies whose name is a prefix and the ID of a person.
func byPerson(r *http.Request, prefix string) map[model.UserID]model.Secret {
	found := map[model.UserID]model.Secret{}
	for _, k := range r.Cookies() {
		id, ok := strings.CutPrefix(k.Name, prefix)
		if ok && id != "" && len(found) < maxSessions {
			if value := read(r, k.Name); value != "" {
				found[model.UserID(id)] = value
			}
		}
	}
	return found
}

// current says who of those who are signed in was used last.
func (c cookies) current(r *http.Request) model.UserID {
	return model.UserID(read(r, c.currentName()))
}

// language is what the person chose, unchecked.
func (c cookies) language(r *http.Request) string { return read(r, c.languageName()).Reveal() }

// setLanguage keeps a choice of language for a year.
func (c cookies) setLanguage(w http.ResponseWriter, tag string) {
	k := c.cookie(c.languageName(), "/", model.Secret(tag))
	k.MaxAge = int((365 * 24 * time.Hour).Seconds())
	http.SetCookie(w, k)
}

// dropLanguage forgets a choice of language.
func (c cookies) dropLanguage(w http.ResponseWriter) {
	c.drop(w, c.languageName())
}

func (c cookies) interaction(r *http.Request) model.Secret {
	return read(r, c.interactionName())
}

func read(r *http.Request, name string) model.Secret {
	// Two cookies of one name mean that somebody set one from another place.
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 128 {
		return ""
	}
	return model.Secret(found[0].Value)
}

// setSession gives the browser a session, which is the current one from now on.
func (c cookies) setSession(w http.ResponseWriter, value model.Secret, s model.Session) {
	c.set(w, c.sessionName(s.UserID), value, s)
	c.setCurrent(w, s)
}

func (c cookies) setCurrent(w http.ResponseWriter, s model.Session) {
	c.set(w, c.currentName(), model.Secret(s.UserID), s)
}

// set sets a cookie that lives as long as the person wanted to be signed in.
func (c cookies) set(w http.ResponseWriter, name string, value model.Secret, s model.Session) {
	k := c.cookie(name, "/", value)
	if s.Remember {
		k.Expires = time.Unix(s.ExpiresAt, 0).UTC()
	}
	http.SetCookie(w, k)
}

func (c cookies) dropSession(w http.ResponseWriter, id model.UserID) { c.drop(w, c.sessionName(id)) }

// drop makes a browser forget a cookie.
func (c cookies) drop(w http.ResponseWriter, name string) {
	k := c.cookie(name, "/", "")
	k.MaxAge = -1
	http.SetCookie(w, k)
}

// visitName names the cookie of a visit to an identity provider.
func (c cookies) visitName(name string) string { return c.name("__Host-", "ostiary_"+name) }

// maxVisits is how many visits of a browser are known at once: others were given up.
const maxVisits = 8

// setVisit gives a browser the cookie by which it is known when it comes back.
func (c cookies) setVisit(w http.ResponseWriter, r *http.Request, v federation.Cookie) {
	var others []string
	for _, k := range r.Cookies() {
		if strings.HasPrefix(k.Name, c.visitName("visit_")) && k.Name != c.visitName(v.Name) && !slices.Contains(others, k.Name) {
			others = append(others, k.Name)
		}
	}
	for i := 0; i <= len(others)-maxVisits; i++ {
		c.drop(w, others[i])
	}
	k := c.cookie(c.visitName(v.Name), "/", v.Value)
	k.MaxAge = int(federation.VisitTime.Seconds())
	http.SetCookie(w, k)
}

func (c cookies) leftName() string { return c.name("__Host-", "ostiary_left") }

// left is what is kept of a sign-out that goes on elsewhere, unchecked.
func (c cookies) left(r *http.Request) string {
	found := r.CookiesNamed(c.leftName())
	if len(found) != 1 || len(found[0].Value) > maxLeft {
		return ""
	}
	return found[0].Value
}

// setLeft keeps it as long as somebody may take to sign out elsewhere.
func (c cookies) setLeft(w http.ResponseWriter, value string) {
	k := c.cookie(c.leftName(), "/", model.Secret(value))
	k.MaxAge = int(federation.VisitTime.Seconds())
	http.SetCookie(w, k)
}

func (c cookies) lastUpstreamName() string { return c.name("__Host-", "ostiary_upstream") }

// lastUpstream is the provider that this browser used last, unchecked.
func (c cookies) lastUpstream(r *http.Request) model.UpstreamID {
	return model.UpstreamID(read(r, c.lastUpstreamName()))
}

// setLastUpstream keeps the choice of a provider for a year.
func (c cookies) setLastUpstream(w http.ResponseWriter, id model.UpstreamID) {
	k := c.cookie(c.lastUpstreamName(), "/", model.Secret(id))
	k.MaxAge = int((365 * 24 * time.Hour).Seconds())
	http.SetCookie(w, k)
}

// keepState makes the browser's state the given one, "" being that nobody is
// signed in, for as long as those who are want to be.
func (c cookies) keepState(w http.ResponseWriter, r *http.Request, state string, people []signedIn) {
	if k, err := r.Cookie(c.stateName()); err == nil && k.Value == state || err != nil && state == "" {
		return
	}
	k := &http.Cookie{Name: c.stateName(), Value: state, Path: "/", Secure: true, SameSite: http.SameSiteNoneMode}
	if state == "" {
		k.MaxAge = -1
	}
	for _, one := range people {
		if end := time.Unix(one.ExpiresAt, 0).UTC(); one.Remember && end.After(k.Expires) {
			k.Expires = end
		}
	}
	http.SetCookie(w, k)
}

// letterName names the cookie of a browser that has asked for a letter: a code is
// good there alone.
func (c cookies) letterName() string { return c.name("__Host-", "ostiary_letter") }

func (c cookies) letter(r *http.Request) model.Secret { return read(r, c.letterName()) }

// keepLetter returns what this browser alone holds, and gives it to one that has
// nothing; it is kept as long as a letter can be of use.
func (c cookies) keepLetter(w http.ResponseWriter, r *http.Request) model.Secret {
	secret := c.letter(r)
	if len(secret) < len(model.NewSecret(letterPrefix)) {
		secret = model.NewSecret(letterPrefix)
	}
	k := c.cookie(c.letterName(), "/", secret)
	k.MaxAge = int(letterLife.Seconds())
	http.SetCookie(w, k)
	return secret
}

// letterPrefix lets secret scanners find a leaked cookie.
const letterPrefix = "ost_le_"

const letterLife = 2 * time.Hour

func (c cookies) setInteraction(w http.ResponseWriter, id model.RequestID, value model.Secret, life int64) {
	k := c.cookie(c.interactionName(), c.base+"/interaction/"+string(id), value)
	k.MaxAge = int(life)
	http.SetCookie(w, k)
}

func (c cookies) cookie(name, path string, value model.Secret) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value.Reveal(), Path: path,
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
}
