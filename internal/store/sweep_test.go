package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestSweep(t *testing.T) {
	const (
		at   = 1_000_000
		day  = 86400
		long = at + 1000 // lives on
		over = at - day
	)
	each(t, func(t *testing.T, s *store.Store) {
		session := func(id string, idle, expires, ended int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				return tx.InsertSession(model.Session{ID: model.SessionID(id), CookieHash: id, UserID: "ann", IdleAt: idle, ExpiresAt: expires, EndedAt: ended})
			}
		}
		grant := func(id string, expires, ended int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				return tx.InsertGrant(model.Grant{ID: model.GrantID(id), UserID: "ann", ClientID: "shop", ExpiresAt: expires, EndedAt: ended})
			}
		}
		code := func(hash, grant string, expires, used int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				return tx.InsertCode(model.Code{Hash: hash, GrantID: model.GrantID(grant), ExpiresAt: expires, UsedAt: used})
			}
		}
		request := func(id string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				return tx.InsertRequest(model.Request{ID: model.RequestID(id), ExpiresAt: expires})
			}
		}
		auth := func(id string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				return tx.PutAuthSession(model.AuthSession{ID: id, Hash: id, ClientID: "shop", ExpiresAt: expires})
			}
		}
		hasAuth := func(id string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (model.AuthSession, error) { return tx.AuthSession(id, 0) })
		}
		ceremony := func(holder string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.PutCeremony(holder, "", expires) }
		}
		hasCeremony := func(holder string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (string, error) { return tx.TakeCeremony(holder, 0) })
		}
		link := func(hash string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.InsertLink(store.Link{Hash: hash, ExpiresAt: expires}) }
		}
		assertion := func(jti string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.UseAssertion("shop", jti, expires) }
		}
		token := func(jti string, drop int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.RevokeToken(jti, nil, store.Ending{DropAt: drop}) }
		}
		tally := func(name string, expires int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { _, err := tx.Tally(name, 0, expires); return err }
		}
		hasTally := func(name string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				if n, err := tx.Tally(name, 0, long); n != 1 || err != nil {
					return err
				}
				return store.ErrNotFound
			}
		}
		hasSession := func(id string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (model.Session, error) { return tx.Session(model.SessionID(id)) })
		}
		hasGrant := func(id string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (model.Grant, error) { return tx.Grant(model.GrantID(id)) })
		}
		hasCode := func(hash string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (model.Code, error) { return tx.Code(hash) })
		}
		hasRequest := func(id string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (model.Request, error) { return tx.Request(model.RequestID(id)) })
		}
		hasLink := func(hash string) func(*store.Tx) error {
			return missing(func(tx *store.Tx) (store.Link, error) { return tx.Link(hash, "", 0) })
		}
		hasAssertion := func(jti string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				if err := tx.UseAssertion("shop", jti, long); errors.Is(err, store.ErrConflict) {
					return nil
				}
				return store.ErrNotFound
			}
		}
		hasToken := func(jti string) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_, ended, err := tx.TokenEnded(store.TokenRef{JTI: jti})
				if !ended && err == nil {
					err = store.ErrNotFound
				}
				return err
			}
		}
		dead := 0
		rows := []struct {
			name string
			make func(*store.Tx) error
			has  func(*store.Tx) error
			dies bool
		}{
			{"live session", session("s1", long, long, 0), hasSession("s1"), false},
			{"idle session that nobody has been told of", session("s3", over, long, 0), hasSession("s3"), false},
			{"expired session that nobody has been told of", session("s4", long, over, 0), hasSession("s4"), false},
			{"ended session, tokens may name it", session("s5", long, long, over+1), hasSession("s5"), false},
			{"ended session", session("s6", long, long, over), hasSession("s6"), true},
			{"live grant", grant("g1", long, 0), hasGrant("g1"), false},
			{"expired grant", grant("g2", over, 0), hasGrant("g2"), true},
			{"ended grant", grant("g3", long, over), hasGrant("g3"), true},
			{"grant ended lately", grant("g4", long, over+1), hasGrant("g4"), false},
			{"fresh code", code("c1", "g1", long, 0), hasCode("c1"), false},
			{"expired code", code("c2", "g1", at, 0), hasCode("c2"), false},
			{"expired code of an expired grant: with the grant", code("c5", "g2", over, 0), hasCode("c5"), true},
			{"used code, so that a replay is known for one", code("c3", "g1", over, over), hasCode("c3"), false},
			{"used code of an ended grant: with the grant", code("c4", "g3", over, over), hasCode("c4"), true},
			{"pending request", request("r1", long), hasRequest("r1"), false},
			{"expired request", request("r2", at), hasRequest("r2"), true},
			{"auth session", auth("as1", long), hasAuth("as1"), false},
			{"expired auth session", auth("as2", at), hasAuth("as2"), true},
			{"question to an authenticator", ceremony("q1", long), hasCeremony("q1"), false},
			{"expired question to an authenticator", ceremony("q2", at), hasCeremony("q2"), true},
			{"link", link("l1", long), hasLink("l1"), false},
			{"expired link", link("l2", at), hasLink("l2"), true},
			{"assertion", assertion("a1", long), hasAssertion("a1"), false},
			{"expired assertion", assertion("a2", at-60*60), hasAssertion("a2"), true},
			{"assertion expired lately", assertion("a3", at-60*60+1), hasAssertion("a3"), false},
			{"tally", tally("n1", long), hasTally("n1"), false},
			{"expired tally", tally("n2", at), hasTally("n2"), true},
			{"revocation", token("t1", long), hasToken("t1"), false},
			{"dropped revocation", token("t2", at-60*60), hasToken("t2"), true},
			{"revocation dropped lately", token("t3", at-60*60+1), hasToken("t3"), false},
		}
		for _, row := range rows {
			upkeep(t, s, row.make)
			if row.dies {
				dead++
			}
		}
		dead -= 2 // codes that go with their grants are not counted
		if n, err := s.Sweep(t.Context(), at, 100); n.Rows != dead || err != nil {
			t.Errorf("swept %d, %v; want %d", n.Rows, err, dead)
		}
		for _, row := range rows {
			want := store.ErrNotFound
			if !row.dies {
				want = nil
			}
			t.Run(row.name, func(t *testing.T) { fails(t, s, want, row.has) })
		}
	})
}

func TestSweepInBatches(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range 225 {
				if err := tx.InsertRequest(model.Request{ID: model.RequestID(number("r", i)), ExpiresAt: 1}); err != nil {
					return err
				}
			}
			return nil
		})
		n, err := s.Sweep(t.Context(), 10, 2)
		if err != nil || n.Rows != 225 || n.Batches < 113 || n.Longest <= 0 {
			t.Errorf("%+v, %v: want 225 rows, two at a time", n, err)
		}
		// Who has no time left has swept what they have swept.
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := s.Sweep(over, 10, 2); err != nil || n.Rows != 0 {
			t.Errorf("%+v, %v", n, err)
		}
	})
}

// What cannot be deleted, for whatever reason, keeps nothing else.
func TestSweepBesideFailure(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.Open(t, address)
	furnish(t, s)
	upkeep(t, s, func(tx *store.Tx) error {
		for _, kind := range []func() error{
			func() error { return tx.InsertRequest(model.Request{ID: "r", ExpiresAt: 1}) },
			func() error { return tx.UseAssertion("shop", "once", 1) },
		} {
			if err := kind(); err != nil {
				return err
			}
		}
		return nil
	})
	execAll(t, address, `CREATE TRIGGER kept BEFORE DELETE ON requests BEGIN SELECT RAISE(ABORT, 'it stays'); END`)
	n, err := s.Sweep(t.Context(), 10_000, 0)
	if n.Rows != 1 || err == nil || !strings.Contains(err.Error(), "it stays") {
		t.Errorf("%+v, %v", n, err)
	}
	if n := queryInt(t, address, `SELECT count(*) FROM assertions`); n != 0 {
		t.Error("an assertion is kept for the sake of a request")
	}
}

// The sweep makes way: however much is over, whoever writes meanwhile waits for one
// batch of it at most, and that is small. The bar is 20 ms for a request; a batch is
// made for 8 ms, and has twenty times the bar here, for a machine that has other things
// to do.
func TestSweepMakesWay(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const rows, grants = 6000, 2000
		for begin := 0; begin < rows; begin += 500 {
			upkeep(t, s, func(tx *store.Tx) error {
				for i := begin; i < begin+500; i++ {
					if err := tx.InsertRequest(model.Request{ID: model.RequestID(number("r", i)), ExpiresAt: 1}); err != nil {
						return err
					}
					if i >= grants {
						continue
					}
					g := model.Grant{ID: model.GrantID(number("g", i)), UserID: "ann", ClientID: "shop", ExpiresAt: 1}
					if err := tx.InsertGrant(g); err != nil {
						return err
					}
					if err := tx.InsertCode(model.Code{Hash: number("c", i), GrantID: g.ID}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		var writes atomic.Int64
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := s.Upkeep(context.Background(), func(tx *store.Tx) error { _, err := tx.Tally("writes", 0, 1<<40); return err }); err != nil {
					done <- err
					return
				}
				writes.Add(1)
			}
		}()
		swept, err := s.Sweep(t.Context(), 2*86400, 0)
		close(stop)
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v, %d writes meanwhile", swept, writes.Load())
		if swept.Rows != rows+grants {
			t.Errorf("%d rows were swept, want %d", swept.Rows, rows+grants)
		}
		// On PostgreSQL nobody waits for it: the rows are nobody else's.
		if strings.HasSuffix(t.Name(), "sqlite") && swept.Longest > 400*time.Millisecond {
			t.Errorf("a batch took %v", swept.Longest)
		}
		if writes.Load() < int64(swept.Batches)/4 {
			t.Errorf("only %d writes came through beside %d batches", writes.Load(), swept.Batches)
		}
	})
}

// Every node sweeps, while others write.
func TestSweepTogether(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		race(t, 8, nil, func(i int) error {
			for n := range 10 {
				err := stores[i%2].Upkeep(t.Context(), func(tx *store.Tx) error {
					return tx.InsertRequest(model.Request{ID: model.RequestID(number(number("r", i), n)), ExpiresAt: 1})
				})
				if err != nil {
					return err
				}
				if _, err := stores[i%2].Sweep(t.Context(), 10, 3); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
