package interop

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

const (
	ourCallback = "http://localhost:9999/upstream/them/callback"
	oddSecret   = "s/cret+with&odd=signs%:"
)

// zitadel is the OpenID Provider of zitadel/oidc with the storage and the pages of its
// example: written by others, after the same specifications.
func zitadel(t *testing.T) (issuer string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	issuer = "http://localhost:" + port
	clients := map[string]*storage.Client{
		"web:1": storage.WebClient("web:1", oddSecret, ourCallback), "native": storage.NativeClient("native", ourCallback),
	}
	handler := exampleop.SetupServer(issuer, storage.NewStorageWithClients(storage.NewUserStore(issuer), clients), slog.New(slog.DiscardHandler), false)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return issuer
}

// signInThere walks a browser through the example's page, and returns what it brings back.
func signInThere(t *testing.T, address string) upstream.Answer {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), ourCallback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := b.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if id := res.Request.URL.Query().Get("authRequestID"); id != "" {
		page := *res.Request.URL
		page.RawQuery = ""
		if res, err = b.PostForm(page.String(), url.Values{"id": {id}, "username": {"test-user@localhost"}, "password": {"verysecure"}}); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	at, err := res.Location()
	if err != nil {
		t.Fatalf("the sign-in ended at %s with %d", res.Request.URL, res.StatusCode)
	}
	return upstream.Answer{Method: http.MethodGet, Values: at.Query(), Query: at.RawQuery, At: ourCallback}
}

// TestUpstream signs in here with an account at somebody else's provider.
func TestUpstream(t *testing.T) {
	issuer := zitadel(t)
	inside := fetch.New(fetch.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for id, secret := range map[string]model.Secret{"web:1": oddSecret, "native": ""} {
		c, err := upstream.Open(upstream.Config{
			ID: "them", Kind: "oidc", Connection: []byte(`{"issuer":"` + issuer + `","client_id":"` + id + `"}`),
			Secrets: map[string]model.Secret{"client_secret": secret}, Callback: ourCallback, Client: inside, Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		v := c.(upstream.Visitor)
		if err := v.Probe(t.Context()); err != nil {
			t.Errorf("%s: probe: %v", id, err)
		}
		const state = "c3RhdGUtb2YtMjU2LXJhbmRvbS1iaXRzLWFzLXRleHQtMTI"
		d, err := v.Begin(t.Context(), upstream.Wish{State: state, Prompt: []string{"login"}, Locales: []string{"en"}})
		if err != nil {
			t.Fatal(err)
		}
		a := signInThere(t, d.Address)
		p, err := v.Finish(t.Context(), d.Kept, a)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if p.Issuer != issuer || p.Subject != "id1" || p.AuthTime == 0 || p.Claims["email"] != "test-user@zitadel.ch" || p.Claims["email_verified"] != true ||
			p.Claims["preferred_username"] != "test-user@localhost" || p.Stay.Hint == "" || p.Tokens.Access == "" {
			t.Errorf("%s: %+v", id, p)
		}
		if _, err := v.Finish(t.Context(), d.Kept, a); err == nil {
			t.Errorf("%s: the same answer counts twice", id)
		}
		out, err := v.(upstream.Leaver).Leave(t.Context(), p.Stay, "", "st")
		if err != nil {
			t.Fatal(err)
		}
		res, err := inside.Get(out.Address)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/logged-out" {
			t.Errorf("%s: the sign-out ended at %s with %d", id, res.Request.URL, res.StatusCode)
		}
	}
}
