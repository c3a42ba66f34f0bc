package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// What a document says is taken as a whole, with how long it is good, or not at all:
// a change that cannot be taken does not let what was before count for longer.
func TestClientDocumentChange(t *testing.T) {
	s, a := newSite(t), newAuthority(t)
	chain, private, _ := a.make("localhost", time.Hour)
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `["%s/new"]`, s.URL)
	}))
	elsewhere.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	elsewhere.StartTLS()
	t.Cleanup(elsewhere.Close)
	sector := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1) + "/sector.json"
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		path := "/" + h.Addr().String() + ".json" // of this house
		c := s.publish(t, path, meta{"subject_type": "pairwise"})
		if p := h.Browser().Get(servertest.AuthorizePath(c)); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		h.Clock.Move(61 * time.Minute)
		s.publish(t, path, meta{"subject_type": "pairwise", "redirect_uris": []string{s.URL + "/new"}, "sector_identifier_uri": sector})
		for i := range 2 {
			p := h.Browser().Get(servertest.AuthorizePath(c))
			if p.Status != http.StatusBadRequest || !strings.Contains(p.Body, "would move from the sector") {
				t.Errorf("request %d to an address that the document does not name any more: %d %s", i, p.Status, p.URL)
			}
		}
	}, s.documents(registration.Policy{}), func(c *server.Config) { c.OutgoingRoots.AddCert(a.root) })
}

// As long as nobody has let a client in, its document is a cache and no more: whoever
// publishes it cannot fill the audit log with its changes.
func TestClientDocumentLog(t *testing.T) {
	s := newSite(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		path := "/" + h.Addr().String() + ".json" // of this house
		var c model.Client
		change := func(i int) {
			t.Helper()
			c = s.publish(t, path, meta{"client_name": fmt.Sprint("Editor ", i)})
			h.Clock.Move(61 * time.Minute)
			if p := h.Browser().Get(servertest.AuthorizePath(c)); p.Status != http.StatusOK {
				t.Fatalf("%d %s", p.Status, p.Body)
			}
			if got := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }); got.Name != fmt.Sprint("Editor ", i) {
				t.Errorf("it is called %q", got.Name)
			}
		}
		for i := range 5 {
			change(i)
		}
		if all := events(t, h, c.ID); len(all) > 0 {
			t.Errorf("%d entries about a client that nobody has let in: %+v", len(all), all[0])
		}
		h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
		before := len(events(t, h, c.ID))
		change(5)
		if all := events(t, h, c.ID); len(all) != before+1 || all[before].Action != "client.update" {
			t.Errorf("nothing tells that it has changed since somebody let it in: %+v", all[before:])
		}
	}, s.documents(registration.Policy{}))
}

// A node that stood still after it had fetched a document does not put what that said
// then in the place of what another node has fetched since.
func TestClientDocumentLate(t *testing.T) {
	s := newSite(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		path := "/" + h.Addr().String() + ".json" // of this house
		visit := func(c model.Client) {
			t.Helper()
			if p := h.Browser().Get(servertest.AuthorizePath(c)); p.Status != http.StatusOK {
				t.Fatalf("%d %s", p.Status, p.Body)
			}
		}
		c := s.publish(t, path, meta{"client_name": "Then"})
		visit(c)
		h.Clock.Move(61 * time.Minute)
		then, goOn, asked := s.answers[path], make(chan struct{}), make(chan struct{})
		s.answer(path, func(w http.ResponseWriter, r *http.Request) { close(asked); <-goOn; then(w, r) })
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		other, err := registration.New(registration.Config{
			Store: h.Store, Keys: h.Keys, Issuer: h.Issuer, Now: h.Clock.Now, Policy: registration.Policy{Documents: true},
			Fetch: fetch.New(fetch.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots}),
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := other.Client(t.Context(), c.ID)
			done <- err
		}()
		<-asked
		s.publish(t, path, meta{"client_name": "Now"})
		visit(c)
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }); got.Name != "Now" {
			t.Errorf("it is %q again", got.Name)
		}
	}, s.documents(registration.Policy{}))
}
