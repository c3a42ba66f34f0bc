package store

import (
	"slices"
	"strings"
)

// Topic is something that others keep in memory, on every node, and want to read again
// at once when it has changed.
type Topic int

const (
	Revocations Topic = iota // the revocation log has grown
	Clients                  // what a client may, or its secrets
	SigningKeys
	Upstreams // an identity provider, or whether one goes there now
	topics    // how many there are
)

// topicNames are how nodes speak of them.
var topicNames = [topics]string{"revocations", "clients", "signing_keys", "upstreams"}

// news is a set of topics.
type news uint32

const everything news = 1<<topics - 1

func (n news) has(t Topic) bool { return n&(1<<t) != 0 }

// String is what newsIn reads.
func (n news) String() string {
	var names []string
	for t, name := range topicNames {
		if n.has(Topic(t)) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// newsIn reads what another node says. One of an older version says nothing when the
// revocation log has grown, and one of a newer version may speak of what is unknown here.
func newsIn(said string) (n news) {
	if said == "" {
		return 1 << Revocations
	}
	for name := range strings.FieldsSeq(said) {
		if t := slices.Index(topicNames[:], name); t >= 0 {
			n |= 1 << t
		}
	}
	return n
}

// changes notes what a statement has changed, unless it failed.
func (tx *Tx) changes(t Topic, err error) error {
	if err == nil {
		tx.news |= 1 << t
	}
	return err
}
