package roster

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// all reads a list to its end.
func all(list, format string) (rows []account.ImportRow, err error) {
	next, err := Read(strings.NewReader(list), format)
	if err != nil {
		return nil, err
	}
	for {
		row, err := next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

// Whatever people are called, they come back as they went.
func TestRoundTrip(t *testing.T) {
	for _, text := range []string{"Ada", `=HYPERLINK("http://evil.example")`, "'=1", "+1", "-1", "@x", "'plain", `a"b,c`, "two\nlines", "山田"} {
		row := account.ImportRow{
			ID: "1", Login: "ada", PasswordHash: "$2b$hash", Status: model.UserLocked, Admin: true, CreatedAt: 1_500_000_000,
			Profile: model.Profile{
				Name: text, Email: "ada@example.org", EmailVerified: true, PhoneNumber: "+380 44 123 4567", Groups: []string{text, `a;b\;c`, "staff"},
				Address: &model.Address{Formatted: text, Locality: "Kyiv"},
			},
		}
		var out bytes.Buffer
		write, flush, err := Export{Format: CSV, Hashes: true}.writer(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(write(row), flush()); err != nil {
			t.Fatal(err)
		}
		cells, err := csv.NewReader(bytes.NewReader(out.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, cell := range cells[1] {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@") && cells[0][i] != "phone_number" {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
		got, err := all(out.String(), "")
		row.Line = 2
		if diff := cmp.Diff([]account.ImportRow{row}, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	var out bytes.Buffer
	write, flush, err := Export{Format: CSV}.writer(&out)
	if err = errors.Join(err, write(account.ImportRow{Login: "ada", PasswordHash: "$2b$hash"}), flush()); err != nil || strings.Contains(out.String(), "hash") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// Each row knows its line, the wrong ones too, and in their order.
func TestLines(t *testing.T) {
	for name, row := range map[string]struct{ list, want string }{
		"a table":      {"login,admin\nada,\n\"b\nob\",\neve,maybe\nx\nzoe,true\n", "2 3 5! 6! 7"},
		"JSON lines":   {"\n{\"login\":\"ada\"}\n\n{\"nope\":1}\n{\"login\":\"x\"}{}\n{\"login\":\"eve\"}", "2 4! 5! 6"},
		"an array":     {"\n[{\"login\":\"ada\"},\n\n {\"nope\":1}, {\"login\":\n\"bob\"},\n{\"login\":\"eve\"}\n]\n", "2 4! 4 6"},
		"a byte order": {"\xef\xbb\xbflogin\nada\n", "2"},
	} {
		rows, err := all(row.list, "")
		var got []string
		for _, one := range rows {
			got = append(got, fmt.Sprint(one.Line)+map[bool]string{true: "!"}[one.Wrong != nil])
		}
		if s := strings.Join(got, " "); s != row.want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, s, err, row.want)
		}
	}
}

// What is no list, and what has no end, is refused with what is wrong.
func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 4*maxRow)
	for name, row := range map[string]struct{ list, format, want string }{
		"nothing":              {" \n", "", "it is empty"},
		"nothing, of a format": {"", Lines, "it is empty"},
		"another column":       {"login,emial\n", "", `there is no column "emial"`},
		"a column twice":       {"login,name,login\n", "", "is there twice"},
		"no login":             {"name\nAda\n", "", "login among them"},
		"an open quote":        {"login\n\"" + long, "", "is a quote not closed"},
		"a long line":          {`{"login":"` + long + `"}`, "", "more than"},
		"a long person":        {`[{"login":"` + long + `"}]`, "", "more than"},
		"an open array":        {`[{"login":"a"},`, "", "person 2"},
		"a cut array":          {`[{"login":"a"}`, "", "does not end"},
		"no array":             {`{"login":"a"}`, Array, "not a JSON array"},
	} {
		if _, err := all(row.list, row.format); !errors.Is(err, ErrList) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
