package tour

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Scene is one station of the tour.
type Scene struct {
	Number int
	Path   string // also its name, its picture and its template
	Title  string
	Short  string // in the list of scenes
	What   string // for the front page
}

// The names of the scenes.
const (
	sceneSignIn = "sign-in"
	sceneTokens = "tokens"
	sceneSSO    = "single-sign-on"
	sceneRenew  = "renew"
	sceneLock   = "lock"
	sceneBreak  = "break"
)

var scenes = []Scene{
	{1, sceneSignIn, "Sign in at the door", "Sign in", "One place knows passwords. Applications do not."},
	{2, sceneTokens, "What you were given", "The tokens", "Two notes with a seal, and what they say."},
	{3, sceneSSO, "One door, many rooms", "Single sign-on", "On to the next application, without a password."},
	{4, sceneRenew, "Five minutes, and on", "Renew", "Tokens live shortly and are renewed unseen."},
	{5, sceneLock, "Out, at once", "Lock somebody out", "Lock Bob and watch his next call fail."},
	{6, sceneBreak, "Break the seal", "Break a token", "Change one letter, and nobody believes it."},
}

// doneCookie names the cookie that holds which scenes are done. Cookies do not know
// ports, so the name tells tours on one machine apart.
func doneCookie(issuer, id string) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + id))
	return "tour-done-" + hex.EncodeToString(sum[:4])
}

// done returns which scenes a browser has been through.
func (t *Tour) done(r *http.Request) map[string]bool {
	done := map[string]bool{}
	c, err := r.Cookie(t.cookie)
	if err != nil {
		return done
	}
	for name := range strings.SplitSeq(c.Value, ".") {
		if slices.ContainsFunc(scenes, func(s Scene) bool { return s.Path == name }) {
			done[name] = true
		}
	}
	return done
}

// did ticks a scene off. It must come before the answer's body.
func (t *Tour) did(w http.ResponseWriter, r *http.Request, scene string) map[string]bool {
	done := t.done(r)
	if !done[scene] {
		done[scene] = true
		t.keepDone(w, done)
	}
	return done
}

func (t *Tour) keepDone(w http.ResponseWriter, done map[string]bool) {
	var names []string
	for _, s := range scenes {
		if done[s.Path] {
			names = append(names, s.Path)
		}
	}
	// It decides nothing: who writes it anew cheats at nothing but ticks.
	http.SetCookie(w, &http.Cookie{
		Name: t.cookie, Value: strings.Join(names, "."), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(t.config.BaseURL, "https:"),
	})
}

// again forgets what was done, so that the tour can begin anew.
func (t *Tour) again(w http.ResponseWriter, r *http.Request) {
	t.keepDone(w, nil)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// memory holds what somebody has done in a session and wants to see again after a
// reload. It is bounded: the oldest gives way.
type memory struct {
	mu    sync.Mutex
	by    map[string]*remembered // by the ID of the session
	queue []string               // oldest first
}

type remembered struct {
	renewal *renewal
	trial   *trial
}

// renewal is a token before and after it was renewed, and how long that took.
type renewal struct {
	before, after string
	took          time.Duration
}

const maxRemembered = 1000

func newMemory() *memory { return &memory{by: map[string]*remembered{}} }

func (m *memory) of(session string) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.by[session]; one != nil {
		return *one
	}
	return remembered{}
}

func (m *memory) change(session string, do func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.by[session]
	if one == nil {
		one = &remembered{}
		m.by[session] = one
		m.queue = append(m.queue, session)
		if len(m.queue) > maxRemembered {
			delete(m.by, m.queue[0])
			m.queue = m.queue[1:]
		}
	}
	do(one)
}
