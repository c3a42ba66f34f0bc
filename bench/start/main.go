// Command start measures how long a server takes from its start to its first answer,
// with a database and with none, how much processor time that takes, and what it has
// in memory when nothing happens; beside it what net/http alone takes, for how long a
// process takes to start is very different on different machines.
//
//	go run ./bench/start             the medians of five starts
//	go run ./bench/start -ostiary PATH -runs 20
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// What it may be, by the project's goals, on a machine without neighbours.
const (
	barFirst  = 400 * time.Millisecond // with no database: keys are made
	barAgain  = 60 * time.Millisecond  // with one
	barMemory = 30.0                   // MiB
)

// kind is what is started.
type kind int

const (
	first   kind = iota // a server that has no database yet
	again               // the same once more
	netHTTP             // net/http and nothing else, bench/bare: the least that a start takes here
)

// start is one start.
type start struct {
	of     kind
	took   time.Duration // to the first answer
	cpu    time.Duration // until then, of the process
	memory float64       // MiB, after the rest
}

func main() {
	program := flag.String("ostiary", "", "the program (default: it is built)")
	runs := flag.Int("runs", 5, "how often; the median counts")
	rest := flag.Duration("rest", 5*time.Second, "how long nothing happens before the memory is looked at")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *program, *runs, *rest); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program string, runs int, rest time.Duration) error {
	if runs < 1 {
		return errors.New("-runs must be more than nothing")
	}
	folder, err := os.MkdirTemp("", "ostiary-start-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if program == "" {
		if program, err = house.Build(ctx, folder); err != nil {
			return err
		}
	}
	var all []start
	bare, err := house.BuildBare(ctx, folder)
	if err != nil {
		return err
	}
	for i := range runs {
		alone, err := once(ctx, exec.CommandContext(ctx, bare), 0)
		if err != nil {
			return err
		}
		alone.of = netHTTP
		all = append(all, alone)
		pair, err := measure(ctx, program, filepath.Join(folder, strconv.Itoa(i)), rest)
		if err != nil {
			return err
		}
		all = append(all, pair...)
	}
	servers := slices.DeleteFunc(slices.Clone(all), func(s start) bool { return s.of == netHTTP })
	for _, row := range []struct {
		name string
		of   kind
		bar  string
	}{
		{"no database", first, fmt.Sprintf(" (at most %v)", barFirst)},
		{"a database", again, fmt.Sprintf(" (at most %v)", barAgain)},
		{"net/http alone", netHTTP, ""},
	} {
		of := slices.DeleteFunc(slices.Clone(all), func(s start) bool { return s.of != row.of })
		fmt.Printf("first answer, %-15s %v%s, %v of processor time\n", row.name+":",
			median(of, func(s start) time.Duration { return s.took }).Round(time.Millisecond), row.bar,
			median(of, func(s start) time.Duration { return s.cpu }).Round(time.Millisecond))
	}
	fmt.Printf("memory after %v:  %.1f MiB (at most %.0f)\n", rest, median(servers, func(s start) float64 { return s.memory }), barMemory)
	return nil
}

func median[T int64 | float64 | time.Duration](all []start, of func(start) T) T {
	var values []T
	for _, s := range all {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// measure starts a server in a new folder, and, when somebody has an account, in the
// same one again: until then each start makes a link for the first one.
func measure(ctx context.Context, program, data string, rest time.Duration) ([]start, error) {
	var pair []start
	for _, of := range []kind{first, again} {
		s, err := once(ctx, server(ctx, program, data), rest)
		if err != nil {
			return nil, err
		}
		s.of = of
		pair = append(pair, s)
		if of == first {
			err = settle(ctx, program, data)
		}
		if err != nil {
			return nil, err
		}
	}
	return pair, nil
}

// settle makes the first account.
func settle(ctx context.Context, program, data string) error {
	create := exec.CommandContext(ctx, program, "user", "create", "--admin", "--no-password", "operator")
	create.Env = append(os.Environ(), "OSTIARY_DATA="+data)
	if said, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("the first account: %w: %s", err, said)
	}
	return nil
}

// server is the command that starts a server, but for where it listens.
func server(ctx context.Context, program, data string) *exec.Cmd {
	node := exec.CommandContext(ctx, program, "serve", "--listen")
	node.Env = append(os.Environ(), "OSTIARY_DATA="+data, "OSTIARY_LOG_LEVEL=error",
		"OSTIARY_ISSUER=http://localhost:8080") // of the database, wherever it listens
	return node
}

// patience is how long a start may take on the slowest of machines.
const patience = time.Minute

// once starts a program, whose last argument is where it listens, waits for its first
// answer and lets it rest.
func once(ctx context.Context, node *exec.Cmd, rest time.Duration) (s start, err error) {
	address, err := house.Free()
	if err != nil {
		return s, err
	}
	node.Args = append(node.Args, address)
	began := time.Now()
	if err := node.Start(); err != nil {
		return s, err
	}
	defer func() {
		node.Process.Signal(syscall.SIGTERM)
		if e := node.Wait(); err == nil {
			err = e
		}
	}()
	for !answers(address) {
		if time.Since(began) > patience || ctx.Err() != nil {
			return s, errors.Join(errors.New("the server does not answer"), ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
	s.took = time.Since(began)
	if s.cpu, err = processorTime(node.Process.Pid); err != nil {
		return s, err
	}
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return s, ctx.Err()
	}
	s.memory, err = house.MemoryOf(node.Process.Pid)
	return s, err
}

// answers reports whether discovery answers: what an application asks for first.
func answers(address string) bool {
	res, err := http.Get("http://" + address + "/.well-known/openid-configuration")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// processorTime is what a process has used up (proc_pid_schedstat: nanoseconds).
func processorTime(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, errors.Join(errors.New("/proc tells nothing"), err)
	}
	var total int64
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(text) + " x")[0], 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total), nil
}
