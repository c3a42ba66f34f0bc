// Command jose measures packages jwt and jwe against golang-jwt, go-jose, jwx and the bare
// cryptography of the standard library (the floor), in one run.
//
//	go run . [-rounds 15] [-slice 40ms] [-only verify/HS256]
//
// Rounds are interleaved: each measures every library for a moment, so that whatever
// else the machine does hits all alike. The fastest round of each is what the code can
// do; the ratio is that of the fastest rounds.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

var (
	rounds = flag.Int("rounds", 15, "rounds for each operation")
	slice  = flag.Duration("slice", 40*time.Millisecond, "time for one library in one round")
	only   = flag.String("only", "", "measure only operations whose name contains this")
)

// A keyPair is one key in the forms that the libraries want.
type keyPair struct {
	alg     string
	secret  []byte
	private crypto.PrivateKey
	public  crypto.PublicKey
	key     *jwk.Key
	set     *jwk.Set
}

func newKey(alg string) *keyPair {
	k := &keyPair{alg: alg}
	switch alg {
	case "HS256":
		k.secret = make([]byte, 32)
		rand.Read(k.secret)
	case "ES256":
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(err)
		k.private, k.public = private, &private.PublicKey
	case "EdDSA":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		check(err)
		k.private, k.public = private, public
	default:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		check(err)
		k.private, k.public = private, &private.PublicKey
	}
	var err error
	k.key, err = jwk.New(k.signing(), jwk.Params{Algorithm: jwa.Algorithm(alg)})
	check(err)
	k.set, err = jwk.NewSet(k.key)
	check(err)
	return k
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "jose:", err)
		os.Exit(1)
	}
}

// A contender is one library at one operation.
type contender struct {
	name string
	run  func() error
}

// measured is what came out for one contender, in nanoseconds for each call.
type measured struct {
	name   string
	times  []float64
	allocs float64
}

func (m *measured) fastest() float64 { return slices.Min(m.times) }

func (m *measured) median() float64 {
	sorted := slices.Sorted(slices.Values(m.times))
	return sorted[len(sorted)/2]
}

// compete measures the contenders in turn and prints a table; the first is the floor.
func compete(name string, contenders []contender) {
	if !strings.Contains(name, *only) {
		return
	}
	results := make([]measured, len(contenders))
	for i, c := range contenders {
		check(c.run())
		results[i] = measured{name: c.name, allocs: testing.AllocsPerRun(20, func() { check(c.run()) })}
	}
	for range *rounds {
		for i, c := range contenders {
			runtime.GC()
			results[i].times = append(results[i].times, timed(c.run))
		}
	}
	fmt.Printf("\n%s\n%-22s %10s %10s %8s %8s\n", name, "", "fastest", "median", "× floor", "allocs")
	floor := results[0].fastest()
	for i := range results {
		m := &results[i]
		fmt.Printf("%-22s %10s %10s %8.3f %8.0f\n", m.name, duration(m.fastest()), duration(m.median()), m.fastest()/floor, m.allocs)
	}
}

// timed runs f for a slice of time and returns nanoseconds for each call.
func timed(f func() error) float64 {
	n, begin := 0, time.Now()
	for {
		for range 16 {
			check(f())
		}
		n += 16
		if spent := time.Since(begin); spent >= *slice {
			return float64(spent.Nanoseconds()) / float64(n)
		}
	}
}

func duration(ns float64) string {
	switch {
	case ns < 1e4:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	}
	return fmt.Sprintf("%.3f ms", ns/1e6)
}

func main() {
	flag.Parse()
	fmt.Println(runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		k := newKey(alg)
		token, err := jwt.Sign(sampleOurs(tokenID), k.key, jwt.SignOptions{})
		check(err)
		compete("verify/"+alg, []contender{
			{"floor", floorVerify(k, token)}, {"ostiary", ourVerify(k, token)}, {"golang-jwt", golangVerify(k, token)},
			{"go-jose", joseVerify(k, token)}, {"jwx", jwxVerify(k, token)},
		})
		compete("sign/"+alg, []contender{
			{"floor", floorSign(k, token)}, {"ostiary", ourSign(k)}, {"golang-jwt", golangSign(k)}, {"go-jose", joseSign(k)}, {"jwx", jwxSign(k)},
		})
	}
	competeEncryption()
	competeCache()
}

// competeCache measures the cache of verified tokens: one token again and again, and
// 4096 in turn, of which it can keep a quarter.
func competeCache() {
	if !strings.Contains("cache/repeated cache/distinct", *only) {
		return
	}
	k := newKey("RS256")
	tokens := make([]string, 4096)
	for i := range tokens {
		var err error
		tokens[i], err = jwt.Sign(sampleOurs(fmt.Sprintf("%026d", i)), k.key, jwt.SignOptions{})
		check(err)
	}
	run := func(cacheSize, distinct int) func() error {
		v, i, ctx := ourVerifier(k, cacheSize), 0, context.Background()
		return func() error {
			i++
			_, err := v.Verify(ctx, tokens[i%distinct])
			return err
		}
	}
	compete("cache/repeated", []contender{{"without", run(0, 1)}, {"with", run(1024, 1)}})
	compete("cache/distinct", []contender{{"without", run(0, 4096)}, {"with, 1024 places", run(1024, 4096)}, {"with, 4096 places", run(4096, 4096)}})
}
