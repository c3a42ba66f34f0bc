package server

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"
)

const (
	// busyHeap is how large the heap of a busy server may get before its garbage is
	// looked for. What lives there is a few MiB, and Go would look at it whenever as
	// much was thrown away: dozens of times in a second, for a fifth of the
	// processor's time.
	busyHeap = 64 << 20
	// A server is busy whose garbage was collected twice within busyWithin, and idle
	// when it was not for idleAfter. The runtime collects every two minutes anyway.
	busyWithin = time.Second
	idleAfter  = 30 * time.Second
	// standardPercent is what Go does by itself (GOGC).
	standardPercent = 100
	// startPercent lets a start come to its end before garbage is looked for: there is
	// hardly any, and the heap has some 16 MiB.
	startPercent = 800
)

// TuneMemory lets the process trade memory for processor time while it is busy, and
// give it back when it is not. It is about the whole process, so a command calls it
// that is a server and nothing else, and only where nobody has set GOGC or GOMEMLIMIT.
// It ends when stop is called.
func TuneMemory() (stop func()) {
	t := &tuner{percent: startPercent}
	debug.SetGCPercent(startPercent)
	t.watch()
	// A start leaves some that no one needs again.
	settled := time.AfterFunc(time.Second, func() {
		debug.FreeOSMemory()
		forgetStart()
	})
	return func() {
		settled.Stop()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stopped = true
		debug.SetGCPercent(standardPercent)
	}
}

// tuner decides after every collection when the next one is due.
type tuner struct {
	mu      sync.Mutex
	stopped bool
	last    time.Time
	percent int
}

// sentinel is garbage at once: that it was collected tells that there was a
// collection. It has a pointer, so that it shares its place with nothing.
type sentinel struct{ _ *int }

func (t *tuner) watch() {
	runtime.AddCleanup(new(sentinel), func(t *tuner) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.stopped {
			return
		}
		now := time.Now()
		if next := t.next(now, liveHeap()); next != t.percent {
			t.percent = next
			debug.SetGCPercent(next)
		}
		t.last = now
		t.watch()
	}, t)
}

// next is by how many percent of what lives the heap may grow until the next
// collection.
func (t *tuner) next(now time.Time, live uint64) int {
	since := now.Sub(t.last)
	switch {
	case t.percent == standardPercent && since > busyWithin, since > idleAfter:
		return standardPercent
	case live == 0 || live >= busyHeap/2:
		return standardPercent
	}
	next := int((busyHeap - live) * 100 / live)
	if near := next - t.percent; t.percent != standardPercent && near < t.percent/10 && near > -t.percent/10 {
		return t.percent // to change it stops everything for a moment
	}
	return next
}

// liveHeap is how much was alive at the last collection, in bytes.
func liveHeap() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	if sample[0].Value.Kind() != runtimemetrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
