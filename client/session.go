package client

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// What browsers store for one cookie, name and value together.
	maxCookie = 4096
	// A sealed session is never larger than this once unpacked.
	maxRecord = 256 << 10
)

// Session is a person who is signed in to the application.
type Session struct {
	ID       string    // of this sign-in, random; not the authorization server's "sid"
	Subject  string    // who, at the issuer
	Identity Identity  // what the ID token says
	Profile  Profile   // what userinfo said at sign-in, or else the ID token
	Began    time.Time // when the person signed in here
	Expires  time.Time // when the person is signed out by themselves

	tokens Tokens
	now    func() time.Time
}

// AccessToken returns the token for calls to APIs in the person's name. It fails
// with ErrExpired when the token is dead and could not be renewed.
func (s *Session) AccessToken() (string, error) {
	if reached(s.tokens.ExpiresAt, s.now()) {
		return "", fmt.Errorf("client: %w", ErrExpired)
	}
	return s.tokens.Access, nil
}

// IDToken returns the ID token as text, for a display or as a hint.
func (s *Session) IDToken() string { return s.tokens.ID }

// Scope returns what the access token was granted.
func (s *Session) Scope() []string { return s.tokens.Scope }

// record is the sealed form of a session.
type record struct {
	ID      string          `json:"id"`
	Began   int64           `json:"b"`
	Tokens  Tokens          `json:"t"`
	Profile json.RawMessage `json:"p,omitempty"`

	handle string // in the cookie, where a Store is used
}

// Session returns the session of the browser that sent r, with the access token
// renewed if it is about to expire; w is given a new cookie then, so it must be
// called before anything is written. Errors: ErrNoSession, also when the
// authorization server said that the session is over; else a failure of Store.
func (c *Client) Session(w http.ResponseWriter, r *http.Request) (*Session, error) {
	rec, old, err := c.load(r)
	if err != nil {
		return nil, err
	}
	renewed := false
	if rec.Tokens.Refresh != "" && reached(rec.Tokens.RenewAt, c.now()) {
		next, err := c.renewRecord(w, r, rec)
		switch {
		case err == nil:
			rec, renewed = next, true
		case errors.Is(err, errKept):
			// Nothing is known to be wrong with the session: it is kept, and
			// AccessToken tells when its token has died.
			c.log.WarnContext(r.Context(), "renewal failed", "error", err)
		default:
			return nil, err
		}
	}
	if c.ended.used(rec.ID) {
		return nil, fmt.Errorf("client: %w", ErrNoSession)
	}
	if renewed {
		if err := c.goesOn(r.Context(), rec); err != nil {
			return nil, err
		}
	}
	if renewed || old {
		if err := c.save(w, r, rec); err != nil {
			return nil, err
		}
	}
	return c.session(rec)
}

// Renew is Session with tokens that are exchanged now, however long the old ones
// would live yet: for an application that knows that what they say has changed. A
// browser that comes with the same cookie again gets the same ones. Errors:
// ErrNoSession as there, ErrExpired without a refresh token, and those of Refresh,
// which leave the session as it is.
func (c *Client) Renew(w http.ResponseWriter, r *http.Request) (*Session, error) {
	rec, _, err := c.load(r)
	if err != nil {
		return nil, err
	}
	if rec, err = c.renewRecord(w, r, rec); err != nil {
		return nil, err
	}
	if err := c.goesOn(r.Context(), rec); err != nil {
		return nil, err
	}
	if err := c.save(w, r, rec); err != nil {
		return nil, err
	}
	return c.session(rec)
}

// goesOn fails with ErrNoSession if a session is over by now. While its renewal was
// under way, the person may have signed out in another tab, here or at another process
// with the same Store: nobody is to be signed in again by a late answer.
func (c *Client) goesOn(ctx context.Context, rec record) error {
	if c.ended.used(rec.ID) {
		return fmt.Errorf("client: %w", ErrNoSession)
	}
	if c.config.Store == nil {
		return nil
	}
	if _, err := c.config.Store.Load(ctx, digest(rec.handle)); err != nil {
		return fmt.Errorf("client: session: %w", err)
	}
	return nil
}

// errKept marks a renewal that failed and says nothing about the session.
var errKept = errors.New("the session is kept")

// renewRecord returns rec with new tokens. Errors: ErrNoSession if the grant is
// over, with the session dropped; errKept if it is not known to be.
func (c *Client) renewRecord(w http.ResponseWriter, r *http.Request, rec record) (record, error) {
	next, err := c.Refresh(r.Context(), rec.Tokens)
	switch {
	case err == nil:
		rec.Tokens = next
		return rec, nil
	case hasCode(err, "invalid_grant"):
		// Renewing is where an application learns that the person was put out.
		if err := c.drop(w, r, rec); err != nil {
			return record{}, err
		}
		return record{}, fmt.Errorf("client: %w: %w", ErrNoSession, err)
	default:
		return record{}, fmt.Errorf("%w: %w", err, errKept)
	}
}

// session unfolds a record.
func (c *Client) session(rec record) (*Session, error) {
	s := &Session{ID: rec.ID, Began: time.Unix(rec.Began, 0), tokens: rec.Tokens, now: c.now}
	s.Expires = s.Began.Add(c.config.SessionLife)
	var err error
	if rec.Tokens.ID != "" {
		if s.Identity, err = identityOf(rec.Tokens.ID); err != nil {
			return nil, err
		}
	}
	s.Subject = s.Identity.Subject
	claims := rec.Profile
	if len(claims) == 0 {
		claims = s.Identity.raw
	}
	if len(claims) > 0 {
		s.Profile.raw = claims
		if err := json.Unmarshal(claims, &s.Profile); err != nil {
			return nil, fmt.Errorf("client: session: %w", err)
		}
		s.Profile.Subject = s.Subject
	}
	return s, nil
}

// load finds the record behind the request's cookie. Errors: ErrNoSession for
// every kind of unusable cookie; else a failure of Store.
func (c *Client) load(r *http.Request) (record, bool, error) {
	// Several cookies of one name come from a parent domain or another path,
	// perhaps planted: the one that opens counts.
	for _, cookie := range r.CookiesNamed(c.cookie) {
		rec, old, err := c.read(r.Context(), cookie.Value)
		switch {
		case errors.Is(err, errSeal), errors.Is(err, ErrNoSession):
			continue
		case err != nil:
			return record{}, false, fmt.Errorf("client: session: %w", err)
		}
		if c.ended.used(rec.ID) || !c.now().Before(time.Unix(rec.Began, 0).Add(c.config.SessionLife)) {
			continue
		}
		over, err := c.putOut(r.Context(), rec)
		if err != nil {
			return record{}, false, err
		}
		if over {
			continue
		}
		return rec, old, nil
	}
	return record{}, false, fmt.Errorf("client: %w", ErrNoSession)
}

func (c *Client) read(ctx context.Context, value string) (record, bool, error) {
	handle, owner := "", c.owner("")
	if c.config.Store != nil {
		handle, owner = value, c.owner(digest(value))
		data, err := c.config.Store.Load(ctx, digest(handle))
		if err != nil {
			return record{}, false, err
		}
		value = string(data)
	}
	data, old, err := c.seal.open(value, sealSession, owner)
	if err != nil {
		return record{}, false, err
	}
	rec, err := unpack(data)
	rec.handle = handle
	return rec, old, err
}

// save seals rec and hands the browser its cookie.
func (c *Client) save(w http.ResponseWriter, r *http.Request, rec record) error {
	data, err := pack(rec)
	if err != nil {
		return err
	}
	expires := time.Unix(rec.Began, 0).Add(c.config.SessionLife)
	value := rec.handle
	if c.config.Store == nil {
		value = c.seal.close(data, sealSession, c.owner(""))
		if n := len(c.cookie) + 1 + len(value); n > maxCookie {
			return fmt.Errorf("client: %w: %d bytes, browsers store %d; set Config.Store", ErrTooLarge, n, maxCookie)
		}
	} else {
		id := digest(rec.handle)
		if err := c.config.Store.Save(r.Context(), id, []byte(c.seal.close(data, sealSession, c.owner(id))), expires); err != nil {
			return fmt.Errorf("client: session: %w", err)
		}
	}
	c.setCookie(w, c.cookie, value, expires.Sub(c.now()))
	return nil
}

// drop ends the session at this application: for this process at once, whatever
// copies of the cookie there are.
func (c *Client) drop(w http.ResponseWriter, r *http.Request, rec record) error {
	c.ended.use(rec.ID, c.config.SessionLife)
	c.setCookie(w, c.cookie, "", -1)
	if c.config.Store == nil {
		return nil
	}
	if err := c.config.Store.Delete(r.Context(), digest(rec.handle)); err != nil {
		return fmt.Errorf("client: session: %w", err)
	}
	return nil
}

// owner binds sealed values to this client, at this issuer, and to a row.
func (c *Client) owner(row string) string {
	return c.config.Issuer + "\x00" + c.config.ClientID + "\x00" + row
}

// setCookie sets a cookie for so long; a life that is not positive deletes it.
func (c *Client) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	setCookie(w, c.newCookie(name, value, life))
}

func (c *Client) newCookie(name, value string, life time.Duration) *http.Cookie {
	age := int(life / time.Second)
	if age <= 0 {
		age = -1
	}
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age,
		// Lax, not Strict: the way back from the authorization server is a
		// navigation from another site, and must bring the attempt along.
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
}

func setCookie(w http.ResponseWriter, cookie *http.Cookie) {
	http.SetCookie(w, cookie)
	// An answer with somebody's cookie is nobody else's.
	w.Header().Set("Cache-Control", "no-store")
}

// pack makes a record small. Tokens are base64, which Huffman coding brings back
// to its six bits a character, so that an ordinary session fits into a cookie.
// Nothing better than Huffman: finding repetitions would let somebody who can
// choose a part of the content learn another part from the length (CRIME).
func pack(rec record) ([]byte, error) {
	plain, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("client: session: %w", err)
	}
	var out bytes.Buffer
	f, err := flate.NewWriter(&out, flate.HuffmanOnly)
	if err != nil {
		return nil, fmt.Errorf("client: session: %w", err)
	}
	if _, err = f.Write(plain); err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("client: session: %w", err)
	}
	return out.Bytes(), nil
}

func unpack(data []byte) (record, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxRecord))
	if err != nil {
		return record{}, errSeal
	}
	var rec record
	if err := json.Unmarshal(plain, &rec); err != nil {
		return record{}, errSeal
	}
	return rec, nil
}
