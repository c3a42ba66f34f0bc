package server_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// TestChallengeThrottle: draft §9.3. Wrong passwords are slowed down where they come
// from; nobody is locked out by somebody else.
func TestChallengeThrottle(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		a := newApp(h, "backend", confidential)
		from := func(address, login, password string) servertest.Answer {
			return a.ask("user_address", address, "user_agent", "Notes/1.0", "username", login, "password", password)
		}
		waits := func(answer servertest.Answer) int {
			t.Helper()
			refusedBy(t, "too soon", answer, 429, "temporarily_unavailable")
			n, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if err != nil {
				t.Error(err)
			}
			return n
		}
		for _, login := range []string{"olena", "nobody"} { // who has an account is not told
			for range 5 {
				insufficient(t, from("192.0.2.1", login, "wrong"))
			}
			for _, pause := range []time.Duration{1, 2, 4, 8, 16} {
				insufficient(t, from("192.0.2.1", login, "wrong"))
				if pause == 16 { // the clock runs; the short ones may be over
					if wait := waits(from("192.0.2.1", login, password)); wait < 10 || wait > 16 {
						t.Errorf("%s: Retry-After %d", login, wait)
					}
					coded(t, from("198.51.100.7", "olena", password)) // from elsewhere
				}
				h.Clock.Move(pause * time.Second)
			}
		}
		coded(t, from("192.0.2.1", "olena", password)) // after the wait
		insufficient(t, from("192.0.2.1", "olena", "wrong"))
		insufficient(t, from("192.0.2.1", "olena", "wrong")) // begun anew
		all := view(t, h, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 1000) })
		held := slices.DeleteFunc(all, func(e model.Event) bool { return e.Action != "password.throttle" })
		if len(held) != 2 || held[0].UserID != u.ID || held[0].Actor.Address != "192.0.2.1" || held[1].UserID != "" {
			t.Errorf("%+v", held)
		}
		list := sessionsOf(t, h, u)
		if !slices.ContainsFunc(list, func(s model.Session) bool { return s.UserAgent == "Notes/1.0" && s.Address == "192.0.2.1" }) {
			t.Errorf("%+v", list)
		}
	})
}

// TestChallengeTogether: one auth session at the same time from several sides. Each is
// answered properly, and what is given is good.
func TestChallengeTogether(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		a := newApp(h, "app", nil)
		session := insufficient(t, a.ask("password", ""))
		const n = 5 // as many tries as are free
		answers := make(chan servertest.Answer)
		for range n {
			go func() { answers <- a.goOn(session, "username", "olena", "password", password) }()
		}
		given := 0
		for range n {
			answer := <-answers
			if answer.Status != http.StatusOK {
				refusedBy(t, "one too late", answer, 400, "invalid_session")
				continue
			}
			given++
			a.tokens(t, answer)
		}
		if given == 0 {
			t.Error("nobody was signed in")
		}
		if rest := rows(t, h)["auth_sessions"]; rest != given {
			t.Errorf("%d auth sessions of %d sign-ins", rest, given)
		}
	})
}

// TestChallengeAddress: of a public client nothing is believed.
func TestChallengeAddress(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", password)
	newApp(h, "app", nil).signIn(t, "user_address", "192.0.2.1", "user_agent", "Forged/1.0")
	if s := sessionsOf(t, h, u)[0]; s.Address == "192.0.2.1" || s.UserAgent == "Forged/1.0" {
		t.Errorf("%+v", s)
	}
}

// TestChallengeBounds: draft §9.3, and what strangers can fill.
func TestChallengeBounds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		a := newApp(h, "app", nil)
		t.Run("tries of one auth session", func(t *testing.T) {
			session := insufficient(t, a.ask("password", ""))
			for range 19 {
				session = insufficient(t, a.goOn(session))
			}
			refusedBy(t, "the twentieth", a.goOn(session), 400, "invalid_session")
			refusedBy(t, "after it", a.goOn(session, "username", "olena", "password", password), 400, "invalid_session")
		})
		t.Run("tries of one auth session, all at once", func(t *testing.T) {
			session := insufficient(t, a.ask("password", ""))
			z, err := h.Authority.Challenge(t.Context(), oauth.Call{Form: url.Values{"client_id": {string(a.c.ID)}, "auth_session": {session}}})
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			for range 30 { // each of which was read before any other was answered
				var e *oauth.Error
				if err := h.Authority.Insufficient(t.Context(), z, "more"); errors.As(err, &e) && e.Code == oauth.InsufficientAuthorization {
					asked++
				}
			}
			if asked != 19 {
				t.Errorf("%d were asked for more, want 19", asked)
			}
		})
		t.Run("requests that wait", func(t *testing.T) {
			h.Restart(func(c *server.Config) { c.Waiting = 3 })
			full := 0
			for range 200 {
				if a := a.ask("password", ""); a.Status == http.StatusTooManyRequests {
					full++
				}
			}
			if full < 100 {
				t.Errorf("%d of 200 were refused", full)
			}
			coded(t, a.ask()) // who needs no second step is not kept out
		})
	})
}

// TestChallengeBusy: when there is no place to compare a password, it is told when
// to try again, and nothing is counted.
func TestChallengeBusy(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) {
		c.Password, c.Hashes = account.Params{Memory: 64 << 10, Time: 16, Threads: 1}, 1
	})
	h.User("olena", password)
	a := newApp(h, "app", nil)
	answers := make(chan servertest.Answer)
	for i := range 8 {
		go func() { answers <- a.ask("username", "nobody"+strconv.Itoa(i)) }()
	}
	counts := map[int]int{}
	for range 8 {
		answer := <-answers
		counts[answer.Status]++
		if answer.Status == http.StatusServiceUnavailable && (answer.Header.Get("Retry-After") != "5" || answer.String("error") != "temporarily_unavailable") {
			t.Errorf("%v %s", answer.Header, answer.Text)
		}
	}
	if counts[403] == 0 || counts[503] == 0 || counts[403]+counts[503] != 8 {
		t.Errorf("%v", counts)
	}
}
