package resource

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// kind says what an entry of the revocation log puts out.
type kind uint8

const (
	kindSession kind = iota // every token with this "sid"
	kindGrant               // every token with this "grant_id"
	kindToken               // the token with this "jti"
	kindSubject             // tokens with this "sub", issued at the cut-off or before
	kindClient              // tokens with this "client_id", issued at the cut-off or before
	kindAll                 // every token issued at the cut-off or before
	kinds
)

var kindNames = [kinds]string{"session", "grant", "token", "subject", "client", "all"}

func (k kind) String() string { return kindNames[k] }

// cuts reports whether entries of the kind have a cut-off.
func (k kind) cuts() bool { return k >= kindSubject }

// table holds what is revoked. Whoever asks takes no lock and waits for nobody:
// neither for an entry that is being added, nor for a part that grows, nor for
// the sweep. An entry takes 20 bytes, and with the room to grow 36 at most.
type table struct {
	seeds  [kinds][2]maphash.Seed
	things [shards]shard // session, grant, token
	cuts   [shards]shard // subject, client, all
	live   atomic.Int64  // entries in all shards
	most   int64
}

// shards is so large that copying one takes microseconds.
const shards = 256

func newTable(most int) *table {
	t := &table{most: int64(most)}
	for k := range t.seeds {
		t.seeds[k] = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	}
	for i := range shards {
		t.things[i].slots.Store(newSlots(0, false))
		t.cuts[i].slots.Store(newSlots(0, true))
	}
	return t
}

// key stands for a kind and a value: 128 bits of hash under secret seeds, so
// that a live token among a million dead ones is mistaken for one of them with a
// chance of one in 2^108.
type key struct{ a, b uint64 }

func (t *table) key(k kind, value string) key {
	seeds := &t.seeds[k]
	return key{maphash.String(seeds[0], value), maphash.String(seeds[1], value)}
}

func (t *table) keyOf(k kind, value []byte) key {
	seeds := &t.seeds[k]
	return key{maphash.Bytes(seeds[0], value), maphash.Bytes(seeds[1], value)}
}

func (k key) shard() int { return int(k.a >> 56) }

// shard is a part of the table. Its writers take turns; readers see the slots as
// they were before a change or after it.
type shard struct {
	mu    sync.Mutex
	slots atomic.Pointer[slots]
}

// slots is a hash table: groups of eight, and a byte of each slot's hash beside
// its group, so that to miss takes one look at a table twenty times smaller than
// that of the keys. A slot is filled once and never emptied (dropping entries
// makes new slots), and its byte is written last: nobody sees half an entry.
type slots struct {
	tags []atomic.Uint64 // a byte for each slot; 0: empty
	keys []key
	cut  []atomic.Uint64 // cut-off<<1, and 1 where the account is disabled; nil: no cut-offs
	used int

	// For writers only.
	until []uint32 // unix seconds after which the entry may be dropped
	order []stamp  // of the entry that told the cause; nil: no cut-offs
}

// stamp orders entries: those of a later log are later.
type stamp struct {
	log      int64
	sequence int64
}

func (s stamp) before(o stamp) bool {
	return s.log < o.log || s.log == o.log && s.sequence < o.sequence
}

const (
	group = 8
	low   = 0x0101010101010101
	high  = 0x8080808080808080
)

// newSlots returns slots with room for n entries or a few more.
func newSlots(n int, cuts bool) *slots {
	groups := n/group + 1
	n = groups * group
	s := &slots{tags: make([]atomic.Uint64, groups), keys: make([]key, n), until: make([]uint32, n)}
	if cuts {
		s.cut, s.order = make([]atomic.Uint64, n), make([]stamp, n)
	}
	return s
}

// tag is the byte of a key: never 0.
func (k key) tag() uint64 { return k.a&0x7f | 0x80 }

// group is where a key is sought first.
func (s *slots) group(k key) int {
	at, _ := bits.Mul64(k.b, uint64(len(s.tags)))
	return int(at)
}

// find returns the index of k, or -1 and the index of the slot where it would be.
func (s *slots) find(k key) (at, free int) {
	for g, tag := s.group(k), k.tag()*low; ; {
		tags := s.tags[g].Load()
		other := tags ^ tag // 0 where the byte is the same
		for same := (other - low) &^ other & high; same != 0; same &= same - 1 {
			if i := g*group + bits.TrailingZeros64(same)/8; s.keys[i] == k {
				return i, -1
			}
		}
		if empty := ^tags & high; empty != 0 {
			return -1, g*group + bits.TrailingZeros64(empty)/8
		}
		if g++; g == len(s.tags) {
			g = 0
		}
	}
}

// show makes a slot seen that has been filled.
func (s *slots) show(at int) {
	tags := &s.tags[at/group]
	tags.Store(tags.Load() | s.keys[at].tag()<<(at%group*8))
}

// has reports whether a session, a grant or a token is revoked.
func (t *table) has(k kind, value string) bool {
	if value == "" { // a claim that the token does not have
		return false
	}
	key := t.key(k, value)
	at, _ := t.things[key.shard()].slots.Load().find(key)
	return at >= 0
}

// cutOff returns up to when tokens of a subject, a client, or all are revoked,
// and whether because the account is disabled.
func (t *table) cutOff(k kind, value string) (unix int64, disabled bool) {
	key := t.key(k, value)
	s := t.cuts[key.shard()].slots.Load()
	at, _ := s.find(key)
	if at < 0 {
		return math.MinInt64, false
	}
	word := s.cut[at].Load()
	return int64(word >> 1), word&1 != 0
}

// verdict is what the table says of a token.
type verdict struct {
	ended    bool
	kind     kind
	disabled bool // the account, so that no token of this person would help
}

// check asks about everything that could put out a token.
func (t *table) check(token *AccessToken) verdict {
	issued := token.IssuedAt.Unix()
	subject, disabled := t.cutOff(kindSubject, token.Subject)
	if disabled && issued <= subject {
		return verdict{true, kindSubject, true}
	}
	if client, _ := t.cutOff(kindClient, token.ClientID); issued <= client {
		return verdict{true, kindClient, false}
	}
	if issued <= subject {
		return verdict{true, kindSubject, false}
	}
	if all, _ := t.cutOff(kindAll, ""); issued <= all {
		return verdict{true, kindAll, false}
	}
	switch {
	case t.has(kindSession, token.SessionID):
		return verdict{true, kindSession, false}
	case t.has(kindGrant, token.GrantID):
		return verdict{true, kindGrant, false}
	case t.has(kindToken, token.ID):
		return verdict{true, kindToken, false}
	}
	return verdict{}
}

// add takes in an entry. The order of adding does not matter, nor does adding
// twice: the greatest cut-off counts, the latest time of dropping, and the cause
// of the last sequence. It reports false if the table is full.
func (t *table) add(e entry, log int64) bool {
	k := t.keyOf(e.kind, e.value)
	sh := &t.things[k.shard()]
	if e.kind.cuts() {
		sh = &t.cuts[k.shard()]
	}
	until := uint32(min(max(e.dropAt, 0), math.MaxUint32))

	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.slots.Load()
	at, free := s.find(k)
	if at >= 0 {
		s.merge(at, e, until, stamp{log, e.sequence})
		return true
	}
	if t.live.Add(1) > t.most {
		t.live.Add(-1)
		return false
	}
	if (s.used+1)*5 > len(s.keys)*4 {
		s = s.copy(len(s.keys)*4/3, 0)
		_, free = s.find(k)
		defer sh.slots.Store(s)
	}
	s.put(free, k, until)
	if s.cut != nil {
		s.cut[free].Store(uint64(e.cutOff)<<1 | bit(e.disabled))
		s.order[free] = stamp{log, e.sequence}
	}
	s.show(free)
	return true
}

// put fills a slot.
func (s *slots) put(at int, k key, until uint32) {
	s.keys[at] = k
	s.until[at] = until
	s.used++
}

func (s *slots) merge(at int, e entry, until uint32, order stamp) {
	s.until[at] = max(s.until[at], until)
	if s.cut == nil {
		return
	}
	word := s.cut[at].Load()
	cause := word & 1
	if !order.before(s.order[at]) {
		cause, s.order[at] = bit(e.disabled), order
	}
	s.cut[at].Store(max(word>>1, uint64(e.cutOff))<<1 | cause)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// copy returns slots with room for n and the entries that live at a time.
func (s *slots) copy(n int, now uint32) *slots {
	c := newSlots(n, s.cut != nil)
	for i := range s.keys {
		if s.empty(i) || s.until[i] < now {
			continue
		}
		_, free := c.find(s.keys[i])
		c.put(free, s.keys[i], s.until[i])
		if s.cut != nil {
			c.cut[free].Store(s.cut[i].Load())
			c.order[free] = s.order[i]
		}
		c.show(free)
	}
	return c
}

func (s *slots) empty(at int) bool {
	return s.tags[at/group].Load()>>(at%group*8)&0x80 == 0
}

// sweep drops what need not be kept at a time, in unix seconds. It goes from
// shard to shard, and holds up nobody who checks.
func (t *table) sweep(now int64) {
	at := uint32(min(max(now, 0), math.MaxUint32))
	for i := range shards {
		t.live.Add(-int64(t.things[i].sweep(at)))
		t.live.Add(-int64(t.cuts[i].sweep(at)))
	}
}

// sweep returns how many entries it dropped.
func (sh *shard) sweep(now uint32) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.slots.Load()
	dead := 0
	for i := range s.keys {
		if !s.empty(i) && s.until[i] < now {
			dead++
		}
	}
	if dead > 0 {
		sh.slots.Store(s.copy((s.used-dead)*5/3, now))
	}
	return dead
}
