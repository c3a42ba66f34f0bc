package main

import (
	"context"

	"github.com/ostiary/ostiary/examples/restapi"
	"github.com/ostiary/ostiary/examples/shop"
	"github.com/ostiary/ostiary/examples/sso"
	"github.com/ostiary/ostiary/examples/tour"
	"github.com/ostiary/ostiary/internal/model"
)

// demoRooms are all addresses, in the order of their ports. The server comes first.
func demoRooms() []*room {
	return []*room{
		{name: "server", host: "localhost", what: "Ostiary", note: "the server that signs people in"},
		{name: "tour", host: "localhost", what: "The tour", note: "begin here"},
		{name: "shop", host: "localhost", what: "The shop", note: "a cart in a signed token"},
		{name: "api", host: "localhost", what: "Its API", note: "what the access token is for"},
		{name: "notes", host: "localhost", what: "Notes", note: "a REST API with a login of its own"},
		{name: "app1", host: "app1.localhost", what: "Almanac", note: "one of two applications with one sign-in"},
		{name: "api1", host: "localhost", what: "Its API", note: "for the Almanac alone"},
		{name: "app2", host: "app2.localhost", what: "Ledger", note: "the other one"},
		{name: "api2", host: "localhost", what: "Its API", note: "for the Ledger alone"},
		{name: "harbour", host: "127.0.0.1", what: "Harbour", note: "stands in for somebody else's OpenID Provider"},
		{name: "workbench", host: "127.0.0.1", what: "Workbench", note: "stands in for somebody else's OAuth 2.0 server"},
	}
}

// demoListing is the order in which people read of them.
var demoListing = []string{"tour", "server", "mailbox", "debugger", "shop", "api", "notes", "app1", "api1", "app2", "api2", "harbour", "workbench"}

// register makes a client that is not there yet, and returns its secret.
func (d *demo) register(ctx context.Context, id model.ClientID, settings model.ClientSettings) (string, error) {
	if secret, ok := d.kept.Secrets[string(id)]; ok {
		return secret, nil
	}
	_, secret, err := d.server.Registrar.CreateClient(ctx, bySystem, settings, id)
	if err != nil {
		return "", err
	}
	d.kept.Secrets[string(id)] = secret.Reveal()
	return secret.Reveal(), nil
}

// follower registers an API as a client of its own, which is told what was revoked
// of what is for it, and returns its secret.
func (d *demo) follower(ctx context.Context, id model.ClientID, name, api string) (string, error) {
	return d.register(ctx, id, model.ClientSettings{
		Name: name, GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{"ostiary:feed"}, Resources: []string{api},
	})
}

// furnishSamples registers the samples and makes them.
func (d *demo) furnishSamples(ctx context.Context) error {
	for _, furnish := range []func(context.Context) error{d.furnishShop, d.furnishNotes, d.furnishSSO, d.furnishTour} {
		if err := furnish(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) furnishShop(ctx context.Context) error {
	here, api := d.url("shop"), d.url("api")
	secret, err := d.register(ctx, "shop", model.ClientSettings{
		Name: "The Gatehouse", URI: here,
		RedirectURIs: []string{here + "/callback"}, PostLogoutRedirectURIs: []string{here + "/"},
		BackchannelURI: here + "/signed-out-elsewhere", BackchannelSession: true,
		GrantTypes:    []string{model.GrantAuthorizationCode, model.GrantRefreshToken, model.GrantImplicit},
		ResponseTypes: shop.ResponseTypes,
		Scopes:        shop.Scopes, Audiences: []string{api},
	})
	if err != nil {
		return err
	}
	follower, err := d.follower(ctx, "shop-api", "The Gatehouse, orders", api)
	if err != nil {
		return err
	}
	c := shop.Config{Issuer: d.url("server"), ClientID: "shop", ClientSecret: secret, BaseURL: here, APIURL: api, Logger: d.logger}
	if c.CartKey, err = d.kept.key("cart"); err != nil {
		return err
	}
	if c.SessionKey, err = d.kept.key("shop"); err != nil {
		return err
	}
	front, err := shop.New(c)
	if err != nil {
		return err
	}
	back, err := shop.NewAPI(shop.APIConfig{
		Issuer: d.url("server"), Audience: api, URL: api, ClientID: "shop-api", ClientSecret: follower, Logger: d.logger,
	})
	if err != nil {
		return err
	}
	d.room("shop").handler, d.room("api").handler, d.room("api").run = front.Handler(), back.Handler(), back.Run
	return nil
}

// furnishNotes makes the REST API, which may ask for passwords itself and follows
// the revocation feed.
func (d *demo) furnishNotes(ctx context.Context) error {
	here := d.url("notes")
	secret, err := d.register(ctx, "notes", model.ClientSettings{
		Name: "Notes", URI: here, Challenge: true, FirstParty: true, RedirectURIs: []string{here + "/"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
		Scopes:     []string{restapi.ScopeRead, restapi.ScopeWrite, "ostiary:feed"},
		Audiences:  []string{here, d.url("server")}, Resources: []string{here},
	})
	if err != nil {
		return err
	}
	notes, err := restapi.New(restapi.Config{Issuer: d.url("server"), ClientID: "notes", ClientSecret: secret, Audience: here, Logger: d.logger})
	if err != nil {
		return err
	}
	r := d.room("notes")
	r.handler, r.run = notes.Handler(), notes.Run
	return nil
}

func (d *demo) furnishTour(ctx context.Context) error {
	here := d.url("tour")
	secret, err := d.register(ctx, "tour", model.ClientSettings{
		Name: "The tour", URI: here, FirstParty: true,
		RedirectURIs: []string{here + "/callback"}, PostLogoutRedirectURIs: []string{here + "/"},
		BackchannelURI: here + "/signed-out-elsewhere", BackchannelSession: true,
		Scopes: tour.Scopes, Audiences: []string{d.url("notes")},
	})
	if err != nil {
		return err
	}
	operator, err := d.register(ctx, "operator", model.ClientSettings{
		Name: "The operator of the tour", GrantTypes: []string{"client_credentials"}, Scopes: tour.OperatorScopes,
	})
	if err != nil {
		return err
	}
	c := tour.Config{
		Issuer: d.url("server"), ClientID: "tour", ClientSecret: secret, BaseURL: here, OperatorID: "operator", OperatorSecret: operator,
		NotesURL: d.url("notes"), Logger: d.logger,
		Applications: []tour.Application{
			{ID: string(sso.Almanac), Name: "Almanac", URL: d.url("app1")}, {ID: string(sso.Ledger), Name: "Ledger", URL: d.url("app2")},
			{ID: "shop", Name: "The shop", URL: d.url("shop")},
		},
	}
	for _, p := range d.people() {
		c.People = append(c.People, tour.Person{Login: p.Login, Password: p.Password, Name: p.name, Note: p.note()})
	}
	c.Bob = c.People[1]
	for _, p := range d.places() {
		if p.name != "tour" {
			c.Places = append(c.Places, tour.Place{Name: p.what, URL: p.url, What: p.note})
		}
	}
	if c.SessionKey, err = d.kept.key("tour"); err != nil {
		return err
	}
	t, err := tour.New(c)
	if err != nil {
		return err
	}
	r := d.room("tour")
	r.handler, r.stop = t.Handler(), t.Close
	return nil
}
