package upstream

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// xConnection is the connection of X, which was Twitter. Its secret is client_secret, of
// an app that is a confidential client; a public one has none.
type xConnection struct {
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes,omitempty"` // empty: tweet.read and users.read, which are needed, and users.email

	AllowInternal bool `json:"allow_internal,omitempty"`
}

type x struct {
	config Config
	fields []string
}

func openX(c Config) (Connector, error) {
	var o xConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"tweet.read", "users.read", "users.email"}
	}
	for _, needed := range []string{"tweet.read", "users.read"} {
		if !slices.Contains(o.Scopes, needed) {
			return nil, ErrInvalid{"scopes", "must have " + needed + ", or nobody is told who signed in"}
		}
	}
	k := client.Config{
		Issuer: "https://x.com", ClientID: o.ClientID, ClientSecret: c.Secrets["client_secret"].Reveal(), Scopes: o.Scopes,
		// A confidential client proves itself by Basic alone, a public one names itself in
		// the form: that is what package client does with a secret, and without one.
		Metadata: &client.Metadata{AuthorizationEndpoint: "https://x.com/i/oauth2/authorize", TokenEndpoint: "https://api.x.com/2/oauth2/token"},
	}
	p := &x{config: c, fields: []string{"id", "name", "username", "profile_image_url", "verified"}}
	if slices.Contains(o.Scopes, "users.email") {
		p.fields = append(p.fields, "confirmed_email")
	}
	connector := &oauth2{person: p.person}
	return connector.open(c, k)
}

// person: an address is told only once its owner has confirmed it.
func (p *x) person(ctx context.Context, access string) (any, map[string]any, error) {
	q := url.Values{"user.fields": {strings.Join(p.fields, ",")}}
	v, err := p.config.ask(ctx, question{address: "https://api.x.com/2/users/me?" + q.Encode(), access: access})
	if err != nil {
		return nil, nil, err
	}
	user, _ := member(v, "data").(map[string]any)
	claims := map[string]any{}
	for claim, name := range map[string]string{
		"name": "name", "preferred_username": "username", "username": "username", "picture": "profile_image_url", "email": "confirmed_email",
	} {
		if s := text(user, name); s != "" {
			claims[claim] = s
		}
	}
	claims["email_verified"] = true // and left out again where there is no address
	if username := text(claims, "username"); username != "" {
		claims["profile"] = "https://x.com/" + url.PathEscape(username)
	}
	return user["id"], claims, nil
}
