package main

import (
	"context"
	"encoding/json"

	"github.com/ostiary/ostiary/examples/elsewhere"
	"github.com/ostiary/ostiary/examples/sso"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/resource"
)

// The people of the two stand-ins. Bob has an account here with the address that his
// provider has made sure of; Mallory has typed that address into a form.
var (
	harbourPeople = []elsewhere.Person{
		{ID: "248289761001", Login: "mina", Name: "Mina Murray", Email: "mina@harbour.example", EmailVerified: true, About: "Has no account at the demo yet."},
		{ID: "248289761002", Login: "bob", Name: "Bob Cratchit", Email: "bob@example.com", EmailVerified: true, About: "Has one already, with the same address."},
	}
	workbenchPeople = []elsewhere.Person{
		{ID: "583231", Login: "ada", Name: "Ada Lovelace", Email: "ada@workbench.example", EmailVerified: true, About: "Has no account at the demo yet."},
		{ID: "583232", Login: "mallory", Name: "Mallory", Email: "bob@example.com", About: "Claims the address of somebody else."},
	}
)

// demoWays are the identity providers of the demo, as the applications offer them.
var demoWays = []sso.Way{{ID: "harbour", Name: "Harbour"}, {ID: "workbench", Name: "Workbench"}}

// demoApp is one of the two applications: where it and the other one are.
type demoApp struct {
	trade        sso.Trade
	own, api     string // names of rooms
	other        string
	otherAPI     string
	frontChannel bool
}

// furnishSSO makes the two applications, which are clients of the server, and the
// providers elsewhere, whose client the server is.
func (d *demo) furnishSSO(ctx context.Context) error {
	for _, a := range []demoApp{
		{trade: sso.Almanac, own: "app1", api: "api1", other: "app2", otherAPI: "api2"},
		{trade: sso.Ledger, own: "app2", api: "api2", other: "app1", otherAPI: "api1", frontChannel: true},
	} {
		if err := d.furnishApp(ctx, a); err != nil {
			return err
		}
	}
	secret := d.kept.secret("elsewhere") // of the server, at the stand-ins
	harbour, err := elsewhere.NewOpenID(d.stand("harbour", "Harbour", secret, harbourPeople))
	if err != nil {
		return err
	}
	workbench, err := elsewhere.NewOAuth(d.stand("workbench", "Workbench", secret, workbenchPeople))
	if err != nil {
		return err
	}
	d.room("harbour").handler, d.room("workbench").handler = harbour.Handler(), workbench.Handler()
	if d.kept.furnished {
		return nil
	}
	return d.federate(ctx)
}

// furnishApp registers an application and makes it and its API.
func (d *demo) furnishApp(ctx context.Context, a demoApp) error {
	here, api := d.url(a.own), d.url(a.api)
	settings := model.ClientSettings{
		Name: sso.ClientName(a.trade), URI: here, FirstParty: true, // else prompt=none would have to ask for consent
		RedirectURIs: []string{here + sso.CallbackPath}, PostLogoutRedirectURIs: []string{here + sso.SignedOutPath},
		Scopes: sso.Scopes(a.trade), Audiences: []string{api},
	}
	if a.frontChannel {
		settings.FrontchannelURI, settings.FrontchannelSession = here+sso.FrontChannelPath, true
	} else {
		// Not every resolver knows names below localhost, as browsers do.
		settings.BackchannelURI, settings.BackchannelSession = d.room(a.own).at("localhost")+sso.BackChannelPath, true
	}
	id := string(a.trade)
	secret, err := d.register(ctx, model.ClientID(id), settings)
	if err != nil {
		return err
	}
	key, err := d.kept.key(id)
	if err != nil {
		return err
	}
	front, err := sso.New(sso.Config{
		Trade: a.trade, Issuer: d.url("server"), ClientID: id, ClientSecret: secret, SessionKey: key,
		BaseURL: here, APIURL: api, OtherURL: d.url(a.other), OtherAPIURL: d.url(a.otherAPI), Ways: demoWays, FrontChannel: a.frontChannel, Logger: d.logger,
	})
	if err != nil {
		return err
	}
	follower, err := d.follower(ctx, model.ClientID(id+"-api"), sso.ClientName(a.trade)+", its API", api)
	if err != nil {
		return err
	}
	feed, err := resource.NewFeed(resource.FeedConfig{Issuer: d.url("server"), ClientID: id + "-api", ClientSecret: follower, Logger: d.logger})
	if err != nil {
		return err
	}
	back, err := sso.NewAPI(sso.APIConfig{Trade: a.trade, Issuer: d.url("server"), Audience: api, Feed: feed, Logger: d.logger})
	if err != nil {
		return err
	}
	d.room(a.own).handler, d.room(a.api).handler, d.room(a.api).run = front.Handler(), back.Handler(), feed.Run
	return nil
}

// stand is what a stand-in has to know. Its only client is the server.
func (d *demo) stand(id, name, secret string, people []elsewhere.Person) elsewhere.Config {
	at := d.url("server") + "/upstream/" + id
	return elsewhere.Config{
		URL: d.url(id), Name: name, People: people, Logger: d.logger,
		Client: elsewhere.Client{
			ID: "ostiary", Secret: secret, Name: "Ostiary", RedirectURI: at + "/callback",
			PostLogoutRedirectURI: d.url("server") + "/signed-out", BackchannelURI: at + "/backchannel",
		},
	}
}

// federate makes the stand-ins known to the server.
func (d *demo) federate(ctx context.Context) error {
	harbour, workbench := d.url("harbour"), d.url("workbench")
	for i, u := range []struct {
		kind       string
		connection map[string]any
	}{
		{"oidc", map[string]any{"issuer": harbour, "client_id": "ostiary", "id_token_signed_response_alg": "ES256"}},
		{"oauth2", map[string]any{
			"authorization_endpoint": workbench + "/oauth/authorize", "token_endpoint": workbench + "/oauth/token",
			"userinfo_endpoint": workbench + "/api/user", "subject": "id", "client_id": "ostiary", "scopes": []string{elsewhere.ScopeEmail},
			"authorization_response_iss_parameter_supported": true,
			"requests": []map[string]string{{"name": "mails", "url": workbench + "/api/user/emails"}},
			"claims":   map[string]string{"preferred_username": "login", "email": "mails[primary=true].email", "email_verified": "mails[primary=true].verified"},
		}},
	} {
		connection, err := json.Marshal(u.connection)
		if err != nil {
			return err
		}
		_, err = d.server.Federation.Change(ctx, bySystem, federation.Change{
			ID: model.UpstreamID(demoWays[i].ID), Secrets: map[string]model.Secret{"client_secret": model.Secret(d.kept.secret("elsewhere"))},
			After: &model.Upstream{UpstreamSettings: model.UpstreamSettings{
				Kind: u.kind, Name: demoWays[i].Name, Position: int64(i + 1), Connection: connection, SignUp: true, LinkByMail: true,
			}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
