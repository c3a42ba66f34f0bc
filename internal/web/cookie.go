package web

import (
	"net/http"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// cookies names and sets the three cookies of the pages.
//
// The session's is "__Host-": bound to this very host and to https. On an
// http://localhost issuer, and only there, prefix and Secure fall away.
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

func (c cookies) sessionName() string     { return c.name("__Host-", "ostiary_session") }
func (c cookies) interactionName() string { return c.name("__Secure-", "ostiary_interaction") }

func (c cookies) stateName() string { return c.name("__Host-", "ostiary_state") }

func (c cookies) session(r *http.Request) model.Secret {
	return read(r, c.sessionName())
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

func (c cookies) setSession(w http.ResponseWriter, value model.Secret, s model.Session) {
	k := c.cookie(c.sessionName(), "/", value)
	if s.Remember {
		k.Expires = time.Unix(s.ExpiresAt, 0).UTC()
	}
	http.SetCookie(w, k)
}

func (c cookies) dropSession(w http.ResponseWriter) {
	k := c.cookie(c.sessionName(), "/", "")
	k.MaxAge = -1
	http.SetCookie(w, k)
}

// keepState makes the browser's state the given one, "" being that nobody is
// signed in.
func (c cookies) keepState(w http.ResponseWriter, r *http.Request, state string, s *model.Session) {
	if string(read(r, c.stateName())) == state {
		return
	}
	k := &http.Cookie{Name: c.stateName(), Value: state, Path: "/", Secure: true, SameSite: http.SameSiteNoneMode}
	switch {
	case state == "":
		k.MaxAge = -1
	case s.Remember:
		k.Expires = time.Unix(s.ExpiresAt, 0).UTC()
	}
	http.SetCookie(w, k)
}

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
