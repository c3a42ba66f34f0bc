package store

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/trace"
)

// Transaction is what an observer is told of one that has ended.
type Transaction struct {
	Kind     string        // "view", "ask", "update", "redeem", "upkeep" or "tidy"
	Took     time.Duration // with the time that it waited for its turn
	Attempts int           // how often its function ran
	Err      error         // that it ended with
	Refused  bool          // it is the function's own, and no failure of the database
}

// kinds are the names of the modes.
var kinds = [...]string{snapshot: "view", question: "ask", audited: "update", redeeming: "redeem", serial: "upkeep", tidy: "tidy"}

// Kinds are those of all transactions.
func Kinds() []string { return kinds[:] }

// Observe lets fn be told of every transaction that has ended, from now on. It is
// called by whoever ran the transaction, so it is quick.
func (s *Store) Observe(fn func(Transaction)) { s.observer.Store(&fn) }

// watch is what is noted of a running transaction, if anybody asks.
type watch struct {
	observer *func(Transaction)
	kind     string
	start    time.Time
	attempts int
	ctx      context.Context
	span     trace.Span
	traced   bool
	refused  bool
}

func (s *Store) watch(ctx context.Context, m mode) watch {
	w := watch{observer: s.observer.Load(), kind: kinds[m], ctx: ctx}
	if w.observer != nil {
		w.start = time.Now()
	}
	if w.traced = trace.Traced(ctx); w.traced {
		w.ctx, w.span = trace.Start(ctx, "store."+w.kind)
	}
	return w
}

// attempt notes that the function runs, and returns what it shall work with.
func (w *watch) attempt(q querier) querier {
	w.attempts++
	w.refused = false
	if w.traced {
		return traced{q, w.ctx}
	}
	return q
}

func (w *watch) end(err error) {
	if w.traced {
		if w.attempts > 1 {
			w.span.Number("ostiary.attempts", int64(w.attempts))
		}
		if !w.refused {
			w.span.Fail(err)
		}
		w.span.End()
	}
	if w.observer != nil {
		(*w.observer)(Transaction{w.kind, time.Since(w.start), w.attempts, err, w.refused})
	}
}

// traced makes a span of each statement, named after its text: the texts are constants
// of this package, and what stands in their place holders is told to nobody. It ends
// with the first row.
type traced struct {
	querier
	ctx context.Context
}

func (t traced) exec(ctx context.Context, query string, args []any) (int64, error) {
	span := t.statement(query)
	defer span.End()
	n, err := t.querier.exec(ctx, query, args)
	span.Fail(err)
	return n, err
}

func (t traced) execLater(ctx context.Context, query string, args []any) error {
	span := t.statement(query)
	defer span.End()
	err := t.querier.execLater(ctx, query, args)
	span.Fail(err)
	return err
}

func (t traced) query(ctx context.Context, query string, args []any) (rows, error) {
	span := t.statement(query)
	defer span.End()
	rows, err := t.querier.query(ctx, query, args)
	span.Fail(err)
	return rows, err
}

// statement begins the span of a statement.
func (t traced) statement(query string) trace.Span {
	name := nameOf(query)
	_, span := trace.StartCall(t.ctx, name)
	operation, table, _ := strings.Cut(name, " ")
	span.Text("db.operation.name", operation)
	if table != "" {
		span.Text("db.collection.name", table)
	}
	return span
}

// named has the names of statements by their texts.
var named sync.Map

// nameOf returns what a statement does and to which table: "UPDATE codes".
func nameOf(query string) string {
	if name, ok := named.Load(query); ok {
		return name.(string)
	}
	words := strings.Fields(query)
	name := ""
	if len(words) > 0 {
		name = strings.ToUpper(words[0])
	}
	for i, word := range words[:max(len(words)-1, 0)] {
		switch word = strings.ToUpper(strings.TrimLeft(word, "(")); {
		case word == "FROM" || word == "INTO" || word == "UPDATE" && i == 0:
		default:
			continue
		}
		if table := strings.Trim(words[i+1], "(),;"); isName(table) {
			name += " " + table
			break
		}
	}
	named.Store(query, name)
	return name
}

// isName reports whether a word is that of a table, and not the beginning of another
// query.
func isName(word string) bool {
	for _, c := range word {
		if c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return word != ""
}
