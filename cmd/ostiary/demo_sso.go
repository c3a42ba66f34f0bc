package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/ostiary/ostiary/examples/elsewhere"
	"github.com/ostiary/ostiary/examples/sso"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
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

// The listeners that the two applications, their APIs and the stand-ins need.
var ssoListeners = []string{"app1", "app2", "api1", "api2", "harbour", "workbench"}

// at is the address of a listener under another name for this machine: cookies do not
// know ports, and each of these is to be a house of its own.
func (d *demo) at(host, name string) string {
	return strings.Replace(d.url(name), "localhost", host, 1)
}

// demoApp is one of the two applications: where it and the other one are.
type demoApp struct {
	trade        sso.Trade
	own, api     string // names of listeners
	url          string
	other        string
	otherAPI     string
	frontChannel bool
}

// furnishSSO makes the two applications, which are clients of the server, and the
// providers elsewhere, whose client the server is.
func (d *demo) furnishSSO(ctx context.Context, by model.Actor) error {
	app1, app2 := d.at("app1.localhost", "app1"), d.at("app2.localhost", "app2")
	for _, a := range []demoApp{
		{trade: sso.Almanac, own: "app1", api: "api1", url: app1, other: app2, otherAPI: d.url("api2")},
		{trade: sso.Ledger, own: "app2", api: "api2", url: app2, other: app1, otherAPI: d.url("api1"), frontChannel: true},
	} {
		if err := d.furnishApp(ctx, by, a); err != nil {
			return err
		}
	}
	harbour, err := elsewhere.NewOpenID(d.stand("harbour", "Harbour", harbourPeople))
	if err != nil {
		return err
	}
	workbench, err := elsewhere.NewOAuth(d.stand("workbench", "Workbench", workbenchPeople))
	if err != nil {
		return err
	}
	d.samples["harbour"], d.samples["workbench"] = harbour.Handler(), workbench.Handler()
	return d.federate(ctx, by)
}

// furnishApp registers an application and makes it and its API.
func (d *demo) furnishApp(ctx context.Context, by model.Actor, a demoApp) error {
	api := d.url(a.api)
	settings := model.ClientSettings{
		Name: sso.ClientName(a.trade), URI: a.url, FirstParty: true, // else prompt=none would have to ask for consent
		RedirectURIs: []string{a.url + sso.CallbackPath}, PostLogoutRedirectURIs: []string{a.url + sso.SignedOutPath},
		Scopes: sso.Scopes(a.trade), Audiences: []string{api},
	}
	if a.frontChannel {
		settings.FrontchannelURI, settings.FrontchannelSession = a.url+sso.FrontChannelPath, true
	} else {
		// Not every resolver knows names below localhost, as browsers do.
		settings.BackchannelURI, settings.BackchannelSession = d.url(a.own)+sso.BackChannelPath, true
	}
	registered, secret, err := d.server.Registrar.CreateClient(ctx, by, settings, model.ClientID(a.trade))
	if err != nil {
		return err
	}
	front, err := sso.New(sso.Config{
		Trade: a.trade, Issuer: d.serverURL, ClientID: string(registered.ID), ClientSecret: secret.Reveal(),
		BaseURL: a.url, APIURL: api, OtherURL: a.other, OtherAPIURL: a.otherAPI, Ways: demoWays, FrontChannel: a.frontChannel, Logger: d.logger,
	})
	if err != nil {
		return err
	}
	back, err := sso.NewAPI(sso.APIConfig{Trade: a.trade, Issuer: d.serverURL, Audience: api, Logger: d.logger})
	if err != nil {
		return err
	}
	d.samples[a.own], d.samples[a.api] = front.Handler(), back.Handler()
	return nil
}

// stand is what a stand-in has to know. Its only client is the server.
func (d *demo) stand(id, name string, people []elsewhere.Person) elsewhere.Config {
	at := d.serverURL + "/upstream/" + id
	return elsewhere.Config{
		URL: d.at("127.0.0.1", id), Name: name, People: people, Logger: d.logger,
		Client: elsewhere.Client{
			ID: "ostiary", Secret: d.elsewhereSecret, Name: "Ostiary", RedirectURI: at + "/callback",
			PostLogoutRedirectURI: d.serverURL + "/signed-out", BackchannelURI: at + "/backchannel",
		},
	}
}

// federate makes the stand-ins known to the server.
func (d *demo) federate(ctx context.Context, by model.Actor) error {
	harbour, workbench := d.at("127.0.0.1", "harbour"), d.at("127.0.0.1", "workbench")
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
		_, err = d.server.Federation.Change(ctx, by, federation.Change{
			ID: model.UpstreamID(demoWays[i].ID), Secrets: map[string]model.Secret{"client_secret": model.Secret(d.elsewhereSecret)},
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
