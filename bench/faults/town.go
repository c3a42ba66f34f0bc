package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

const (
	login    = "olena"
	password = "correct horse battery"
	audience = "https://api.example"
	// askTime bounds a request: what a node that stands still is given.
	askTime = 20 * time.Second
	// patience is how long what has to come back may take, on a busy machine.
	patience = time.Minute
)

// settings are those of every node. What a password costs is not the question. A
// refresh token whose answer was lost is presented again, however long a fault takes.
var settings = []string{
	"OSTIARY_PASSWORD_MEMORY=8192", "OSTIARY_PASSWORD_PASSES=1", "OSTIARY_REFRESH_RACE=5m", "OSTIARY_ACCESS_TOKEN_LIFE=1h",
	"OSTIARY_DATABASE_WAIT=3s",
}

// town is a server and those who use it.
type town struct {
	*house.House
	app  house.Client
	web  *http.Client
	stop chan struct{}
	work sync.WaitGroup
	days atomic.Int64 // that were begun

	mu       sync.Mutex
	down     map[string]bool // nodes that nobody is sent to
	families []*family       // with an acknowledged token each
	wrong    []error         // what must not be
	counts   tally
	answered map[string]*atomic.Int64 // by node, what was done there
}

// tally is what was done.
type tally struct{ Begun, Renewed, Revoked, Raced, Unanswered, Faults int }

func (t tally) String() string {
	return fmt.Sprintf("%d faults; %d sign-ins, %d renewals, %d revocations, %d codes sent to two nodes at once were acknowledged, %d requests were not; nothing is lost, nothing came back",
		t.Faults, t.Begun, t.Renewed, t.Revoked, t.Raced, t.Unanswered)
}

// family is a grant as its client knows it.
type family struct {
	refresh string // the youngest that was acknowledged
	older   []string
	access  string
	revoked bool // and that was acknowledged
}

func settle(ctx context.Context, c house.Config) (_ *town, err error) {
	c.Settings = append(slices.Clone(settings), c.Settings...)
	t := &town{
		web:  &http.Client{Timeout: askTime, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
		stop: make(chan struct{}), down: map[string]bool{}, answered: map[string]*atomic.Int64{},
	}
	if t.House, err = house.Open(ctx, c); err != nil {
		return nil, err
	}
	for _, node := range t.Nodes {
		t.answered[node] = &atomic.Int64{}
	}
	if err = t.User(ctx, login, password); err == nil {
		t.app, err = t.Client(ctx, "--id", "app", "--redirect-uri", "http://127.0.0.1:1/callback", "--first-party", "--challenge", "--scope", "openid offline_access", "--audience", audience)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// live lets so many live there until quiet is called.
func (t *town) live(ctx context.Context, workers int) {
	for range workers {
		t.work.Go(func() {
			for {
				select {
				case <-t.stop:
					return
				case <-ctx.Done():
					return
				default:
					t.day(ctx)
				}
			}
		})
	}
}

// busy waits until something of everything has been done, so that there is something to
// be lost.
func (t *town) busy(ctx context.Context) error {
	for until := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		t.mu.Lock()
		c := t.counts
		t.mu.Unlock()
		if c.Begun > 0 && c.Renewed > 0 && c.Revoked > 0 && c.Raced > 0 {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return errors.Join(fmt.Errorf("too little happens to tell anything: %+v", c), ctx.Err())
		}
	}
}

func (t *town) quiet() {
	close(t.stop)
	t.work.Wait()
}

// node picks one of those that should answer.
func (t *town) node() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	up := slices.DeleteFunc(slices.Clone(t.Nodes), func(n string) bool { return t.down[n] })
	if len(up) == 0 {
		up = t.Nodes
	}
	return up[rand.IntN(len(up))]
}

func (t *town) send(node string, down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down[node] = down
}

func (t *town) count(change func(*tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.counts)
}

func (t *town) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wrong) < 20 {
		t.wrong = append(t.wrong, fmt.Errorf(format, args...))
	}
}

// answering waits until each of the nodes has done something since it was asked: those
// that are left answer, whatever has become of others.
func (t *town) answering(ctx context.Context, nodes ...string) error {
	for _, node := range nodes {
		before := t.answered[node].Load()
		for until := time.Now().Add(patience); t.answered[node].Load() == before; time.Sleep(20 * time.Millisecond) {
			if ctx.Err() != nil || time.Now().After(until) {
				return errors.Join(fmt.Errorf("the node at %s answers nobody", node), ctx.Err())
			}
		}
	}
	return nil
}

// settleUp looks, when all is quiet and whole again, whether all that was acknowledged
// is so: at every node.
func (t *town) settleUp(ctx context.Context) (tally, error) {
	for _, f := range t.families {
		if f.revoked {
			t.gone(ctx, f)
			continue
		}
		f.renewOn(ctx, t, t.node())
	}
	// What was used is used: the family of whoever presents it once more is ended.
	for _, f := range t.families {
		if f.revoked || len(f.older) < 2 {
			continue
		}
		if a := t.token(ctx, t.node(), form("refresh_token", "refresh_token", f.older[0])); a.ok() {
			t.fault("a refresh token was redeemed twice")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts, errors.Join(t.wrong...)
}
