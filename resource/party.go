package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	feedScope = "ostiary:feed"

	tokenMargin = 10 * time.Second // a token is renewed so long before it expires
	askTime     = 5 * time.Second  // for one answer that is not the feed itself
	answerBytes = 64 << 10
)

// party is the client as which an API asks its issuer.
type party struct {
	config FeedConfig
	web    *http.Client
	turn   chan struct{} // of one at a time, for what follows

	document document
	until    time.Time // of the document

	token   string
	expires time.Time
}

func newParty(c FeedConfig) *party {
	web := c.HTTP
	if web == nil {
		// A connection that serves a stream serves nothing else: when it is dead
		// the next request must not go the same way.
		web = &http.Client{}
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			t = t.Clone()
			t.Protocols = new(http.Protocols)
			t.Protocols.SetHTTP1(true)
			web.Transport = t
		}
	}
	web = withoutRedirects(web)
	web.Timeout = 0 // streams have no end; all else has a context
	return &party{config: c, web: web, turn: make(chan struct{}, 1)}
}

// lock waits for the turn to read and change what is kept.
func (p *party) lock(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *party) unlock() { <-p.turn }

// discovered returns the issuer's metadata.
func (p *party) discovered(ctx context.Context) (document, error) {
	if err := p.lock(ctx); err != nil {
		return document{}, err
	}
	defer p.unlock()
	return p.keptDocument(ctx)
}

// keptDocument is for who has the turn.
func (p *party) keptDocument(ctx context.Context) (document, error) {
	now := p.config.Now()
	if now.Before(p.until) {
		return p.document, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	d, err := discover(ctx, p.web, p.config.Issuer)
	if err != nil {
		return document{}, err
	}
	p.document, p.until = d, now.Add(discoveryAge)
	return d, nil
}

// after draws the lesson from an error for the next connection.
func (p *party) after(err error) {
	a, answered := errors.AsType[*answer](err)
	switch {
	case errors.Is(err, errSilent):
		p.web.CloseIdleConnections() // one of those that nobody uses may be dead as well
	case errors.Is(err, errRenew):
		p.turn <- struct{}{}
		p.expires = time.Time{}
		p.unlock()
	case errors.Is(err, errFeed), answered && a.status < 500 && a.status != http.StatusTooManyRequests:
		p.turn <- struct{}{} // metadata and token may have changed
		p.until, p.expires = time.Time{}, time.Time{}
		p.unlock()
	}
}

// access returns where the feed is, and the token to ask for it with.
func (p *party) access(ctx context.Context) (endpoint, token string, err error) {
	if err := p.lock(ctx); err != nil {
		return "", "", err
	}
	defer p.unlock()
	endpoint = p.config.URL
	if endpoint == "" {
		d, err := p.keptDocument(ctx)
		if err == nil {
			err = d.check("revocation_feed_endpoint", d.Feed)
		}
		if err != nil {
			return "", "", err
		}
		endpoint = d.Feed
	}
	if p.config.Token != nil {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		token, err = p.config.Token(ctx)
	} else {
		token, err = p.keptToken(ctx)
	}
	if err == nil && !isToken68(token) {
		err = errors.New("the access token for the feed is not one")
	}
	return endpoint, token, err
}

// keptToken is for who has the turn.
func (p *party) keptToken(ctx context.Context) (string, error) {
	now := p.config.Now()
	if now.Before(p.expires) {
		return p.token, nil
	}
	d, err := p.keptDocument(ctx)
	if err == nil {
		err = d.check("token_endpoint", d.Token)
	}
	if err != nil {
		return "", err
	}
	var granted struct {
		Token     string  `json:"access_token"`
		Type      string  `json:"token_type"`
		ExpiresIn float64 `json:"expires_in"`
		Scope     *string `json:"scope"`
	}
	// RFC 6749 §4.4.2. RFC 8707 §2: for the issuer itself and for no API.
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {feedScope}, "resource": {p.config.Issuer}}
	if err := p.post(ctx, d.Token, form, &granted); err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	if !strings.EqualFold(granted.Type, "Bearer") { // RFC 6749 §7.1
		return "", errors.New("token: the token endpoint gave no bearer token")
	}
	if granted.Scope != nil && !strings.Contains(" "+*granted.Scope+" ", " "+feedScope+" ") { // RFC 6749 §5.1
		return "", fmt.Errorf("token: the client %s does not have the scope %s", p.config.ClientID, feedScope)
	}
	life := time.Duration(min(max(granted.ExpiresIn, 0), 3600) * float64(time.Second))
	p.token, p.expires = granted.Token, now.Add(life-min(tokenMargin, life/2))
	return p.token, nil
}

// post sends a form as the client and reads an answer of JSON.
func (p *party) post(ctx context.Context, endpoint string, form url.Values, to any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749 §2.3.1: encoded first.
	req.SetBasicAuth(url.QueryEscape(p.config.ClientID), url.QueryEscape(p.config.ClientSecret))
	res, err := p.web.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused(res)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	if err != nil {
		return err
	}
	if len(body) > answerBytes || json.Unmarshal(body, to) != nil {
		return fmt.Errorf("%s did not answer with JSON", endpoint)
	}
	return nil
}

// get asks for the feed. The answer has the status 200 and the type.
func (p *party) get(ctx context.Context, kind string, query url.Values) (*http.Response, error) {
	endpoint, token, err := p.access(ctx)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, endpoint, token, kind, query)
}

func (p *party) open(ctx context.Context, endpoint, token, kind string, query url.Values) (*http.Response, error) {
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	if len(query) > 0 {
		endpoint += separator + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", kind)
	req.Header.Set("Accept-Encoding", "identity") // who compresses also waits for more
	req.Header.Set("Cache-Control", "no-store")
	res, err := p.web.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, refused(res)
	}
	if age := res.Header.Get("Age"); age != "" && age != "0" { // RFC 9111 §5.1: from a cache, and so of the past
		res.Body.Close()
		return nil, misunderstood("the answer comes from a cache")
	}
	if got, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); got != kind {
		res.Body.Close()
		return nil, misunderstood("the answer is %q, not %s", got, kind)
	}
	return res, nil
}

// answer is a status that is not 200.
type answer struct {
	status     int
	reason     string // what it says itself
	retryAfter time.Duration
}

func (a *answer) Error() string {
	if a.reason == "" {
		return fmt.Sprintf("the issuer answered %d", a.status)
	}
	return fmt.Sprintf("the issuer answered %d: %s", a.status, a.reason)
}

// refused reads why: RFC 6749 §5.2, RFC 9457 §3.
func refused(res *http.Response) *answer {
	a := &answer{status: res.StatusCode}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		a.retryAfter = time.Duration(min(n, int(longestRetry/time.Second))) * time.Second
	} else if at, err := http.ParseTime(res.Header.Get("Retry-After")); err == nil {
		if sent, err := http.ParseTime(res.Header.Get("Date")); err == nil { // by the clock that it is meant by
			a.retryAfter = min(max(at.Sub(sent), 0), longestRetry)
		}
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, answerBytes)) // what there is of it
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Detail      string `json:"detail"`
	}
	if json.Unmarshal(body, &said) != nil {
		return a
	}
	var words []string
	for _, s := range []string{said.Error, said.Description, said.Detail} {
		if s = plain(s); s != "" {
			words = append(words, s)
		}
	}
	a.reason = strings.Join(words, ": ")
	return a
}

// plain makes a foreign text fit for a log.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}
