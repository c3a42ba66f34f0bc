package audit_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// house is a log on a database that can also be changed behind its back.
type house struct {
	*audit.Log
	t     testing.TB
	store *store.Store
	db    *sql.DB
	url   string
	now   int64
}

func derive(label string) []byte {
	sum := sha256.Sum256([]byte("the master key, " + label))
	return sum[:]
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	storetest.EachURL(t, func(t *testing.T, url string) { fn(t, open(t, url)) })
}

func open(t testing.TB, url string) *house {
	t.Helper()
	h := &house{t: t, url: url, now: 1_800_000_000}
	h.store = storetest.Open(t, url)
	h.store.Mark(audit.Marker(derive))
	h.Log = h.log(0)
	driver, name := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", path+"?_pragma=busy_timeout(5000)"
	}
	var err error
	if h.db, err = sql.Open(driver, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	return h
}

// log returns the log of another node.
func (h *house) log(keep time.Duration) *audit.Log {
	h.t.Helper()
	l, err := audit.New(audit.Config{Store: h.store, Derive: derive, Keep: keep, Now: func() time.Time { return time.Unix(h.now, 0) }})
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// write records so many entries, the first of which is number from.
func (h *house) write(from, n int) {
	h.t.Helper()
	for i := from; i < from+n; i++ {
		err := h.store.Update(context.Background(), func(tx *store.Tx) error {
			return tx.Record(model.Event{
				At:     h.now,
				Actor:  model.Actor{Kind: model.ActorUser, ID: fmt.Sprint("user", i), Address: "192.0.2.7"},
				Action: "session.start", UserID: model.UserID(fmt.Sprint("user", i)), ClientID: "shop", Detail: fmt.Sprint("session=", i),
			})
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) seal() {
	h.t.Helper()
	if _, err := h.Seal(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// sql changes the database behind everybody's back.
func (h *house) sql(statements ...string) {
	h.t.Helper()
	for _, s := range statements {
		if _, err := h.db.Exec(s); err != nil {
			h.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (h *house) verify() (audit.Report, error) {
	return h.Verify(context.Background(), audit.Check{})
}

// sound fails unless the log is, with so many entries.
func (h *house) sound(entries int64) audit.Report {
	h.t.Helper()
	r, err := h.verify()
	if err != nil || r.Entries != entries {
		h.t.Fatalf("%d entries, %v; want %d", r.Entries, err, entries)
	}
	return r
}

const columns = `at, actor_kind, actor_id, actor_address, action, user_id, client_id, detail, mark`

// tampering is what somebody does who can write to the database and has no master
// key: there are ten entries, of which the fourth begins the chain.
var tampering = []struct {
	name       string
	statements []string
	at         int64 // where it is found
	reason     string
}{
	{"at", []string{`UPDATE events SET at = at + 1 WHERE position = 5`}, 5, "another than when it was sealed"},
	{"actor_kind", []string{`UPDATE events SET actor_kind = 'system' WHERE position = 5`}, 5, "another than"},
	{"actor_id", []string{`UPDATE events SET actor_id = 'mallory' WHERE position = 5`}, 5, "another than"},
	{"actor_address", []string{`UPDATE events SET actor_address = '' WHERE position = 5`}, 5, "another than"},
	{"action", []string{`UPDATE events SET action = 'session.end' WHERE position = 5`}, 5, "another than"},
	{"user_id", []string{`UPDATE events SET user_id = 'mallory' WHERE position = 5`}, 5, "another than"},
	{"client_id", []string{`UPDATE events SET client_id = 'till' WHERE position = 5`}, 5, "another than"},
	{"detail", []string{`UPDATE events SET detail = detail || ' ' WHERE position = 5`}, 5, "another than"},
	{"detail of the first", []string{`UPDATE events SET detail = 'x' WHERE position = 1`}, 1, "another than"},
	{"detail of the last", []string{`UPDATE events SET detail = 'x' WHERE position = 10`}, 10, "another than"},
	{"mark", []string{`UPDATE events SET mark = '' WHERE position = 5`}, 5, "another than"},
	{"seal", []string{`UPDATE events SET seal = (SELECT seal FROM events WHERE position = 4) WHERE position = 5`}, 5, "another than"},
	{"sequence", []string{`UPDATE events SET sequence = 1000 WHERE position = 5`}, 5, "another than"},
	{"text from one field into the next", []string{`UPDATE events SET action = action || user_id, user_id = '' WHERE position = 5`}, 5, "another than"},
	{"the first deleted", []string{`DELETE FROM events WHERE position = 1`}, 1, "the entry is missing"},
	{"one deleted", []string{`DELETE FROM events WHERE position = 5`}, 5, "the entry is missing"},
	{"several deleted", []string{`DELETE FROM events WHERE position BETWEEN 5 AND 7`}, 5, "up to 7, are missing"},
	{"the last deleted", []string{`DELETE FROM events WHERE position = 10`}, 10, "the end of the log is missing, up to 10"},
	{"the end deleted", []string{`DELETE FROM events WHERE position > 6`}, 7, "the end of the log is missing, up to 10"},
	{"all deleted", []string{`DELETE FROM events`}, 1, "the end of the log is missing"},
	{"one deleted, the others moved up", []string{
		`DELETE FROM events WHERE position = 5`, `UPDATE events SET position = position - 1 WHERE position > 5`}, 5, "another than"},
	{"two in each other's place", []string{
		`UPDATE events SET position = 99 WHERE position = 4`, `UPDATE events SET position = 4 WHERE position = 5`, `UPDATE events SET position = 5 WHERE position = 99`}, 4, "another than"},
	{"two swapped with their seals", []string{
		`UPDATE events SET position = 99, seal = (SELECT seal FROM events WHERE position = 5) WHERE position = 4`,
		`UPDATE events SET position = 4, seal = 'x' WHERE position = 5`, `UPDATE events SET position = 5 WHERE position = 99`}, 4, "another than"},
	{"one unsealed", []string{`UPDATE events SET position = 0, seal = '' WHERE position = 10`}, 10, "the entry is missing"},
	{"one inserted at a place", []string{`INSERT INTO events (` + columns + `, position, seal)
		SELECT ` + columns + `, position, seal FROM events WHERE position = 5`}, 5, "there are two entries"},
	{"one inserted after the end", []string{`INSERT INTO events (` + columns + `, position, seal)
		SELECT ` + columns + `, 11, seal FROM events WHERE position = 10`}, 11, "another than"},
	{"one inserted before the beginning", []string{`INSERT INTO events (` + columns + `, position, seal)
		SELECT ` + columns + `, -5, seal FROM events WHERE position = 5`}, -5, "before the beginning"},
	{"one invented", []string{`INSERT INTO events (` + columns + `) VALUES (1800000000, 'user', 'ann', '', 'user.delete', 'bob', '', '', '')`},
		11, "not written by a server with this master key"},
	{"one copied", []string{`INSERT INTO events (` + columns + `) SELECT ` + columns + ` FROM events WHERE position = 5`}, 11, "is a copy"},
	{"one invented with the mark of another", []string{`INSERT INTO events (` + columns + `)
		SELECT at, actor_kind, 'mallory', actor_address, action, user_id, client_id, detail, mark FROM events WHERE position = 5`}, 11, "not written by a server"},
	{"the head gone", []string{`DELETE FROM settings WHERE name = 'audit.head'`}, 0, "the head of the chain is missing"},
	{"the head changed", []string{`UPDATE settings SET value = replace(value, '"position":10', '"position":9') WHERE name = 'audit.head'`}, 0, "the head of the chain is not"},
	{"the head no JSON", []string{`UPDATE settings SET value = '' WHERE name = 'audit.head'`}, 0, "the head of the chain is not"},
}

func TestTampering(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.seal()
		h.write(4, 6)
		h.seal()
		h.sound(10)
		h.sql(`CREATE TABLE events_kept AS SELECT * FROM events`, `CREATE TABLE settings_kept AS SELECT * FROM settings`)
		for _, row := range tampering {
			h.sql(row.statements...)
			_, sealing := h.Seal(t.Context()) // goes on, if it can
			_, err := h.verify()
			broken, ok := errors.AsType[audit.Broken](err)
			if !ok || broken.Position != row.at || !strings.Contains(broken.Reason, row.reason) {
				t.Errorf("%s: %v; want %q at %d", row.name, err, row.reason, row.at)
			}
			if sealing != nil && row.at != 0 {
				t.Errorf("%s: sealing: %v", row.name, sealing)
			}
			h.sql(`DELETE FROM events`, `INSERT INTO events SELECT * FROM events_kept`,
				`DELETE FROM settings`, `INSERT INTO settings SELECT * FROM settings_kept`)
			h.sound(10)
		}
	})
}

// What was written down elsewhere finds even what somebody does who put back an
// older copy of the whole database.
func TestKnownHead(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.seal()
		old := h.sound(4).End
		h.sql(`CREATE TABLE settings_kept AS SELECT * FROM settings`)
		h.write(4, 3)
		h.seal()
		end := h.sound(7).End
		for _, p := range []audit.Point{old, end} {
			read, err := audit.ParsePoint(p.String())
			if err != nil || read != p {
				t.Fatal(read, err)
			}
			if _, err := h.Verify(t.Context(), audit.Check{Known: p}); err != nil {
				t.Error(p, err)
			}
		}
		wants := func(known audit.Point, at int64, reason string) {
			t.Helper()
			_, err := h.Verify(t.Context(), audit.Check{Known: known})
			broken, ok := errors.AsType[audit.Broken](err)
			if !ok || broken.Position != at || !strings.Contains(broken.Reason, reason) {
				t.Errorf("%v; want %q at %d", err, reason, at)
			}
		}
		wants(audit.Point{Position: 4, Seal: end.Seal}, 4, "written down")
		wants(audit.Point{Position: 7, Seal: old.Seal}, 7, "written down")

		h.sql(`DELETE FROM events WHERE position > 4`, `DELETE FROM settings`, `INSERT INTO settings SELECT * FROM settings_kept`)
		h.sound(4) // the older copy is sound by itself
		wants(end, 5, "up to 7 at least")
		h.write(8, 9)
		h.seal()
		wants(end, 7, "written down")

		// Somebody takes all seals away, with an entry: the chain begins anew.
		h.sql(`DELETE FROM settings`, `DELETE FROM events WHERE position = 6`, `UPDATE events SET position = 0, seal = ''`)
		h.now += 1000
		h.seal()
		if r := h.sound(13); r.Since != h.now {
			t.Errorf("begun at %d", r.Since)
		}
		wants(end, 7, "written down")
	})
}

func TestParsePoint(t *testing.T) {
	sum := strings.Repeat("A", 43)
	for _, text := range []string{"", "1", "1:", ":" + sum, "0:" + sum, "-1:" + sum, "x:" + sum, "1:" + sum + "A", "1:" + sum[1:], "1:" + sum + "=", "1 :" + sum} {
		if p, err := audit.ParsePoint(text); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}

// Another master key fits nothing.
func TestAnotherKey(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 1)
		h.seal()
		other, err := audit.New(audit.Config{Store: h.store, Derive: func(string) []byte { return []byte("another") }})
		if err != nil {
			t.Fatal(err)
		}
		h.write(2, 1)
		for _, try := range []func() error{
			func() error { _, err := other.Verify(t.Context(), audit.Check{}); return err },
			func() error { _, err := other.Seal(t.Context()); return err },
			func() error { _, err := other.Head(t.Context()); return err },
		} {
			if _, ok := errors.AsType[audit.Broken](try()); !ok {
				t.Error(try())
			}
		}
	})
}

// A log from before there were marks is sealed as it is; what has no mark and comes
// later is not.
func TestUpgrade(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.sql(`UPDATE events SET mark = ''`)
		h.write(4, 2)
		h.seal()
		if r := h.sound(6); r.Unmarked != 3 {
			t.Errorf("%d without a mark", r.Unmarked)
		}
		h.sql(`UPDATE events SET detail = 'x' WHERE position = 2`)
		if _, err := h.verify(); err == nil {
			t.Error("an old entry was changed")
		}
	})
}

// After another master key, or a change, there is a way on.
func TestBegin(t *testing.T) {
	const day = 24 * 60 * 60
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.seal()
		known := h.sound(4).End
		h.write(4, 2)
		h.sql(`DELETE FROM events WHERE position = 2`, `UPDATE settings SET value = '{}' WHERE name = 'audit.head'`)
		if _, err := h.Seal(t.Context()); err == nil {
			t.Fatal("sealed")
		}
		if err := h.Begin(t.Context(), model.Actor{Kind: model.ActorShell, ID: "root"}); err != nil {
			t.Fatal(err)
		}
		h.seal()
		if r := h.sound(3); r.Earlier != 4 || r.Unmarked != 6 || r.End.Position != 7 {
			t.Error(r)
		}
		_, err := h.Verify(t.Context(), audit.Check{Known: known})
		if _, ok := errors.AsType[audit.ErrTooOld](err); !ok {
			t.Error(err)
		}
		h.sql(`UPDATE events SET detail = 'x' WHERE position = 5`)
		if _, err := h.verify(); err == nil {
			t.Error("an entry of the new chain was changed")
		}
		h.sql(`UPDATE events SET detail = 'session=4' WHERE position = 5`)
		h.now += 2 * day
		h.write(6, 1)
		h.seal()
		// Of the old chain three were left; of the new one, three are too old.
		if n, err := h.log(24 * time.Hour).Sweep(t.Context()); n != 6 || err != nil {
			t.Fatal(n, err)
		}
		h.sound(1)
		var left int
		if err := h.db.QueryRow(`SELECT count(*) FROM events`).Scan(&left); left != 1 || err != nil {
			t.Error(left, err)
		}
	})
}

// Two genuine marks can end in the same few letters, and are no copies. These two were
// looked for among millions.
func TestMarksAlike(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, mark := range []string{"AAAAAAAAAAAA3K2z.iVLhfBlH2gKZSDjokRjteJ4kx1QYEyesyviW1ifCg5I", "AAAAAAAAAAAAyQ0k.yVg92sq28Ep9Wm3gXg-6tA8i8hKMgk6b56DW1ifCg5I"} {
			h.sql(`INSERT INTO events (` + columns + `) VALUES (1800000000, 'system', '', '', 'test.collide', '', '', '', '` + mark + `')`)
		}
		h.seal()
		h.sound(3)
	})
}

// Two nodes write and seal at the same time, and nothing is left out or sealed
// twice; whoever verifies meanwhile finds nothing wrong.
func TestSealTogether(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const writers, entries = 4, 30
		other := open(t, h.url)
		var group, sealing sync.WaitGroup
		done := make(chan struct{})
		for _, node := range []*house{h, other, h, other} {
			sealing.Go(func() {
				for {
					if _, err := node.Seal(t.Context()); err != nil {
						t.Error(err)
					}
					if _, err := node.verify(); err != nil {
						t.Error(err)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for i := range writers {
			node := []*house{h, other}[i%2]
			group.Go(func() { node.write(i*entries, entries) })
		}
		group.Wait()
		close(done)
		sealing.Wait()
		h.seal()
		h.sound(writers*entries + 1)
	})
}

// A process that dies while it seals leaves the chain as it was.
func TestSealInterrupted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.seal()
		h.write(4, 3)
		// The last of the statements fails, and so undoes the others.
		h.sql(`ALTER TABLE events RENAME COLUMN seal TO gone`)
		if _, err := h.Seal(t.Context()); err == nil {
			t.Fatal("sealed")
		}
		h.sql(`ALTER TABLE events RENAME COLUMN gone TO seal`)
		h.sound(4)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Seal(ctx); err == nil {
			t.Fatal("sealed")
		}
		h.seal()
		h.sound(7)
	})
}

// A number that is given out first may be seen last.
func TestLateEntry(t *testing.T) {
	h := open(t, storetest.PostgresURL(t))
	h.write(1, 1)
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- h.store.Update(context.Background(), func(tx *store.Tx) error {
			err := tx.Record(model.Event{Action: "late.entry"})
			close(begun)
			<-release
			return err
		})
	}()
	<-begun
	h.write(2, 2)
	h.seal()
	h.sound(4)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.seal()
	h.sound(5)
	last, err := h.Find(t.Context(), audit.Filter{Newest: true, Limit: 1})
	if err != nil || len(last) != 1 || last[0].Action != "late.entry" || last[0].Position != 5 {
		t.Error(last, err)
	}
}

func TestSweep(t *testing.T) {
	const day = 24 * 60 * 60
	each(t, func(t *testing.T, h *house) {
		keeps := h.log(30 * 24 * time.Hour)
		sweep := func(want int) {
			t.Helper()
			if n, err := keeps.Sweep(t.Context()); n != want || err != nil {
				t.Fatalf("swept %d, %v; want %d", n, err, want)
			}
		}
		sweep(0) // there is nothing at all yet
		h.write(1, 700)
		h.seal()
		known := h.sound(701).End
		h.now += 20 * day
		h.write(701, 5)
		h.seal()
		sweep(0)
		h.now += 10*day + 1
		if n, err := h.Sweep(t.Context()); n != 0 || err != nil {
			t.Fatal("entries that are kept for ever were swept", n, err)
		}
		sweep(701)
		if r := h.sound(5); r.Begin.Position != 701 || r.End.Position != 706 {
			t.Error(r)
		}
		// What was written down is as good as before, up to the very edge.
		if _, err := h.Verify(t.Context(), audit.Check{Known: known}); err != nil {
			t.Error(err)
		}
		_, err := h.Verify(t.Context(), audit.Check{Known: audit.Point{Position: 700, Seal: known.Seal}})
		if _, ok := errors.AsType[audit.ErrTooOld](err); !ok {
			t.Error(err)
		}

		// Who gives entries an old time does not get them swept.
		h.sql(`UPDATE events SET at = 0 WHERE position = 702`)
		if n, err := keeps.Sweep(t.Context()); n != 0 || !errors.As(err, new(audit.Broken)) {
			t.Error(n, err)
		}
		h.sql(fmt.Sprintf(`UPDATE events SET at = %d WHERE position = 702`, h.now-10*day-1))
		h.sound(5)
		h.now += 31 * day
		sweep(5)
		h.sound(0)
		h.write(1, 1)
		h.seal()
		h.sound(1)
	})
}

func TestFind(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.write(1, 3)
		h.now += 10
		h.write(4, 1)
		record := func(e model.Event) {
			err := h.store.Update(t.Context(), func(tx *store.Tx) error { return tx.Record(e) })
			if err != nil {
				t.Fatal(err)
			}
		}
		record(model.Event{At: h.now, Actor: model.Actor{Kind: model.ActorShell, ID: "root"}, Action: "user.lock", UserID: "user1"})
		h.seal()
		rows := []struct {
			name   string
			filter audit.Filter
			want   string
		}{
			{"all", audit.Filter{}, "[1 2 3 4 5 6]"},
			{"the first", audit.Filter{Limit: 2}, "[1 2]"},
			{"the last, in order", audit.Filter{Newest: true, Limit: 2}, "[5 6]"},
			{"after", audit.Filter{After: 4}, "[5 6]"},
			{"a person", audit.Filter{User: "user1"}, "[1 5]"},
			{"the last of a person", audit.Filter{User: "user1", Newest: true, Limit: 1}, "[5]"},
			{"an application", audit.Filter{Client: "shop"}, "[1 2 3 4]"},
			{"an action", audit.Filter{Action: "user.lock"}, "[5]"},
			{"a noun", audit.Filter{Action: "session"}, "[1 2 3 4]"},
			{"no noun", audit.Filter{Action: "sess"}, "[]"},
			{"an actor", audit.Filter{Actor: "root"}, "[5]"},
			{"a kind of actor", audit.Filter{Actor: "user"}, "[1 2 3 4]"},
			{"since", audit.Filter{Since: h.now}, "[4 5 6]"},
			{"until", audit.Filter{Until: h.now}, "[1 2 3]"},
			{"several at once", audit.Filter{Client: "shop", Since: h.now, Action: "session.start", Actor: "user4"}, "[4]"},
		}
		for _, row := range rows {
			list, err := h.Find(t.Context(), row.filter)
			if err != nil {
				t.Fatal(row.name, err)
			}
			got := []int64{}
			for _, e := range list {
				got = append(got, e.Position)
			}
			if fmt.Sprint(got) != row.want {
				t.Errorf("%s: %v, want %s", row.name, got, row.want)
			}
		}
	})
}

// A text that the database stores in another way than it came is marked as it is
// stored.
func TestOddText(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		err := h.store.Update(t.Context(), func(tx *store.Tx) error {
			return tx.Record(model.Event{Action: "odd.text", Detail: "a\x00b\xff\n\t", Actor: model.Actor{Address: "\xc3\x28"}})
		})
		if err != nil {
			t.Fatal(err)
		}
		h.seal()
		h.sound(2)
	})
}

func TestConfig(t *testing.T) {
	s := storetest.SQLite(t)
	for name, c := range map[string]audit.Config{
		"no store":  {Derive: derive},
		"no key":    {Store: s},
		"too short": {Store: s, Derive: derive, Keep: time.Minute},
		"negative":  {Store: s, Derive: derive, Keep: -1},
	} {
		if _, err := audit.New(c); err == nil {
			t.Error(name)
		}
	}
}
