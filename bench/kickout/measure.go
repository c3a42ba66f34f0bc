package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// spread is a distribution, in milliseconds.
type spread struct{ P50, P99, Max float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	at := func(share float64) float64 { return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))] }
	return spread{at(0.5), at(0.99), sorted[len(sorted)-1]}
}

// cost is the processor time of one call of an API, in microseconds.
type cost struct {
	API, Server float64
	Calls       int
}

func (c cost) over(o cost) float64 { return (c.API + c.Server) / (o.API + o.Server) }

// result is what came of one setting.
type result struct {
	Name        string
	Goal        float64
	First, Last spread // of the APIs: when the first one refuses, and the last one
	Wrong       int64  // live tokens that were refused
	Verified    int64
	PerSecond   float64

	Feed, Fresh, Introspection cost

	all []float64
}

// warmUp is how long the APIs work before the first session ends.
const warmUp = 5 * time.Second

// liveTokens are of sessions that nobody ends.
const liveTokens = 200

func measure(ctx context.Context, o options, s setting) (*result, error) {
	h, err := settle(ctx, o, s)
	if err != nil {
		return nil, err
	}
	defer h.close()
	victims, err := h.signIn(ctx, o.Ends)
	if err != nil {
		return nil, err
	}
	live, err := h.signIn(ctx, liveTokens)
	if err != nil {
		return nil, err
	}
	apis, err := h.apis(ctx, o.Consumers)
	if err != nil {
		return nil, err
	}
	r := &result{Name: s.Name, Goal: s.Goal}
	if err := r.ends(ctx, o, h, apis, tokens(victims), tokens(live), victims); err != nil {
		return nil, err
	}
	if o.Calls > 0 {
		if err := r.compare(ctx, o, h, apis[0], live); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ends puts one session after the other out and gathers when each API refused.
func (r *result) ends(ctx context.Context, o options, h *server, apis []*process, ending, live []string, victims []signedIn) error {
	per := (o.Rate + len(apis) - 1) / len(apis)
	if err := each(apis, func(p *process) error {
		_, err := p.ask(order{Do: "watch", Tokens: ending, Live: live, Rate: per})
		return err
	}); err != nil {
		return err
	}
	admin, err := h.adminToken(ctx)
	if err != nil {
		return err
	}
	select { // until each API has seen each live token: that is not the question
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(warmUp):
	}
	answered := make([]int64, len(victims))
	pace := time.NewTicker(time.Second / time.Duration(o.PerSecond))
	defer pace.Stop()
	for i, v := range victims {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
		if i%1000 == 999 { // an access token lives five minutes
			if admin, err = h.adminToken(ctx); err != nil {
				return err
			}
		}
		status, err := h.call(ctx, http.MethodDelete, "/api/sessions/"+v.session, admin)
		if err != nil {
			return err
		}
		if status != http.StatusNoContent {
			return fmt.Errorf("ending a session is answered with %d", status)
		}
		answered[i] = time.Now().UnixNano()
	}
	select { // the bound that is documented, and some more
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
	}
	first, last := make([]float64, len(victims)), make([]float64, len(victims))
	said := make([]answer, len(apis))
	if err := each(apis, func(p *process) (err error) {
		said[p.number], err = p.ask(order{Do: "stop"})
		return err
	}); err != nil {
		return err
	}
	for n, a := range said {
		if len(a.Refused) != len(victims) {
			return fmt.Errorf("API %d refused %d of %d ended sessions", n, len(a.Refused), len(victims))
		}
		r.Verified, r.Wrong, r.PerSecond = r.Verified+a.Verified, r.Wrong+a.Wrong, r.PerSecond+float64(a.Verified)/a.Took
		for i, at := range a.Refused {
			ms := float64(at-answered[i]) / 1e6
			if n == 0 {
				first[i], last[i] = ms, ms
			}
			first[i], last[i] = min(first[i], ms), max(last[i], ms)
		}
	}
	r.First, r.Last, r.all = spreadOf(first), spreadOf(last), last
	return nil
}

// compare tells what a call costs an API and the server: with the feed and tokens
// that were seen before, with tokens that were not, and by asking.
func (r *result) compare(ctx context.Context, o options, h *server, api *process, live []signedIn) error {
	fresh, err := h.signIn(ctx, liveTokens)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		into *cost
		do   string
		with []signedIn
		n    int
	}{
		{&r.Feed, "feed", live, o.Calls},
		{&r.Fresh, "fresh", fresh, liveTokens},
		{&r.Introspection, "introspect", live, max(o.Calls/10, 1)},
	} {
		before, err := h.ProcessorTime()
		if err != nil {
			return err
		}
		a, err := api.ask(order{Do: row.do, Tokens: tokens(row.with), Calls: row.n})
		if err != nil {
			return err
		}
		after, err := h.ProcessorTime()
		if err != nil {
			return err
		}
		*row.into = cost{API: a.CPU / float64(row.n), Server: (after - before) / float64(row.n), Calls: row.n}
	}
	return nil
}
