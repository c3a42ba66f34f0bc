package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// listeners gives shop, bank, mute and closed of parties a stream each, which has
// the name of its client.
func listeners(t *testing.T, s *store.Store) {
	t.Helper()
	parties(t, s)
	upkeep(t, s, func(tx *store.Tx) error {
		for _, id := range []string{"shop", "bank", "mute", "closed"} {
			err := tx.InsertStream(model.Stream{
				ID: model.StreamID(id), ClientID: model.ClientID(id), Method: model.DeliverPush, Status: model.StreamEnabled,
				Delivered: []string{model.EventSessionRevoked, model.EventAccountDisabled}, CreatedAt: 1,
			}, 10)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func signals(t *testing.T, s *store.Store) (list []string) {
	t.Helper()
	for _, id := range []model.StreamID{"shop", "bank", "mute", "closed"} {
		stream := model.Stream{ID: id, Status: model.StreamEnabled}
		for _, g := range read(t, s, func(tx *store.Tx) ([]model.Signal, error) { return tx.Signals(stream, now(), 0) }) {
			list = append(list, fmt.Sprintf("%s %s %s", id, g.UserID, g.SessionID))
		}
	}
	slices.Sort(list)
	return list
}

// Whatever ends a session is put into the streams of those who took part in it or
// hold a grant from it (shop and bank do, from each of people), but for disabled
// clients and streams, and for people who were taken out.
func TestEndingIsSignalled(t *testing.T) {
	e := store.NewEnding(model.CauseAdmin, now())
	for _, row := range []struct {
		name string
		do   func(*store.Tx) error
		want []string
	}{
		{"one session", func(tx *store.Tx) error { return tx.EndSession("ann1", e) }, []string{"bank ann ann1", "mute ann ann1", "shop ann ann1"}},
		{"a person", func(tx *store.Tx) error { return tx.EndUser("ann", e) }, []string{"bank ann ann1", "bank ann ann2", "mute ann ann1", "shop ann ann1", "shop ann ann2"}},
		{"everything", func(tx *store.Tx) error { return tx.EndAll(e) }, []string{"bank ann ann1", "bank ann ann2", "bank bob bob1", "bank bob bob2", "mute ann ann1",
			"shop ann ann1", "shop ann ann2", "shop bob bob1", "shop bob bob2"}},
		{"a stream that is paused holds it", func(tx *store.Tx) error {
			return errors.Join(tx.SetStreamStatus("shop", model.StreamPaused, "", 1), tx.EndSession("ann2", e))
		}, []string{"bank ann ann2", "shop ann ann2"}},
		{"one that is disabled does not", func(tx *store.Tx) error {
			return errors.Join(tx.SetStreamStatus("shop", model.StreamDisabled, "", 1), tx.EndSession("ann2", e))
		}, []string{"bank ann ann2"}},
		{"a person who was taken out", func(tx *store.Tx) error {
			return errors.Join(tx.ExcludeSubject("shop", "ann"), tx.EndSession("ann1", e))
		}, []string{"bank ann ann1", "mute ann ann1"}},
		{"and put in again", func(tx *store.Tx) error {
			return errors.Join(tx.ExcludeSubject("shop", "ann"), tx.IncludeSubject("shop", "ann"), tx.EndSession("ann2", e))
		}, []string{"bank ann ann2", "shop ann ann2"}},
		{"about a person: who took part in a session of theirs", func(tx *store.Tx) error {
			return tx.Tell(model.Signal{Type: model.EventAccountDisabled, UserID: "ann", At: now()})
		}, []string{"bank ann ", "mute ann ", "shop ann "}},
		{"nothing that nobody asked for", func(tx *store.Tx) error {
			return tx.Tell(model.Signal{Type: model.EventCredentialChange, UserID: "ann", At: now()})
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				listeners(t, s)
				upkeep(t, s, row.do)
				if got := signals(t, s); !slices.Equal(got, row.want) {
					t.Errorf("%q, want %q", got, row.want)
				}
			})
		})
	}
}

// However many streams there are in which a person is known, each is told.
func TestTellMany(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		parties(t, s)
		const many = 1003
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range many {
				err := tx.InsertStream(model.Stream{
					ID: model.StreamID(fmt.Sprintf("%04d", i)), ClientID: "shop", Method: model.DeliverPoll, Status: model.StreamEnabled,
					Delivered: []string{model.EventAccountDisabled, model.EventTokenClaimsChange}, CreatedAt: 1,
				}, 2*many)
				if err != nil {
					return err
				}
			}
			return errors.Join(tx.InsertGrant(model.Grant{ID: "more", UserID: "ann", ClientID: "shop", SessionID: "ann1", Scope: []string{"groups"}, ExpiresAt: now() + 3600}),
				tx.Tell(model.Signal{Type: model.EventAccountDisabled, UserID: "ann", At: now()}),
				tx.TellGranted(model.Signal{Type: model.EventTokenClaimsChange, UserID: "ann", At: now()}, "groups"))
		})
		told := read(t, s, func(tx *store.Tx) (n int64, err error) {
			for i := range many {
				one, err := tx.CountSignals(model.StreamID(fmt.Sprintf("%04d", i)))
				if n += one; err != nil {
					return n, err
				}
			}
			return n, nil
		})
		if told != 2*many {
			t.Errorf("%d were told, want %d", told, 2*many)
		}
	})
}

// Of many who want to push a stream at the same time one may, until its lease is
// over or it lets go; and what was changed meanwhile stays.
func TestClaimStream(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		listeners(t, s)
		upkeep(t, s, func(tx *store.Tx) error {
			return tx.InsertSignal(model.Signal{StreamID: "shop", Type: model.EventVerification, At: now()})
		})
		streams := func(at int64) []model.StreamID {
			return read(t, s, func(tx *store.Tx) ([]model.StreamID, error) { return tx.DueStreams(due(at)) })
		}
		if got := streams(now()); !slices.Equal(got, []model.StreamID{"shop"}) {
			t.Fatalf("due: %v", got)
		}
		var won atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				err := s.Upkeep(t.Context(), func(tx *store.Tx) error { _, err := tx.ClaimStream("shop", due(100), 160); return err })
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || len(streams(100)) != 0 || len(streams(160)) != 1 {
			t.Errorf("%d won, due %v, later %v", won.Load(), streams(100), streams(160))
		}
		upkeep(t, s, func(tx *store.Tx) error {
			return tx.ReleaseStream(model.Stream{ID: "shop", NextAt: 500, Attempts: 1}, 160)
		})
		if len(streams(499)) != 0 || len(streams(500)) != 1 {
			t.Error("it is not due when it should be")
		}
		upkeep(t, s, func(tx *store.Tx) error {
			if _, err := tx.ClaimStream("shop", due(500), 560); err != nil {
				return err
			}
			return tx.SetStreamStatus("shop", model.StreamEnabled, "", 1) // by the receiver, meanwhile
		})
		upkeep(t, s, func(tx *store.Tx) error { return tx.ReleaseStream(model.Stream{ID: "shop", NextAt: 9000}, 560) })
		if len(streams(501)) != 1 {
			t.Error("whoever let go undid what the receiver did")
		}
		upkeep(t, s, func(tx *store.Tx) error { _, err := tx.ClaimStream("shop", due(9000), 9060); return err })
		if len(streams(8000)) != 0 || len(streams(500)) != 1 {
			t.Error("a clock that was ahead holds it up")
		}
		upkeep(t, s, func(tx *store.Tx) error { _, err := tx.ClaimStream("shop", due(500), 560); return err })
	})
}

// A client has so many streams and no more, also of many who ask at once.
func TestInsertStreamBound(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		parties(t, s)
		var made atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
					return tx.InsertStream(model.Stream{ID: model.StreamID(fmt.Sprint(i)), ClientID: "shop", Method: model.DeliverPoll, Status: model.StreamEnabled}, 3)
				})
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made.Load() != 3 {
			t.Errorf("%d were made", made.Load())
		}
	})
}

// Of a full stream the oldest stay, and what is about itself.
func TestTrimSignals(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		listeners(t, s)
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range 6 {
				g := model.Signal{StreamID: "shop", Type: model.EventSessionRevoked, UserID: "ann", SessionID: model.SessionID(fmt.Sprint(i)), At: now()}
				if i == 5 {
					g = model.Signal{StreamID: "shop", Type: model.EventVerification, At: now()}
				}
				if err := tx.InsertSignal(g); err != nil {
					return err
				}
			}
			return nil
		})
		full := func(max int64) int {
			return len(read(t, s, func(tx *store.Tx) ([]model.Stream, error) { return tx.FullStreams(max) }))
		}
		if full(5) != 1 || full(6) != 0 {
			t.Errorf("full: %d and %d", full(5), full(6))
		}
		upkeep(t, s, func(tx *store.Tx) error {
			n, err := tx.TrimSignals("shop", 3)
			if n != 2 {
				t.Errorf("%d were removed", n)
			}
			return err
		})
		if got := signals(t, s); !slices.Equal(got, []string{"shop  ", "shop ann 0", "shop ann 1", "shop ann 2"}) {
			t.Errorf("%q", got)
		}
	})
}

// An address finds its person in whichever case, also in a row from before there
// was a column for it.
func TestUsersByEmail(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		upkeep(t, s, func(tx *store.Tx) error {
			for id, email := range map[model.UserID]string{"ann": "Ann.O'Neil+x_y@Example.com", "bob": "bob@example.com", "eve": "annXo'neil+x_y@example.com", "nil": ""} {
				for n := range 4 { // who only say that it is theirs, before the owner and after
					other := model.UserID("az"[n%2:n%2+1] + string(id) + strconv.Itoa(n))
					profile := model.Profile{Email: strings.ToUpper(email), Name: `"email_verified":true`}
					if err := tx.InsertUser(model.User{ID: other, Login: string(other), Status: model.UserActive, Profile: profile}); err != nil {
						return err
					}
				}
				if err := tx.InsertUser(model.User{ID: id, Login: string(id), Status: model.UserActive, Profile: model.Profile{Email: email, EmailVerified: email != "", Name: `"email_verified":true`}}); err != nil {
					return err
				}
			}
			return nil
		})
		for _, old := range []bool{false, true} {
			if old {
				exec(t, raw(t, url), `UPDATE users SET email = '?'`)
			}
			for email, want := range map[string]int{"ann.o'neil+X_Y@example.COM": 1, "bob@example.com": 1, "b_b@example.com": 0, "%": 0, "?": 0} {
				list := read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.UsersByEmail(email) })
				if len(list) != want {
					t.Errorf("old %v: %s finds %d", old, email, len(list))
				}
			}
		}
	})
}
