package jwt

import (
	"context"
	"hash/maphash"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/ostiary/ostiary/jws"
)

const (
	// maxCacheSize bounds the memory that a cache may be asked to take.
	maxCacheSize = 1 << 20

	// maxCachedToken is the longest token that is kept.
	maxCachedToken = 8 << 10
)

// A cache remembers tokens that were verified, so that the signature and the JSON of
// one that comes again need not be looked at again. What may have changed since is
// not remembered: the times and all other claims are checked each time, and the key
// must still be one that the source returns.
//
// A token has two places, by its hash; whichever comes last takes one of them. There
// is no list to keep in order and no lock, and the memory is bounded by the number
// of places.
type cache[C any] struct {
	seed  maphash.Seed
	mask  uint64
	seen  []atomic.Uint32 // marks of tokens that came once; only those that come again are kept
	slots []atomic.Pointer[cached[C]]
	clone cloner // nil if C has nothing in it that could be changed
	again bool   // C cannot be cloned, and is decoded anew
	shape shape
}

// A cached token has the whole text of it: equal hashes prove nothing.
type cached[C any] struct {
	token      string
	message    jws.Message // without its payload
	registered claims
	result     Token[C]
	payload    string // of a C that is decoded anew
}

// newCache makes a cache of at least size places.
func newCache[C any](size int, sh shape) *cache[C] {
	places := uint64(2)
	for places < uint64(size) {
		places *= 2
	}
	c := &cache[C]{
		seed: maphash.MakeSeed(), mask: places - 1, shape: sh,
		seen: make([]atomic.Uint32, places), slots: make([]atomic.Pointer[cached[C]], places),
	}
	if _, ok := any(new(C)).(selfCloner[C]); ok {
		c.clone = func(v reflect.Value) {
			p := v.Addr().Interface().(*C)
			*p = any(p).(selfCloner[C]).Clone()
		}
		return c
	}
	var ok bool
	c.clone, ok = clonerOf(reflect.TypeFor[C](), 0)
	c.again = !ok
	return c
}

// A selfCloner knows how to copy itself, so that nobody can change the original by
// what is in the copy.
type selfCloner[C any] interface{ Clone() C }

// places returns where a token may be.
func (c *cache[C]) places(hash uint64) (first, second *atomic.Pointer[cached[C]]) {
	return &c.slots[hash&c.mask], &c.slots[hash>>32&c.mask]
}

// find returns a token that was verified before. The hash is keyed with a seed that
// nobody knows: texts are only ever compared with a text that has the same hash, so
// the time that takes tells nothing about the tokens of others.
func (c *cache[C]) find(hash uint64, token string) *cached[C] {
	first, second := c.places(hash)
	if e := first.Load(); e != nil && e.token == token {
		return e
	}
	if e := second.Load(); e != nil && e.token == token {
		return e
	}
	return nil
}

// comesAgain reports whether a token came before, and marks that it came.
func (c *cache[C]) comesAgain(hash uint64, token string) bool {
	mark := uint32(hash>>16) | 1
	return c.seen[hash&c.mask].Swap(mark) == mark && len(token) <= maxCachedToken
}

func (c *cache[C]) keep(hash uint64, e *cached[C]) {
	first, second := c.places(hash)
	if first.Load() != nil && (second.Load() == nil || hash>>63 == 0) {
		first = second
	}
	first.Store(e)
}

// verifyCached is verify with the cache in front of it.
func (v *Verifier[C]) verifyCached(ctx context.Context, token string) (Token[C], error) {
	c := v.cache
	hash := maphash.String(c.seed, token)
	if e := c.find(hash, token); e != nil && v.signatures.Trusts(ctx, &e.message) {
		if err := v.options.check(&e.registered); err != nil {
			return Token[C]{}, err
		}
		return v.copied(e), nil
	}
	keep := c.comesAgain(hash, token)
	r := v.rooms.Get().(*room[C])
	defer v.leave(r)
	if err := v.verify(ctx, token, r); err != nil {
		return Token[C]{}, err
	}
	if !keep {
		return r.result, nil
	}
	e := &cached[C]{token: strings.Clone(token), message: r.message, registered: r.registered, result: r.result}
	e.result.Signature = e.token[len(token)-len(r.result.Signature):]
	e.message.Signature = ""
	if c.again {
		var none C
		e.result.Claims, e.payload = none, r.payload
	} else if c.clone != nil { // the caller may change what it gets
		c.clone(reflect.ValueOf(&e.result.Claims).Elem())
	}
	c.keep(hash, e)
	return r.result, nil
}

// copied is a cached token for one caller, who may do with it what it likes.
func (v *Verifier[C]) copied(e *cached[C]) Token[C] {
	c := v.cache
	if c.clone == nil && !c.again {
		return e.result
	}
	r := v.rooms.Get().(*room[C])
	defer v.leave(r)
	r.result = e.result
	to := reflect.ValueOf(&r.result.Claims).Elem()
	if c.clone != nil {
		c.clone(to)
	} else { // the text was read before without an error, into the same type
		_, _ = c.shape.read(payloadText{e.message.Header.Type, e.payload}, &r.registered, to)
	}
	return r.result
}
