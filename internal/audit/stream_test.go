package audit_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

const webhookSecret = "a secret of a webhook that is long enough"

// until waits for a condition, with patience: the machine may be slow.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is not so that %s", what)
		}
	}
}

// stream runs a stream until the function that it returns is called, or the test ends.
func (h *house) stream(c audit.StreamConfig) (stop func()) {
	h.t.Helper()
	if c.Log == nil {
		c.Log = h.Log
	}
	c.Issuer, c.Client = "https://login.example.com", fetch.New(fetch.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s, err := audit.NewStream(c)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	h.t.Cleanup(stop)
	return stop
}

// positions reads the entries of lines, and fails where a whole line is none.
func positions(t *testing.T, text string) (list []int64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Issuer != "https://login.example.com" || e.Seal == "" || e.Action == "" || e.Actor.Kind == "" {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e.Position)
	}
	return list
}

// from lists numbers one after the other.
func from(first, last int64) (list []int64) {
	for ; first <= last; first++ {
		list = append(list, first)
	}
	return list
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// TestStreamFile: every entry is a line, in order, whatever becomes of the file and of
// the process. The first entry of the log is that of its chain.
func TestStreamFile(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		has := func(path string, want []int64) {
			t.Helper()
			until(t, fmt.Sprintf("%s has the entries %v to %v", filepath.Base(path), want[0], want[len(want)-1]), func() bool {
				return slices.Equal(positions(t, contents(t, path)), want)
			})
		}
		h.write(1, 250) // more than a batch
		h.seal()
		stop := h.stream(audit.StreamConfig{File: path})
		has(path, from(1, 251))
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		var e audit.Entry
		line, _, _ := strings.Cut(contents(t, path), "\n")
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.At != h.now || e.Actor != (audit.Actor{Kind: "user", ID: "user1", Address: "192.0.2.7"}) ||
			e.Action != "session.start" || e.UserID != "user1" || e.ClientID != "shop" || e.Detail != "session=1" || e.Mark == "" {
			t.Errorf("%+v %v", e, err)
		}

		// Rotated, and removed, while it runs.
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		h.write(251, 3)
		h.seal()
		has(path, from(252, 254))
		has(path+".1", from(1, 251))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		h.write(254, 2)
		h.seal()
		has(path, from(255, 256))

		// Stopped, and written to meanwhile.
		stop()
		h.write(256, 5)
		h.seal()
		head, err := h.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stop = h.stream(audit.StreamConfig{File: path})
		has(path, from(255, head.End.Position))
		stop()

		// Killed in the middle of a line: what follows does not stand in it.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"issuer":"https://lo`)
		f.Close()
		h.write(261, 1)
		h.seal()
		h.stream(audit.StreamConfig{File: path})
		until(t, "the line after the torn one is whole", func() bool {
			_, rest, ok := strings.Cut(contents(t, path), `{"issuer":"https://lo`+"\n")
			return ok && slices.Equal(positions(t, rest), from(262, 262))
		})
	})
}

// failing is an outlet that fails for a while.
type failing struct {
	mu   sync.Mutex
	down bool
	text bytes.Buffer
}

func (f *failing) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return 0, errors.New("no")
	}
	return f.text.Write(b)
}

// TestStreamKilled: what was written by a process that died before it could say so is
// written again, and nothing is left out. A claim that nobody ends lapses.
func TestStreamKilled(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var now atomic.Int64
		now.Store(h.now)
		log, err := audit.New(audit.Config{Store: h.store, Derive: derive, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
		if err != nil {
			t.Fatal(err)
		}
		h.write(1, 10)
		h.seal()
		dead := func(position int64) {
			t.Helper()
			err := h.store.Upkeep(t.Context(), func(tx *store.Tx) error {
				if err := tx.InsertOutlet("stdout"); err != nil {
					return err
				}
				_, err := tx.ClaimOutlet("stdout", "a process that died", store.Due{Now: now.Load(), Latest: now.Load() + 1000}, now.Load()+30)
				if err == nil {
					err = tx.AdvanceOutlet("a process that died", store.Outlet{Name: "stdout", Position: position})
				}
				if err == nil {
					_, err = tx.ClaimOutlet("stdout", "one more", store.Due{Now: now.Load(), Latest: now.Load() + 1000}, now.Load()+30)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		dead(4)
		var out failing
		h.stream(audit.StreamConfig{Log: log, Output: &out})
		time.Sleep(time.Second) // two looks: the claim is not its own
		out.mu.Lock()
		early := out.text.String()
		out.mu.Unlock()
		if early != "" {
			t.Fatalf("a claim was not heeded: %q", early)
		}
		now.Add(31)
		until(t, "the rest was written", func() bool {
			out.mu.Lock()
			defer out.mu.Unlock()
			return slices.Equal(positions(t, out.text.String()), from(5, 11))
		})

		// A clock that was set back far does not hold it up.
		now.Add(-3 * 60 * 60)
		h.write(11, 1)
		h.seal()
		until(t, "it goes on after the clock was set back", func() bool {
			out.mu.Lock()
			defer out.mu.Unlock()
			return slices.Equal(positions(t, out.text.String()), from(5, 12))
		})
	})
}

// receiver is a server that takes the log, as its manual says.
type receiver struct {
	t *testing.T
	*httptest.Server
	mu       sync.Mutex
	down     bool
	calls    int
	received []int64
	ids      []string
	wrong    []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	id, at := req.Header.Get("Webhook-Id"), req.Header.Get("Webhook-Timestamp")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); req.Header.Get("Webhook-Signature") != want || req.Method != http.MethodPost ||
		req.Header.Get("Content-Type") != "application/x-ndjson" || err != nil {
		r.wrong = append(r.wrong, fmt.Sprint(req.Method, req.Header))
	}
	list := positions(r.t, string(body))
	if !strings.HasPrefix(id, fmt.Sprintf("audit-%d-%d-", list[0], list[len(list)-1])) {
		r.wrong = append(r.wrong, id)
	}
	if _, err := strconv.ParseInt(at, 10, 64); err != nil {
		r.wrong = append(r.wrong, at)
	}
	r.received = append(r.received, list...)
	r.ids = append(r.ids, id)
}

// messages are the names of those that came.
func (r *receiver) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func (r *receiver) has(want []int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Equal(r.received, want)
}

// TestStreamWebhook: it is signed, and what a server does not take waits for it.
func TestStreamWebhook(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var now atomic.Int64
		now.Store(h.now)
		log, err := audit.New(audit.Config{Store: h.store, Derive: derive, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
		if err != nil {
			t.Fatal(err)
		}
		r := newReceiver(t)
		r.down = true
		failures := atomic.Int64{}
		h.write(1, 300)
		h.seal()
		h.stream(audit.StreamConfig{Log: log, Webhook: r.URL + "/secret-path", Secret: webhookSecret, Failed: func(string) { failures.Add(1) }})
		until(t, "two attempts have failed", func() bool {
			now.Add(1) // a pause passes
			return failures.Load() >= 2
		})
		r.mu.Lock()
		r.down = false
		r.mu.Unlock()
		until(t, "all has arrived", func() bool {
			now.Add(1)
			return r.has(from(1, 301))
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.wrong != nil {
			t.Errorf("%q", r.wrong)
		}
	})
}

// After a restore the chain goes on from where it was then, and positions stand for
// other entries than before. Their messages are others, too: a collector that takes each
// once, as Standard Webhooks lets it, would lose what has happened since.
func TestStreamWebhookRestored(t *testing.T) {
	r := newReceiver(t)
	for range 2 { // what came of the same beginning
		h := open(t, storetest.SQLiteURL(t))
		h.write(1, 1)
		h.seal()
		h.stream(audit.StreamConfig{Log: h.Log, Webhook: r.URL, Secret: webhookSecret})
		before := len(r.messages())
		until(t, "it has arrived", func() bool { return len(r.messages()) > before })
	}
	if ids := r.messages(); ids[0] == ids[1] {
		t.Errorf("two messages are both called %q", ids[0])
	}
}

// TestStreamNodes: of several nodes one sends, in order, and each of them in its turn.
func TestStreamNodes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const nodes, entries = 3, 600
		r := newReceiver(t)
		for range nodes {
			other := storetest.Open(t, h.url)
			log, err := audit.New(audit.Config{Store: other, Derive: derive})
			if err != nil {
				t.Fatal(err)
			}
			h.stream(audit.StreamConfig{Log: log, Webhook: r.URL, Secret: webhookSecret})
		}
		for i := 0; i < entries; i += 50 {
			h.write(i+1, 50)
			h.seal()
		}
		until(t, "all has arrived", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.received) > 0 && r.received[len(r.received)-1] == entries+1
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		// At least once: a node that was slower than its claim may have repeated some.
		seen := int64(0)
		for _, p := range r.received {
			if p > seen+1 {
				t.Fatalf("%d came after %d", p, seen)
			}
			seen = max(seen, p)
		}
	})
}

// TestStreamRefusals: a setting that cannot be is refused with a sentence that names it.
func TestStreamRefusals(t *testing.T) {
	h := open(t, storetest.SQLiteURL(t))
	for _, row := range []struct {
		name   string
		config audit.StreamConfig
		want   string
	}{
		{"no TLS", audit.StreamConfig{Webhook: "http://collector.example.com/", Secret: webhookSecret}, "must begin with https://"},
		{"a password", audit.StreamConfig{Webhook: "https://a:b@collector.example.com/", Secret: webhookSecret}, "must not hold a user"},
		{"no URL", audit.StreamConfig{Webhook: "collector", Secret: webhookSecret}, "must be a URL"},
		{"no secret", audit.StreamConfig{Webhook: "https://collector.example.com/"}, "needs a secret"},
		{"a short secret", audit.StreamConfig{Webhook: "https://collector.example.com/", Secret: "short"}, "needs a secret"},
		{"a short secret in base64", audit.StreamConfig{Webhook: "https://collector.example.com/", Secret: "whsec_c2hvcnQgb25jZSBpdCBpcyByZWFk"}, "needs a secret"},
		{"no base64", audit.StreamConfig{Webhook: "https://collector.example.com/", Secret: "whsec_%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%"}, "not base64"},
		{"a folder", audit.StreamConfig{File: t.TempDir()}, "audit-file"},
	} {
		row.config.Log, row.config.Client = h.Log, http.DefaultClient
		_, err := audit.NewStream(row.config)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if err != nil && row.config.Secret != "" && strings.Contains(err.Error(), row.config.Secret.Reveal()) {
			t.Errorf("%s: the error tells the secret", row.name)
		}
	}
	if s, err := audit.NewStream(audit.StreamConfig{Log: h.Log}); s != nil || err != nil {
		t.Errorf("with nothing set there is %v, %v", s, err)
	}
}
