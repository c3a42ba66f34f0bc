// Package terminal is a program for a terminal that uses the sample REST API. It
// renews its token by itself, knows from the status alone what to do, and shows every
// step: what it asks, what is answered, and what it makes of that.
//
// It keeps what it was given in one file that nobody else can read.
package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Program is one run of the program.
type Program struct {
	API   string // its address
	State string // file in which tokens are kept between two runs

	Stdout   io.Writer // what was asked for
	Steps    io.Writer // what is done for it
	Colour   bool      // of the steps
	Password func(question string) (string, error)

	HTTP  *http.Client
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// What an answer comes to, for scripts: the number is the exit status.
type Outcome int

const (
	Failed      Outcome = 1 // something is wrong that is not about the person
	Usage       Outcome = 2 // the command line is wrong
	SignInAgain Outcome = 3 // no token is left: only a password helps
	Forbidden   Outcome = 4 // no token of this person helps
	Later       Outcome = 5 // nothing is wrong with the token: try again later
)

// Error is why a command did not do what it was told.
type Error struct {
	Outcome Outcome
	Detail  string
}

func (e *Error) Error() string { return e.Detail }

func stop(o Outcome, format string, args ...any) *Error {
	return &Error{o, fmt.Sprintf(format, args...)}
}

// reply is an answer of the API.
type reply struct {
	status int
	retry  time.Duration
	body   []byte
	refusal
}

// refusal is what every refusal says, whoever wrote it.
type refusal struct {
	Code   string `json:"error"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
	MaxAge int    `json:"max_age"`
}

// maxAnswer bounds what is read, in bytes.
const maxAnswer = 4 << 20

// send does one request and shows it.
func (p *Program) send(ctx context.Context, method, path, token string, body any) (reply, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return reply{}, err
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(p.API, "/")+path, sent)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("User-Agent", "notes/1.0 (terminal)")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := p.HTTP.Do(req)
	if err != nil {
		return reply{}, stop(Later, "the API cannot be reached at %s", p.API)
	}
	defer res.Body.Close()
	r := reply{status: res.StatusCode}
	if r.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return reply{}, stop(Later, "the API stopped in the middle of an answer")
	}
	if r.status >= 400 {
		_ = json.Unmarshal(r.body, &r.refusal) // without it the status says enough
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.retry = time.Duration(seconds) * time.Second
	}
	p.show(method, path, r)
	return r, nil
}

// How often a call is tried, and how long it waits in between at most.
const (
	maxTries = 4
	maxWait  = 30 * time.Second
)

// call asks the API for something, whatever it takes: a renewal, a password, patience.
func (p *Program) call(ctx context.Context, method, path string, body any) (reply, error) {
	s, err := p.load()
	if err != nil {
		return reply{}, err
	}
	var renewed, proven bool
	for try := 1; ; try++ {
		if !renewed && s.dying(p.Now()) {
			p.say("the token is about to expire: renew")
			renewed = true
			if err := p.renew(ctx, &s); err != nil {
				return reply{}, err
			}
		}
		r, err := p.send(ctx, method, path, s.Access, body)
		if err != nil {
			return reply{}, err
		}
		switch {
		case r.status < 400:
			return r, nil
		case r.status == http.StatusUnauthorized && r.Code == "insufficient_user_authentication" && !proven:
			proven = true // RFC 9470: a new sign-in helps
			if err := p.prove(ctx, &s, r.MaxAge); err != nil {
				return reply{}, err
			}
		case r.status == http.StatusUnauthorized && !renewed:
			p.say("a new token may help: renew")
			renewed = true
			if err := p.renew(ctx, &s); err != nil {
				return reply{}, err
			}
		case r.status == http.StatusUnauthorized:
			return r, stop(SignInAgain, "a new token did not help: sign in again")
		case r.status == http.StatusForbidden:
			return r, stop(Forbidden, "%s", or(r.Detail, "it is forbidden"))
		case r.status != http.StatusServiceUnavailable && r.status != http.StatusTooManyRequests:
			return r, stop(Failed, "%s", or(r.Detail, "the API answered "+strconv.Itoa(r.status)))
		case try == maxTries || r.retry > maxWait:
			return r, stop(Later, "it cannot be done now: try again later")
		default:
			if err := p.wait(ctx, r); err != nil {
				return r, err
			}
		}
	}
}

func (p *Program) wait(ctx context.Context, r reply) error {
	d := max(r.retry, time.Second)
	p.say(fmt.Sprintf("wait %v and try again, with the same token", d))
	return p.Sleep(ctx, d)
}

// tokens is what /login and /renew give.
type tokens struct {
	Access    string   `json:"access_token"`
	ExpiresIn int      `json:"expires_in"`
	Refresh   string   `json:"refresh_token"`
	Auth      string   `json:"auth_session"`
	Scope     []string `json:"scope"`
}

// take keeps what an answer gives.
func (p *Program) take(s *state, r reply) error {
	var t tokens
	if err := json.Unmarshal(r.body, &t); err != nil || t.Access == "" || t.Refresh == "" {
		return stop(Failed, "the answer holds no tokens")
	}
	s.Access, s.Refresh = t.Access, t.Refresh
	s.ExpiresAt = p.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	if t.Auth != "" { // a renewal gives no other one
		s.Auth = t.Auth
	}
	return p.save(*s)
}

// renew exchanges the refresh token. It is kept until the answer is there: when the
// answer is lost, the same one is good again for a moment.
func (p *Program) renew(ctx context.Context, s *state) error {
	if s.Refresh == "" {
		return stop(SignInAgain, "nobody is signed in: notes client login NAME")
	}
	for try := 1; ; try++ {
		r, err := p.send(ctx, http.MethodPost, "/renew", "", map[string]string{"refresh_token": s.Refresh})
		if err != nil {
			return err
		}
		switch {
		case r.status == http.StatusOK:
			return p.take(s, r)
		case r.Code == "invalid_grant":
			s.Access, s.Refresh = "", ""
			return errors.Join(stop(SignInAgain, "the session is over: sign in again"), p.save(*s))
		case r.status != http.StatusServiceUnavailable && r.status != http.StatusTooManyRequests:
			return stop(Failed, "%s", or(r.Detail, "the token could not be renewed"))
		case try == maxTries || r.retry > maxWait:
			return stop(Later, "the token cannot be renewed now: try again later")
		}
		if err := p.wait(ctx, r); err != nil {
			return err
		}
	}
}

// prove asks for the password once more, in the same session.
func (p *Program) prove(ctx context.Context, s *state, maxAge int) error {
	p.say("the sign-in is too old for this: the password once more")
	return p.signIn(ctx, s, map[string]any{"auth_session": s.Auth, "max_age": maxAge})
}

func (p *Program) signIn(ctx context.Context, s *state, also map[string]any) error {
	password, err := p.Password("Password of " + s.Login + ": ")
	if err != nil {
		return err
	}
	body := map[string]any{"login": s.Login, "password": password, "role": s.Role, "remember": s.Remember}
	for name, value := range also {
		body[name] = value
	}
	r, err := p.send(ctx, http.MethodPost, "/login", "", body)
	switch {
	case err != nil:
		return err
	case r.status == http.StatusOK:
		return p.take(s, r)
	case r.status == http.StatusForbidden:
		return stop(Forbidden, "%s", or(r.Detail, "it is forbidden"))
	case r.status == http.StatusServiceUnavailable, r.status == http.StatusTooManyRequests:
		return stop(Later, "%s (in %v)", or(r.Detail, "try again later"), r.retry)
	case r.Code == "invalid_credentials":
		return stop(SignInAgain, "%s", or(r.Detail, "the password is wrong"))
	}
	return stop(Failed, "%s", or(r.Detail, "the API answered "+strconv.Itoa(r.status)))
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return plain(text)
}
