package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	attemptLife = 10 * time.Minute
	// So many sign-ins may be under way in one browser; the oldest gives way.
	// Each costs a cookie of up to a kilobyte on every request.
	maxAttempts = 5
	// A longer address of the page to return to is forgotten.
	maxReturnTo = 512
)

// attemptCookie names the cookie of one attempt. Each has its own, so that
// several tabs can sign in at once and finish in any order.
func (c *Client) attemptCookie(state string) string {
	return c.cookie + "-signin-" + digest(state)[:16]
}

func (c *Client) keepAttempt(w http.ResponseWriter, r *http.Request, a Attempt) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("client: sign-in: %w", err)
	}
	c.pruneAttempts(w, r)
	name := c.attemptCookie(a.State)
	value := c.seal.close(plain, sealAttempt, c.owner(name))
	c.setAttempt(w, a, value, attemptLife)
	return nil
}

// setAttempt sets the cookie of an attempt for so long; a life that is not positive
// deletes it.
func (c *Client) setAttempt(w http.ResponseWriter, a Attempt, value string, life time.Duration) {
	cookie := c.newCookie(c.attemptCookie(a.State), value, life)
	if a.inBrowser() {
		// The answer is a form that another site posts, and brings no cookie along but
		// one that says None. Such a one must be Secure; on http://localhost, Chromium
		// and Firefox keep it all the same. It is sealed, and good for one answer.
		cookie.Secure, cookie.SameSite = true, http.SameSiteNoneMode
	}
	setCookie(w, cookie)
}

// pruneAttempts makes room for one more attempt.
func (c *Client) pruneAttempts(w http.ResponseWriter, r *http.Request) {
	type kept struct {
		name  string
		began time.Time
	}
	var all []kept
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, c.cookie+"-signin-") {
			a, _ := c.openAttempt(cookie) // one that does not open began in year 1
			all = append(all, kept{cookie.Name, a.Began})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return cmp.Or(b.began.Compare(a.began), cmp.Compare(a.name, b.name)) })
	for i, k := range all {
		if i >= maxAttempts-1 || k.began.IsZero() {
			c.setCookie(w, k.name, "", -1)
		}
	}
}

func (c *Client) openAttempt(cookie *http.Cookie) (Attempt, error) {
	plain, _, err := c.seal.open(cookie.Value, sealAttempt, c.owner(cookie.Name))
	if err != nil {
		return Attempt{}, err
	}
	var a Attempt
	if err := json.Unmarshal(plain, &a); err != nil {
		return Attempt{}, errSeal
	}
	return a, nil
}

// takeAttempt returns the attempt that state names, once. Errors: ErrAttempt.
func (c *Client) takeAttempt(w http.ResponseWriter, r *http.Request, state string) (Attempt, error) {
	if state == "" {
		return Attempt{}, ErrAttempt
	}
	name := c.attemptCookie(state)
	for _, cookie := range r.CookiesNamed(name) {
		a, err := c.openAttempt(cookie)
		if err != nil {
			continue
		}
		c.setAttempt(w, a, "", -1)
		// A second use of a code makes the authorization server revoke what
		// the first one got (RFC 6749 §4.1.2), so a reloaded callback must not
		// reach it.
		if !c.spent.use(digest(state), attemptLife) {
			return Attempt{}, ErrAttempt
		}
		return a, nil
	}
	return Attempt{}, ErrAttempt
}

// localPath returns p if it names a page of this application, else "/". What
// browsers would read as another site ("//evil", "/\evil", "/<tab>/evil") does
// not pass.
func localPath(p string) string {
	if len(p) > maxReturnTo || !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.Contains(p, `\`) {
		return "/"
	}
	for i := range len(p) {
		if p[i] <= 0x20 || p[i] >= 0x7f {
			return "/"
		}
	}
	u, err := url.Parse(p)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return "/"
	}
	return p
}
