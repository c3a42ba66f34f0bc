package resource

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// million is how many entries the bars are about.
const million = 1_000_000

// sid is an identifier such as the server makes.
func sid(i int) string { return fmt.Sprintf("s%025d", i) }

// full returns a table of a million sessions of which a half lives an hour longer.
func full(t testing.TB) *table {
	t.Helper()
	table := newTable(4 * million)
	for i := range million {
		e := entry{sequence: int64(i + 1), kind: kindSession, value: []byte(sid(i)), dropAt: noon.Unix() + int64(i%2)*3600}
		if !table.add(e, 1) {
			t.Fatal("the table is full")
		}
	}
	for i := range 1000 {
		e := entry{sequence: int64(i + 1), kind: kindSubject, value: []byte(sid(i)), cutOff: noon.Unix(), dropAt: noon.Unix() - 1}
		if !table.add(e, 1) {
			t.Fatal("the table is full")
		}
	}
	return table
}

// strangers are tokens of whom the table knows nothing.
func strangers(n int) []AccessToken {
	all := make([]AccessToken, n)
	for i := range all {
		id := strconv.Itoa(i)
		all[i] = AccessToken{
			Subject: "person-0123456789-" + id, ClientID: "shop", SessionID: sid(million + i), GrantID: "grant-0123456789-" + id,
			ID: "token-0123456789-" + id, IssuedAt: noon,
		}
	}
	return all
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has only swept
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million live entries take 48 MiB at most, and half of them not more than
// the sweep leaves.
func TestTableMemory(t *testing.T) {
	before := heap()
	table := full(t)
	grown := heap() - before
	if grown > 48<<20 {
		t.Errorf("a million entries take %.1f MiB", float64(grown)/(1<<20))
	}
	table.sweep(noon.Unix() + 1)
	if n := table.live.Load(); n != million/2 {
		t.Errorf("%d entries are left", n)
	}
	swept := heap() - before
	if swept > 24<<20 {
		t.Errorf("half a million entries take %.1f MiB", float64(swept)/(1<<20))
	}
	t.Logf("a million: %.1f MiB, half of it: %.1f MiB", float64(grown)/(1<<20), float64(swept)/(1<<20))
	for i := range million {
		if table.has(kindSession, sid(i)) != (i%2 == 1) {
			t.Fatalf("session %d", i)
		}
	}
	runtime.KeepAlive(table)
}

// What one check of a whole token costs among a million entries. The metric
// "quiet" is that of the fastest thousand: what it costs where nothing else runs.
func BenchmarkCheck(b *testing.B) {
	table := full(b)
	tokens := strangers(1 << 16)
	b.ReportAllocs()
	quiet, start, i := time.Hour, time.Now(), 0
	for b.Loop() {
		if i++; i%1024 == 0 {
			quiet, start = min(quiet, time.Since(start)), time.Now()
		}
		if table.check(&tokens[i%len(tokens)]).ended {
			b.Fatal("a live token was refused")
		}
	}
	b.ReportMetric(float64(quiet)/1024, "quiet-ns")
}

// naive is the table as one would write it first.
type naive map[string]*told

type told struct {
	cutOff, until int64
	order         stamp
	disabled      bool
}

func (n naive) add(e entry, log int64) {
	key, order := e.kind.String()+" "+string(e.value), stamp{log, e.sequence}
	old := n[key]
	if old == nil {
		n[key] = &told{e.cutOff, e.dropAt, order, e.disabled}
		return
	}
	old.cutOff, old.until = max(old.cutOff, e.cutOff), max(old.until, e.dropAt)
	if !order.before(old.order) {
		old.order, old.disabled = order, e.disabled
	}
}

// Whatever comes, twice and in any order, the table says what the naive one says.
func TestTableAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, plain := newTable(million), naive{}
	now := noon.Unix()
	agree := func() {
		t.Helper()
		if int(table.live.Load()) != len(plain) {
			t.Fatalf("%d entries, want %d", table.live.Load(), len(plain))
		}
		for i := range 3000 {
			value := strconv.Itoa(i)
			for k := range kinds {
				want := plain[k.String()+" "+value]
				if !k.cuts() {
					if table.has(k, value) != (want != nil) {
						t.Fatalf("%s %s: %v", k, value, want)
					}
					continue
				}
				cutOff, disabled := table.cutOff(k, value)
				if want == nil && cutOff != math.MinInt64 || want != nil && (cutOff != want.cutOff || disabled != want.disabled) {
					t.Fatalf("%s %s: %d %v, want %+v", k, value, cutOff, disabled, want)
				}
			}
		}
	}
	for range 10 {
		for range 5000 {
			e := entry{
				sequence: random.Int64N(1000), kind: kind(random.IntN(int(kinds))), value: strconv.AppendInt(nil, random.Int64N(3000), 10),
				cutOff: now + random.Int64N(1000), disabled: random.IntN(2) == 0, dropAt: now + random.Int64N(1000),
			}
			log := random.Int64N(2)
			table.add(e, log)
			plain.add(e, log)
			if random.IntN(3) == 0 {
				table.add(e, log)
			}
		}
		agree()
		now += 300
		table.sweep(now)
		maps.DeleteFunc(plain, func(_ string, o *told) bool { return o.until < now })
		agree()
	}
}

func TestCheck(t *testing.T) {
	const at = 1_800_000_000
	token := func(change func(*AccessToken)) *AccessToken {
		own := &AccessToken{Subject: "person", ClientID: "shop", SessionID: "s", GrantID: "g", ID: "j", IssuedAt: time.Unix(at, 0)}
		if change != nil {
			change(own)
		}
		return own
	}
	person := token(nil)
	machine := token(func(t *AccessToken) { t.Subject, t.SessionID, t.GrantID = "shop", "", "" })
	later := token(func(t *AccessToken) { t.IssuedAt = time.Unix(at+1, 0) })
	fraction := token(func(t *AccessToken) { t.IssuedAt = time.Unix(at, 999) })
	offline := token(func(t *AccessToken) { t.SessionID = "g" })
	one := func(k kind, value string) entry {
		return entry{sequence: 1, kind: k, value: []byte(value), cutOff: at, dropAt: at + 600}
	}
	disabled := one(kindSubject, "person")
	disabled.disabled = true
	enabled := one(kindSubject, "person")
	enabled.sequence, enabled.cutOff = 2, at-100
	ended := func(k kind) verdict { return verdict{ended: true, kind: k} }
	for _, row := range []struct {
		name    string
		entries []entry
		token   *AccessToken
		want    verdict
	}{
		{"nothing is revoked", nil, person, verdict{}},
		{"its session", []entry{one(kindSession, "s")}, person, ended(kindSession)},
		{"its session, later token", []entry{one(kindSession, "s")}, later, ended(kindSession)},
		{"another session", []entry{one(kindSession, "t")}, person, verdict{}},
		{"the session of an offline token", []entry{one(kindSession, "s")}, offline, verdict{}},
		{"its grant", []entry{one(kindGrant, "g")}, person, ended(kindGrant)},
		{"its grant, offline", []entry{one(kindGrant, "g")}, offline, ended(kindGrant)},
		{"the token itself", []entry{one(kindToken, "j")}, person, ended(kindToken)},
		{"a value of another kind", []entry{one(kindToken, "s"), one(kindSession, "g"), one(kindGrant, "j"), one(kindClient, "person")}, person, verdict{}},
		{"its subject", []entry{one(kindSubject, "person")}, person, ended(kindSubject)},
		{"its subject, in a fraction of the second", []entry{one(kindSubject, "person")}, fraction, ended(kindSubject)},
		{"its subject, token of after that", []entry{one(kindSubject, "person")}, later, verdict{}},
		{"account disabled", []entry{disabled}, person, verdict{true, kindSubject, true}},
		{"account disabled, session too", []entry{disabled, one(kindSession, "s"), one(kindClient, "shop")}, person, verdict{true, kindSubject, true}},
		{"account disabled and enabled again: the old token stays out", []entry{disabled, enabled}, person, ended(kindSubject)},
		{"in the other order", []entry{enabled, disabled}, person, ended(kindSubject)},
		{"account disabled, token of after that", []entry{disabled}, later, verdict{}},
		{"its client", []entry{one(kindClient, "shop"), one(kindSession, "s")}, person, ended(kindClient)},
		{"its client, token of after that", []entry{one(kindClient, "shop")}, later, verdict{}},
		{"all", []entry{one(kindAll, "")}, person, ended(kindAll)},
		{"all, token of after that", []entry{one(kindAll, "")}, later, verdict{}},
		{"a client's own token", []entry{one(kindSession, "s"), one(kindGrant, "g"), one(kindSubject, "person")}, machine, verdict{}},
		{"a client's own token, its client", []entry{one(kindClient, "shop")}, machine, ended(kindClient)},
		{"a client's own token, itself", []entry{one(kindToken, "j")}, machine, ended(kindToken)},
		{"a client's own token, all", []entry{one(kindAll, "")}, machine, ended(kindAll)},
	} {
		t.Run(row.name, func(t *testing.T) {
			table := newTable(100)
			for _, e := range row.entries {
				table.add(e, 1)
			}
			if got := table.check(row.token); got != row.want {
				t.Errorf("%+v, want %+v", got, row.want)
			}
		})
	}
}

func TestTableIsBounded(t *testing.T) {
	table := newTable(10)
	for i := range 12 {
		e := entry{kind: kindSession, value: []byte(sid(i)), dropAt: int64(i)}
		if ok := table.add(e, 1); ok != (i < 10) {
			t.Errorf("entry %d: %v", i, ok)
		}
	}
	if again := (entry{kind: kindSession, value: []byte(sid(3)), dropAt: 3}); !table.add(again, 1) {
		t.Error("an entry that is there needs no room")
	}
	table.sweep(5)
	if e := (entry{kind: kindSession, value: []byte(sid(11)), dropAt: 11}); !table.add(e, 1) || !table.has(kindSession, sid(11)) || table.has(kindSession, sid(4)) {
		t.Error("the sweep made no room")
	}
}

// Entries are added, shards grow and are swept while others ask: what was there
// before they began is there all the time, and what was not is never there.
func TestTableWhileItChanges(t *testing.T) {
	table := newTable(million)
	for i := range 1000 {
		table.add(entry{kind: kindSession, value: []byte(sid(i)), dropAt: math.MaxUint32}, 1)
		table.add(entry{kind: kindSubject, value: []byte(sid(i)), cutOff: 7, dropAt: math.MaxUint32}, 1)
	}
	var stop atomic.Bool
	var askers, changers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for i := 0; !stop.Load(); i = (i + 1) % 1000 {
				if !table.has(kindSession, sid(i)) || table.has(kindSession, sid(2*million+i)) {
					t.Error("the table forgot, or made something up")
					return
				}
				if cutOff, _ := table.cutOff(kindSubject, sid(i)); cutOff < 7 || cutOff > 8 {
					t.Errorf("a cut-off of %d", cutOff)
					return
				}
			}
		})
	}
	changers.Go(func() {
		for i := range 20_000 {
			table.add(entry{kind: kindSession, value: []byte(sid(million + i)), dropAt: 1}, 1)
			table.add(entry{sequence: 1, kind: kindSubject, value: []byte(sid(i % 1000)), cutOff: 8, dropAt: 1}, 1)
		}
	})
	changers.Go(func() {
		for range 20 {
			table.sweep(2)
			time.Sleep(time.Millisecond)
		}
	})
	changers.Wait()
	stop.Store(true)
	askers.Wait()
	table.sweep(2)
	if n := table.live.Load(); n != 2000 {
		t.Errorf("%d entries are left", n)
	}
}

// What a guard asks a feed for each request: the table, and whether it is stale.
func BenchmarkFeed(b *testing.B) {
	feed, err := NewFeed(FeedConfig{Issuer: "https://id.example", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		b.Fatal(err)
	}
	feed.table = full(b)
	feed.proved(time.Now().Add(time.Hour), modeStream)
	i, tokens := &issuer{feed: feed}, strangers(1<<16)
	b.ReportAllocs()
	quiet, start, n := time.Hour, time.Now(), 0
	for b.Loop() {
		if n++; n%1024 == 0 {
			quiet, start = min(quiet, time.Since(start)), time.Now()
		}
		if i.current(b.Context(), &tokens[n%len(tokens)], "", Deny) != nil {
			b.Fatal("a live token was refused")
		}
	}
	b.ReportMetric(float64(quiet)/1024, "quiet-ns")
}

// The slowest checks, with and without a sweep that copies every shard all the
// time.
func BenchmarkCheckDuringSweep(b *testing.B) {
	for _, sweeping := range []bool{false, true} {
		b.Run(fmt.Sprintf("sweeping=%v", sweeping), func(b *testing.B) {
			table := full(b)
			tokens := strangers(1 << 16)
			var stop atomic.Bool
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop.Store(true)
			if sweeping {
				wg.Go(func() {
					for !stop.Load() {
						for i := range shards {
							e := entry{kind: kindSession, value: []byte(sid(2*million + i)), sequence: 1, dropAt: 1}
							table.add(e, 1)
						}
						table.sweep(noon.Unix())
					}
				})
			}
			took := make([]time.Duration, 0, 1<<20)
			i := 0
			for b.Loop() {
				start := time.Now()
				table.check(&tokens[i&(1<<16-1)])
				if d := time.Since(start); len(took) < cap(took) {
					took = append(took, d)
				}
				i++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		})
	}
}
