// Package store_test measures what the store costs above the bare driver:
// "floor" is the driver with a prepared statement and nothing else.
package store_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

var event = model.Event{
	At:     1,
	Actor:  model.Actor{Kind: model.ActorUser, ID: "0123456789abcdefghijkl", Address: "192.0.2.1"},
	Action: "session.start",
	UserID: "0123456789abcdefghijkl",
}

const insertEvent = `INSERT INTO events (at, actor_kind, actor_id, actor_address, action, user_id, client_id, detail)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

func eventArgs() []any {
	return []any{event.At, string(event.Actor.Kind), event.Actor.ID, event.Actor.Address,
		event.Action, string(event.UserID), string(event.ClientID), event.Detail}
}

// BenchmarkInsert adds one row durably in each transaction.
func BenchmarkInsert(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run("sqlite/writers="+strconv.Itoa(writers), func(b *testing.B) {
			insert(b, storetest.SQLite(b), writers)
		})
	}
	b.Run("floor/writers=1", func(b *testing.B) {
		run := prepared(b, bare(b, storetest.SQLiteURL(b)))
		for b.Loop() {
			run(insertEvent, eventArgs()...)
		}
		perSecond(b)
	})
	b.Run("floor/batch=16", func(b *testing.B) { // what 16 writers could share at best
		run := prepared(b, bare(b, storetest.SQLiteURL(b)))
		for n := 0; b.Loop(); n++ {
			if n%16 == 0 {
				run("BEGIN IMMEDIATE")
			}
			run(insertEvent, eventArgs()...)
			if n%16 == 15 {
				run("COMMIT")
			}
		}
		perSecond(b)
	})
	for _, writers := range []int{1, 16} {
		b.Run("postgres/writers="+strconv.Itoa(writers), func(b *testing.B) {
			insert(b, storetest.Postgres(b), writers)
		})
	}
}

func insert(b *testing.B, s *store.Store, writers int) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.Record(event) })
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	perSecond(b)
}

// BenchmarkRead reads one of a thousand sessions by its ID, on all processors.
func BenchmarkRead(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { read(b, storetest.SQLite(b)) })
	b.Run("floor", func(b *testing.B) {
		address := storetest.SQLiteURL(b)
		fill(b, storetest.Open(b, address))
		statement, err := bare(b, address).Prepare(`SELECT id, cookie_hash, user_id, auth_time, acr, amr, remember,
			created_at, seen_at, idle_at, expires_at, ended_at, user_agent, address FROM sessions WHERE id = $1`)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for n := 0; pb.Next(); n++ {
				var s [6]string
				var i [8]int64
				err := statement.QueryRow(string(sessionID(n))).Scan(&s[0], &s[1], &s[2], &i[0], &s[3], &s[4], &i[1],
					&i[2], &i[3], &i[4], &i[5], &i[6], &s[5], &s[5])
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
		perSecond(b)
	})
	b.Run("postgres", func(b *testing.B) { read(b, storetest.Postgres(b)) })
}

func read(b *testing.B, s *store.Store) {
	fill(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			err := s.View(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Session(sessionID(n))
				return err
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	perSecond(b)
}

const sessions = 1000

func sessionID(n int) model.SessionID {
	return model.SessionID("0123456789abcdefgh" + strconv.Itoa(1000+n%sessions))
}

func fill(b *testing.B, s *store.Store) {
	err := s.Upkeep(b.Context(), func(tx *store.Tx) error {
		if err := tx.InsertUser(model.User{ID: "u", Login: "u"}); err != nil {
			return err
		}
		for n := range sessions {
			id := sessionID(n)
			err := tx.InsertSession(model.Session{
				ID: id, CookieHash: string(id) + string(id), UserID: "u", AuthTime: 1, ACR: "1", AMR: []string{"pwd"},
				CreatedAt: 1, SeenAt: 1, IdleAt: 2, ExpiresAt: 3, UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Address: "192.0.2.1",
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// bare opens a database with the driver alone, as the store sets it up.
func bare(b *testing.B, address string) *sql.DB {
	path := filepath.ToSlash(strings.TrimPrefix(address, "sqlite:"))
	pragmas := url.Values{"_pragma": {"busy_timeout=10000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas.Encode())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

// prepared runs statements on one connection, each prepared once.
func prepared(b *testing.B, db *sql.DB) func(query string, args ...any) {
	conn, err := db.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	statements := map[string]*sql.Stmt{}
	return func(query string, args ...any) {
		s := statements[query]
		if s == nil {
			if s, err = conn.PrepareContext(context.Background(), query); err != nil {
				b.Fatal(err)
			}
			statements[query] = s
		}
		if _, err := s.Exec(args...); err != nil {
			b.Fatal(err)
		}
	}
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
