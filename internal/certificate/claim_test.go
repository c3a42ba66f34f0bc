package certificate

import (
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// Nodes that name different authorities, as for a while when that is changed on one
// after the other, do not take turns in asking: the pause after a failure is kept, and
// only who is started anew with another authority does not wait for it.
func TestTwoAuthorities(t *testing.T) {
	var asked atomic.Int64
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"type":"urn:ietf:params:acme:error:unauthorized"}`)
	}))
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	now := time.Unix(1_700_000_000, 0)
	s := storetest.SQLite(t)
	master, err := keys.LoadMaster(keys.MasterConfig{Value: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), keys.Config{Store: s, Master: master})
	if err != nil {
		t.Fatal(err)
	}
	node := func(path string) *ACME {
		a, err := OpenACME(t.Context(), ACMEConfig{
			Store: s, Keys: ring, Host: "login.example.com", Agreed: true, Directory: authority.URL + path, Roots: roots,
			Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tries := func(want int64, a *ACME, eager bool) {
		t.Helper()
		before := asked.Load()
		if err := a.look(t.Context(), eager); err != nil {
			t.Fatal(err)
		}
		if got := asked.Load() - before; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
	}
	one := node("/one")
	tries(1, one, true)
	tries(0, one, false)
	two := node("/two") // started anew
	tries(1, two, true)
	for range 5 {
		now = now.Add(5 * time.Second)
		tries(0, one, false)
		tries(0, two, false)
	}
	now = now.Add(2 * time.Minute)
	tries(1, one, false) // when it is time, either does
	tries(0, two, false)
}
