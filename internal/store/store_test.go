package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// each runs fn as a subtest of its own on both databases, with the people and
// clients that other rows refer to.
func each(t *testing.T, fn func(t *testing.T, s *store.Store)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		furnish(t, s)
		fn(t, s)
	})
}

func furnish(t *testing.T, s *store.Store) {
	t.Helper()
	upkeep(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertUser(model.User{ID: "ann", Login: "ann", Status: model.UserActive}),
			tx.InsertUser(model.User{ID: "bob", Login: "bob", Status: model.UserActive}),
			tx.InsertClient(model.Client{ID: "shop"}),
			tx.InsertClient(model.Client{ID: "bank"}))
	})
}

func upkeep(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Upkeep(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// read returns what fn reads in a View.
func read[T any](t *testing.T, s *store.Store, fn func(*store.Tx) (T, error)) T {
	t.Helper()
	var v T
	view(t, s, func(tx *store.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

// fails checks that fn, alone in a transaction, ends in that error.
func fails(t *testing.T, s *store.Store, want error, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Upkeep(t.Context(), fn); !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// missing makes a function with a result fit for fails.
func missing[T any](fn func(*store.Tx) (T, error)) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := fn(tx)
		return err
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// race runs fn n times at once and returns how many succeeded; the others fail
// with that error.
func race(t *testing.T, n int, other error, fn func(i int) error) int {
	t.Helper()
	start := make(chan struct{})
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			results[i] = fn(i)
		})
	}
	close(start)
	all.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case other == nil || !errors.Is(err, other):
			t.Errorf("got error %v, want none or %v", err, other)
		}
	}
	return won
}

func now() int64 { return time.Now().Unix() }

// future is a time that does not come while a test runs: an ending of then is not late.
const future = 5_000_000_000

var event = model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "test.run"}

func number(prefix string, i int) string { return fmt.Sprintf("%s%04d", prefix, i) }
