// Package house runs a whole server for a measurement: its nodes are processes of
// their own, set up with the command as an operator does it, on loopback, and gone
// afterwards.
package house

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// Build makes the program in a folder, as a release is made, and returns its path.
func Build(ctx context.Context, folder string) (string, error) {
	return build(ctx, folder, "cmd/ostiary")
}

// BuildBare makes bench/bare in the same way.
func BuildBare(ctx context.Context, folder string) (string, error) {
	return build(ctx, folder, "bench/bare")
}

func build(ctx context.Context, folder, program string) (string, error) {
	path := filepath.Join(folder, filepath.Base(program))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/ostiary/ostiary/"+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

// Config says what is run.
type Config struct {
	Program  string   // its path, see Build
	Nodes    int      // how many; more than one need a Database
	Database string   // URL of a PostgreSQL, where a schema is made and dropped; empty: SQLite
	Settings []string // of every node, such as "OSTIARY_ACCESS_TOKEN_LIFE=1h"
	Share    float64  // of a processor, that each node may have; 0: as many processors as there are
}

// House is a server of one or more nodes.
type House struct {
	Issuer   string
	Nodes    []string // host:port of each
	Folder   string   // with "data" and the logs of the nodes; gone after Close
	Database string   // its address: "sqlite:PATH" or "postgres://…"

	program string
	env     []string
	share   float64
	running []*exec.Cmd
	undo    []func() error // of what holds the nodes to their share
	drop    func() error   // of what was made in the database
}

// Open starts a server and waits until each of its nodes is ready.
func Open(ctx context.Context, c Config) (_ *House, err error) {
	if c.Nodes > 1 && c.Database == "" {
		return nil, errors.New("several nodes need a PostgreSQL")
	}
	h := &House{program: c.Program, share: c.Share, drop: func() error { return nil }}
	if h.Folder, err = os.MkdirTemp("", "ostiary-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	for range c.Nodes {
		address, err := Free()
		if err != nil {
			return nil, err
		}
		h.Nodes = append(h.Nodes, address)
	}
	_, port, _ := net.SplitHostPort(h.Nodes[0])
	h.Issuer = "http://localhost:" + port
	h.env = append(os.Environ(), "OSTIARY_DATA="+filepath.Join(h.Folder, "data"), "OSTIARY_ISSUER="+h.Issuer)
	h.env = append(h.env, c.Settings...)
	h.Database = "sqlite:" + filepath.Join(h.Folder, "data", "ostiary.db")
	if c.Database != "" {
		database, err := h.schema(ctx, c.Database)
		if err != nil {
			return nil, err
		}
		h.env = append(h.env, "OSTIARY_DATABASE="+database)
		h.Database = database
	}
	for _, node := range h.Nodes {
		if err := h.Start(ctx, node); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Free finds an address on loopback that nothing listens at.
func Free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// schemas numbers the places that this process makes.
var schemas atomic.Int64

// schema makes a place of its own in a PostgreSQL database.
func (h *House) schema(ctx context.Context, database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", errors.New("the address of the database is not a URL") // which may hold a password
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("bench_%d_%d", os.Getpid(), schemas.Add(1))
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+name); err != nil {
		return "", errors.Join(err, db.Close())
	}
	h.drop = func() error {
		_, err := db.Exec("DROP SCHEMA " + name + " CASCADE")
		return errors.Join(err, db.Close())
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Start runs a node at an address and waits until it is ready.
func (h *House) Start(ctx context.Context, address string) error {
	log, err := os.Create(filepath.Join(h.Folder, strings.ReplaceAll(address, ":", "-")+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	node := exec.Command(h.program, "serve", "--listen", address)
	node.Env, node.Stdout, node.Stderr = h.env, log, log
	if err := node.Start(); err != nil {
		return err
	}
	h.running = append(h.running, node)
	if h.share > 0 {
		undo, err := confine(node.Process.Pid, h.share)
		if err != nil {
			return err
		}
		h.undo = append(h.undo, undo)
	}
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
	}
	text, _ := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("the node at %s does not start: %s", address, text), ctx.Err())
}

// Stop ends the nodes, one after the other, as an operator does.
func (h *House) Stop() {
	for _, node := range h.running {
		node.Process.Signal(syscall.SIGTERM)
		node.Wait()
	}
	h.running = nil
}

// Close ends the nodes and removes what was made.
func (h *House) Close() error {
	h.Stop()
	err := errors.Join(h.drop(), os.RemoveAll(h.Folder))
	for _, undo := range h.undo {
		err = errors.Join(err, undo())
	}
	return err
}

// Command runs the program beside the nodes and returns what it prints.
func (h *House) Command(ctx context.Context, input string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, h.program, args...)
	var out, failure bytes.Buffer
	c.Env, c.Stdin, c.Stdout, c.Stderr = h.env, strings.NewReader(input), &out, &failure
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("ostiary %s: %w: %s", strings.Join(args, " "), err, failure.String())
	}
	return out.Bytes(), nil
}

// User creates a person.
func (h *House) User(ctx context.Context, login, password string) error {
	_, err := h.Command(ctx, password+"\n", "user", "create", login)
	return err
}

// Client is an application with its secret.
type Client struct{ ID, Secret string }

// Client registers an application by the flags of "ostiary client create".
func (h *House) Client(ctx context.Context, flags ...string) (Client, error) {
	out, err := h.Command(ctx, "", append([]string{"client", "create", "--json"}, flags...)...)
	if err != nil {
		return Client{}, err
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return Client{}, err
	}
	return Client{made.ID, made.Secret}, nil
}

// ProcessorTime is what the nodes have used up, in microseconds.
func (h *House) ProcessorTime() (float64, error) { return h.sum(ProcessorTimeOf) }

// Memory is what the nodes have in memory, in MiB.
func (h *House) Memory() (float64, error) { return h.sum(MemoryOf) }

// sum adds up what is told of each node's process.
func (h *House) sum(of func(pid int) (float64, error)) (total float64, err error) {
	for _, node := range h.running {
		one, err := of(node.Process.Pid)
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}

// ProcessorTimeOf is what a process has used up, in microseconds, by the hundredth of
// a second (proc_pid_stat(5): utime and stime).
func ProcessorTimeOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	field := strings.Fields(rest)
	if len(field) < 13 {
		return 0, errors.New("/proc tells nothing")
	}
	total := 0.0
	for _, ticks := range field[11:13] {
		n, err := strconv.ParseFloat(ticks, 64)
		if err != nil {
			return 0, err
		}
		total += n * 1e4
	}
	return total, nil
}

// MemoryOf is what a process has in memory, in MiB (proc_pid_status(5): VmRSS).
func MemoryOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.TrimSpace(strings.Split(rest, "kB")[0]), 64)
	if err != nil {
		return 0, errors.New("/proc tells nothing")
	}
	return kib / 1024, nil
}
