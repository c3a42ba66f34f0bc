package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

// The people of the demo. Their password is no secret: the demo listens on
// loopback only, and what it knows is gone when it ends, or in a folder for trying.
var demoUsers = []account.NewUser{
	{Login: "alice", Admin: true, Profile: model.Profile{Name: "Alice Liddell", GivenName: "Alice", FamilyName: "Liddell", Email: "alice@example.com", EmailVerified: true}},
	{Login: "bob", Profile: model.Profile{Name: "Bob Cratchit", GivenName: "Bob", FamilyName: "Cratchit", Email: "bob@example.com", EmailVerified: true}},
}

// patient is how long a second signal after the first one means nothing.
const patient = time.Second

const demoPassword = "open sesame please"

func (sh shell) demo() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "run a server, all samples and a tour through them, with test users",
		Description: "Opens the tour in your browser, if you sit before one. Nothing is left behind, unless --keep names a folder for it.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "port", Usage: "port of the server; the others follow", DefaultText: "free ones"},
			&cli.StringFlag{Name: "keep", Usage: "folder that keeps everything for the next start, addresses included", DefaultText: "nothing is kept"},
			&cli.BoolFlag{Name: "no-browser", Usage: "open no browser"},
			&cli.BoolFlag{Name: "verbose", Usage: "log every request"},
		},
		Action: sh.runDemo,
	}
}

// bySystem says in the audit log who has furnished the demo.
var bySystem = model.Actor{Kind: model.ActorSystem}

// demo is what runs together.
type demo struct {
	server *server.Server
	logger *slog.Logger
	rooms  []*room
	kept   kept
}

// room is one address of the demo, and who answers there.
type room struct {
	name string // of its port in what is kept, and of its address for programs
	host string // a name for this machine: cookies do not know ports, and some are to be a house of their own
	what string // for people
	note string

	listener net.Listener
	handler  http.Handler                    // of a sample; the server has its own
	run      func(ctx context.Context) error // beside it, until ctx is done
	stop     func()                          // before it shuts down
}

func (sh shell) runDemo(ctx context.Context, c *cli.Command) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process on the spot; but timeout(1) and others send the
	// first one twice, and the folder is to be removed all the same.
	context.AfterFunc(ctx, func() { time.Sleep(patient); stop() })

	folder := c.String("keep")
	if folder == "" {
		if folder, err = os.MkdirTemp("", "ostiary-demo-"); err != nil {
			return fmt.Errorf("cannot make a temporary folder: %w: set TMPDIR to one that can be written", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	level := "warn"
	if c.Bool("verbose") {
		level = "info"
	}
	d := &demo{logger: sh.logger(settings{LogLevel: level, LogFormat: "text"}), rooms: demoRooms()}
	if d.kept, err = readKept(folder, c.Int("port")); err != nil {
		return err
	}
	if err := d.open(ctx, folder, c.Int("port")); err != nil {
		if ctx.Err() != nil { // it was stopped before it stood
			err = nil
		}
		return errors.Join(err, d.close(), d.kept.abandon(folder))
	}
	if err := sh.announce(c, d); err != nil {
		return errors.Join(err, d.close())
	}
	if !c.Bool("no-browser") && !c.Bool("json") && ctx.Err() == nil {
		sh.browse(ctx, d.url("tour"))
	}
	return d.run(ctx)
}

// open makes everything that there is, up to the first request.
func (d *demo) open(ctx context.Context, folder string, port int) error {
	if err := d.listen(ctx, port); err != nil {
		return err
	}
	if err := d.furnish(ctx, folder); err != nil {
		return err
	}
	return d.kept.write(folder)
}

// listen takes a port for each room: the one that was kept, the one that follows the
// server's, or a free one.
func (d *demo) listen(ctx context.Context, port int) (err error) {
	for i, r := range d.rooms {
		switch before, was := d.kept.Ports[r.name]; {
		case was:
			if r.listener, err = listenLocal(ctx, "keep", before); err != nil {
				return fmt.Errorf("cannot listen on port %d, which %s had before: %w: end what uses it, or choose another folder with --keep", before, r.name, errors.Unwrap(err))
			}
		case i == 0:
			r.listener, err = listenLocal(ctx, "port", port)
		case port != 0 && port+i <= 65535:
			if r.listener, err = listenLocal(ctx, "port", port+i); err == nil {
				break
			}
			fallthrough
		default:
			r.listener, err = listenLocal(ctx, "port", 0)
		}
		if err != nil {
			return err
		}
		d.kept.Ports[r.name] = r.port()
	}
	return nil
}

func listenLocal(ctx context.Context, flag string, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w: choose another with --%s, or leave it out for a free one", port, err, flag)
	}
	return l, nil
}

// room returns the one of that name.
func (d *demo) room(name string) *room {
	for _, r := range d.rooms {
		if r.name == name {
			return r
		}
	}
	panic("the demo has no room " + name)
}

func (d *demo) url(name string) string { return d.room(name).url() }

func (r *room) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// at is the room's address under a name for this machine.
func (r *room) at(host string) string { return fmt.Sprintf("http://%s:%d", host, r.port()) }

func (r *room) url() string { return r.at(r.host) }

// furnish makes the server, its users, and the samples that are its clients.
func (d *demo) furnish(ctx context.Context, folder string) (err error) {
	d.server, err = server.New(ctx, server.Config{
		Listener: d.room("server").listener, Issuer: d.url("server"), Data: folder, Logger: d.logger, Mailbox: true,
	})
	if err != nil {
		return err
	}
	if !d.kept.furnished {
		var all sync.WaitGroup // a password takes its time, on purpose
		failed := make([]error, len(demoUsers))
		for i, u := range demoUsers {
			u.Password = demoPassword
			all.Go(func() { _, failed[i] = d.server.Accounts.Create(ctx, bySystem, u) })
		}
		all.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	return d.furnishSamples(ctx)
}

// run serves everything until ctx is done or a part of it fails.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := func(run func(context.Context) error) {
		all.Go(func() {
			err := run(ctx)
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
			cancel()
		})
	}
	start(d.server.Run)
	for _, r := range d.rooms {
		if r.handler == nil {
			continue
		}
		start(func(ctx context.Context) error { return serveSample(ctx, r.listener, r.handler, r.stop) })
		if r.run != nil {
			start(func(ctx context.Context) error {
				if err := r.run(ctx); ctx.Err() == nil {
					return err
				}
				return nil
			})
		}
	}
	all.Wait()
	return failed
}

// sampleGrace is how long a sample waits for requests under way when it stops.
const sampleGrace = 2 * time.Second

// serveSample serves until ctx is done. What streams is ended by stop, if there is one.
func serveSample(ctx context.Context, l net.Listener, h http.Handler, stop func()) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		if stop != nil {
			stop()
		}
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), sampleGrace)
		defer cancel()
		err := s.Shutdown(shut)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close() // a browser holds connections ahead of its requests, and a sample has nothing to lose
		}
		return err
	}
}

// close frees what was opened before run.
func (d *demo) close() error {
	var err error
	if d.server != nil {
		err = d.server.Close()
	}
	for i, r := range d.rooms {
		if r.listener != nil && (i > 0 || d.server == nil) { // the server closes its own
			err = errors.Join(err, r.listener.Close())
		}
	}
	return err
}
