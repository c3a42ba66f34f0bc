package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// parties are people of people, who took part in sessions of theirs: shop and
// bank ask to be told of sign-outs, mute does not, and closed is disabled.
func parties(t *testing.T, s *store.Store) {
	t.Helper()
	people(t, s)
	upkeep(t, s, func(tx *store.Tx) error {
		told := model.ClientSettings{BackchannelURI: "https://client.example/logout"}
		for _, c := range []model.Client{
			{ID: "shop", ClientSettings: told}, {ID: "bank", ClientSettings: told},
		} {
			if err := tx.UpdateClient(c); err != nil {
				return err
			}
		}
		for _, c := range []model.Client{{ID: "mute"}, {ID: "closed", Disabled: true, ClientSettings: told}} {
			if err := tx.InsertClient(c); err != nil {
				return err
			}
		}
		for _, part := range []struct {
			session model.SessionID
			client  model.ClientID
		}{{"ann1", "shop"}, {"ann1", "bank"}, {"ann1", "mute"}, {"ann1", "closed"}, {"ann1", "shop"}, {"ann2", "shop"}, {"bob1", "bank"}} {
			if err := tx.TakePart(part.session, part.client, 1); err != nil {
				return err
			}
		}
		return nil
	})
}

func told(t *testing.T, s *store.Store) (list []string) {
	t.Helper()
	for _, n := range read(t, s, func(tx *store.Tx) ([]model.Notice, error) { return tx.Notices(0, 0) }) {
		list = append(list, string(n.SessionID)+" "+n.Destination+" "+string(n.Cause))
	}
	slices.Sort(list)
	return list
}

// Whatever ends a session tells those who took part in it, in the same
// transaction.
func TestEndingTells(t *testing.T) {
	e := store.Ending{Cause: model.CauseAdmin, At: now(), DropAt: now() + 60}
	over := store.Ending{Cause: model.CauseExpired, At: now() + 7200, DropAt: now() + 7260}
	for _, row := range []struct {
		name string
		end  func(*store.Tx) error
		want []string
	}{
		{"a session", func(tx *store.Tx) error { return tx.EndSession("ann1", e) }, []string{"ann1 bank admin", "ann1 shop admin"}},
		{"a session in which nobody took part", func(tx *store.Tx) error { return tx.EndSession("bob2", e) }, nil},
		{"a session, by itself", func(tx *store.Tx) error { return tx.ExpireSession("ann1", over) }, []string{"ann1 bank expired", "ann1 shop expired"}},
		{"a person", func(tx *store.Tx) error { return tx.EndUser("ann", e) }, []string{"ann1 bank admin", "ann1 shop admin", "ann2 shop admin"}},
		{"a person who is then deleted", func(tx *store.Tx) error {
			if err := tx.EndUser("ann", e); err != nil {
				return err
			}
			return tx.DeleteUser("ann")
		}, []string{"ann1 bank admin", "ann1 shop admin", "ann2 shop admin"}},
		{"everything", func(tx *store.Tx) error { return tx.EndAll(e) },
			[]string{"ann1 bank admin", "ann1 shop admin", "ann2 shop admin", "bob1 bank admin"}},
		{"a person, one of whose sessions has ended before", func(tx *store.Tx) error {
			if err := tx.EndSession("ann1", e); err != nil {
				return err
			}
			return tx.EndUser("ann", e)
		}, []string{"ann1 bank admin", "ann1 shop admin", "ann2 shop admin"}},
		{"a grant is no session", func(tx *store.Tx) error { return tx.EndGrant("ann1-shop", e) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				parties(t, s)
				upkeep(t, s, row.end)
				equal(t, told(t, s), row.want)
				select {
				case <-s.Queued():
					if row.want == nil {
						t.Error("woken for nothing")
					}
				default:
					if row.want != nil {
						t.Error("nobody was woken")
					}
				}
			})
		})
	}
}

func TestExpireSession(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		people(t, s)
		at := func(after int64) store.Ending { return store.Ending{Cause: model.CauseExpired, At: now() + after} }
		due := func(after int64) (ids []model.SessionID) {
			for _, x := range read(t, s, func(tx *store.Tx) ([]model.Session, error) { return tx.DueSessions(now()+after, 0) }) {
				ids = append(ids, x.ID)
			}
			return ids
		}
		if ids := due(0); len(ids) != 0 {
			t.Errorf("over already: %v", ids)
		}
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ExpireSession("ann1", at(0)) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.TouchSession("ann1", now(), now()+60) })
		equal(t, due(120), []model.SessionID{"ann1"})
		upkeep(t, s, func(tx *store.Tx) error { return tx.ExpireSession("ann1", at(120)) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ExpireSession("ann1", at(120)) })
		if ids := due(120); len(ids) != 0 {
			t.Errorf("over twice: %v", ids)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndSession("ann2", at(0)) })
		if ids := due(7200); len(ids) != 2 {
			t.Errorf("over: %v, want bob's", ids)
		}
	})
}

func TestNotice(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		parties(t, s)
		at := now()
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndAll(store.Ending{Cause: model.CauseAdmin, At: at}) })
		destinations := func(at int64) []string {
			return read(t, s, func(tx *store.Tx) ([]string, error) { return tx.DueDestinations(due(at)) })
		}
		claim := func(at int64, limit int) (list []model.Notice) {
			upkeep(t, s, func(tx *store.Tx) (err error) {
				list, err = tx.ClaimNotices("bank", due(at), at+60, limit)
				return err
			})
			return list
		}
		equal(t, destinations(at), []string{"bank", "shop"})
		first := claim(at, 1)
		if len(first) != 1 || first[0].Attempts != 1 || first[0].ExpiresAt != at+86400 || first[0].At != at || first[0].Kind != model.NoticeLogout {
			t.Fatalf("claimed %+v", first)
		}
		second := claim(at, 5)
		if len(second) != 1 || second[0].Sequence == first[0].Sequence || len(claim(at+59, 5)) != 0 {
			t.Fatalf("claimed %+v", second)
		}
		equal(t, destinations(at), []string{"shop"})
		// Whoever claimed it has died: it is due again.
		if again := claim(at+60, 1); len(again) != 1 || again[0].Attempts != 2 {
			t.Fatalf("claimed %+v", again)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.PostponeNotices("bank", due(at+60), at+500) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.RetryNotice(first[0].Sequence, at+400) })
		if list := claim(at+450, 5); len(list) != 1 || list[0].Sequence != first[0].Sequence {
			t.Fatalf("claimed %+v", list)
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteNotice(first[0].Sequence) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteNotice(first[0].Sequence) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.RetryNotice(first[0].Sequence, 1) })
		if list := claim(at+500, 5); len(list) != 1 || list[0].Sequence != second[0].Sequence {
			t.Fatalf("claimed %+v", list)
		}
		// The clock was ahead then, and has been put right.
		if list := claim(at-3000, 5); len(list) != 0 {
			t.Fatalf("claimed %+v", list)
		}
		equal(t, destinations(at-4000), []string{"shop", "bank"})
		if list := claim(at-4000, 5); len(list) != 1 {
			t.Fatalf("claimed %+v", list)
		}
	})
}

// due is what is due at a time, of what is never put off for longer than an hour.
func due(at int64) store.Due { return store.Due{Now: at, Latest: at + 3600} }

// Of several nodes that claim at once, one is given each notice.
func TestClaimTogether(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		each := make(chan int64, 100)
		upkeep(t, stores[0], func(tx *store.Tx) error {
			if err := tx.InsertUser(model.User{ID: "ann", Login: "ann", Status: model.UserActive}); err != nil {
				return err
			}
			if err := tx.InsertClient(model.Client{ID: "shop", ClientSettings: model.ClientSettings{BackchannelURI: "https://shop.example/"}}); err != nil {
				return err
			}
			for i := range 40 {
				id := number("s", i)
				if err := tx.InsertSession(model.Session{ID: model.SessionID(id), CookieHash: id, UserID: "ann", IdleAt: now() + 60, ExpiresAt: now() + 60}); err != nil {
					return err
				}
				if err := tx.TakePart(model.SessionID(id), "shop", 1); err != nil {
					return err
				}
			}
			return tx.EndAll(store.Ending{At: now()})
		})
		at := time.Now().Unix() + 1
		race(t, 8, nil, func(i int) error {
			for {
				var list []model.Notice
				err := stores[i%2].Upkeep(t.Context(), func(tx *store.Tx) (err error) {
					list, err = tx.ClaimNotices("shop", due(at), at+60, 3)
					return err
				})
				if err != nil || len(list) == 0 {
					return err
				}
				for _, n := range list {
					each <- n.Sequence
				}
			}
		})
		close(each)
		seen := map[int64]int{}
		for n := range each {
			seen[n]++
		}
		for n, times := range seen {
			if times != 1 {
				t.Errorf("notice %d was claimed %d times", n, times)
			}
		}
		if len(seen) != 40 {
			t.Errorf("%d of 40 claimed", len(seen))
		}
	})
}
