package credential

import (
	"errors"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

func TestPolicy(t *testing.T) {
	about := []string{"ada.lovelace@example.org", "Ada King Lovelace", "ада"}
	p := Policy{Least: 8, Words: []string{"Example Corp", "id.example.com"}}
	for _, row := range []struct {
		name, password string
		err            error
	}{
		// NIST SP 800-63B-4 §3.1.1.2
		{"passwords obtained from previous breaches", "iloveyou1", ErrCommon},
		{"of them, in large letters", "ILOVEYOU1", ErrCommon},
		{"of them, in wide letters", "ｉｌｏｖｅｙｏｕ１", ErrCommon},
		{"of them, with a year behind it", "sunshine2026!", ErrCommon},
		{"of them, with digits before it", "2026-sunshine", ErrCommon},
		{"dictionary words", "basketball", ErrCommon},
		{"repetitive characters", "zzzzzzzzzzzzzzzz", ErrCommon},
		{"repetitive words", "sunshinesunshine", ErrCommon},
		{"repetitive words, cut off", "sunshinesunshines", ErrCommon},
		{"repetitive parts", "q9xq9xq9xq9xq9", ErrCommon},
		{"sequential characters", "123456789012345678", ErrCommon},
		{"sequential characters, down", "zyxwvutsrqponmlk", ErrCommon},
		{"sequential letters of another alphabet", "клмнопрстуф", ErrCommon},
		{"context-specific: the login", "ada.lovelace@example.org", ErrPersonal},
		{"context-specific: the name", "Lovelace-King-1815", ErrPersonal},
		{"context-specific: the name in pieces", "ada-king+lovelace", ErrPersonal},
		{"context-specific: the name of another alphabet", "ада12345", ErrPersonal},
		{"context-specific: the service", "ExampleCorp2026", ErrPersonal},
		{"context-specific: a derivative that is common", "lovelace-sunshine1", ErrPersonal},

		{"four words", "correct horse battery staple", nil},
		{"a word beside three others", "lovelace paints green engines", nil},
		{"a name by chance", "canada-wide-rails", nil},
		{"of a password manager", "x7$Kq!m2Vw", nil},
		{"no composition rules", "quietly blue mangroves", nil},
		{"Japanese", "静かな青い森の中で", nil},
		{"64 characters are allowed", "my neighbour's engine is green, and hers paints four walls a day", nil},
	} {
		if err := p.Check(model.Secret(row.password), about...); !errors.Is(err, row.err) {
			t.Errorf("%s: %q: %v, want %v", row.name, row.password, err, row.err)
		}
	}
	if err := (Policy{Least: 15}).Check("correct-horses"); !errors.Is(err, ErrShort) {
		t.Errorf("14 of 15 characters: %v", err)
	}
	if err := (Policy{Least: 15}).Check("ключ до п’яти д"); err != nil {
		t.Errorf("15 characters of more bytes: %v", err)
	}
}

// What is not in the list must not be refused by chance.
func TestCommonListIsSparse(t *testing.T) {
	if n := (len(commonList) - CommonBuckets) / 3; n < 500_000 || int(bucketAt()[CommonBuckets]) != n {
		t.Fatalf("the list has %d entries, its buckets %d", n, bucketAt()[CommonBuckets])
	}
	hits := 0
	for range 100_000 {
		if listed(string(model.NewSecret(""))) {
			hits++
		}
	}
	if hits > 3 {
		t.Errorf("%d of 100000 random passwords are in the list", hits)
	}
}

func BenchmarkPolicy(b *testing.B) {
	p := Policy{Least: 15, Words: []string{"Example Corp", "id.example.com"}}
	for name, password := range map[string]model.Secret{
		"passphrase": "correct horse battery staple", "with digits": "quietly blue mangroves 202612", "1024 bytes": model.Secret(strings.Repeat("quietly blue man", 63) + "x"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = p.Check(password, "ada.lovelace@example.org", "Ada King Lovelace")
			}
		})
	}
}
