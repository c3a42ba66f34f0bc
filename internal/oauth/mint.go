package oauth

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"maps"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// The "typ" of the tokens that the server makes; no kind passes for another
// (RFC 8725 §3.11).
const (
	accessTokenType = "at+jwt" // RFC 9068 §2.1
	idTokenType     = "JWT"
	userInfoType    = "userinfo+jwt"

	introspectionType = "token-introspection+jwt" // RFC 9701 §5
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

	// SubjectType is "pairwise" where "sub" is not the account: that is found by
	// the grant.
	SubjectType string `json:"subject_type,omitempty"`
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
	CHash     string       `json:"c_hash,omitempty"`
}

// mint signs what has been earned at the token endpoint. It touches no database.
func (a *Authority) mint(i issuance) (Tokens, error) {
	token, expires, err := a.mintAccess(i)
	if err != nil {
		return Tokens{}, err
	}
	out := Tokens{
		AccessToken:  token,
		TokenType:    "Bearer",
		ExpiresIn:    expires - i.at,
		RefreshToken: i.refresh.Reveal(),
		Scope:        joinScope(i.scope),
	}
	if i.idToken {
		i.access = token
		if wanted := i.grant.Claims.IDToken; wanted != nil {
			i.claims = Claims(i.client.Client, i.user, nil, wanted)
		}
		out.IDToken, err = a.mintID(i)
	}
	return out, err
}

// mintAccess signs an access token and says when it expires.
func (a *Authority) mintAccess(i issuance) (token string, expires int64, err error) {
	access := accessClaims{
		Issuer:    a.Issuer,
		Subject:   string(i.client.ID), // RFC 9068 §2.2: the client, where no person is involved
		Audience:  i.audience,
		ExpiresAt: i.at + a.accessLife(i.client),
		IssuedAt:  i.at,
		ID:        model.NewID(),
		ClientID:  string(i.client.ID),
		Scope:     joinScope(i.scope),
	}
	if g := i.grant; g.ID != "" {
		sub, pairwise, err := i.sub()
		if err != nil {
			return "", 0, err
		}
		if pairwise {
			access.SubjectType = model.SubjectPairwise
		}
		access.Subject = sub
		access.AuthTime, access.ACR, access.AMR = g.AuthTime, g.ACR, g.AMR
		access.SessionID, access.GrantID = string(g.SessionID), string(g.ID)
		if g.Offline {
			// What puts the session out does not concern this token: it was
			// granted to be used after that. Its grant is its session.
			access.SessionID = access.GrantID
		}
		access.ExpiresAt = min(access.ExpiresAt, g.ExpiresAt)
	}
	var told any = access
	if groups := inToken(i, model.GroupsInAccess); groups != nil && i.grant.ID != "" {
		if told, err = withClaims(access, groups); err != nil {
			return "", 0, err
		}
	}
	token, err = a.Keys.Sign(a.AccessAlgorithm, accessTokenType, told)
	a.measure(i.client.ID, "access_token", token)
	return token, access.ExpiresAt, err
}

// accessLife is how long the access tokens of a client live, in seconds.
func (a *Authority) accessLife(c *registration.Client) int64 {
	if c.AccessTokenLife > 0 {
		return c.AccessTokenLife
	}
	return seconds(a.AccessLife)
}

// mintID makes an ID token for what is issued together with it: signed, and then
// encrypted where the client is registered for that (OpenID Connect Core §2, §10).
func (a *Authority) mintID(i issuance) (string, error) {
	token, err := a.signID(i)
	if err == nil && i.client.IDTokenEncryption != "" {
		token, err = i.to.seal(token)
	}
	a.measure(i.client.ID, "id_token", token)
	return token, err
}

func (a *Authority) signID(i issuance) (string, error) {
	alg := jwa.Algorithm(i.client.IDTokenAlgorithm)
	if alg == "" {
		alg = registration.IDAlgorithms[0] // OpenID Connect Dynamic Client Registration §2: RS256
	}
	sub, _, err := i.sub()
	if err != nil {
		return "", err
	}
	g := i.grant
	id := idClaims{
		Issuer:    a.Issuer,
		Subject:   sub,
		Audience:  jwt.Audience{string(g.ClientID)},
		ExpiresAt: i.at + seconds(a.IDLife),
		IssuedAt:  i.at,
		AuthTime:  g.AuthTime,
		Nonce:     g.Nonce,
		ACR:       g.ACR,
		AMR:       g.AMR,
		SessionID: string(g.SessionID),
		AtHash:    halfHash(alg, i.access),
		CHash:     halfHash(alg, i.code),
	}
	if groups := inToken(i, model.GroupsInID); groups != nil {
		all := maps.Clone(i.claims)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, groups)
		i.claims = all
	}
	if i.claims == nil {
		return a.Keys.Sign(alg, idTokenType, id)
	}
	all, err := withClaims(id, i.claims)
	if err != nil {
		return "", err
	}
	return a.Keys.Sign(alg, idTokenType, all)
}

// withClaims adds what is told about the person to the claims of a token, which
// nothing about a person can replace.
func withClaims(id any, person map[string]any) (map[string]any, error) {
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	own := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &own); err != nil {
		return nil, err
	}
	all := maps.Clone(person)
	for name, value := range own {
		all[name] = value
	}
	return all, nil
}

// halfHash is the left half of a hash, in the hash of the algorithm that signs:
// "at_hash" and "c_hash" of OpenID Connect Core §3.1.3.6 and §3.3.2.11. There is
// none of a token that is not issued.
func halfHash(alg jwa.Algorithm, token string) string {
	if token == "" {
		return ""
	}
	hash := crypto.SHA512 // EdDSA: what Ed25519 hashes with inside (OpenID Connect Token Hash Algorithms)
	if s, _ := alg.Signature(); s.Hash != 0 {
		hash = s.Hash
	}
	h := hash.New()
	h.Write([]byte(token))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
