package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestChangeElsewhere: what a node keeps in memory is read again as soon as another one
// has changed it, and not only when its time is over.
func TestChangeElsewhere(t *testing.T) {
	house := nodes(t, 2)
	here, there := house[0], house[1]
	c, _ := here.Client("shop", web)
	var provider *model.Upstream
	corp := func(name string) {
		t.Helper()
		u, err := here.Federation.Change(t.Context(), servertest.Operator, federation.Change{ID: "corp", Before: provider,
			After: &model.Upstream{UpstreamSettings: model.UpstreamSettings{
				Kind: "oidc", Name: name, Connection: []byte(`{"issuer":"https://corp.example","client_id":"us","token_endpoint_auth_method":"none"}`)}}})
		if err != nil {
			t.Fatal(err)
		}
		provider = &u
	}
	corp("first")
	for _, row := range []struct {
		what   string
		change func(name string)
		look   func() string // what the other node knows
	}{
		{"a client", func(name string) {
			s := c.ClientSettings
			s.Name = name
			if _, err := here.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, s); err != nil {
				t.Fatal(err)
			}
		}, func() string {
			c, err := there.Registrar.Client(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c.Name
		}},
		{"an identity provider", corp, func() string {
			c, err := there.Federation.Choice(t.Context(), "corp")
			if err != nil {
				t.Fatal(err)
			}
			return c.Name
		}},
		{"the signing keys", func(string) {
			if err := here.Keys.Rotate(t.Context(), servertest.Operator, true); err != nil {
				t.Fatal(err)
			}
		}, func() string {
			_, version := there.Keys.Published()
			return version
		}},
	} {
		var took []time.Duration
		for i := range 7 {
			before := row.look() // and so it was read just now
			row.change(fmt.Sprint("name ", i))
			start := time.Now()
			for row.look() == before && time.Since(start) < 10*time.Second {
				time.Sleep(time.Millisecond)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		t.Log(row.what, took)
		// As a rule it is some milliseconds. Who is not told sees a client and a provider
		// after a second, and keys after up to two: that six of seven come by in this time
		// is most unlikely.
		if took[5] > 700*time.Millisecond {
			t.Errorf("%s: another node sees a change only after %v", row.what, took)
		}
	}
}
