package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const plainEntry = `{"sequence":42,"kind":"session","value":"s1","cause":"signed_out","at":1800000000,"drop_at":1800000900}`

// collect reads entries without what is taken twice because the first of them
// were in the usual form.
func collect(text string) ([]entry, error) {
	var all []entry
	_, err := readEntries([]byte(text), 10, func(e entry) error {
		e.value = bytes.Clone(e.value)
		all = append(all, e)
		return nil
	})
	return all, err
}

func TestReadEntries(t *testing.T) {
	subject := `{"sequence":43,"kind":"subject","value":"p","cut_off":1800000001,"cause":"account_disabled","at":1,"drop_at":1800000900}`
	everybody := `{"sequence":44,"kind":"all","cut_off":1800000001,"cause":"admin","at":1,"drop_at":1800000900}`
	for _, row := range []struct {
		name, text string
		want       string // "": refused
	}{
		{"none", `[]`, `[]`},
		{"one", `[` + plainEntry + `]`, `[{42 session s1 0 false 1800000900}]`},
		{"several", `[` + plainEntry + `,` + subject + `,` + everybody + `]`,
			`[{42 session s1 0 false 1800000900} {43 subject p 1800000001 true 1800000900} {44 all  1800000001 false 1800000900}]`},
		{"blanks, another order", "[ { \"drop_at\" : 9 , \"value\":\"s\",\"kind\":\"grant\",\"sequence\":1}\n]", `[{1 grant s 0 false 9}]`},
		{"escapes", `[{"sequence":1,"kind":"token","value":"\u0061\"ß","drop_at":9}]`, `[{1 token a"ß 0 false 9}]`},
		{"a member of a later version", `[{"sequence":1,"kind":"token","value":"a","drop_at":9,"more":{"x":[1]}}]`, `[{1 token a 0 false 9}]`},
		{"a disabled account puts out people only", `[{"sequence":1,"kind":"client","value":"a","cut_off":3,"cause":"account_disabled","drop_at":9}]`, `[{1 client a 3 false 9}]`},
		{"a kind of a later version is skipped", `[{"sequence":1,"kind":"device","value":"a","drop_at":9},{"sequence":1,"kind":"token","value":"a","drop_at":9}]`, `[{1 token a 0 false 9}]`},
		{"a kind that is too long", `[{"sequence":1,"kind":"` + strings.Repeat("x", maxWord+1) + `","value":"a","drop_at":9}]`, ``},
		{"no kind", `[{"sequence":1,"value":"a","drop_at":9}]`, ``},
		{"no sequence", `[{"kind":"token","value":"a","drop_at":9}]`, ``},
		{"a sequence below 1", `[{"sequence":-1,"kind":"token","value":"a","drop_at":9}]`, ``},
		{"a sequence that is no number", `[{"sequence":"1","kind":"token","value":"a","drop_at":9}]`, ``},
		{"a sequence with a fraction", `[{"sequence":1.5,"kind":"token","value":"a","drop_at":9}]`, ``},
		{"a sequence that is too large", `[{"sequence":99999999999999999999,"kind":"token","value":"a","drop_at":9}]`, ``},
		{"a sequence with a zero before", `[{"sequence":01,"kind":"token","value":"a","drop_at":9}]`, ``},
		{"no value", `[{"sequence":1,"kind":"token","drop_at":9}]`, ``},
		{"an empty value", `[{"sequence":1,"kind":"token","value":"","drop_at":9}]`, ``},
		{"a value of kind all", `[{"sequence":1,"kind":"all","value":"x","cut_off":1,"drop_at":9}]`, ``},
		{"a value that is no text", `[{"sequence":1,"kind":"token","value":7,"drop_at":9}]`, ``},
		{"a value that is too long", `[{"sequence":1,"kind":"token","value":"` + strings.Repeat("x", maxValue+1) + `","drop_at":9}]`, ``},
		{"no cut-off", `[{"sequence":1,"kind":"subject","value":"p","drop_at":9}]`, ``},
		{"a cut-off before 1970", `[{"sequence":1,"kind":"subject","value":"p","cut_off":-1,"drop_at":9}]`, ``},
		{"no drop_at", `[{"sequence":1,"kind":"token","value":"a"}]`, ``},
		{"too many", `[` + strings.Repeat(plainEntry+",", 10) + plainEntry + `]`, ``},
		{"no array", plainEntry, ``},
		{"no object", `[1]`, ``},
		{"cut off", `[` + plainEntry, ``},
		{"cut off in an entry", `[` + plainEntry[:50], ``},
		{"something behind", `[` + plainEntry + `]]`, ``},
		{"a comma too many", `[` + plainEntry + `,]`, ``},
		{"nothing", ``, ``},
		{"garbage", "\x00\xff", ``},
	} {
		t.Run(row.name, func(t *testing.T) {
			all, err := collect(row.text)
			if got := fmt.Sprintf("%v", pretty(all)); (err == nil) != (row.want != "") || err == nil && got != row.want {
				t.Errorf("%s, %v; want %s", got, err, row.want)
			}
		})
	}
}

func pretty(all []entry) []string {
	out := []string{}
	for _, e := range all {
		out = append(out, fmt.Sprintf("{%d %s %s %d %v %d}", e.sequence, e.kind, e.value, e.cutOff, e.disabled, e.dropAt))
	}
	return out
}

// The fast reader accepts nothing that encoding/json would read otherwise.
func FuzzReadEntries(f *testing.F) {
	f.Add([]byte(`[` + plainEntry + `,` + plainEntry + `]`))
	f.Add([]byte(`[{"sequence":1,"kind":"all","cut_off":7,"cause":"admin","at":1,"drop_at":2}]`))
	f.Add([]byte(` [ ]`))
	f.Add([]byte(`[{"sequence":1,"kind":"token","value":"\u0000","drop_at":9,"x":null}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fast, err := collect(string(text))
		var slow []entry
		n := 0
		readErr := readAny(text, func(r *raw) error {
			if n++; n > 10 {
				return errEntries
			}
			e, err := r.entry()
			if errors.Is(err, errLater) {
				return nil
			}
			slow = append(slow, e)
			return err
		})
		if err == nil && len(fast) > len(slow) {
			fast = fast[len(fast)-len(slow):]
		}
		if (err == nil) != (readErr == nil) || err == nil && fmt.Sprint(pretty(fast)) != fmt.Sprint(pretty(slow)) {
			t.Fatalf("%v, %v; encoding/json: %v, %v", pretty(fast), err, pretty(slow), readErr)
		}
		if err == nil && !json.Valid(text) {
			t.Fatal("not JSON")
		}
	})
}

// A snapshot of a million entries is read into the table in less than a second
// or two of one core.
func BenchmarkSnapshot(b *testing.B) {
	var lines [][]byte
	for i := 0; i < million; i += 1000 {
		line := []byte{'['}
		for j := i; j < i+1000; j++ {
			line = fmt.Appendf(line, `{"sequence":%d,"kind":"session","value":"%s","cause":"signed_out","at":1800000000,"drop_at":1800000900},`, j+1, sid(j))
		}
		lines = append(lines, append(line[:len(line)-1], ']'))
	}
	for b.Loop() {
		start := time.Now()
		table := newTable(4 * million)
		for _, line := range lines {
			if n, err := readEntries(line, 1000, func(e entry) error { table.add(e, 1); return nil }); err != nil || n != 1000 {
				b.Fatal(n, err)
			}
		}
		if table.live.Load() != million {
			b.Fatal("entries are missing")
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/million")
	}
}
