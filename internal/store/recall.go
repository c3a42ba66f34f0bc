package store

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// memory keeps what was read from an SQLite file and is asked for again and again, for
// as long as nobody has changed the tables that it is from, in this process or another.
// Whoever asks begins no transaction then, whose locks alone take two calls of the system.
//
// SQLite has in memory that all processes share what state the file is in (see stamp),
// and everybody who begins to read looks there. So does this: while it is the state in
// which something was read, that is still true. Each commit makes another state of it.
// Of a commit of its own this process knows what it has changed: what is kept from other
// tables is true of the new state as well.
//
// A nil *memory keeps nothing.
type memory struct {
	mu      sync.RWMutex
	turn    uint64 // how often at was another state
	at      stamp  // of the file, when what is kept was true
	numbers map[string]int64
}

// maxRemembered bounds a memory, in answers.
const maxRemembered = 4096

// remembered are the tables of whose rows something is kept.
var remembered = [...]string{"clients", "revocations"}

// recall is what a memory keeps under a key, or what ask returns. What ask reads is in the
// tables of remembered alone.
func (tx *Tx) recall(key string, ask func() (int64, error)) (int64, error) {
	if c, direct := tx.q.(*conn); direct && tx.mode == question && !tx.over {
		return c.memory.recall(c, key, ask)
	}
	return ask()
}

// forgets reports whether a statement may change one of them. Nothing in the schema
// changes them where another table is changed (TestRememberedTables).
func forgets(query string) bool {
	if strings.HasPrefix(query, "SELECT ") {
		return false
	}
	if to, inserts := strings.CutPrefix(query, "INSERT INTO "); inserts { // the others are read for it
		query, _, _ = strings.Cut(to, " ")
	}
	for _, table := range remembered {
		if strings.Contains(query, table) {
			return true
		}
	}
	return false
}

// recall returns what is kept under a key, or what ask returns, and keeps that. Errors
// are not kept. There has to be no transaction on the connection.
func (m *memory) recall(c *conn, key string, ask func() (int64, error)) (int64, error) {
	if m == nil {
		return ask()
	}
	m.mu.RLock()
	turn, at := m.turn, m.at
	number, kept := m.numbers[key]
	m.mu.RUnlock()
	// Read after that: a state that is over does not come again, so none is taken for
	// the present one that was before.
	now, whole := c.stamp()
	if whole && kept && now == at {
		return number, nil
	}
	if whole && now != at { // somebody else has changed the file, or nothing is known yet
		turn, whole = m.move(turn, now)
	}
	number, err := ask() // in this state or a later one
	if err == nil && whole {
		m.keep(turn, key, number)
	}
	return number, err
}

// move forgets everything, for another state of the file, unless somebody else has
// moved it since the turn. It returns the turn that it is then.
func (m *memory) move(turn uint64, to stamp) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn != turn {
		return 0, false
	}
	m.turn++
	m.at = to
	clear(m.numbers)
	return m.turn, true
}

func (m *memory) keep(turn uint64, key string, number int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn != turn {
		return
	}
	if m.numbers == nil || len(m.numbers) >= maxRemembered {
		m.numbers = map[string]int64{}
	}
	m.numbers[key] = number
}

// committed is called when this process has committed what followed upon a state of the
// file, and before anybody is told. What is kept stays, unless what was done changes it.
func (m *memory) committed(before, after stamp, forgets bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at != before {
		return // it is of another state, and whoever asks finds that out
	}
	m.turn++
	m.at = after
	if forgets {
		clear(m.numbers)
	}
}

// stamp is the head of the index that SQLite has of the write-ahead log: counters, where
// the log ends, and a sum of all that is in it (https://www.sqlite.org/walformat.html,
// section 2.1.1). It is changed by each commit, and by nothing that makes no difference
// but when the log begins anew.
type stamp [unsafe.Sizeof(sqlite3.TWalIndexHdr{}) / 4]uint32

// stamp is that of the file now. The index has it twice; while the two differ, somebody
// writes it, and it is not whole.
func (c *conn) stamp() (s stamp, whole bool) {
	log := c.log()
	if log == nil || log.FnWiData < 1 {
		return stamp{}, false
	}
	index := *(*uintptr)(at(log.FapWiData)) // its first part
	if index == 0 {
		return stamp{}, false
	}
	head := (*[2]stamp)(at(index))
	for i := range s {
		s[i] = atomic.LoadUint32(&head[0][i])
	}
	for i := range s {
		if atomic.LoadUint32(&head[1][i]) != s[i] {
			return stamp{}, false
		}
	}
	return s, s != stamp{}
}

// own is the stamp of the state that the connection works on, or made by its last commit.
func (c *conn) own() stamp {
	log := c.log()
	if log == nil {
		return stamp{}
	}
	return *(*stamp)(unsafe.Pointer(&log.Fhdr))
}

// log is what the connection knows of the write-ahead log, nil before it has read anything.
func (c *conn) log() *sqlite3.TWal {
	main := (*sqlite3.TDb)(at((*sqlite3.Tsqlite3)(at(c.db)).FaDb))
	if main.FpBt == 0 {
		return nil
	}
	shared := (*sqlite3.TBtShared)(at((*sqlite3.TBtree)(at(main.FpBt)).FpBt))
	log := (*sqlite3.TPager)(at(shared.FpPager)).FpWal
	if log == 0 {
		return nil
	}
	return (*sqlite3.TWal)(at(log))
}
