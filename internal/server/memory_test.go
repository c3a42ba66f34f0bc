package server

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"testing"
	"time"
)

func TestNextCollection(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for _, row := range []struct {
		name    string
		percent int // until now
		since   time.Duration
		live    uint64
		want    int
	}{
		{"idle", 100, time.Minute, 8 << 20, 100},
		{"at work", 100, 5 * time.Second, 8 << 20, 100},
		{"busy", 100, 50 * time.Millisecond, 8 << 20, 700},
		{"busy still", 700, 500 * time.Millisecond, 8 << 20, 700},
		{"less busy", 700, 20 * time.Second, 8 << 20, 700},
		{"idle again", 700, 2 * time.Minute, 8 << 20, 100},
		{"a little more lives", 700, 500 * time.Millisecond, 8<<20 + 1<<19, 700},
		{"much more lives", 700, 500 * time.Millisecond, 16 << 20, 300},
		{"so much lives that nothing is to be won", 700, 500 * time.Millisecond, 40 << 20, 100},
		{"nothing is known", 100, 50 * time.Millisecond, 0, 100},
	} {
		tune := &tuner{percent: row.percent, last: start}
		if got := tune.next(start.Add(row.since), row.live); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

// TestTuneMemory: who throws much away is collected seldom, and the process is as it
// was when that is over.
func TestTuneMemory(t *testing.T) {
	before := debug.SetGCPercent(standardPercent)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	percent := func() uint64 {
		sample := []runtimemetrics.Sample{{Name: "/gc/gogc:percent"}}
		runtimemetrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	collected := func(until func(percent uint64) bool, otherwise string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(percent()); runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatal(otherwise)
			}
		}
	}
	stop := TuneMemory()
	collected(func(p uint64) bool { return p != startPercent }, "a start does not end")
	collected(func(p uint64) bool { return p > standardPercent }, "a busy process is collected as often as any other")
	stop()
	if got := percent(); got != standardPercent {
		t.Errorf("%d %% afterwards", got)
	}
}
