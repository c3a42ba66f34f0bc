package web

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/oauth"
)

// sentence is an English sentence of oauth in the other languages: the text that
// says it, and what its words are. A word that the sentence has no value for has
// that of parameter.
type sentence struct {
	key       string
	words     []string // of oauth.Error.Values, in order
	parameter string
}

// refusals has the sentences that a person may be shown (RFC 6749 §4.1.2.1), by
// oauth.Error.Format. A sentence that is not here is told by its code, and in
// English beside that.
var refusals = map[string]sentence{
	"The parameter %s is missing":                     {"refusal.missing", []string{"parameter"}, ""},
	"The parameter client_id is missing":              {"refusal.missing", nil, "client_id"},
	"The parameter redirect_uri is missing":           {"refusal.missing", nil, "redirect_uri"},
	"The parameter %s comes more than once":           {"refusal.repeated", []string{"parameter"}, ""},
	"The parameter client_id comes more than once":    {"refusal.repeated", nil, "client_id"},
	"The parameter redirect_uri comes more than once": {"refusal.repeated", nil, "redirect_uri"},
	"The parameter %s comes more than %d times":       {"refusal.many", []string{"parameter", "count"}, ""},
	"The parameter %s is longer than %d bytes":        {"refusal.long", []string{"parameter", "count"}, ""},
	"The parameter %s is not plain UTF-8 text":        {"refusal.text", []string{"parameter"}, ""},

	"The parameter redirect_uri is malformed or too long":         {"refusal.redirect.form", nil, ""},
	"The redirect_uri is not registered for this client":          {"refusal.redirect", nil, ""},
	"The redirect_uri is no longer registered for this client":    {"refusal.redirect.gone", nil, ""},
	"No application is registered here under this client_id":      {"refusal.client", nil, ""},
	"The application is no longer registered here":                {"refusal.client.gone", nil, ""},
	"The parameters request and request_uri exclude each other":   {"refusal.request.two", nil, ""},
	"The client must send its requests as signed request objects": {"refusal.request.none", nil, ""},

	"This sign-in has ended, took too long, or was begun in another browser": {"refusal.gone", nil, ""},
	"Too many sign-ins wait for their person: try again in a minute":         {"refusal.crowd", nil, ""},
	"Too many wrong codes: try again in a few minutes":                       {"refusal.codes", nil, ""},
	"Too many requests came from this address: try again later":              {"refusal.limit.address", nil, ""},
	"Too many sign-ins were begun at this address: try again later":          {"refusal.limit.begun", nil, ""},
	"Too many requests of this account: try again later":                     {"refusal.limit.account", nil, ""},

	"The server cannot reach its database now: try again in a moment":                       {"refusal.away", nil, ""},
	"The server lost its database while it did this, and does not know whether it was done": {"refusal.doubt", nil, ""},

	"The person cannot sign in here in any of the ways that are required": {"refusal.unmet", nil, ""},

	"The id_token_hint is not an ID token of this server":              {"refusal.hint", nil, ""},
	"The client_id and the id_token_hint differ":                       {"refusal.hint.client", nil, ""},
	"A post_logout_redirect_uri needs an id_token_hint or a client_id": {"refusal.back.client", nil, ""},
	"The post_logout_redirect_uri is not registered for this client":   {"refusal.back", nil, ""},
}

// refusalCodes has what is said where there is no sentence.
var refusalCodes = map[oauth.Code]string{
	oauth.ServerError:          "refusal.server",
	oauth.TooManyRequests:      "refusal.busy",
	oauth.InvalidClient:        "refusal.document",
	oauth.InvalidRequestObject: "refusal.request",
	oauth.InvalidRequestURI:    "refusal.request.uri",
}

// refusal says to the person who sent r what is wrong. Who wrote the description
// wrote English, so that is not made anew.
func (p *pages) refusal(r *http.Request, e *oauth.Error) string {
	if p.edition(r).words.Tag == language.Source {
		return e.Description
	}
	s, known := refusals[e.Format]
	if !known {
		s.key = refusalCodes[e.Code]
		if s.key == "" {
			s.key = "refusal.other"
		}
		return p.text(r, s.key)
	}
	pairs := []string{"parameter", s.parameter}
	if len(s.words) > 0 {
		pairs = nil
	}
	for i, word := range s.words {
		pairs = append(pairs, word, fmt.Sprint(e.Values[i]))
	}
	return p.text(r, s.key, pairs...)
}

// flaws says what is wrong with what somebody typed, by the field of the form and
// the reason.
var flaws = map[account.ErrInvalid]string{
	{Field: "login", Reason: account.Missing}:       "flaw.login.missing",
	{Field: "login", Reason: account.TooLong}:       "flaw.login.long",
	{Field: "login", Reason: account.NotText}:       "flaw.login.text",
	{Field: "login", Reason: account.NotLogin}:      "flaw.login.text",
	{Field: "login", Reason: account.NotEmailLogin}: "flaw.email",
	{Field: "email", Reason: account.NotEmail}:      "flaw.email",
	{Field: "email", Reason: account.ClaimLong}:     "flaw.email",
	{Field: "email", Reason: account.NotText}:       "flaw.email",
	{Field: "name", Reason: account.TooLong}:        "flaw.name.long",
	{Field: "name", Reason: account.ClaimLong}:      "flaw.name.long",
	{Field: "name", Reason: account.NotText}:        "flaw.name.text",
	{Field: "name", Reason: account.NotOneLine}:     "flaw.name.text",

	{Field: "password", Reason: account.Missing}:          "flaw.password.missing",
	{Field: "password", Reason: account.PasswordShort}:    "flaw.password.short",
	{Field: "password", Reason: account.PasswordCommon}:   "flaw.password.common",
	{Field: "password", Reason: account.PasswordPersonal}: "flaw.password.personal",
	{Field: "password", Reason: account.PasswordLong}:     "flaw.password.long",
	{Field: "password", Reason: account.NotText}:          "flaw.password.text",
}

// claimFlaws says what is wrong with a field of a profile, by the reason.
var claimFlaws = map[account.Reason]string{
	account.TooLong:       "account.flaw.long",
	account.ClaimLong:     "account.flaw.long",
	account.NotText:       "account.flaw.text",
	account.NotOneLine:    "account.flaw.line",
	account.NotLines:      "account.flaw.text",
	account.NotWebAddress: "account.flaw.address",
	account.NotDate:       "account.flaw.date",
	account.NotZone:       "account.flaw.zone",
	account.NotLocale:     "account.flaw.locale",
	account.NotPhone:      "account.flaw.phone",
	account.Unseen:        "account.flaw.unseen",
	account.Mixed:         "account.flaw.mixed",
}

// flaw says to the person who sent r what is wrong with what they typed.
func (p *pages) flaw(r *http.Request, wrong account.ErrInvalid) string {
	key, ok := flaws[wrong]
	if !ok {
		key, ok = claimFlaws[wrong.Reason]
	}
	switch {
	case !ok:
		return p.text(r, "flaw.other")
	case wrong.Reason == account.PasswordShort:
		return p.text(r, key, "count", strconv.Itoa(p.passwordLength))
	}
	return p.text(r, key)
}
