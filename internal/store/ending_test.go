package store_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// people makes, for ann and for bob, two sessions; each has a grant to shop, a
// grant to bank, and one to shop that outlives the session.
func people(t *testing.T, s *store.Store) {
	t.Helper()
	upkeep(t, s, func(tx *store.Tx) error {
		for _, user := range []model.UserID{"ann", "bob"} {
			for _, n := range []string{"1", "2"} {
				id := string(user) + n
				soon := now() + 3600
				err := errors.Join(
					tx.InsertSession(model.Session{ID: model.SessionID(id), CookieHash: id, UserID: user, IdleAt: soon, ExpiresAt: soon}),
					tx.InsertGrant(model.Grant{ID: model.GrantID(id + "-shop"), UserID: user, ClientID: "shop", SessionID: model.SessionID(id), ExpiresAt: soon}),
					tx.InsertGrant(model.Grant{ID: model.GrantID(id + "-bank"), UserID: user, ClientID: "bank", SessionID: model.SessionID(id), ExpiresAt: soon}),
					tx.InsertGrant(model.Grant{ID: model.GrantID(id + "-keep"), UserID: user, ClientID: "shop", SessionID: model.SessionID(id), Offline: true, ExpiresAt: soon}))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// living returns the IDs of what still lives, in order.
func living(t *testing.T, s *store.Store) []string {
	t.Helper()
	var ids []string
	view(t, s, func(tx *store.Tx) error {
		for _, user := range []model.UserID{"ann", "bob"} {
			sessions, err := tx.SessionsOf(user)
			if err != nil {
				return err
			}
			for _, x := range sessions {
				ids = append(ids, string(x.ID))
			}
			grants, err := tx.GrantsOf(user)
			if err != nil {
				return err
			}
			for _, x := range grants {
				ids = append(ids, string(x.ID))
			}
		}
		return nil
	})
	slices.Sort(ids)
	return ids
}

func TestEnding(t *testing.T) {
	all := []string{
		"ann1", "ann1-bank", "ann1-keep", "ann1-shop", "ann2", "ann2-bank", "ann2-keep", "ann2-shop",
		"bob1", "bob1-bank", "bob1-keep", "bob1-shop", "bob2", "bob2-bank", "bob2-keep", "bob2-shop",
	}
	e := store.Ending{Cause: model.CauseAdmin, At: future, DropAt: future + 4000}
	for _, row := range []struct {
		name  string
		end   func(*store.Tx) error
		again error // of doing it twice
		dead  []string
		entry model.Revocation
	}{
		{
			"session", func(tx *store.Tx) error { return tx.EndSession("ann1", e) }, store.ErrNotFound,
			[]string{"ann1", "ann1-bank", "ann1-shop"},
			model.Revocation{Kind: model.KindSession, Value: "ann1"},
		}, {
			"grant", func(tx *store.Tx) error { return tx.EndGrant("ann1-keep", e) }, store.ErrNotFound,
			[]string{"ann1-keep"},
			model.Revocation{Kind: model.KindGrant, Value: "ann1-keep"},
		}, {
			"user", func(tx *store.Tx) error { return tx.EndUser("ann", e) }, nil,
			[]string{"ann1", "ann1-bank", "ann1-keep", "ann1-shop", "ann2", "ann2-bank", "ann2-keep", "ann2-shop"},
			model.Revocation{Kind: model.KindSubject, Value: "ann", CutOff: future},
		}, {
			"client", func(tx *store.Tx) error { return tx.EndClient("shop", e) }, nil,
			[]string{"ann1-keep", "ann1-shop", "ann2-keep", "ann2-shop", "bob1-keep", "bob1-shop", "bob2-keep", "bob2-shop"},
			model.Revocation{Kind: model.KindClient, Value: "shop", CutOff: future},
		}, {
			"all", func(tx *store.Tx) error { return tx.EndAll(e) }, nil, all,
			model.Revocation{Kind: model.KindAll, CutOff: future},
		}, {
			"token", func(tx *store.Tx) error { return tx.RevokeToken("t1", nil, e) }, nil, nil,
			model.Revocation{Kind: model.KindToken, Value: "t1"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				people(t, s)
				equal(t, living(t, s), all)
				upkeep(t, s, row.end)
				left := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(row.dead, id) })
				if len(left) == 0 {
					left = nil
				}
				equal(t, living(t, s), left)

				log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 0) })
				row.entry.Sequence, row.entry.Cause, row.entry.At, row.entry.DropAt = 1, e.Cause, e.At, e.DropAt
				equal(t, log, []model.Revocation{row.entry})
				fails(t, s, row.again, row.end)
			})
		})
	}
}

func TestEndingNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		e := store.Ending{At: 1}
		for name, end := range map[string]func(*store.Tx) error{
			"session": func(tx *store.Tx) error { return tx.EndSession("none", e) },
			"grant":   func(tx *store.Tx) error { return tx.EndGrant("none", e) },
			"user":    func(tx *store.Tx) error { return tx.EndUser("none", e) },
			"client":  func(tx *store.Tx) error { return tx.EndClient("none", e) },
		} {
			t.Run(name, func(t *testing.T) { fails(t, s, store.ErrNotFound, end) })
		}
		if err := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.RevokeToken("", nil, e) }); err == nil {
			t.Error("a token without a name was revoked: that would put out all that have none")
		}
		if log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 0) }); len(log) > 0 {
			t.Errorf("the log has %v", log)
		}
	})
}

// To end something and to log it is one change.
func TestEndingUndone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		people(t, s)
		before := living(t, s)
		stop := errors.New("stop")
		fails(t, s, stop, func(tx *store.Tx) error {
			return errors.Join(tx.EndUser("ann", store.Ending{At: 1}), stop)
		})
		equal(t, living(t, s), before)
		equal(t, read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 0) }), []model.Revocation(nil))
	})
}

func TestTokenEnded(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		people(t, s)
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(
				tx.EndSession("ann1", store.Ending{Cause: model.CauseSignedOut, At: future + 100}),
				tx.EndGrant("bob1-shop", store.Ending{Cause: model.CauseReuseDetected, At: future + 100}),
				tx.RevokeToken("t1", nil, store.Ending{Cause: model.CauseRevoked, At: future + 100}),
				tx.EndUser("ann", store.Ending{Cause: model.CauseAccountDisabled, At: future + 100}),
				tx.EndClient("bank", store.Ending{Cause: model.CausePolicy, At: future + 100}))
		})
		for _, row := range []struct {
			name  string
			token store.TokenRef
			cause model.Cause // empty: it lives
		}{
			{"says nothing", store.TokenRef{IssuedAt: future + 50}, ""},
			{"its session has ended, whenever it was issued", store.TokenRef{SessionID: "ann1", IssuedAt: future + 500}, model.CauseSignedOut},
			{"another session", store.TokenRef{SessionID: "ann2", IssuedAt: future + 50}, ""},
			{"its grant has ended", store.TokenRef{GrantID: "bob1-shop", IssuedAt: future + 500}, model.CauseReuseDetected},
			{"revoked", store.TokenRef{JTI: "t1", IssuedAt: future + 500}, model.CauseRevoked},
			{"the subject's before the cut-off", store.TokenRef{UserID: "ann", IssuedAt: future + 99}, model.CauseAccountDisabled},
			{"the subject's at the cut-off", store.TokenRef{UserID: "ann", IssuedAt: future + 100}, model.CauseAccountDisabled},
			{"the subject's after the cut-off", store.TokenRef{UserID: "ann", IssuedAt: future + 101}, ""},
			{"the client's at the cut-off", store.TokenRef{ClientID: "bank", IssuedAt: future + 100}, model.CausePolicy},
			{"the client's after the cut-off", store.TokenRef{ClientID: "bank", IssuedAt: future + 101}, ""},
			{"the names of other kinds", store.TokenRef{JTI: "ann", SessionID: "t1", GrantID: "ann1", UserID: "bank", ClientID: "ann"}, ""},
			{"several: the latest tells", store.TokenRef{SessionID: "ann1", UserID: "ann", IssuedAt: future + 50}, model.CauseAccountDisabled},
		} {
			t.Run(row.name, func(t *testing.T) {
				view(t, s, func(tx *store.Tx) error {
					cause, ended, err := tx.TokenEnded(row.token)
					if cause != row.cause || ended != (row.cause != "") {
						t.Errorf("got %q, %v", cause, ended)
					}
					return err
				})
				held := row.token // by a grant, which tells whose it is
				if held.GrantID == "" {
					held.GrantID = model.GrantID(cmp.Or(held.UserID, "bob") + "2-keep")
				}
				held.UserID = ""
				view(t, s, func(tx *store.Tx) error {
					b, err := tx.Bearing(held)
					if row.token.GrantID == "ann1" {
						if !errors.Is(err, store.ErrNotFound) {
							t.Errorf("a grant that is gone: %v", err)
						}
						return nil
					}
					if b.Cause != row.cause || b.Ended != (row.cause != "") {
						t.Errorf("got %q, %v with the grant", b.Cause, b.Ended)
					}
					if g, err := tx.Grant(held.GrantID); err != nil || b.User.ID != g.UserID {
						t.Errorf("%q %v", b.User.ID, err)
					} else {
						equal(t, b.Grant, g)
					}
					return err
				})
			})
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndAll(store.Ending{Cause: model.CausePolicy, At: future + 300}) })
		for issued, want := range map[int64]bool{future + 300: true, future + 301: false} {
			view(t, s, func(tx *store.Tx) error {
				_, ended, err := tx.TokenEnded(store.TokenRef{JTI: "x", IssuedAt: issued})
				if ended != want {
					t.Errorf("all up to future+300: a token of %d: %v, want %v", issued, ended, want)
				}
				return err
			})
		}
	})
}

// A reader that remembers the last sequence misses nothing while many write.
func TestRevocationsTail(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const writers, entries = 8, 25
		done := make(chan struct{})
		go func() {
			defer close(done)
			race(t, writers, nil, func(i int) error {
				for n := range entries {
					err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
						return tx.RevokeToken(number(number("t", i), n), nil, store.Ending{At: 1})
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}()
		seen := map[string]bool{}
		for after, last := int64(0), false; ; {
			list := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(after, 7) })
			for _, r := range list {
				if r.Sequence <= after {
					t.Fatalf("sequence %d after %d", r.Sequence, after)
				}
				after = r.Sequence
				seen[r.Value] = true
			}
			if len(list) > 0 {
				continue
			}
			if last {
				break
			}
			select {
			case <-done:
				last = true // once more, for what came since
			default:
			}
		}
		if len(seen) != writers*entries {
			t.Errorf("the reader saw %d entries of %d", len(seen), writers*entries)
		}
	})
}

// Numbers are not given again when the log has been swept empty: a reader that
// was away would take new entries for old ones.
func TestRevocationNumbersAreNotReused(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		revoke := func() {
			upkeep(t, s, func(tx *store.Tx) error { return tx.RevokeToken("t", nil, store.Ending{DropAt: 10}) })
		}
		revoke()
		revoke()
		// An hour later: a clock that is put back must bring nothing back to life.
		if n, err := s.Sweep(t.Context(), 10+60*60-1, 0); n.Rows != 0 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := s.Sweep(t.Context(), 10+60*60, 0); n.Rows != 2 || err != nil {
			t.Fatal(n, err)
		}
		revoke()
		log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(2, 0) })
		if len(log) != 1 {
			t.Errorf("after number 2 the log shows %v", log)
		}
	})
}

// Until an ending is committed, a client gets tokens for itself that say a later second
// than the ending, if that takes longer. Whoever has ended something is told of it when
// those are put out as well.
func TestLateCommit(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		var clock atomic.Int64
		s, err := store.Open(t.Context(), store.Config{URL: url, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.InsertClient(model.Client{ID: "shop"}), tx.InsertUser(model.User{ID: "ann", Login: "ann", Status: model.UserActive}))
		})
		for _, row := range []struct {
			name  string
			end   func(*store.Tx, store.Ending) error
			takes int64
			want  []model.Revocation // but for the numbers
		}{
			{"a client", func(tx *store.Tx, e store.Ending) error { return tx.EndClient("shop", e) }, 3, []model.Revocation{
				{Kind: model.KindClient, Value: "shop", CutOff: 100, Cause: model.CauseAdmin, At: 100, DropAt: 700},
				{Kind: model.KindClient, Value: "shop", CutOff: 103, Cause: model.CauseAdmin, At: 103, DropAt: 703},
			}},
			{"everything", (*store.Tx).EndAll, 1, []model.Revocation{
				{Kind: model.KindAll, CutOff: 100, Cause: model.CauseAdmin, At: 100, DropAt: 700},
				{Kind: model.KindAll, CutOff: 101, Cause: model.CauseAdmin, At: 101, DropAt: 701},
			}},
			{"within its second", (*store.Tx).EndAll, 0, []model.Revocation{
				{Kind: model.KindAll, CutOff: 100, Cause: model.CauseAdmin, At: 100, DropAt: 700},
			}},
			{"a person, whose tokens have a grant", func(tx *store.Tx, e store.Ending) error { return tx.EndUser("ann", e) }, 3, []model.Revocation{
				{Kind: model.KindSubject, Value: "ann", CutOff: 100, Cause: model.CauseAdmin, At: 100, DropAt: 700, Audiences: []string{}},
			}},
		} {
			t.Run(row.name, func(t *testing.T) {
				clock.Store(100)
				last := read(t, s, (*store.Tx).LastRevocation)
				upkeep(t, s, func(tx *store.Tx) error {
					defer clock.Store(100 + row.takes)
					return row.end(tx, store.Ending{Cause: model.CauseAdmin, At: 100, DropAt: 700})
				})
				log := read(t, s, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(last, 0) })
				for i := range log {
					log[i].Sequence = 0
				}
				equal(t, log, row.want)
			})
		}
	})
}

// What ends the grants of many people does so while another node renews them without a
// pause: among so many there is always one that is renewed meanwhile.
func TestEndingManyBesideRenewals(t *testing.T) {
	const grants, atOnce = 4000, 500
	for _, row := range []struct {
		name string
		end  func(*store.Tx, store.Ending) error
	}{
		{"a client", func(tx *store.Tx, e store.Ending) error { return tx.EndClient("shop", e) }},
		{"everything", (*store.Tx).EndAll},
	} {
		t.Run(row.name, func(t *testing.T) {
			address := storetest.PostgresURL(t)
			here, there := storetest.Open(t, address), storetest.Open(t, address)
			furnish(t, here)
			soon := now() + 3600
			id := func(n int) model.GrantID { return model.GrantID(number("g", n%grants)) }
			for n := 0; n < grants; n += atOnce {
				upkeep(t, here, func(tx *store.Tx) error {
					var err error
					for i := n; err == nil && i < n+atOnce; i++ {
						err = tx.InsertGrant(model.Grant{ID: id(i), UserID: "ann", ClientID: "shop", Salt: "x", Generation: 1, IdleAt: soon, ExpiresAt: soon})
					}
					return err
				})
			}
			stop := renewAll(t, there, func(n int) model.GrantID { return id(n * 7919) }) // which lie everywhere
			upkeep(t, here, func(tx *store.Tx) error { return row.end(tx, store.NewEnding(model.CauseAdmin, now())) })
			stop()
			if n := queryInt(t, address, `SELECT count(*) FROM grants WHERE ended_at = 0`); n != 0 {
				t.Errorf("%d grants live", n)
			}
		})
	}
}

// On a cluster like PostgreSQL that cannot keep others away it is tried again as it is.
func TestEndingManyWithoutLock(t *testing.T) {
	s, p := behind(t, patient)
	furnish(t, s)
	upkeep(t, s, func(tx *store.Tx) error {
		return tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop", Salt: "x", Generation: 1, IdleAt: future, ExpiresAt: future})
	})
	refused := false
	p.Rule(func(sent []byte) storetest.Fate {
		if at := bytes.Index(sent, []byte("LOCK TABLE")); at >= 0 {
			refused = true
			copy(sent[at:], "WHAT")
		}
		return storetest.Pass
	})
	runs := 0
	upkeep(t, s, func(tx *store.Tx) error {
		h, err := tx.Holding("g")
		if err != nil {
			return err
		}
		if runs++; runs == 1 { // somebody renews it, after it was read
			err := s.Upkeep(t.Context(), func(other *store.Tx) error {
				_, err := other.RotateRefresh(h.Grant, h.Grant.Generation, now(), future)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return tx.EndClient("shop", store.NewEnding(model.CauseAdmin, now()))
	})
	if runs != 2 || !refused {
		t.Errorf("it ran %d times; a lock was refused: %t", runs, refused)
	}
	view(t, s, func(tx *store.Tx) error {
		g, err := tx.Grant("g")
		if g.EndedAt == 0 {
			t.Error("it lives")
		}
		return err
	})
}

// renewAll renews grants that live, four at a time, and returns when it has begun.
func renewAll(t *testing.T, s *store.Store, id func(int) model.GrantID) (stop func()) {
	var all sync.WaitGroup
	over, begun := make(chan struct{}), make(chan struct{}, 1)
	for i := range 4 {
		all.Go(func() {
			for n := i; ; n += 4 {
				err := s.Upkeep(context.Background(), func(tx *store.Tx) error {
					h, err := tx.Holding(id(n))
					if err == nil {
						_, err = tx.RotateRefresh(h.Grant, h.Grant.Generation, now(), now()+3600)
					}
					return err
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
				select {
				case begun <- struct{}{}:
				case <-over:
					return
				default:
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(over)
		all.Wait()
	})
	t.Cleanup(stop)
	<-begun
	return stop
}

// What ends the grants of many people may take longer than other statements.
func TestEndingManyTakesLong(t *testing.T) {
	address := storetest.PostgresURL(t)
	furnish(t, storetest.Open(t, address))
	execAll(t, address, `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END'`,
		`CREATE TRIGGER dawdle AFTER UPDATE ON grants FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`)
	s, err := store.Open(t.Context(), store.Config{URL: address, Wait: time.Minute, Statement: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	upkeep(t, s, func(tx *store.Tx) error { return tx.EndClient("shop", store.NewEnding(model.CauseAdmin, now())) })
	upkeep(t, s, func(tx *store.Tx) error { return tx.EndAll(store.NewEnding(model.CauseAdmin, now())) })
	// The next one on that connection has as little time as before.
	fails(t, s, store.ErrBusy, func(tx *store.Tx) error { return tx.EndUser("ann", store.NewEnding(model.CauseAdmin, now())) })
}
