package roster

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
)

// tableRows reads CSV, RFC 4180, whose first line names the columns.
func tableRows(b *bufio.Reader) (Rows, error) {
	bounded := &boundedQuotes{r: b}
	r := csv.NewReader(bounded)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	var order []column
	for _, name := range head {
		name = strings.TrimSpace(name)
		n := named(columns, name)
		if n < 0 {
			return nil, ErrColumn{name, names()}
		}
		if named(order, name) >= 0 {
			return nil, fmt.Errorf("the column %q is there twice", name)
		}
		order = append(order, columns[n])
	}
	if named(order, "login") < 0 {
		return nil, errors.New("the first line must name the columns, and login among them")
	}
	return func() (account.ImportRow, error) {
		bounded.left = maxRow
		record, err := r.Read()
		var bad *csv.ParseError
		if errors.As(err, &bad) && errors.Is(err, csv.ErrFieldCount) {
			return account.ImportRow{Line: bad.StartLine, Wrong: fmt.Errorf("it has %d fields, and the first line %d", len(record), len(order))}, nil
		}
		if err != nil {
			return account.ImportRow{}, err
		}
		row := account.ImportRow{}
		line, _ := r.FieldPos(0)
		for i, c := range order {
			if record[i] == "" {
				continue
			}
			if err := c.set(&row, unmark(c, record[i])); err != nil {
				return account.ImportRow{Line: line, Wrong: err}, nil
			}
		}
		row.Line = line
		return row, nil
	}, nil
}

// boundedQuotes ends a list in which one row has no end, such as one with a quote that
// nobody closed.
type boundedQuotes struct {
	r    io.Reader
	left int
}

func (b *boundedQuotes) Read(p []byte) (int, error) {
	if b.left < -2*maxRow {
		return 0, fmt.Errorf("a row has more than %d bytes: is a quote not closed?", maxRow)
	}
	n, err := b.r.Read(p[:min(len(p), maxRow)])
	b.left -= n
	return n, err
}
