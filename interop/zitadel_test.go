package interop

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestZitadel: the relying party of zitadel/oidc with its own handlers and
// cookies, from the start page to the tokens, userinfo and refresh.
func TestZitadel(t *testing.T) {
	// It exchanges the code in either way, but renews with the secret in the
	// body only: so the client is registered for that.
	w := newWorld(t, model.ClientSettings{AuthMethod: model.AuthPost})
	party := newParty(t, w, w.secret.Reveal())
	b := w.Browser().Roam()
	tokens := driveParty(t, w, party, b)
	leaveParty(t, w, party, b, tokens)
}

// TestZitadelFormPost: the same with the code in a form.
func TestZitadelFormPost(t *testing.T) {
	w := newWorld(t, model.ClientSettings{AuthMethod: model.AuthPost})
	driveParty(t, w, newParty(t, w, w.secret.Reveal()), w.Browser().Roam(), rp.WithResponseModeURLParam(oidc.ResponseModeFormPost))
}

// leaveParty signs out through the party: the browser comes back to it, and
// nobody is signed in any more.
func leaveParty(t *testing.T, w world, party rp.RelyingParty, b *servertest.Browser, tokens *oidc.Tokens[*oidc.IDTokenClaims]) {
	t.Helper()
	silent := rp.AuthURL("again", party, rp.WithPrompt(oidc.PromptNone))
	bye := w.client.PostLogoutRedirectURIs[0]
	w.mux.HandleFunc("/bye", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "bye in "+r.FormValue("state")) })
	at, err := rp.EndSession(context.Background(), party, tokens.IDToken, bye, "the-state", "", nil)
	if err != nil || !w.atHome(at) {
		t.Fatalf("sent to %v: %v", at, err)
	}
	// The party asked without the browser: where it is sent, the browser goes.
	if p := b.Get(at.String()); p.Body != "bye in the-state" {
		t.Errorf("%s: %s", p.URL, p.Body)
	}
	if p := b.Get(silent); !strings.Contains(p.URL.RawQuery, "login_required") {
		t.Errorf("signed in still: %s", p.URL)
	}
}

func newParty(t *testing.T, w world, secret string) rp.RelyingParty {
	t.Helper()
	cookies := httphelper.NewCookieHandler([]byte("0123456789abcdef0123456789abcdef"), []byte("0123456789abcdef0123456789abcdef"), httphelper.WithUnsecure())
	party, err := rp.NewRelyingPartyOIDC(context.Background(), w.Issuer, string(w.client.ID), secret, w.client.RedirectURIs[0],
		[]string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess},
		rp.WithCookieHandler(cookies), rp.WithPKCE(cookies))
	if err != nil {
		t.Fatal(err)
	}
	return party
}

func driveParty(t *testing.T, w world, party rp.RelyingParty, b *servertest.Browser, params ...rp.URLParamOpt) *oidc.Tokens[*oidc.IDTokenClaims] {
	t.Helper()
	var got *oidc.Tokens[*oidc.IDTokenClaims]
	w.mux.Handle("/start", rp.AuthURLHandler(func() string { return "the-state" }, party, params...))
	w.mux.Handle("/callback", rp.CodeExchangeHandler(rp.UserinfoCallback(
		func(rw http.ResponseWriter, _ *http.Request, tokens *oidc.Tokens[*oidc.IDTokenClaims], state string, _ rp.RelyingParty, info *oidc.UserInfo) {
			got = tokens
			fmt.Fprintf(rw, "hello %s in %s", info.Email, state)
		}), party))
	p := w.visit(t, b, w.site.URL+"/start")
	if p.Status != http.StatusOK || !strings.Contains(p.Body, "hello olena@example.com in the-state") {
		t.Fatalf("%d %s", p.Status, p.Body)
	}
	if got.IDTokenClaims.Subject != string(w.user.ID) || got.RefreshToken == "" {
		t.Fatalf("%+v", got)
	}
	renewed, err := rp.RefreshTokens[*oidc.IDTokenClaims](context.Background(), party, got.RefreshToken, "", "")
	if err != nil || renewed.RefreshToken == got.RefreshToken || renewed.IDTokenClaims.Subject != got.IDTokenClaims.Subject {
		t.Errorf("refresh: %v", err)
	}
	return renewed
}
