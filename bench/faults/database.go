package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// database stops PostgreSQL under load and starts it again: in order and for a moment,
// which nobody may notice but by waiting; at once and for longer than anybody waits; and
// so on, in turn.
func database(ctx context.Context, o options) (tally, error) {
	p, err := openPostgres(ctx)
	if err != nil {
		return tally{}, err
	}
	defer p.close()
	t, err := nodesOf(ctx, o, p.url)
	if err != nil {
		return tally{}, err
	}
	defer t.Close()
	for i := range o.Restarts {
		if err := t.answering(ctx, t.Nodes...); err != nil {
			return tally{}, err
		}
		mode := []string{"fast", "immediate"}[i%2]
		if err := p.control(ctx, "stop", "-m", mode); err != nil {
			return tally{}, err
		}
		t.count(func(c *tally) { c.Faults++ })
		if i%2 == 1 {
			if err := t.without(ctx); err != nil {
				return tally{}, err
			}
		}
		if err := p.start(ctx); err != nil {
			return tally{}, err
		}
		if err := t.ready(ctx, http.StatusOK); err != nil {
			return tally{}, err
		}
	}
	if err := t.answering(ctx, t.Nodes...); err != nil {
		return tally{}, err
	}
	t.quiet()
	return t.settleUp(ctx)
}

// without looks at nodes whose database is away: they live, say that they are not
// ready, give out their keys, and refuse the rest without letting anybody wait.
func (t *town) without(ctx context.Context) error {
	if err := t.ready(ctx, http.StatusServiceUnavailable); err != nil {
		return err
	}
	for _, node := range t.Nodes {
		for _, path := range []string{"/healthz", "/jwks", "/.well-known/openid-configuration"} {
			if status, err := t.look(ctx, node, path); status != http.StatusOK {
				t.fault("%s answers %d without a database, %v", path, status, err)
			}
		}
		start := time.Now()
		if a := t.token(ctx, node, form("refresh_token", "refresh_token", "ost_rt_x.1.x")); a.status != http.StatusServiceUnavailable {
			t.fault("/token answers %d without a database: %v", a.status, a.said)
		}
		// It waits three seconds, and what a busy machine adds.
		if took := time.Since(start); took > askTime-time.Second {
			t.fault("/token took %v without a database", took)
		}
	}
	return nil
}

// ready waits until all nodes say that they are, or are not.
func (t *town) ready(ctx context.Context, want int) error {
	for _, node := range t.Nodes {
		for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			status, err := t.look(ctx, node, "/readyz")
			if status == want {
				break
			}
			if ctx.Err() != nil || time.Now().After(until) {
				return errors.Join(fmt.Errorf("/readyz of %s answers %d and not %d", node, status, want), err)
			}
		}
	}
	return nil
}

func (t *town) look(ctx context.Context, node, path string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := t.web.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// postgres is a PostgreSQL of its own, which may be stopped.
type postgres struct {
	folder, url string
	port        string
	owner       *syscall.Credential // nil: ourselves
}

// openPostgres makes and starts one, by its programs in PATH.
func openPostgres(ctx context.Context) (_ *postgres, err error) {
	p := &postgres{}
	if p.folder, err = os.MkdirTemp("", "ostiary-faults-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := p.give(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, p.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	if err := p.do(ctx, "initdb", "-D", p.data(), "-U", "ostiary", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	p.url = "postgres://ostiary@127.0.0.1:" + p.port + "/postgres?sslmode=disable"
	return p, p.start(ctx)
}

// give lets an account that is not root's have the folder: PostgreSQL wants it so.
func (p *postgres) give() error {
	if os.Getuid() != 0 {
		return nil
	}
	var account *user.User
	err := errors.New("no account")
	for _, name := range []string{"postgres", "nobody"} {
		if account, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.folder, uid, gid)
}

func (p *postgres) data() string { return filepath.Join(p.folder, "data") }

func (p *postgres) do(ctx context.Context, program string, args ...string) error {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = p.folder
	c.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	// A file, and not a pipe: the server would keep that open.
	log, err := os.CreateTemp("", "ostiary-faults-log-")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(text))
	}
	return nil
}

// control stops it, or asks how it is.
func (p *postgres) control(ctx context.Context, what string, more ...string) error {
	return p.do(ctx, "pg_ctl", append([]string{what, "-D", p.data(), "-w", "-s"}, more...)...)
}

func (p *postgres) start(ctx context.Context) error {
	// Of a process that is killed everything is kept without fsync as well: it is for
	// power cuts.
	return p.control(ctx, "start", "-l", filepath.Join(p.folder, "log"), "-o",
		"-p "+p.port+" -c fsync=off -c listen_addresses=127.0.0.1 -c unix_socket_directories=''")
}

func (p *postgres) close() {
	p.control(context.Background(), "stop", "-m", "immediate") // which fails if it does not run
	os.RemoveAll(p.folder)
}
