package elsewhere

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// departure is where somebody goes who signs out.
type departure struct{ to, state string }

// leave is OpenID Connect RP-Initiated Logout §2. With a hint of this very session
// nobody is asked.
func (o *OpenID) leave(w http.ResponseWriter, r *http.Request) {
	p, err := parameters(r)
	if err != nil {
		o.tell(w, http.StatusBadRequest, "This request is not valid: "+err.Error()+".")
		return
	}
	subject, sid := o.hinted(r.Context(), p["id_token_hint"])
	hinted := subject != ""
	back := departure{state: p["state"]}
	switch {
	case p["id_token_hint"] != "" && !hinted:
		o.tell(w, http.StatusBadRequest, "The ID token that came with this request is not one of this house.")
		return
	case p["client_id"] != "" && p["client_id"] != o.config.Client.ID:
		o.tell(w, http.StatusBadRequest, "Whoever sent you here is not known here.")
		return
	case p["post_logout_redirect_uri"] != "" && p["post_logout_redirect_uri"] == o.config.Client.PostLogoutRedirectURI && (hinted || p["client_id"] != ""):
		// §2, §3: registered to the letter, and known to be this client's.
		back.to = p["post_logout_redirect_uri"]
	}
	o.mu.Lock()
	s, there := o.session(r)
	o.mu.Unlock()
	switch {
	case !there:
		o.left(w, r, back)
	case hinted && s.person == subject && s.id == sid:
		o.end(w, r, back)
	default:
		o.mu.Lock()
		id := o.leaving.put(back)
		o.mu.Unlock()
		person, _ := o.person(s.person)
		o.ask(w, id, person)
	}
}

// hinted reads an ID token of ours, also one that has expired (§2).
func (o *OpenID) hinted(ctx context.Context, token string) (subject, sid string) {
	if token == "" {
		return "", ""
	}
	t, err := jwt.Verify[struct {
		jwt.Registered
		SessionID string `json:"sid"`
	}](ctx, token, o.key, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.ES256}, Types: []string{"JWT"}, Issuers: []string{o.config.URL}, Audiences: []string{o.config.Client.ID},
		IgnoreExpiration: true, Now: o.config.Now,
	})
	if err != nil {
		return "", ""
	}
	return t.Claims.Subject, t.Claims.SessionID
}

// signOut takes the button of the pages.
func (o *OpenID) signOut(w http.ResponseWriter, r *http.Request) {
	p, err := parameters(r)
	if err != nil {
		o.tell(w, http.StatusBadRequest, "This form cannot be read.")
		return
	}
	o.mu.Lock()
	var back departure
	if d := o.leaving.find(p["request"]); d != nil {
		back = *d
		o.leaving.drop(p["request"])
	}
	o.mu.Unlock()
	o.end(w, r, back)
}

// end ends the session of a browser: here, then at the client by the back channel.
func (o *OpenID) end(w http.ResponseWriter, r *http.Request, back departure) {
	o.mu.Lock()
	s, there := o.session(r)
	o.forget(r)
	if there {
		o.codes.dropAll(func(c code) bool { return c.session == s.id })
	}
	o.mu.Unlock()
	o.setCookie(w, "", -1)
	if there {
		o.notify(r.Context(), s)
	}
	o.left(w, r, back)
}

func (o *OpenID) left(w http.ResponseWriter, r *http.Request, back departure) {
	if back.to == "" {
		o.tell(w, http.StatusOK, "You are signed out of "+o.config.Name+".")
		return
	}
	q := url.Values{}
	if back.state != "" {
		q.Set("state", back.state)
	}
	goTo(w, r, back.to, q)
}

// sayOver makes a logout token, OpenID Connect Back-Channel Logout §2.4.
func (o *OpenID) sayOver(s session) (string, error) {
	return jwt.Sign(map[string]any{
		"sid": s.id, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}},
	}, o.key, jwt.SignOptions{
		Type: "logout+jwt", Issuer: o.config.URL, Subject: s.person, Audience: []string{o.config.Client.ID}, ID: rand.Text(),
		ExpiresIn: 2 * time.Minute, Now: o.config.Now,
	})
}

// notify tells the client that a session is over, OpenID Connect Back-Channel Logout
// §2.5. It is tried once, while the person waits; what fails is in the log.
func (h *house) notify(ctx context.Context, s session) {
	if h.notice == nil || h.config.Client.BackchannelURI == "" {
		return
	}
	err := func() error {
		token, err := h.notice(s)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.config.Client.BackchannelURI, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := h.config.HTTP.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent { // §2.8
			return fmt.Errorf("it answered %d", res.StatusCode)
		}
		return nil
	}()
	if err != nil {
		h.config.Logger.WarnContext(ctx, "the client was not told that a session is over", "house", h.config.Name, "error", err)
	}
}
