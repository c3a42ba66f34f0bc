package signal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// following runs a feed on each kind of database.
func following(t *testing.T, fn func(t *testing.T, f *signal.Feed)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, err := signal.NewFeed(signal.FeedConfig{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() { f.Run(ctx) })
		t.Cleanup(func() { cancel(); run.Wait() })
		<-f.Begun()
		fn(t, f)
	})
}

// revoke adds entries with those numbers as their names.
func revoke(t *testing.T, f *signal.Feed, from, to int) {
	t.Helper()
	err := f.Store.Upkeep(t.Context(), func(tx *store.Tx) error {
		for i := from; i < to; i++ {
			if err := tx.RevokeToken(fmt.Sprint(i), nil, store.Ending{Cause: model.CausePolicy, DropAt: 1 << 40}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reach waits until a feed knows so much.
func reach(t *testing.T, f *signal.Feed, end int64) {
	t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		grown := f.Grown()
		if f.State().End >= end {
			return
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("it knows %+v, want %d", f.State(), end)
		}
	}
}

// readAll reads with a tail until it has n entries, in order.
func readAll(t *testing.T, f *signal.Feed, tail *signal.Tail, first, n int) {
	t.Helper()
	for timeout := time.After(60 * time.Second); n > 0; {
		grown := f.Grown()
		page, err := tail.Next(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		for _, r := range page {
			if r.Value != fmt.Sprint(first) {
				t.Errorf("%s came, want %d", r.Value, first)
				return
			}
			first++
			n--
		}
		if len(page) > 0 {
			continue
		}
		select {
		case <-grown:
		case <-timeout:
			t.Errorf("%d did not come", first)
			return
		}
	}
}

// Many tails read a log that grows: from memory those that keep up, from the
// database those that are far behind, and each has everything once, in order.
func TestTails(t *testing.T) {
	following(t, func(t *testing.T, f *signal.Feed) {
		const step, steps = 2000, 10 // more than is kept in memory
		log := f.State().Log
		if !f.State().Current || log == "" {
			t.Fatalf("%+v", f.State())
		}
		late := f.Tail(log, 0) // reads when all has been written
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { readAll(t, f, f.Tail(log, 0), 0, step*steps) })
		}
		for i := range steps {
			revoke(t, f, i*step, (i+1)*step)
		}
		all.Wait()
		reach(t, f, step*steps)
		readAll(t, f, late, 0, step*steps)
		readAll(t, f, f.Tail("", 0), 0, step*steps)
		ahead := f.Tail("", 0)
		ahead.Ahead = true
		readAll(t, f, ahead, 0, step*steps)
		half := f.Tail(log, step*steps/2)
		readAll(t, f, half, step*steps/2, step*steps/2)
		if page, err := half.Next(t.Context()); len(page) != 0 || err != nil || half.At() != step*steps {
			t.Errorf("after the end: %v %v, at %d", page, err, half.At())
		}
		for after, resumed := range map[int64]bool{0: true, step * steps: true, step*steps + 1: false, -1: false} {
			if got := f.Tail(log, after).Resumed; got != resumed {
				t.Errorf("after %d: resumed %v", after, got)
			}
		}
	})
}

// A snapshot is of one moment, and what comes after it is not lost.
func TestSnapshotThenTail(t *testing.T) {
	following(t, func(t *testing.T, f *signal.Feed) {
		revoke(t, f, 0, 6000)
		reach(t, f, 6000)
		tail := f.Tail("another", 5)
		tail.Ahead = true
		first, err := tail.Next(t.Context())
		if err != nil || tail.Resumed || len(first) == 0 || len(first) == 6000 {
			t.Fatalf("%d %v", len(first), err)
		}
		revoke(t, f, 6000, 6100)
		readAll(t, f, tail, len(first), 6100-len(first))
		tail.Back(10)
		readAll(t, f, tail, 10, 6090)
	})
}

func TestBatch(t *testing.T) {
	subject := model.Revocation{Sequence: 7, Kind: model.KindSubject, Value: "u", CutOff: 5, Cause: model.CauseAdmin, At: 5, DropAt: 9}
	with := func(audiences []string, subjects map[string][]string) model.Revocation {
		r := subject
		r.Audiences, r.Subjects = audiences, subjects
		return r
	}
	for _, row := range []struct {
		name  string
		entry model.Revocation
		want  string // the values, in order
	}{
		{"for everybody", with(nil, nil), "u"},
		{"for nobody", with([]string{}, nil), ""},
		{"for another", with([]string{"c"}, nil), ""},
		{"for one of two", with([]string{"c", "b"}, nil), "u"},
		{"by other names", with([]string{"a", "b", "c"}, map[string][]string{"a": {"p2", "u"}, "b": {"p1", "p2"}, "c": {"p3"}}), "p1 p2 u"},
		{"by a name for all", with(nil, map[string][]string{"": {"p9"}, "c": {"p3"}}), "p9"},
		{"by a name for another only", with([]string{"c"}, map[string][]string{"c": {"p3"}}), ""},
		{"awkward", model.Revocation{Kind: model.KindClient, Value: "https://x/?a=\"<é>\\\n"}, "https://x/?a=\"<é>\\\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := signal.Batch{Audiences: []string{"a", "b"}, MaxCount: 10, MaxSize: 1000}
			if !b.Add(row.entry) {
				t.Fatal("no room")
			}
			var got []struct{ Value string }
			n, text := b.Count(), b.AppendTo(nil)
			if err := json.Unmarshal(text, &got); err != nil || n != len(got) || b.Count() != 0 || strings.Contains(string(text), "\n") {
				t.Fatalf("%s: %v", text, err)
			}
			var values []string
			for _, e := range got {
				values = append(values, e.Value)
			}
			if strings.Join(values, " ") != row.want {
				t.Errorf("%s, want %q", text, row.want)
			}
		})
	}
}

// A batch is bounded by number and by size; one entry always finds room, and none is
// divided.
func TestBatchBounds(t *testing.T) {
	two := model.Revocation{Kind: model.KindSubject, Subjects: map[string][]string{"": {"x", "y"}}}
	one := model.Revocation{Kind: model.KindToken, Value: strings.Repeat("v", 500)}
	for name, row := range map[string]struct {
		batch   signal.Batch
		entries []model.Revocation
		want    []bool
	}{
		"by number": {signal.Batch{MaxCount: 3, MaxSize: 1 << 20}, []model.Revocation{two, two, one, one}, []bool{true, false, true, false}},
		"by size":   {signal.Batch{MaxCount: 9, MaxSize: 1200}, []model.Revocation{one, one, one}, []bool{true, true, false}},
		"the first": {signal.Batch{MaxCount: 1, MaxSize: 10}, []model.Revocation{two, one}, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []bool
			for _, e := range row.entries {
				got = append(got, row.batch.Add(e))
			}
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
			if text := row.batch.AppendTo(nil); !json.Valid(text) {
				t.Errorf("%s", text)
			}
		})
	}
}
