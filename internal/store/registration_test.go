package store_test

import (
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestRegistration(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		r := model.Registration{ClientID: "shop", TokenHash: "h1", Address: "192.0.2.1", UsedAt: 10, FreshUntil: 20}
		get := func(tx *store.Tx) (model.Registration, error) { return tx.Registration("shop") }
		fails(t, s, store.ErrNotFound, missing(get))
		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertRegistration(r) })
		equal(t, read(t, s, get), r)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertRegistration(r) })

		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.RotateRegistration("bank", "h1", "h2") })
		if n := race(t, 8, store.ErrNotFound, func(i int) error {
			return s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.RotateRegistration("shop", "h1", fmt.Sprint("h2-", i)) })
		}); n != 1 {
			t.Errorf("%d rotated one token", n)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.UseRegistration("shop", 30) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.UseRegistration("shop", 5) }) // never back
		upkeep(t, s, func(tx *store.Tx) error { return tx.RefreshDocument("shop", 40) })
		if got := read(t, s, get); got.UsedAt != 30 || got.FreshUntil != 40 {
			t.Errorf("%+v", got)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClient("shop") })
		fails(t, s, store.ErrNotFound, missing(get))
	})
}

// Of many who try the last use of something at once, one has it.
func TestRegistrationBounds(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		row := model.RegistrationToken{ID: "t1", Hash: "h", Name: "n", Uses: 3, CreatedAt: 1, ExpiresAt: 100}
		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertRegistrationToken(row) })
		use := func(now int64) error {
			return s.Upkeep(t.Context(), func(tx *store.Tx) error { _, err := tx.UseRegistrationToken("h", now); return err })
		}
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.RegistrationToken, error) { return tx.UseRegistrationToken("h", 100) }))
		if n := race(t, 8, store.ErrNotFound, func(int) error { return use(50) }); n != 3 {
			t.Errorf("%d uses of 3", n)
		}
		row.Used = 3
		equal(t, read(t, s, func(tx *store.Tx) ([]model.RegistrationToken, error) { return tx.RegistrationTokens() }), []model.RegistrationToken{row})
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteRegistrationToken("t1") })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteRegistrationToken("t1") })
	})
}

func TestUnusedClients(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		add := func(id model.ClientID, origin model.Origin, used, fresh int64, disabled bool) {
			upkeep(t, s, func(tx *store.Tx) error {
				if err := tx.InsertClient(model.Client{ID: id, Origin: origin, Disabled: disabled}); err != nil {
					return err
				}
				return tx.InsertRegistration(model.Registration{ClientID: id, UsedAt: used, FreshUntil: fresh})
			})
		}
		add("old", model.OriginRegistered, 10, 0, false)
		add("young", model.OriginRegistered, 20, 0, false)
		add("shut", model.OriginRegistered, 10, 0, true)
		add("granted", model.OriginRegistered, 10, 0, false)
		add("doc-stale", model.OriginDocument, 30, 100, false)
		add("doc-staler", model.OriginDocument, 30, 90, false)
		add("doc-consent", model.OriginDocument, 30, 80, false)
		add("doc-shut", model.OriginDocument, 30, 70, true)
		upkeep(t, s, func(tx *store.Tx) error {
			return tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "granted", ExpiresAt: 1 << 40})
		})
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutConsent(model.Consent{UserID: "ann", ClientID: "doc-consent"}) })

		equal(t, read(t, s, func(tx *store.Tx) ([]model.ClientID, error) { return tx.UnusedClients(10, 0) }), []model.ClientID{"old"})
		equal(t, read(t, s, func(tx *store.Tx) (int64, error) { return tx.CountDocuments() }), int64(4))
		upkeep(t, s, func(tx *store.Tx) error { return tx.EvictDocument() })
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Client, error) { return tx.Client("doc-staler") }))
		if n, err := s.Sweep(t.Context(), 100+86400, 0); err != nil || n.Rows != 1 { // a day after doc-stale went stale
			t.Errorf("%d %v", n, err)
		}
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Client, error) { return tx.Client("doc-stale") }))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.EvictDocument() }) // the others are somebody's
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteConsentsTo("doc-consent") })
		upkeep(t, s, func(tx *store.Tx) error { return tx.EvictDocument() })
	})
}

func TestLogo(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		logo := model.Logo{ClientID: "shop", URI: "https://shop.example/l", Hash: "h1", Type: "image/png", Body: []byte{0, 255, 10}, FetchedAt: 1}
		put := func(l model.Logo) { upkeep(t, s, func(tx *store.Tx) error { return tx.PutLogo(l, 1) }) }
		put(logo)
		equal(t, read(t, s, func(tx *store.Tx) (model.Logo, error) { return tx.Logo("h1") }), logo)
		logo.Hash, logo.FetchedAt = "h2", 2
		put(logo)
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Logo, error) { return tx.Logo("h1") }))
		bare := logo
		bare.Body = []byte{}
		equal(t, read(t, s, func(tx *store.Tx) (model.Logo, error) { return tx.LogoOf("shop") }), bare)
		other := logo
		other.ClientID, other.Hash, other.FetchedAt = "bank", "h3", 3
		put(other) // one too many: the older one goes
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Logo, error) { return tx.LogoOf("shop") }))
		equal(t, read(t, s, func(tx *store.Tx) (model.Logo, error) { return tx.Logo("h3") }), other)
	})
}
