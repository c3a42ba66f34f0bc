package servertest

import (
	"sync"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// spareKeys is how many keys of an algorithm the houses of one test program have
// between them: more than any one of them makes, so that no house meets a key twice.
const spareKeys = 24

// ringOfKeys hands out signing keys, one after the other and then again from the
// first: an RSA key costs more than all else that a server does to start.
type ringOfKeys struct {
	mu    sync.Mutex
	made  map[jwa.Algorithm][]*jwk.Key
	given map[jwa.Algorithm]int
}

var spares = ringOfKeys{made: map[jwa.Algorithm][]*jwk.Key{}, given: map[jwa.Algorithm]int{}}

func (r *ringOfKeys) take(alg jwa.Algorithm) (*jwk.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.given[alg] % spareKeys
	if n == len(r.made[alg]) {
		key, err := jwk.Generate(alg)
		if err != nil {
			return nil, err
		}
		r.made[alg] = append(r.made[alg], key)
	}
	r.given[alg]++
	return r.made[alg][n], nil
}
