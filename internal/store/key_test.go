package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestSigningKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		second := model.SigningKey{ID: "k1", Algorithm: "ES256", Sealed: "…", CreatedAt: 2, ActiveAt: 3}
		first := model.SigningKey{ID: "k2", Algorithm: "RS256", Sealed: "…", CreatedAt: 1, ActiveAt: 1, DropAt: 9}
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.UpdateSigningKey(first) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteSigningKey("k2") })
		equal(t, read(t, s, (*store.Tx).SigningKeys), []model.SigningKey(nil))
		for _, k := range []model.SigningKey{second, first} {
			upkeep(t, s, func(tx *store.Tx) error { return tx.InsertSigningKey(k) })
			fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertSigningKey(k) })
		}
		equal(t, read(t, s, (*store.Tx).SigningKeys), []model.SigningKey{first, second})

		second.ActiveAt, second.DropAt = 30, 90
		changed := second
		changed.Sealed, changed.CreatedAt, changed.Algorithm = "ignored", 99, "ignored"
		upkeep(t, s, func(tx *store.Tx) error { return tx.UpdateSigningKey(changed) })
		equal(t, read(t, s, (*store.Tx).SigningKeys), []model.SigningKey{first, second})

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteSigningKey("k2") })
		equal(t, read(t, s, (*store.Tx).SigningKeys), []model.SigningKey{second})
	})
}

func TestSetting(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		get := func(tx *store.Tx) (string, error) { return tx.Setting("a") }
		fails(t, s, store.ErrNotFound, missing(get))
		won := race(t, 10, store.ErrConflict, func(i int) error {
			return s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.InsertSetting("a", number("v", i)) })
		})
		if won != 1 {
			t.Errorf("%d of 10 made the setting", won)
		}
		for _, value := range []string{"1", "", "ї"} {
			upkeep(t, s, func(tx *store.Tx) error { return tx.PutSetting("a", value) })
			equal(t, read(t, s, get), value)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutSetting("b", "2") })
		equal(t, read(t, s, func(tx *store.Tx) (string, error) { return tx.Setting("b") }), "2")
	})
}

func TestLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		l := store.Link{Hash: "h", Purpose: "recover", UserID: "ann", ExpiresAt: 1000}
		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertLink(l) })
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertLink(l) })
		for name, method := range map[string]func(*store.Tx, string, string, int64) (store.Link, error){
			"Link": (*store.Tx).Link, "UseLink": (*store.Tx).UseLink,
		} {
			t.Run(name, func(t *testing.T) {
				for _, row := range []struct {
					name, hash, purpose string
					at                  int64
				}{
					{"another", "x", "recover", 1},
					{"for another purpose", "h", "setup", 1},
					{"expired", "h", "recover", 1000},
				} {
					fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (store.Link, error) {
						return method(tx, row.hash, row.purpose, row.at)
					}))
				}
			})
		}
		equal(t, read(t, s, func(tx *store.Tx) (store.Link, error) { return tx.Link("h", "recover", 999) }), l)
		upkeep(t, s, func(tx *store.Tx) error {
			got, err := tx.UseLink("h", "recover", 999)
			equal(t, got, l)
			return err
		})
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (store.Link, error) { return tx.UseLink("h", "recover", 999) }))
	})
}

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		e := model.Event{
			At: 5, Actor: model.Actor{Kind: model.ActorUser, ID: "ann", Address: "192.0.2.1"},
			Action: "session.start", UserID: "ann", ClientID: "shop", Detail: "session=s1",
		}
		from := now()
		for range 3 {
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.Record(e) }); err != nil {
				t.Fatal(err)
			}
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.Record(model.Event{Action: "now"}) })
		list := read(t, s, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(1, 2) })
		e.Sequence = 2
		next := e
		next.Sequence = 3
		equal(t, list, []model.Event{e, next})
		list = read(t, s, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(3, 0) })
		if len(list) != 1 || list[0].At < from || list[0].At > now() {
			t.Errorf("a zero time became %+v, not now", list)
		}
	})
}
