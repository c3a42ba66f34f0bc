// Package store is the safe: it owns all SQL, the schema with its migrations,
// and the transactions of Ostiary, on SQLite and on PostgreSQL alike.
//
// Everything goes through View, Update and Upkeep, which run a function in one
// transaction; the methods of Tx stand in one file per noun. Both databases run
// the same statements.
//
// It never holds a rule, never speaks HTTP and never does cryptography: what it
// is given it stores, so secrets arrive hashed or sealed. It reads no clock but
// the one in its Config.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

var (
	// ErrNotFound means that there is no such row, or none in the state that
	// the method asks for.
	ErrNotFound = errors.New("store: not found")
	// ErrConflict means that a row with the same unique value exists.
	ErrConflict = errors.New("store: exists already")
	// ErrLapsed means that what a new row stands on is over, disabled or gone.
	ErrLapsed = errors.New("store: what it stands on is over")
	// ErrUnaudited means that a function given to Update changed something
	// and recorded no event. Nothing was changed.
	ErrUnaudited = errors.New("store: a change without an event was refused")
	// ErrReadOnly means that a function given to View tried to write.
	ErrReadOnly = errors.New("store: a view cannot write")
	// ErrClosed means that the store was closed, or a Tx used after its end.
	ErrClosed = errors.New("store: closed")
	// ErrBusy means that the database was too contended to finish in time.
	// Nothing was changed, and trying again later may succeed.
	ErrBusy = errors.New("store: the database is busy")
	// ErrAway means that the database does not answer, or lost the connection before
	// the commit. Nothing was changed, and trying again later may succeed.
	ErrAway = errors.New("store: the database is away")
	// ErrDoubt means that the connection was lost while the database committed: what
	// was to be changed has been, or has not. It is never done again by itself.
	ErrDoubt = errors.New("store: nobody knows whether it was done")
	// ErrCorrupt means that the database is damaged or not one of Ostiary's.
	ErrCorrupt = errors.New("store: the database cannot be read")
	// ErrNewerSchema means that a newer version of Ostiary has upgraded the
	// database.
	ErrNewerSchema = errors.New("store: the database is newer than this program")
	// ErrAddress means that Config.URL is not an address of a database.
	ErrAddress = errors.New("store: not an address of a database")
)

// Config says where the data lies.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://user:password@host:port/database".
	URL string
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// The others are for PostgreSQL. Connections bounds the pool; 0: four for each
	// processor, 8 to 32. One more is used to listen.
	Connections int
	// Wait is how long a transaction waits for its turn and for a connection, and for
	// how long after its beginning one runs again whose connection was lost; 0: 10
	// seconds. Statement is how long one statement may take, unless the address says
	// so (statement_timeout, where 0 is no limit); 0: a minute.
	Wait, Statement time.Duration
}

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	dialect dialect
	now     func() time.Time
	closed  atomic.Bool
	queued  chan struct{}         // of room for one: something waits in the outbox
	changed [topics]chan struct{} // each of room for one
	mark    atomic.Pointer[func(model.Event) string]

	observer atomic.Pointer[func(Transaction)] // nil: nobody observes

	listening sync.Once // begins when somebody asks for Changed
	listened  chan struct{}
	ctx       context.Context // done when the store is closed
	stop      context.CancelFunc
}

// Open opens the database, making it if it is an SQLite file that is not there,
// and brings its schema up to date. Its errors are sentences that say what to
// do and never contain the password of the URL; among them are ErrAddress,
// ErrCorrupt and ErrNewerSchema.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{now: c.Now, queued: make(chan struct{}, 1), listened: make(chan struct{})}
	for t := range s.changed {
		s.changed[t] = make(chan struct{}, 1)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	scheme, rest, _ := strings.Cut(c.URL, ":")
	switch scheme {
	case "sqlite":
		s.dialect, err = openSQLite(ctx, rest)
	case "postgres", "postgresql":
		s.dialect, err = openPostgres(ctx, c)
	default:
		// The URL is not repeated: it may hold a password.
		err = fmt.Errorf(`%w: it has to be "sqlite:PATH" or "postgres://user:password@host:port/database"`, ErrAddress)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close waits for the transactions that have begun, then closes the database.
// Later ones fail with ErrClosed.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stop()
	s.listening.Do(func() { close(s.listened) }) // nobody will
	<-s.listened
	return s.dialect.close()
}

// Sound waits until it is known whether the database is damaged, as far as that is
// looked for when it is opened, and fails with ErrCorrupt if it is. Nothing is written
// before that is known.
func (s *Store) Sound(ctx context.Context) error { return s.dialect.sound(ctx) }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.View(ctx, func(tx *Tx) error {
		_, err := one(tx, scanInt, `SELECT 1`)
		return err
	})
}

// View runs fn on one consistent state of the database. Methods that write
// fail with ErrReadOnly. Inside fn only its Tx is used, never the Store: a
// second transaction would wait for the first one.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	return s.run(ctx, snapshot, fn)
}

// Ask is View for one question: a statement is one state of the database by itself, so
// no transaction is put around it, which is most of what a short one costs. A second
// statement in fn fails.
func (s *Store) Ask(ctx context.Context, fn func(*Tx) error) error {
	return s.run(ctx, question, fn)
}

// Update runs fn in one transaction and returns when its changes are durable.
// They are made all or not at all: an error from fn, or a failure of any
// statement in it, undoes them. If fn changed something and recorded no event,
// it fails with ErrUnaudited.
//
// fn may run twice and may share its commit with others, so it has no side
// effects: it hashes, signs and sends outside. Inside it only its Tx is used,
// never the Store. It runs in the caller's goroutine.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	return s.run(ctx, audited, fn)
}

// Redeem is Update for a transaction that uses up a code or a refresh token: it changes the
// grant that these are of, unless it refuses. Whatever takes away what it relies on (its
// person, its client, its session, the grant itself) changes that row as well, so that one
// of the two comes after the other and sees what has become of it. (The end of a session
// does not, where the grant outlives it: it reads nothing of the grant either, and so may
// as well have come after it.) PostgreSQL need not watch what is read for that, and is not
// led to undo what only lay beside something else that was read (manual §13.2.2, §13.2.3).
func (s *Store) Redeem(ctx context.Context, fn func(*Tx) error) error {
	return s.run(ctx, redeeming, fn)
}

// Upkeep is Update for bookkeeping for which nobody is accountable, such as
// pending requests and the time a session was last seen: it asks for no event.
func (s *Store) Upkeep(ctx context.Context, fn func(*Tx) error) error {
	return s.run(ctx, serial, fn)
}

// Queued wakes its one reader when a transaction of this Store has put something
// into the outbox or into a stream. What others put there it does not see.
func (s *Store) Queued() <-chan struct{} { return s.queued }

// Changed wakes its one reader when something has changed: by a transaction of this
// Store, or on PostgreSQL by any node. A reader looks now and then all the same: SQLite
// does not tell of other processes, and a notification may be lost.
func (s *Store) Changed(t Topic) <-chan struct{} {
	s.listening.Do(func() {
		go func() {
			defer close(s.listened)
			s.dialect.listen(s.ctx, s.wake)
		}()
	})
	return s.changed[t]
}

// wake wakes the readers of what has changed.
func (s *Store) wake(n news) {
	for t, reader := range s.changed {
		if n.has(Topic(t)) {
			wake(reader)
		}
	}
}

// wake lets the reader of a channel look, who is about to do so if there is no
// room.
func wake(reader chan<- struct{}) {
	select {
	case reader <- struct{}{}:
	default:
	}
}

func (s *Store) run(ctx context.Context, m mode, fn func(*Tx) error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var queued bool
	var news news
	var cuts []cut
	watched := s.watch(ctx, m)
	err := s.dialect.run(ctx, m, func(q querier) error {
		tx := &Tx{ctx: ctx, q: watched.attempt(q), dialect: s.dialect, now: s.now, mode: m}
		if mark := s.mark.Load(); mark != nil {
			tx.mark = *mark
		}
		defer func() { tx.over, queued, news, cuts = true, tx.queued, tx.news, tx.cuts }()
		err := fn(tx)
		switch {
		case tx.failed != nil && (err == nil || s.dialect.again(tx.failed)):
			// A failed statement undoes everything on either database, also
			// when fn overlooked it; and whether to try again is decided by
			// the failure, whatever fn made of it.
			return tx.failed
		case err != nil:
			watched.refused = true
			return err
		case (m == audited || m == redeeming) && tx.changed && !tx.recorded:
			return ErrUnaudited
		}
		return nil
	})
	watched.end(err)
	if err == nil && queued {
		wake(s.queued)
	}
	if err == nil && news != 0 {
		s.wake(news)
		s.dialect.tell(news)
	}
	if err == nil && len(cuts) > 0 {
		return s.deepen(ctx, cuts)
	}
	return err
}
