package interop

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/ostiary/ostiary/internal/model"
)

// TestGoOIDC: discovery, code + PKCE, ID token, access token hash, userinfo and
// refresh with coreos/go-oidc and golang.org/x/oauth2, for each way in which a
// client can authenticate that they know.
func TestGoOIDC(t *testing.T) {
	for _, method := range []string{model.AuthBasic, model.AuthPost, model.AuthNone} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t, model.ClientSettings{AuthMethod: method})
			ctx := context.Background()
			provider, err := oidc.NewProvider(ctx, w.Issuer)
			if err != nil {
				t.Fatal(err)
			}
			endpoint := provider.Endpoint()
			endpoint.AuthStyle = oauth2.AuthStyleInParams
			if method == model.AuthBasic {
				endpoint.AuthStyle = oauth2.AuthStyleInHeader
			}
			config := oauth2.Config{
				ClientID: string(w.client.ID), ClientSecret: w.secret.Reveal(), Endpoint: endpoint,
				RedirectURL: w.client.RedirectURIs[0], Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
			}
			verifier := oauth2.GenerateVerifier()
			at := w.Browser().SignIn(config.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier)), login, password)
			tokens, err := config.Exchange(ctx, at.Query().Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			id := verifyID(t, provider, config.ClientID, tokens)
			if id.Nonce != "nonce" || id.Subject != string(w.user.ID) || at.Query().Get("state") != "state" {
				t.Errorf("ID token %+v", id)
			}
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
			if err != nil || info.Email != "olena@example.com" || info.Subject != id.Subject || !info.EmailVerified {
				t.Errorf("userinfo %+v %v", info, err)
			}
			old := *tokens
			tokens.Expiry = tokens.Expiry.AddDate(-1, 0, 0)
			renewed, err := config.TokenSource(ctx, tokens).Token()
			if err != nil || renewed.AccessToken == old.AccessToken || renewed.RefreshToken == old.RefreshToken {
				t.Fatalf("refresh: %v", err)
			}
			verifyID(t, provider, config.ClientID, renewed)
		})
	}
}

func verifyID(t *testing.T, provider *oidc.Provider, client string, tokens *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: client}).Verify(context.Background(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.VerifyAccessToken(tokens.AccessToken); err != nil { // needs at_hash
		t.Error(err)
	}
	return id
}

// TestGoOIDCFront: the hybrid flow, in which coreos/go-oidc verifies both ID
// tokens and the hash of the access token that came with the first; once through
// the fragment and once by a form, where the party's server reads it.
func TestGoOIDCFront(t *testing.T) {
	for _, mode := range []string{"fragment", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t, model.ClientSettings{
				ResponseTypes: []string{"code id_token token"},
				GrantTypes:    []string{model.GrantAuthorizationCode, model.GrantImplicit, model.GrantRefreshToken},
			})
			ctx := context.Background()
			provider, err := oidc.NewProvider(ctx, w.Issuer)
			if err != nil {
				t.Fatal(err)
			}
			config := oauth2.Config{
				ClientID: string(w.client.ID), ClientSecret: w.secret.Reveal(), Endpoint: provider.Endpoint(),
				RedirectURL: w.client.RedirectURIs[0], Scopes: []string{oidc.ScopeOpenID, "email"},
			}
			var posted url.Values
			w.mux.HandleFunc("POST /callback", func(_ http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				posted = r.PostForm
			})
			start := config.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.SetAuthURLParam("response_type", "code id_token token"),
				oauth2.SetAuthURLParam("response_mode", mode))
			b := w.Browser()
			var answer url.Values
			if mode == "form_post" {
				w.visit(t, b.Roam(), start)
				answer = posted
			} else if answer, err = url.ParseQuery(b.SignIn(start, login, password).Fragment); err != nil {
				t.Fatal(err)
			}
			front, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, answer.Get("id_token"))
			if err != nil || front.Nonce != "nonce" || answer.Get("state") != "state" || answer.Get("iss") != w.Issuer {
				t.Fatalf("%v: %+v %v", err, front, answer)
			}
			if err := front.VerifyAccessToken(answer.Get("access_token")); err != nil {
				t.Error(err)
			}
			tokens, err := config.Exchange(ctx, answer.Get("code"))
			if err != nil {
				t.Fatal(err)
			}
			if back := verifyID(t, provider, config.ClientID, tokens); back.Subject != front.Subject {
				t.Errorf("two people: %s, %s", front.Subject, back.Subject)
			}
		})
	}
}

// TestGoOIDCLogout: the party knows where to send a person who signs out, and
// the session is over afterwards.
func TestGoOIDCLogout(t *testing.T) {
	w := newWorld(t, model.ClientSettings{})
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&metadata); err != nil || metadata.EndSession == "" {
		t.Fatalf("%v %+v", err, metadata)
	}
	config := oauth2.Config{
		ClientID: string(w.client.ID), ClientSecret: w.secret.Reveal(), Endpoint: provider.Endpoint(),
		RedirectURL: w.client.RedirectURIs[0], Scopes: []string{oidc.ScopeOpenID},
	}
	b := w.Browser()
	tokens, err := config.Exchange(ctx, b.SignIn(config.AuthCodeURL("state"), login, password).Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	if at := b.Get(config.AuthCodeURL("state", oauth2.SetAuthURLParam("prompt", "none"))).Left; at == nil || !at.Query().Has("code") {
		t.Fatalf("no single sign-on before: %v", at)
	}
	out := url.Values{
		"id_token_hint": {tokens.Extra("id_token").(string)}, "state": {"bye"},
		"post_logout_redirect_uri": {w.client.PostLogoutRedirectURIs[0]},
	}
	if at := b.Get(metadata.EndSession + "?" + out.Encode()).Left; at == nil || at.String() != w.client.PostLogoutRedirectURIs[0]+"?state=bye" {
		t.Fatalf("sent to %v", at)
	}
	if at := b.Get(config.AuthCodeURL("state", oauth2.SetAuthURLParam("prompt", "none"))).Left; at == nil || at.Query().Get("error") != "login_required" {
		t.Errorf("signed in still: %v", at)
	}
}

// TestGoOIDCRefusals: the errors arrive as x/oauth2 understands them.
func TestGoOIDCRefusals(t *testing.T) {
	w := newWorld(t, model.ClientSettings{})
	provider, err := oidc.NewProvider(context.Background(), w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // or it tries both ways and reports the second
	config := oauth2.Config{ClientID: string(w.client.ID), ClientSecret: "wrong", Endpoint: endpoint, RedirectURL: w.client.RedirectURIs[0]}
	_, err = config.Exchange(context.Background(), "nothing")
	if e, ok := err.(*oauth2.RetrieveError); !ok || e.ErrorCode != "invalid_client" {
		t.Errorf("wrong secret: %v", err)
	}
	config.ClientSecret = w.secret.Reveal()
	_, err = config.Exchange(context.Background(), "nothing")
	if e, ok := err.(*oauth2.RetrieveError); !ok || e.ErrorCode != "invalid_grant" {
		t.Errorf("wrong code: %v", err)
	}
}
