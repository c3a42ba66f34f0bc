package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// openTerminal returns both ends of a terminal: what a person sees, and what a program
// writes to.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// opener puts a desktop's opener into PATH, and returns the file in which it notes what
// it is to open.
func opener(t *testing.T) string {
	t.Helper()
	bin, asked := t.TempDir(), filepath.Join(t.TempDir(), "asked")
	script := "#!/bin/sh\necho \"$1\" > " + asked + ".new && mv " + asked + ".new " + asked + "\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return asked
}

// opened waits for what the opener was asked to open.
func opened(t *testing.T, asked string) string {
	t.Helper()
	for deadline := time.Now().Add(browsertest.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(asked); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	t.Fatal("nothing was opened")
	return ""
}

// A page opens by itself before whoever sits there, and before nobody else.
func TestBrowse(t *testing.T) {
	asked := opener(t)
	for _, c := range []struct {
		name     string
		env      map[string]string
		terminal bool
		opens    bool
	}{
		{"a terminal on a desktop", map[string]string{"DISPLAY": ":0"}, true, true},
		{"on Wayland", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, true, true},
		{"no desktop", nil, true, false},
		{"from afar", map[string]string{"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, true, false},
		{"no terminal", map[string]string{"DISPLAY": ":0"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			os.Remove(asked)
			_, out := openTerminal(t)
			if !c.terminal {
				var err error
				if out, err = os.Create(filepath.Join(t.TempDir(), "out")); err != nil {
					t.Fatal(err)
				}
				defer out.Close()
			}
			sh := shell{nil, os.Stdin, out, os.Stderr, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
			if got := sh.browse(t.Context(), "http://localhost:1/"); got != c.opens {
				t.Fatalf("opens: %t", got)
			}
			if c.opens && opened(t, asked) != "http://localhost:1/" {
				t.Error("something else was opened")
			}
		})
	}
}

// The demo opens its tour at a terminal, unless it is told not to.
func TestDemoOpensTheTour(t *testing.T) {
	asked, desktop := opener(t), map[string]string{"DISPLAY": ":0"}
	for _, flag := range []string{"", "--no-browser"} {
		os.Remove(asked)
		person, out := openTerminal(t)
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int, 1)
		args := []string{"ostiary", "demo"}
		if flag != "" {
			args = append(args, flag)
		}
		go func() {
			code <- run(ctx, shell{args, os.Stdin, out, os.Stderr, func(name string) (string, bool) { v, ok := desktop[name]; return v, ok }})
		}()
		printed := ""
		for lines := bufio.NewScanner(person); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[1] == "tour" {
				printed = fields[2]
			}
			if strings.Contains(lines.Text(), "Stop with Ctrl-C") {
				break
			}
		}
		if flag == "" {
			if got := opened(t, asked); got == "" || got != printed {
				t.Errorf("opened %q, printed %q", got, printed)
			}
		}
		cancel()
		if got := <-code; got != 0 {
			t.Errorf("it ended with %d", got)
		}
		if _, err := os.Stat(asked); flag != "" && err == nil {
			t.Error("it opened something")
		}
	}
}
