package jwk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// origin is the server of a key set, without a network, so that it lives on
// the clock of a synctest bubble. A bubble also fails if a goroutine is left.
type origin struct {
	mu       sync.Mutex
	requests int
	body     string
	header   http.Header
	status   int           // 0 means 200
	delay    time.Duration // before it answers
	err      error         // instead of an answer
}

func (o *origin) set(change func(o *origin)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(o)
}

func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

func (o *origin) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.requests++
	resp := &http.Response{StatusCode: o.status, Header: o.header.Clone(), Body: io.NopCloser(strings.NewReader(o.body)), Request: req}
	delay, err := o.delay, o.err
	o.mu.Unlock()
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if tag := resp.Header.Get("ETag"); tag != "" && req.Header.Get("If-None-Match") == tag {
		resp.StatusCode, resp.Body = http.StatusNotModified, http.NoBody
	}
	select {
	case <-time.After(delay):
		if err != nil {
			return nil, err
		}
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// setText is a set of the public halves of keys for these algorithms.
func setText(algs ...jwa.Algorithm) string {
	var list []string
	for _, alg := range algs {
		list = append(list, publicText(alg))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

func kid(alg jwa.Algorithm) string { return generated()[alg].ID() }

func newRemote(t *testing.T, o *origin, c jwk.RemoteConfig) *jwk.Remote {
	t.Helper()
	c.URL, c.Client = "https://login.example.com/jwks", &http.Client{Transport: o}
	r, err := jwk.NewRemote(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t *testing.T, r *jwk.Remote, kid string, want error) {
	t.Helper()
	keys, err := r.Find(context.Background(), kid)
	if !errors.Is(err, want) || want == nil && len(keys) == 0 {
		t.Errorf("%s: found %v, %v, want %v", kid, keys, err, want)
	}
}

func requests(t *testing.T, o *origin, want int) {
	t.Helper()
	synctest.Wait()
	if got := o.count(); got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

func TestRemoteCaches(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256, jwa.RS256), header: http.Header{"Cache-Control": {"public, max-age=300"}}}
		r := newRemote(t, o, jwk.RemoteConfig{})
		requests(t, o, 0)
		for range 100 {
			find(t, r, kid(jwa.ES256), nil)
			find(t, r, kid(jwa.RS256), nil)
			find(t, r, "", nil)
		}
		requests(t, o, 1)
		time.Sleep(239 * time.Second)
		find(t, r, kid(jwa.ES256), nil)
		requests(t, o, 1)

		// After four fifths of the lifetime a fetch is made, and nobody waits.
		o.set(func(o *origin) { o.delay = 5 * time.Second })
		time.Sleep(2 * time.Second)
		start := time.Now()
		find(t, r, kid(jwa.ES256), nil)
		find(t, r, kid(jwa.ES256), nil)
		if time.Since(start) != 0 {
			t.Error("an early fetch was waited for")
		}
		requests(t, o, 2)
		time.Sleep(200 * time.Second)
		find(t, r, kid(jwa.ES256), nil)
		requests(t, o, 2)

		// When the lifetime is over without anybody asking, the next waits.
		time.Sleep(301 * time.Second)
		find(t, r, kid(jwa.ES256), nil)
		requests(t, o, 3)
	})
}

func TestRemoteLifetime(t *testing.T) {
	generated()
	for _, row := range []struct {
		name   string
		header http.Header
		want   time.Duration
	}{
		{"RFC 9111 §5.2.2.1: max-age", http.Header{"Cache-Control": {"max-age=600"}}, 10 * time.Minute},
		{"names are case-insensitive", http.Header{"Cache-Control": {"Public, Max-Age=\"600\""}}, 10 * time.Minute},
		{"two fields", http.Header{"Cache-Control": {"public", "max-age=600"}}, 10 * time.Minute},
		{"RFC 9111 §4.2.3: less the age", http.Header{"Cache-Control": {"max-age=900"}, "Age": {"300"}}, 10 * time.Minute},
		{"older than its lifetime", http.Header{"Cache-Control": {"max-age=300"}, "Age": {"900"}}, time.Minute},
		{"below MinInterval", http.Header{"Cache-Control": {"max-age=1"}}, time.Minute},
		{"no-store", http.Header{"Cache-Control": {"no-store, max-age=600"}}, time.Minute},
		{"no-cache", http.Header{"Cache-Control": {"max-age=600, no-cache"}}, time.Minute},
		{"above MaxAge", http.Header{"Cache-Control": {"max-age=31536000"}}, time.Hour},
		{"above all bounds", http.Header{"Cache-Control": {"max-age=99999999999999999999999"}}, time.Hour},
		{"no number", http.Header{"Cache-Control": {"max-age=soon"}}, time.Minute},
		{"negative", http.Header{"Cache-Control": {"max-age=-5"}}, time.Minute},
		{"unsaid", nil, 10 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origin{body: setText(jwa.ES256), header: row.header}
				r := newRemote(t, o, jwk.RemoteConfig{})
				find(t, r, "", nil)
				time.Sleep(row.want*4/5 - time.Millisecond)
				find(t, r, "", nil)
				requests(t, o, 1)
				time.Sleep(2 * time.Millisecond)
				find(t, r, "", nil)
				requests(t, o, 2)
			})
		})
	}
}

func TestRemoteSingleFlight(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), delay: time.Second}
		r := newRemote(t, o, jwk.RemoteConfig{})
		for i := range 200 {
			go func() {
				if i%2 == 0 {
					find(t, r, kid(jwa.ES256), nil)
				} else {
					find(t, r, fmt.Sprint("unknown ", i), jwk.ErrNotFound)
				}
			}()
		}
		requests(t, o, 1)
		time.Sleep(2 * time.Second)
		requests(t, o, 1)
	})
}

// J44: unknown identifiers cause one fetch per interval, however many.
func attackFlood(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=3600"}}}
		r := newRemote(t, o, jwk.RemoteConfig{MaxAge: 24 * time.Hour})
		for i := range 1000 {
			find(t, r, fmt.Sprint("unknown ", i), jwk.ErrNotFound)
			find(t, r, kid(jwa.ES256), nil)
			tally.refused++
			tally.accepted++
		}
		requests(t, o, 1)
		for minute := 1; minute <= 10; minute++ {
			time.Sleep(time.Minute)
			for i := range 1000 {
				find(t, r, fmt.Sprint("unknown ", minute, i), jwk.ErrNotFound)
			}
			requests(t, o, 1+minute)
		}
	})
}

// A client that keeps using a withdrawn key does not cause a fetch each minute
// for ever.
func TestRemoteRemembersUnknown(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=360000"}}}
		r := newRemote(t, o, jwk.RemoteConfig{MaxAge: 100 * time.Hour})
		find(t, r, "", nil)
		for range 63 {
			time.Sleep(time.Minute)
			find(t, r, "withdrawn", jwk.ErrNotFound)
		}
		requests(t, o, 1+6) // after 1, 2, 4, 8, 16 and 32 minutes

		// Another new one is asked for all the same.
		o.set(func(o *origin) { o.body = setText(jwa.ES256, jwa.RS256) })
		time.Sleep(time.Minute)
		find(t, r, kid(jwa.RS256), nil)
		requests(t, o, 8)
	})
}

func TestRemoteRotation(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=3600"}}}
		r := newRemote(t, o, jwk.RemoteConfig{})
		find(t, r, kid(jwa.ES256), nil)
		o.set(func(o *origin) { o.body = setText(jwa.RS256) })
		find(t, r, kid(jwa.RS256), jwk.ErrNotFound) // too early to ask again
		time.Sleep(time.Minute)
		find(t, r, kid(jwa.RS256), nil)
		find(t, r, kid(jwa.ES256), jwk.ErrNotFound)
		requests(t, o, 2)
	})
}

func TestRemoteOutage(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=600"}}}
		r := newRemote(t, o, jwk.RemoteConfig{MaxStale: time.Hour})
		find(t, r, kid(jwa.ES256), nil)

		// The set outlives the server. The first who meets the outage waits
		// for the fetch to fail, and then nobody does.
		o.set(func(o *origin) { o.delay, o.err = time.Hour, errors.New("down") })
		time.Sleep(11 * time.Minute)
		for i := range 40 {
			start := time.Now()
			find(t, r, kid(jwa.ES256), nil)
			if took := time.Since(start); i == 0 && took != 10*time.Second || i > 0 && took != 0 {
				t.Errorf("find %d took %v", i, took)
			}
			time.Sleep(time.Minute)
		}
		find(t, r, "unknown", jwk.ErrNotFound)
		if n := o.count(); n < 10 || n > 45 {
			t.Errorf("%d attempts in 40 minutes", n)
		}

		// But not for ever.
		time.Sleep(time.Hour)
		find(t, r, kid(jwa.ES256), jwk.ErrUnavailable)

		o.set(func(o *origin) { o.delay, o.err = 0, nil })
		time.Sleep(time.Minute)
		find(t, r, kid(jwa.ES256), nil)
	})
}

func TestRemoteOutageAndUnknown(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=3600"}}}
		r := newRemote(t, o, jwk.RemoteConfig{})
		find(t, r, kid(jwa.ES256), nil)
		o.set(func(o *origin) { o.status = http.StatusBadGateway })
		time.Sleep(2 * time.Minute)
		find(t, r, kid(jwa.RS256), jwk.ErrUnavailable) // it may have been published by now
		find(t, r, kid(jwa.ES256), nil)
		o.set(func(o *origin) { o.status, o.body = 0, setText(jwa.ES256, jwa.RS256) })
		time.Sleep(time.Minute)
		find(t, r, kid(jwa.RS256), nil)
	})
}

func TestRemoteStartsWhileServerIsDown(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{err: errors.New("connection refused")}
		r := newRemote(t, o, jwk.RemoteConfig{})
		for range 1000 {
			find(t, r, kid(jwa.ES256), jwk.ErrUnavailable)
			time.Sleep(10 * time.Millisecond)
		}
		if n := o.count(); n < 4 || n > 5 { // after 0, 1, 3, 7 seconds
			t.Errorf("%d attempts in ten seconds", n)
		}
		o.set(func(o *origin) { o.err, o.body = nil, setText(jwa.ES256) })
		time.Sleep(10 * time.Second)
		find(t, r, kid(jwa.ES256), nil)
	})
}

func TestRemoteContext(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), delay: 5 * time.Second}
		r := newRemote(t, o, jwk.RemoteConfig{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		go find(t, r, kid(jwa.ES256), nil) // a patient one
		start := time.Now()
		_, err := r.Find(ctx, kid(jwa.ES256))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, jwk.ErrUnavailable) || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
		time.Sleep(5 * time.Second)
		find(t, r, kid(jwa.ES256), nil)
		requests(t, o, 1)
	})
}

func TestRemoteAnswers(t *testing.T) {
	es := publicText(jwa.ES256)
	private := string(must(generated()[jwa.ES256].MarshalPrivateJSON()))
	secret := string(must(generated()[jwa.HS256].MarshalPrivateJSON()))
	for _, row := range []struct {
		name string
		o    *origin
		want error
	}{
		{"good", &origin{body: setText(jwa.ES256)}, nil},
		{"one key of another kind", &origin{body: `{"keys":[{"kty":"new"},` + es + `]}`}, nil},
		{"exactly the limit", &origin{body: setText(jwa.ES256) + strings.Repeat(" ", 4000-len(setText(jwa.ES256)))}, nil},
		{"longer than the limit", &origin{body: setText(jwa.ES256) + strings.Repeat(" ", 4001-len(setText(jwa.ES256)))}, jwk.ErrUnavailable},
		{"404", &origin{body: setText(jwa.ES256), status: 404}, jwk.ErrUnavailable},
		{"204", &origin{body: setText(jwa.ES256), status: 204}, jwk.ErrUnavailable},
		{"304 unasked", &origin{body: setText(jwa.ES256), status: 304}, jwk.ErrUnavailable},
		{"HTML", &origin{body: "<html>"}, jwk.ErrUnavailable},
		{"empty", &origin{}, jwk.ErrUnavailable},
		{"the same kid twice", &origin{body: `{"keys":[` + es + `,` + es + `]}`}, jwk.ErrUnavailable},
		{"a secret", &origin{body: `{"keys":[` + secret + `]}`}, jwk.ErrUnavailable},
		{"slower than the timeout", &origin{body: setText(jwa.ES256), delay: time.Minute}, jwk.ErrUnavailable},
		{"a private key", &origin{body: `{"keys":[` + private + `]}`}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRemote(t, row.o, jwk.RemoteConfig{MaxBytes: 4000})
				keys, err := r.Find(context.Background(), kid(jwa.ES256))
				if !errors.Is(err, row.want) {
					t.Fatal(err)
				}
				if err == nil && (len(keys) != 1 || keys[0].Private()) {
					t.Error(keys)
				}
			})
		})
	}
}

// A set with private halves, against which the timeout would not help, costs no more
// than reading it; the halves that are no good are not looked at.
func TestRemoteDropsPrivateHalves(t *testing.T) {
	junk := modulus(4096)
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf(`{"kty":"RSA","kid":"%d","n":%q,"e":"AQAB","d":%q,"p":%q,"q":%q,"key_ops":["sign"]}`, i, modulus(8192), junk, junk, junk))
	}
	for _, alg := range []jwa.Algorithm{jwa.ES256, jwa.EdDSA} {
		var m map[string]any
		if err := json.Unmarshal([]byte(publicText(alg)), &m); err != nil {
			t.Fatal(err)
		}
		m["d"] = "AAAA"
		keys = append(keys, string(text(t, m)))
	}
	r := newRemote(t, &origin{body: `{"keys":[` + strings.Join(keys, ",") + `]}`}, jwk.RemoteConfig{})
	found, err := r.Find(context.Background(), "")
	if err != nil || len(found) != 102 {
		t.Fatalf("%d keys, %v", len(found), err)
	}
	for _, k := range found {
		if k.Private() || k.Type() == jwa.RSA && !slices.Equal(k.Operations(), []string{"verify"}) {
			t.Errorf("%v with %q", k, k.Operations())
		}
	}
}

func TestRemoteNotModified(t *testing.T) {
	generated()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{body: setText(jwa.ES256), header: http.Header{"Cache-Control": {"max-age=60"}, "Etag": {`"1"`}}}
		r := newRemote(t, o, jwk.RemoteConfig{})
		find(t, r, kid(jwa.ES256), nil)
		o.set(func(o *origin) { o.body = "spoilt, and not sent" })
		for range 3 {
			time.Sleep(61 * time.Second)
			find(t, r, kid(jwa.ES256), nil)
		}
		requests(t, o, 4)
	})
}
