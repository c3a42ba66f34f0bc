package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// endpoint takes what is pushed, RFC 8935.
type endpoint struct {
	*httptest.Server
	mu      sync.Mutex
	status  int
	body    string
	headers []http.Header
	tokens  []string
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{status: http.StatusAccepted}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.headers, e.tokens = append(e.headers, r.Header), append(e.tokens, string(token))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(e.status)
		io.WriteString(w, e.body)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) answer(status int, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.body = status, body
}

func (e *endpoint) received() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.tokens)
}

func (e *endpoint) waitFor(t *testing.T, n int) []string {
	t.Helper()
	eventually(t, fmt.Sprintf("%d events", n), func() bool { return len(e.received()) >= n })
	return e.received()
}

func (e *endpoint) delivery(header string) map[string]any {
	d := map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": e.URL + "/events"}
	if header != "" {
		d["authorization_header"] = header
	}
	return map[string]any{"delivery": d}
}

// TestStreamPush: RFC 8935 §2, OpenID Shared Signals Framework §6.1.1.
func TestStreamPush(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		e, elsewhere := newEndpoint(t), newEndpoint(t)
		body := e.delivery("Bearer s3cret")
		body["events_requested"] = []string{model.EventAccountDisabled, model.EventAccountEnabled}
		stream := r.create(body)
		u := h.User("olena", password)
		h.Browser().SignIn(servertest.AuthorizePath(r.client), "olena", password)
		flip := func() {
			t.Helper()
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			if err := h.Accounts.Unlock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		told := e.waitFor(t, 2)
		for i, want := range []string{model.EventAccountDisabled, model.EventAccountEnabled} { // in the order of what happened
			if kind, _ := eventOf(r.setOf(told[i])); kind != want {
				t.Errorf("%d: %s", i, kind)
			}
		}
		if g := e.headers[0]; g.Get("Content-Type") != "application/secevent+jwt" || g.Get("Accept") != "application/json" || g.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("%v", g)
		}
		eventually(t, "the stream to be empty", func() bool { return waiting(t, h, stream) == 0 })

		// What may pass is tried again, with the same token and in the same order.
		for _, row := range []struct {
			status int
			body   string
		}{{503, ""}, {429, ""}, {404, ""}, {302, ""}, {400, `{"err":"authentication_failed","description":"x"}`}, {400, `{"err":"access_denied"}`}} {
			before := len(e.received())
			e.answer(row.status, row.body)
			flip()
			e.waitFor(t, before+1)
			eventually(t, "the attempt to be written down", func() bool {
				s := view(t, h, func(tx *store.Tx) (model.Stream, error) {
					return tx.Stream(model.StreamID(stream["stream_id"].(string)))
				})
				return s.Attempts > 0 && s.NextAt < h.Clock.Now().Unix()+20
			})
			if n := waiting(t, h, stream); n != 2 {
				t.Errorf("%d %s: %d wait", row.status, row.body, n)
			}
			e.answer(202, "")
			h.Clock.Move(20 * time.Second)
			all := e.waitFor(t, before+3)
			failed, done, last := r.setOf(all[before]), r.setOf(all[len(all)-2]), r.setOf(all[len(all)-1])
			if kind, _ := eventOf(last); failed["jti"] != done["jti"] || failed["iat"] != done["iat"] || kind != model.EventAccountEnabled {
				t.Errorf("%d: %v, then %v, then %v", row.status, failed, done, last)
			}
			eventually(t, "the stream to be empty", func() bool { return waiting(t, h, stream) == 0 })
		}
		// RFC 8935 §2.3: what is refused does not get better; the next one may.
		before := len(e.received())
		e.answer(400, `{"err":"invalid_audience","description":"x"}`)
		flip()
		e.waitFor(t, before+2)
		eventually(t, "the stream to be empty", func() bool { return waiting(t, h, stream) == 0 })
		if n := count(eventsAbout(t, h), "signal.refused"); n != 2 {
			t.Errorf("%d events tell of it", n)
		}
		// A header is sealed, and is not sent to another address.
		s := view(t, h, func(tx *store.Tx) (model.Stream, error) {
			return tx.Stream(model.StreamID(stream["stream_id"].(string)))
		})
		if s.Authorization == "" || strings.Contains(s.Authorization, "s3cret") {
			t.Errorf("stored as %q", s.Authorization)
		}
		e.answer(202, "")
		patch := map[string]any{"stream_id": stream["stream_id"], "delivery": e.delivery("")["delivery"]}
		if a := r.ask("PATCH", "configuration_endpoint", patch); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		before = len(e.received())
		flip()
		e.waitFor(t, before+2)
		if got := e.headers[before].Get("Authorization"); got != "Bearer s3cret" { // the same address: the header stays
			t.Errorf("the header is %q", got)
		}
		patch["delivery"] = elsewhere.delivery("")["delivery"]
		if a := r.ask("PATCH", "configuration_endpoint", patch); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		flip()
		elsewhere.waitFor(t, 2)
		if got := elsewhere.headers[0].Get("Authorization"); got != "" {
			t.Errorf("the header for one address went to another: %q", got)
		}
		if log := h.Log.String(); strings.Contains(log, "s3cret") || strings.Contains(log, told[0]) {
			t.Error("a secret or a token is in the log")
		}
	})
}

// TestStreamPushGivenUp: an endpoint that fails for a day has its stream paused,
// and is told so when it is there again (OpenID Shared Signals Framework §8.1.5).
func TestStreamPushGivenUp(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		e := newEndpoint(t)
		stream := r.create(e.delivery(""))
		h.User("olena", password)
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(r.client), "olena", password)
		e.answer(503, "")
		b.Get("/logout").Submit("primary")
		status := func() string {
			r.token = r.tokenFor("ssf.manage")
			a := r.ask("GET", "status_endpoint?stream_id="+stream["stream_id"].(string), nil)
			return a.String("status") + ": " + a.String("reason")
		}
		begun := h.Clock.Now()
		eventually(t, "the stream to be paused", func() bool {
			h.Clock.Move(30 * time.Minute)
			return strings.HasPrefix(status(), "paused: ")
		})
		if after := h.Clock.Now().Sub(begun); after < 24*time.Hour || after > 48*time.Hour {
			t.Errorf("paused after %v: %s", after, status())
		}
		before := len(e.received())
		e.answer(202, "")
		h.Clock.Move(2 * time.Hour)
		all := e.waitFor(t, before+1)
		kind, event := eventOf(r.setOf(all[len(all)-1]))
		if kind != model.EventStreamUpdated || event["status"] != "paused" || event["reason"] == "" {
			t.Errorf("%s %v", kind, event)
		}
		if n := waiting(t, h, stream); n != 1 {
			t.Errorf("%d events are held", n)
		}
		r.token = r.tokenFor("ssf.manage")
		if a := r.ask("POST", "status_endpoint", map[string]any{"stream_id": stream["stream_id"], "status": "enabled"}); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		all = e.waitFor(t, len(all)+1)
		if kind, _ := eventOf(r.setOf(all[len(all)-1])); kind != model.EventSessionRevoked {
			t.Errorf("held: %s", kind)
		}
		if !slices.Contains(eventsAbout(t, h), "stream.pause") {
			t.Error("it is not in the audit log")
		}
	})
}

// TestStreamStatus: OpenID Shared Signals Framework §8.1.2.1: paused holds,
// disabled does not, and a stream in which too much waits is paused.
func TestStreamStatus(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		e := newEndpoint(t)
		polled, pushed := r.create(map[string]any{}), r.create(e.delivery(""))
		h.User("olena", password)
		set := func(stream map[string]any, status string) {
			t.Helper()
			if a := r.ask("POST", "status_endpoint", map[string]any{"stream_id": stream["stream_id"], "status": status}); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
		}
		end := func() {
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(r.client), "olena", password)
			b.Get("/logout").Submit("primary")
		}
		for _, status := range []string{"paused", "disabled"} {
			set(polled, status)
			set(pushed, status)
			end()
			h.Clock.Move(time.Minute)
			for _, s := range []map[string]any{polled, pushed} {
				if a := r.ask("POST", "verification_endpoint", map[string]any{"stream_id": s["stream_id"], "state": "x"}); a.Status != 204 {
					t.Errorf("%s: verify: %d %s", status, a.Status, a.Text)
				}
			}
			time.Sleep(1500 * time.Millisecond) // more than the courier needs
			if sets, _ := r.poll(polled, nil); len(sets) != 0 || len(e.received()) != 0 {
				t.Errorf("%s: told %v, pushed %d", status, kinds(sets), len(e.received()))
			}
			want := map[string]int64{"paused": 2, "disabled": 0}[status]
			if n, m := waiting(t, h, polled), waiting(t, h, pushed); n != want || m != want {
				t.Errorf("%s: %d and %d are held", status, n, m)
			}
		}
		end()
		set(polled, "enabled")
		set(pushed, "enabled")
		end()
		if sets, _ := r.poll(polled, nil); !slices.Equal(kinds(sets), []string{"session-revoked"}) {
			t.Errorf("told %v", kinds(sets))
		}
		e.waitFor(t, 1)

		// Too much.
		id := model.StreamID(polled["stream_id"].(string))
		err := h.Store.Upkeep(t.Context(), func(tx *store.Tx) error {
			for range 10_050 {
				if err := tx.InsertSignal(model.Signal{StreamID: id, Type: model.EventSessionRevoked, UserID: "nobody", SessionID: "none", At: h.Clock.Now().Unix()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the stream to be paused", func() bool {
			return r.ask("GET", "status_endpoint?stream_id="+string(id), nil).String("status") == "paused"
		})
		if sets, _ := r.poll(polled, nil); !slices.Equal(kinds(sets), []string{"stream-updated"}) {
			t.Errorf("told %v", kinds(sets))
		}
		if n := waiting(t, h, polled); n != 10_001 {
			t.Errorf("%d are held", n)
		}
		set(polled, "enabled")
		if sets, a := r.poll(polled, nil); len(sets) != 100 || a.JSON["moreAvailable"] != true {
			t.Errorf("%d at once, more %v", len(sets), a.JSON["moreAvailable"])
		}
		h.Clock.Move(8 * 24 * time.Hour) // nobody comes for them
		if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 1000); err != nil {
			t.Fatal(err)
		}
		if n := waiting(t, h, polled); n != 0 {
			t.Errorf("%d have not expired", n)
		}
	})
}

// A client that is put out while much is pushed to it hears no more.
func TestStreamPushEndsWithClient(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		begun, goOn := make(chan struct{}), make(chan struct{})
		var heard atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if heard.Add(1) == 1 {
				close(begun)
				<-goOn
			}
			w.WriteHeader(http.StatusAccepted)
		}))
		defer s.Close()
		stream := r.create((&endpoint{Server: s}).delivery(""))
		const much = 100
		err := h.Store.Upkeep(t.Context(), func(tx *store.Tx) error {
			for range much {
				err := tx.InsertSignal(model.Signal{StreamID: model.StreamID(stream["stream_id"].(string)), Type: model.EventVerification, At: h.Clock.Now().Unix()})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, r.client.ID, true); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		last := int64(0)
		eventually(t, "nothing more to be pushed", func() bool {
			time.Sleep(200 * time.Millisecond)
			before := last
			last = heard.Load()
			return last == before
		})
		if last > 10 || waiting(t, h, stream) < much-10 {
			t.Errorf("%d were pushed, %d wait", last, waiting(t, h, stream))
		}
	})
}

// TestStreamPausedMeanwhile: OpenID Shared Signals Framework §8.1.2.1: a stream that is
// paused while events are pushed over it gets none of the rest until it is enabled.
func TestStreamPausedMeanwhile(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		e := newEndpoint(t)
		stream := r.create(e.delivery(""))
		set := func(status string) {
			if a := r.ask("POST", "status_endpoint", map[string]any{"stream_id": stream["stream_id"], "status": status}); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		}
		var first sync.Once
		take := e.Config.Handler
		e.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			first.Do(func() { set("paused") })
			take.ServeHTTP(w, q)
		})
		u := h.User("olena", password)
		set("paused")
		for range 3 {
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(r.client), "olena", password)
			b.Get("/logout").Submit("primary")
		}
		if n := waiting(t, h, stream); n != 3 {
			t.Fatalf("%d events wait for %s", n, u.ID)
		}
		set("enabled")
		e.waitFor(t, 1)
		time.Sleep(1500 * time.Millisecond) // more than the courier needs
		if n, left := len(e.received()), waiting(t, h, stream); n != 1 || left != 2 {
			t.Errorf("pushed %d, and %d wait", n, left)
		}
		set("enabled")
		e.waitFor(t, 3)
	})
}
