package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

type spyStore struct {
	client.Store
	saved, ids string
	broken     bool
}

func (s *spyStore) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	s.saved += string(data)
	s.ids += id
	return s.Store.Save(ctx, id, data, expires)
}

func (s *spyStore) Load(ctx context.Context, id string) ([]byte, error) {
	if s.broken {
		return nil, errors.New("disk on fire")
	}
	return s.Store.Load(ctx, id)
}

func TestMemory(t *testing.T) {
	m, err := client.NewMemory(client.MemoryConfig{Sessions: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, later := t.Context(), time.Now().Add(time.Hour)
	save := func(id string, expires time.Time) {
		t.Helper()
		if err := m.Save(ctx, id, []byte(id), expires); err != nil {
			t.Fatal(err)
		}
	}
	load := func(id string) bool {
		data, err := m.Load(ctx, id)
		if err != nil && !errors.Is(err, client.ErrNoSession) {
			t.Errorf("error is %v", err)
		}
		return string(data) == id
	}
	save("a", later)
	save("b", later)
	if !load("a") || !load("b") || !load("a") {
		t.Error("what was saved is lost")
	}
	save("c", later)
	if load("b") || !load("a") || !load("c") {
		t.Error("the session that was longest unused should have made room")
	}
	save("a", time.Now().Add(-time.Second))
	if load("a") {
		t.Error("an expired session was loaded")
	}
	if err := m.Delete(ctx, "c"); err != nil || load("c") {
		t.Errorf("deleted: %v", err)
	}
	if _, err := client.NewMemory(client.MemoryConfig{}); err == nil {
		t.Error("a memory without room was made")
	}
}
