package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
)

// Tx is a running transaction. It belongs to the function that was given it,
// ends with it, and is used by one goroutine.
type Tx struct {
	ctx     context.Context
	q       querier
	dialect dialect
	now     func() time.Time
	mark    func(model.Event) string // nil: entries of the audit log carry none

	mode     mode
	asked    bool // a statement was run
	changed  bool
	recorded bool
	over     bool
	queued   bool   // something was put into the outbox, or into a stream
	txn      string // of the events that it causes
	news     news   // what it changed of which others are told
	cuts     []cut  // what it put out of which no row of its own is ended
	failed   error  // the first statement that failed; nothing runs after it
}

// scanner is a row, of one or of many.
type scanner interface{ Scan(dest ...any) error }

// one reads the row of a query, or fails with ErrNotFound.
func one[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var zero T
	if err := tx.usable(); err != nil {
		return zero, err
	}
	rows, err := tx.q.query(tx.ctx, query, storable(args))
	if err != nil {
		return zero, tx.fail(err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return zero, tx.fail(err)
		}
		return zero, ErrNotFound
	}
	v, err := scan(rows)
	if err != nil {
		return zero, tx.fail(err)
	}
	// Some of what can be wrong with a change shows at its end.
	if err := errors.Join(rows.Close(), rows.Err()); err != nil {
		return zero, tx.fail(err)
	}
	return v, nil
}

// many reads all rows of a query; the query bounds their number.
func many[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	rows, err := tx.q.query(tx.ctx, query, storable(args))
	if err != nil {
		return nil, tx.fail(err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, tx.fail(err)
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, tx.fail(err)
	}
	return list, nil
}

// change reads the row that a statement with RETURNING changed, or fails with
// ErrNotFound if it changed none.
func change[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	if tx.mode.reads() {
		var zero T
		return zero, ErrReadOnly
	}
	v, err := one(tx, scan, query, args...)
	if err == nil {
		tx.changed = true
	}
	return v, err
}

// changeMany is change for a statement that may change any number of rows, none
// as well; the statement bounds them.
func changeMany[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if tx.mode.reads() {
		return nil, ErrReadOnly
	}
	list, err := many(tx, scan, query, args...)
	if len(list) > 0 {
		tx.changed = true
	}
	return list, err
}

// exec runs a statement that writes and returns how many rows it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if tx.mode.reads() {
		return 0, ErrReadOnly
	}
	if err := tx.usable(); err != nil {
		return 0, err
	}
	n, err := tx.q.exec(tx.ctx, query, storable(args))
	if err != nil {
		return 0, tx.fail(err)
	}
	if n > 0 {
		tx.changed = true
	}
	return n, nil
}

// later is exec for a statement of which nobody asks what it changes. It may run
// together with the next one, or with the commit, which then fails as it does.
func (tx *Tx) later(query string, args ...any) error {
	if tx.mode.reads() {
		return ErrReadOnly
	}
	if err := tx.usable(); err != nil {
		return err
	}
	if err := tx.q.execLater(tx.ctx, query, storable(args)); err != nil {
		return tx.fail(err)
	}
	tx.changed = true
	return nil
}

// must is exec for a statement that has to find its row: otherwise it fails
// with ErrNotFound.
func (tx *Tx) must(query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// insert is exec for an INSERT that ends in ON CONFLICT DO NOTHING: if the row
// was there, it fails with ErrConflict. A violated constraint would not do:
// PostgreSQL lets no statement follow it.
func (tx *Tx) insert(query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

func (tx *Tx) usable() error {
	if tx.over {
		return fmt.Errorf("%w: the transaction is over", ErrClosed)
	}
	if tx.mode == question && tx.asked && tx.failed == nil {
		tx.failed = errors.New("store: a second statement where one was to be asked: use View")
	}
	tx.asked = true
	return tx.failed
}

// fail returns what a caller shall see of a driver's error and remembers that
// the transaction is lost.
func (tx *Tx) fail(err error) error {
	tx.failed = tx.dialect.explain(err)
	return tx.failed
}

// storable makes the arguments fit for both databases: booleans become 0 and 1,
// and what PostgreSQL refuses in a text (NUL and broken UTF-8, which a stranger
// may send) becomes U+FFFD, so that looking for it finds nothing, and does not
// fail.
func storable(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			if fit := storableText(v); fit != v {
				args[i] = fit
			}
		case bool:
			args[i] = int64(0)
			if v {
				args[i] = int64(1)
			}
		}
	}
	return args
}

func storableText(v string) string {
	if strings.IndexByte(v, 0) < 0 && utf8.ValidString(v) {
		return v
	}
	return strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "\x00", "\uFFFD")
}

func scanInt(row scanner) (n int64, err error) {
	err = row.Scan(&n)
	return n, err
}

func scanString(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

// maxPage bounds every list.
const maxPage = 1000

func page(limit int) int64 {
	if limit < 1 || limit > maxPage {
		return maxPage
	}
	return int64(limit)
}

// list is a column that holds a JSON array of strings; nil is the empty text.
type list []string

func (l list) text() string {
	if l == nil {
		return ""
	}
	text, err := json.Marshal([]string(l))
	if err != nil {
		panic(err) // cannot be: strings always marshal
	}
	return string(text)
}

// Scan implements sql.Scanner.
func (l *list) Scan(src any) error {
	text, ok := src.(string)
	switch {
	case !ok:
		return fmt.Errorf("a list is stored as text, not %T", src)
	case text == "":
		*l = nil
		return nil
	case text == "[]":
		*l = list{}
		return nil
	case strings.HasPrefix(text, `["`) && strings.HasSuffix(text, `"]`) && !strings.Contains(text, `\`):
		// Nothing is escaped, so every quote begins or ends an item.
		*l = strings.Split(text[2:len(text)-2], `","`)
		return nil
	}
	return json.Unmarshal([]byte(text), (*[]string)(l))
}

// factors is a column of what somebody has proven: a document, of which each request of
// a browser and each renewal reads one.
type factors []model.Factor

// Scan implements sql.Scanner.
func (f *factors) Scan(src any) error {
	text, _ := src.(string)
	list, ok := plainFactors(text)
	if !ok {
		return document{(*[]model.Factor)(f)}.Scan(src)
	}
	*f = list
	return nil
}

// plainFactors reads factors of which nothing is told but the method and the time.
func plainFactors(text string) (list []model.Factor, ok bool) {
	inner, begun := strings.CutPrefix(text, `[{`)
	inner, ended := strings.CutSuffix(inner, `}]`)
	for one := range strings.SplitSeq(inner, `},{`) {
		one, named := strings.CutPrefix(one, `"method":"`)
		method, at, dated := strings.Cut(one, `","at":`)
		seconds, err := strconv.ParseInt(at, 10, 64)
		if !begun || !ended || !named || !dated || err != nil || strings.ContainsAny(method, `"\`) {
			return nil, false
		}
		list = append(list, model.Factor{Method: model.Method(method), At: seconds})
	}
	return list, true
}

// document is a column that holds a value as JSON.
type document struct{ value any }

// Scan implements sql.Scanner.
func (d document) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("a document is stored as text, not %T", src)
	}
	if text == "{}" || text == "null" { // as most are; what they are read into is zero
		return nil
	}
	return json.Unmarshal([]byte(text), d.value)
}

// optional is a column that holds a value as JSON, or nothing: the empty text.
type optional struct{ value any }

// Scan implements sql.Scanner.
func (o optional) Scan(src any) error {
	if src == "" {
		return nil
	}
	return document(o).Scan(src)
}

func (d document) text() (string, error) {
	text, err := json.Marshal(d.value)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return string(text), nil
}
