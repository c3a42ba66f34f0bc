package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// yardsticks are what no server can do without, in milliseconds of processor time, as
// it is here and now. The machine is shared: by them a cost is compared with a bar.
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

// mean of what was measured before and after.
func (y yardsticks) mean(o yardsticks) yardsticks {
	return yardsticks{(y.Sign + o.Sign) / 2, (y.Verify + o.Verify) / 2, (y.HTTP + o.HTTP) / 2}
}

func (s *server) yardsticks(ctx context.Context, o options) (y yardsticks, err error) {
	if y.Sign, y.Verify, err = signature(); err != nil {
		return y, err
	}
	y.HTTP, err = s.bareHTTP(ctx, o)
	return y, err
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
	const times = 2000
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

// bareHTTP measures net/http in a process of its own, with as many connections as
// the first measurement has.
func (s *server) bareHTTP(ctx context.Context, o options) (float64, error) {
	program := filepath.Join(s.Folder, "bare")
	if _, err := os.Stat(program); err != nil {
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/ostiary/ostiary/bench/bare").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("go build: %w: %s", err, out)
		}
	}
	address, err := house.Free()
	if err != nil {
		return 0, err
	}
	bare := exec.CommandContext(ctx, program, address)
	if err := bare.Start(); err != nil {
		return 0, err
	}
	defer func() {
		bare.Process.Kill() // there is nothing that it could lose
		bare.Wait()
	}()
	steps := make([]func(context.Context) error, o.Connections[0])
	for i := range steps {
		web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		defer web.CloseIdleConnections()
		steps[i] = func(ctx context.Context) error { return fetch(ctx, web, "http://"+address) }
	}
	for until := time.Now().Add(10 * time.Second); steps[0](ctx) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return 0, errors.New("the bare server does not start")
		}
	}
	if _, err := s.together(ctx, steps, o.WarmUp); err != nil {
		return 0, err
	}
	before, err := house.ProcessorTimeOf(bare.Process.Pid)
	if err != nil {
		return 0, err
	}
	shares, err := s.together(ctx, steps, o.Time)
	if err != nil {
		return 0, err
	}
	if err := errorOf(shares); err != nil {
		return 0, err
	}
	after, err := house.ProcessorTimeOf(bare.Process.Pid)
	if err != nil {
		return 0, err
	}
	var r result
	r.tell(shares)
	return (after - before) / 1e3 / float64(r.Done), nil
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
