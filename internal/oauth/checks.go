package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// draft is an authorization request on its way down the check table.
type draft struct {
	*Authority
	ctx    context.Context
	form   url.Values
	params params
	fault  *Error // the first malformed or repeated parameter
	client *registration.Client
	asked  model.Asked
	way    Return
}

// check is one row of the table.
type check struct {
	name string
	run  func(*draft) *Error
}

// checks is the authorization endpoint: what an authorization request must
// satisfy, in this order. Up to the row "redirect_uri" there is no address to
// trust, and what fails is shown to the person; below it, what fails is sent to
// the client (RFC 6749 §4.1.2.1). A request object that is no good leaves the
// address that stands beside it.
var checks = []check{
	{"client_id", checkClientID},                       // RFC 6749 §2.2, §4.1.1
	{"request, request_uri", checkRequestObject},       // OpenID Connect Core §6, RFC 9101 §6
	{"redirect_uri", checkRedirect},                    // RFC 6749 §3.1.2.3, RFC 9700 §2.1
	{"state and the way back", checkState},             // RFC 6749 §4.1.1
	{"each parameter once", checkParams},               // RFC 6749 §3.1
	{"registration", checkRegistration},                // OpenID Connect Core §7.2.1
	{"response_type", checkResponseType},               // RFC 6749 §3.1.1
	{"response_mode", checkResponseMode},               // OAuth 2.0 Multiple Response Types §2.1
	{"the client's types", checkTypeAllowed},           // RFC 6749 §4.1.2.1
	{"scope", checkScope},                              // RFC 6749 §3.3, OpenID Connect Core §3.1.2.1
	{"redirect_uri with openid", checkRedirectPresent}, // OpenID Connect Core §3.1.2.1
	{"resource", checkResources},                       // RFC 8707 §2.1
	{"code_challenge", checkChallenge},                 // RFC 7636 §4.3, §4.4.1
	{"nonce", checkNonce},                              // OpenID Connect Core §3.1.2.1
	{"prompt", checkPrompt},                            // OpenID Connect Core §3.1.2.1
	{"max_age", checkMaxAge},                           // OpenID Connect Core §3.1.2.1
	{"acr_values", checkACRValues},                     // OpenID Connect Core §3.1.2.1
	{"display", checkDisplay},                          // OpenID Connect Core §3.1.2.1
	{"ui_locales", checkLocales},                       // OpenID Connect Core §3.1.2.1
	{"hints", checkHints},                              // OpenID Connect Core §3.1.2.1
	{"idp_hint", checkUpstreamHint},                    // of our own (RFC 6749 §8.2)
	{"claims", checkClaims},                            // OpenID Connect Core §5.5
}

// repeated reports whether a parameter comes more than once.
func (d *draft) repeated(name string) bool { return len(d.form[name]) > 1 }

func checkClientID(d *draft) *Error {
	if d.repeated("client_id") {
		return fail(InvalidRequest, "The parameter client_id comes more than once")
	}
	if !d.params.has("client_id") {
		if d.form.Has("client_id") && d.fault != nil {
			return d.fault
		}
		return fail(InvalidRequest, "The parameter client_id is missing")
	}
	c, err := d.Registrar.Client(d.ctx, model.ClientID(d.params.get("client_id")))
	if errors.Is(err, store.ErrNotFound) {
		return fail(UnauthorizedClient, "No application is registered here under this client_id")
	}
	if err != nil {
		return inner(err).(*Error)
	}
	d.client = c
	return nil
}

func checkRedirect(d *draft) *Error {
	if d.repeated("redirect_uri") {
		return fail(InvalidRequest, "The parameter redirect_uri comes more than once")
	}
	uri, registered := d.params.get("redirect_uri"), d.client.RedirectURIs
	switch {
	case d.form.Get("redirect_uri") != "" && uri == "":
		return fail(InvalidRequest, "The parameter redirect_uri is malformed or too long")
	case uri == "" && len(registered) == 1:
		uri = registered[0] // RFC 6749 §3.1.2.3: the one that is registered
	case uri == "":
		return fail(InvalidRequest, "The parameter redirect_uri is missing")
	case !d.client.Redirects(uri):
		return fail(InvalidRequest, "The redirect_uri is not registered for this client")
	}
	d.asked.RedirectURI, d.asked.RedirectSent = uri, d.params.has("redirect_uri")
	d.way = Return{URI: uri, Issuer: d.Issuer}
	return nil
}

func checkState(d *draft) *Error {
	d.asked.State = d.params.get("state") // empty if it was malformed or repeated
	d.way.State, d.way.Mode = d.asked.State, mode(d.params)
	return nil
}

func checkParams(d *draft) *Error { return d.fault }

func checkRegistration(d *draft) *Error {
	if d.params.has("registration") {
		return fail(RegistrationUnsupported, "The parameter registration is not supported")
	}
	return nil
}

func checkResponseType(d *draft) *Error {
	if !d.params.has("response_type") {
		return fail(InvalidRequest, "The parameter response_type is missing")
	}
	d.asked.ResponseType = registration.ResponseType(d.params.get("response_type"))
	if d.asked.ResponseType == "" {
		return fail(UnsupportedResponseType, "The response_type %s is not supported", plain(d.params.get("response_type")))
	}
	return nil
}

func checkResponseMode(d *draft) *Error {
	d.asked.ResponseMode = d.way.Mode
	switch asked := d.params.get("response_mode"); {
	case asked != "" && asked != d.way.Mode:
		return fail(InvalidRequest, "The response_mode %s is not supported for this response_type", plain(asked))
	case d.way.Mode == ModeFormPost && !strings.HasPrefix(d.way.URI, "http"):
		return fail(InvalidRequest, "A form cannot be posted to the redirect_uri")
	}
	return nil
}

// checkTypeAllowed: tokens come through the front channel only to a client that
// is registered for it, because there they can leak and be swapped (RFC 9700
// §2.1.2).
func checkTypeAllowed(d *draft) *Error {
	if !slices.Contains(d.client.ResponseTypes, d.asked.ResponseType) {
		return fail(UnauthorizedClient, "The client is not registered for the response_type %s", d.asked.ResponseType)
	}
	return nil
}

func checkScope(d *draft) *Error {
	d.asked.Scope = d.params.list("scope")
	switch {
	case len(d.asked.Scope) == 0:
		return fail(InvalidScope, "The parameter scope is missing") // RFC 6749 §3.3
	case frontTokens(d.asked.ResponseType) && !slices.Contains(d.asked.Scope, ScopeOpenID):
		// OpenID Connect Core §3.2.2.1, §3.3.2.1: these flows are OpenID Connect's.
		return fail(InvalidScope, "The response_type %s needs the scope openid", d.asked.ResponseType)
	}
	if e := allowScope(d.client.Client, d.asked.Scope); e != nil {
		return e
	}
	// RFC 6749 §3.3: what is not granted is not named. OpenID Connect Core §11.
	if !d.outlives(d.client.Client) {
		d.asked.Scope = without(d.asked.Scope, []string{ScopeOffline})
	}
	if len(d.asked.Scope) == 0 {
		return fail(InvalidScope, "The client is given no offline access, and asks for nothing else")
	}
	return nil
}

// outlives reports whether a client's grants with offline_access outlive their
// session. "Refresh tokens issued with the offline_access property normally SHOULD
// NOT be revoked" with it (OpenID Connect Back-Channel Logout §2.7), unless an
// operator wants that a person who has signed out is out.
func (a *Authority) outlives(c model.Client) bool {
	if c.OfflinePolicy != "" {
		return c.OfflinePolicy == model.OfflineSurvives
	}
	return a.OfflineAccess != model.OfflineEnds
}

func checkRedirectPresent(d *draft) *Error {
	if !d.asked.RedirectSent && slices.Contains(d.asked.Scope, ScopeOpenID) {
		return fail(InvalidRequest, "The parameter redirect_uri is required with the scope openid")
	}
	return nil
}

func checkChallenge(d *draft) *Error {
	challenge, method := d.params.get("code_challenge"), d.params.get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return fail(InvalidRequest, "The parameter code_challenge is missing")
	case challenge == "" && d.client.Public():
		return fail(InvalidRequest, "A public client must send a code_challenge") // RFC 9700 §2.1.1
	case challenge == "":
		return nil
	case method != "S256":
		// RFC 7636 §4.3: without a method it is "plain", which is never taken.
		return fail(InvalidRequest, "The code_challenge_method must be S256")
	case !challengeSyntax(challenge):
		return fail(InvalidRequest, "The code_challenge must be 43 characters of base64url")
	}
	d.asked.CodeChallenge = challenge
	return nil
}

// challengeSyntax holds for the base64url of a SHA-256, RFC 7636 §4.2.
func challengeSyntax(s string) bool { return len(s) == 43 && unreserved(s) }

func checkNonce(d *draft) *Error {
	d.asked.Nonce = d.params.get("nonce")
	if d.asked.Nonce == "" && asks(d.asked.ResponseType, "id_token") {
		return fail(InvalidRequest, "The parameter nonce is missing") // OpenID Connect Core §3.2.2.1, §3.3.2.11
	}
	return nil
}

// prompts are the supported values, in the order of the specifications.
func (a *Authority) prompts() []string {
	list := []string{"none", "login", "consent", "select_account"}
	if a.SignUp {
		list = append(list, "create") // Initiating User Registration §4.2
	}
	return list
}

func checkPrompt(d *draft) *Error {
	d.asked.Prompt = d.params.list("prompt")
	for _, p := range d.asked.Prompt {
		// Initiating User Registration §4.1: a value that is not supported is an
		// error, and the description names it.
		if !slices.Contains(d.prompts(), p) {
			return fail(InvalidRequest, "The prompt %s is not supported", plain(p))
		}
	}
	if len(strings.Fields(d.params.get("prompt"))) != len(d.asked.Prompt) {
		return fail(InvalidRequest, "The parameter prompt names a value twice")
	}
	if slices.Contains(d.asked.Prompt, "none") && len(d.asked.Prompt) > 1 {
		return fail(InvalidRequest, "The prompt none stands alone")
	}
	// Initiating User Registration §4: with other values "mutually exclusive
	// conditions can arise"; consent alone is none.
	if slices.Contains(d.asked.Prompt, "create") {
		if slices.Contains(d.asked.Prompt, "login") || slices.Contains(d.asked.Prompt, "select_account") {
			return fail(InvalidRequest, "The prompt create goes with no other one but consent")
		}
		if d.params.has("id_token_hint") {
			return fail(InvalidRequest, "The prompt create is for somebody new, and the id_token_hint names somebody")
		}
	}
	return nil
}

// displays are the looks of the pages, OpenID Connect Core §3.1.2.1. "wap" and
// what is unknown get the page, which asks nothing of a browser.
var displays = []string{"page", "popup", "touch"}

func checkDisplay(d *draft) *Error {
	if asked := d.params.get("display"); asked != "page" && slices.Contains(displays, asked) {
		d.asked.Display = asked
	}
	return nil
}

// checkUpstreamHint keeps the identity provider that the client would send the person
// to. Whether there is such a one the sign-in page sees: a hint is no condition.
func checkUpstreamHint(d *draft) *Error {
	d.asked.UpstreamHint = d.params.get("idp_hint")
	return nil
}

// maxLocales bounds how many languages of a request are kept.
const maxLocales = 10

func checkLocales(d *draft) *Error {
	list := d.params.list("ui_locales")
	d.asked.UILocales = list[:min(len(list), maxLocales)]
	return nil
}
