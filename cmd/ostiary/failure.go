package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/server"
)

// usageError is a mistake in the command line, the environment or the
// configuration file: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// report prints an error as one sentence and returns the exit code for it.
func (sh shell) report(err error) int {
	code := 1
	var usage *usageError
	var setting *server.SettingError
	if errors.As(err, &usage) || errors.As(err, &setting) {
		code = 2
	}
	// The flag may stand in a command line that could not be parsed.
	if slices.Contains(sh.args, "--json") {
		line, _ := json.Marshal(map[string]string{"error": err.Error()}) // of strings: cannot fail
		fmt.Fprintf(sh.stderr, "%s\n", line)
	} else {
		fmt.Fprintf(sh.stderr, "ostiary: %s\n", printable(err.Error()))
	}
	return code
}
