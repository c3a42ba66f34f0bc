package client

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"
)

type contextKey struct{}

// SessionFrom returns the session that Attach or RequireSignIn found, or nil
// when nobody is signed in.
func SessionFrom(ctx context.Context) *Session {
	s, _ := ctx.Value(contextKey{}).(*Session)
	return s
}

// Attach lets SessionFrom know who is signed in, if anybody, and renews tokens
// on the way.
func (c *Client) Attach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := c.Session(w, r)
		if err != nil && !errors.Is(err, ErrNoSession) {
			c.fail(w, r, err)
			return
		}
		if s != nil {
			r = r.WithContext(context.WithValue(r.Context(), contextKey{}, s))
		}
		next.ServeHTTP(w, r)
	})
}

// RequireSignIn lets only people through who are signed in. A browser that asks
// for a page without a session is sent to sign in and comes back to that page;
// everything else (a form, a script, an image) is answered 401.
func (c *Client) RequireSignIn(next http.Handler) http.Handler {
	return c.Attach(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mode := r.Header.Get("Sec-Fetch-Mode"); {
		case SessionFrom(r.Context()) != nil:
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && (mode == "" || mode == "navigate"):
			if err := c.Begin(w, r, AuthOptions{ReturnTo: r.URL.RequestURI()}); err != nil {
				c.fail(w, r, err)
			}
		default:
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "Sign in first.", http.StatusUnauthorized)
		}
	}))
}

// Begin sends the browser to the authorization server to sign in. It answers
// the request unless it returns an error: ErrUnavailable, ErrIssuer, ErrResponse.
func (c *Client) Begin(w http.ResponseWriter, r *http.Request, o AuthOptions) error {
	target, a, err := c.AuthCodeURL(r.Context(), o)
	if err != nil {
		return err
	}
	if err := c.keepAttempt(w, r, a); err != nil {
		return err
	}
	redirect(w, r, target)
	return nil
}

// Login begins a sign-in. The parameter "return_to" may name the local page to
// go back to.
func (c *Client) Login() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodGet, http.MethodPost) {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if err := c.Begin(w, r, AuthOptions{ReturnTo: r.FormValue("return_to")}); err != nil {
			c.fail(w, r, err)
		}
	})
}

// Callback completes a sign-in. It is mounted at Config.RedirectURI. The answer to
// ResponseTokens is posted there by the page of another site, which a protection
// against such forms must let through: what proves it is "state" and a cookie.
func (c *Client) Callback() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodGet, http.MethodPost) {
			return
		}
		target, err := c.complete(w, r)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		redirect(w, r, target)
	})
}

// complete turns an authorization response into a session and returns the page
// that started it.
func (c *Client) complete(w http.ResponseWriter, r *http.Request) (string, error) {
	response, err := responseOf(w, r)
	if err != nil {
		return "", err
	}
	a, err := c.takeAttempt(w, r, response.Get("state"))
	if err != nil {
		return "", err
	}
	// OAuth 2.0 Form Post Response Mode §2: an answer comes in the mode that was asked
	// for. Tokens in an address are none, wherever they come from.
	if a.inBrowser() != (r.Method == http.MethodPost) {
		return "", fmt.Errorf("client: sign-in: %w: another response_mode than was asked for", ErrResponse)
	}
	t, id, err := c.Exchange(r.Context(), a, response)
	if err != nil {
		return "", err
	}
	// A new sign-in has a new ID and a new handle, whatever cookie the browser
	// came with: nobody can fix another person's session beforehand.
	rec := record{ID: random(), Began: c.now().Unix(), Tokens: t, handle: random()}
	if err := c.learn(r.Context(), &rec, id); err != nil {
		return "", err
	}
	if before, _, err := c.load(r); err == nil {
		if err := c.drop(w, r, before); err != nil {
			return "", err
		}
	}
	if err := c.expectFrame(r.Context(), id); err != nil {
		return "", err
	}
	if err := c.save(w, r, rec); err != nil {
		return "", err
	}
	return a.ReturnTo, nil
}

// responseOf reads an authorization response: of a query, or of a posted form.
func responseOf(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method == http.MethodGet {
		response, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, ErrResponse
		}
		return response, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("client: sign-in: %w: not a form", ErrResponse)
	}
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("client: sign-in: %w: not a form", ErrResponse)
	}
	return r.PostForm, nil
}

// Logout signs the person out: here, then at the authorization server, which
// sends the browser to Config.PostLogoutRedirectURI. It answers POST only, and
// no cross-site one: an image elsewhere must not sign people out.
func (c *Client) Logout() http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodPost) {
			return
		}
		if err := protection.Check(r); err != nil {
			http.Error(w, "This request came from another site.", http.StatusForbidden)
			return
		}
		target, err := c.signOut(w, r)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		redirect(w, r, target)
	})
}

func (c *Client) signOut(w http.ResponseWriter, r *http.Request) (string, error) {
	rec, _, err := c.load(r)
	switch {
	case err == nil:
		if err := c.drop(w, r, rec); err != nil {
			return "", err
		}
		c.giveBack(r.Context(), rec.Tokens)
	case !errors.Is(err, ErrNoSession):
		return "", err
	default:
		c.setCookie(w, c.cookie, "", -1)
	}
	target, err := c.LogoutURL(r.Context(), rec.Tokens.ID, "")
	if err == nil {
		return target, nil
	}
	// Signed out here at least, and the person gets to see a page.
	c.log.WarnContext(r.Context(), "signed out of the application only", "error", err)
	if c.config.PostLogoutRedirectURI != "" {
		return c.config.PostLogoutRedirectURI, nil
	}
	return "/", nil
}

// giveBack revokes the refresh token, so that a copy of the cookie is worth
// nothing once its access token has expired, also in other processes and for
// grants that outlive their session.
func (c *Client) giveBack(ctx context.Context, t Tokens) {
	if t.Refresh == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// The cookie may be older than the last renewal.
	for range renewalChain {
		next, ok := c.renewals.peek(digest(t.Refresh))
		if !ok || next.Refresh == t.Refresh {
			break
		}
		t = next
	}
	if err := c.Revoke(ctx, t.Refresh, "refresh_token"); err != nil && !errors.Is(err, ErrUnsupported) {
		c.log.WarnContext(ctx, "the refresh token was not revoked", "error", err)
	}
}

func redirect(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // RFC 9700 §4.2.4
	http.Redirect(w, r, target, http.StatusSeeOther)
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header()["Allow"] = methods
	http.Error(w, "Method not allowed.", http.StatusMethodNotAllowed)
	return false
}

// refusals are what a person may say, and what prompt=none is answered where somebody has
// to be asked (OpenID Connect Core §3.1.2.6): nothing is wrong, and nobody need be warned.
var refusals = []string{"access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"}

// fail is the one place where a failure becomes an answer.
func (c *Client) fail(w http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelWarn
	if no, ok := errors.AsType[*Error](err); ok && slices.Contains(refusals, no.Code) {
		level = slog.LevelInfo
	}
	c.log.Log(r.Context(), level, "sign-in or sign-out failed", "path", r.URL.Path, "error", err)
	w.Header().Set("Cache-Control", "no-store")
	c.config.Failed(w, r, err)
}

// Status returns the HTTP status that suits an error of this package, and a
// sentence that may be shown to a person.
func Status(err error) (status int, sentence string) {
	switch {
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable, "Signing in is not possible at the moment. Please try again in a minute."
	case hasCode(err, "access_denied"):
		return http.StatusForbidden, "The sign-in was cancelled."
	case errors.Is(err, ErrAttempt):
		return http.StatusBadRequest, "This sign-in has expired, or was completed before."
	case errors.Is(err, ErrIssuer), errors.Is(err, ErrResponse), errors.Is(err, ErrIdentity), errors.As(err, new(*Error)):
		return http.StatusBadRequest, "The sign-in did not work."
	default:
		return http.StatusInternalServerError, "Something went wrong on our side."
	}
}

var failure = template.Must(template.New("failure").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signing in</title>
<h1>Signing in</h1>
<p>{{.}}</p>
<p><a href="/">Back to the start</a></p>
</html>
`))

// failed is the default of Config.Failed.
func failed(w http.ResponseWriter, _ *http.Request, err error) {
	status, sentence := Status(err)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "10")
	}
	w.WriteHeader(status)
	failure.Execute(w, sentence) // the page is small and the status is out: nothing to do on failure
}
