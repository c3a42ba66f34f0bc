package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table is a table as the database itself describes it: nobody keeps a list, so
// none can be forgotten when a database is carried elsewhere.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
	// Identity is the column that numbers itself; empty: none does.
	Identity string `json:"identity,omitempty"`

	needs []string // tables that its rows refer to
}

// Column is a column of it. There are two types, TEXT and BIGINT, and no NULL.
type Column struct {
	Name   string `json:"name"`
	Number bool   `json:"number,omitempty"`
}

func (t Table) names() []string {
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return names
}

// quoted is the list of the columns in SQL. Names come from our own migrations, and
// hold nothing but small letters and underscores: see fit.
func (t Table) quoted() string { return `"` + strings.Join(t.names(), `", "`) + `"` }

func (t Table) form() string {
	var all []string
	for _, c := range t.Columns {
		all = append(all, c.Name+":"+strconv.FormatBool(c.Number))
	}
	slices.Sort(all)
	return t.Name + "(" + strings.Join(all, ",") + ")" + t.Identity
}

// Sum says which rows there are, in whatever order.
type Sum struct {
	Rows   int64
	Digest Digest
}

// Digest is the sum of the SHA-256 of every row, in four numbers that wrap: it is
// the same in any order. That somebody meant to change a row is found by other
// means; it shows that rows were lost, doubled or damaged.
type Digest [4]uint64

// MarshalText writes it as 64 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) {
	var raw [32]byte
	for i, n := range d {
		binary.BigEndian.PutUint64(raw[8*i:], n)
	}
	return hex.AppendEncode(nil, raw[:]), nil
}

// UnmarshalText reads what MarshalText has written.
func (d *Digest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != 32 {
		return errors.New("a digest is 64 hexadecimal digits")
	}
	for i := range d {
		d[i] = binary.BigEndian.Uint64(raw[8*i:])
	}
	return nil
}

// Add counts a row, given as AppendRow writes it.
func (s *Sum) Add(row []byte) {
	s.Rows++
	hash := sha256.Sum256(row)
	for i := range s.Digest {
		s.Digest[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
}

// AppendRow writes the values of a row, texts and numbers, as a JSON array: the same
// bytes for the same row, whichever database it was read from.
func AppendRow(b []byte, values []any) []byte {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := v.(type) {
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case string:
			b = appendText(b, v)
		}
	}
	return append(b, ']')
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // cannot be: strings always marshal
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// ParseRow reads a row that AppendRow has written, and holds it to the table.
func (t Table) ParseRow(text []byte) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil || len(raw) != len(t.Columns) {
		return nil, fmt.Errorf("a row of %s is not a list of %d values", t.Name, len(t.Columns))
	}
	values := make([]any, len(raw))
	for i, c := range t.Columns {
		var err error
		if c.Number {
			values[i], err = strconv.ParseInt(string(raw[i]), 10, 64)
		} else {
			var s *string
			if err = json.Unmarshal(raw[i], &s); err == nil && s == nil {
				err = errors.New("null")
			}
			if err == nil {
				values[i] = *s
			}
		}
		if err != nil {
			return nil, fmt.Errorf("a row of %s has no %s that could be stored", t.Name, c.Name)
		}
	}
	return values, nil
}

// schemaTable is where the migrations remember what they have done: it comes into
// being anew with the schema.
const schemaTable = "ostiary_schema"

// describe lists the tables, those first to which others refer.
func (r *raw) describe(ctx context.Context) ([]Table, error) {
	names, err := texts(ctx, r.conn, r.spelling.tables)
	if err != nil {
		return nil, r.explain(err)
	}
	var all []Table
	for _, name := range names {
		t, err := r.describeOne(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return inOrder(all)
}

func (r *raw) describeOne(ctx context.Context, name string) (t Table, err error) {
	t.Name = name
	rows, err := r.conn.QueryContext(ctx, r.spelling.columns, name)
	if err != nil {
		return t, r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var column, kind string
		var identity bool
		if err := rows.Scan(&column, &kind, &identity); err != nil {
			return t, r.explain(err)
		}
		c := Column{Name: column, Number: strings.EqualFold(kind, "bigint") || strings.EqualFold(kind, "integer")}
		if !fit(name) || !fit(column) || !c.Number && !strings.EqualFold(kind, "text") {
			return t, fmt.Errorf("store: the table %q is not one of Ostiary's (%s %s): give Ostiary a database or a schema of its own", name, column, kind)
		}
		if identity {
			t.Identity = column
		}
		t.Columns = append(t.Columns, c)
	}
	if err := rows.Err(); err != nil {
		return t, r.explain(err)
	}
	t.needs, err = texts(ctx, r.conn, r.spelling.needs, name)
	return t, r.explain(err)
}

// fit reports whether a name needs no thought where it is put into SQL.
func fit(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// inOrder puts tables behind those that they refer to.
func inOrder(tables []Table) (ordered []Table, err error) {
	done := map[string]bool{}
	for len(ordered) < len(tables) {
		before := len(ordered)
		for _, t := range tables {
			missing := func(name string) bool { return name != t.Name && !done[name] }
			if !done[t.Name] && !slices.ContainsFunc(t.needs, missing) {
				done[t.Name], ordered = true, append(ordered, t)
			}
		}
		if len(ordered) == before {
			return nil, errors.New("store: tables refer to each other in a circle")
		}
	}
	return ordered, nil
}

func texts(ctx context.Context, conn *sql.Conn, query string, args ...any) (list []string, err error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// CheckTables fails unless tables are those of a version of the schema, and this
// program knows that version.
func CheckTables(ctx context.Context, tables []Table, schema int64) error {
	known, err := latestSchema()
	if err != nil {
		return err
	}
	if schema > known {
		return newerSchema(schema, known)
	}
	return asMigrated(ctx, tables, schema)
}

// asMigrated fails unless the tables are those that the migrations make up to a
// version of the schema: what else there is could not be put back.
func asMigrated(ctx context.Context, tables []Table, schema int64) error {
	folder, err := os.MkdirTemp("", "ostiary-schema-")
	if err != nil {
		return fmt.Errorf("store: no temporary folder can be made: %w", err)
	}
	defer os.RemoveAll(folder)
	r, err := makeSQLite(ctx, filepath.Join(folder, "empty.db"), schema)
	if err != nil {
		return err
	}
	defer r.close()
	made, err := r.describe(ctx)
	if err != nil {
		return err
	}
	return sameTables(tables, made)
}

// sameTables holds tables of one database to those of another.
func sameTables(have, want []Table) error {
	known := map[string]string{}
	for _, t := range want {
		known[t.Name] = t.form()
	}
	for _, t := range have {
		switch form := known[t.Name]; form {
		case t.form():
			delete(known, t.Name)
		case "":
			return fmt.Errorf("store: the table %q is not one of Ostiary's: give Ostiary a database or a schema of its own", t.Name)
		default:
			return fmt.Errorf("store: the table %s has other columns than this version of ostiary gives it: %s, not %s", t.Name, t.form(), form)
		}
	}
	for name := range known {
		return fmt.Errorf("store: the table %s is missing", name)
	}
	return nil
}
