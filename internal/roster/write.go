package roster

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// pageSize is how many people are read in one transaction.
const pageSize = 500

// Export is a list that goes out.
type Export struct {
	Accounts *account.Accounts
	Actor    model.Actor
	Filter   account.UserFilter
	Hashes   bool   // with those of passwords
	Format   string // CSV or Lines
}

// Write writes the list as Read takes it. Page is called after each part; nil: nobody
// asks.
func (e Export) Write(ctx context.Context, w io.Writer, page func() error) error {
	write, flush, err := e.writer(w)
	if err != nil {
		return err
	}
	f := e.Filter
	f.Limit = pageSize
	for more := true; more; {
		list, err := e.Accounts.Export(ctx, e.Actor, f, e.Hashes)
		if err != nil {
			return err
		}
		for _, row := range list {
			if err := write(row); err != nil {
				return err
			}
			f.After = model.UserID(row.ID)
		}
		if err := flush(); err != nil {
			return err
		}
		if page != nil {
			if err := page(); err != nil {
				return err
			}
		}
		more = len(list) == pageSize
	}
	return nil
}

// writer returns what writes one person, and what follows after some.
func (e Export) writer(w io.Writer) (write func(account.ImportRow) error, flush func() error, err error) {
	if e.Format != CSV {
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		return func(row account.ImportRow) error { return lines.Encode(row) }, func() error { return nil }, nil
	}
	table := csv.NewWriter(w)
	flush = func() error { table.Flush(); return table.Error() }
	order := columns
	if !e.Hashes {
		n := named(order, "password_hash")
		order = append(append([]column{}, order[:n]...), order[n+1:]...)
	}
	record := make([]string, len(order))
	for i, c := range order {
		record[i] = c.name
	}
	return func(row account.ImportRow) error {
		for i, c := range order {
			record[i] = mark(c, c.get(row))
		}
		return table.Write(record)
	}, flush, table.Write(record)
}
