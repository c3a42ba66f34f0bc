package registration

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
)

// AssertionAlgorithms are the algorithms in which a client may sign with a key
// of its own.
var AssertionAlgorithms = []jwa.Algorithm{
	jwa.ES256, jwa.ES384, jwa.ES512, jwa.EdDSA, jwa.PS256, jwa.PS384, jwa.PS512, jwa.RS256, jwa.RS384, jwa.RS512,
}

// SecretAlgorithms are those in which it may sign with its secret.
var SecretAlgorithms = []jwa.Algorithm{jwa.HS256, jwa.HS384, jwa.HS512}

// authMethod is one way in which a client may prove itself.
type authMethod struct {
	name       string
	secret     bool            // it has secrets
	algorithms []jwa.Algorithm // of the assertion, where it sends one
	missing    string          // why nobody can be registered for it
}

// noCertificates is what has to come first before a client can prove itself by
// its certificate, RFC 8705 §2.
const noCertificates = "this server does not see the certificates of clients: TLS ends in front of it"

// authMethods is the registry of RFC 7591 §4.2, as far as it is known here. The
// algorithms of the two kinds of assertions have no member in common, and the
// method is the one that is registered: nothing in a request can make a public
// key serve as a secret (RFC 8725 §3.1).
var authMethods = []authMethod{
	{name: model.AuthBasic, secret: true},                                   // RFC 6749 §2.3.1
	{name: model.AuthPost, secret: true},                                    // RFC 6749 §2.3.1
	{name: model.AuthSecretJWT, secret: true, algorithms: SecretAlgorithms}, // OpenID Connect Core §9
	{name: model.AuthPrivateKey, algorithms: AssertionAlgorithms},           // OpenID Connect Core §9
	{name: model.AuthTLS, missing: noCertificates},                          // RFC 8705 §2.1
	{name: model.AuthNone},                                                  // RFC 7591 §2
}

// AuthMethods are the ways in which a client may prove itself.
var AuthMethods = offered()

func offered() []string {
	var names []string
	for _, m := range authMethods {
		if m.missing == "" {
			names = append(names, m.name)
		}
	}
	return names
}

// method returns the row of a method; the zero one for an unknown name.
func method(name string) authMethod {
	i := slices.IndexFunc(authMethods, func(m authMethod) bool { return m.name == name })
	if i < 0 {
		return authMethod{}
	}
	return authMethods[i]
}

func usesSecret(name string) bool { return method(name).secret }

// UsesSecret reports whether the client proves itself by sending a secret, or by
// signing with one.
func (c *Client) UsesSecret() bool { return usesSecret(c.AuthMethod) }

// AssertionAlgorithms are those in which the client signs what it proves itself
// with; nil: it signs nothing.
func (c *Client) AssertionAlgorithms() []jwa.Algorithm {
	all := method(c.AuthMethod).algorithms
	if all != nil && c.AuthAlgorithm != "" { // OpenID Connect Dynamic Client Registration §2
		return []jwa.Algorithm{jwa.Algorithm(c.AuthAlgorithm)}
	}
	return all
}

// checkAuthMethod holds how a client proves itself to what is offered.
func checkAuthMethod(s model.ClientSettings) error {
	m := method(s.AuthMethod)
	switch {
	case m.missing != "":
		return invalid("token_endpoint_auth_method", "%s cannot be had: %s", m.name, m.missing)
	case m.name == "":
		return invalid("token_endpoint_auth_method", "it must be one of %s", strings.Join(AuthMethods, ", "))
	}
	allowed := m.algorithms
	if allowed == nil { // it says nothing then, and shall at least make sense
		allowed = slices.Concat(AssertionAlgorithms, SecretAlgorithms)
	}
	if alg := jwa.Algorithm(s.AuthAlgorithm); alg != "" && !slices.Contains(allowed, alg) {
		return invalid("token_endpoint_auth_signing_alg", "it must be one of %s", join(allowed))
	}
	switch s.AssertionAudience {
	case "", model.AudienceIssuer, model.AudienceEndpoint:
		return nil
	}
	return invalid("assertion_audience", "it must be %s or %s", model.AudienceIssuer, model.AudienceEndpoint)
}
