package jwk

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"
)

// macs keeps keyed HMAC states of one secret for reuse: setting one up costs
// two blocks of hashing, as much as a short message itself. One pool for each
// hash, in the order of hashIndex.
type macs [3]sync.Pool

type macState struct {
	hash.Hash
	sum [sha512.Size]byte // here, so that a sum is not allocated each time
}

var newHash = [3]func() hash.Hash{sha256.New, sha512.New384, sha512.New}

func (m *macs) take(h crypto.Hash, secret []byte) *macState {
	if state, ok := m[hashIndex(h)].Get().(*macState); ok {
		return state
	}
	return &macState{Hash: hmac.New(newHash[hashIndex(h)], secret)}
}

func (m *macs) give(h crypto.Hash, state *macState) {
	state.Reset()
	clear(state.sum[:])
	m[hashIndex(h)].Put(state)
}

// verify compares in constant time.
func (m *macs) verify(h crypto.Hash, secret, message, mac []byte) bool {
	state := m.take(h, secret)
	defer m.give(h, state)
	state.Write(message)
	return hmac.Equal(state.Sum(state.sum[:0]), mac)
}

func (m *macs) appendSum(dst []byte, h crypto.Hash, secret, message []byte) []byte {
	state := m.take(h, secret)
	defer m.give(h, state)
	state.Write(message)
	return append(dst, state.Sum(state.sum[:0])...)
}
