package interop

import (
	"context"
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
