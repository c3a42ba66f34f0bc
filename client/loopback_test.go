package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// look asks for an address as a browser does and returns the page.
func look(t *testing.T, address string) (int, string) {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(body)
}

func native(redirect string) func(*client.Config) {
	return func(c *client.Config) { c.ClientSecret, c.RedirectURI = "", redirect }
}

// RFC 8252 §7.3: the port is chosen when the program asks, and is that of the request
// and of the exchange.
func TestLoopback(t *testing.T) {
	for _, redirect := range []string{"http://127.0.0.1/callback", "http://[::1]/callback", "http://127.0.0.1"} {
		t.Run(redirect, func(t *testing.T) {
			f := newFake(t)
			c := newClient(t, f, native(redirect))
			pages := make(chan string, 1)
			tokens, id, err := c.Loopback(t.Context(), client.AuthOptions{LoginHint: "ada"}, func(address string) error {
				go func() { _, page := look(t, address); pages <- page }()
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if id.Subject != fakePerson || tokens.Access == "" || tokens.Refresh == "" {
				t.Errorf("signed in as %q", id.Subject)
			}
			if page := <-pages; !strings.Contains(page, "You are signed in.") {
				t.Errorf("the person sees %s", page)
			}
			back, err := url.Parse(f.last.Get("redirect_uri"))
			if err != nil || back.Port() == "" || back.Port() == "0" || f.last.Get("login_hint") != "ada" {
				t.Errorf("the request was %v", f.last)
			}
			if conn, err := net.Dial("tcp", back.Host); err == nil {
				conn.Close()
				t.Error("it still listens")
			}
		})
	}
}

// What is not the answer to this sign-in neither ends it nor gets anything.
func TestLoopbackIgnoresStrangers(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f, native("http://127.0.0.1/callback"))
	_, id, err := c.Loopback(t.Context(), client.AuthOptions{}, func(address string) error {
		asked, err := url.Parse(address)
		if err != nil {
			return err
		}
		back := asked.Query().Get("redirect_uri")
		for what, want := range map[string]int{
			"?code=stolen&state=other&iss=" + url.QueryEscape(f.URL): http.StatusBadRequest,
			"?code=stolen":                http.StatusBadRequest,
			"?%zz":                        http.StatusBadRequest,
			"/favicon.ico":                http.StatusNotFound,
			"/../callback/x?state=other":  http.StatusNotFound,
			"?error=access_denied&state=": http.StatusBadRequest,
		} {
			if status, page := look(t, back+what); status != want || strings.Contains(page, "stolen") {
				t.Errorf("%s: %d, %s", what, status, page)
			}
		}
		// DNS rebinding: the address is right, the name is somebody else's.
		req, err := http.NewRequest(http.MethodGet, back+"?code=a&state="+asked.Query().Get("state"), nil)
		if err != nil {
			return err
		}
		req.Host = "evil.example"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("another name: %d", res.StatusCode)
		}
		go look(t, address)
		return nil
	})
	if err != nil || id.Subject != fakePerson {
		t.Errorf("signed in as %q, %v", id.Subject, err)
	}
	if n := f.count("authorization_code"); n != 1 {
		t.Errorf("%d codes were redeemed", n)
	}
}

// RFC 6749 §4.1.2.1: the person, or the server, said no.
func TestLoopbackRefused(t *testing.T) {
	f := newFake(t)
	f.response = func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }
	c := newClient(t, f, native("http://127.0.0.1/callback"))
	pages := make(chan string, 1)
	_, _, err := c.Loopback(t.Context(), client.AuthOptions{}, func(address string) error {
		go func() { _, page := look(t, address); pages <- page }()
		return nil
	})
	named, ok := errors.AsType[*client.Error](err)
	if !ok || named.Code != "access_denied" {
		t.Errorf("the error is %v", err)
	}
	if page := <-pages; !strings.Contains(page, "The sign-in was cancelled.") {
		t.Errorf("the person sees %s", page)
	}
}

func TestLoopbackEnds(t *testing.T) {
	f := newFake(t)
	nothing := func(string) error { return nil }
	for name, redirect := range map[string]string{
		"RFC 8252 §8.3: a name":     "http://localhost/callback",
		"RFC 8252 §7.3: not http":   "https://127.0.0.1/callback",
		"a web application's":       "https://app.example/callback",
		"no address":                "",
		"RFC 8252 §7.1: it is none": "http://127.0.0.2.example.localhost/callback",
	} {
		if _, _, err := newClient(t, f, native(redirect)).Loopback(t.Context(), client.AuthOptions{}, nothing); err == nil {
			t.Errorf("%s: %s is listened at", name, redirect)
		}
	}
	c := newClient(t, f, native("http://127.0.0.1/callback"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := c.Loopback(ctx, client.AuthOptions{}, nothing); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody comes: %v", err)
	}
	none := errors.New("there is no browser")
	if _, _, err := c.Loopback(t.Context(), client.AuthOptions{}, func(string) error { return none }); !errors.Is(err, none) {
		t.Errorf("no browser: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, _, err := newClient(t, f, native("http://"+taken.Addr().String()+"/callback")).Loopback(t.Context(), client.AuthOptions{}, nothing); err == nil {
		t.Error("a port that is taken is listened at")
	}
}
