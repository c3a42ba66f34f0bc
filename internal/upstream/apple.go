package upstream

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// appleConnection is the connection of Sign in with Apple. Its secret is private_key, the
// .p8 file that Apple lets one download.
type appleConnection struct {
	ClientID string   `json:"client_id"` // the Services ID
	TeamID   string   `json:"team_id"`
	KeyID    string   `json:"key_id"`
	Scopes   []string `json:"scopes,omitempty"` // empty: name and email

	AllowInternal bool `json:"allow_internal,omitempty"`
}

const (
	appleIssuer = "https://appleid.apple.com"
	// appleSecretLife is how long a secret is good, which is used at once. Apple takes
	// up to six months.
	appleSecretLife = 5 * time.Minute
	maxAppleUser    = 4 << 10 // bytes
	maxAppleName    = 100     // characters of one part
)

var appleID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z0-9]{10}$`) })

func openApple(c Config) (Connector, error) {
	var o appleConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	if !appleID().MatchString(o.TeamID) || !appleID().MatchString(o.KeyID) {
		return nil, ErrInvalid{"team_id", "and key_id have ten capital letters and digits"}
	}
	key, err := jwk.ParsePEM([]byte(c.Secrets["private_key"].Reveal()), jwk.Params{ID: o.KeyID, Algorithm: "ES256"})
	if err != nil || !key.Private() {
		return nil, ErrInvalid{"private_key", "is not the .p8 file of the key"}
	}
	if o.Scopes == nil {
		o.Scopes = []string{"name", "email"}
	}
	connector := &oidc{
		carries:    carries{}, // it documents none of them
		noUserinfo: true,      // there is none
		settle:     appleSettles,
		extra:      url.Values{},
	}
	// It tells names and addresses by form_post or not at all.
	if slices.Contains(o.Scopes, "name") || slices.Contains(o.Scopes, "email") {
		connector.extra.Set("response_mode", "form_post")
	}
	return connector.open(c, client.Config{
		Issuer: appleIssuer, ClientID: o.ClientID, AuthMethod: client.AuthPost, Scopes: append([]string{"openid"}, o.Scopes...),
		NewSecret: func() (string, error) {
			return jwt.Sign(nil, key, jwt.SignOptions{
				Issuer: o.TeamID, Subject: o.ClientID, Audience: []string{appleIssuer}, ExpiresIn: appleSecretLife, Now: c.Now,
			})
		},
	})
}

// appleSettles reads the parameter user, which comes at the first sign-in and never again.
// Nothing signs it, and the browser could have changed it: so the name is taken from it,
// which people may choose, and never the address, which the ID token has.
func appleSettles(p *Person, a Answer) error {
	told := a.Values.Get("user")
	if told == "" || len(told) > maxAppleUser {
		return nil
	}
	v, err := readJSON([]byte(told))
	if err != nil {
		return caused(Untrusted, "the parameter user: "+err.Error(), err)
	}
	var parts []string
	for _, part := range []struct{ claim, name string }{{"given_name", "firstName"}, {"family_name", "lastName"}} {
		s, _ := member(member(v, "name"), part.name).(string)
		if s = strings.TrimSpace(s); s == "" || len(s) > 4*maxAppleName {
			continue
		}
		p.Claims[part.claim] = s
		parts = append(parts, s)
	}
	if len(parts) > 0 {
		p.Claims["name"] = strings.Join(parts, " ")
	}
	return nil
}
