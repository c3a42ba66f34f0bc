package main

import (
	"encoding/json"
	"testing"
	"time"
)

func TestRelative(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	const day = 24 * time.Hour
	for _, row := range []struct {
		after time.Duration
		want  string
	}{
		{0, "just now"},
		{400 * time.Millisecond, "just now"},
		{time.Second, "in 1 second"},
		{-59 * time.Second, "59 seconds ago"},
		{4 * time.Minute, "in 4 minutes"},
		{-100 * time.Second, "1 minute 40 seconds ago"},
		{2*time.Hour + 59*time.Minute, "in 2 hours 59 minutes"},
		{-25 * time.Hour, "1 day 1 hour ago"},
		{30 * day, "in 30 days"},
		{400 * day, "in 1 year 35 days"},
		{-4000 * day, "10 years ago"},
	} {
		if got := relative(now.Add(row.after), now); got != row.want {
			t.Errorf("%v: %q, want %q", row.after, got, row.want)
		}
	}
}

// What is escaped stays the same value.
func TestEscaped(t *testing.T) {
	for _, text := range []string{"plain", "ключ 鍵", "\u009b31m", "\u202e", "\U000e0041", "a\nb"} {
		written, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(escaped(string(written))), &back); err != nil || back != text {
			t.Errorf("%q became %q (%v)", text, back, err)
		}
	}
}

// A secret that ends in a byte that is a line end by chance keeps it.
func TestWithoutLineEnd(t *testing.T) {
	for given, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", "secret\n\n": "secret\n",
		"\x00\x01\n": "\x00\x01\n", "\xff\xfe\n": "\xff\xfe\n", "\n": "",
	} {
		if got := string(withoutLineEnd([]byte(given))); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestMembersOf(t *testing.T) {
	for _, bad := range []string{"", "[]", "1", "{", `{"a"}`, `{"a":1`, `{"a":1}x`, `{"a":1}{}`, `{"a":1,}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`} {
		if _, err := membersOf([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	members, err := membersOf([]byte(` {"b":1e400,"a":{"x":[]}} `))
	if err != nil || string(objectOf(members)) != `{"b":1e400,"a":{"x":[]}}` {
		t.Errorf("%v, %v", members, err)
	}
}
