package oauth

import (
	"maps"
	"sync"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwt"
)

const (
	lengthAgain = 60 * 60 // seconds until the same is said of a client again
	lengthsKept = 1000    // clients and kinds of which it is remembered; of no more it is said
)

// lengths remembers for which clients it was said lately that a token is too long.
type lengths struct {
	mu   sync.Mutex
	said map[lengthOf]int64 // when
}

type lengthOf struct {
	client model.ClientID
	kind   string
}

// measure warns of a token that common servers would not take in a header: nothing else
// does before somebody's request is refused there, by a proxy that knows nothing of
// tokens (RFC 9110 §5.4). The log gets its length, and nothing of what it says.
func (a *Authority) measure(client model.ClientID, kind, token string) {
	if len(token) <= jwt.MaxInHeader || !a.lengths.say(lengthOf{client, kind}, a.unix()) {
		return
	}
	a.Logger.Warn("a token is longer than common servers take in a header", "client", client, "kind", kind, "bytes", len(token), "most", jwt.MaxInHeader)
}

// say reports whether something is to be said now: once in a while of each, and only of
// so many that the log cannot be filled by it.
func (l *lengths) say(of lengthOf, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.said, func(_ lengthOf, at int64) bool { return now-at >= lengthAgain || at > now })
	if _, lately := l.said[of]; lately || len(l.said) >= lengthsKept {
		return false
	}
	if l.said == nil {
		l.said = map[lengthOf]int64{}
	}
	l.said[of] = now
	return true
}
