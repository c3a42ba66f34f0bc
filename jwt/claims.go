package jwt

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// The claims that the package looks at, as bits.
const (
	claimIssuer = 1 << iota
	claimSubject
	claimAudience
	claimExpiresAt
	claimNotBefore
	claimIssuedAt
	claimID
	claimNonce
)

// claims are the values that are checked, found in one pass and without
// reflection, whatever type the caller has for them.
type claims struct {
	present   int
	wrong     int    // those that are there with another JSON type
	fault     error  // the first of them
	missing   string // one that is required and not there
	issuer    string
	subject   string
	id        string
	nonce     string
	audience  audience
	expiresAt time.Time
	notBefore time.Time
	issuedAt  time.Time
}

func (c *claims) has(claim int) bool { return c.present&claim != 0 }

// audience is "aud" without the list being made: one is the usual number.
type audience struct {
	one  string
	many []string
}

func (a audience) includes(name string) bool { return a.one == name || slices.Contains(a.many, name) }

func (a audience) matches(pattern *regexp.Regexp) bool {
	return a.one != "" && pattern.MatchString(a.one) || slices.ContainsFunc(a.many, pattern.MatchString)
}

var (
	errAudienceType = errors.New("aud is neither a string nor a list of strings")
	errWrongType    = errors.New("the claim is of the wrong type")
	errDateType     = errors.New("not a NumericDate")
)

// scanClaims validates the payload, all of it, as strict JSON, and reads the claims
// that are checked. A claim of the wrong type is noted and is no error here.
func scanClaims(text string, c *claims) error {
	s := strictjson.New(text)
	for s.Next() {
		c.read(s.Name(), s.Value())
	}
	if s.Err() != nil {
		return malformed(s.Err())
	}
	return nil
}

func malformed(cause error) error {
	return &JSONWebTokenError{Message: "invalid token", Kind: ErrMalformed, Cause: cause}
}

// read reads a member if it is one of the claims, and returns which.
func (c *claims) read(name string, value strictjson.Value) int {
	switch name {
	case "iss":
		return c.text(claimIssuer, name, value, &c.issuer)
	case "sub":
		return c.text(claimSubject, name, value, &c.subject)
	case "jti":
		return c.text(claimID, name, value, &c.id)
	case "nonce":
		return c.text(claimNonce, name, value, &c.nonce)
	case "exp":
		return c.date(claimExpiresAt, name, value, &c.expiresAt)
	case "nbf":
		return c.date(claimNotBefore, name, value, &c.notBefore)
	case "iat":
		return c.date(claimIssuedAt, name, value, &c.issuedAt)
	case "aud":
		var ok bool
		c.audience, ok = readAudience(value)
		return c.note(claimAudience, name, ok)
	}
	return 0
}

// note records that a claim is there, or that it is of the wrong type.
func (c *claims) note(claim int, name string, ok bool) int {
	if ok {
		c.present |= claim
		return claim
	}
	c.wrong |= claim
	if c.fault == nil {
		c.fault = &JSONWebTokenError{Message: "invalid " + name + " value", Kind: ErrClaims}
	}
	return claim
}

func (c *claims) text(claim int, name string, value strictjson.Value, to *string) int {
	var ok bool
	*to, ok = value.Text()
	return c.note(claim, name, ok)
}

func (c *claims) date(claim int, name string, value strictjson.Value, to *time.Time) int {
	var ok bool
	*to, ok = dateOf(value)
	return c.note(claim, name, ok)
}

func readAudience(value strictjson.Value) (audience, bool) {
	if one, ok := value.Text(); ok {
		return audience{one: one}, true
	}
	many, ok := value.Texts()
	if !ok {
		many = nil // a list with something else in it names nobody
	}
	return audience{many: many}, ok
}

func audienceOf(value strictjson.Value) (Audience, bool) {
	a, ok := readAudience(value)
	if !ok {
		return nil, false
	}
	return a.list(), true
}

// list is a list of its own for every caller.
func (a audience) list() Audience {
	if a.many != nil {
		return slices.Clone(a.many)
	}
	return Audience{a.one}
}

// maxDate is the year 9999 in seconds, the last that RFC 3339 can write.
const maxDate = 253402300799

// dateOf reads a NumericDate, RFC 7519 §2: a JSON number, with or without a
// fraction, between the years -7000 and 9999.
func dateOf(value strictjson.Value) (time.Time, bool) {
	if n, ok := value.Int(); ok {
		if n < -maxDate || n > maxDate {
			return time.Time{}, false
		}
		return time.Unix(n, 0), true
	}
	f, ok := value.Float()
	if !ok || math.Abs(f) > maxDate {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
