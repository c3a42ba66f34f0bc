package jwe

import (
	"maps"
	"sync"
	"sync/atomic"
)

// A cache keeps a few values that cost something to make. It is read without a
// lock: the map is replaced when something is added. Its zero value is empty.
type cache[K comparable, V any] struct {
	adding sync.Mutex
	kept   atomic.Pointer[map[K]V]
}

func (c *cache[K, V]) load(key K) (value V, ok bool) {
	if kept := c.kept.Load(); kept != nil {
		value, ok = (*kept)[key]
	}
	return value, ok
}

// add keeps a value. When there are limit of them it forgets all others first:
// what is in use comes back, and what is not stays away.
func (c *cache[K, V]) add(key K, value V, limit int) {
	c.adding.Lock()
	defer c.adding.Unlock()
	next := make(map[K]V)
	if kept := c.kept.Load(); kept != nil && len(*kept) < limit {
		maps.Copy(next, *kept)
	}
	next[key] = value
	c.kept.Store(&next)
}
