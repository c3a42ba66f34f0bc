package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// maxNotice bounds what an authorization server may send, in bytes.
const maxNotice = 64 << 10

// logoutEvent is the member of "events" that makes a token a logout token, OpenID
// Connect Back-Channel Logout §2.4.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// BackChannelLogout takes the authorization server's notices that a session is
// over, OpenID Connect Back-Channel Logout §2.5. It is mounted at the address
// that the client is registered with as backchannel_logout_uri, which the server,
// not a browser, must be able to reach. Whoever had signed in here in that session
// is signed out, in whichever browser that was, with their next request.
//
// A process remembers what it was told for SessionLife. An application of several
// processes sets Store, which then holds that for all of them.
func (c *Client) BackChannelLogout() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodPost) {
			return
		}
		w.Header().Set("Cache-Control", "no-store") // §2.8
		err := c.takeNotice(w, r)
		if err == nil {
			return
		}
		c.log.WarnContext(r.Context(), "a logout notice was not taken", "error", err)
		status := http.StatusServiceUnavailable // which the server may try again
		if errors.Is(err, ErrNotice) {
			status = http.StatusBadRequest // §2.8
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// The answer is small and its status is out: nothing to do on failure.
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": "The logout was not done"})
	})
}

func (c *Client) takeNotice(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxNotice)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err := r.ParseForm(); err != nil || kind != "application/x-www-form-urlencoded" || len(r.PostForm["logout_token"]) != 1 {
		return fmt.Errorf("%w: not a form with one logout_token", ErrNotice)
	}
	n, err := c.Notice(r.Context(), r.PostForm.Get("logout_token"))
	if err != nil {
		return err
	}
	// Rule 8: not one that was received before. What could not be kept was not: the
	// same one may come again.
	jti := "jti " + digest(n.ID)
	if c.spent.used(jti) {
		return fmt.Errorf("%w: it has been received before", ErrNotice)
	}
	if err := c.keepNotice(r.Context(), n); err != nil {
		return err
	}
	c.spent.use(jti, n.ExpiresAt.Sub(c.now())+c.config.Leeway)
	return nil
}

// keepNotice remembers what a notice says. What has a session is about this one, else
// it is about all of the person's, as of the youngest that came.
func (c *Client) keepNotice(ctx context.Context, n Notice) error {
	if n.SessionID != "" {
		return c.remember(ctx, c.notices, noticeSession, n.SessionID, n.IssuedAt)
	}
	until, told, err := c.recall(ctx, c.notices, noticeSubject, n.Subject)
	if err != nil || told && until >= n.IssuedAt.Unix() {
		return err
	}
	return c.remember(ctx, c.notices, noticeSubject, n.Subject, n.IssuedAt)
}

// Notice is what a logout token says: which session is over, or with no SessionID
// that all of the Subject's are.
type Notice struct {
	Issuer, Subject, SessionID string
	ID                         string // of the token, which counts once
	IssuedAt, ExpiresAt        time.Time
}

// Notice verifies a logout token as OpenID Connect Back-Channel Logout §2.6 says, for
// those who keep sessions their own way. What it cannot see is whether the token came
// before (rule 8): whoever calls it remembers the ID until ExpiresAt. Errors: ErrNotice
// with the cause, ErrUnavailable without keys.
func (c *Client) Notice(ctx context.Context, token string) (Notice, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Notice{}, err
	}
	if up.keys == nil {
		return Notice{}, fmt.Errorf("%w: there are no keys to verify it with", ErrNotice)
	}
	t, err := jwt.Verify[map[string]json.RawMessage](ctx, token, up.keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{c.config.IDTokenAlgorithm}, // rules 2 and 3; never "none"
		Issuers:    c.issuers(),                                // rule 4
		Audiences:  []string{c.config.ClientID},
		Leeway:     c.config.Leeway,
		MaxAge:     24 * time.Hour, // and so "iat" is there and not in the future
		MaxSize:    maxNotice,
		Now:        c.now,
	})
	if _, bad := errors.AsType[*jwt.JSONWebTokenError](err); bad {
		return Notice{}, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	if err != nil { // the keys could not be had
		return Notice{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// RFC 8725 §3.11. Not every server gives logout tokens the type of their own.
	switch strings.ToLower(strings.TrimPrefix(t.Header.Type, "application/")) {
	case "logout+jwt", "jwt", "":
	default:
		return Notice{}, fmt.Errorf("%w: typ is that of another kind of token", ErrNotice)
	}
	text, err := json.Marshal(t.Claims)
	if err == nil {
		err = c.checkTenant(ctx, up, t.Header.KeyID, text)
	}
	if err != nil {
		return Notice{}, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	n, err := readNotice(t.Claims)
	if err != nil {
		return Notice{}, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	return n, nil
}

// readNotice checks what a logout token has beyond any JWT.
func readNotice(claims map[string]json.RawMessage) (Notice, error) {
	var n Notice
	var events map[string]json.RawMessage
	var issued, expires jwt.Time
	for _, claim := range []struct {
		name string
		to   any
	}{{"iss", &n.Issuer}, {"sub", &n.Subject}, {"sid", &n.SessionID}, {"jti", &n.ID}, {"iat", &issued}, {"exp", &expires}, {"events", &events}} {
		if text, ok := claims[claim.name]; ok {
			if err := json.Unmarshal(text, claim.to); err != nil {
				return n, fmt.Errorf("%s: %w", claim.name, err)
			}
		}
	}
	n.IssuedAt, n.ExpiresAt = issued.Time, expires.Time
	var event map[string]json.RawMessage
	switch _, nonce := claims["nonce"]; {
	case n.Subject == "" && n.SessionID == "": // rule 5
		return n, errors.New("it names neither sub nor sid")
	case json.Unmarshal(events[logoutEvent], &event) != nil || event == nil: // rule 6
		return n, errors.New("its events are not those of a logout")
	case nonce: // rule 7
		return n, errors.New("it has a nonce, as an ID token has")
	case n.ID == "": // §2.4
		return n, errors.New("jti is missing")
	}
	return n, nil
}

// FrontChannelLogout signs somebody out who signs out elsewhere in the same
// browser: the authorization server loads it in a frame, OpenID Connect
// Front-Channel Logout §3. It is mounted at the address that the client is
// registered with as frontchannel_logout_uri, with
// frontchannel_logout_session_required.
//
// Browsers bring no cookie to a frame on another site. So it goes by the session
// that the address names, which is random and known to the server and to this
// application alone, and needs no cookie. Anybody can make one up: those are kept
// apart from what the server has told and, where there is a Store, not kept at all.
// Make the handler before the first person signs in.
func (c *Client) FrontChannelLogout() http.Handler {
	c.frames.Store(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodGet) {
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-cache, no-store") // §2
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+originOf(c.config.Issuer))
		q, err := url.ParseQuery(r.URL.RawQuery)
		sid := q.Get("sid")
		if err != nil || len(q["iss"]) != 1 || !c.mayIssue(q.Get("iss")) || len(q["sid"]) != 1 || sid == "" {
			http.Error(w, "This is not a sign-out of this application's sign-in.", http.StatusBadRequest)
			return
		}
		if err := c.takeFrame(r.Context(), sid); err != nil {
			c.log.WarnContext(r.Context(), "a logout was not taken", "error", err)
			http.Error(w, "The sign-out did not work.", http.StatusServiceUnavailable)
		}
	})
}

// takeFrame remembers that a session is over, as a frame says. A Store holds more than
// notices: strangers must not fill it.
func (c *Client) takeFrame(ctx context.Context, sid string) error {
	if c.config.Store != nil {
		if _, known, err := c.recall(ctx, c.framed, noticeKnown, sid); !known || err != nil {
			return err
		}
	}
	return c.remember(ctx, c.framed, noticeSession, sid, c.now())
}

// expectFrame makes the session of a person who signs in known to takeFrame.
func (c *Client) expectFrame(ctx context.Context, id Identity) error {
	if c.config.Store == nil || id.SessionID == "" || !c.frames.Load() {
		return nil
	}
	return c.remember(ctx, c.framed, noticeKnown, id.SessionID, c.now())
}

// originOf is where an address belongs to, for a policy.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}

// What a notice is about.
const (
	noticeSession = "sid"
	noticeSubject = "sub"
	noticeKnown   = "known sid" // that somebody has signed in here in that session
)

// remember keeps for as long as a session can last that the sessions of a "sid" or
// of a "sub" which began until then are over.
func (c *Client) remember(ctx context.Context, in Store, about, name string, until time.Time) error {
	row := c.noticeRow(about, name)
	text, err := json.Marshal(until.Unix())
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	sealed := c.seal.close(text, sealNotice, c.owner(row))
	if err := in.Save(ctx, row, []byte(sealed), c.now().Add(c.config.SessionLife)); err != nil {
		return fmt.Errorf("client: logout notice: %w", err)
	}
	return nil
}

// putOut reports whether a notice has ended the session of a record.
func (c *Client) putOut(ctx context.Context, rec record) (bool, error) {
	if rec.Tokens.ID == "" {
		return false, nil
	}
	id, err := identityOf(rec.Tokens.ID)
	if err != nil {
		return false, err
	}
	if id.SessionID != "" {
		// A session that is over does not come back, whenever it began here.
		if _, told, err := c.recall(ctx, c.notices, noticeSession, id.SessionID); told || err != nil {
			return told, err
		}
		if c.config.Store == nil { // else they are in one place
			if _, told, err := c.recall(ctx, c.framed, noticeSession, id.SessionID); told || err != nil {
				return told, err
			}
		}
	}
	until, told, err := c.recall(ctx, c.notices, noticeSubject, id.Subject)
	return told && rec.Began <= until, err
}

// recall returns what remember has kept.
func (c *Client) recall(ctx context.Context, in Store, about, name string) (until int64, told bool, err error) {
	row := c.noticeRow(about, name)
	sealed, err := in.Load(ctx, row)
	if errors.Is(err, ErrNoSession) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("client: logout notice: %w", err)
	}
	text, _, err := c.seal.open(string(sealed), sealNotice, c.owner(row))
	if err == nil {
		err = json.Unmarshal(text, &until)
	}
	if err != nil {
		return 0, false, fmt.Errorf("client: logout notice: %w", err)
	}
	return until, true, nil
}

// noticeRow is where a notice is kept. It looks like the identifier of a session,
// and is a hash likewise.
func (c *Client) noticeRow(about, name string) string {
	return digest("logout notice\x00" + c.config.Issuer + "\x00" + c.config.ClientID + "\x00" + about + "\x00" + name)
}
