package jwt

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// payload appends the payload of a token: the claims of the caller and those of the
// options.
func (s *Signer) payload(dst []byte, value any) ([]byte, error) {
	var registered claims
	dst, ok := appendStruct(dst, &registered, value)
	if !ok {
		var err error
		if dst, err = appendClaims(dst, value); err != nil {
			return dst, err
		}
		if err = scanClaims(string(dst), &registered); err != nil {
			return dst, &JSONWebTokenError{Message: `Expected "payload" to be a plain object.`, Kind: ErrClaims, Cause: err}
		}
	}
	return s.complete(dst, &registered)
}

// complete adds the claims of the options to a text that has those of the caller,
// and refuses what would then be there twice.
func (s *Signer) complete(text []byte, registered *claims) ([]byte, error) {
	if fault := registered.dateFault(); fault != nil {
		return text, fault
	}
	o := &s.options
	now := o.Now().Truncate(time.Second)
	if registered.has(claimIssuedAt) {
		now = registered.issuedAt
	}
	p := payload{present: registered.present | registered.wrong}
	if o.NoTimestamp && registered.has(claimIssuedAt) {
		p.text = appendWithout(text[:0], string(text), "iat")
	} else {
		p.text = text[:len(text)-1]
	}
	if !o.NoTimestamp && !registered.has(claimIssuedAt) {
		p.date(claimIssuedAt, "iat", "", now)
	}
	if o.NotBefore != 0 {
		p.date(claimNotBefore, "nbf", "notBefore", now.Add(o.NotBefore))
	}
	if o.ExpiresIn != 0 {
		p.date(claimExpiresAt, "exp", "expiresIn", now.Add(o.ExpiresIn))
	}
	for _, fixed := range s.fixed {
		if p.begin(fixed.claim, fixed.name, fixed.option) {
			p.text = append(p.text, fixed.value...)
		}
	}
	if p.err == nil {
		p.err = registered.fault
	}
	return append(p.text, '}'), p.err
}

// dateFault is the error for a date of the wrong type; of several, for the one
// that jsonwebtoken looks at first.
func (c *claims) dateFault() error {
	for _, date := range []struct {
		claim int
		name  string
	}{{claimIssuedAt, "iat"}, {claimExpiresAt, "exp"}, {claimNotBefore, "nbf"}} {
		if c.wrong&date.claim != 0 {
			return invalid(ErrClaims, `"%s" should be a number of seconds`, date.name)
		}
	}
	return nil
}

// fixedClaim is a claim that is the same in every token of a signer.
type fixedClaim struct {
	claim        int
	name, option string // the option in the words of jsonwebtoken
	value        []byte // as JSON
}

// fix encodes the claims of the options once for all tokens.
func (s *Signer) fix() error {
	o := &s.options
	for _, c := range []struct {
		claim        int
		name, option string
		set          bool
		value        any
	}{
		{claimAudience, "aud", "audience", len(o.Audience) != 0, Audience(o.Audience)},
		{claimIssuer, "iss", "issuer", o.Issuer != "", o.Issuer},
		{claimSubject, "sub", "subject", o.Subject != "", o.Subject},
		{claimID, "jti", "jwtid", o.ID != "", o.ID},
	} {
		if !c.set {
			continue
		}
		value, err := json.Marshal(c.value)
		if err != nil {
			return &JSONWebTokenError{Message: "jwt options invalid", Kind: ErrOptions, Cause: err}
		}
		s.fixed = append(s.fixed, fixedClaim{c.claim, c.name, c.option, value})
	}
	return nil
}

// payload is a JSON object that is still open.
type payload struct {
	text    []byte
	present int
	err     error
}

func (p *payload) date(claim int, name, option string, t time.Time) {
	if p.begin(claim, name, option) {
		p.text = strconv.AppendInt(p.text, t.Unix(), 10)
	}
}

// begin writes the name of a claim, unless the caller's claims have it too.
func (p *payload) begin(claim int, name, option string) bool {
	if p.present&claim != 0 {
		if p.err == nil {
			words := `Bad "options.%s" option. The payload already has an "%s" property.`
			if claim == claimExpiresAt || claim == claimNotBefore { // so it is in jsonwebtoken
				words = `Bad "options.%s" option the payload already has an "%s" property.`
			}
			p.err = invalid(ErrClaims, words, option, name)
		}
		return false
	}
	if len(bytes.TrimRight(p.text, " \t\r\n")) > 1 {
		p.text = append(p.text, ',')
	}
	p.text = append(append(p.text, '"'), name...)
	p.text = append(p.text, `":`...)
	return true
}

// appendWithout appends an object that has been validated, but for one member,
// and leaves it open.
func appendWithout(dst []byte, text, name string) []byte {
	dst = append(dst, '{')
	s := strictjson.New(text)
	for s.Next() {
		if s.Name() == name {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		start, end := s.Span()
		dst = append(dst, text[start:end]...)
	}
	return dst
}
