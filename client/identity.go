package client

import (
	"context"
	"crypto"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// Identity is what a verified ID token says, OpenID Connect Core §2.
type Identity struct {
	Issuer          string
	Subject         string // who; unique at the issuer and never reused
	Audience        []string
	AuthorizedParty string
	SessionID       string // "sid": the session at the issuer
	Nonce           string
	ACR             string
	AMR             []string
	IssuedAt        time.Time
	ExpiresAt       time.Time
	AuthTime        time.Time // zero: not told

	accessHash string
	raw        json.RawMessage
}

// Decode reads all claims into v, a pointer to a struct or map.
func (id Identity) Decode(v any) error {
	if err := json.Unmarshal(id.raw, v); err != nil {
		return fmt.Errorf("client: ID token: %w", err)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. Names are compared exactly, which
// encoding/json does not do with the fields of a struct: a claim "SUB" of
// somebody's choosing must not become the subject.
func (id *Identity) UnmarshalJSON(data []byte) error {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(data, &claims); err != nil {
		return err
	}
	var (
		audience                jwt.Audience
		issued, expires, signIn jwt.Time
	)
	*id = Identity{raw: slices.Clone(data)}
	for _, claim := range []struct {
		name string
		to   any
	}{
		{"iss", &id.Issuer}, {"sub", &id.Subject}, {"aud", &audience}, {"azp", &id.AuthorizedParty},
		{"sid", &id.SessionID}, {"nonce", &id.Nonce}, {"acr", &id.ACR}, {"amr", &id.AMR}, {"iat", &issued},
		{"exp", &expires}, {"auth_time", &signIn}, {"at_hash", &id.accessHash},
	} {
		if text, ok := claims[claim.name]; ok {
			if err := json.Unmarshal(text, claim.to); err != nil {
				return fmt.Errorf("%s: %w", claim.name, err)
			}
		}
	}
	id.Audience = audience
	id.IssuedAt, id.ExpiresAt, id.AuthTime = issued.Time, expires.Time, signIn.Time
	return nil
}

// expected is what an ID token must answer to.
type expected struct {
	nonce   string
	maxAge  *int64
	renewal bool // OpenID Connect Core §12.2: the nonce may be missing
	// OpenID Connect Core §3.2.2.10: where both tokens came through the browser,
	// at_hash must be there. One of them could have been swapped on the way.
	accessHash bool
}

// identify verifies t.ID as OpenID Connect Core §3.1.3.7 says. Errors:
// ErrIdentity with the cause from package jwt, ErrUnavailable without keys.
func (c *Client) identify(ctx context.Context, up *upstream, t Tokens, want expected) (Identity, error) {
	if up.keys == nil {
		return Identity{}, fmt.Errorf("%w: there are no keys to verify it with", ErrIdentity)
	}
	token, err := jwt.Verify[Identity](ctx, t.ID, up.keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{c.config.IDTokenAlgorithm}, // rules 7, 8
		Issuers:    c.issuers(),                                // rule 2
		Audiences:  []string{c.config.ClientID},                // rule 3
		Leeway:     c.config.Leeway,                            // rule 9
		Now:        c.now,
	})
	if _, bad := errors.AsType[*jwt.JSONWebTokenError](err); bad {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if err != nil { // the keys could not be had
		return Identity{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// RFC 8725 §3.11: an access token or a logout token of the same issuer and
	// audience is no ID token.
	if typ := token.Header.Type; typ != "" && !strings.EqualFold(strings.TrimPrefix(typ, "application/"), "jwt") {
		return Identity{}, fmt.Errorf("%w: typ is that of another kind of token", ErrIdentity)
	}
	id := token.Claims
	if err := c.checkTenant(ctx, up, token.Header.KeyID, id.raw); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if err := c.checkIdentity(id, want); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if want.accessHash && id.accessHash == "" {
		return Identity{}, fmt.Errorf("%w: at_hash is missing", ErrIdentity)
	}
	if err := checkAccessHash(id.accessHash, t.Access, token.Header.Algorithm); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return id, nil
}

// checkIdentity checks what an ID token has beyond any JWT.
func (c *Client) checkIdentity(id Identity, want expected) error {
	now := c.now()
	if id.Subject == "" || len(id.Subject) > 255 { // §2
		return errors.New("sub is missing or too long")
	}
	for _, aud := range id.Audience { // §3.1.3.7 rule 3
		if aud != c.config.ClientID && !slices.Contains(c.config.TrustedAudiences, aud) {
			return errors.New("aud names a party that is not trusted")
		}
	}
	if len(id.Audience) > 1 && id.AuthorizedParty == "" { // rule 4
		return errors.New("several audiences and no azp")
	}
	if id.AuthorizedParty != "" && id.AuthorizedParty != c.config.ClientID { // rule 5
		return errors.New("azp is another client")
	}
	if id.IssuedAt.IsZero() || id.IssuedAt.After(now.Add(c.config.Leeway)) { // rule 10
		return errors.New("iat is missing or in the future")
	}
	// Rule 11: a token of another sign-in was slipped in.
	if !(want.renewal && id.Nonce == "") && subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(want.nonce)) != 1 {
		return errors.New("nonce is not that of this sign-in")
	}
	if want.maxAge != nil { // rule 13
		oldest := now.Add(-time.Duration(*want.maxAge)*time.Second - c.config.Leeway)
		if id.AuthTime.IsZero() || id.AuthTime.Before(oldest) {
			return errors.New("auth_time is missing or too long ago")
		}
	}
	return nil
}

// checkAccessHash: OpenID Connect Core §3.1.3.8, and §3.3.2.11 for its making.
func checkAccessHash(want, access string, alg jwa.Algorithm) error {
	if want == "" {
		return nil // optional when the token came from the token endpoint
	}
	row, _ := alg.Signature()
	hash := row.Hash
	if hash == 0 { // Ed25519 hashes with SHA-512 inside
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(access))
	sum := h.Sum(nil)
	is := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	if subtle.ConstantTimeCompare([]byte(is), []byte(want)) != 1 {
		return errors.New("at_hash is that of another access token")
	}
	return nil
}

// identityOf reads an ID token that was verified before it was sealed.
func identityOf(token string) (Identity, error) {
	t, err := jwt.DecodeUnverified[Identity](token)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return t.Claims, nil
}
