package store

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
)

// row is a row of either database. Columns hold texts and whole numbers, and nothing
// else; none of them is ever NULL.
type row interface {
	length() int
	text(i int) (string, error)
	integer(i int) (int64, error)
}

// scan puts a row into what dest points to.
func scan(from row, dest []any) (err error) {
	if len(dest) != from.length() {
		return fmt.Errorf("store: a row of %d columns was read as one of %d", from.length(), len(dest))
	}
	for i, to := range dest {
		var n int64
		switch to := to.(type) {
		case *string:
			*to, err = from.text(i)
		case *int64:
			*to, err = from.integer(i)
		case *int:
			n, err = from.integer(i)
			*to = int(n)
		case *uint32:
			n, err = from.integer(i)
			*to = uint32(n)
			if err == nil && int64(*to) != n {
				err = fmt.Errorf("store: the column %d of a row, %d, is too large for what it is read as", i+1, n)
			}
		case *bool:
			n, err = from.integer(i)
			*to = n != 0
		case sql.Scanner:
			var text string
			if text, err = from.text(i); err == nil {
				err = to.Scan(text)
			}
		default:
			err = fmt.Errorf("store: a column cannot be read as %T", to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// section is a part of the columns of a row that comes from several tables.
type section struct {
	row
	from, n int
}

// sectionOf is that of n columns from the index from on.
func sectionOf(r scanner, from, n int) section { return section{r.(rows).row(), from, n} }

// section is that of n of its columns.
func (s section) section(from, n int) section { return section{s.row, s.from + from, n} }

func (s section) length() int { return s.n }

func (s section) text(i int) (string, error) { return s.row.text(s.from + i) }

func (s section) integer(i int) (int64, error) { return s.row.integer(s.from + i) }

// Scan implements scanner.
func (s section) Scan(dest ...any) error { return scan(s, dest) }

// qualified are columns of the table that has a name of its own in a query, and how
// many they are.
func qualified(table, columns string) (string, int) {
	names := strings.Split(columns, ",")
	for i, name := range names {
		names[i] = table + "." + strings.TrimSpace(name)
	}
	return strings.Join(names, ", "), len(names)
}

// What is read together with something else, by the names that tables have there, and
// how many columns that are.
var (
	grantOf, grantWidth     = qualified("g", grantColumns)
	sessionOf, sessionWidth = qualified("s", sessionColumns)
	userOf, userWidth       = qualified("u", userColumns)
	codeOf, codeWidth       = qualified("k", codeColumns)
)

func errNull(i int) error { return fmt.Errorf("store: the column %d of a row is NULL", i+1) }

func errNoNumber(i int) error { return fmt.Errorf("store: the column %d of a row is no number", i+1) }

// plain makes a text or a whole number (int64) of the argument of index i, which is a
// kind of one of them, or one of another size.
func plain(i int, arg any) (any, error) {
	v, err := driver.DefaultParameterConverter.ConvertValue(arg)
	if err != nil {
		return nil, fmt.Errorf("store: the argument %d: %w", i+1, err)
	}
	switch v.(type) {
	case string, int64:
		return v, nil
	}
	return nil, fmt.Errorf("store: the argument %d is a %T, which no column holds", i+1, arg)
}
