package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/servertest"
)

// TestAttackLarge: T27 and T28: what is large is refused by its size, before any work,
// and who is slow does not hold a connection. J30: a token of dots costs no more than
// one of letters.
func TestAttackLarge(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	c, secret := h.Client("shop", web)
	robot, robotSecret := h.Client("robot", machine)
	slow := make(chan time.Duration, 1)
	go func() { slow <- trickle(h) }()

	login := h.Browser().Get(servertest.AuthorizePath(c))
	for _, row := range []struct {
		size, status int
	}{{1 << 20, http.StatusRequestEntityTooLarge}, {60_000, http.StatusUnprocessableEntity}, {1025, http.StatusUnprocessableEntity}} { // T27
		if p := login.Submit("primary", "login", "olena", "password", strings.Repeat("x", row.size)); p.Status != row.status || p.Left != nil {
			t.Errorf("a password of %d bytes: %d, want %d", row.size, p.Status, row.status)
		}
	}
	if p := login.Submit("primary", "login", "olena", "password", password); p.Status != http.StatusOK || !strings.HasSuffix(p.URL.Path, "/consent") {
		t.Errorf("the good twin: %d %s", p.Status, p.URL)
	}
	for n, status := range map[int]int{10: http.StatusOK, 2000: http.StatusOK, 100_000: http.StatusRequestEntityTooLarge} { // T28
		form := url.Values{"grant_type": {"client_credentials"}}
		for i := range n {
			form.Set(fmt.Sprint("x", i), "1")
		}
		if a := h.Call("/token", robot, robotSecret, form); a.Status != status {
			t.Errorf("%d parameters: %d, want %d", n, a.Status, status)
		}
	}
	token := h.Call("/token", robot, robotSecret, url.Values{"grant_type": {"client_credentials"}}).String("access_token")
	for name, text := range map[string]string{"dots": strings.Repeat(".", 1<<20), "letters": strings.Repeat("a", 1<<20)} { // J30
		if a := info(t, h, text); a.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a megabyte of %s in the header: %d", name, a.Status)
		}
		if a := info(t, h, text[:50_000]); a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("50 KB of %s in the header: %d", name, a.Status)
		}
		for _, field := range []string{"token", "access_token", "client_assertion"} {
			for _, path := range []string{"/introspect", "/userinfo", "/token"} {
				if a := h.Call(path, c, secret, url.Values{field: {text}}); a.Status != http.StatusRequestEntityTooLarge && a.Status != http.StatusBadRequest {
					t.Errorf("a megabyte of %s as %s at %s: %d", name, field, path, a.Status)
				}
			}
		}
	}
	if !active(h, robot, robotSecret, token) {
		t.Error("the good twin is not active")
	}
	if took := <-slow; took > 20*time.Second {
		t.Errorf("a header that never ends kept a connection for %v", took)
	}
}

// trickle sends a header byte by byte and says how long the server bears it.
func trickle(h *servertest.House) time.Duration {
	start := time.Now()
	conn, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		return time.Hour
	}
	defer conn.Close()
	gone := make(chan struct{})
	go func() { io.Copy(io.Discard, conn); close(gone) }()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
	for time.Since(start) < 30*time.Second {
		select {
		case <-gone:
			return time.Since(start)
		case <-time.After(200 * time.Millisecond):
			io.WriteString(conn, "x")
		}
	}
	return time.Since(start)
}

// raw sends what no client library would, and returns the answer.
func raw(t *testing.T, h *servertest.House, text string) servertest.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, text)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return servertest.Answer{Status: res.StatusCode, Header: res.Header, Text: string(body)}
}

// TestAttackRequestLine: P5: a host in the request line is believed no more than one in
// a header (see TestHostHeader). P21: what a proxy in front could read otherwise is
// refused, or is what it would be without its disguise.
func TestAttackRequestLine(t *testing.T) {
	h := servertest.Start(t)
	a := raw(t, h, "GET http://evil.example/.well-known/openid-configuration HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
	if a.Status != http.StatusOK || strings.Contains(a.Text, "evil.example") || !strings.Contains(a.Text, `"issuer":"`+h.Issuer+`"`) {
		t.Errorf("in absolute form: %d %s", a.Status, a.Text)
	}
	post := func(path, more, body string) servertest.Answer {
		return raw(t, h, "POST "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"+more+"\r\n"+body)
	}
	plain := post("/token", "Content-Length: 18\r\n", "grant_type=nothing")
	if plain.Status != http.StatusUnauthorized {
		t.Fatalf("the good twin: %d %s", plain.Status, plain.Text)
	}
	for _, path := range []string{"//token", "/token/", "/token/.", "/./token", "/x/../token", "/token%00", "/token%20", "/token;x", "/Token", "/token%2f", "/%2e/token", "/static/..%2ftoken", "/token\\", "/%74oken"} {
		a := post(path, "Content-Length: 18\r\n", "grant_type=nothing")
		same := path == "/%74oken" && a.Status == plain.Status && a.Text == plain.Text
		moved := a.Status/100 == 3 && a.Header.Get("Location") == "/token"
		if !same && !moved && a.Status != http.StatusNotFound && a.Status != http.StatusBadRequest && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	for name, more := range map[string]string{
		"two lengths": "Content-Length: 18\r\nContent-Length: 3\r\n", "a length that is none": "Content-Length: +18\r\n",
		"an unknown coding": "Transfer-Encoding: xchunked\r\n", "a coding twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"a blank in front of the colon": "Content-Length : 18\r\n", "a chunk that is none": "Transfer-Encoding: chunked\r\n",
	} {
		if a := post("/token", more, "grant_type=nothing\r\n\r\n"); a.Status != http.StatusBadRequest && a.Status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}
