package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

const (
	person   = "olena"
	password = "correct horse battery"
	callback = "http://127.0.0.1:1/callback" // nobody is there, and nobody goes
)

// flood runs a server that is as open as it can be, and does it.
func flood(ctx context.Context, o options) (_ *report, err error) {
	c := house.Config{Program: o.Binary, Nodes: 1, Settings: []string{
		"OSTIARY_LOG_LEVEL=error", "OSTIARY_TRUSTED_PROXIES=127.0.0.0/8,::1/128",
		// What a password costs shall not slow down who floods.
		"OSTIARY_PASSWORD_MEMORY=7168", "OSTIARY_PASSWORD_PASSES=1",
		"OSTIARY_SIGN_UP=open", "OSTIARY_REGISTRATION=open",
		"OSTIARY_MAIL_SERVER=smtp://127.0.0.1:1", "OSTIARY_MAIL_INSECURE=on", "OSTIARY_MAIL_FROM=door@example.com",
		"OSTIARY_LIMIT_ADDRESS=" + strconv.Itoa(o.Address), "OSTIARY_LIMIT_BEGUN=" + strconv.Itoa(o.Begun), "OSTIARY_LIMIT_WAITING=" + strconv.Itoa(o.Waiting),
		"OSTIARY_SIGN_UP_LIMIT=" + strconv.Itoa(o.SignUps), "OSTIARY_REGISTRATION_PER_HOUR=" + strconv.Itoa(o.Registering),
	}}
	if o.Postgres {
		c.Database = o.Database
	}
	h, err := house.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.User(ctx, person, password); err != nil {
		return nil, err
	}
	if _, err := h.Client(ctx, "--id", "shop", "--redirect-uri", callback, "--first-party", "--scope", "openid"); err != nil {
		return nil, err
	}
	if _, err := h.Client(ctx, "--id", "television", "--auth-method", "none", "--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--scope", "openid"); err != nil {
		return nil, err
	}
	before, _, err := h.Rows(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Time: o.Time, Visits: map[int]int{}}
	r.pour(ctx, h, o)
	after, size, err := h.Rows(ctx)
	if err != nil {
		return nil, err
	}
	r.Size = size
	most := bounds(o, r.SignedIn)
	for name, n := range after {
		if n != before[name] || most[name] > 0 {
			r.Tables = append(r.Tables, table{name, before[name], n, most[name]})
		}
	}
	slices.SortFunc(r.Tables, func(a, b table) int { return strings.Compare(a.Name, b.Name) })
	return r, ctx.Err()
}

// pour floods for a time, while somebody at home signs in now and then.
func (r *report) pour(ctx context.Context, h *house.House, o options) {
	ctx, stop := context.WithTimeout(ctx, o.Time)
	defer stop()
	var mu sync.Mutex
	count := func(status int) {
		mu.Lock()
		r.Visits[status]++
		mu.Unlock()
	}
	var work sync.WaitGroup
	for i := range o.Connections {
		work.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				s := newStranger(h.Issuer, h.Nodes[0], fmt.Sprintf("198.51.100.%d", 1+n%o.Addresses), count)
				s.visit(ctx, n/o.Addresses)
				s.web.CloseIdleConnections()
			}
		})
	}
	work.Go(func() {
		for ctx.Err() == nil {
			s := newStranger(h.Issuer, h.Nodes[0], "203.0.113.1", func(int) {})
			// Whoever has begun to sign in brings it to its end, however long it takes.
			if err := s.signIn(context.WithoutCancel(ctx)); err != nil {
				r.Locked = err
			} else {
				r.SignedIn++
			}
			s.web.CloseIdleConnections()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	work.Wait()
}

// bounds are what docs/limits.md says of how many rows strangers leave, in tables that
// they reach. A limit of a minute gives that much at once, and as much again in each
// minute that it lasts; there are 64 sign-ins more than may wait, since they are
// counted now and then.
func bounds(o options, signedIn int) map[string]int64 {
	addresses, in := int64(o.Addresses), int64(signedIn)
	begun := addresses*int64(float64(o.Begun)*(1+(o.Time+30*time.Second).Minutes())) + 64
	begun = min(begun, int64(o.Waiting)+64*int64(o.Connections)) + in + 1
	const letters = 30 + 1
	signUps := addresses*int64(o.SignUps) + 1
	clients := addresses * int64(o.Registering)
	// A guess counts in five rows at most, of which three are somebody's who is guessed
	// at, and two the network's; beyond a hundred there is one each second at most.
	tallies := addresses*(100+int64((o.Time+30*time.Second).Seconds())+20)*5 + addresses*8 + addresses*letters*2 + 10 + 8*in
	return map[string]int64{
		"requests": begun, "device_codes": begun, "sign_ins": begun, "ceremonies": begun,
		"confirmations": addresses * letters,
		"clients":       clients, "registrations": clients, "client_secrets": clients,
		"users": signUps, "user_words": signUps * 8, "user_handles": signUps, "sessions": signUps + in, "devices": signUps + in,
		// Who has signed up is signed in.
		"grants": signUps + in, "codes": signUps + in, "participants": signUps + in, "consents": signUps + in,
		"tallies": tallies, "levels": 3 * (addresses + 1),
		// Each account and client, each session's beginning and end, and what is told
		// once in an hour of each address and person.
		"events": clients + signUps*3 + 4*in + addresses*4 + 100,
	}
}
