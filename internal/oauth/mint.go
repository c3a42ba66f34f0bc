package oauth

import (
	"crypto"
	"encoding/base64"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// The "typ" of the tokens that the server makes; no kind passes for another
// (RFC 8725 §3.11).
const (
	accessTokenType = "at+jwt" // RFC 9068 §2.1
	idTokenType     = "JWT"
)

// accessClaims is an access token, RFC 9068 §2.2.
type accessClaims struct {
	Issuer    string       `json:"iss"`
	Subject   string       `json:"sub"`
	Audience  jwt.Audience `json:"aud"`
	ExpiresAt int64        `json:"exp"`
	IssuedAt  int64        `json:"iat"`
	ID        string       `json:"jti"`
	ClientID  string       `json:"client_id"`
	Scope     string       `json:"scope,omitempty"`
	AuthTime  int64        `json:"auth_time,omitempty"`
	ACR       string       `json:"acr,omitempty"`
	AMR       []string     `json:"amr,omitempty"`
	SessionID string       `json:"sid,omitempty"`      // a revoked session is known by it
	GrantID   string       `json:"grant_id,omitempty"` // a revoked grant is known by it
}

// idClaims is an ID token, OpenID Connect Core §2 and §3.1.3.6.
type idClaims struct {
	Issuer    string       `json:"iss"`
	Subject   string       `json:"sub"`
	Audience  jwt.Audience `json:"aud"`
	ExpiresAt int64        `json:"exp"`
	IssuedAt  int64        `json:"iat"`
	AuthTime  int64        `json:"auth_time,omitempty"`
	Nonce     string       `json:"nonce,omitempty"`
	ACR       string       `json:"acr,omitempty"`
	AMR       []string     `json:"amr,omitempty"`
	SessionID string       `json:"sid,omitempty"` // OpenID Connect Front-Channel Logout §3
	AtHash    string       `json:"at_hash,omitempty"`
}

// mint signs what has been earned. It touches no database.
func (a *Authority) mint(i issuance) (Tokens, error) {
	now := a.unix()
	access := accessClaims{
		Issuer:    a.Issuer,
		Subject:   string(i.client.ID), // RFC 9068 §2.2: the client, where no person is involved
		Audience:  a.audience(i.client.Client, nil),
		ExpiresAt: now + a.accessLife(i.client),
		IssuedAt:  now,
		ID:        model.NewID(),
		ClientID:  string(i.client.ID),
		Scope:     joinScope(i.scope),
	}
	if g := i.grant; g.ID != "" {
		access.Subject, access.Audience = string(g.UserID), g.Audience
		access.AuthTime, access.ACR, access.AMR = g.AuthTime, g.ACR, g.AMR
		access.SessionID, access.GrantID = string(g.SessionID), string(g.ID)
		if g.Offline {
			// What puts the session out does not concern this token: it was
			// granted to be used after that. Its grant is its session.
			access.SessionID = access.GrantID
		}
		access.ExpiresAt = min(access.ExpiresAt, g.ExpiresAt)
	}
	token, err := a.Keys.Sign(a.AccessAlgorithm, accessTokenType, access)
	if err != nil {
		return Tokens{}, err
	}
	out := Tokens{
		AccessToken:  token,
		TokenType:    "Bearer",
		ExpiresIn:    access.ExpiresAt - now,
		RefreshToken: i.refresh.Reveal(),
		Scope:        access.Scope,
	}
	if i.idToken {
		out.IDToken, err = a.mintID(i, token, now)
	}
	return out, err
}

// accessLife is how long the access tokens of a client live, in seconds.
func (a *Authority) accessLife(c *client) int64 {
	if c.AccessTokenLife > 0 {
		return c.AccessTokenLife
	}
	return seconds(a.AccessLife)
}

func (a *Authority) mintID(i issuance, accessToken string, now int64) (string, error) {
	alg := jwa.Algorithm(i.client.IDTokenAlgorithm)
	if alg == "" {
		alg = jwa.RS256 // OpenID Connect Dynamic Client Registration §2: the default
	}
	g := i.grant
	return a.Keys.Sign(alg, idTokenType, idClaims{
		Issuer:    a.Issuer,
		Subject:   string(g.UserID),
		Audience:  jwt.Audience{string(g.ClientID)},
		ExpiresAt: now + seconds(a.IDLife),
		IssuedAt:  now,
		AuthTime:  g.AuthTime,
		Nonce:     g.Nonce,
		ACR:       g.ACR,
		AMR:       g.AMR,
		SessionID: string(g.SessionID),
		AtHash:    halfHash(alg, accessToken),
	})
}

// halfHash is the left half of a hash, in the hash of the algorithm that signs:
// "at_hash" of OpenID Connect Core §3.1.3.6.
func halfHash(alg jwa.Algorithm, token string) string {
	hash := crypto.SHA256
	if s, ok := alg.Signature(); ok && s.Hash != 0 {
		hash = s.Hash
	}
	h := hash.New()
	h.Write([]byte(token))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
