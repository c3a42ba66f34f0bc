package store_test

import (
	"errors"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestClient(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := model.Client{
			ID: "c1", CreatedAt: 1, UpdatedAt: 2,
			ClientSettings: model.ClientSettings{
				Name: "Крамниця", ApplicationType: "web", RedirectURIs: []string{"https://a.example/cb?x=1&y=2"},
				GrantTypes: []string{model.GrantAuthorizationCode}, Scopes: []string{"openid", "orders:read"},
				AuthMethod: model.AuthPrivateKey, JWKS: []byte(`{"keys":[]}`), FirstParty: true, RefreshIdle: 60,
			},
		}
		get := func(tx *store.Tx) (model.Client, error) { return tx.Client("c1") }
		fails(t, s, store.ErrNotFound, missing(get))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.UpdateClient(c) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteClient("c1") })

		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertClient(c) })
		equal(t, read(t, s, get), c)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertClient(c) })
		session := model.Session{ID: "s1", CookieHash: "h", UserID: "ann", IdleAt: 10, ExpiresAt: 10}
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.InsertUser(model.User{ID: "ann", Login: "ann"}), tx.InsertSession(session))
		})
		enabled := func(id model.ClientID, want bool) {
			t.Helper()
			view(t, s, func(tx *store.Tx) error {
				got, enabled, err := tx.SessionFor("s1", id)
				equal(t, got, session)
				equal(t, enabled, want)
				return err
			})
		}
		enabled("c1", true)
		enabled("c2", false)
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { _, _, err := tx.SessionFor("s2", "c1"); return err })

		c.Disabled, c.Name, c.UpdatedAt, c.JWKS = true, "Shop", 3, nil
		upkeep(t, s, func(tx *store.Tx) error { return tx.UpdateClient(c) })
		equal(t, read(t, s, get), c)
		enabled("c1", false)

		c.JWKS = []byte(`{`) // not JSON
		if err := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.UpdateClient(c) }); err == nil {
			t.Error("a broken document was stored")
		}

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClient("c1") })
		fails(t, s, store.ErrNotFound, missing(get))
	})
}

func TestClientsPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range 7 {
				if err := tx.InsertClient(model.Client{ID: model.ClientID(number("c", i))}); err != nil {
					return err
				}
			}
			return nil
		})
		list := read(t, s, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("c0002", 3) })
		var got []model.ClientID
		for _, c := range list {
			got = append(got, c.ID)
		}
		equal(t, got, []model.ClientID{"c0003", "c0004", "c0005"})
	})
}

func TestClientSecrets(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		first := model.ClientSecret{ID: "x1", ClientID: "shop", Hash: "h1", Sealed: "v1.x", CreatedAt: 1, ExpiresAt: 9}
		second := model.ClientSecret{ID: "x0", ClientID: "shop", Hash: "h2", CreatedAt: 2}
		list := func(tx *store.Tx) ([]model.ClientSecret, error) { return tx.ClientSecrets("shop") }
		equal(t, read(t, s, list), []model.ClientSecret(nil))
		upkeep(t, s, func(tx *store.Tx) error {
			if err := tx.InsertClientSecret(second); err != nil {
				return err
			}
			return tx.InsertClientSecret(first)
		})
		equal(t, read(t, s, list), []model.ClientSecret{first, second})
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertClientSecret(first) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClientSecret("x1") })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteClientSecret("x1") })
		equal(t, read(t, s, list), []model.ClientSecret{second})
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClient("shop") })
		equal(t, read(t, s, list), []model.ClientSecret(nil))
	})
}

// RFC 7523 §3: "The authorization server MAY ensure that JWTs are not replayed".
func TestUseAssertion(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		use := func(client model.ClientID, jti string) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.UseAssertion(client, jti, now()+60) }
		}
		upkeep(t, s, use("shop", "1"))
		upkeep(t, s, use("shop", "2"))
		upkeep(t, s, use("bank", "1"))
		fails(t, s, store.ErrConflict, use("shop", "1"))
		if won := race(t, 20, store.ErrConflict, func(int) error { return s.Upkeep(t.Context(), use("bank", "9")) }); won != 1 {
			t.Errorf("%d of 20 used one assertion", won)
		}
	})
}

// A conflict is an answer, not a failure: the transaction goes on, on either
// database.
func TestConflictLeavesTheTransactionUsable(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			if err := tx.InsertClient(model.Client{ID: "shop"}); err == nil {
				t.Error("no conflict")
			}
			return tx.PutSetting("replays", "1")
		})
		equal(t, read(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("replays") }), "1")
	})
}

func TestOwnCutOff(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.InsertClient(model.Client{ID: "c1"}), tx.InsertClient(model.Client{ID: "c2"}), tx.InsertClient(model.Client{ID: "off", Disabled: true}))
		})
		cut := func() int64 { return read(t, s, func(tx *store.Tx) (int64, error) { return tx.OwnCutOff("c1") }) }
		equal(t, cut(), int64(0))
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndClient("c2", store.Ending{At: future + 900}) })
		equal(t, cut(), int64(0))
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndClient("c1", store.Ending{At: future + 100}) })
		equal(t, cut(), int64(future+100))
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndAll(store.Ending{At: future + 200}) })
		equal(t, cut(), int64(future+200))
		for _, id := range []model.ClientID{"off", "nobody"} {
			fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (int64, error) { return tx.OwnCutOff(id) }))
		}
	})
}
