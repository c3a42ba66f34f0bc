package upstream

import (
	"fmt"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// kind is one way in which providers are spoken to.
type kind struct {
	name    string
	secrets []string // that its connection has, under the names that operators know
	open    func(Config) (Connector, error)
}

// kinds lists all of them.
var kinds = []kind{
	{"oidc", []string{"client_secret", "private_key"}, openOIDC},
	{"oauth2", []string{"client_secret", "private_key"}, openOAuth2},
	{"google", []string{"client_secret"}, openGoogle},
	{"github", []string{"client_secret"}, openGitHub},
	{"microsoft", []string{"client_secret"}, openMicrosoft},
	{"apple", []string{"private_key"}, openApple},
	{"facebook", []string{"client_secret"}, openFacebook},
	{"x", []string{"client_secret"}, openX},
	{"saml", []string{"key", "other_key"}, openSAML},
	{"ldap", []string{"bind_password"}, openLDAP},
}

// Kinds lists the kinds of provider.
func Kinds() []string {
	var list []string
	for _, k := range kinds {
		list = append(list, k.name)
	}
	return list
}

// Secrets lists the names of the secrets of a kind.
func Secrets(name string) []string {
	if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name }); i >= 0 {
		return kinds[i].secrets
	}
	return nil
}

// Makers has, by their names, the secrets of a kind that are ours to make: where an
// operator gives none.
func Makers(name string) map[string]func(now time.Time) (model.Secret, error) {
	if name == "saml" {
		return map[string]func(time.Time) (model.Secret, error){"key": NewKeyPair}
	}
	return nil
}

// Open makes a connector. It asks nobody: what the provider says of itself is fetched
// when it is needed. It returns ErrInvalid for a connection that cannot be one.
func Open(c Config) (Connector, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == c.Kind })
	if i < 0 {
		return nil, ErrInvalid{"kind", fmt.Sprintf("%q is not one of %v", c.Kind, Kinds())}
	}
	return kinds[i].open(c)
}
