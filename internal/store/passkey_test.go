package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestPasskey(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		k := model.Passkey{
			ID: "k1", UserID: "ann", Credential: "c1", PublicKey: []byte{0xa5, 0, 0xff}, Counter: 1<<32 - 1, Eligible: true,
			AAGUID: "fbfc3007-154e-4ecc-8c0b-6e020557d7bd", Transports: []string{"internal", "hybrid"}, Name: "Phone", CreatedAt: 10,
		}
		other := model.Passkey{ID: "k2", UserID: "ann", Credential: "c2", PublicKey: []byte{1}, CreatedAt: 5}
		insert := func(k model.Passkey) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.InsertPasskey(k) }
		}
		of := func(id model.UserID) []model.Passkey {
			t.Helper()
			return read(t, s, func(tx *store.Tx) ([]model.Passkey, error) { return tx.PasskeysOf(id) })
		}
		upkeep(t, s, insert(k))
		upkeep(t, s, insert(other))
		again := k
		again.ID = "k3"
		fails(t, s, store.ErrConflict, insert(again))
		equal(t, of("ann"), []model.Passkey{other, k})
		equal(t, len(of("bob")), 0)
		equal(t, read(t, s, func(tx *store.Tx) (model.Passkey, error) { return tx.Passkey("k1") }), k)
		equal(t, read(t, s, func(tx *store.Tx) (model.Passkey, error) { return tx.PasskeyByCredential("c2") }), other)
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Passkey, error) { return tx.PasskeyByCredential("c3") }))

		k.Counter, k.BackedUp, k.UsedAt, k.Name = 7, true, 20, "Old phone"
		upkeep(t, s, func(tx *store.Tx) error { return tx.UsePasskey(k) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.RenamePasskey("k1", k.Name) })
		equal(t, of("ann"), []model.Passkey{other, k})
		for name, fn := range map[string]func(*store.Tx) error{
			"use":    func(tx *store.Tx) error { return tx.UsePasskey(model.Passkey{ID: "k9"}) },
			"rename": func(tx *store.Tx) error { return tx.RenamePasskey("k9", "") },
			"delete": func(tx *store.Tx) error { return tx.DeletePasskey("k9") },
			"handle": missing(func(tx *store.Tx) (string, error) { return tx.Handle("ann") }),
		} {
			t.Run(name, func(t *testing.T) { fails(t, s, store.ErrNotFound, fn) })
		}

		handle := func(value string) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.InsertHandle("ann", value) }
		}
		upkeep(t, s, handle("h1"))
		fails(t, s, store.ErrConflict, handle("h2"))
		equal(t, read(t, s, func(tx *store.Tx) (string, error) { return tx.Handle("ann") }), "h1")

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeletePasskey("k2") })
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteUser("ann") })
		equal(t, len(of("ann")), 0)
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (string, error) { return tx.Handle("ann") }))
	})
}

// A question is answered once.
func TestCeremony(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		put := func(content string, expires int64) {
			t.Helper()
			upkeep(t, s, func(tx *store.Tx) error { return tx.PutCeremony("r1", content, expires) })
		}
		take := func(now int64) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (string, error) { return tx.TakeCeremony("r1", now) })
		}
		put("one", 100)
		put("two", 100)
		fails(t, s, store.ErrNotFound, take(100))
		got := race(t, 8, store.ErrNotFound, func(int) error {
			return s.Upkeep(t.Context(), func(tx *store.Tx) error {
				content, err := tx.TakeCeremony("r1", 99)
				if err == nil && content != "two" {
					t.Errorf("took %q", content)
				}
				return err
			})
		})
		equal(t, got, 1)
	})
}
