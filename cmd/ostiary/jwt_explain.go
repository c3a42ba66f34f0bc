package main

import (
	"crypto"
	"fmt"
	"strings"

	"github.com/ostiary/ostiary/jwa"
)

// meaning explains a member in a few words, and tells where it is defined.
type meaning struct{ words, clause string }

// headerMeanings are the registered members of a header.
var headerMeanings = map[string]meaning{
	"typ":      {"what kind of token it is", "RFC 7515 §4.1.9"},
	"cty":      {"what is inside", "RFC 7515 §4.1.10"},
	"kid":      {"the name of the key", "RFC 7515 §4.1.4"},
	"jku":      {"where to fetch the key set", "RFC 7515 §4.1.2"},
	"jwk":      {"the key itself", "RFC 7515 §4.1.3"},
	"x5u":      {"where to fetch the certificate", "RFC 7515 §4.1.5"},
	"x5c":      {"the certificate of the key", "RFC 7515 §4.1.6"},
	"x5t":      {"the SHA-1 of the certificate", "RFC 7515 §4.1.7"},
	"x5t#S256": {"the SHA-256 of the certificate", "RFC 7515 §4.1.8"},
	"crit":     {"what a recipient must understand", "RFC 7515 §4.1.11"},
	"b64":      {"whether the payload is encoded", "RFC 7797 §3"},
	"zip":      {"it was compressed first", "RFC 7516 §4.1.3"},
	"epk":      {"the sender's key for this one token", "RFC 7518 §4.6.1.1"},
	"apu":      {"who agreed upon the key: the sender", "RFC 7518 §4.6.1.2"},
	"apv":      {"who agreed upon the key: the recipient", "RFC 7518 §4.6.1.3"},
	"iv":       {"the initialization vector of the key", "RFC 7518 §4.7.1.1"},
	"tag":      {"the authentication tag of the key", "RFC 7518 §4.7.1.2"},
	"p2s":      {"the salt of the password", "RFC 7518 §4.8.1.1"},
	"p2c":      {"how often the password is hashed", "RFC 7518 §4.8.1.2"},
	"iss":      {"the claim, repeated in clear", "RFC 7519 §5.3"},
	"sub":      {"the claim, repeated in clear", "RFC 7519 §5.3"},
	"aud":      {"the claim, repeated in clear", "RFC 7519 §5.3"},
}

// claimMeanings are the registered claims that people meet.
var claimMeanings = map[string]meaning{
	"iss": {"who issued it", "RFC 7519 §4.1.1"},
	"sub": {"whom it is about", "RFC 7519 §4.1.2"},
	"aud": {"whom it is for", "RFC 7519 §4.1.3"},
	"exp": {"when it expires", "RFC 7519 §4.1.4"},
	"nbf": {"from when on it is good", "RFC 7519 §4.1.5"},
	"iat": {"when it was issued", "RFC 7519 §4.1.6"},
	"jti": {"its own name", "RFC 7519 §4.1.7"},

	"client_id":             {"the application that got it", "RFC 8693 §4.3"},
	"scope":                 {"what it permits", "RFC 8693 §4.2"},
	"act":                   {"who acts in the subject's place", "RFC 8693 §4.1"},
	"may_act":               {"who may act in the subject's place", "RFC 8693 §4.4"},
	"cnf":                   {"the key that its bearer must prove to have", "RFC 7800 §3.1"},
	"authorization_details": {"what it permits, in detail", "RFC 9396 §9.1"},
	"roles":                 {"the subject's roles", "RFC 9068 §2.2.3.1"},
	"groups":                {"the subject's groups", "RFC 9068 §2.2.3.1"},
	"entitlements":          {"what the subject is entitled to", "RFC 9068 §2.2.3.1"},
	"events":                {"what has happened", "RFC 8417 §2.2"},
	"toe":                   {"when it happened", "RFC 8417 §2.2"},
	"txn":                   {"the transaction it belongs to", "RFC 8417 §2.2"},
	"htm":                   {"the method of the request it is for", "RFC 9449 §4.2"},
	"htu":                   {"the address of the request it is for", "RFC 9449 §4.2"},
	"ath":                   {"the hash of the access token", "RFC 9449 §4.2"},

	"auth_time": {"when the person signed in", "OpenID Connect Core §2"},
	"nonce":     {"ties it to one request", "OpenID Connect Core §2"},
	"acr":       {"how well the person was authenticated", "OpenID Connect Core §2"},
	"amr":       {"how the person was authenticated", "OpenID Connect Core §2"},
	"azp":       {"the application that it was issued to", "OpenID Connect Core §2"},
	"at_hash":   {"half the hash of the access token", "OpenID Connect Core §3.1.3.6"},
	"c_hash":    {"half the hash of the code", "OpenID Connect Core §3.3.2.11"},
	"sid":       {"the session", "OpenID Connect Front-Channel Logout §3"},

	"name":                  {"the full name", profileClaims},
	"given_name":            {"the given name", profileClaims},
	"family_name":           {"the family name", profileClaims},
	"preferred_username":    {"the login name; others may have it too", profileClaims},
	"picture":               {"the address of a picture", profileClaims},
	"email":                 {"the e-mail address", profileClaims},
	"email_verified":        {"whether that address was verified", profileClaims},
	"phone_number":          {"the telephone number", profileClaims},
	"phone_number_verified": {"whether that number was verified", profileClaims},
	"locale":                {"the language", profileClaims},
	"zoneinfo":              {"the time zone", profileClaims},
	"updated_at":            {"when these data changed", profileClaims},
}

const profileClaims = "OpenID Connect Core §5.1"

// dates are the claims that are points in time, with what to say of one that
// has passed and of one that is to come.
var dates = map[string]struct{ past, future string }{
	"exp":        {"expired", "expires"},
	"nbf":        {"began", "begins"},
	"iat":        {"issued", "issued"},
	"auth_time":  {"signed in", "signed in"},
	"updated_at": {"changed", "changed"},
	"toe":        {"happened", "happens"},
}

// schemes say what makes signatures, and where that is defined.
var schemes = map[jwa.Scheme]meaning{
	jwa.HMAC:     {"HMAC, a secret that both sides have", "RFC 7518 §3.2"},
	jwa.PKCS1v15: {"RSA signature (PKCS #1 v1.5)", "RFC 7518 §3.3"},
	jwa.ECDSA:    {"ECDSA signature", "RFC 7518 §3.4"},
	jwa.PSS:      {"RSA signature (PSS)", "RFC 7518 §3.5"},
	jwa.Edwards:  {"EdDSA signature", "RFC 8037 §3.1"},
	jwa.Lattice:  {"ML-DSA signature", "RFC 9964"},
}

// modes say how the key of an encrypted message reaches its recipient.
var modes = map[jwa.Mode]meaning{
	jwa.Direct:        {"a shared secret encrypts the content", "RFC 7518 §4.5"},
	jwa.Wrap:          {"a shared secret wraps the key", "RFC 7518 §4.4"},
	jwa.WrapGCM:       {"a shared secret wraps the key", "RFC 7518 §4.7"},
	jwa.OAEP:          {"the key is encrypted with RSA", "RFC 7518 §4.3"},
	jwa.Agreement:     {"the key is agreed upon", "RFC 7518 §4.6"},
	jwa.AgreementWrap: {"a key that is agreed upon wraps the key", "RFC 7518 §4.6"},
	jwa.Password:      {"a password wraps the key", "RFC 7518 §4.8"},
	jwa.PKCS1v15Key:   {"the key is encrypted with RSA, the broken way", "RFC 7518 §4.2"},
}

// explainAlgorithm explains "alg".
func explainAlgorithm(name string) meaning {
	alg := jwa.Algorithm(name)
	if name == "none" {
		return meaning{"no signature at all", "RFC 7518 §3.6"}
	}
	if row, _ := alg.Signature(); row.Name != "" {
		m := schemes[row.Scheme]
		if row.Curve != "" && row.Scheme == jwa.ECDSA {
			m.words += " on " + string(row.Curve)
		}
		return m
	}
	if row, _ := alg.KeyManagement(); row.Name != "" {
		m := modes[row.Mode]
		if row.Mode == jwa.OAEP && row.Hash != crypto.SHA1 {
			m.words += " and " + row.Hash.String()
		}
		return m
	}
	return meaning{"an unknown algorithm", ""}
}

// explainHeader explains a member of a header; value is its JSON text.
func explainHeader(name, value string) meaning {
	text := strings.Trim(value, `"`)
	switch name {
	case "alg":
		return explainAlgorithm(text)
	case "enc":
		row, ok := jwa.Encryption(text).Content()
		if !ok {
			return meaning{"an unknown algorithm", ""}
		}
		if row.Hash != 0 {
			return meaning{fmt.Sprintf("the content: AES-CBC, then HMAC with %s", row.Hash), "RFC 7518 §5.2"}
		}
		return meaning{fmt.Sprintf("the content: AES-GCM with %d bits", 8*row.KeySize), "RFC 7518 §5.3"}
	case "typ":
		if m, ok := typeMeanings[strings.TrimPrefix(strings.ToLower(text), "application/")]; ok {
			return m
		}
	}
	return headerMeanings[name]
}

// typeMeanings are the values of "typ" that people meet.
var typeMeanings = map[string]meaning{
	"jwt":          {"a JSON Web Token", "RFC 7519 §5.1"},
	"at+jwt":       {"an access token", "RFC 9068 §2.1"},
	"dpop+jwt":     {"a proof of possession", "RFC 9449 §4.2"},
	"logout+jwt":   {"a logout token", "OpenID Connect Back-Channel Logout §2.4"},
	"secevent+jwt": {"a security event", "RFC 8417 §2.3"},
}
