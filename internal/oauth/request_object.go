package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// requestObjectKind is the "typ" of a request object that says what it is, RFC
// 9101 §10.8.
const requestObjectKind = "oauth-authz-req+jwt"

// maxRequestObject bounds a request object that is fetched, in bytes.
const maxRequestObject = 64 << 10

// requestObjectTypes are the media types that one may be served as: its own, and
// those of any JWT and any JWS (RFC 9101 §10.8, RFC 7519 §10.3, RFC 7515 §9.2).
var requestObjectTypes = []string{"application/oauth-authz-req+jwt", "application/jwt", "application/jose"}

// requestObject is the claims of a request object whose signature is good.
type requestObject struct {
	claims map[string]json.RawMessage
	alone  bool // nothing beside it counts
}

// checkRequestObject puts the parameters of a signed request object in the place
// of those that came beside it, OpenID Connect Core §6 and RFC 9101.
//
// What is inside wins, redirect_uri included. The two specifications disagree
// about what is outside only: OpenID Connect Core §6.1 lets it fill the gaps, so
// that an object can be signed once and used with many a state; RFC 9101 §6.3 has
// it ignored. Both are done. The second goes for clients that must send request
// objects, and for objects that call themselves ones of RFC 9101; there, whoever
// changes an address on its way changes nothing. response_type and scope may then
// be left out outside, as RFC 9101 §5 has it.
//
// Until the object is verified nothing in it is trusted, least of all an address:
// its faults are told where the parameters beside it say, if that address is
// registered, and shown otherwise.
func checkRequestObject(d *draft) *Error {
	e := d.takeRequestObject()
	if e != nil && checkRedirect(d) == nil {
		checkState(d)
	}
	return e
}

func (d *draft) takeRequestObject() *Error {
	text, uri := d.params.get("request"), d.params.get("request_uri")
	switch {
	case text != "" && uri != "":
		return fail(InvalidRequest, "The parameters request and request_uri exclude each other") // RFC 9101 §5
	case uri != "":
		var e *Error
		if text, e = d.fetchRequestObject(uri); e != nil {
			return e
		}
	case text == "" && d.client.RequireRequestObject:
		return fail(InvalidRequest, "The client must send its requests as signed request objects") // RFC 9101 §10.5
	case text == "":
		return nil
	}
	o, e := d.verifyRequestObject(text)
	if e != nil {
		return e
	}
	return d.adopt(o)
}

// fetchRequestObject gets a request object by reference, OpenID Connect Core §6.2.
// Only registered addresses are gone to. Their fragments do not count: the hash
// that may stand there tells a cache that the content has changed, and here
// nothing is kept; what the content must be is said by its signature.
func (d *draft) fetchRequestObject(uri string) (string, *Error) {
	same := func(registered string) bool { return withoutFragment(registered) == withoutFragment(uri) }
	if !slices.ContainsFunc(d.client.RequestURIs, same) {
		return "", fail(InvalidRequestURI, "The request_uri is not registered for this client")
	}
	doc, err := fetch.Get(d.ctx, d.Fetch, uri, fetch.Limits{Bytes: maxRequestObject, Types: requestObjectTypes})
	if err != nil {
		return "", &Error{Code: InvalidRequestURI, Description: "The request_uri is of no use: " + err.Error(), cause: err}
	}
	return strings.TrimSpace(string(doc.Body)), nil
}

func withoutFragment(uri string) string {
	uri, _, _ = strings.Cut(uri, "#")
	return uri
}

// verifyRequestObject holds a request object to RFC 9101 §6.2 and to what it says
// about itself. An encrypted one is malformed here: that it can be decrypted
// proves nothing about who wrote it.
func (d *draft) verifyRequestObject(text string) (requestObject, *Error) {
	if d.client.Keys == nil {
		return requestObject{}, fail(InvalidRequestObject, "The client is registered without keys, so it can sign no request object")
	}
	algorithms := registration.AssertionAlgorithms
	if alg := d.client.RequestObjectAlgorithm; alg != "" { // OpenID Connect Dynamic Client Registration §2
		algorithms = []jwa.Algorithm{jwa.Algorithm(alg)}
	}
	t, err := jwt.Verify[map[string]json.RawMessage](d.ctx, text, d.client.Keys, jwt.VerifyOptions{
		Algorithms:             algorithms,
		AllowMissingExpiration: true, // RFC 9101 §4 demands none
		Leeway:                 model.Leeway,
		Now:                    d.Now,
	})
	if err != nil {
		return requestObject{}, &Error{Code: InvalidRequestObject, Description: "The request object " + faultOf(err), cause: err}
	}
	if !isKind(t.Header.Type, requestObjectKind) {
		return requestObject{}, fail(InvalidRequestObject, "The typ of the request object is that of something else")
	}
	o := requestObject{claims: t.Claims}
	o.alone = d.client.RequireRequestObject || !isKind(t.Header.Type, "jwt")
	return o, d.checkClaims(o)
}

// faultOf says what is wrong with a token in words that repeat nothing of it.
func faultOf(err error) string {
	for _, f := range []struct {
		kind error
		text string
	}{
		{jwt.ErrAlgorithm, "is not signed in an algorithm that the client is registered for"},
		{jwt.ErrSignature, "is not signed by the client"},
		{jwt.ErrKey, "is not signed with a key of the client"},
		{jwk.ErrNotFound, "is not signed with a key of the client"},
		{jwk.ErrUnavailable, "cannot be verified: the keys of the client cannot be fetched"},
		{jwt.ErrExpired, "has expired"},
		{jwt.ErrNotYetValid, "is not valid yet"},
		{jwt.ErrCritical, "marks something as critical that is not understood"},
		{jwt.ErrClaims, "has a claim of the wrong type"},
	} {
		if errors.Is(err, f.kind) {
			return f.text
		}
	}
	return "is not a signed JWT"
}

// checkClaims checks what a request object says of itself.
func (d *draft) checkClaims(o requestObject) *Error {
	client := string(d.client.ID)
	var audience jwt.Audience
	if err := json.Unmarshal(o.claims["aud"], &audience); o.has("aud") && err != nil {
		return fail(InvalidRequestObject, "The aud of the request object is no audience")
	}
	inside, outside := o.text("response_type"), d.params.get("response_type")
	for _, check := range []struct {
		wrong bool
		text  string
	}{
		{o.has("request") || o.has("request_uri"), "The request object must not refer to another one"},                  // RFC 9101 §4
		{o.has("client_id") && o.text("client_id") != client, "The client_id in the request object is another one"},     // RFC 9101 §6.3
		{o.alone && !o.has("client_id"), "The client_id is missing in the request object"},                              // RFC 9101 §6.3
		{o.has("iss") && o.text("iss") != client, "The iss of the request object is not the client"},                    // RFC 9101 §4
		{o.has("aud") && !slices.Contains(audience, d.Issuer), "The aud of the request object is not this issuer"},      // RFC 9101 §4
		{o.has("sub") && o.text("sub") == client, "The sub of the request object makes it an assertion of the client"},  // RFC 9101 §10.8
		{!o.alone && inside != "" && outside != "" && !sameWords(inside, outside), "The response_type differs outside"}, // OpenID Connect Core §6.1
	} {
		if check.wrong {
			return fail(InvalidRequestObject, "%s", check.text)
		}
	}
	return nil
}

func (o requestObject) has(name string) bool { _, ok := o.claims[name]; return ok }

// text returns a claim that is a string, and "" for any other.
func (o requestObject) text(name string) string {
	var s string
	if json.Unmarshal(o.claims[name], &s) != nil {
		return ""
	}
	return s
}

// sameWords compares response types, RFC 6749 §3.1.1: their order does not matter.
func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// adopt replaces the parameters of the request by those of a request object. They
// pass the same bounds as if they had come in a form.
func (d *draft) adopt(o requestObject) *Error {
	form := url.Values{"client_id": d.form["client_id"]}
	if !o.alone {
		maps.Copy(form, d.form)
		form.Del("request")
		form.Del("request_uri")
	}
	for _, name := range slices.Sorted(maps.Keys(o.claims)) {
		if slices.Contains(ownClaims, name) {
			continue
		}
		values, ok := parameter(name, o.claims[name])
		if _, known := limits[name]; !ok && known {
			return fail(InvalidRequestObject, "The parameter %s in the request object has the wrong JSON type", name)
		}
		if ok {
			form[name] = values
		}
	}
	p, fault := parse(form)
	d.form, d.params = form, p
	if d.fault == nil {
		d.fault = fault
	}
	return nil
}

// ownClaims are those that a request object has as a JWT (RFC 7519 §4.1), and
// which are no parameters.
var ownClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// parameter turns a claim into the values of a form: RFC 9101 §4 has strings as
// JSON strings and numbers as JSON numbers, OpenID Connect Core §6.1 objects as
// JSON objects.
func parameter(name string, raw json.RawMessage) ([]string, bool) {
	var text string
	var list []string
	switch {
	case name == "max_age":
		return []string{string(raw)}, len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
	case name == "claims" || name == "registration":
		var flat bytes.Buffer
		err := json.Compact(&flat, raw)
		return []string{flat.String()}, err == nil && flat.Bytes()[0] == '{'
	case name == "resource" && json.Unmarshal(raw, &list) == nil: // RFC 8707 §2: there may be several
		return list, true
	}
	ok := len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil
	return []string{text}, ok
}
