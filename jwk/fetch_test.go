package jwk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func TestNewRemote(t *testing.T) {
	for _, row := range []struct {
		config jwk.RemoteConfig
		ok     bool
	}{
		{jwk.RemoteConfig{URL: "https://login.example.com/jwks"}, true},
		{jwk.RemoteConfig{URL: "https://login.example.com:8443/jwks?tenant=1"}, true},
		{jwk.RemoteConfig{URL: "http://localhost:8080/jwks"}, true},
		{jwk.RemoteConfig{URL: "http://login.localhost/jwks"}, true},
		{jwk.RemoteConfig{URL: "http://127.0.0.1:8080/jwks"}, true},
		{jwk.RemoteConfig{URL: "http://[::1]:8080/jwks"}, true},
		{jwk.RemoteConfig{URL: "http://ostiary:8080/jwks", InsecureHTTP: true}, true},
		{jwk.RemoteConfig{URL: ""}, false},
		{jwk.RemoteConfig{URL: "/jwks"}, false},
		{jwk.RemoteConfig{URL: "login.example.com/jwks"}, false},
		{jwk.RemoteConfig{URL: "http://login.example.com/jwks"}, false},
		{jwk.RemoteConfig{URL: "http://localhost.example.com/jwks"}, false},
		{jwk.RemoteConfig{URL: "http://127.0.0.1.example.com/jwks"}, false},
		{jwk.RemoteConfig{URL: "http://10.0.0.1/jwks"}, false},
		{jwk.RemoteConfig{URL: "file:///etc/passwd"}, false},
		{jwk.RemoteConfig{URL: "https://user:password@login.example.com/jwks"}, false},
		{jwk.RemoteConfig{URL: "https://a/", MinInterval: -1}, false},
		{jwk.RemoteConfig{URL: "https://a/", MinInterval: 2, MaxAge: 1}, false},
		{jwk.RemoteConfig{URL: "https://a/", MaxBytes: 2 << 20}, false},
	} {
		r, err := jwk.NewRemote(row.config)
		if (err == nil) != row.ok || (r != nil) != row.ok || err != nil && !errors.Is(err, jwk.ErrInvalid) {
			t.Errorf("%s: %v", row.config.URL, err)
		}
		if err != nil && strings.Contains(err.Error(), "password") {
			t.Error(err)
		}
	}
}

// A redirect to another host would let whoever controls one path of the host
// choose the keys.
func TestRemoteRedirects(t *testing.T) {
	var elsewhere atomic.Int32
	body := setText(jwa.ES256)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		fmt.Fprint(w, body)
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
	mux.Handle("/moved", http.RedirectHandler("/jwks", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL+"/jwks", http.StatusFound))
	mux.Handle("/both", http.RedirectHandler("/away", http.StatusFound))
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]error{
		"/jwks": nil, "/moved": nil, "/round": jwk.ErrUnavailable, "/away": jwk.ErrUnavailable, "/both": jwk.ErrUnavailable, "/none": jwk.ErrUnavailable,
	} {
		for _, client := range []*http.Client{nil, server.Client(), {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
			r := must(jwk.NewRemote(jwk.RemoteConfig{URL: server.URL + path, Client: client}))
			if _, err := r.Find(context.Background(), ""); !errors.Is(err, want) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("the other host was asked")
	}
}
