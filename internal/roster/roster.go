// Package roster owns lists of people as they come and go: CSV, a JSON array, JSON
// lines. It reads and writes them one person after the other, with bounds on each,
// and brings a whole list in by the rules of account.
//
// It never decides who may do that, and never speaks HTTP.
package roster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ostiary/ostiary/internal/account"
)

// The formats of a list. An array can be read and not written.
const (
	CSV   = "csv"
	Array = "json"
	Lines = "jsonl"
)

// maxRow bounds one person, in bytes.
const maxRow = 256 << 10

// ErrList says that a list cannot be read, here or from some row on.
var ErrList = errors.New("the list cannot be read")

// errEmpty says that there is nothing to read, not even the names of columns.
var errEmpty = errors.New("it is empty")

// ErrColumn says that there is no such column.
type ErrColumn struct {
	Name    string
	Columns []string // that there are
}

func (e ErrColumn) Error() string {
	return fmt.Sprintf("there is no column %q; the columns are %s", e.Name, join(e.Columns))
}

// Rows reads people, one after the other, and ends with io.EOF. A row that says what
// cannot be has that in its Wrong: the next one may be good. Every other error is an
// ErrList.
type Rows func() (account.ImportRow, error)

// Read begins to read a list of a format; empty: it is told by what it begins with.
func Read(r io.Reader, format string) (Rows, error) {
	b := bufio.NewReaderSize(r, maxRow)
	if mark, _ := b.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // spreadsheets write it
		_, _ = b.Discard(3)
	}
	start, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	start = bytes.TrimLeft(start, " \t\r\n")
	if len(start) == 0 {
		return nil, unlisted(errEmpty)
	}
	if format == "" {
		format = CSV
		switch {
		case bytes.HasPrefix(start, []byte("[")):
			format = Array
		case bytes.HasPrefix(start, []byte("{")):
			format = Lines
		}
	}
	if format == Lines {
		return listed(lineRows(b)), nil
	}
	open := tableRows
	if format == Array {
		open = arrayRows
	}
	next, err := open(b)
	return listed(next), unlisted(err)
}

// listed gives the errors of reading their name.
func listed(next Rows) Rows {
	return func() (account.ImportRow, error) {
		row, err := next()
		if err != nil && err != io.EOF {
			err = unlisted(err)
		}
		return row, err
	}
}

func unlisted(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrList, err)
}

// parseRow reads one object.
func parseRow(data []byte, line int) account.ImportRow {
	row := account.ImportRow{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&row)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	if err != nil {
		row = account.ImportRow{Wrong: err}
	}
	row.Line = line
	return row
}

// lineRows reads JSON lines.
func lineRows(b *bufio.Reader) Rows {
	line := 0
	return func() (account.ImportRow, error) {
		for {
			text, err := b.ReadSlice('\n')
			line++
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				return account.ImportRow{}, fmt.Errorf("line %d has more than %d bytes", line, maxRow)
			case err != nil && (len(text) == 0 || err != io.EOF):
				return account.ImportRow{}, err
			}
			if text = bytes.TrimSpace(text); len(text) > 0 {
				return parseRow(text, line), nil
			}
		}
	}
}

// arrayRows reads one JSON array.
func arrayRows(b *bufio.Reader) (Rows, error) {
	breaks := &lineBreaks{r: b}
	d := json.NewDecoder(breaks)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("it is not a JSON array")
	}
	n := 0
	return func() (account.ImportRow, error) {
		if !d.More() {
			if _, err := d.Token(); err != nil {
				return account.ImportRow{}, fmt.Errorf("after person %d the array does not end: %v", n, err) // never io.EOF
			}
			return account.ImportRow{}, io.EOF
		}
		n++
		var data json.RawMessage
		if err := d.Decode(&data); err != nil {
			return account.ImportRow{}, fmt.Errorf("person %d: %v", n, err)
		}
		if len(data) > maxRow {
			return account.ImportRow{}, fmt.Errorf("person %d has more than %d bytes", n, maxRow)
		}
		return parseRow(data, breaks.line(d.InputOffset()-int64(len(data)))), nil
	}, nil
}

// lineBreaks remembers where the lines end that were read ahead.
type lineBreaks struct {
	r      io.Reader
	offset int64
	passed int
	ahead  []int64
}

func (l *lineBreaks) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), maxRow)])
	for i, c := range p[:n] {
		if c == '\n' {
			l.ahead = append(l.ahead, l.offset+int64(i))
		}
	}
	l.offset += int64(n)
	return n, err
}

// line is in which line a place is; each is behind the one that was asked for before.
func (l *lineBreaks) line(at int64) int {
	i := 0
	for i < len(l.ahead) && l.ahead[i] < at {
		i++
	}
	l.passed += i
	l.ahead = l.ahead[i:]
	return l.passed + 1
}
