package oauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/jwa"
)

// Where the endpoints stand, below the issuer.
const (
	PathAuthorize  = "/authorize"
	PathToken      = "/token"
	PathUserInfo   = "/userinfo"
	PathIntrospect = "/introspect"
	PathRevoke     = "/revoke"
	PathKeys       = "/jwks"
	PathLogout     = "/logout"
	PathState      = "/session-state" // check_session_iframe
	PathChallenge  = "/challenge"     // draft-ietf-oauth-first-party-apps-04 §4.1

	PathDeviceAuthorization = "/device-authorization" // RFC 8628 §3.1
	PathDevice              = "/device"               // where people type what their device shows, RFC 8628 §3.3

	PathRevocations      = "/revocations"             // the revocation feed
	PathGlobalRevocation = "/global-token-revocation" // draft-parecki-oauth-global-token-revocation-06 §3.1
)

// Metadata describes the server, OpenID Connect Discovery §3 and RFC 8414 §2.
// What it says is true: what is not offered is not in it.
type Metadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserInfoEndpoint      string `json:"userinfo_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	RegistrationEndpoint  string `json:"registration_endpoint,omitempty"`
	IntrospectionEndpoint string `json:"introspection_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	EndSessionEndpoint    string `json:"end_session_endpoint"` // OpenID Connect RP-Initiated Logout §2.1

	DeviceEndpoint           string `json:"device_authorization_endpoint"`    // RFC 8628 §4
	ChallengeEndpoint        string `json:"authorization_challenge_endpoint"` // draft-ietf-oauth-first-party-apps-04 §8
	GlobalRevocationEndpoint string `json:"global_token_revocation_endpoint"` // draft-parecki-oauth-global-token-revocation-06 §5
	RevocationFeedEndpoint   string `json:"revocation_feed_endpoint"`         // ours: docs/revocation-feed.md

	CheckSessionIframe string `json:"check_session_iframe"` // OpenID Connect Session Management §3.3

	FrontchannelLogout        bool `json:"frontchannel_logout_supported"`
	FrontchannelLogoutSession bool `json:"frontchannel_logout_session_supported"`
	BackchannelLogout         bool `json:"backchannel_logout_supported"`
	BackchannelLogoutSession  bool `json:"backchannel_logout_session_supported"`

	ScopesSupported        []string `json:"scopes_supported"`
	ResponseTypesSupported []string `json:"response_types_supported"`
	ResponseModesSupported []string `json:"response_modes_supported"`
	GrantTypesSupported    []string `json:"grant_types_supported"`
	SubjectTypesSupported  []string `json:"subject_types_supported"`

	IDTokenAlgorithms  []jwa.Algorithm  `json:"id_token_signing_alg_values_supported"`
	IDTokenEncryption  []jwa.Algorithm  `json:"id_token_encryption_alg_values_supported"`
	IDTokenContent     []jwa.Encryption `json:"id_token_encryption_enc_values_supported"`
	UserInfoAlgorithms []jwa.Algorithm  `json:"userinfo_signing_alg_values_supported"`
	UserInfoEncryption []jwa.Algorithm  `json:"userinfo_encryption_alg_values_supported"`
	UserInfoContent    []jwa.Encryption `json:"userinfo_encryption_enc_values_supported"`

	IntrospectionAlgorithms []jwa.Algorithm  `json:"introspection_signing_alg_values_supported"` // RFC 9701 §7
	IntrospectionEncryption []jwa.Algorithm  `json:"introspection_encryption_alg_values_supported"`
	IntrospectionContent    []jwa.Encryption `json:"introspection_encryption_enc_values_supported"`

	TokenAuthMethods            []string        `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms         []jwa.Algorithm `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods    []string        `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithms []jwa.Algorithm `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods       []string        `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms    []jwa.Algorithm `json:"revocation_endpoint_auth_signing_alg_values_supported"`

	ClaimTypesSupported          []string        `json:"claim_types_supported"`
	ClaimsSupported              []string        `json:"claims_supported"`
	PromptValuesSupported        []string        `json:"prompt_values_supported"`
	ACRValuesSupported           []string        `json:"acr_values_supported,omitempty"`
	DisplayValuesSupported       []string        `json:"display_values_supported"`
	UILocalesSupported           []string        `json:"ui_locales_supported,omitempty"`
	CodeChallengeMethods         []string        `json:"code_challenge_methods_supported"`
	IssInResponse                bool            `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
	RequestParameterSupported    bool            `json:"request_parameter_supported"`
	RequestURIParameterSupported bool            `json:"request_uri_parameter_supported"` // its default is true, so it is said
	RequireRequestURIs           bool            `json:"require_request_uri_registration"`
	RequestObjectAlgorithms      []jwa.Algorithm `json:"request_object_signing_alg_values_supported"`
	ClaimsParameterSupported     bool            `json:"claims_parameter_supported"`
	ClientDocumentsSupported     bool            `json:"client_id_metadata_document_supported,omitempty"` // Client ID Metadata Document §6
}

// Endpoint returns the URL of one of the paths above.
func (a *Authority) Endpoint(path string) string { return a.Issuer + path }

// BasePath is the path of the issuer, "" where it has none: what every route
// and link begins with.
func (a *Authority) BasePath() string {
	u, err := url.Parse(a.Issuer)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}

// Metadata returns the server's description of itself.
func (a *Authority) Metadata() Metadata {
	confidential := slices.DeleteFunc(slices.Clone(registration.AuthMethods), func(m string) bool { return m == model.AuthNone })
	signed := slices.Concat(registration.AssertionAlgorithms, registration.SecretAlgorithms)
	claims := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash"}
	claims = append(claims, StandardClaims()...)
	policy, register := a.Registrar.Policy, ""
	if policy.Mode != registration.ModeOff {
		register = a.Endpoint(registration.Path)
	}
	return Metadata{
		Issuer:                      a.Issuer,
		AuthorizationEndpoint:       a.Endpoint(PathAuthorize),
		TokenEndpoint:               a.Endpoint(PathToken),
		UserInfoEndpoint:            a.Endpoint(PathUserInfo),
		JWKSURI:                     a.Endpoint(PathKeys),
		RegistrationEndpoint:        register,
		IntrospectionEndpoint:       a.Endpoint(PathIntrospect),
		RevocationEndpoint:          a.Endpoint(PathRevoke),
		EndSessionEndpoint:          a.Endpoint(PathLogout),
		DeviceEndpoint:              a.Endpoint(PathDeviceAuthorization),
		ChallengeEndpoint:           a.Endpoint(PathChallenge),
		GlobalRevocationEndpoint:    a.Endpoint(PathGlobalRevocation),
		RevocationFeedEndpoint:      a.Endpoint(PathRevocations),
		CheckSessionIframe:          a.Endpoint(PathState),
		FrontchannelLogout:          true,
		FrontchannelLogoutSession:   true,
		BackchannelLogout:           true,
		BackchannelLogoutSession:    true,
		ScopesSupported:             registration.StandardScopes,
		ResponseTypesSupported:      registration.ResponseTypes,
		ResponseModesSupported:      []string{ModeQuery, ModeFragment, ModeFormPost},
		GrantTypesSupported:         registration.GrantTypes,
		SubjectTypesSupported:       registration.SubjectTypes,
		IDTokenAlgorithms:           registration.IDAlgorithms,
		IDTokenEncryption:           registration.EncryptionAlgorithms,
		IDTokenContent:              registration.ContentEncryptions,
		UserInfoAlgorithms:          registration.IDAlgorithms,
		UserInfoEncryption:          registration.EncryptionAlgorithms,
		UserInfoContent:             registration.ContentEncryptions,
		IntrospectionAlgorithms:     registration.IDAlgorithms,
		IntrospectionEncryption:     registration.EncryptionAlgorithms,
		IntrospectionContent:        registration.ContentEncryptions,
		TokenAuthMethods:            registration.AuthMethods,
		TokenAuthAlgorithms:         signed,
		IntrospectionAuthMethods:    confidential,
		IntrospectionAuthAlgorithms: signed,
		RevocationAuthMethods:       registration.AuthMethods,
		RevocationAuthAlgorithms:    signed,
		ClaimTypesSupported:         []string{"normal"},
		ClaimsSupported:             claims,
		PromptValuesSupported:       a.prompts(),
		ACRValuesSupported:          slices.Clone(a.ACRValues),
		DisplayValuesSupported:      slices.Clone(displays),
		UILocalesSupported:          slices.Clone(a.UILocales),
		CodeChallengeMethods:        []string{"S256"},
		IssInResponse:               true,
		ClaimsParameterSupported:    true,
		ClientDocumentsSupported:    policy.Documents,

		RequestParameterSupported:    true,
		RequestURIParameterSupported: true,
		RequireRequestURIs:           true,
		RequestObjectAlgorithms:      registration.AssertionAlgorithms,
	}
}

// CheckIssuer holds an issuer to RFC 8414 §2: an https URL without query or
// fragment. Plain http is taken for loopback hosts only. The error begins with
// the issuer in quotes.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not an address: write one such as https://login.example.com", issuer)
	case u.Scheme == "http" && !registration.Loopback(issuer):
		return fmt.Errorf("%q must be an https address: http is for this machine alone", issuer)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("%q must have no query, fragment or user name", issuer)
	case strings.HasSuffix(issuer, "/"):
		return fmt.Errorf("%q must not end with a slash", issuer)
	}
	return nil
}
