package account

import (
	"context"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Activity lists what the audit log says of a person, the last first, from the
// entry that comes before a position; 0: from the end. Some actions are left out.
// What is written takes a second to be there. Where somebody else did it, the address is not told: it is
// not the person's to know.
func (a *Accounts) Activity(ctx context.Context, id model.UserID, before int64, limit int, but ...string) ([]model.Event, error) {
	var list []model.Event
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.EventsOf(id, before, limit, but...)
		return err
	})
	for i, e := range list {
		switch e.Actor.Kind {
		case model.ActorUser:
			if e.Actor.ID == string(id) {
				continue
			}
		case model.ActorNobody:
			continue // who tries to get in is the person's affair
		}
		list[i].Actor.Address = ""
		if e.Actor.Kind != model.ActorClient {
			list[i].Actor.ID = ""
		}
	}
	return list, err
}

// NoteExport notes that a person was handed all that is stored of them: whoever has
// their session may have taken it.
func (a *Accounts) NoteExport(ctx context.Context, actor model.Actor, id model.UserID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		if _, err := tx.User(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.export", UserID: id})
	})
}
