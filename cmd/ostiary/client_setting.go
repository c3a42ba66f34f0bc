package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/urfave/cli/v3"
)

// clientSetting is one thing that an operator may say about a client. It has a
// flag, the name of the registered metadata (in files and in JSON), and a title
// for people.
type clientSetting struct {
	flag, member, title, usage string
	fallback                   string // what holds when nobody says anything
	value                      clientValue
}

// clientValue is how a setting is written, read and shown. The argument of each
// of its types leads to the field.
type clientValue interface {
	flag(cli.StringFlag) cli.Flag
	read(c *cli.Command, name string, s *model.ClientSettings) error
	show(s model.ClientSettings) string
}

type (
	textValue    func(*model.ClientSettings) *string
	wordsValue   func(*model.ClientSettings) *[]string // none of them can hold a space
	linesValue   func(*model.ClientSettings) *[]string // each may hold spaces
	switchValue  func(*model.ClientSettings) *bool
	lifeValue    func(*model.ClientSettings) *int64 // seconds; 0: the server's
	secondsValue func(*model.ClientSettings) **int64
	keysValue    func(*model.ClientSettings) *json.RawMessage
	sheetValue   func(*model.ClientSettings) *string // what stands in a file
)

// clientSettings are all of them, in the order in which they are shown. None has
// the flag of a setting of the server, whose flags would take it for theirs.
var clientSettings = []clientSetting{
	{"name", "client_name", "Name", "`NAME` that people see", "", textValue(func(s *model.ClientSettings) *string { return &s.Name })},
	{"uri", "client_uri", "Home page", "`URL` of its home page", "", textValue(func(s *model.ClientSettings) *string { return &s.URI })},
	{"logo-uri", "logo_uri", "Logo", "`URL` of its logo, a PNG, JPEG, GIF or WebP", "", textValue(func(s *model.ClientSettings) *string { return &s.LogoURI })},
	{"policy-uri", "policy_uri", "Privacy policy", "`URL` that tells what it does with data about people", "", textValue(func(s *model.ClientSettings) *string { return &s.PolicyURI })},
	{"tos-uri", "tos_uri", "Terms", "`URL` of its terms of service", "", textValue(func(s *model.ClientSettings) *string { return &s.TermsURI })},
	{"contact", "contacts", "Contacts", "`ADDRESS` of somebody responsible for it; may be repeated", "", linesValue(func(s *model.ClientSettings) *[]string { return &s.Contacts })},
	{"initiate-login-uri", "initiate_login_uri", "Begins a sign-in at", "`URL` where others can make it begin a sign-in", "", textValue(func(s *model.ClientSettings) *string { return &s.InitiateURI })},
	{"software-id", "software_id", "Software", "`ID` of the software that it is an installation of", "", textValue(func(s *model.ClientSettings) *string { return &s.SoftwareID })},
	{"software-version", "software_version", "Version", "`VERSION` of that software", "", textValue(func(s *model.ClientSettings) *string { return &s.SoftwareVersion })},

	{"type", "application_type", "Type", "`TYPE`: web, or native for an application on a person's machine", "web", textValue(func(s *model.ClientSettings) *string { return &s.ApplicationType })},
	{"redirect-uri", "redirect_uris", "Redirect URIs", "`URI` that a sign-in returns to; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.RedirectURIs })},
	{"post-logout-redirect-uri", "post_logout_redirect_uris", "After sign-out", "`URI` that a sign-out returns to; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.PostLogoutRedirectURIs })},
	{"grant-type", "grant_types", "Grants", "`GRANT`: authorization_code, implicit, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code; may be repeated", "the first two with --redirect-uri, the last without", wordsValue(func(s *model.ClientSettings) *[]string { return &s.GrantTypes })},
	{"response-type", "response_types", "Answers", "`TYPE` of answer that it may ask for, such as \"code\" or \"code id_token\"; all but code need the grant implicit; may be repeated", "code", linesValue(func(s *model.ClientSettings) *[]string { return &s.ResponseTypes })},
	{"scope", "scopes", "Scopes", "`SCOPE` that it may ask for; separated by spaces or repeated", "openid profile email offline_access with --redirect-uri", wordsValue(func(s *model.ClientSettings) *[]string { return &s.Scopes })},
	{"audience", "audiences", "Audiences", "`API` that its access tokens are for, a URL; may be repeated", "the issuer", wordsValue(func(s *model.ClientSettings) *[]string { return &s.Audiences })},
	{"resource", "resources", "Is the API", "`API` that it is itself, whose tokens it may introspect; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.Resources })},

	{"auth-method", "token_endpoint_auth_method", "Authentication", "`METHOD`, one of " + strings.Join(registration.AuthMethods, ", ") + ", the last for an application that cannot keep a secret", "client_secret_basic, none with --type native", textValue(func(s *model.ClientSettings) *string { return &s.AuthMethod })},
	{"auth-algorithm", "token_endpoint_auth_signing_alg", "Signs assertions with", "`ALGORITHM` that its assertions must be signed with", "any that fits", textValue(func(s *model.ClientSettings) *string { return &s.AuthAlgorithm })},
	{"assertion-audience", "assertion_audience", "Assertions are for", "`WHOM` its assertions may name as their audience: endpoint, or issuer to take that alone", "endpoint", textValue(func(s *model.ClientSettings) *string { return &s.AssertionAudience })},
	{"jwks", "jwks", "Keys", "`FILE` with its public keys, a JWK set", "", keysValue(func(s *model.ClientSettings) *json.RawMessage { return &s.JWKS })},
	{"jwks-uri", "jwks_uri", "Keys at", "`URL` of its public keys", "", textValue(func(s *model.ClientSettings) *string { return &s.JWKSURI })},

	{"request-object-algorithm", "request_object_signing_alg", "Signs requests with", "`ALGORITHM` that its request objects must be signed with", "any that fits", textValue(func(s *model.ClientSettings) *string { return &s.RequestObjectAlgorithm })},
	{"request-uri", "request_uris", "Request URIs", "`URL` where its request objects may lie; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.RequestURIs })},
	{"require-request-object", "require_signed_request_object", "Request object required", "take its requests as signed request objects only", "", switchValue(func(s *model.ClientSettings) *bool { return &s.RequireRequestObject })},
	{"default-max-age", "default_max_age", "Default max_age", "`SECONDS` since the sign-in after which people sign in again, unless a request says otherwise", "none", secondsValue(func(s *model.ClientSettings) **int64 { return &s.DefaultMaxAge })},
	{"require-auth-time", "require_auth_time", "auth_time required", "its ID tokens always tell when the person signed in", "", switchValue(func(s *model.ClientSettings) *bool { return &s.RequireAuthTime })},
	{"default-acr", "default_acr_values", "Default acr_values", "`ACR` that it wants unless a request says otherwise; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.DefaultACRValues })},

	{"subject-type", "subject_type", "Subjects", "`TYPE`: public, or pairwise to tell it another identifier of a person than all others", "public", textValue(func(s *model.ClientSettings) *string { return &s.SubjectType })},
	{"sector-uri", "sector_identifier_uri", "Sector", "`URL` of the list of redirect URIs that share pairwise identifiers", "", textValue(func(s *model.ClientSettings) *string { return &s.SectorURI })},
	{"id-token-algorithm", "id_token_signed_response_alg", "ID tokens", "`ALGORITHM` of its ID tokens", "RS256", textValue(func(s *model.ClientSettings) *string { return &s.IDTokenAlgorithm })},
	{"id-token-encryption", "id_token_encrypted_response_alg", "ID token encryption", "`ALGORITHM` that its ID tokens are encrypted with, to a key of its own", "none", textValue(func(s *model.ClientSettings) *string { return &s.IDTokenEncryption })},
	{"id-token-content", "id_token_encrypted_response_enc", "ID token content", "`ALGORITHM` that their content is encrypted with", "A128CBC-HS256", textValue(func(s *model.ClientSettings) *string { return &s.IDTokenContent })},
	{"userinfo-algorithm", "userinfo_signed_response_alg", "Userinfo", "`ALGORITHM` that userinfo is signed with", "not signed", textValue(func(s *model.ClientSettings) *string { return &s.UserInfoAlgorithm })},
	{"userinfo-encryption", "userinfo_encrypted_response_alg", "Userinfo encryption", "`ALGORITHM` that userinfo is encrypted with, to a key of its own", "none", textValue(func(s *model.ClientSettings) *string { return &s.UserInfoEncryption })},
	{"userinfo-content", "userinfo_encrypted_response_enc", "Userinfo content", "`ALGORITHM` that its content is encrypted with", "A128CBC-HS256", textValue(func(s *model.ClientSettings) *string { return &s.UserInfoContent })},
	{"introspection-algorithm", "introspection_signed_response_alg", "Introspection", "`ALGORITHM` of answers about tokens that it asks for as a JWT", "RS256", textValue(func(s *model.ClientSettings) *string { return &s.IntrospectionAlgorithm })},
	{"introspection-encryption", "introspection_encrypted_response_alg", "Introspection encryption", "`ALGORITHM` that such answers are encrypted with, to a key of its own", "none", textValue(func(s *model.ClientSettings) *string { return &s.IntrospectionEncryption })},
	{"introspection-content", "introspection_encrypted_response_enc", "Introspection content", "`ALGORITHM` that their content is encrypted with", "A128CBC-HS256", textValue(func(s *model.ClientSettings) *string { return &s.IntrospectionContent })},

	{"frontchannel-logout-uri", "frontchannel_logout_uri", "Front-channel logout", "`URL` that a browser visits when the person signs out", "", textValue(func(s *model.ClientSettings) *string { return &s.FrontchannelURI })},
	{"frontchannel-session", "frontchannel_logout_session_required", "With its session", "that URL is told which session ended", "", switchValue(func(s *model.ClientSettings) *bool { return &s.FrontchannelSession })},
	{"backchannel-logout-uri", "backchannel_logout_uri", "Back-channel logout", "`URL` that the server tells when a session has ended", "", textValue(func(s *model.ClientSettings) *string { return &s.BackchannelURI })},
	{"backchannel-session", "backchannel_logout_session_required", "With its session", "it must be told which session ended", "", switchValue(func(s *model.ClientSettings) *bool { return &s.BackchannelSession })},

	{"groups-claim", "groups_claim", "Groups are told in", "`CLAIM` in which a person's groups or roles are told: groups, roles, entitlements, or a URL", "groups", textValue(func(s *model.ClientSettings) *string { return &s.GroupsClaim })},
	{"groups-prefix", "groups_prefix", "Groups of its own", "`TEXT` with which the groups begin that it is told of, without it", "all groups", textValue(func(s *model.ClientSettings) *string { return &s.GroupsPrefix })},
	{"group-role", "group_roles", "Roles", "`GROUP=ROLE`: tell that role of who is in the group, and no other groups; may be repeated", "", linesValue(func(s *model.ClientSettings) *[]string { return &s.GroupRoles })},
	{"groups-in", "groups_in", "Groups are also in", "`TOKEN` that tells groups with the scope groups, beside userinfo: id_token or access_token; may be repeated", "", wordsValue(func(s *model.ClientSettings) *[]string { return &s.GroupsIn })},
	{"first-party", "first_party", "First party", "it is ours: people are not asked for consent", "", switchValue(func(s *model.ClientSettings) *bool { return &s.FirstParty })},
	{"challenge", "challenge", "Asks for passwords", "it is ours and may ask people for their password itself, without a browser", "", switchValue(func(s *model.ClientSettings) *bool { return &s.Challenge })},
	{"sign-in-method", "sign_in_methods", "Sign-in methods", "`METHOD` by which its people may prove who they are: password, passkey, mail, totp, recovery_code or upstream; may be repeated", "all", wordsValue(func(s *model.ClientSettings) *[]string { return &s.SignInMethods })},
	{"required-acr", "required_acr", "Required acr", "`ACR` that is the least its people have to prove, such as " + model.ACRMulti, "none", textValue(func(s *model.ClientSettings) *string { return &s.RequiredACR })},
	{"identity-provider", "identity_providers", "Identity providers", "`ID` of an identity provider by which its people may sign in; may be repeated", "all", wordsValue(func(s *model.ClientSettings) *[]string { return &s.IdentityProviders })},
	{"idp-hint", "idp_hint", "Goes to", "`ID` of the identity provider to which they are sent, where its request names none", "the page", textValue(func(s *model.ClientSettings) *string { return &s.IDPHint })},
	{"token-life", "access_token_life", "Access token life", "`TIME` that its access tokens live", "the server's", lifeValue(func(s *model.ClientSettings) *int64 { return &s.AccessTokenLife })},
	{"refresh-idle", "refresh_token_idle", "Refresh idle", "`TIME` that a refresh token lives unused", "the server's", lifeValue(func(s *model.ClientSettings) *int64 { return &s.RefreshIdle })},
	{"refresh-life", "refresh_token_life", "Refresh life", "`TIME` that a chain of refresh tokens lives", "the server's", lifeValue(func(s *model.ClientSettings) *int64 { return &s.RefreshLife })},
	{"theme-background", "theme_background", "Background", "`COLOUR` around the card on the pages of a sign-in to it, such as #f6f5f1", "the server's", textValue(func(s *model.ClientSettings) *string { return &s.ThemeBackground })},
	{"theme-background-dark", "theme_background_dark", "Dark background", "`COLOUR` of the same in the dark theme", "the server's", textValue(func(s *model.ClientSettings) *string { return &s.ThemeBackgroundDark })},
	{"theme-accent", "theme_accent", "Accent", "`COLOUR` of links and buttons on these pages", "the server's", textValue(func(s *model.ClientSettings) *string { return &s.ThemeAccent })},
	{"theme-accent-dark", "theme_accent_dark", "Dark accent", "`COLOUR` of the same in the dark theme", "that of --theme-accent, as light as it must be", textValue(func(s *model.ClientSettings) *string { return &s.ThemeAccentDark })},
	{"theme-style-sheet", "theme_style_sheet", "Style sheet", "`FILE` with a style sheet for these pages", "", sheetValue(func(s *model.ClientSettings) *string { return &s.ThemeSheet })},
	{"offline-policy", "offline_access_policy", "Offline access", "`WHAT` becomes of a grant with offline_access when its session ends: survive, or end", "the server's", textValue(func(s *model.ClientSettings) *string { return &s.OfflinePolicy })},
}

// clientFlags are the settings of a client as flags.
func clientFlags() []cli.Flag {
	var flags []cli.Flag
	for _, one := range clientSettings {
		flags = append(flags, one.value.flag(cli.StringFlag{Name: one.flag, Usage: one.usage, DefaultText: one.fallback}))
	}
	return flags
}

// changed returns the settings with what the command line says about them. An
// empty value takes a setting back.
func changed(c *cli.Command, s model.ClientSettings) (model.ClientSettings, error) {
	for _, one := range clientSettings {
		if !c.IsSet(one.flag) {
			continue
		}
		if err := one.value.read(c, one.flag, &s); err != nil {
			return s, usagef("--%s: %v", one.flag, err)
		}
	}
	return s, nil
}

// memberFlag leads from the name of a setting in the protocol to its flag.
func memberFlag(member string) string {
	if member == "client_id" {
		return "id"
	}
	for _, one := range clientSettings {
		if one.member == member {
			return one.flag
		}
	}
	return ""
}

func stringFlag(f cli.StringFlag) cli.Flag { return &f }

func sliceFlag(f cli.StringFlag) cli.Flag {
	return &cli.StringSliceFlag{Name: f.Name, Usage: f.Usage, DefaultText: f.DefaultText}
}

func (v textValue) flag(f cli.StringFlag) cli.Flag { return stringFlag(f) }
func (v textValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = c.String(name)
	return nil
}
func (v textValue) show(s model.ClientSettings) string { return *v(&s) }

func (v wordsValue) flag(f cli.StringFlag) cli.Flag { return sliceFlag(f) }
func (v wordsValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = strings.Fields(strings.Join(c.StringSlice(name), " "))
	return nil
}
func (v wordsValue) show(s model.ClientSettings) string { return strings.Join(*v(&s), " ") }

func (v linesValue) flag(f cli.StringFlag) cli.Flag { return sliceFlag(f) }
func (v linesValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = nil
	for _, line := range c.StringSlice(name) {
		if line != "" {
			*v(s) = append(*v(s), line)
		}
	}
	return nil
}
func (v linesValue) show(s model.ClientSettings) string { return strings.Join(*v(&s), ", ") }

func (v switchValue) flag(f cli.StringFlag) cli.Flag {
	return &cli.BoolFlag{Name: f.Name, Usage: f.Usage}
}
func (v switchValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = c.Bool(name)
	return nil
}
func (v switchValue) show(s model.ClientSettings) string { return yes(*v(&s)) }

func (v lifeValue) flag(f cli.StringFlag) cli.Flag { return stringFlag(f) }
func (v lifeValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = 0
	if text := c.String(name); text != "" {
		d, err := duration(text)
		if err != nil {
			return err
		}
		*v(s) = int64(d / time.Second)
	}
	return nil
}
func (v lifeValue) show(s model.ClientSettings) string { return span(*v(&s)) }

func (v secondsValue) flag(f cli.StringFlag) cli.Flag { return stringFlag(f) }
func (v secondsValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = nil
	if text := c.String(name); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number of seconds", text)
		}
		*v(s) = &n
	}
	return nil
}
func (v secondsValue) show(s model.ClientSettings) string {
	if *v(&s) == nil {
		return ""
	}
	return strconv.FormatInt(**v(&s), 10)
}

func (v keysValue) flag(f cli.StringFlag) cli.Flag {
	f.TakesFile = true
	return stringFlag(f)
}
func (v keysValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = nil
	path := c.String(name)
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return errors.New(path + ` is not JSON: it must hold a JWK set, {"keys": [...]}`)
	}
	*v(s) = data
	return nil
}
func (v keysValue) show(s model.ClientSettings) string { return string(*v(&s)) }

func (v sheetValue) flag(f cli.StringFlag) cli.Flag {
	f.TakesFile = true
	return stringFlag(f)
}
func (v sheetValue) read(c *cli.Command, name string, s *model.ClientSettings) error {
	*v(s) = ""
	path := c.String(name)
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	*v(s) = string(data)
	return err
}

// show says which one it is: it may be long.
func (v sheetValue) show(s model.ClientSettings) string {
	text := *v(&s)
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%d bytes, SHA-256 %x…", len(text), sum[:6])
}

// span prints seconds; nothing for the server's default.
func span(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return (time.Duration(seconds) * time.Second).String()
}
