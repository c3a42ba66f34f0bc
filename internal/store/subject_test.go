package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestSubject(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ann := model.Subject{Value: "one", Sector: "shop.example", UserID: "ann"}
		of := func(tx *store.Tx) (model.Subject, error) { return tx.SubjectOf("ann", "shop.example") }
		whose := func(tx *store.Tx) (model.Subject, error) { return tx.Subject("one") }
		fails(t, s, store.ErrNotFound, missing(of))
		fails(t, s, store.ErrNotFound, missing(whose))
		insert := func(v model.Subject) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.InsertSubject(v) }
		}
		upkeep(t, s, insert(ann))
		equal(t, read(t, s, of), ann)
		equal(t, read(t, s, whose), ann)
		fails(t, s, store.ErrConflict, insert(model.Subject{Value: "two", Sector: "shop.example", UserID: "ann"}))
		fails(t, s, store.ErrConflict, insert(model.Subject{Value: "one", Sector: "other.example", UserID: "bob"}))
		upkeep(t, s, insert(model.Subject{Value: "two", Sector: "shop.example", UserID: "bob"}))

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteUser("ann") })
		fails(t, s, store.ErrNotFound, missing(whose))
		fails(t, s, store.ErrLapsed, insert(ann))
	})
}
