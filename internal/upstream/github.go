package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// githubConnection is the connection of GitHub, by an OAuth app or a GitHub App. Its
// secret is client_secret.
type githubConnection struct {
	ClientID string `json:"client_id"`
	// Server is the origin of a GitHub Enterprise Server; empty: https://github.com.
	Server string `json:"server,omitempty"`
	// Organizations asks for those that somebody belongs to; one has to be among them
	// where Require names some.
	Organizations bool     `json:"organizations,omitempty"`
	Require       []string `json:"require_organizations,omitempty"`
	Scopes        []string `json:"scopes,omitempty"` // besides those that are needed
	AllowInternal bool     `json:"allow_internal,omitempty"`
}

const githubPage = 100 // the most that one answer lists

// github knows GitHub's API for people.
type github struct {
	config        Config
	api           string
	organizations bool
	require       []string
}

func openGitHub(c Config) (Connector, error) {
	var o githubConnection
	if err := decodeConnection(c.Connection, &o); err != nil {
		return nil, err
	}
	site, api := "https://github.com", "https://api.github.com"
	if o.Server != "" {
		site = strings.TrimSuffix(o.Server, "/")
		api = site + "/api/v3"
		if u, err := url.Parse(site); err != nil || u.Path != "" || checkEndpoint(site, site) != nil {
			return nil, ErrInvalid{"server", "must be an origin, such as https://github.example.com"}
		}
	}
	g := &github{config: c, api: api, organizations: o.Organizations || len(o.Require) > 0, require: o.Require}
	scopes := []string{"user:email"} // what is public needs none
	if g.organizations {
		scopes = append(scopes, "read:org")
	}
	k := client.Config{
		// What it calls itself in its answers, which not every version of it does.
		Issuer: site + "/login/oauth", ClientID: o.ClientID, ClientSecret: c.Secrets["client_secret"].Reveal(), AuthMethod: client.AuthPost,
		Scopes:   append(scopes, o.Scopes...),
		Metadata: &client.Metadata{AuthorizationEndpoint: site + "/login/oauth/authorize", TokenEndpoint: site + "/login/oauth/access_token"},
	}
	connector := &oauth2{carries: carries{prompts: []string{"select_account"}}, wishes: githubWishes, person: g.person}
	return connector.open(c, k)
}

// githubWishes: what is elsewhere login_hint is called login there.
func githubWishes(w Wish) url.Values {
	if w.LoginHint == "" {
		return nil
	}
	return url.Values{"login": {w.LoginHint}}
}

func (g *github) ask(ctx context.Context, path, access string) (any, error) {
	return g.config.ask(ctx, question{g.api + path, access, http.Header{
		"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}, "User-Agent": {"Ostiary"}, // which it insists on
	}})
}

// person: the login can be changed and is then somebody else's to take, the number never.
// The address in the profile is what its owner wants to be shown; which are verified
// stands in a list of its own.
func (g *github) person(ctx context.Context, access string) (any, map[string]any, error) {
	v, err := g.ask(ctx, "/user", access)
	if err != nil {
		return nil, nil, err
	}
	user, _ := v.(map[string]any)
	claims := map[string]any{}
	for claim, member := range map[string]string{
		"preferred_username": "login", "name": "name", "picture": "avatar_url", "profile": "html_url", "website": "blog",
		"login": "login", "company": "company", "location": "location",
	} {
		if s := text(user, member); s != "" {
			claims[claim] = s
		}
	}
	emails, err := g.ask(ctx, fmt.Sprintf("/user/emails?per_page=%d", githubPage), access)
	if err != nil {
		return nil, nil, err
	}
	if primary, _ := first(emails, []like{{"primary", "true"}}).(map[string]any); primary != nil {
		claims["email"], claims["email_verified"] = primary["email"], primary["verified"]
	}
	if g.organizations {
		if claims["organizations"], err = g.member(ctx, access); err != nil {
			return nil, nil, err
		}
	}
	return user["id"], claims, nil
}

// member lists the organizations that somebody belongs to.
func (g *github) member(ctx context.Context, access string) ([]any, error) {
	v, err := g.ask(ctx, fmt.Sprintf("/user/orgs?per_page=%d", githubPage), access)
	if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	names, welcome := []any{}, len(g.require) == 0
	for _, one := range list {
		name, _ := member(one, "login").(string)
		if name == "" {
			continue
		}
		names = append(names, name)
		// They are the same to GitHub in whichever case.
		welcome = welcome || slices.ContainsFunc(g.require, func(r string) bool { return strings.EqualFold(r, name) })
	}
	if !welcome {
		return nil, failed(Denied, "they belong to none of the organizations that are required")
	}
	return names, nil
}
