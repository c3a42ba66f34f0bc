package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// maxRow bounds one person in a file, in bytes.
const maxRow = 256 << 10

// rows reads people from a file, one after the other, and ends with io.EOF. A row that
// cannot be read is an *rowError: the next one may be good.
type rows func() (account.ImportRow, error)

// rowError says what is wrong with one row.
type rowError struct {
	line int
	err  error
}

func (e *rowError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

// openRows says how a file is read: by the format, or by what it begins with.
func openRows(r io.Reader, format string) (rows, error) {
	b := bufio.NewReaderSize(r, maxRow)
	if mark, _ := b.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // spreadsheets write it
		_, _ = b.Discard(3)
	}
	if format == "auto" {
		format = "csv"
		start, _ := b.Peek(512)
		switch start = bytes.TrimLeft(start, " \t\r\n"); {
		case bytes.HasPrefix(start, []byte("[")):
			format = "json"
		case bytes.HasPrefix(start, []byte("{")):
			format = "jsonl"
		}
	}
	switch format {
	case "json":
		return arrayRows(b)
	case "jsonl":
		return lineRows(b), nil
	}
	return tableRows(b)
}

// parseRow reads one object.
func parseRow(data []byte, line int) (account.ImportRow, error) {
	row := account.ImportRow{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&row)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	row.Line = line
	if err != nil {
		return row, &rowError{line, err}
	}
	return row, nil
}

// lineRows reads JSON lines.
func lineRows(b *bufio.Reader) rows {
	line := 0
	return func() (account.ImportRow, error) {
		for {
			text, err := b.ReadSlice('\n')
			line++
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				return account.ImportRow{}, fmt.Errorf("line %d has more than %d bytes", line, maxRow)
			case err != nil && len(text) == 0:
				return account.ImportRow{}, err
			}
			if text = bytes.TrimSpace(text); len(text) > 0 {
				return parseRow(text, line)
			}
		}
	}
}

// arrayRows reads one JSON array. Its people are counted, for they have no lines.
func arrayRows(b *bufio.Reader) (rows, error) {
	d := json.NewDecoder(b)
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
		return parseRow(data, n)
	}, nil
}

// userColumn is one column of a CSV file.
type userColumn struct {
	name string
	set  func(*account.ImportRow, string) error
}

func claimColumn(name string, field func(*model.Profile) *string) userColumn {
	return userColumn{name, func(r *account.ImportRow, v string) error {
		*field(&r.Profile) = v
		return nil
	}}
}

func addressColumn(name string, field func(*model.Address) *string) userColumn {
	return userColumn{"address." + name, func(r *account.ImportRow, v string) error {
		if r.Profile.Address == nil {
			r.Profile.Address = &model.Address{}
		}
		*field(r.Profile.Address) = v
		return nil
	}}
}

func boolColumn(name string, field func(*account.ImportRow) *bool) userColumn {
	return userColumn{name, func(r *account.ImportRow, v string) error {
		b, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil {
			return fmt.Errorf("%s must be true or false", name)
		}
		*field(r) = b
		return nil
	}}
}

// userColumns are those that a CSV file can have, named as in OpenID Connect. What is
// empty says nothing.
var userColumns = []userColumn{
	{"login", func(r *account.ImportRow, v string) error { r.Login = v; return nil }},
	{"id", func(r *account.ImportRow, v string) error { r.ID = v; return nil }},
	{"password_hash", func(r *account.ImportRow, v string) error { r.PasswordHash = v; return nil }},
	{"status", func(r *account.ImportRow, v string) error { r.Status = model.UserStatus(v); return nil }},
	{"created_at", func(r *account.ImportRow, v string) (err error) {
		if r.CreatedAt, err = strconv.ParseInt(v, 10, 64); err != nil {
			err = errors.New("created_at must be a number of seconds since 1970")
		}
		return err
	}},
	{"groups", func(r *account.ImportRow, v string) error {
		for group := range strings.SplitSeq(v, ";") {
			if group = strings.TrimSpace(group); group != "" {
				r.Profile.Groups = append(r.Profile.Groups, group)
			}
		}
		return nil
	}},
	boolColumn("admin", func(r *account.ImportRow) *bool { return &r.Admin }),
	boolColumn("email_verified", func(r *account.ImportRow) *bool { return &r.Profile.EmailVerified }),
	boolColumn("phone_number_verified", func(r *account.ImportRow) *bool { return &r.Profile.PhoneNumberVerified }),
	claimColumn("name", func(p *model.Profile) *string { return &p.Name }),
	claimColumn("given_name", func(p *model.Profile) *string { return &p.GivenName }),
	claimColumn("family_name", func(p *model.Profile) *string { return &p.FamilyName }),
	claimColumn("middle_name", func(p *model.Profile) *string { return &p.MiddleName }),
	claimColumn("nickname", func(p *model.Profile) *string { return &p.Nickname }),
	claimColumn("preferred_username", func(p *model.Profile) *string { return &p.PreferredUsername }),
	claimColumn("profile", func(p *model.Profile) *string { return &p.Page }),
	claimColumn("picture", func(p *model.Profile) *string { return &p.Picture }),
	claimColumn("website", func(p *model.Profile) *string { return &p.Website }),
	claimColumn("gender", func(p *model.Profile) *string { return &p.Gender }),
	claimColumn("birthdate", func(p *model.Profile) *string { return &p.Birthdate }),
	claimColumn("zoneinfo", func(p *model.Profile) *string { return &p.Zoneinfo }),
	claimColumn("locale", func(p *model.Profile) *string { return &p.Locale }),
	claimColumn("email", func(p *model.Profile) *string { return &p.Email }),
	claimColumn("phone_number", func(p *model.Profile) *string { return &p.PhoneNumber }),
	addressColumn("formatted", func(a *model.Address) *string { return &a.Formatted }),
	addressColumn("street_address", func(a *model.Address) *string { return &a.StreetAddress }),
	addressColumn("locality", func(a *model.Address) *string { return &a.Locality }),
	addressColumn("region", func(a *model.Address) *string { return &a.Region }),
	addressColumn("postal_code", func(a *model.Address) *string { return &a.PostalCode }),
	addressColumn("country", func(a *model.Address) *string { return &a.Country }),
}

// tableRows reads CSV, RFC 4180, whose first line names the columns.
func tableRows(b *bufio.Reader) (rows, error) {
	bounded := &boundedQuotes{r: b}
	r := csv.NewReader(bounded)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	var order []userColumn
	for _, name := range head {
		name = strings.TrimSpace(name)
		n := slices.IndexFunc(userColumns, func(c userColumn) bool { return c.name == name })
		if n < 0 {
			var names []string
			for _, c := range userColumns {
				names = append(names, c.name)
			}
			return nil, fmt.Errorf("there is no column %q%s; the columns are %s", name, didYouMean(name, names), strings.Join(names, ", "))
		}
		if slices.ContainsFunc(order, func(c userColumn) bool { return c.name == name }) {
			return nil, fmt.Errorf("the column %q is there twice", name)
		}
		order = append(order, userColumns[n])
	}
	if !slices.ContainsFunc(order, func(c userColumn) bool { return c.name == "login" }) {
		return nil, errors.New("the first line must name the columns, and login among them")
	}
	return func() (account.ImportRow, error) {
		bounded.left = maxRow
		record, err := r.Read()
		var bad *csv.ParseError
		if errors.As(err, &bad) && errors.Is(err, csv.ErrFieldCount) {
			return account.ImportRow{}, &rowError{bad.StartLine, fmt.Errorf("it has %d fields, and the first line %d", len(record), len(order))}
		}
		if err != nil {
			return account.ImportRow{}, err
		}
		row := account.ImportRow{}
		row.Line, _ = r.FieldPos(0)
		for i, c := range order {
			if record[i] == "" {
				continue
			}
			if err := c.set(&row, record[i]); err != nil {
				row.Login = ""
				return row, &rowError{row.Line, err}
			}
		}
		return row, nil
	}, nil
}

// boundedQuotes ends a file in which one row has no end, such as one with a quote that
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
