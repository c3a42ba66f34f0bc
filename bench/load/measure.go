package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// result is what came of one operation.
type result struct {
	Operation   string  `json:"operation"`
	Connections int     `json:"connections"`
	Done        int     `json:"done"`
	Errors      int     `json:"errors"`
	Failure     string  `json:"failure,omitempty"` // the first one
	PerSecond   float64 `json:"per_second"`
	P50         float64 `json:"p50_ms"`
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	Longest     float64 `json:"longest_ms"`
	CPU         float64 `json:"cpu_ms"`            // of all nodes, for one operation
	Bar         float64 `json:"bar_ms,omitempty"`  // what CPU may be; 0: nothing is set
	Slower      float64 `json:"slower,omitempty"`  // than the machine that the bar is for, times
	Before      float64 `json:"memory_before_mib"` // of all nodes
	After       float64 `json:"memory_after_mib"`

	beside yardsticks // what they were meanwhile
}

// share is what one worker did while it was measured.
type share struct {
	took    []time.Duration
	errors  int
	failure error
}

// patience is how many failures in a row are enough to know.
const patience = 20

// measure has so many workers do an operation again and again, each on a connection
// of its own.
func (s *server) measure(ctx context.Context, o options, op operation, connections int) (*result, error) {
	if err := s.populate(ctx, connections); err != nil {
		return nil, err
	}
	workers := make([]*worker, connections)
	steps := make([]func(context.Context) error, connections)
	for i := range workers {
		workers[i] = s.worker(i)
		defer workers[i].close()
		step, err := op.prepare(ctx, workers[i])
		if err != nil {
			return nil, err
		}
		steps[i] = step
	}
	r := &result{Operation: op.name, Connections: connections, Bar: op.bar.ms * o.allowance()}
	var err error
	if r.Before, err = s.Memory(); err != nil {
		return nil, err
	}
	if _, err := together(ctx, steps, o.WarmUp); err != nil {
		return nil, err
	}
	cpu, err := s.ProcessorTime()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	shares, err := together(ctx, steps, o.Time)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	after, err := s.ProcessorTime()
	if err != nil {
		return nil, err
	}
	if r.After, err = s.Memory(); err != nil {
		return nil, err
	}
	r.tell(shares)
	if r.Done == 0 {
		return nil, errors.Join(errors.New("not one operation succeeded"), errorOf(shares))
	}
	r.PerSecond = float64(r.Done) / seconds
	r.CPU = (after - cpu) / 1e3 / float64(r.Done+r.Errors)
	return r, nil
}

// together runs all steps for a time, and lets those that have begun come to an end.
func together(ctx context.Context, steps []func(context.Context) error, d time.Duration) ([]share, error) {
	until := time.Now().Add(d)
	shares := make([]share, len(steps))
	var work sync.WaitGroup
	for i, step := range steps {
		work.Go(func() {
			for now, row := time.Now(), 0; now.Before(until) && ctx.Err() == nil && row < patience; {
				err := step(ctx)
				end := time.Now()
				if err != nil {
					row++
					shares[i].errors++
					if shares[i].failure == nil {
						shares[i].failure = err
					}
				} else {
					row = 0
					shares[i].took = append(shares[i].took, end.Sub(now))
				}
				now = end
			}
		})
	}
	work.Wait()
	return shares, ctx.Err()
}

// tell sums up.
func (r *result) tell(shares []share) {
	var all []time.Duration
	for _, one := range shares {
		all = append(all, one.took...)
		r.Errors += one.errors
	}
	r.Done = len(all)
	if err := errorOf(shares); err != nil {
		r.Failure = err.Error()
	}
	if r.Done == 0 {
		return
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Microseconds()) / 1e3
	}
	r.P50, r.P95, r.P99, r.Longest = at(0.50), at(0.95), at(0.99), at(1)
}

func errorOf(shares []share) error {
	for _, one := range shares {
		if one.failure != nil {
			return one.failure
		}
	}
	return nil
}
