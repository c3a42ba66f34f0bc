package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/ostiary/ostiary/bench/house"
)

// disk lets no file of a node on SQLite grow beyond a size, as if the disk were full,
// and then lets it again. A limit of the process does what a small file system would,
// and everybody may set it.
func disk(ctx context.Context, o options) (tally, error) {
	t, err := settle(ctx, house.Config{Program: o.Binary, Nodes: 1})
	if err != nil {
		return tally{}, err
	}
	defer t.Close()
	t.live(ctx, o.Workers)
	if err := t.busy(ctx); err != nil {
		return tally{}, err
	}
	node := t.Nodes[0]
	for range o.Fills {
		if err := t.answering(ctx, node); err != nil {
			return tally{}, err
		}
		process, err := t.Process(node)
		if err != nil {
			return tally{}, err
		}
		if err := limit(process, fullAt); err != nil {
			return tally{}, err
		}
		t.count(func(c *tally) { c.Faults++ })
		if err := t.refusing(ctx, node); err != nil {
			return tally{}, err
		}
		if status, err := t.look(ctx, node, "/healthz"); status != 200 {
			t.fault("a full disk has ended the node: %d %v", status, err)
		}
		if err := limit(process, unlimited); err != nil {
			return tally{}, err
		}
	}
	if err := t.answering(ctx, node); err != nil {
		return tally{}, err
	}
	// And what is on the disk is whole.
	t.quiet()
	t.Stop()
	if err := t.Start(ctx, node); err != nil {
		return tally{}, err
	}
	if _, err := t.Command(ctx, "", "audit", "verify"); err != nil {
		t.fault("the audit log: %w", err)
	}
	return t.settleUp(ctx)
}

// refusing waits until a node cannot do any more what has to be written.
func (t *town) refusing(ctx context.Context, node string) error {
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		a := t.ask(ctx, node, "/challenge", map[string][]string{
			"response_type": {"code"}, "scope": {"openid"}, "username": {login}, "password": {password},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		})
		if a.unknown() {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return fmt.Errorf("the node at %s writes to a disk that is full: %d", node, a.status)
		}
	}
}

const (
	fullAt    = 256 << 10 // bytes
	unlimited = ^uint64(0)
)

// limit sets up to where the files of a process may grow, prlimit(2).
func limit(process int, bytes uint64) error {
	soft := struct{ now, most uint64 }{bytes, unlimited}
	const fileSize = 1 // RLIMIT_FSIZE
	_, _, failure := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(process), fileSize, uintptr(unsafe.Pointer(&soft)), 0, 0, 0)
	if failure != 0 {
		return failure
	}
	return nil
}
