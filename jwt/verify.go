package jwt

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// VerifyOptions says which tokens are accepted. The zero value accepts any
// token that has a good signature and has not expired; say at least Audiences and
// Issuers, or a token meant for somebody else is as good as one meant for you.
//
// A list that is not nil must have an element, and no element may be "": options
// that were computed and came out empty must not switch a check off. They are
// refused with ErrOptions.
type VerifyOptions struct {
	// Algorithms are those accepted. Nil means those of the key's type.
	Algorithms []jwa.Algorithm

	// Types are the values of the header's "typ" that are accepted, compared
	// without regard to case and to a leading "application/" (RFC 7515
	// §4.1.9). If there are any, a token without "typ" is refused. Naming one
	// keeps tokens of different purposes apart, RFC 8725 §3.11.
	Types []string

	Issuers   []string // one of them must be "iss"
	Audiences []string // one of them must be, or be in, "aud"

	// AudiencePatterns match audiences beside those of Audiences. A pattern
	// that is not anchored with ^ and $ matches parts of a name.
	AudiencePatterns []*regexp.Regexp

	Subject string // must be "sub", unless it is ""
	ID      string // must be "jti", unless it is ""
	Nonce   string // must be "nonce", unless it is ""

	// Required are names of claims that must be there, whatever they say. "exp" is
	// required without being named.
	Required []string

	// Leeway is how far clocks may be apart. 0 means not at all; the usual
	// minute has to be asked for.
	Leeway time.Duration

	// MaxAge is how long ago "iat" may be, whatever "exp" says; with it, a
	// token needs an "iat", and one from the future is refused. 0 means any age.
	MaxAge time.Duration

	IgnoreExpiration       bool // accept a token that has expired
	IgnoreNotBefore        bool // accept a token whose "nbf" is to come
	AllowMissingExpiration bool // accept a token without "exp", which is good for ever

	// CacheSize is how many verified tokens a Verifier remembers, so that one that
	// comes again costs no signature. Its times and all other claims are checked
	// each time, and its key must still be found. 0 remembers none; a few
	// thousand make sense where a signature is dear (RSA, elliptic curves) and the
	// same client sends its token with every request. Claims that read their own JSON
	// are read anew each time, unless they have a method "Clone() C" that returns a
	// copy which shares nothing that can be changed.
	CacheSize int

	MaxSize int              // greatest length of a token in bytes; 0 means 64 KiB
	Now     func() time.Time // the clock; nil means time.Now
}

// A Verifier verifies tokens whose claims are a C. It is built once and is safe
// for concurrent use.
type Verifier[C any] struct {
	signatures *jws.Verifier
	options    VerifyOptions
	shape      shape
	cache      *cache[C] // nil if there is none

	// rooms is memory for tokens while they are read, which has to be on the heap.
	rooms sync.Pool
}

// NewVerifier makes a verifier. It returns ErrOptions if the options would accept
// nothing or everything by mistake, and ErrKey if keys is nil.
func NewVerifier[C any](keys jwk.Source, o VerifyOptions) (*Verifier[C], error) {
	if keys == nil {
		return nil, invalid(ErrKey, "secret or public key must be provided")
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	signatures, err := jws.NewVerifier(keys, jws.VerifyOptions{Algorithms: o.Algorithms, MaxSize: o.MaxSize})
	if err != nil {
		return nil, o.fromSignature(err)
	}
	v := &Verifier[C]{signatures: signatures, options: o, shape: shapeOf(reflect.TypeFor[C]())}
	v.rooms.New = func() any { return new(room[C]) }
	if o.CacheSize > 0 {
		v.cache = newCache[C](o.CacheSize, v.shape)
	}
	return v, nil
}

// prepare checks options and completes them.
func (o *VerifyOptions) prepare() error {
	for _, list := range []struct {
		name   string
		values []string
	}{{"Types", o.Types}, {"Issuers", o.Issuers}, {"Audiences", o.Audiences}, {"Required", o.Required}} {
		if list.values != nil && len(list.values) == 0 || slices.Contains(list.values, "") {
			return invalid(ErrOptions, "%s must not be empty or contain an empty string", list.name)
		}
	}
	if o.AudiencePatterns != nil && len(o.AudiencePatterns) == 0 || slices.Contains(o.AudiencePatterns, nil) {
		return invalid(ErrOptions, "AudiencePatterns must not be empty or contain nil")
	}
	if o.CacheSize < 0 || o.CacheSize > maxCacheSize {
		return invalid(ErrOptions, "CacheSize must be from 0 to %d", maxCacheSize)
	}
	if o.Nonce != "" && strings.TrimSpace(o.Nonce) == "" {
		return invalid(ErrOptions, "nonce must be a non-empty string")
	}
	if o.Leeway < 0 || o.MaxAge < 0 {
		return invalid(ErrOptions, "Leeway and MaxAge must not be negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Types = slices.Clone(o.Types)
	for i, t := range o.Types {
		o.Types[i] = shortType(t)
	}
	o.Issuers, o.Audiences, o.AudiencePatterns = slices.Clone(o.Issuers), slices.Clone(o.Audiences), slices.Clone(o.AudiencePatterns)
	o.Required = slices.Clone(o.Required)
	return nil
}

// Verify verifies one token; see [Verifier.Verify] for the errors, to which
// ErrOptions is added. Whoever verifies more than one should keep a [Verifier].
func Verify[C any](ctx context.Context, token string, keys jwk.Source, o VerifyOptions) (Token[C], error) {
	v, err := NewVerifier[C](keys, o)
	if err != nil {
		return Token[C]{}, err
	}
	return v.Verify(ctx, token)
}

// payloads is memory for decoded payloads.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

// maxKeptPayload is the largest buffer that is kept for the next token.
const maxKeptPayload = 64 << 10

func keepPayload(buffer *[]byte) {
	if cap(*buffer) <= maxKeptPayload {
		payloads.Put(buffer)
	}
}

// Verify verifies a token in compact serialization and returns its claims. On
// error the Token is zero. The error is a *JSONWebTokenError that wraps ErrMalformed,
// ErrCritical, ErrAlgorithm, ErrKey, ErrSignature, ErrType, ErrNotYetValid,
// ErrExpired, ErrMissing, ErrAudience, ErrIssuer, ErrSubject, ErrID, ErrNonce or
// ErrClaims, and the first of them in this order (a claim of the wrong type is
// ErrClaims where it is looked at); or it is the error of a
// key source that could not answer, and says nothing about the token.
func (v *Verifier[C]) Verify(ctx context.Context, token string) (Token[C], error) {
	if token == "" {
		return Token[C]{}, invalid(ErrMalformed, "jwt must be provided")
	}
	if v.cache != nil {
		return v.verifyCached(ctx, token)
	}
	r := v.rooms.Get().(*room[C])
	err := v.verify(ctx, token, r)
	result := r.result
	v.leave(r)
	if err != nil {
		return Token[C]{}, err
	}
	return result, nil
}

// A room is memory for one verification: a type that is filled by reflection has to be
// on the heap, and the heap is dear.
type room[C any] struct {
	result     Token[C]
	message    jws.Message
	registered claims
	payload    string
}

// leave forgets what is in a room and keeps the room.
func (v *Verifier[C]) leave(r *room[C]) {
	*r = room[C]{}
	v.rooms.Put(r)
}

// verify fills a room. On error what is in it is worthless.
func (v *Verifier[C]) verify(ctx context.Context, token string, r *room[C]) (err error) {
	if r.payload, err = v.signatures.VerifyText(ctx, &r.message, token); err != nil {
		return v.options.fromSignature(err)
	}
	if err := v.options.checkType(r.message.Header.Type); err != nil {
		return err
	}
	r.result.Header, r.result.Signature = r.message.Header, r.message.Signature
	unfit, err := v.shape.read(payloadText{r.message.Header.Type, r.payload}, &r.registered, reflect.ValueOf(&r.result.Claims).Elem())
	if err != nil {
		return err
	}
	v.options.require(&r.registered, r.payload)
	if err := v.options.check(&r.registered); err != nil {
		return err
	}
	return unfit
}

// shortType is a media type as RFC 7515 §4.1.9 compares it.
func shortType(t string) string {
	t = strings.ToLower(t)
	if rest, ok := strings.CutPrefix(t, "application/"); ok && !strings.Contains(rest, "/") {
		return rest
	}
	return t
}

func (o *VerifyOptions) checkType(typ string) error {
	if o.Types == nil {
		return nil
	}
	if typ == "" || !slices.Contains(o.Types, shortType(typ)) {
		return invalid(ErrType, "jwt type invalid. expected: %s", strings.Join(o.Types, " or "))
	}
	return nil
}

// require notes which of the claims that must be there is not.
func (o *VerifyOptions) require(c *claims, payload string) {
	for _, name := range o.Required {
		if value, err := strictjson.Find(payload, name); err != nil || value.Kind() == 0 {
			c.missing = name
			return
		}
	}
}

// check holds the claims against the options, in the order in which
// jsonwebtoken does.
func (o *VerifyOptions) check(c *claims) error {
	now := o.Now()
	if err := o.checkTimes(c, now); err != nil {
		return err
	}
	if c.missing != "" {
		return invalid(ErrMissing, "jwt must have the claim %s", c.missing)
	}
	if err := o.checkNames(c); err != nil {
		return err
	}
	if err := o.checkAge(c, now); err != nil {
		return err
	}
	return c.fault // a claim that was not asked for is no better of the wrong type
}

// early reports whether a clock that is ahead of now by leeway has not reached date.
func early(now, date time.Time, leeway time.Duration) bool {
	if leeway != 0 {
		now = now.Add(leeway)
	}
	return now.Before(date)
}

func (o *VerifyOptions) checkTimes(c *claims, now time.Time) error {
	if !o.IgnoreNotBefore && c.wrong&claimNotBefore != 0 || !o.IgnoreExpiration && c.wrong&claimExpiresAt != 0 {
		return c.wrongDate(o)
	}
	if !o.IgnoreNotBefore && c.has(claimNotBefore) { // RFC 7519 §4.1.5
		if early(now, c.notBefore, o.Leeway) {
			return &NotBeforeError{JSONWebTokenError{Message: "jwt not active", Kind: ErrNotYetValid}, c.notBefore}
		}
	}
	if o.IgnoreExpiration {
		return nil
	}
	if !c.has(claimExpiresAt) { // RFC 7519 §4.1.4 leaves it optional; a token that is good for ever should be meant to be
		if o.AllowMissingExpiration {
			return nil
		}
		return invalid(ErrMissing, "jwt must have an expiration (exp)")
	}
	if !early(now, c.expiresAt, -o.Leeway) { // RFC 7519 §4.1.4
		return expired("jwt expired", c.expiresAt)
	}
	return nil
}

// wrongDate is the error for a date that is none, in the order of jsonwebtoken.
func (c *claims) wrongDate(o *VerifyOptions) error {
	if !o.IgnoreNotBefore && c.wrong&claimNotBefore != 0 {
		return invalid(ErrClaims, "invalid nbf value")
	}
	return invalid(ErrClaims, "invalid exp value")
}

// differs is the error for a claim that is not the expected one. If it is of the
// wrong type, that is its kind.
func (c *claims) differs(claim int, kind error, format, expected string) error {
	if c.wrong&claim != 0 {
		return &JSONWebTokenError{Message: fmt.Sprintf(format, expected), Kind: ErrClaims, Cause: errWrongType}
	}
	return invalid(kind, format, expected)
}

func (o *VerifyOptions) checkAudience(c *claims) error {
	if o.Audiences == nil && o.AudiencePatterns == nil || slices.ContainsFunc(o.Audiences, c.audience.includes) ||
		slices.ContainsFunc(o.AudiencePatterns, c.audience.matches) {
		return nil
	}
	expected := make([]string, 0, len(o.Audiences)+len(o.AudiencePatterns))
	for _, pattern := range o.AudiencePatterns {
		expected = append(expected, "/"+pattern.String()+"/")
	}
	expected = append(expected, o.Audiences...)
	return c.differs(claimAudience, ErrAudience, "jwt audience invalid. expected: %s", strings.Join(expected, " or "))
}

func (o *VerifyOptions) checkNames(c *claims) error {
	if err := o.checkAudience(c); err != nil { // RFC 7519 §4.1.3
		return err
	}
	if o.Issuers != nil && !slices.Contains(o.Issuers, c.issuer) { // RFC 7519 §4.1.1
		return c.differs(claimIssuer, ErrIssuer, "jwt issuer invalid. expected: %s", strings.Join(o.Issuers, ","))
	}
	if o.Subject != "" && c.subject != o.Subject { // RFC 7519 §4.1.2
		return c.differs(claimSubject, ErrSubject, "jwt subject invalid. expected: %s", o.Subject)
	}
	if o.ID != "" && c.id != o.ID { // RFC 7519 §4.1.7
		return c.differs(claimID, ErrID, "jwt jwtid invalid. expected: %s", o.ID)
	}
	if o.Nonce != "" && c.nonce != o.Nonce { // OpenID Connect Core §3.1.3.7
		return c.differs(claimNonce, ErrNonce, "jwt nonce invalid. expected: %s", o.Nonce)
	}
	return nil
}

func (o *VerifyOptions) checkAge(c *claims, now time.Time) error {
	if o.MaxAge == 0 {
		return nil
	}
	if !c.has(claimIssuedAt) {
		return invalid(ErrMissing, "iat required when maxAge is specified")
	}
	if limit := c.issuedAt.Add(o.MaxAge); !early(now, limit, -o.Leeway) {
		return expired("maxAge exceeded", limit)
	}
	// An "iat" far ahead would make MaxAge mean nothing.
	if early(now, c.issuedAt, o.Leeway) {
		return &NotBeforeError{JSONWebTokenError{Message: "jwt issued in the future", Kind: ErrNotYetValid}, c.issuedAt}
	}
	return nil
}

// DecodeUnverified returns what a token says without verifying anything: nobody
// has vouched for a byte of it. It is for looking at tokens, and for finding out
// whom to ask about one; never for deciding. It returns ErrMalformed or ErrClaims.
func DecodeUnverified[C any](token string) (Token[C], error) {
	header, payload, err := jws.DecodeUnverified(token)
	if err != nil {
		return Token[C]{}, fromSignature(err)
	}
	result := Token[C]{Header: header, Signature: token[strings.LastIndexByte(token, '.')+1:]}
	sh := shapeOf(reflect.TypeFor[C]())
	unfit, err := sh.read(payloadText{header.Type, string(payload)}, new(claims), reflect.ValueOf(&result.Claims).Elem())
	if err == nil {
		err = unfit
	}
	if err != nil {
		return Token[C]{}, err
	}
	return result, nil
}
