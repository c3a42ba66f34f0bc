package jwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// counted makes a source whose signatures can be counted: an HMAC key is as good
// as any, so what is counted is how often the claims type is decoded.
type counted struct {
	jwt.Registered
	Roles []string `json:"roles"`
}

func cachedVerifier[C any](t *testing.T, keys jwk.Source, now *atomic.Int64) *jwt.Verifier[C] {
	t.Helper()
	v, err := jwt.NewVerifier[C](keys, jwt.VerifyOptions{CacheSize: 64, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCacheChecksTimesEachTime(t *testing.T) {
	var now atomic.Int64
	now.Store(second)
	v := cachedVerifier[counted](t, secret, &now)
	token := sign(`{"exp":1700000060,"nbf":1700000000,"roles":["a","b"],"aud":["x","y"]}`)
	for range 5 {
		got, err := v.Verify(ctx, token)
		if err != nil || got.Claims.Roles[0] != "a" || got.Claims.Audience[1] != "y" || got.Header.Algorithm != jwa.HS256 || got.Signature == "" {
			t.Fatal(got, err)
		}
		// What one caller does to its claims is nothing to the next.
		got.Claims.Roles[0], got.Claims.Audience[1] = "admin", "admin"
	}
	now.Store(second + 60)
	if got, err := v.Verify(ctx, token); !errors.Is(err, jwt.ErrExpired) || got.Claims.Roles != nil {
		t.Error(got, err)
	}
	now.Store(second - 1)
	if _, err := v.Verify(ctx, token); !errors.Is(err, jwt.ErrNotYetValid) {
		t.Error(err)
	}
	now.Store(second)
	if _, err := v.Verify(ctx, token); err != nil {
		t.Error("good twin:", err)
	}
}

func TestCacheIsOfWholeTokens(t *testing.T) {
	var now atomic.Int64
	now.Store(second)
	v := cachedVerifier[counted](t, secret, &now)
	token := sign(`{"exp":1700000060}`)
	for range 3 {
		if _, err := v.Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
	}
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		if got, err := v.Verify(ctx, string(changed)); err == nil {
			t.Fatalf("byte %d is not looked at: %v", i, got)
		}
	}
	for _, other := range []string{token + "A", token[:len(token)-1], token + ".", ""} {
		if _, err := v.Verify(ctx, other); err == nil {
			t.Errorf("%q", other)
		}
	}
}

// A key that is taken away takes its tokens with it, remembered or not.
func TestCacheAsksForTheKey(t *testing.T) {
	key := must(jwk.New([]byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"), jwk.Params{ID: "k"}))
	var gone atomic.Bool
	source := jwk.SourceFunc(func(_ context.Context, kid string) ([]*jwk.Key, error) {
		if gone.Load() {
			return nil, jwk.ErrNotFound
		}
		return []*jwk.Key{key}, nil
	})
	var now atomic.Int64
	now.Store(second)
	v := cachedVerifier[map[string]any](t, source, &now)
	token := must(jwt.Sign(map[string]any{"n": json.Number("12345678901234567890")}, key, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	for range 4 {
		got, err := v.Verify(ctx, token)
		if err != nil || got.Claims["n"] != json.Number("12345678901234567890") {
			t.Fatal(got, err)
		}
		delete(got.Claims, "n")
	}
	gone.Store(true)
	if _, err := v.Verify(ctx, token); !errors.Is(err, jwt.ErrKey) {
		t.Error(err)
	}
}

func TestCacheIsBoundedAndConcurrent(t *testing.T) {
	var now atomic.Int64
	now.Store(second)
	v := cachedVerifier[counted](t, secret, &now)
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = sign(fmt.Sprintf(`{"exp":1700000060,"sub":"%d"}`, i))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for n := range 1000 {
				i := n * n % len(tokens)
				if got, err := v.Verify(ctx, tokens[i]); err != nil || got.Claims.Subject != fmt.Sprint(i) {
					t.Error(i, got, err)
				}
			}
		})
	}
	group.Wait()
	for _, size := range []int{-1, 1 << 21} {
		if _, err := jwt.NewVerifier[counted](secret, jwt.VerifyOptions{CacheSize: size}); !errors.Is(err, jwt.ErrOptions) {
			t.Error(size, err)
		}
	}
}

func BenchmarkCache(b *testing.B) {
	key := benchmarkKey(b, jwa.RS256)
	set := must(jwk.NewSet(key))
	token := must(jwt.Sign(sampleClaims(), key, jwt.SignOptions{}))
	o := jwt.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{sampleClaims().Issuer}, Audiences: sampleClaims().Audience, Now: func() time.Time { return benchmarkNow }}
	for _, size := range []int{0, 1024} {
		o.CacheSize = size
		v := must(jwt.NewVerifier[benchmarkClaims](set, o))
		b.Run(fmt.Sprintf("repeated/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(ctx, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// ownReader reads its own JSON, and says how it is copied.
type ownReader struct{ roles []string }

var ownReads atomic.Int64

func (o *ownReader) UnmarshalJSON(data []byte) error {
	ownReads.Add(1)
	var c struct{ Roles []string }
	err := json.Unmarshal(data, &c)
	*o = ownReader{roles: c.Roles}
	return err
}

func (o *ownReader) Clone() ownReader {
	c := *o
	c.roles = append([]string(nil), o.roles...)
	return c
}

func TestCacheLetsClaimsCopyThemselves(t *testing.T) {
	var now atomic.Int64
	now.Store(second)
	v := cachedVerifier[ownReader](t, secret, &now)
	token := sign(`{"exp":1700000060,"roles":["a","b"]}`)
	before := ownReads.Load()
	for range 10 {
		got, err := v.Verify(ctx, token)
		if err != nil || len(got.Claims.roles) != 2 || got.Claims.roles[0] != "a" {
			t.Fatal(got, err)
		}
		got.Claims.roles[0] = "admin" // nothing to the next caller
	}
	if n := ownReads.Load() - before; n != 2 { // the first time, and the second, which keeps it
		t.Errorf("the claims were read %d times, want 2", n)
	}
}
