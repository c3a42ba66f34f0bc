package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// inquire asks a question by each of n goroutines, while all have to wait, and returns
// what becomes of them once they need not.
func inquire(t *testing.T, s *store.Store, n int, ask func(i int) error) []error {
	t.Helper()
	waiting, release := store.HoldQuestions(s)
	failures := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failures[i] = ask(i) })
	}
	eventually(t, func() error {
		if got := waiting(); got < n {
			return fmt.Errorf("%d wait", got)
		}
		return nil
	})
	release()
	all.Wait()
	idle(t, s)
	return failures
}

// idle fails unless all ways are back.
func idle(t *testing.T, s *store.Store) {
	t.Helper()
	eventually(t, func() error {
		if gone, _ := store.Ways(s); gone != 0 {
			return fmt.Errorf("%d ways are gone", gone)
		}
		return nil
	})
}

// Who waits goes one way together, gets the answer to their own question, and fails by
// their own failure only.
func TestQuestionsTogether(t *testing.T) {
	s := storetest.Postgres(t)
	const n = 20
	for _, row := range []struct {
		name  string
		wrong string // that the fifth asks
	}{
		{"all succeed", ""},
		{"one fails while it runs", `SELECT (1 / (length($1) - 9))::text`}, // the length of its argument
		{"one cannot be prepared", `SELECT nothing FROM nowhere WHERE a = $1`},
		{"one is answered nothing", `SELECT name FROM settings WHERE name = $1`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, before := store.Ways(s)
			failures := inquire(t, s, n, func(i int) error {
				query, arg := `SELECT $1 || ', indeed'`, fmt.Sprintf("number %02d", i)
				if i == 5 && row.wrong != "" {
					query = row.wrong
				}
				got, err := store.AskText(t.Context(), s, query, arg)
				if err == nil && got != arg+", indeed" {
					err = fmt.Errorf("the answer to %q is %q", arg, got)
				}
				return err
			})
			for i, err := range failures {
				if want := i == 5 && row.wrong != ""; (err != nil) != want {
					t.Errorf("the question %d: %v", i, err)
				}
			}
			if strings.Contains(row.name, "nothing") && !errors.Is(failures[5], store.ErrNotFound) {
				t.Errorf("nothing is %v", failures[5])
			}
			if _, after := store.Ways(s); after-before != 1 {
				t.Errorf("they went %d ways", after-before)
			}
		})
	}
}

// More than go one way go several, and rows of any number and width come back whole.
func TestManyQuestions(t *testing.T) {
	s := storetest.Postgres(t)
	for i, err := range inquire(t, s, 150, func(i int) error {
		arg := strings.Repeat(string(rune('a'+i%26)), i*i)
		got, err := store.AskText(t.Context(), s, `SELECT $1 || ''`, arg)
		if err == nil && got != arg {
			err = fmt.Errorf("%d bytes come back as %d", len(arg), len(got))
		}
		return err
	}) {
		if err != nil {
			t.Errorf("the question %d: %v", i, err)
		}
	}
}

// Whoever goes away while they wait is missed by nobody.
func TestQuestionGivenUp(t *testing.T) {
	s := storetest.Postgres(t)
	ctx, cancel := context.WithCancel(t.Context())
	waiting, release := store.HoldQuestions(s)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			its, gone := t.Context(), i%2 == 0
			if gone {
				its = ctx
			}
			_, err := store.AskText(its, s, `SELECT $1 || ''`, "a")
			if gone != errors.Is(err, context.Canceled) {
				t.Errorf("the question %d: %v", i, err)
			}
		})
	}
	counts := func(n int) {
		eventually(t, func() error {
			if got := waiting(); got != n {
				return fmt.Errorf("%d wait", got)
			}
			return nil
		})
	}
	counts(10)
	cancel()
	counts(5)
	release()
	all.Wait()
	idle(t, s)
}

// Whoever gets no turn in time is told so, and leaves nothing behind.
func TestQuestionWithoutTurn(t *testing.T) {
	s, _ := behind(t, store.Config{Wait: 2 * time.Second})
	waiting, release := store.HoldQuestions(s)
	_, err := store.AskText(t.Context(), s, `SELECT $1 || ''`, "a")
	if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), "was being asked by others for 2s") || waiting() != 0 {
		t.Errorf("%v, and %d wait", err, waiting())
	}
	release()
	idle(t, s)
}

// Those whose way is lost go another one.
func TestQuestionsLost(t *testing.T) {
	s, p := behind(t, patient)
	for _, fate := range []storetest.Fate{storetest.Cut, storetest.Swallow} {
		p.Once(1, "indeed", fate)
		for i, err := range inquire(t, s, 10, func(i int) error {
			got, err := store.AskText(t.Context(), s, `SELECT $1 || ', indeed'`, fmt.Sprint("indeed ", i))
			if want := fmt.Sprint("indeed ", i, ", indeed"); err == nil && got != want {
				err = fmt.Errorf("the answer is %q", got)
			}
			return err
		}) {
			if err != nil {
				t.Errorf("the question %d: %v", i, err)
			}
		}
	}
}

// A way that takes long makes nobody wait for it who comes later.
func TestLongWay(t *testing.T) {
	s, p := behind(t, patient)
	ctx, cancel := context.WithCancel(t.Context())
	var slow error
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, slow = store.AskText(ctx, s, `SELECT $1 || pg_sleep(50)`, "slow")
	}()
	eventually(t, func() error {
		if gone, _ := store.Ways(s); gone != 1 {
			return fmt.Errorf("%d ways are gone", gone)
		}
		return nil
	})
	for range 3 {
		if got, err := store.AskText(t.Context(), s, `SELECT $1 || ''`, "quick"); got != "quick" || err != nil {
			t.Error(got, err)
		}
	}
	select {
	case <-over:
		t.Errorf("they waited for the one before: %v", slow)
	default:
	}
	cancel()
	end(t, p.URL)
	if <-over; !errors.Is(slow, context.Canceled) {
		t.Error(slow)
	}
	idle(t, s)
}
