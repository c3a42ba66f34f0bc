package main

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// watching is an application, on an origin of its own, that holds the server's
// frame and asks it again and again (OpenID Connect Session Management §3.1), and
// that can be signed out in a frame (OpenID Connect Front-Channel Logout §2).
type watching struct {
	*httptest.Server
	url    string
	mu     sync.Mutex
	visits []string
	gate   chan struct{} // until it is closed, the frame does not answer; nil: it does at once
}

// watchPage asks the frame about the client and the session_state in its
// address.
const watchPage = `<!DOCTYPE html>
<title>The application</title>
<p>The session is <b id="state">not known</b>.</p>
<iframe id="op" src="%[1]s/session-state" hidden></iframe>
<script>
var asked = %[2]q;
window.addEventListener("message", function (e) {
  if (e.origin === %[1]q) { document.getElementById("state").textContent = e.data; }
});
setInterval(function () { document.getElementById("op").contentWindow.postMessage(asked, %[1]q); }, 200);
</script>`

func newWatching(t *testing.T, issuer, client string) *watching {
	a := &watching{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/callback":
			fmt.Fprintf(w, watchPage, issuer, client+" "+r.URL.Query().Get("session_state"))
		case "/front":
			a.mu.Lock()
			a.visits = append(a.visits, r.URL.RawQuery)
			gate := a.gate
			a.mu.Unlock()
			if gate != nil {
				<-gate
			}
		case "/bye":
			fmt.Fprintf(w, `<!DOCTYPE html><p id="bye">Goodbye, %s`, html.EscapeString(r.URL.Query().Get("state")))
		}
	}))
	t.Cleanup(a.Close)
	// Another origin than the server's, by its port, but the same site: in a frame
	// on another site browsers have no cookies (see docs/sign-out.md).
	a.url = strings.Replace(a.URL, "127.0.0.1", "localhost", 1)
	return a
}

// hold lets the frame answer when the function that it returns is called.
func (a *watching) hold() func() {
	gate := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate = gate
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.gate = nil
		close(gate)
	})
}

func (a *watching) seen() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.visits, " ")
}

// TestLogoutInBrowser is a person with two applications, each on its own origin:
// the frame says that nothing has changed, then signing out of one signs out of
// both by the front channel, the browser goes back by itself, and the frame says
// that something has.
func TestLogoutInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	apps := map[string]*watching{}
	clients := map[string]model.Client{}
	for _, name := range []string{"app1", "app2"} {
		a := newWatching(t, h.Issuer, name)
		apps[name] = a
		clients[name], _ = h.Client(name, model.ClientSettings{
			Name: "Application " + name, FirstParty: true, RedirectURIs: []string{a.url + "/callback"},
			PostLogoutRedirectURIs: []string{a.url + "/bye"}, FrontchannelURI: a.url + "/front", FrontchannelSession: true,
		})
	}
	b := openBrowser(t)
	b.do("signing in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(clients["app1"])),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#state`))
	b.expect(`#state`, "unchanged")
	two := b.tab()
	two.do("the other application", browsertest.Visit(h.Issuer+servertest.AuthorizePath(clients["app2"])), browsertest.Visible(`#state`))
	two.expect(`#state`, "unchanged")

	// What is said to one application tells another nothing.
	address, err := url.Parse(ask(b, "reading the address", chromedp.Location()))
	if err != nil {
		t.Fatal(err)
	}
	two.do("asking about somebody else's state",
		browsertest.Visit(apps["app2"].url+"/callback?session_state="+url.QueryEscape(address.Query().Get("session_state"))), browsertest.Visible(`#state`))
	two.expect(`#state`, "changed")

	two.do("signing out", browsertest.Visit(h.Issuer+"/logout?"+url.Values{
		"client_id": {"app2"}, "post_logout_redirect_uri": {apps["app2"].url + "/bye"}, "state": {"the-state"},
	}.Encode()), browsertest.Visible(`button.primary`))
	two.screenshots("sign-out-confirmation")
	answer := apps["app1"].hold() // the browser goes back as soon as the frames have loaded
	t.Cleanup(answer)
	two.do("confirming", browsertest.Click(`button.primary`), browsertest.Visible(`.state.good`))
	two.photograph("signed-out-going")
	answer()
	two.do("going back", browsertest.Visible(`#bye`))
	two.expect(`#bye`, "Goodbye, the-state")
	for name, a := range apps {
		if got := a.seen(); !strings.Contains(got, "iss=http%3A%2F%2Flocalhost") || !strings.Contains(got, "&sid=") || strings.Contains(got, " ") {
			t.Errorf("%s was visited with %q", name, got)
		}
	}
	b.do("the first application", browsertest.Front)
	b.expect(`#state`, "changed")

	b.do("signing in again", browsertest.Visit(h.Issuer+servertest.AuthorizePath(clients["app1"])),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#state`))
	b.expect(`#state`, "unchanged")
	b.do("signing out at the server", browsertest.Visit(h.Issuer+"/"), browsertest.Click(`button`), browsertest.Visible(`.state.good`))
	b.expect(`main`, "You are signed out")
	b.screenshots("signed-out-frames")
	if n := strings.Count(apps["app1"].seen(), "sid="); n != 2 {
		t.Errorf("app1 was visited %d times", n)
	}
}

// TestLogoutPostInBrowser: posted from another site, without the session's cookie,
// the request comes again by a page of ours, and nothing of it in an address.
func TestLogoutPostInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><p id="app">%s<form method="post" action="%s/logout">
			<input name="client_id" value="app"><input name="post_logout_redirect_uri" value="http://%s/bye"><button id="out">Sign out</button></form>`,
			html.EscapeString(r.URL.Path), h.Issuer, r.Host)
	}))
	t.Cleanup(site.Close)
	at := strings.Replace(site.URL, "127.0.0.1", "app.localhost", 1)
	c, _ := h.Client("app", model.ClientSettings{
		Name: "App", FirstParty: true, RedirectURIs: []string{at + "/callback"}, PostLogoutRedirectURIs: []string{at + "/bye"},
	})
	b := openBrowser(t)
	b.do("signing in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(c)),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#out`))
	b.do("posting the request", browsertest.Click(`#out`), browsertest.Visible(`button[value="signout"]`))
	if address := ask(b, "reading the address", chromedp.Location()); strings.Contains(address, "?") {
		t.Errorf("the request stands in the address: %s", address)
	}
	b.do("confirming", browsertest.Click(`button.primary`), browsertest.Visible(`#app`))
	b.expect(`#app`, "/bye")
	b.do("nobody is signed in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(c)), browsertest.Visible(`input[name="password"]`))
}
