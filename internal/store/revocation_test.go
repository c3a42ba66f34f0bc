package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// apis makes two sessions of ann: in the first, three APIs may know her, one of
// them by another name; in the second, none.
func apis(t *testing.T, s *store.Store) {
	t.Helper()
	soon := now() + 3600
	grant := func(id string, audience []string, subject string, offline bool) model.Grant {
		return model.Grant{ID: model.GrantID(id), UserID: "ann", ClientID: "shop", SessionID: "ann1", Audience: audience, Subject: subject, Offline: offline, ExpiresAt: soon}
	}
	over := grant("over", []string{"old"}, "", false)
	over.EndedAt = 10
	upkeep(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertSession(model.Session{ID: "ann1", CookieHash: "1", UserID: "ann", IdleAt: soon, ExpiresAt: soon}),
			tx.InsertSession(model.Session{ID: "ann2", CookieHash: "2", UserID: "ann", IdleAt: soon, ExpiresAt: soon}),
			tx.InsertGrant(grant("one", []string{"orders", "bills"}, "", false)),
			tx.InsertGrant(grant("pair", []string{"bills"}, "p1", false)),
			tx.InsertGrant(grant("keep", []string{"files"}, "", true)),
			tx.InsertGrant(over))
	})
}

// An entry says which APIs can have seen a token that it puts out, from all grants
// that there were, and by which names they know the person.
func TestRevocationReach(t *testing.T) {
	e := store.Ending{Cause: model.CauseAdmin, At: future, DropAt: future + 400}
	for _, row := range []struct {
		name      string
		end       func(*store.Tx) error
		audiences []string
		subjects  map[string][]string
	}{
		{"session", func(tx *store.Tx) error { return tx.EndSession("ann1", e) }, []string{"bills", "old", "orders"}, nil},
		{"session without a grant", func(tx *store.Tx) error { return tx.EndSession("ann2", e) }, []string{}, nil},
		{"session over by itself", func(tx *store.Tx) error {
			return tx.ExpireSession("ann1", store.Ending{At: now() + 4000})
		}, []string{"bills", "old", "orders"}, nil},
		{"grant", func(tx *store.Tx) error { return tx.EndGrant("pair", e) }, []string{"bills"}, nil},
		{"grant that outlives the session", func(tx *store.Tx) error { return tx.EndGrant("keep", e) }, []string{"files"}, nil},
		{"person", func(tx *store.Tx) error { return tx.EndUser("ann", e) }, []string{"bills", "files", "old", "orders"},
			map[string][]string{"bills": {"ann", "p1"}, "files": {"ann"}, "old": {"ann"}, "orders": {"ann"}}},
		{"person who is nowhere", func(tx *store.Tx) error { return tx.EndUser("bob", e) }, []string{}, nil},
		{"client", func(tx *store.Tx) error { return tx.EndClient("shop", e) }, nil, nil},
		{"all", func(tx *store.Tx) error { return tx.EndAll(e) }, nil, nil},
		{"token", func(tx *store.Tx) error { return tx.RevokeToken("t", []string{"orders"}, e) }, []string{"orders"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				apis(t, s)
				upkeep(t, s, row.end)
				log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 0) })
				if len(log) != 1 {
					t.Fatalf("the log has %v", log)
				}
				equal(t, log[0].Audiences, row.audiences)
				equal(t, log[0].Subjects, row.subjects)
			})
		})
	}
}

// Of a grant whose audience nobody wrote down, every API can have seen a token.
func TestRevocationReachUnknown(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		apis(t, s)
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(
				tx.InsertGrant(model.Grant{ID: "any", UserID: "ann", ClientID: "bank", SessionID: "ann1", Subject: "p2", ExpiresAt: now() + 60}),
				tx.EndSession("ann1", store.Ending{At: 1}), tx.EndUser("ann", store.Ending{At: 1}))
		})
		log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 0) })
		for _, r := range log {
			if r.Audiences != nil {
				t.Errorf("%s: for %v only", r.Kind, r.Audiences)
			}
		}
		equal(t, log[1].Subjects[""], []string{"p2"})
	})
}

func TestCutOff(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		apis(t, s)
		cutOff := func(user model.UserID, client model.ClientID, want int64) {
			t.Helper()
			if got := read(t, s, func(tx *store.Tx) (int64, error) { return tx.CutOff(user, client) }); got != want {
				t.Errorf("%s at %s: %d, want %d", user, client, got, want)
			}
		}
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.EndSession("ann1", store.Ending{At: 999}), tx.RevokeToken("ann", nil, store.Ending{At: 999}))
		})
		cutOff("ann", "shop", 0)
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(
				tx.EndUser("ann", store.Ending{At: 30}), tx.EndUser("ann", store.Ending{At: 20}), tx.EndClient("bank", store.Ending{At: future + 40}))
		})
		cutOff("ann", "shop", 30)
		cutOff("ann", "bank", future+40)
		cutOff("bob", "bank", future+40)
		cutOff("bob", "shop", 0)
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndAll(store.Ending{At: future + 50}) })
		cutOff("bob", "shop", future+50)
	})
}

// Whoever follows the log is woken when it has grown, and not before.
func TestRevoked(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		if strings.HasSuffix(t.Name(), "/postgres") && !hears(s, 10*time.Second) { // it may have missed something
			t.Fatal("not woken when it begins to listen")
		}
		quiet(s)
		stop := errors.New("stop")
		fails(t, s, stop, func(tx *store.Tx) error {
			return errors.Join(tx.RevokeToken("t", nil, store.Ending{}), stop)
		})
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutSetting("a", "b") })
		if hears(s, 100*time.Millisecond) {
			t.Error("woken by nothing")
		}
		for range 2 { // one that nobody has taken does not hold up the next
			upkeep(t, s, func(tx *store.Tx) error { return tx.RevokeToken("t", nil, store.Ending{}) })
		}
		if !hears(s, time.Second) {
			t.Error("not woken")
		}
	})
}

// A snapshot is the part of the log that can concern a live token, up to where it
// was when it began, however many pages it takes.
func TestLiveRevocations(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const dead, live = 10, 5100
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range dead + live {
				drop := int64(100)
				if i >= dead {
					drop = 101
				}
				if err := tx.RevokeToken(number("t", i), []string{"a\tb", `"`}, store.Ending{Cause: model.CausePolicy, At: 50, DropAt: drop}); err != nil {
					return err
				}
			}
			return nil
		})
		end := read(t, s, (*store.Tx).LastRevocation)
		upkeep(t, s, func(tx *store.Tx) error { return tx.RevokeToken("later", nil, store.Ending{DropAt: 1000}) })
		var all []model.Revocation
		for after := int64(0); ; {
			page := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.LiveRevocations(after, end, 100, 0) })
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			after = page[len(page)-1].Sequence
		}
		if len(all) != live {
			t.Fatalf("%d entries, want %d", len(all), live)
		}
		equal(t, all[0], model.Revocation{Sequence: dead + 1, Kind: model.KindToken, Value: number("t", dead), Cause: model.CausePolicy,
			At: 50, DropAt: 101, Audiences: []string{"a\tb", `"`}})
		if last := all[live-1].Value; last != number("t", dead+live-1) {
			t.Errorf("it ends with %s", last)
		}
	})
}
