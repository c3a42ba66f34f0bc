package model

import "encoding/json"

// How a client proves itself at the token endpoint, OpenID Connect Core §9.
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none" // a public client
)

// Grant types, RFC 6749 §1.3 and §6.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantImplicit          = "implicit"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
)

// Client is an application that may ask for tokens. The JSON names are those
// of the registry of client metadata (RFC 7591 §2) where it has one.
type Client struct {
	ID        ClientID `json:"client_id"`
	CreatedAt int64    `json:"client_id_issued_at"`
	UpdatedAt int64    `json:"updated_at"`
	Disabled  bool     `json:"disabled,omitempty"`
	ClientSettings
}

// ClientSettings is what an operator says about a client.
type ClientSettings struct {
	Name                   string          `json:"client_name,omitempty"`
	URI                    string          `json:"client_uri,omitempty"`
	ApplicationType        string          `json:"application_type,omitempty"` // "web" or "native"
	RedirectURIs           []string        `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string        `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             []string        `json:"grant_types,omitempty"`
	ResponseTypes          []string        `json:"response_types,omitempty"` // default: code
	Scopes                 []string        `json:"scopes,omitempty"`         // what it may ask for
	Audiences              []string        `json:"audiences,omitempty"`      // "aud" of its access tokens; empty: the issuer's own
	Resources              []string        `json:"resources,omitempty"`      // the APIs (audiences) that it stands for: whose tokens it may introspect
	AuthMethod             string          `json:"token_endpoint_auth_method"`
	JWKS                   json.RawMessage `json:"jwks,omitempty"`
	JWKSURI                string          `json:"jwks_uri,omitempty"`
	IDTokenAlgorithm       string          `json:"id_token_signed_response_alg,omitempty"` // default RS256
	FirstParty             bool            `json:"first_party,omitempty"`                  // consent is not asked
	AccessTokenLife        int64           `json:"access_token_life,omitempty"`            // seconds; 0: the server's
	RefreshIdle            int64           `json:"refresh_token_idle,omitempty"`           // seconds; 0: the server's
	RefreshLife            int64           `json:"refresh_token_life,omitempty"`           // seconds; 0: the server's
}

// Public reports whether the client cannot keep a secret, RFC 6749 §2.1.
func (c Client) Public() bool { return c.AuthMethod == AuthNone }

// Native reports whether the client is installed on a person's machine, RFC 8252.
func (c Client) Native() bool { return c.ApplicationType == "native" }

// ClientSecret is one of at most two live secrets of a client; two, so that a
// secret can be changed without a gap.
type ClientSecret struct {
	ID        SecretID
	ClientID  ClientID
	Hash      string // Secret.Hash of it
	CreatedAt int64
	ExpiresAt int64 // 0: never
}
