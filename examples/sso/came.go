package sso

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a sign-in begins; besides, by the ID of a way.
const (
	quietly = "quietly"
	byPage  = "page"
)

// cameCookie holds how a browser came in, for the page to tell: "HOW TIME" on the way,
// then "HOW MILLISECONDS". Nothing is decided by it.
const cameCookie = "came"

func (a *App) leaves(w http.ResponseWriter, how string) {
	a.setCame(w, how, a.config.Now().UnixMilli())
}

func (a *App) setCame(w http.ResponseWriter, how string, n int64) {
	http.SetCookie(w, &http.Cookie{
		Name: cameCookie, Value: how + "." + strconv.FormatInt(n, 10), Path: "/",
		HttpOnly: true, Secure: a.base.Scheme == "https", SameSite: http.SameSiteLaxMode,
	})
}

func readCame(r *http.Request) (how string, n int64) {
	c, err := r.Cookie(cameCookie)
	if err != nil {
		return "", 0
	}
	how, text, _ := strings.Cut(c.Value, ".")
	if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
		return "", 0
	}
	return how, n
}

// timed notes how long it has taken from the door and back.
func (a *App) timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if how, left := readCame(r); how != "" {
			if took := a.config.Now().UnixMilli() - left; took >= 0 && took < time.Hour.Milliseconds() {
				a.setCame(w, how, took)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// arrival is how somebody came in.
type arrival struct {
	Quietly bool
	Way     string // the name of the provider; empty: by the server's page
	Took    time.Duration
}

// came tells how a browser came in; nil if it does not know.
func (a *App) came(r *http.Request) *arrival {
	how, n := readCame(r)
	if how == "" || n >= time.Hour.Milliseconds() {
		return nil
	}
	c := &arrival{Quietly: how == quietly, Took: time.Duration(n) * time.Millisecond}
	for _, way := range a.config.Ways {
		if way.ID == how {
			c.Way = way.Name
		}
	}
	return c
}

// heard is what the application was told of sessions that are over, the latest first.
type heard struct {
	now  func() time.Time
	mu   sync.Mutex
	list []notice
}

// notice is that a session is over.
type notice struct {
	Channel string
	At      time.Time
}

const maxHeard = 5

func (h *heard) add(channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append([]notice{{channel, h.now()}}, h.list[:min(len(h.list), maxHeard-1)]...)
}

func (h *heard) all() []notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]notice(nil), h.list...)
}

// hearing notes which notices the handler of package client has taken.
func (a *App) hearing(channel string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &noting{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(noted, r)
		if noted.status == http.StatusOK || noted.status == http.StatusNoContent {
			a.heard.add(channel)
		}
	})
}

// noting remembers the status of an answer.
type noting struct {
	http.ResponseWriter
	status int
}

func (n *noting) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}
