package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jws"
)

// The kinds of tokens in compact serialization.
const (
	signed    = "signed"    // three parts, RFC 7515 §7.1
	encrypted = "encrypted" // five parts, RFC 7516 §7.1
)

// kindOf tells from the number of its parts what a text may be; "" for nothing.
func kindOf(text string) string {
	switch strings.Count(text, ".") {
	case 2:
		return signed
	case 4:
		return encrypted
	}
	return ""
}

// takeApart returns the header and, where it can be read, the payload of a
// token. Nothing is verified.
func takeApart(token string) (header json.RawMessage, payload []byte, err error) {
	switch kindOf(token) {
	case signed:
		h, payload, err := jws.DecodeUnverified(token)
		if err != nil {
			return nil, nil, unreadable(err)
		}
		header, err := h.MarshalJSON()
		return header, payload, err
	case encrypted:
		h, err := jwe.DecodeUnverified(token)
		if err != nil {
			return nil, nil, unreadable(err)
		}
		header, err := h.MarshalJSON()
		return header, nil, err
	}
	return nil, nil, errNoToken
}

var errNoToken = errors.New("this is no token: a signed one has three parts between dots, an encrypted one five")

func unreadable(err error) error {
	return fmt.Errorf("the token cannot be read: %s", plainCause(err))
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// relative tells a time as seen from now: "in 4 minutes", "3 days ago".
func relative(t, now time.Time) string {
	switch d := t.Sub(now).Round(time.Second); {
	case d == 0:
		return "just now"
	case d > 0:
		return "in " + spell(d)
	default:
		return spell(-d) + " ago"
	}
}

// spell says a length of time in words, to what matters of it.
func spell(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		name string
		size time.Duration
	}{{"year", 365 * day}, {"day", day}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		words := count(int(n), u.name)
		if n < 3 && i+1 < len(units) { // "1 hour" may be nearly two
			if rest := d % u.size / units[i+1].size; rest > 0 {
				words += " " + count(int(rest), units[i+1].name)
			}
		}
		return words
	}
	return "less than a second"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
