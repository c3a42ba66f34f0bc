package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// answer is what came of a request: a status of 0 says that nothing came, and nobody
// knows whether it was done.
type answer struct {
	status int
	said   map[string]any
}

func (a answer) ok() bool { return a.status == http.StatusOK }

func (a answer) text(name string) string {
	s, _ := a.said[name].(string)
	return s
}

// unknown reports whether it may have been done, and may not: then it is tried again.
func (a answer) unknown() bool { return a.status == 0 || a.status >= 500 }

func form(grant string, pairs ...string) url.Values {
	v := url.Values{"grant_type": {grant}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// ask posts a form to a node as the application does.
func (t *town) ask(ctx context.Context, node, path string, form url.Values) answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+node+path, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(t.app.ID), url.QueryEscape(t.app.Secret))
	res, err := t.web.Do(r)
	if err != nil {
		t.count(func(c *tally) { c.Unanswered++ })
		return answer{}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil { // cut off: not acknowledged
		t.count(func(c *tally) { c.Unanswered++ })
		return answer{}
	}
	a := answer{status: res.StatusCode}
	if len(body) > 0 && json.Unmarshal(body, &a.said) != nil {
		t.fault("%s answers %d with what is no JSON: %.200s", path, res.StatusCode, body)
	}
	switch {
	case a.status == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "":
		t.fault("%s answers 503 without Retry-After: %.200s", path, body)
	case a.status >= 500:
		t.count(func(c *tally) { c.Unanswered++ })
	default:
		t.answered[node].Add(1)
	}
	return a
}

func (t *town) token(ctx context.Context, node string, form url.Values) answer {
	return t.ask(ctx, node, "/token", form)
}

// code signs somebody in and returns what their code is redeemed with, or nothing.
func (t *town) code(ctx context.Context, node string) url.Values {
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	a := t.ask(ctx, node, "/challenge", url.Values{
		"response_type": {"code"}, "scope": {"openid offline_access"}, "username": {login}, "password": {password},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	})
	code := a.text("authorization_code")
	if code == "" {
		if !a.unknown() && a.status != http.StatusTooManyRequests {
			t.fault("/challenge answers %d %v", a.status, a.said)
		}
		return nil
	}
	return form("authorization_code", "code", code, "code_verifier", verifier)
}

// redeem begins a family, unless nobody can say whether it did.
func (t *town) redeem(ctx context.Context, node string, code url.Values) *family {
	a := t.token(ctx, node, code)
	if !a.ok() {
		if !a.unknown() {
			t.fault("a code was refused: %d %v", a.status, a.said)
		}
		return nil
	}
	t.count(func(c *tally) { c.Begun++ })
	return &family{refresh: a.text("refresh_token"), access: a.text("access_token")}
}

// begin begins a family at a node.
func (t *town) begin(ctx context.Context, node string) (*family, error) {
	for until := time.Now().Add(patience); ctx.Err() == nil && time.Now().Before(until); {
		if code := t.code(ctx, node); code != nil {
			if f := t.redeem(ctx, node, code); f != nil {
				return f, nil
			}
		}
	}
	return nil, errors.Join(errors.New("nobody can sign in"), ctx.Err())
}

// day is what somebody does: they sign in, and then one of three things comes of it.
func (t *town) day(ctx context.Context) {
	code := t.code(ctx, t.node())
	if code == nil {
		time.Sleep(20 * time.Millisecond)
		return
	}
	kind := t.days.Add(1) % 3
	if kind == 0 {
		t.race(ctx, code)
		return
	}
	f := t.redeem(ctx, t.node(), code)
	if f == nil {
		return
	}
	for range 1 + mathrand.IntN(4) {
		if !f.renewOn(ctx, t, t.node()) {
			return
		}
	}
	if kind == 1 && !t.revoke(ctx, f) {
		return
	}
	t.mu.Lock()
	t.families = append(t.families, f)
	t.mu.Unlock()
}

// race redeems a code at several nodes at once, and again where nothing came of it: of
// all of these one succeeds at most.
func (t *town) race(ctx context.Context, redeem url.Values) {
	var all sync.WaitGroup
	tries := make([]answer, 4)
	for i := range tries {
		all.Go(func() {
			if tries[i] = t.token(ctx, t.node(), redeem); tries[i].unknown() {
				tries[i] = t.token(ctx, t.node(), redeem)
			}
		})
	}
	all.Wait()
	won := 0
	for _, a := range tries {
		if a.ok() {
			won++
		}
	}
	if won > 1 {
		t.fault("a code was redeemed %d times", won)
	}
	t.count(func(c *tally) { c.Raced++ })
}

// renewOn renews the family, again and again until somebody says whether it worked. The
// token that was acknowledged last is good, or its successor comes.
func (f *family) renewOn(ctx context.Context, t *town, node string) bool {
	for until := time.Now().Add(patience); ctx.Err() == nil; node = t.node() {
		a := t.token(ctx, node, form("refresh_token", "refresh_token", f.refresh))
		switch {
		case a.ok():
			f.older, f.refresh, f.access = append(f.older, f.refresh), a.text("refresh_token"), a.text("access_token")
			t.count(func(c *tally) { c.Renewed++ })
			return true
		case !a.unknown():
			t.fault("what was acknowledged is lost: a renewal is answered with %d %v", a.status, a.said)
			return false
		case time.Now().After(until):
			t.fault("nobody renews a token any more")
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// revoke revokes the family, until that is acknowledged; from then on it is gone.
func (t *town) revoke(ctx context.Context, f *family) bool {
	for until := time.Now().Add(patience); ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		a := t.ask(ctx, t.node(), "/revoke", url.Values{"token": {f.refresh}})
		switch {
		case a.ok():
			f.revoked = true
			t.count(func(c *tally) { c.Revoked++ })
			t.gone(ctx, f)
			return true
		case !a.unknown():
			t.fault("a revocation is answered with %d %v", a.status, a.said)
			return false
		case time.Now().After(until):
			t.fault("nobody revokes a token any more")
			return false
		}
	}
	return false
}

// gone makes sure that a revoked family is so, at one of the nodes.
func (t *town) gone(ctx context.Context, f *family) { t.goneAt(ctx, t.node(), f) }

func (t *town) goneAt(ctx context.Context, node string, f *family) {
	if a := t.ask(ctx, node, "/introspect", url.Values{"token": {f.access}}); a.ok() && a.said["active"] != false {
		t.fault("an access token that was revoked is good at %s", node)
	}
	if a := t.token(ctx, node, form("refresh_token", "refresh_token", f.refresh)); a.ok() {
		t.fault("a refresh token that was revoked is good at %s", node)
	}
}
