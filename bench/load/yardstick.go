package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// yardsticks are what no server can do without, in milliseconds of processor time, as
// it is here and now. The machine is shared, and what it takes changes within a minute:
// they are measured before and after each run, whose cost is compared with a bar by
// them.
type yardsticks struct {
	Sign   float64 `json:"sign_ms"`   // a bare ES256 signature
	Verify float64 `json:"verify_ms"` // its verification
	HTTP   float64 `json:"http_ms"`   // a request that net/http answers by itself
}

// Of the machine that the bars are for.
const (
	barVerify = 0.075
	barHTTP   = 0.022
)

// slower is how many times as long this machine takes for an operation as the one that
// the bars are for: for its cryptography what ES256 takes, for its requests what net/http
// does, and for all else what is in the middle of both. How long a signature takes there
// is not known: as many verifications as here.
func (y yardsticks) slower(b bar) float64 {
	cryptography := barVerify * (b.verifies + b.signs*y.Sign/y.Verify)
	requests := barHTTP * b.requests
	byVerify, byHTTP := y.Verify/barVerify, y.HTTP/barHTTP
	return (cryptography*byVerify + requests*byHTTP + (b.ms-cryptography-requests)*(byVerify+byHTTP)/2) / b.ms
}

// mean of what was measured at several times.
func mean(all ...yardsticks) (y yardsticks) {
	n := float64(len(all))
	for _, one := range all {
		y.Sign, y.Verify, y.HTTP = y.Sign+one.Sign/n, y.Verify+one.Verify/n, y.HTTP+one.HTTP/n
	}
	return y
}

// yardstickTime is for how long bare requests are measured, unless a run is shorter.
const yardstickTime = time.Second

// gauge measures the yardsticks, again and again.
type gauge struct {
	bare  *exec.Cmd // net/http in a process of its own
	steps []func(context.Context) error
	web   []*http.Client
	time  time.Duration
}

// openGauge starts what is measured, for as many connections as the first measurement
// of the server has.
func (s *server) openGauge(ctx context.Context, o options) (_ *gauge, err error) {
	program, err := house.BuildBare(ctx, s.Folder)
	if err != nil {
		return nil, err
	}
	address, err := house.Free()
	if err != nil {
		return nil, err
	}
	g := &gauge{bare: exec.CommandContext(ctx, program, address), time: min(o.Time, yardstickTime)}
	if err := g.bare.Start(); err != nil {
		return nil, err
	}
	for range o.Connections[0] {
		web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		g.web = append(g.web, web)
		g.steps = append(g.steps, func(ctx context.Context) error { return fetch(ctx, web, "http://"+address) })
	}
	for until := time.Now().Add(10 * time.Second); g.steps[0](ctx) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			g.close()
			return nil, errors.New("the bare server does not start")
		}
	}
	if _, err := g.measure(ctx); err != nil { // its warming up
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *gauge) close() {
	for _, web := range g.web {
		web.CloseIdleConnections()
	}
	g.bare.Process.Kill() // there is nothing that it could lose
	g.bare.Wait()
}

// measure is what the yardsticks are now.
func (g *gauge) measure(ctx context.Context) (y yardsticks, err error) {
	if y.Sign, y.Verify, err = signature(); err != nil {
		return y, err
	}
	before, err := house.ProcessorTimeOf(g.bare.Process.Pid)
	if err != nil {
		return y, err
	}
	shares, err := together(ctx, g.steps, g.time)
	if err = errors.Join(err, errorOf(shares)); err != nil {
		return y, err
	}
	after, err := house.ProcessorTimeOf(g.bare.Process.Pid)
	if err != nil {
		return y, err
	}
	var r result
	r.tell(shares)
	y.HTTP = (after - before) / 1e3 / float64(r.Done)
	return y, nil
}

// signature measures the cryptography of one token.
func signature() (sign, verify float64, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, 0, err
	}
	digest := sha256.Sum256([]byte("ostiary"))
	var made []byte
	if sign, err = each(func() (err error) {
		made, err = ecdsa.SignASN1(rand.Reader, key, digest[:])
		return err
	}); err != nil {
		return 0, 0, err
	}
	verify, err = each(func() error {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], made) {
			return errors.New("a signature does not verify")
		}
		return nil
	})
	return sign, verify, err
}

// each is the processor time of one of many, in milliseconds.
func each(work func() error) (float64, error) {
	const times = 1000
	before, err := ownTime()
	if err != nil {
		return 0, err
	}
	for range times {
		if err := work(); err != nil {
			return 0, err
		}
	}
	after, err := ownTime()
	return (after - before) * 1e3 / times, err
}

// ownTime is the processor time of this process, in seconds.
func ownTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}

func fetch(ctx context.Context, web *http.Client, address string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return err
	}
	res, err := web.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
