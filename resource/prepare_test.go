package resource_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/resource"
)

func TestPrepare(t *testing.T) {
	s := newServer(t)
	at := now
	g := newGuard(t, nil, func(c *resource.Config) { c.Issuer, c.Now = s.URL, func() time.Time { return at } })
	s.down.Store(true)
	if err := g.Prepare(t.Context()); !errors.Is(err, jwk.ErrUnavailable) {
		t.Errorf("the issuer is away: %v", err)
	}
	s.down.Store(false)
	at = at.Add(time.Minute)
	if err := g.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.down.Store(true) // what was fetched is there
	if got := serve(t, g.RequireFunc(fine), bearer(s.token(t))); got.status != http.StatusNoContent {
		t.Errorf("%+v", got)
	}
}
