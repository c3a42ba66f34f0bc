package model

import "encoding/json"

// How a client proves itself at the token endpoint, OpenID Connect Core §9.
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthSecretJWT  = "client_secret_jwt"
	AuthPrivateKey = "private_key_jwt"
	AuthTLS        = "tls_client_auth" // RFC 8705 §2.1
	AuthNone       = "none"            // a public client
)

// Grant types, RFC 6749 §1.3 and §6, and others.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantImplicit          = "implicit"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4
)

// Whom an assertion of a client may be meant for, RFC 7523 §3(3).
const (
	AudienceIssuer   = "issuer"   // the issuer alone, as one string
	AudienceEndpoint = "endpoint" // also the token endpoint, and the endpoint that is called
)

// What becomes of a grant with offline_access when its session ends.
const (
	OfflineSurvives = "survive" // it goes on
	OfflineEnds     = "end"     // it ends too, as one without that scope does
)

// In which tokens groups are told.
const (
	GroupsInID     = "id_token"
	GroupsInAccess = "access_token" // RFC 9068 §2.2.3.1
)

// Client is an application that may ask for tokens. The JSON names are those
// of the registry of client metadata (RFC 7591 §2) where it has one.
type Client struct {
	ID        ClientID `json:"client_id"`
	CreatedAt int64    `json:"client_id_issued_at"`
	UpdatedAt int64    `json:"updated_at"`
	Disabled  bool     `json:"disabled,omitempty"`
	Origin    Origin   `json:"origin,omitempty"`
	ClientSettings
}

// ClientSettings is what is registered about a client: by an operator, or by
// whoever may register one (OpenID Connect Dynamic Client Registration §2, RFC
// 7591 §2).
type ClientSettings struct {
	// What people see.
	Name        string   `json:"client_name,omitempty"`
	URI         string   `json:"client_uri,omitempty"`
	LogoURI     string   `json:"logo_uri,omitempty"`
	PolicyURI   string   `json:"policy_uri,omitempty"`
	TermsURI    string   `json:"tos_uri,omitempty"`
	Contacts    []string `json:"contacts,omitempty"`
	InitiateURI string   `json:"initiate_login_uri,omitempty"` // OpenID Connect Core §4

	SoftwareID      string `json:"software_id,omitempty"`
	SoftwareVersion string `json:"software_version,omitempty"`
	Statement       string `json:"software_statement,omitempty"` // as it was sent, RFC 7591 §2.3

	// What it may ask for, and where the answers go.
	ApplicationType        string   `json:"application_type,omitempty"` // "web" or "native"
	RedirectURIs           []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             []string `json:"grant_types,omitempty"`
	ResponseTypes          []string `json:"response_types,omitempty"` // default: code
	Scopes                 []string `json:"scopes,omitempty"`         // what it may ask for
	Audiences              []string `json:"audiences,omitempty"`      // "aud" of its access tokens; empty: the issuer's own
	Resources              []string `json:"resources,omitempty"`      // the APIs (audiences) that it stands for: whose tokens it may introspect

	// How it proves itself.
	AuthMethod    string          `json:"token_endpoint_auth_method"`
	AuthAlgorithm string          `json:"token_endpoint_auth_signing_alg,omitempty"` // of its assertions; empty: any that fits
	JWKS          json.RawMessage `json:"jwks,omitempty"`
	JWKSURI       string          `json:"jwks_uri,omitempty"`

	// AssertionAudience says whom its assertions may name as their audience:
	// AudienceIssuer or AudienceEndpoint, the default.
	AssertionAudience string `json:"assertion_audience,omitempty"`

	// Its authorization requests.
	RequestObjectAlgorithm string   `json:"request_object_signing_alg,omitempty"` // empty: any that fits
	RequestURIs            []string `json:"request_uris,omitempty"`
	RequireRequestObject   bool     `json:"require_signed_request_object,omitempty"` // RFC 9101 §10.5
	DefaultMaxAge          *int64   `json:"default_max_age,omitempty"`               // seconds
	RequireAuthTime        bool     `json:"require_auth_time,omitempty"`
	DefaultACRValues       []string `json:"default_acr_values,omitempty"`

	// What is told about people, and in which form.
	SubjectType             string `json:"subject_type,omitempty"` // "public" (default) or "pairwise"
	SectorURI               string `json:"sector_identifier_uri,omitempty"`
	IDTokenAlgorithm        string `json:"id_token_signed_response_alg,omitempty"` // default RS256
	IDTokenEncryption       string `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenContent          string `json:"id_token_encrypted_response_enc,omitempty"` // default A128CBC-HS256
	UserInfoAlgorithm       string `json:"userinfo_signed_response_alg,omitempty"`    // empty: plain JSON
	UserInfoEncryption      string `json:"userinfo_encrypted_response_alg,omitempty"`
	UserInfoContent         string `json:"userinfo_encrypted_response_enc,omitempty"`   // default A128CBC-HS256
	IntrospectionAlgorithm  string `json:"introspection_signed_response_alg,omitempty"` // RFC 9701 §6; default RS256
	IntrospectionEncryption string `json:"introspection_encrypted_response_alg,omitempty"`
	IntrospectionContent    string `json:"introspection_encrypted_response_enc,omitempty"` // default A128CBC-HS256

	FrontchannelURI     string `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelSession bool   `json:"frontchannel_logout_session_required,omitempty"`
	BackchannelURI      string `json:"backchannel_logout_uri,omitempty"`
	BackchannelSession  bool   `json:"backchannel_logout_session_required,omitempty"`

	// What an operator alone decides.

	// How a person's groups are told, where the scope groups is granted.
	GroupsClaim  string   `json:"groups_claim,omitempty"`  // in which claim; empty: "groups"
	GroupsPrefix string   `json:"groups_prefix,omitempty"` // only those that begin so, and without it
	GroupRoles   []string `json:"group_roles,omitempty"`   // "GROUP=ROLE": roles in place of groups; GROUP is without the prefix
	GroupsIn     []string `json:"groups_in,omitempty"`     // beside userinfo: GroupsInID, GroupsInAccess

	FirstParty      bool  `json:"first_party,omitempty"`        // consent is not asked
	Challenge       bool  `json:"challenge,omitempty"`          // it may ask people for their password itself
	AccessTokenLife int64 `json:"access_token_life,omitempty"`  // seconds; 0: the server's
	RefreshIdle     int64 `json:"refresh_token_idle,omitempty"` // seconds; 0: the server's
	RefreshLife     int64 `json:"refresh_token_life,omitempty"` // seconds; 0: the server's

	SignInMethods []string `json:"sign_in_methods,omitempty"` // how its people may prove who they are (Method); empty: in any way
	RequiredACR   string   `json:"required_acr,omitempty"`    // the least that they have to prove

	IdentityProviders []string `json:"identity_providers,omitempty"` // by which of them its people may sign in (UpstreamID); empty: by all
	IDPHint           string   `json:"idp_hint,omitempty"`           // to which they are sent, where its request names none

	OfflinePolicy string `json:"offline_access_policy,omitempty"` // OfflineSurvives or OfflineEnds; empty: the server's

	// The look of the pages on which people sign in to it; empty: the
	// installation's.
	ThemeAccent         string `json:"theme_accent,omitempty"` // colours, #rrggbb
	ThemeAccentDark     string `json:"theme_accent_dark,omitempty"`
	ThemeBackground     string `json:"theme_background,omitempty"`
	ThemeBackgroundDark string `json:"theme_background_dark,omitempty"`
	ThemeSheet          string `json:"theme_style_sheet,omitempty"` // CSS
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
	Sealed    string // itself, under the master key; empty: its client does not sign with it
	CreatedAt int64
	ExpiresAt int64 // 0: never
}
