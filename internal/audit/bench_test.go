package audit_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// How long it takes to seal and to verify a million entries: b.N million, so run it
// with -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLiteURL, "postgres": storetest.PostgresURL} {
		b.Run(name, func(b *testing.B) {
			const entries = 1_000_000
			h := open(b, url(b))
			for range entries / 1000 {
				err := h.store.Update(b.Context(), func(tx *store.Tx) error {
					for range 1000 {
						err := tx.Record(model.Event{
							Actor:  model.Actor{Kind: model.ActorUser, ID: "MfvaDnHjB8nYzl9zKcRkXA", Address: "192.0.2.7"},
							Action: "grant.create", UserID: "MfvaDnHjB8nYzl9zKcRkXA", ClientID: "shop", Detail: "grant=MfvaDnHjB8nYzl9zKcRkXA scope=openid profile email",
						})
						if err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.Run("seal", func(b *testing.B) {
				for range b.N {
					if _, err := h.Seal(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("verify", func(b *testing.B) {
				for range b.N {
					if _, err := h.Verify(b.Context(), audit.Check{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
