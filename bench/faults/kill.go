package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// nodesOf is a server of two nodes, and who lives there.
func nodesOf(ctx context.Context, o options, database string) (*town, error) {
	t, err := settle(ctx, house.Config{Program: o.Binary, Nodes: 2, Database: database})
	if err != nil {
		return nil, err
	}
	t.live(ctx, o.Workers)
	if err := t.busy(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// kill kills one node after the other under load, with SIGKILL, and starts it again.
// The one that is left answers meanwhile.
func kill(ctx context.Context, o options) (tally, error) {
	t, err := nodesOf(ctx, o, o.Database)
	if err != nil {
		return tally{}, err
	}
	defer t.Close()
	for i := range o.Kills {
		victim, other := t.Nodes[i%2], t.Nodes[(i+1)%2]
		if err := t.answering(ctx, victim, other); err != nil {
			return tally{}, err
		}
		time.Sleep(rand.N(200 * time.Millisecond))
		if err := t.Kill(victim); err != nil {
			return tally{}, err
		}
		t.count(func(c *tally) { c.Faults++ })
		if err := t.answering(ctx, other); err != nil {
			return tally{}, err
		}
		if err := t.Start(ctx, victim); err != nil {
			return tally{}, err
		}
	}
	t.quiet()
	return t.settleUp(ctx)
}

// pause lets a node stand still, with what it has locked, and go on as if nothing had
// been. What was revoked meanwhile is so at once, also for those who asked while it
// stood still.
func pause(ctx context.Context, o options) (tally, error) {
	t, err := nodesOf(ctx, o, o.Database)
	if err != nil {
		return tally{}, err
	}
	defer t.Close()
	still, other := t.Nodes[1], t.Nodes[0]
	if err := t.answering(ctx, still, other); err != nil {
		return tally{}, err
	}
	f, err := t.begin(ctx, still) // what its token says is in the memory of that node
	if err != nil {
		return tally{}, err
	}
	if err := t.Signal(still, syscall.SIGSTOP); err != nil {
		return tally{}, err
	}
	t.count(func(c *tally) { c.Faults++ })
	t.send(still, true) // as a proxy does that asks for /readyz
	began := time.Now()
	defer t.Signal(still, syscall.SIGCONT) // else it could not be ended
	if err := t.answering(ctx, other, other, other); err != nil {
		return tally{}, err
	}
	if !t.revoke(ctx, f) {
		return t.settleUp(ctx)
	}
	asked := make(chan struct{})
	go func() { // the question waits where the node will find it
		defer close(asked)
		t.goneAt(ctx, still, f)
	}()
	select {
	case <-time.After(o.Pause - time.Since(began)):
	case <-ctx.Done():
		return tally{}, ctx.Err()
	}
	if err := t.answering(ctx, other); err != nil {
		return tally{}, err
	}
	if err := t.Signal(still, syscall.SIGCONT); err != nil {
		return tally{}, err
	}
	t.goneAt(ctx, still, f)
	<-asked
	t.send(still, false)
	if err := t.answering(ctx, still, other); err != nil {
		return tally{}, err
	}
	t.quiet()
	return t.settleUp(ctx)
}
