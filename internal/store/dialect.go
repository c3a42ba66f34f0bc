package store

import "context"

// dialect is what the two databases do differently.
type dialect interface {
	// run calls fn inside a transaction of the mode, perhaps more than once,
	// and returns when its changes are durable. An error or a panic of fn
	// undoes them.
	run(ctx context.Context, m mode, fn func(querier) error) error
	// sound waits until it is known whether the database is damaged, where that is
	// looked for, and fails if it is.
	sound(ctx context.Context) error
	// explain turns a driver's error, told by its code, into one of ours that
	// wraps it.
	explain(err error) error
	// again reports whether the transaction failed only because of others, so
	// that it may succeed if it runs again.
	again(err error) bool
	// inOrder is a statement that lets transactions that come after it commit
	// one after the other and changes a row, or empty if they commit so anyway.
	inOrder() string
	// tell tells those who listen in other processes, where the database can, and
	// waits for nothing: it may be lost.
	tell(news)
	// listen calls hear with what other processes have changed, where the database
	// tells, until ctx is done.
	listen(ctx context.Context, hear func(news))
	close() error
}

// mode is what a transaction needs.
type mode int

const (
	snapshot  mode = iota // one state of the database, read only
	question              // one statement, which reads
	audited               // serializable, and a change needs an event
	redeeming             // audited, and whatever takes away what it relies on changes a row that it changes
	serial                // serializable
	tidy                  // each statement for itself: deletes only what nobody can use
)

// reads reports whether nothing is written.
func (m mode) reads() bool { return m == snapshot || m == question }

// querier runs statements inside a transaction.
type querier interface {
	// exec returns how many rows were changed.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// execLater runs a statement of which nobody asks how many rows it changes,
	// perhaps together with the next one or with the commit, which fail with it.
	execLater(ctx context.Context, query string, args []any) error
	query(ctx context.Context, query string, args []any) (rows, error)
	// wide says that the transaction changes sessions and grants of many people.
	wide()
}

// rows are those of a query; the next one may be begun when they are closed.
type rows interface {
	scanner
	row() row // the one that Next has come to
	Next() bool
	Err() error
	Close() error
}
