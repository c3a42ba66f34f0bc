package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// MoveConfig says what moves where.
type MoveConfig struct {
	From, To string // addresses, see Config.URL
	// Progress is told how many of all rows are there; each counts twice, since each is
	// read back. May be nil.
	Progress func(done, of int64)
	// Check looks at the database at an address, which has all rows, before that counts.
	Check func(ctx context.Context, address string) error
	Now   func() time.Time
}

// Moving is what has been moved.
type Moving struct {
	Tables []Filled
	Rows   int64
}

// Move copies all rows of a database into one that is empty, and notes in the old one
// where they are. No server may run on either. If it fails, nothing is left in the new
// one, and the old one is as it was. With ErrDoubt everything is in the new one, and
// the old one says that it has moved, or does not.
//
// It fails with ErrInUse, ErrConflict, ErrMoved, ErrNewerSchema and ErrDoubt.
func Move(ctx context.Context, c MoveConfig) (_ Moving, err error) {
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	to, rename, err := destination(c.To)
	if err != nil {
		return Moving{}, err
	}
	source, err := OpenSource(ctx, c.From, true)
	if err != nil {
		return Moving{}, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if path, embedded := strings.CutPrefix(to, "sqlite:"); embedded {
		_ = os.Remove(path) // of a move that was killed: nobody else moves what we hold
	}
	target, err := OpenTarget(ctx, to, source.Schema)
	if err != nil {
		return Moving{}, err
	}
	done, err := carry(ctx, source, target, c.Progress)
	if err != nil {
		return Moving{}, errors.Join(err, target.Undo(ctx))
	}
	err = target.Close()
	if err == nil {
		err = c.Check(ctx, to)
	}
	if err == nil {
		err = rename(target)
	}
	if err == nil {
		err = source.leave(ctx, Where(c.To)+" on "+c.Now().UTC().Format(time.DateOnly))
	}
	if errors.Is(err, ErrDoubt) {
		return done, err // what is here may be all that counts
	}
	if err != nil {
		return Moving{}, errors.Join(err, target.Undo(ctx))
	}
	return done, nil
}

// destination returns where rows are put first, and what gives that its name in the end:
// a file of SQLite has another one until it is finished.
func destination(address string) (to string, rename func(*Target) error, err error) {
	kind, path, err := kindOf(address)
	if err != nil || kind != "sqlite" {
		return address, func(*Target) error { return nil }, err
	}
	for _, file := range append([]string{path}, logsOf(path)...) {
		if _, err := os.Lstat(file); err == nil {
			return "", nil, fmt.Errorf("%w: there is a file %s already: choose another name", ErrConflict, file)
		}
	}
	unnamed := path + ".moving"
	return "sqlite:" + unnamed, func(t *Target) error {
		err := Name(unnamed, path)
		if err == nil {
			t.raw.path = path
		}
		return err
	}, nil
}

// carryAtOnce is how many rows go in one piece.
const carryAtOnce = 1000

// piece is some rows of a table, or the end of it.
type piece struct {
	table int
	rows  [][]any
	end   *Filled
}

// carry copies all rows; one goroutine reads while the other writes.
func carry(ctx context.Context, from *Source, to *Target, progress func(done, of int64)) (all Moving, err error) {
	total := int64(0)
	for _, t := range from.Tables {
		n, err := from.Count(ctx, t)
		if err != nil {
			return all, err
		}
		total += n
	}
	reading, stop := context.WithCancel(ctx)
	pieces, failed := make(chan piece, 4), make(chan error, 1)
	go func() {
		defer close(pieces)
		failed <- from.pieces(reading, pieces)
	}()
	for p := range pieces {
		if err == nil && p.end == nil {
			err = to.Add(ctx, from.Tables[p.table], p.rows)
			all.Rows += int64(len(p.rows))
			progress(all.Rows, 2*total)
		}
		if p.end != nil {
			all.Tables = append(all.Tables, *p.end)
		}
		if err != nil {
			stop() // and go on until the reader has seen it
		}
	}
	stop()
	if read := <-failed; err == nil {
		err = read
	}
	if err != nil {
		return all, err
	}
	back := int64(0)
	err = to.commit(ctx, all.Tables, func() {
		if back++; back%carryAtOnce == 0 {
			progress(total+back, 2*total)
		}
	})
	return all, err
}

func (s *Source) pieces(ctx context.Context, out chan<- piece) error {
	send := func(p piece) error {
		select {
		case out <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i, t := range s.Tables {
		f, rows := &Filled{Table: t}, [][]any(nil)
		err := s.Rows(ctx, t, func(values []any, text []byte) error {
			f.Sum.Add(text)
			if rows = append(rows, values); len(rows) < carryAtOnce {
				return nil
			}
			some := rows
			rows = nil
			return send(piece{table: i, rows: some})
		})
		if err == nil && len(rows) > 0 {
			err = send(piece{table: i, rows: rows})
		}
		if err == nil {
			f.Last, err = s.Last(ctx, t)
		}
		if err == nil {
			err = send(piece{end: f})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
