package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestAuthSession(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertClient(model.Client{ID: "other"}) })
		put := func(a model.AuthSession) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.PutAuthSession(a) }
		}
		find := func(hash string, now int64) model.AuthSession {
			t.Helper()
			return read(t, s, func(tx *store.Tx) (model.AuthSession, error) { return tx.AuthSession(hash, now) })
		}
		first := model.AuthSession{ID: "1", Hash: "h1", ClientID: "shop", Asked: &model.Asked{Scope: []string{"openid"}}, Tries: 1, ExpiresAt: 100}
		upkeep(t, s, put(first))
		equal(t, find("h1", 99), first)
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.AuthSession, error) { return tx.AuthSession("h1", 100) }))

		second := model.AuthSession{ID: "1", Hash: "h2", ClientID: "shop", UserID: "ann", SessionID: "s", ExpiresAt: 900}
		upkeep(t, s, put(second))
		equal(t, find("h2", 0), second)
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.AuthSession, error) { return tx.AuthSession("h1", 0) }))

		theirs := second
		theirs.ClientID = "other"
		fails(t, s, store.ErrNotFound, put(theirs))

		upkeep(t, s, func(tx *store.Tx) error { return tx.RotateAuthSession("1", "h3") })
		if got := find("h3", 0); got.UserID != "ann" {
			t.Errorf("%+v", got)
		}
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.RotateAuthSession("2", "h4") })

		upkeep(t, s, put(model.AuthSession{ID: "2", Hash: "x", ClientID: "shop", ExpiresAt: 10}))
		upkeep(t, s, put(model.AuthSession{ID: "3", Hash: "y", ClientID: "shop", ExpiresAt: 20}))
		count := func(by int64, most int) int {
			return read(t, s, func(tx *store.Tx) (int, error) { return tx.CountAuthSessions(by, most) })
		}
		equal(t, []int{count(9, 5), count(10, 5), count(20, 5), count(20, 1)}, []int{0, 1, 2, 1})

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteAuthSession("1") })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteAuthSession("1") })
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClient("shop") })
		if n := count(1000, 5); n != 0 {
			t.Errorf("%d are left of a client that is gone", n)
		}
	})
}
