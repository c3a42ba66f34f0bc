package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// StatementKeys are the keys of one who vouches for software: a JWK set, or where
// it is published.
type StatementKeys struct {
	JWKS json.RawMessage
	URI  string
}

// maxStatement bounds a software statement, in bytes.
const maxStatement = 16 << 10

// statementTypes are the "typ" of a software statement. RFC 7591 defines none of
// its own, so that of any JWT; with another kind of token it has nothing to do
// (RFC 8725 §3.11).
var statementTypes = []string{"JWT", "software-statement+jwt"}

// statementKeys prepares the keys of all who vouch for software.
func statementKeys(c Config) (map[string]jwk.Source, error) {
	all := map[string]jwk.Source{}
	for issuer, keys := range c.Policy.Statements {
		var err error
		if len(keys.JWKS) > 0 {
			all[issuer], err = jwk.ParseSet(keys.JWKS)
		} else {
			all[issuer], err = jwk.NewRemote(jwk.RemoteConfig{URL: keys.URI, Client: c.Fetch, Now: c.Now})
		}
		if err != nil {
			return nil, fmt.Errorf("the keys for the software statements of %s: %w", issuer, err)
		}
	}
	return all, nil
}

// applyStatement lets a software statement have the last word about a client,
// RFC 7591 §3.1.1: "client metadata values conveyed in the software statement
// MUST take precedence over those conveyed using plain JSON elements". Where
// nobody is trusted to make one they are ignored, as the same clause allows.
func (r *Registrar) applyStatement(ctx context.Context, all metadata, s *model.ClientSettings) *Error {
	value, sent := all["software_statement"]
	if !sent || len(r.statements) == 0 {
		return nil
	}
	statement, ok := value.Text()
	if !ok || len(statement) > maxStatement {
		return fail(InvalidSoftwareStatement, "The software_statement must be a JWT of at most %d bytes", maxStatement)
	}
	claims, e := r.verifyStatement(ctx, statement)
	if e != nil {
		return e
	}
	vouched, e := readMetadata(string(claims))
	if e == nil {
		e = vouched.fill(s)
	}
	if e != nil {
		e.Code = InvalidSoftwareStatement
		return e
	}
	s.Statement = statement
	return nil
}

// verifyStatement returns the claims of a software statement by somebody whose
// word counts.
func (r *Registrar) verifyStatement(ctx context.Context, statement string) (json.RawMessage, *Error) {
	seen, err := jwt.DecodeUnverified[jwt.Registered](statement)
	if err != nil || seen.Claims.Issuer == "" {
		// RFC 7591 §2.3: it MUST contain an "iss" claim.
		return nil, &Error{Code: InvalidSoftwareStatement, Description: "The software_statement must be a signed JWT with an iss", cause: err}
	}
	keys := r.statements[seen.Claims.Issuer]
	if keys == nil {
		// RFC 7591 §3.2.2
		return nil, fail(UnapprovedSoftwareStatement, "Nobody whose word counts here made the software_statement")
	}
	o := jwt.VerifyOptions{
		Algorithms: AssertionAlgorithms,
		Issuers:    []string{seen.Claims.Issuer},
		Leeway:     model.Leeway,
		MaxSize:    maxStatement,
		Now:        r.Now,
		// The software does not change, and its statement is used by every
		// instance of it (RFC 7591 §2.3): it need not expire, but may.
		AllowMissingExpiration: true,
	}
	if seen.Header.Type != "" {
		o.Types = statementTypes
	}
	if len(seen.Claims.Audience) > 0 {
		o.Audiences = []string{r.Issuer} // RFC 7519 §4.1.3: for somebody else, if for anybody
	}
	t, err := jwt.Verify[json.RawMessage](ctx, statement, keys, o)
	if err != nil {
		e := &Error{Code: InvalidSoftwareStatement, Description: "The software_statement is not valid", cause: err}
		if errors.Is(err, jwt.ErrExpired) {
			e.Description = "The software_statement has expired"
		}
		return nil, e
	}
	return t.Claims, nil
}
