package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ostiary/ostiary/jws"
	"github.com/urfave/cli/v3"
)

// maxInput bounds a file, a variable and standard input.
const maxInput = 1 << 20

// task is what one command about tokens or keys works with.
type task struct {
	shell
	command *cli.Command
	now     func() time.Time
	taken   string // what standard input was read for: it can be read once
}

// inquire makes an action of a command about tokens or keys. They need no
// server, no database and no configuration.
func (sh shell) inquire(do func(context.Context, *task) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		if err := checkEmpty(c); err != nil {
			return err
		}
		return do(ctx, &task{shell: sh, command: c, now: time.Now})
	}
}

// checkEmpty refuses a flag without a value: a variable of a script that is not
// set must not switch a check off.
func checkEmpty(c *cli.Command) error {
	for _, f := range c.Flags {
		name := f.Names()[0]
		if !c.IsSet(name) {
			continue
		}
		switch value := c.Value(name).(type) {
		case string:
			if value == "" {
				return usagef("--%s is empty: give it a value, or leave it out", name)
			}
		case []string:
			if slices.Contains(value, "") {
				return usagef("--%s is empty: give it a value, or leave it out", name)
			}
		}
	}
	return nil
}

// read reads a file, or standard input where it is named "-".
func (t *task) read(flag, name string) ([]byte, error) {
	from := io.Reader(t.stdin)
	if name == "-" {
		if t.taken != "" {
			return nil, usagef("%s and %s cannot both be standard input: put one of them into a file", t.taken, flag)
		}
		t.taken = flag
	} else {
		if strings.ContainsAny(name, "{\n") || strings.HasPrefix(name, "-----") { // it is not repeated
			return nil, usagef("%s: this is a key or claims and no file, and everybody on this machine can have seen it: put it into a file, or write it to standard input and %s -", flag, flag)
		}
		file, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("%s: there is no file %s", flag, name)
		}
		if err != nil {
			return nil, usagef("%s: %v", flag, err)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	switch {
	case err != nil:
		return nil, usagef("%s: %v", flag, err)
	case len(data) > maxInput:
		return nil, usagef("%s: %s is longer than %d bytes, the most that is read", flag, nameOf(name), maxInput)
	case len(data) == 0:
		return nil, usagef("%s: %s is empty", flag, nameOf(name))
	}
	return data, nil
}

func nameOf(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// token returns the token of the argument: itself, "-" for standard input, or
// "@FILE". White space around it is nobody's doing.
func (t *task) token() (string, error) {
	text := t.command.Args().First()
	if name, isFile := strings.CutPrefix(text, "@"); isFile || text == "-" {
		if !isFile {
			name = "-"
		}
		data, err := t.read("TOKEN", name)
		if err != nil {
			return "", err
		}
		text = string(data)
	}
	text = strings.TrimSpace(text)
	if len(text) > jws.DefaultMaxSize {
		return "", fmt.Errorf("the token is longer than %d bytes, the most that is taken", jws.DefaultMaxSize)
	}
	return text, nil
}

// list returns the values of a repeatable flag; nil if it is not given.
func (t *task) list(flag string) []string {
	if !t.command.IsSet(flag) {
		return nil
	}
	return t.command.StringSlice(flag)
}

// span reads the length of time of a flag; 0 if it is not given.
func (t *task) span(flag string) (time.Duration, error) {
	if !t.command.IsSet(flag) {
		return 0, nil
	}
	d, err := duration(t.command.String(flag))
	if err != nil {
		return 0, usagef("--%s: %v", flag, err)
	}
	return d, nil
}

// clock returns the time that a token is judged at: that of --at, or now.
func (t *task) clock() (func() time.Time, error) {
	text := t.command.String("at")
	if text == "" {
		return t.now, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if seconds, bad := strconv.ParseInt(text, 10, 64); bad == nil && seconds >= 0 && seconds < 1<<40 {
		at, err = time.Unix(seconds, 0), nil
	}
	if err != nil {
		return nil, usagef("--at: %q is no time: write one such as 2026-01-31T12:00:00Z, or seconds since 1970", text)
	}
	return func() time.Time { return at }, nil
}

func atFlag() cli.Flag {
	return &cli.StringFlag{Name: "at", Usage: "judge as of this `TIME`, such as 2026-01-31T12:00:00Z or seconds since 1970", DefaultText: "now"}
}

// warn says on standard error what somebody should know who goes on.
func (sh shell) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if slices.Contains(sh.args, "--json") {
		line, _ := json.Marshal(map[string]string{"warning": text}) // of strings: cannot fail
		fmt.Fprintf(sh.stderr, "%s\n", line)
		return
	}
	fmt.Fprintf(sh.stderr, "ostiary: %s\n", printable(text))
}

// member is a member of a JSON object, as it stands in its text.
type member struct {
	name  string
	value json.RawMessage
}

var errTwice = errors.New("a member is there twice")

// membersOf returns the members of a JSON object in their order. It returns
// errTwice with them if a name is there twice.
func membersOf(text []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var all []member
	var twice error
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("it is not JSON")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("it is not JSON")
		}
		one := member{fmt.Sprint(name), value}
		if slices.ContainsFunc(all, func(m member) bool { return m.name == one.name }) {
			twice = fmt.Errorf("%w: %q", errTwice, one.name)
		}
		all = append(all, one)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows after it")
	}
	return all, twice
}

// objectOf is the opposite of membersOf.
func objectOf(members []member) json.RawMessage {
	text := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			text = append(text, ',')
		}
		name, _ := json.Marshal(m.name) // of a string: cannot fail
		text = append(append(append(text, name...), ':'), m.value...)
	}
	return append(text, '}')
}

// assignment reads NAME=VALUE. The value is JSON where it is that, and text
// otherwise.
func assignment(flag, text string) (member, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return member{}, usagef("--%s: %q is not NAME=VALUE", flag, text)
	}
	if json.Valid([]byte(value)) {
		return member{name, json.RawMessage(value)}, nil
	}
	return textMember(name, value), nil
}

func textMember(name, value string) member {
	text, _ := json.Marshal(value) // of a string: cannot fail
	return member{name, text}
}

// printDocument prints JSON, indented. What steers a terminal is escaped, which
// JSON permits everywhere in a string: it stays the same value.
func (sh shell) printDocument(value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(sh.stdout, escaped(text.String()))
	return err
}

func escaped(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff: // RFC 8259 §7: two of them
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// flags joins flags that several commands have.
func flags(groups ...[]cli.Flag) []cli.Flag { return slices.Concat(groups...) }
