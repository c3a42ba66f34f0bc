package signal

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

const (
	// listEvery is how often the list of transmitters is looked at.
	listEvery = 2 * time.Second
	// pollLease is for how long one node alone polls a transmitter, in seconds:
	// longer than a poll may take.
	pollLease = 120
	// The pause after a poll that failed, at first and at most.
	shortestBreak = time.Second
	longestBreak  = time.Minute
	// idleBreak is the pause after an empty answer that came at once: the
	// transmitter does not let us wait.
	idleBreak = 2 * time.Second
	maxSets   = 4 << 20 // bytes of one answer
	askedFor  = 50      // events in one
	// patience is how often an event may come whose key is unknown.
	patience = 5
)

// Run polls the transmitters that are polled, until ctx is done.
func (r *Receiver) Run(ctx context.Context) {
	look := time.NewTicker(listEvery)
	defer look.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		list, err := r.Transmitters(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "the transmitters cannot be read now", "error", err)
		}
		for _, t := range list {
			if !t.Polled() || t.Disabled || !r.begin(t.ID) {
				continue
			}
			all.Go(func() {
				defer r.end(t.ID)
				(&poller{Receiver: r, id: t.ID}).run(ctx)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (r *Receiver) begin(id model.TransmitterID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.polling[id] {
		return false
	}
	r.polling[id] = true
	return true
}

func (r *Receiver) end(id model.TransmitterID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.polling, id)
}

// poller asks one transmitter, again and again.
type poller struct {
	*Receiver
	id       model.TransmitterID
	held     int64 // until when this node may
	token    string
	tokenEnd int64
	ack      []string
	errs     map[string]SetError
	strange  map[string]int // how often an event came whose key is unknown
}

// run polls until there is nothing to poll any more, another node does, or ctx is
// done.
func (p *poller) run(ctx context.Context) {
	defer p.release(context.WithoutCancel(ctx))
	rest := shortestBreak
	for ctx.Err() == nil {
		t, err := p.Transmitter(ctx, p.id)
		if err == nil && (t.Disabled || !t.Polled()) || errors.Is(err, ErrNoTransmitter) {
			return
		}
		if err == nil {
			now := p.unix()
			until := now + pollLease
			err = p.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.LeaseTransmitter(p.id, due(now, pollLease), p.held, until) })
			if errors.Is(err, store.ErrNotFound) {
				return // another node polls it; whether it goes on doing so is looked at soon
			}
			p.held = until
		}
		var pauseFor time.Duration
		if err == nil {
			begun := time.Now()
			var n int
			n, err = p.once(ctx, t)
			if n == 0 && time.Since(begun) < time.Second {
				pauseFor = idleBreak
			}
		}
		if ctx.Err() != nil {
			return
		}
		p.note(ctx, t, err)
		if err != nil {
			pauseFor, rest = rest/2+rand.N(rest/2), min(2*rest, longestBreak)
		} else {
			rest = shortestBreak
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseFor):
		}
	}
}

// release lets another node poll at once.
func (p *poller) release(ctx context.Context) {
	if p.held == 0 {
		return
	}
	err := p.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.LeaseTransmitter(p.id, due(p.unix(), pollLease), p.held, 0) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.Logger.ErrorContext(ctx, "a transmitter cannot be left to other nodes before its lease is over", "transmitter", p.id, "error", err)
	}
}

// once makes one poll, and returns how many events it brought. What was taken of
// them is acknowledged by the next one (RFC 8936 §2.4.3).
func (p *poller) once(ctx context.Context, t model.Transmitter) (int, error) {
	answer, err := p.ask(ctx, t, askedFor)
	if err != nil {
		return 0, err
	}
	p.ack, p.errs = nil, map[string]SetError{}
	strange := map[string]int{}
	defer func() { p.strange = strange }()
	var failed error
	for _, s := range p.inOrder(ctx, t, answer.Sets) {
		err := s.err
		if err == nil {
			err = p.handOn(ctx, t, s.set)
		}
		var refused *RefusedError
		switch {
		case errors.Is(err, jwt.ErrKey) && p.strange[s.jti] < patience:
			strange[s.jti] = p.strange[s.jti] + 1
			failed = err // its key may be a new one, which will be known in a moment
		case errors.As(err, &refused):
			p.Logger.WarnContext(ctx, "an event of a transmitter was refused", "transmitter", t.ID, "error", err)
			p.errs[s.jti] = SetError{Code: refused.Code, Description: refused.Description}
		case err != nil:
			failed = err // not acknowledged, it comes again
		default:
			p.ack = append(p.ack, s.jti)
		}
	}
	return len(answer.Sets), failed
}

// polledSet is an event under the name by which it came.
type polledSet struct {
	jti string
	set setClaims
	err error
}

// inOrder verifies events and brings them into the order in which they were made:
// an object has none.
func (p *poller) inOrder(ctx context.Context, t model.Transmitter, sets map[string]string) []polledSet {
	var list []polledSet
	for _, jti := range slices.Sorted(maps.Keys(sets)) {
		set, err := p.verify(ctx, t, sets[jti])
		if err == nil && set.ID != jti { // RFC 8936 §2.3
			err = refuse(errRequest, "The jti is not the name under which the event came", nil)
		}
		list = append(list, polledSet{jti, set, err})
	}
	slices.SortStableFunc(list, func(a, b polledSet) int { return cmp.Compare(a.set.IssuedAt, b.set.IssuedAt) })
	return list
}

// ask sends a poll, RFC 8936 §2.2: it waits there until there is something.
func (p *poller) ask(ctx context.Context, t model.Transmitter, most int64) (Polled, error) {
	bearer, err := p.bearer(ctx, t)
	if err != nil {
		return Polled{}, err
	}
	body, err := json.Marshal(struct {
		MaxEvents int64               `json:"maxEvents"`
		Ack       []string            `json:"ack,omitempty"`
		Errors    map[string]SetError `json:"setErrs,omitempty"`
	}{most, p.ack, p.errs})
	if err != nil {
		return Polled{}, err
	}
	a, err := fetch.Send(ctx, p.Poll, fetch.Message{
		URL: t.PollURL, Type: "application/json", Accept: "application/json", Authorization: "Bearer " + bearer, Body: string(body), Most: maxSets,
	})
	switch {
	case err != nil:
		return Polled{}, fmt.Errorf("the poll failed: %w", err)
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		p.token = ""
		return Polled{}, fmt.Errorf("the transmitter refuses our credentials: it answers %d", a.Status)
	case a.Status != http.StatusOK:
		return Polled{}, fmt.Errorf("the transmitter answers %d", a.Status)
	case a.Cut:
		return Polled{}, errors.New("the answer of the transmitter is too long")
	}
	var answer Polled
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return Polled{}, errors.New("the answer of the transmitter is not that to a poll")
	}
	return answer, nil
}

// bearer returns the token to poll with: a fixed one, or one that our client there
// gets for itself (RFC 6749 §4.4).
func (p *poller) bearer(ctx context.Context, t model.Transmitter) (string, error) {
	secret, err := p.Keys.Unseal(keys.PurposeTransmitter, string(t.ID), t.Sealed)
	if err != nil {
		return "", fmt.Errorf("its secret %w", err)
	}
	if t.ClientID == "" {
		return string(secret), nil
	}
	if p.token != "" && p.unix() < p.tokenEnd {
		return p.token, nil
	}
	endpoint := t.TokenEndpoint
	if endpoint == "" {
		if endpoint, err = p.tokenEndpoint(ctx, t.Issuer); err != nil {
			return "", err
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(t.ClientID) + ":" + url.QueryEscape(string(secret)))) // RFC 6749 §2.3.1
	a, err := fetch.Send(ctx, p.Fetch, fetch.Message{
		URL: endpoint, Type: "application/x-www-form-urlencoded", Accept: "application/json", Authorization: "Basic " + basic,
		Body: url.Values{"grant_type": {"client_credentials"}, "scope": {t.Scope}}.Encode(),
	})
	if err != nil {
		return "", fmt.Errorf("the token request failed: %w", err)
	}
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if a.Status != http.StatusOK || json.Unmarshal(a.Body, &token) != nil || token.AccessToken == "" {
		return "", fmt.Errorf("the token endpoint answers %d", a.Status)
	}
	p.token, p.tokenEnd = token.AccessToken, p.unix()+token.ExpiresIn/2
	return p.token, nil
}

// tokenEndpoint reads where the authorization server of a transmitter issues
// tokens, RFC 8414 §3.
func (r *Receiver) tokenEndpoint(ctx context.Context, issuer string) (string, error) {
	address, err := wellKnown(issuer, "/.well-known/oauth-authorization-server")
	if err != nil {
		return "", err
	}
	d, err := fetch.Get(ctx, r.Fetch, address, fetch.Limits{Bytes: maxDocument})
	if err != nil {
		return "", fmt.Errorf("the metadata of its authorization server: %w", err)
	}
	var m struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	if json.Unmarshal(d.Body, &m) != nil || m.Issuer != issuer || !httpsAddress(m.TokenEndpoint) { // RFC 8414 §3.3
		return "", errors.New("the metadata of its authorization server is of another issuer, or names no token endpoint")
	}
	return m.TokenEndpoint, nil
}

// Test reports what stands in the way of hearing a transmitter, nil if nothing
// does: that its keys can be had and, if it is polled, that a poll which asks for
// nothing is answered (RFC 8936 §2.4.2). It returns ErrNoTransmitter.
func (r *Receiver) Test(ctx context.Context, id model.TransmitterID) error {
	t, err := r.Transmitter(ctx, id)
	if err != nil {
		return err
	}
	published, _, err := r.source(ctx, t)
	if err != nil {
		return err
	}
	if _, err := published.Find(ctx, ""); errors.Is(err, jwk.ErrUnavailable) {
		return fmt.Errorf("its keys: %w", err)
	}
	if t.Polled() {
		_, err = (&poller{Receiver: r, id: id}).ask(ctx, t, 0)
	}
	return err
}
