package keys

import (
	"time"

	"github.com/ostiary/ostiary/jwa"
)

// Age is how old the key is that signs in an algorithm.
type Age struct {
	Algorithm jwa.Algorithm
	Signing   time.Duration // since it began to
	Next      time.Duration // until another one does; less than 0: it is overdue
	Published int           // keys that a verifier may meet
}

// Ages tells how old the keys are. It asks nobody.
func (r *Ring) Ages() []Age {
	now := r.unix()
	s := r.current.Load()
	all := make([]Age, 0, len(r.algorithms))
	for _, alg := range r.algorithms {
		a := Age{Algorithm: alg}
		e, ok := s.signer(alg, now)
		if !ok {
			continue
		}
		next := e.row.ActiveAt + r.rotate
		for _, k := range s.lines[string(alg)] {
			if k.ActiveAt > now {
				next = k.ActiveAt
				break
			}
		}
		for _, k := range s.entries {
			if k.row.Algorithm == string(alg) && !dropped(k.row, now) {
				a.Published++
			}
		}
		a.Signing, a.Next = time.Duration(now-e.row.ActiveAt)*time.Second, time.Duration(next-now)*time.Second
		all = append(all, a)
	}
	return all
}
