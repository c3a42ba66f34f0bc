package client

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Store keeps sessions on the application's side, so that the browser holds
// nothing but a random handle. What it is given is sealed already, and the id is
// a hash of the handle: whoever reads the store can neither use a session nor
// read a token. All methods may be called at the same time.
type Store interface {
	// Load returns what was saved under id, or ErrNoSession.
	Load(ctx context.Context, id string) ([]byte, error)
	// Save keeps data under id, in place of what was there, until expires.
	Save(ctx context.Context, id string, data []byte, expires time.Time) error
	// Delete forgets id; an unknown one is no error.
	Delete(ctx context.Context, id string) error
}

// Memory is a Store in the memory of this process, of a bounded size: when it
// is full, the session that was longest unused makes room.
type Memory struct {
	now func() time.Time
	max int

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  *list.List // of *memoryEntry; the most recently used in front
}

type memoryEntry struct {
	id      string
	data    []byte
	expires time.Time
}

var _ Store = (*Memory)(nil)

// MemoryConfig says how much a Memory holds.
type MemoryConfig struct {
	Sessions int              // at most; a few KiB each; required
	Now      func() time.Time // default time.Now
}

// NewMemory returns an empty Memory.
func NewMemory(c MemoryConfig) (*Memory, error) {
	if c.Sessions < 1 {
		return nil, errors.New("client: a memory for sessions needs room for at least one")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Memory{now: c.Now, max: c.Sessions, entries: make(map[string]*list.Element), recent: list.New()}, nil
}

// Load implements Store.
func (m *Memory) Load(_ context.Context, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[id]
	if !ok {
		return nil, ErrNoSession
	}
	entry := e.Value.(*memoryEntry)
	if !m.now().Before(entry.expires) {
		m.drop(e)
		return nil, ErrNoSession
	}
	m.recent.MoveToFront(e)
	return entry.data, nil
}

// Save implements Store.
func (m *Memory) Save(_ context.Context, id string, data []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := &memoryEntry{id: id, data: append([]byte(nil), data...), expires: expires}
	if e, ok := m.entries[id]; ok {
		e.Value = entry
		m.recent.MoveToFront(e)
		return nil
	}
	m.entries[id] = m.recent.PushFront(entry)
	for m.recent.Len() > m.max {
		m.drop(m.recent.Back())
	}
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[id]; ok {
		m.drop(e)
	}
	return nil
}

func (m *Memory) drop(e *list.Element) {
	m.recent.Remove(e)
	delete(m.entries, e.Value.(*memoryEntry).id)
}
