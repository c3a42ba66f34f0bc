package fetch_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true, "2a00:1450:4001::": true,
		"172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "100.128.0.0": true, // the edges of ranges

		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "198.18.0.1": false, "224.0.0.1": false,
		"255.255.255.255": false, "192.0.2.1": false, "203.0.113.9": false, "240.0.0.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false, "ff02::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false,
	} {
		if got := fetch.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("Public(%s) = %t", text, got)
		}
	}
	if fetch.Public(netip.Addr{}) {
		t.Error("no address at all is public")
	}
}

// TestGuard: SSRF, by every way to name this machine. The good twin is the same
// request with the network allowed.
func TestGuard(t *testing.T) {
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { hits++; fmt.Fprint(w, "inner") }))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	t.Setenv("HTTP_PROXY", s.URL) // must not be a way around
	guarded, open := fetch.New(fetch.Config{}), fetch.New(fetch.Config{Allow: loopback})
	limits := fetch.Limits{Bytes: 100}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::]"} {
		_, err := fetch.Get(t.Context(), guarded, "http://"+host+":"+port+"/", limits)
		if err == nil || hits != 0 {
			t.Fatalf("%s was reached: %v", host, err)
		}
		if err.Error() != "it cannot be fetched" {
			t.Errorf("%s: the error tells %q", host, err)
		}
	}
	if _, err := fetch.Get(t.Context(), guarded, s.URL, limits); !errors.Is(err, fetch.ErrInternal) {
		t.Errorf("the cause is %v", err)
	}
	d, err := fetch.Get(t.Context(), open, s.URL, limits)
	if err != nil || string(d.Body) != "inner" || hits != 1 {
		t.Errorf("an allowed network: %q, %v", d.Body, err)
	}
}

func TestGet(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "elsewhere") }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "Application/JSON; charset=utf-8")
		fmt.Fprint(w, `{"a":1}`)
	})
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 64)) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 65)) })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret", http.StatusTeapot) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.Handle("/near", http.RedirectHandler("/json", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusFound))
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client := fetch.New(fetch.Config{Allow: loopback, Roots: roots, Timeout: 2 * time.Second})
	for _, row := range []struct {
		path  string
		types []string
		want  string // the error, "" where there is none
	}{
		{"/json", []string{"application/json"}, ""},
		{"/near", []string{"application/json"}, ""},
		{"/exact", nil, ""},
		{"/json", []string{"application/jwt"}, "its media type must be application/jwt"},
		{"/long", nil, "it is longer than 64 bytes"},
		{"/error", nil, "its server answered 418"},
		{"/slow", nil, "it cannot be fetched"},
		{"/loop", nil, "it cannot be fetched"},
		{"/away", nil, "it cannot be fetched"},
	} {
		_, err := fetch.Get(t.Context(), client, s.URL+row.path, fetch.Limits{Bytes: 64, Types: row.types})
		if got := fmt.Sprint(err); row.want != "" && got != row.want || row.want == "" && err != nil {
			t.Errorf("%s: %v, want %q", row.path, err, row.want)
		}
	}
	stranger := fetch.New(fetch.Config{Allow: loopback})
	if _, err := fetch.Get(t.Context(), stranger, s.URL+"/json", fetch.Limits{Bytes: 64}); err == nil {
		t.Error("a certificate of an unknown authority was taken")
	}
}
