package shop

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
)

// pocket is where the thief keeps an access token, while its person signs out.
type pocket struct {
	token  string
	began  time.Time
	before exchange

	once  sync.Once // what came of it is found out once
	after outcome
	err   error
}

// pockets are in memory: a stolen token is not written down.
type pockets struct {
	mu    sync.Mutex
	byID  map[string]*pocket
	queue []string // oldest first
}

const (
	pocketCookie = "stolen" // names the pocket
	pocketLife   = 5 * time.Minute
	maxPockets   = 100

	// feedTime is how long the API may take until it knows. The promise is a second.
	feedTime  = 2 * time.Second
	feedPause = 20 * time.Millisecond
)

func (ps *pockets) keep(p *pocket) (id string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.byID == nil {
		ps.byID = make(map[string]*pocket)
	}
	id = rand.Text()
	ps.byID[id] = p
	ps.queue = append(ps.queue, id)
	for len(ps.queue) > maxPockets || ps.byID[ps.queue[0]].old(p.began) {
		delete(ps.byID, ps.queue[0])
		ps.queue = ps.queue[1:]
	}
	return id
}

func (p *pocket) old(now time.Time) bool { return now.Sub(p.began) > pocketLife }

// of returns the pocket that a browser's cookie names; nil if there is none.
func (ps *pockets) of(r *http.Request, now time.Time) *pocket {
	cookie, err := r.Cookie(pocketCookie)
	if err != nil {
		return nil
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byID[cookie.Value]; p != nil && !p.old(now) {
		return p
	}
	return nil
}

// beginToken copies the access token, shows that it works, and signs the person out as
// their own button would. The authorization server sends them back to the front page,
// which goes on here.
func (s *Shop) beginToken(w http.ResponseWriter, r *http.Request) {
	person := client.SessionFrom(r.Context())
	if person == nil {
		s.begin(w, r, "/attacks")
		return
	}
	a, _ := attackByName("token")
	token, err := person.AccessToken()
	if err != nil {
		s.begin(w, r, "/attacks")
		return
	}
	before, err := s.callAsThief(r.Context(), token)
	if err != nil || before.status != http.StatusOK {
		s.tell(w, r, a, outcome{twin: []exchange{before}, reason: "The token was not good before either."}, err)
		return
	}
	id := s.stolen.keep(&pocket{token: token, began: s.now(), before: before})
	http.SetCookie(w, &http.Cookie{
		Name: pocketCookie, Value: id, Path: "/", MaxAge: int(pocketLife / time.Second),
		HttpOnly: true, Secure: s.carts.secure, SameSite: http.SameSiteLaxMode,
	})
	s.signOut(w, r)
}

// callAsThief calls the API with a token.
func (s *Shop) callAsThief(ctx context.Context, token string) (exchange, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api+"/me", nil)
	if err != nil {
		return exchange{}, fmt.Errorf("shop: attack: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	e, header, err := send(s.http, req)
	if err != nil {
		return exchange{}, err
	}
	// No page has a token in it that could be used.
	e.Request = "GET /me HTTP/1.1\nHost: " + req.URL.Host + "\nAuthorization: Bearer " + short(token)
	e.Token = spell(token)
	if challenge := header.Get("WWW-Authenticate"); challenge != "" {
		e.Answer += "\nWWW-Authenticate: " + challenge
	}
	e.Answer += "\n\n" + e.body
	return e, nil
}

// afterToken tells what the stolen token is worth after the sign-out.
func (s *Shop) afterToken(w http.ResponseWriter, r *http.Request) {
	p := s.stolen.of(r, s.now())
	if p == nil || client.SessionFrom(r.Context()) != nil {
		http.SetCookie(w, &http.Cookie{Name: pocketCookie, Path: "/", MaxAge: -1, Secure: s.carts.secure})
		http.Redirect(w, r, "/attacks", http.StatusSeeOther)
		return
	}
	p.once.Do(func() { p.after, p.err = s.useStolen(context.WithoutCancel(r.Context()), p) })
	a, _ := attackByName("token")
	http.SetCookie(w, &http.Cookie{Name: pocketCookie, Path: "/", MaxAge: -1, Secure: s.carts.secure})
	s.tell(w, r, a, p.after, p.err)
}

// useStolen calls the API until it refuses, or until it should have.
func (s *Shop) useStolen(ctx context.Context, p *pocket) (outcome, error) {
	var e exchange
	for until := time.Now().Add(feedTime); ; time.Sleep(feedPause) {
		var err error
		if e, err = s.callAsThief(ctx, p.token); err != nil {
			return outcome{}, err
		}
		if e.status != http.StatusOK || time.Now().After(until) {
			break
		}
	}
	var said struct {
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal([]byte(e.body), &said) // without it the status says enough
	var me Me
	if err := json.Unmarshal([]byte(p.before.body), &me); err != nil {
		return outcome{}, fmt.Errorf("shop: attack: the API's answer: %w", err)
	}
	left := time.Duration(me.ExpiresIn)*time.Second - s.now().Sub(p.began)
	return outcome{
		attack: []exchange{e}, twin: []exchange{p.before},
		won: e.status == http.StatusOK, fair: e.status == http.StatusUnauthorized && left > 0,
		reason: fmt.Sprintf("The API says: %s. By its own word the token is good for another %v.", said.Detail, left.Truncate(time.Second)),
	}, nil
}
