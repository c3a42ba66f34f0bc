package upstream

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/internal/model"
)

// facebookConnection is the connection of Facebook Login. Its secret is client_secret, the
// app secret.
type facebookConnection struct {
	ClientID string `json:"client_id"` // the app ID
	// GraphVersion is that of the Graph API, each of which is there for about two years;
	// empty: v23.0.
	GraphVersion string   `json:"graph_version,omitempty"`
	Scopes       []string `json:"scopes,omitempty"` // empty: public_profile and email
	Fields       []string `json:"fields,omitempty"` // of the person, besides those of everybody

	AllowInternal bool `json:"allow_internal,omitempty"`
}

const facebookVersion = "v23.0"

var (
	graphVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v[1-9][0-9]?\.[0-9]$`) })
	graphField   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_]{1,40}$`) })
)

type facebook struct {
	config Config
	me     string
	fields string
	secret model.Secret
}

func openFacebook(c Config) (Connector, error) {
	var o facebookConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	if o.GraphVersion == "" {
		o.GraphVersion = facebookVersion
	}
	if !graphVersion().MatchString(o.GraphVersion) {
		return nil, ErrInvalid{"graph_version", "is written like " + facebookVersion}
	}
	fields := []string{"id", "name", "first_name", "last_name", "middle_name", "email", "picture.type(large)"}
	for _, field := range o.Fields {
		if !graphField().MatchString(field) {
			return nil, ErrInvalid{"fields", "are names such as birthday"}
		}
		if !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"public_profile", "email"}
	}
	f := &facebook{
		config: c, me: "https://graph.facebook.com/" + o.GraphVersion + "/me", fields: strings.Join(fields, ","),
		secret: c.Secrets["client_secret"],
	}
	k := client.Config{
		Issuer: "https://www.facebook.com", ClientID: o.ClientID, ClientSecret: f.secret.Reveal(), AuthMethod: client.AuthPost, Scopes: o.Scopes,
		Metadata: &client.Metadata{
			AuthorizationEndpoint: "https://www.facebook.com/" + o.GraphVersion + "/dialog/oauth",
			TokenEndpoint:         "https://graph.facebook.com/" + o.GraphVersion + "/oauth/access_token",
		},
	}
	connector := &oauth2{wishes: facebookWishes, person: f.person}
	return connector.open(c, k)
}

// facebookWishes: what is elsewhere prompt is auth_type there. "rerequest" asks again for
// what was declined, "reauthenticate" for the password.
func facebookWishes(w Wish) url.Values {
	switch {
	case slices.Contains(w.Prompt, "login"):
		return url.Values{"auth_type": {"reauthenticate"}}
	case slices.Contains(w.Prompt, "consent"):
		return url.Values{"auth_type": {"rerequest"}}
	}
	return nil
}

// person: every request carries a proof that whoever sends it has the app secret, so that
// a token that was stolen is worth nothing elsewhere. Facebook does not say that it has
// verified an address; an operator may trust it (trust_mail).
func (f *facebook) person(ctx context.Context, access string) (any, map[string]any, error) {
	mac := hmac.New(sha256.New, []byte(f.secret.Reveal()))
	mac.Write([]byte(access))
	q := url.Values{"fields": {f.fields}, "appsecret_proof": {hex.EncodeToString(mac.Sum(nil))}}
	v, err := f.config.ask(ctx, question{address: f.me + "?" + q.Encode(), access: access})
	if err != nil {
		return nil, nil, err
	}
	claims, ok := v.(map[string]any)
	if !ok {
		return nil, nil, failed(Unavailable, "graph.facebook.com answers with something else than an object")
	}
	subject, picture := claims["id"], path{{name: "picture"}, {name: "data"}, {name: "url"}}.in(claims)
	delete(claims, "email_verified")
	for claim, member := range map[string]string{"given_name": "first_name", "family_name": "last_name", "middle_name": "middle_name"} {
		if s := text(claims, member); s != "" {
			claims[claim] = s
		}
	}
	delete(claims, "picture")
	if s, ok := picture.(string); ok {
		claims["picture"] = s
	}
	return subject, claims, nil
}
