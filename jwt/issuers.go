package jwt

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// An IssuersVerifier verifies tokens of several issuers, each with keys of its own.
// It is built once and is safe for concurrent use.
type IssuersVerifier[C any] struct {
	of     map[string]*Verifier[C]
	names  string
	reader *jws.Verifier // one of them, to look for the name with
}

// NewIssuersVerifier makes a verifier of tokens whose "iss" is one of the names, each
// with the keys of that issuer: the key of one issuer does not sign for another. Of
// the options, which hold for all, Issuers must be nil. It returns the errors of
// NewVerifier.
func NewIssuersVerifier[C any](issuers map[string]jwk.Source, o VerifyOptions) (*IssuersVerifier[C], error) {
	if len(issuers) == 0 || o.Issuers != nil {
		return nil, invalid(ErrOptions, "the issuers must be given with their keys, and only so")
	}
	v := &IssuersVerifier[C]{of: make(map[string]*Verifier[C], len(issuers))}
	for name, keys := range issuers {
		own := o
		own.Issuers = []string{name}
		one, err := NewVerifier[C](keys, own)
		if err != nil {
			return nil, err
		}
		v.of[name], v.reader = one, one.signatures
	}
	v.names = strings.Join(slices.Sorted(maps.Keys(issuers)), ",")
	return v, nil
}

// Verify verifies a token with the keys of the issuer that it names. Until then the
// name is only looked up among those that are trusted. The errors are those of
// [Verifier.Verify]; a token of somebody else is ErrIssuer, whatever its signature.
func (v *IssuersVerifier[C]) Verify(ctx context.Context, token string) (Token[C], error) {
	if token == "" {
		return Token[C]{}, invalid(ErrMalformed, "jwt must be provided")
	}
	_, payload, err := v.reader.DecodeUnverified(token)
	if err != nil {
		return Token[C]{}, fromSignature(err)
	}
	value, err := strictjson.Find(string(payload), "iss")
	if err != nil {
		return Token[C]{}, &JSONWebTokenError{Message: "invalid token", Kind: ErrMalformed, Cause: err}
	}
	name, _ := value.Text()
	one := v.of[name]
	if one == nil {
		return Token[C]{}, invalid(ErrIssuer, "jwt issuer invalid. expected: %s", v.names)
	}
	return one.Verify(ctx, token)
}
