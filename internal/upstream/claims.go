package upstream

import (
	"encoding/json"
	"strings"
)

// protocol are claims of an ID token that are about the token, and none of which another
// answer may set (OpenID Connect Core §2, §5.3.2).
var protocol = map[string]bool{
	"iss": true, "sub": true, "aud": true, "azp": true, "exp": true, "iat": true, "nbf": true, "jti": true, "nonce": true,
	"auth_time": true, "acr": true, "amr": true, "sid": true, "at_hash": true, "c_hash": true, "s_hash": true,
}

// Claims that say how far another one is known to be true.
var verifiedBy = map[string]string{"email": "email_verified", "phone_number": "phone_number_verified"}

// readClaims reads an object of claims.
func readClaims(text []byte) (map[string]any, error) {
	v, err := readJSON(text)
	if err != nil {
		return nil, caused(Untrusted, "claims: "+err.Error(), err)
	}
	claims, ok := v.(map[string]any)
	if !ok {
		return nil, failed(Untrusted, "claims: they are not an object")
	}
	return claims, nil
}

// addClaims adds what another answer tells. An address and whether it was verified come
// from one answer, or else one would vouch for the address of the other.
func addClaims(claims, more map[string]any) {
	for name, verified := range verifiedBy {
		if _, there := more[name]; there {
			delete(claims, verified)
		} else {
			delete(more, verified)
		}
	}
	for name, v := range more {
		if !protocol[name] {
			claims[name] = v
		}
	}
}

// settleClaims leaves what is about the person, with "email_verified" and
// "phone_number_verified" as booleans: some providers write "true". What is anything
// else, or vouches for nothing, is not true.
func settleClaims(claims map[string]any) error {
	for name := range protocol {
		if name != "iss" && name != "sub" && name != "acr" && name != "amr" {
			delete(claims, name)
		}
	}
	for name, verified := range verifiedBy {
		value, there := claims[verified]
		address, ok := claims[name].(string)
		if !ok || address == "" {
			delete(claims, name)
			delete(claims, verified)
		} else if there {
			claims[verified] = value == true || value == "true"
		}
	}
	return boundClaims(claims)
}

// text returns a claim that is a string, "" where it is none.
func text(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}

// subjectOf reads who somebody is, which is a text or an integer.
func subjectOf(v any) (string, error) {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
		if strings.ContainsAny(s, ".eE") {
			return "", failed(Untrusted, "the subject is not a whole number")
		}
	}
	if s == "" || len(s) > 255 { // OpenID Connect Core §2
		return "", failed(Untrusted, "the subject is missing or too long")
	}
	return s, nil
}
