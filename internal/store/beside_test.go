package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// newest is the newest schema that this program knows.
func newest(t *testing.T) int64 {
	t.Helper()
	all, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Max(slices.Collect(maps.Keys(all)))
}

const (
	expands = `ALTER TABLE settings ADD COLUMN more TEXT NOT NULL DEFAULT '';
CREATE TABLE more (id TEXT NOT NULL PRIMARY KEY);
CREATE INDEX settings_more ON settings (more);
`
	contracts = `DROP TABLE logos;
`
)

// An upgrade of a cluster: a newer program has changed the schema, and this one goes
// on beside it, or starts anew, as the migrations say.
func TestOlderBesideNewer(t *testing.T) {
	n := newest(t)
	beside := func(n int64) string { return fmt.Sprintf("-- Beside: %d\n", n) }
	for _, row := range []struct {
		name string
		more map[string]string
		want error
	}{
		{"it only adds", map[string]string{"9001_more.sql": beside(n) + expands}, nil},
		{"in several steps", map[string]string{"9001_more.sql": beside(n-1) + expands, "9002_again.sql": beside(n) + "CREATE TABLE again (id TEXT NOT NULL PRIMARY KEY);"}, nil},
		{"it takes away", map[string]string{"9001_less.sql": contracts}, store.ErrNewerSchema},
		{"a later step takes away", map[string]string{"9001_more.sql": beside(n) + expands, "9002_less.sql": contracts}, store.ErrNewerSchema},
		{"an earlier step takes away", map[string]string{"9001_less.sql": contracts, "9002_more.sql": beside(n) + expands}, store.ErrNewerSchema},
		{"it is two releases away", map[string]string{"9001_more.sql": beside(n) + expands, "9101_less.sql": beside(9001) + contracts}, store.ErrNewerSchema},
	} {
		t.Run(row.name, func(t *testing.T) {
			storetest.EachURL(t, func(t *testing.T, address string) {
				s := storetest.Open(t, address)
				upkeep(t, s, put("before"))
				if err := store.MigrateNewer(t.Context(), address, row.more); err != nil {
					t.Fatal(err)
				}
				if row.want != nil {
					refused(t, address, row.want, "run the newer version")
					return
				}
				upkeep(t, s, put("beside"))
				again := storetest.Open(t, address)
				upkeep(t, again, put("after"))
				for _, name := range []string{"before", "beside", "after"} {
					equal(t, setting(t, again, name), "1")
				}
				// The newer one starts again as well.
				if err := store.MigrateNewer(t.Context(), address, row.more); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("nonsense is refused", func(t *testing.T) {
		for _, text := range []string{"-- Beside: x\n", "-- Beside: 9001\n", "-- Beside: 0\n", "-- Beside: -1\n"} {
			if err := store.MigrateNewer(t.Context(), storetest.SQLiteURL(t), map[string]string{"9001_more.sql": text + expands}); err == nil {
				t.Errorf("%q was taken", text)
			}
		}
	})
}

// The schema is changed under load, and nobody's transaction fails for it.
func TestMigrationUnderLoad(t *testing.T) {
	address := storetest.PostgresURL(t)
	s := storetest.Open(t, address)
	furnish(t, s)
	stop, written := make(chan struct{}), atomic.Int64{}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					return errors.Join(tx.InsertSetting(number(number("n", i), n), "1"), tx.Record(event))
				})
				if err != nil {
					t.Error(err)
					return
				}
				written.Add(1)
			}
		})
	}
	more := map[string]string{"9001_more.sql": fmt.Sprintf("-- Beside: %d\n", newest(t)) + expands +
		"ALTER TABLE events ADD COLUMN more BIGINT NOT NULL DEFAULT 0;"}
	if err := store.MigrateNewer(t.Context(), address, more); err != nil {
		t.Error(err)
	}
	at := written.Load()
	eventually(t, func() error {
		if written.Load() < at+20 {
			return errors.New("nothing is written any more")
		}
		return nil
	})
	close(stop)
	all.Wait()
	equal(t, int64(len(read(t, s, func(tx *store.Tx) ([]string, error) { return events(tx) }))), written.Load())
}

// events names those that upkeep under load has written, all of them.
func events(tx *store.Tx) (list []string, err error) {
	for after := int64(0); ; {
		page, err := tx.Events(after, 0)
		if err != nil || len(page) == 0 {
			return list, err
		}
		for _, e := range page {
			list = append(list, e.Action)
		}
		after = page[len(page)-1].Sequence
	}
}

// additive are the statements beside which an older program goes on: it names the
// columns that it reads and writes, so that others with a default are none of its
// business.
var additive = []*regexp.Regexp{
	regexp.MustCompile(`^CREATE TABLE \w+ \(`),
	regexp.MustCompile(`^CREATE INDEX \w+ ON `),
	regexp.MustCompile(`^ALTER TABLE \w+ ADD COLUMN \w+ (TEXT|BIGINT) NOT NULL DEFAULT \S+$`),
}

// contractions are the migrations that take away what the release before does not use
// any more, each with the reason why it does not.
var contractions = map[int64]string{}

// A migration that says that older programs work beside it only adds. What is taken
// away is so a release later.
func TestMigrationsThatExpand(t *testing.T) {
	all, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	all[9001] = "-- Beside: 1\n" + expands // so that there is one
	for version, text := range all {
		if !strings.HasPrefix(text, "-- Beside: ") || contractions[version] != "" {
			continue
		}
		text = regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(text, "")
		for statement := range strings.SplitSeq(text, ";") {
			statement = strings.Join(strings.Fields(statement), " ")
			if statement != "" && !slices.ContainsFunc(additive, func(r *regexp.Regexp) bool { return r.MatchString(statement) }) {
				t.Errorf("migration %d says that older programs work beside it, and does more than to add: %s", version, statement)
			}
		}
	}
}
