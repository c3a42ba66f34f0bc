package limit

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
)

// The table is in shards, so that requests do not wait for each other. Together they
// remember 65,536 callers, in some ten MiB at most.
const (
	shards   = 64
	perShard = 1024
	// looked is of how many the emptiest makes room for a new one.
	looked = 8
)

// minute is how long a caller is told of once, in milliseconds, and how far a clock
// may be put back before the time that it showed counts for nothing.
const minute = 60_000

type key struct {
	kind Kind
	who  string
}

// level is how much of a caller's share is used up: a bucket that runs empty at the
// rate of its kind.
type level struct {
	full     int64 // in sixty-thousandths of a request
	unshared int64 // of that: what the other nodes do not know of yet; less than 0: what they know of and was given back
	shared   int64 // what they know of from here, and so can be given back
	at       int64 // when it was so full, in milliseconds
	toldAt   int64 // when its owner was last told of
}

// use is one request.
type use struct{ cost, rate, now int64 }

type table struct {
	seed  maphash.Seed
	shard [shards]struct {
		mu     sync.Mutex
		levels map[key]*level
	}
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shard {
		t.shard[i].levels = map[key]*level{}
	}
}

func (t *table) size() (n int) {
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		n += len(s.levels)
		s.mu.Unlock()
	}
	return n
}

// take adds to a level what a request costs, or says how many milliseconds it is
// until there is room for it. A refused request adds nothing. first says that nobody
// was told of this in the last minute.
func (t *table) take(k key, u use) (wait int64, first bool) {
	s := &t.shard[maphash.Comparable(t.seed, k)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.levels[k]
	if v == nil {
		if len(s.levels) >= perShard {
			evict(s.levels)
		}
		v = &level{at: u.now}
		s.levels[k] = v
	}
	v.run(u)
	if over := v.full + u.cost - u.rate*one; over > 0 {
		first = u.now-v.toldAt >= minute || u.now < v.toldAt
		if first {
			v.toldAt = u.now
		}
		return max(1, (over+u.rate-1)/u.rate), first
	}
	v.full += u.cost
	v.unshared += u.cost
	return 0, false
}

// run lets a level run empty until now.
func (v *level) run(u use) {
	passed := u.now - v.at
	switch {
	case passed > 0:
		out := min(passed, 100*minute) * u.rate
		v.full, v.shared = max(0, v.full-out), max(0, v.shared-out)
		v.unshared = max(v.unshared, -v.shared)
		v.at = u.now
	case passed < -minute:
		v.at = u.now // the clock was put back
	}
}

// evict forgets the emptiest of a few: whoever calls from ever new addresses makes
// the table forget those who are quiet, and not those who are held up.
func evict(levels map[key]*level) {
	var worst key
	least, n := int64(-1), 0
	for k, v := range levels { // which begins anywhere
		if least < 0 || v.full < least {
			worst, least = k, v.full
		}
		if n++; n == looked {
			break
		}
	}
	delete(levels, worst)
}

// giveBack takes from a level what a request has added that was under way, perhaps since
// before the others were told of it.
func (t *table) giveBack(k key, cost int64) {
	s := &t.shard[maphash.Comparable(t.seed, k)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.levels[k]; v != nil {
		v.full, v.unshared = max(0, v.full-cost), max(-v.shared, v.unshared-cost)
	}
}

// busy is a level that the other nodes should know of.
type busy struct {
	key      key
	full     int64
	unshared int64
}

// busiest lists what is to be shared: at most so many of the fullest, of those that
// have used up an eighth of their share. What was counted of them here since the last
// time may be nothing: then the others are heard. So is, of whomever, what they are to
// take back. What is empty is forgotten on the way.
func (t *table) busiest(most int, rates *[kinds]int64, now int64) []busy {
	var all []busy
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		for k, v := range s.levels {
			rate := rates[k.kind]
			v.run(use{rate: rate, now: now})
			switch {
			case v.full == 0 && v.unshared >= 0:
				delete(s.levels, k)
			case v.full >= rate*one/8 || v.unshared < 0:
				// Of what was counted long ago nothing is left.
				v.unshared = min(v.unshared, v.full)
				all = append(all, busy{k, v.full, v.unshared})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b busy) int { return cmp.Compare(b.full, a.full) })
	return all[:min(len(all), most)]
}

// learn takes over how full a level is in the whole cluster: what is there, and what
// was counted here meanwhile.
func (t *table) learn(b busy, full, rate, now int64) {
	s := &t.shard[maphash.Comparable(t.seed, b.key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.levels[b.key]
	if v == nil {
		return // forgotten meanwhile
	}
	v.run(use{rate: rate, now: now})
	v.shared = max(0, v.shared+b.unshared)
	v.unshared = max(-v.shared, v.unshared-b.unshared)
	v.full = max(0, full+v.unshared)
}
