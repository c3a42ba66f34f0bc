package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"golang.org/x/term"
)

// maxPassword bounds what is read; account has the stricter rule.
const maxPassword = 4096

// password asks for a new password twice on a terminal, and reads one line of
// standard input otherwise. It is never an argument: those are seen by
// everybody on the machine.
func (sh shell) password() (model.Secret, error) {
	if !terminal(sh.stdin) {
		return sh.passwordLine()
	}
	first, err := sh.prompt("New password: ")
	if err != nil {
		return "", err
	}
	second, err := sh.prompt("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ: nothing was changed")
	}
	return first, nil
}

func (sh shell) prompt(question string) (model.Secret, error) {
	fmt.Fprint(sh.stderr, question)
	text, err := term.ReadPassword(int(sh.stdin.Fd()))
	fmt.Fprintln(sh.stderr)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return model.Secret(text), nil
}

func (sh shell) passwordLine() (model.Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(sh.stdin, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password from standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usagef("there is no password: write it as one line to standard input, or run the command on a terminal")
	}
	return model.Secret(line), nil
}

// confirm asks before something that cannot be undone. Without a terminal
// nobody can be asked, so the flag --yes must have been given.
func (sh shell) confirm(sure bool, question string) error {
	if sure {
		return nil
	}
	if !terminal(sh.stdin) {
		return usagef("this cannot be undone: add --yes")
	}
	fmt.Fprintf(sh.stderr, "%s Type yes: ", printable(question))
	answer, err := bufio.NewReader(io.LimitReader(sh.stdin, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
