package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// createdClient is a client in JSON together with the secret that is told once,
// RFC 7591 §3.2.1.
type createdClient struct {
	model.Client
	Secret string `json:"client_secret,omitempty"`
}

func (sh shell) clientCreate() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "register an application; its secret is printed once",
		Description: "A web application needs --redirect-uri; a program that acts for itself needs none.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "id", Usage: "`ID` of the client, the client_id", DefaultText: "random"},
		}, clientFlags()...),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			settings, err := changed(a.command, model.ClientSettings{})
			if err != nil {
				return err
			}
			id := a.command.String("id")
			client, secret, err := a.Authority.CreateClient(ctx, a.actor, settings, model.ClientID(id))
			if errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("there is a client %q already: choose another --id", id)
			}
			if err != nil {
				return clientError(a.command, err)
			}
			fields := append([]field{{"Client", string(client.ID)}, {"Secret", secret.Reveal()}}, clientFields(client)...)
			if err := sh.printRecord(a.command, createdClient{client, secret.Reveal()}, fields...); err != nil {
				return err
			}
			if secret != "" {
				fmt.Fprintln(sh.stderr, "The secret is not shown again.")
			}
			return nil
		}),
	}
}

func (sh shell) clientList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list all applications",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			clients, err := a.clients(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"CLIENT", "NAME", "GRANTS", "AUTHENTICATION", "STATUS", "CREATED"}, values: clients, empty: "There are no clients."}
			for _, c := range clients {
				t.rows = append(t.rows, []string{string(c.ID), c.Name, strings.Join(c.GrantTypes, " "), c.AuthMethod, clientStatus(c), when(c.CreatedAt)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) clientShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "CLIENT", Usage: "show the settings of an application",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			return sh.printRecord(a.command, client, append([]field{{"Client", string(client.ID)}}, clientFields(client)...)...)
		}),
	}
}

func (sh shell) clientUpdate() *cli.Command {
	return &cli.Command{
		Name: "update", ArgsUsage: "CLIENT", Usage: "change settings of an application: those that are given, the others stay",
		Flags: append(clientFlags(), &cli.BoolFlag{Name: "disabled", Usage: "put the application out now; --disabled=false lets it in again"}),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			settings, err := changed(a.command, client.ClientSettings)
			if err != nil {
				return err
			}
			if client, err = a.Authority.UpdateClient(ctx, a.actor, client.ID, settings); err != nil {
				return clientError(a.command, err)
			}
			if c := a.command; c.IsSet("disabled") {
				if client, err = a.Authority.DisableClient(ctx, a.actor, client.ID, c.Bool("disabled")); err != nil {
					return clientError(c, err)
				}
			}
			return sh.printRecord(a.command, client, append([]field{{"Client", string(client.ID)}}, clientFields(client)...)...)
		}),
	}
}

func (sh shell) clientDelete() *cli.Command {
	return &cli.Command{
		Name: "delete", ArgsUsage: "CLIENT", Usage: "delete an application and end its tokens",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Delete the client %s %s?", client.ID, client.Name)); err != nil {
				return err
			}
			if err := a.Authority.DeleteClient(ctx, a.actor, client.ID); err != nil {
				return clientError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"client_id": client.ID, "deleted": true}, "Deleted %s.", client.ID)
		}),
	}
}

// clientFlags are the settings of a client. None has the name of a setting of
// the server, whose flags would take it for theirs.
func clientFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` that people see"},
		&cli.StringFlag{Name: "uri", Usage: "`URL` of its home page"},
		&cli.StringFlag{Name: "type", Usage: "`TYPE`: web, or native for an application on a person's machine", DefaultText: "web"},
		&cli.StringSliceFlag{Name: "redirect-uri", Usage: "`URI` that a sign-in returns to; may be repeated"},
		&cli.StringSliceFlag{Name: "post-logout-redirect-uri", Usage: "`URI` that a sign-out returns to; may be repeated"},
		&cli.StringSliceFlag{Name: "grant-type", Usage: "`GRANT`: authorization_code, implicit, refresh_token, client_credentials; may be repeated", DefaultText: "the first two with --redirect-uri, the last without"},
		&cli.StringSliceFlag{Name: "response-type", Usage: "`TYPE` of answer that it may ask for, such as \"code\" or \"code id_token\"; all but code need the grant implicit; may be repeated", DefaultText: "code"},
		&cli.StringSliceFlag{Name: "scope", Usage: "`SCOPE` that it may ask for; separated by spaces or repeated", DefaultText: "openid profile email offline_access with --redirect-uri"},
		&cli.StringSliceFlag{Name: "audience", Usage: "`API` that its access tokens are for, a URL; may be repeated", DefaultText: "the issuer"},
		&cli.StringSliceFlag{Name: "resource", Usage: "`API` that it is itself, whose tokens it may introspect; may be repeated"},
		&cli.StringFlag{Name: "auth-method", Usage: "`METHOD`: client_secret_basic, client_secret_post, private_key_jwt, or none for an application that cannot keep a secret", DefaultText: "client_secret_basic, none with --type native"},
		&cli.StringFlag{Name: "jwks", Usage: "`FILE` with its public keys, a JWK set", TakesFile: true},
		&cli.StringFlag{Name: "jwks-uri", Usage: "`URL` of its public keys"},
		&cli.StringFlag{Name: "id-token-algorithm", Usage: "`ALGORITHM` of its ID tokens", DefaultText: "RS256"},
		&cli.BoolFlag{Name: "first-party", Usage: "it is ours: people are not asked for consent"},
		&cli.StringFlag{Name: "token-life", Usage: "`TIME` that its access tokens live", DefaultText: "the server's"},
		&cli.StringFlag{Name: "refresh-idle", Usage: "`TIME` that a refresh token lives unused", DefaultText: "the server's"},
		&cli.StringFlag{Name: "refresh-life", Usage: "`TIME` that a chain of refresh tokens lives", DefaultText: "the server's"},
	}
}

// changed returns the settings with what the command line says about them.
// An empty value takes a setting back.
func changed(c *cli.Command, s model.ClientSettings) (model.ClientSettings, error) {
	for name, target := range map[string]*string{
		"name": &s.Name, "uri": &s.URI, "type": &s.ApplicationType, "auth-method": &s.AuthMethod,
		"jwks-uri": &s.JWKSURI, "id-token-algorithm": &s.IDTokenAlgorithm,
	} {
		if c.IsSet(name) {
			*target = c.String(name)
		}
	}
	for name, target := range map[string]*[]string{
		"redirect-uri": &s.RedirectURIs, "post-logout-redirect-uri": &s.PostLogoutRedirectURIs, "grant-type": &s.GrantTypes,
		"scope": &s.Scopes, "audience": &s.Audiences, "resource": &s.Resources,
	} {
		if c.IsSet(name) {
			*target = strings.Fields(strings.Join(c.StringSlice(name), " ")) // none of them can hold a space
		}
	}
	if c.IsSet("response-type") {
		s.ResponseTypes = nil
		for _, t := range c.StringSlice("response-type") { // each may hold spaces
			if t != "" {
				s.ResponseTypes = append(s.ResponseTypes, t)
			}
		}
	}
	for name, target := range map[string]*int64{"token-life": &s.AccessTokenLife, "refresh-idle": &s.RefreshIdle, "refresh-life": &s.RefreshLife} {
		if !c.IsSet(name) {
			continue
		}
		*target = 0
		if v := c.String(name); v != "" {
			d, err := duration(v)
			if err != nil {
				return s, usagef("--%s: %v", name, err)
			}
			*target = int64(d / time.Second)
		}
	}
	if c.IsSet("first-party") {
		s.FirstParty = c.Bool("first-party")
	}
	if c.IsSet("jwks") {
		s.JWKS = nil
		if path := c.String("jwks"); path != "" {
			data, err := readBounded(path)
			if err != nil {
				return s, usagef("--jwks: %v", err)
			}
			if !json.Valid(data) {
				return s, usagef("--jwks: %s is not JSON: it must hold a JWK set, {\"keys\": [...]}", path)
			}
			s.JWKS = data
		}
	}
	return s, nil
}

func clientStatus(c model.Client) string {
	if c.Disabled {
		return "disabled"
	}
	return "active"
}

func clientFields(c model.Client) []field {
	return []field{
		{"Name", c.Name}, {"Home page", c.URI}, {"Status", clientStatus(c)}, {"Type", c.ApplicationType},
		{"Authentication", c.AuthMethod}, {"Grants", strings.Join(c.GrantTypes, " ")}, {"Answers", strings.Join(c.ResponseTypes, ", ")}, {"Scopes", strings.Join(c.Scopes, " ")},
		{"Redirect URIs", strings.Join(c.RedirectURIs, " ")}, {"After sign-out", strings.Join(c.PostLogoutRedirectURIs, " ")},
		{"Audiences", strings.Join(c.Audiences, " ")}, {"Is the API", strings.Join(c.Resources, " ")},
		{"First party", yes(c.FirstParty)}, {"Keys", string(c.JWKS)}, {"Keys at", c.JWKSURI}, {"ID tokens", c.IDTokenAlgorithm},
		{"Access token life", span(c.AccessTokenLife)}, {"Refresh idle", span(c.RefreshIdle)}, {"Refresh life", span(c.RefreshLife)},
		{"Created", when(c.CreatedAt)}, {"Changed", when(c.UpdatedAt)},
	}
}

// span prints seconds; nothing for the server's default.
func span(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return (time.Duration(seconds) * time.Second).String()
}

func (a admin) client(ctx context.Context) (client model.Client, err error) {
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) {
		client, err = tx.Client(model.ClientID(a.command.Args().First()))
		return err
	})
	return client, clientError(a.command, err)
}

func (a admin) clients(ctx context.Context) ([]model.Client, error) {
	all := []model.Client{}
	for after, more := model.ClientID(""), true; more; {
		var page []model.Client
		err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
			page, err = tx.Clients(after, pageSize)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if more = len(page) == pageSize; more {
			after = page[len(page)-1].ID
		}
	}
	return all, nil
}

// clientError says which client or which flag an error is about.
func clientError(c *cli.Command, err error) error {
	var wrong *oauth.InvalidClientError
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("there is no client %q: see ostiary client list", c.Args().First())
	case errors.As(err, &wrong):
		if flag := clientFlagOf[wrong.Setting]; flag != "" {
			return usagef("--%s: %s", flag, wrong.Reason)
		}
		return usagef("%v", wrong)
	}
	return err
}

// clientFlagOf leads from the name of a setting in the protocol to its flag.
var clientFlagOf = map[string]string{
	"client_id": "id", "client_name": "name", "client_uri": "uri", "application_type": "type",
	"redirect_uris": "redirect-uri", "post_logout_redirect_uris": "post-logout-redirect-uri",
	"grant_types": "grant-type", "response_types": "response-type", "scopes": "scope", "audiences": "audience", "resources": "resource",
	"token_endpoint_auth_method": "auth-method", "jwks": "jwks", "jwks_uri": "jwks-uri",
	"id_token_signed_response_alg": "id-token-algorithm", "access_token_life": "token-life",
	"refresh_token_idle": "refresh-idle", "refresh_token_life": "refresh-life",
}
