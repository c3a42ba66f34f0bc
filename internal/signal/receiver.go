package signal

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

const (
	// skew is how far the clock of a transmitter may be from ours.
	skew = time.Minute
	// maxJTI is how long the name of an event may be, in bytes.
	maxJTI = 255
	// documentFor and retryAfter are how long a description of a transmitter is
	// used, and how long a failure to fetch it counts, in seconds.
	documentFor = 60 * 60
	retryAfter  = 10
	maxDocument = 64 << 10
)

// setAlgorithms are those in which a transmitter may sign: none with a secret, so
// that no public key can serve as one (RFC 8725 §3.1).
var setAlgorithms = []jwa.Algorithm{jwa.RS256, jwa.PS256, jwa.ES256, jwa.EdDSA, jwa.RS384, jwa.RS512, jwa.PS384, jwa.PS512, jwa.ES384, jwa.ES512}

// Received is an event that a transmitter has signed for us.
type Received struct {
	Transmitter model.Transmitter
	ID          string // "jti"
	Type        string
	Subject     model.SubjectID
	At          int64 // when it happened, as far as it says
	Reason      string
	KeepUntil   int64 // so long it must be known again
}

// Receiver hears what other servers have to say of our people, by push and by
// poll.
type Receiver struct {
	Config

	mu      sync.Mutex
	sources map[model.TransmitterID]*source
	polling map[model.TransmitterID]bool
}

// source is what is known of a transmitter without being asked each time.
type source struct {
	issuer, uri string // as the operator says; without a uri its document tells

	mu       sync.Mutex
	at       string // where its keys are; empty: that was never found out
	keys     jwk.Source
	critical []string
	until    int64
	err      error
}

// NewReceiver returns a Receiver, which polls once it is Run.
func NewReceiver(c Config) (*Receiver, error) {
	if c.Store == nil || c.Keys == nil || c.Issuer == "" || c.Fetch == nil || c.Poll == nil || c.Heed == nil || len(c.Acts) == 0 {
		return nil, errors.New("signal: Store, Keys, Issuer, Fetch, Poll, Heed and Acts are required")
	}
	return &Receiver{Config: c.withDefaults(), sources: map[model.TransmitterID]*source{}, polling: map[model.TransmitterID]bool{}}, nil
}

// Push takes an event that a transmitter pushes, RFC 8935 §2. header is the
// Authorization that it brings. It returns *RefusedError.
func (r *Receiver) Push(ctx context.Context, id model.TransmitterID, header, token string) error {
	t, err := r.Transmitter(ctx, id)
	if err != nil && !errors.Is(err, ErrNoTransmitter) {
		return err
	}
	// One that is unknown costs the same and is answered the same.
	scheme, secret, _ := strings.Cut(header, " ")
	same := subtle.ConstantTimeCompare([]byte(model.Secret(secret).Hash()), []byte(t.SecretHash)) == 1
	if !same || !strings.EqualFold(scheme, "Bearer") || t.Disabled || t.SecretHash == "" {
		return &RefusedError{Code: errAuthentication, Description: "The Authorization header is not that of this transmitter"}
	}
	err = r.receive(ctx, t, "", token)
	r.note(ctx, t, err)
	return err
}

// RefusedError is why an event is not taken, RFC 8935 §2.3. It repeats nothing of
// the event.
type RefusedError struct {
	Code        string
	Description string
	cause       error
}

func (e *RefusedError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.cause)
	}
	return e.Code + ": " + e.Description
}

func (e *RefusedError) Unwrap() error { return e.cause }

// receive verifies an event and hands it on. jti is the name under which it came;
// "": it came without.
func (r *Receiver) receive(ctx context.Context, t model.Transmitter, jti, token string) error {
	set, err := r.verify(ctx, t, token)
	if err == nil && jti != "" && set.ID != jti { // RFC 8936 §2.3
		err = refuse(errRequest, "The jti is not the name under which the event came", nil)
	}
	if err != nil {
		return err
	}
	return r.handOn(ctx, t, set)
}

// setClaims is what is read of a security event token, RFC 8417 §2.2.
type setClaims struct {
	ID       string                     `json:"jti"`
	IssuedAt float64                    `json:"iat"` // as every time a number of seconds, maybe with a fraction: RFC 7519 §2
	TOE      float64                    `json:"toe"`
	Sub      json.RawMessage            `json:"sub"`
	Exp      json.RawMessage            `json:"exp"`
	Subject  json.RawMessage            `json:"sub_id"`
	Events   map[string]json.RawMessage `json:"events"`

	subject  model.SubjectID
	critical []string
}

// verify holds a token to what a security event token of that transmitter must be.
func (r *Receiver) verify(ctx context.Context, t model.Transmitter, token string) (setClaims, error) {
	published, critical, err := r.source(ctx, t)
	if err != nil {
		return setClaims{}, fmt.Errorf("the keys of the issuer cannot be had now: %w", err)
	}
	v, err := jwt.Verify[setClaims](ctx, token, published, jwt.VerifyOptions{
		Algorithms: setAlgorithms,
		Types:      []string{setType}, // OpenID Shared Signals Framework §4.1.1
		Issuers:    []string{t.Issuer},
		Audiences:  []string{t.Audience},
		Required:   []string{"jti", "iat", "sub_id", "events"}, // RFC 8417 §2.2

		AllowMissingExpiration: true,
		MaxAge:                 time.Duration(t.MaxAge) * time.Second,
		Leeway:                 skew,
		Now:                    r.Now,
	})
	if err != nil {
		return setClaims{}, refusal(err)
	}
	c := v.Claims
	c.critical = critical
	switch {
	case len(c.Sub) > 0 || len(c.Exp) > 0: // OpenID Shared Signals Framework §4.1.2 and §4.1.7
		return setClaims{}, refuse(errRequest, "The claims sub and exp must not be there", nil)
	case c.ID == "" || len(c.ID) > maxJTI:
		return setClaims{}, refuse(errRequest, "The jti must have 1 to 255 bytes", nil)
	case len(c.Events) != 1: // OpenID Shared Signals Framework §4.2.1
		return setClaims{}, refuse(errRequest, "The claim events must hold one event", nil)
	}
	if err := json.Unmarshal(c.Subject, &c.subject); err != nil {
		return setClaims{}, refuse(errRequest, "The sub_id is not a subject identifier", err)
	}
	return c, nil
}

func refuse(code, description string, cause error) error {
	return &RefusedError{Code: code, Description: description, cause: cause}
}

// refusal says in the words of RFC 8935 §2.4 what is wrong with a token. That its
// keys cannot be had now is nothing that is wrong with it.
func refusal(err error) error {
	if errors.Is(err, jwk.ErrUnavailable) {
		return fmt.Errorf("the keys of the issuer cannot be had now: %w", err)
	}
	for _, row := range []struct {
		kind              error
		code, description string
	}{
		{jwt.ErrType, errRequest, "The typ must be secevent+jwt"},
		{jwt.ErrAlgorithm, errKey, "The algorithm is not one that is taken, or not the key's"},
		{jwt.ErrKey, errKey, "The key is none of the issuer's"},
		{jwt.ErrSignature, errKey, "The signature is not by a key of the issuer"},
		{jwt.ErrIssuer, errIssuer, "The issuer is another one"},
		{jwt.ErrAudience, errAudience, "The event is meant for somebody else"},
		{jwt.ErrExpired, errRequest, "The event is too old"},
		{jwt.ErrNotYetValid, errRequest, "The event is from the future"},
		{jwt.ErrMissing, errRequest, "The claims jti, iat, sub_id and events must be there"},
	} {
		if errors.Is(err, row.kind) {
			return refuse(row.code, row.description, err)
		}
	}
	return refuse(errRequest, "It is not a security event token", err)
}

// handOn gives an event to whoever decides what follows. What is about the stream
// itself goes no further.
func (r *Receiver) handOn(ctx context.Context, t model.Transmitter, c setClaims) error {
	kind, body := "", json.RawMessage(nil)
	for kind, body = range c.Events {
	}
	var said struct {
		At     float64 `json:"event_timestamp"` // CAEP 1.0 §2
		Reason string  `json:"reason"`          // RISC 1.0 §2.3
		Status string  `json:"status"`          // OpenID Shared Signals Framework §8.1.5
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return refuse(errRequest, "The event is not an object, or a member of it is not what it should be", err)
	}
	switch {
	case kind == model.EventVerification, kind == model.EventStreamUpdated:
		return r.aboutStream(ctx, t, c, kind, said.Status)
	case slices.ContainsFunc(c.subject.Others, func(m string) bool { return slices.Contains(c.critical, m) }):
		// OpenID Shared Signals Framework §3.6: it must be discarded, which is no
		// error of the transmitter's.
		r.Logger.WarnContext(ctx, "an event was discarded: a critical member of its subject means nothing here", "transmitter", t.ID, "event", c.ID)
		return nil
	}
	at := cmp.Or(said.At, c.TOE, c.IssuedAt)
	if now := float64(r.unix()); at < 0 || at > now {
		at = min(c.IssuedAt, now)
	}
	if !plainReason(said.Reason) {
		said.Reason = ""
	}
	return r.Heed(ctx, Received{
		Transmitter: t, ID: c.ID, Type: kind, Subject: c.subject, At: int64(at), Reason: said.Reason,
		KeepUntil: int64(math.Ceil(c.IssuedAt)) + t.MaxAge + int64(skew/time.Second),
	})
}

// plainReason reports whether a reason is one of RISC 1.0 §2.3, which may be passed
// on.
func plainReason(reason string) bool { return reason == "hijacking" || reason == "bulk-account" }

// aboutStream takes note of an event about the stream, OpenID Shared Signals
// Framework §8.1.4.1 and §8.1.5.
func (r *Receiver) aboutStream(ctx context.Context, t model.Transmitter, c setClaims, kind, status string) error {
	if c.subject.Format != model.FormatOpaque || t.StreamID != "" && c.subject.ID != t.StreamID {
		return refuse(errRequest, "The sub_id is not the stream", nil)
	}
	if kind == model.EventStreamUpdated {
		r.Logger.WarnContext(ctx, "a transmitter has changed the status of its stream to us", "transmitter", t.ID, "status", printable(status))
		return nil
	}
	r.Logger.InfoContext(ctx, "a transmitter has verified its stream to us", "transmitter", t.ID)
	return nil
}

// note writes down how it goes with a transmitter, at most once a minute unless
// that has changed.
func (r *Receiver) note(ctx context.Context, t model.Transmitter, err error) {
	now, seen, problem := r.unix(), int64(0), ""
	if err == nil {
		seen = now
	} else {
		problem = describe(err)
		r.Logger.WarnContext(ctx, "a transmitter was not heard", "transmitter", t.ID, "error", err)
	}
	if problem == t.Problem && (seen == 0 || t.SeenAt+60 > now) {
		return
	}
	err = r.Store.Upkeep(context.WithoutCancel(ctx), func(tx *store.Tx) error { return tx.NoteTransmitter(t.ID, seen, problem) })
	if err != nil {
		r.Logger.ErrorContext(ctx, "how it goes with a transmitter cannot be written down", "transmitter", t.ID, "error", err)
	}
}

// describe is an error for the operator's eyes.
func describe(err error) string {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Code + ": " + refused.Description
	}
	return cut(err.Error(), maxReason)
}

// source returns the keys of a transmitter, as its configuration document says or
// the operator, and the members of a subject that it calls critical. A failure counts
// for a moment, so that nobody is asked again and again.
func (r *Receiver) source(ctx context.Context, t model.Transmitter) (jwk.Source, []string, error) {
	r.mu.Lock()
	s := r.sources[t.ID]
	if s == nil || s.issuer != t.Issuer || s.uri != t.JWKSURI {
		s = &source{issuer: t.Issuer, uri: t.JWKSURI}
		r.sources[t.ID] = s
	}
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := r.unix(); now >= s.until {
		s.renew(ctx, r, now)
	}
	return s.keys, s.critical, s.err
}

// renew asks anew where the keys are. What was true a moment ago will do while there
// is no answer.
func (s *source) renew(ctx context.Context, r *Receiver, now int64) {
	at, critical, err := s.uri, []string(nil), error(nil)
	if at == "" {
		at, critical, err = r.discover(ctx, s.issuer)
	}
	if err == nil && (s.keys == nil || at != s.at) {
		s.keys, err = jwk.NewRemote(jwk.RemoteConfig{URL: at, Client: r.Fetch, Now: r.Now, MinInterval: retryAfter * time.Second})
	}
	if err != nil {
		s.until = now + retryAfter
		if s.at == "" {
			s.err = err
		}
		return
	}
	s.at, s.critical, s.err, s.until = at, critical, nil, now+documentFor
}

// discover reads the configuration document of a transmitter, OpenID Shared
// Signals Framework §7.2.
func (r *Receiver) discover(ctx context.Context, issuer string) (jwks string, critical []string, err error) {
	address, err := wellKnown(issuer, PathConfiguration)
	if err != nil {
		return "", nil, err
	}
	d, err := fetch.Get(ctx, r.Fetch, address, fetch.Limits{Bytes: maxDocument, Types: []string{"application/json"}})
	if err != nil {
		return "", nil, fmt.Errorf("its configuration document: %w", err)
	}
	var m struct {
		Issuer   string   `json:"issuer"`
		JWKSURI  string   `json:"jwks_uri"`
		Critical []string `json:"critical_subject_members"`
	}
	switch err := json.Unmarshal(d.Body, &m); {
	case err != nil:
		return "", nil, errors.New("its configuration document is not JSON")
	case m.Issuer != issuer: // §7.2.4: "MUST be identical"
		return "", nil, errors.New("its configuration document is of another issuer")
	case !httpsAddress(m.JWKSURI):
		return "", nil, errors.New("its configuration document names no keys")
	}
	return m.JWKSURI, m.Critical, nil
}

// wellKnown puts a path between the host and the path of an issuer (OpenID Shared
// Signals Framework §7.2, RFC 8414 §3.1).
func wellKnown(issuer, path string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", errors.New("its issuer is not an address")
	}
	u.Path, u.RawPath = path+strings.TrimSuffix(u.Path, "/"), ""
	return u.String(), nil
}
