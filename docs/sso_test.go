package docs_test

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// atSites makes a browser find every host below localhost on this machine, as browsers
// do and Go's resolver need not (RFC 6761 §6.3).
func (b *browser) atSites() *browser {
	b.http.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("localhost", port)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	return b
}

// singleSignOn is what the page of the two applications says to do in a browser.
func singleSignOn(t *testing.T, s *session) {
	almanac, ledger := "http://app1.localhost:"+s.ports["8081"], "http://app2.localhost:"+s.ports["8082"]
	b := newBrowser(t).atSites()
	b.get(almanac + "/")
	b.shows("login_required")
	b.get(almanac + "/login")
	b.submit("login", "bob", "password", "correct horse battery")
	b.shows("Good day, Bob Cratchit")
	b.get(ledger + "/")
	b.shows("<strong>without a screen</strong>")
	b.shows("Lamp oil")
	b.get(ledger + "/other-api")
	b.shows("401 Unauthorized")
	b.submit() // signs out of the ledger
	b.shows("You are signed out")
	for range 100 {
		b.get(almanac + "/")
		if strings.Contains(b.body, "login_required") {
			b.shows("back channel, ")
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the almanac does not learn of it")
}

// signInElsewhere is the way to each of the stand-ins and back, by somebody new.
func signInElsewhere(t *testing.T, s *session) {
	for _, one := range []struct{ upstream, person, name string }{
		{"harbour", "248289761001", "Mina Murray"}, {"workbench", "583231", "Ada Lovelace"},
	} {
		b := newBrowser(t)
		b.get("http://localhost:" + s.ports["8080"] + "/account/profile")
		way := regexp.MustCompile(`formaction="([^"]*/upstream/` + one.upstream + `)"`).FindStringSubmatch(b.body)
		if way == nil {
			t.Fatalf("there is no way to %s:\n%s", one.upstream, b.body)
		}
		to, err := b.at.Parse(way[1])
		if err != nil {
			t.Fatal(err)
		}
		b.took(b.http.PostForm(to.String(), nil))
		b.shows("A stand-in.")
		b.submit("person", one.person)
		b.shows(one.name)
		b.submit() // the account that would be made
		b.shows(one.name)
		if b.at.Path != "/account/profile" {
			t.Errorf("by %s one gets to %s", one.upstream, b.at)
		}
	}
}
