package store_test

import (
	"errors"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// One node at a time gets the certificate, when it is time.
func TestCertificateClaim(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		claim := func(c store.CertificateClaim) (tries int64) {
			t.Helper()
			c.Host = "login.example.com"
			err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
				got, err := tx.ClaimCertificate(c)
				tries = got.Tries
				return err
			})
			if errors.Is(err, store.ErrNotFound) {
				return 0
			}
			if err != nil {
				t.Fatal(err)
			}
			return tries
		}
		release := func(name string, next int64) {
			t.Helper()
			upkeep(t, s, func(tx *store.Tx) error { return tx.ReleaseCertificate("login.example.com", name, next) })
		}
		for _, row := range []struct {
			name string
			c    store.CertificateClaim
			want int64
		}{
			{"the first", store.CertificateClaim{Claim: "a", Directory: "x", Now: 100, Until: 200, Eager: -1}, 1},
			{"while somebody is at it", store.CertificateClaim{Claim: "b", Directory: "x", Now: 199, Until: 300, Eager: 199}, 0},
			{"another authority, likewise", store.CertificateClaim{Claim: "b", Directory: "y", Now: 199, Until: 300, Eager: 199, Anew: true}, 0},
			{"after a node that died", store.CertificateClaim{Claim: "b", Directory: "x", Now: 200, Until: 300, Eager: -1}, 2},
		} {
			if got := claim(row.c); got != row.want {
				t.Errorf("%s: try %d, want %d", row.name, got, row.want)
			}
		}
		// Who has lost the claim has no say.
		err := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.ChallengeCertificate("login.example.com", "a", "token") })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a challenge of one who has lost the claim: %v", err)
		}
		release("b", 1000)
		for _, row := range []struct {
			name string
			c    store.CertificateClaim
			want int64
		}{
			{"in the pause", store.CertificateClaim{Claim: "c", Directory: "x", Now: 300, Until: 400, Eager: -1}, 0},
			{"in the pause, eager, too soon", store.CertificateClaim{Claim: "c", Directory: "x", Now: 300, Until: 400, Eager: 199}, 0},
			{"in the pause, eager", store.CertificateClaim{Claim: "c", Directory: "x", Now: 300, Until: 400, Eager: 200}, 3},
		} {
			if got := claim(row.c); got != row.want {
				t.Errorf("%s: try %d, want %d", row.name, got, row.want)
			}
		}
		issued := model.Certificate{Host: "login.example.com", Claim: "c", Sealed: "v1.x", ExpiresAt: 9000, NextAt: 6000}
		err = s.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.IssueCertificate(issued); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "certificate.issue"})
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, read(t, s, func(tx *store.Tx) (model.Certificate, error) { return tx.Certificate("login.example.com") }),
			model.Certificate{Host: "login.example.com", Directory: "x", Sealed: "v1.x", ExpiresAt: 9000, TriedAt: 300, NextAt: 6000})
		for _, row := range []struct {
			name string
			c    store.CertificateClaim
			want int64
		}{
			{"as long as it is good, eager as well", store.CertificateClaim{Claim: "d", Directory: "x", Now: 5999, Until: 7000, Eager: 5999}, 0},
			{"when it is time", store.CertificateClaim{Claim: "d", Directory: "x", Now: 6000, Until: 6100, Eager: -1}, 1},
		} {
			if got := claim(row.c); got != row.want {
				t.Errorf("%s: try %d, want %d", row.name, got, row.want)
			}
		}
		release("d", 8000)
		if got := claim(store.CertificateClaim{Claim: "e", Directory: "y", Now: 6200, Until: 6300, Eager: -1}); got != 0 {
			t.Errorf("of another authority that was asked already: try %d, want none", got)
		}
		if got := claim(store.CertificateClaim{Claim: "e", Directory: "y", Now: 6200, Until: 6300, Eager: -1, Anew: true}); got != 2 {
			t.Errorf("of another authority: try %d, want 2", got)
		}
	})
}

// Of many nodes that claim at the same time, one does.
func TestCertificateClaimTogether(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		const nodes = 4
		won := make(chan bool, nodes)
		for i := range nodes {
			s := storetest.Open(t, url)
			go func() {
				err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
					_, err := tx.ClaimCertificate(store.CertificateClaim{Host: "login.example.com", Claim: string(rune('a' + i)), Now: 1, Until: 100, Eager: -1})
					return err
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
				won <- err == nil
			}()
		}
		n := 0
		for range nodes {
			if <-won {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d nodes have the claim", n)
		}
	})
}
