package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/resource"
)

// entry is an entry of the revocation feed, docs/revocation-feed.md.
type entry struct {
	Sequence int64  `json:"sequence"`
	Kind     string `json:"kind"`
	Value    string `json:"value"`
	CutOff   *int64 `json:"cut_off"`
	Cause    string `json:"cause"`
	At       int64  `json:"at"`
	DropAt   int64  `json:"drop_at"`
}

func (e entry) String() string { return e.Kind + " " + e.Value + " " + e.Cause }

// polled is the answer to a poll.
type polled struct {
	Log      string  `json:"log"`
	Sequence int64   `json:"sequence"`
	Resumed  bool    `json:"resumed"`
	More     bool    `json:"more"`
	Entries  []entry `json:"entries"`
}

// api registers a client that stands for an API and may follow the feed.
func api(h *servertest.House, id string, resources ...string) (model.Client, model.Secret) {
	return h.Client(id, model.ClientSettings{Scopes: []string{oauth.ScopeFeed, "other"}, Resources: resources})
}

// feedToken gets a token with which the feed can be followed.
func feedToken(t testing.TB, h *servertest.House, c model.Client, secret model.Secret) string {
	t.Helper()
	a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {oauth.ScopeFeed}})
	if a.Status != 200 {
		t.Fatalf("no token: %d %s", a.Status, a.Text)
	}
	return a.String("access_token")
}

// follower registers an API and gets it a token.
func follower(t testing.TB, h *servertest.House, id string, resources ...string) string {
	t.Helper()
	c, secret := api(h, id, resources...)
	return feedToken(t, h, c, secret)
}

func feedRequest(t testing.TB, base, token, query string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, base+"/revocations"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

// poll asks the feed once.
func poll(t testing.TB, h *servertest.House, token, query string) polled {
	t.Helper()
	a := servertest.Do(t, feedRequest(t, h.Issuer, token, query))
	var p polled
	if err := json.Unmarshal([]byte(a.Text), &p); a.Status != 200 || err != nil {
		t.Fatalf("%d %s %v", a.Status, a.Text, err)
	}
	return p
}

// message is one Server-Sent Event.
type message struct{ name, id, data string }

// stream is a consumer of the feed.
type stream struct {
	t        testing.TB
	Header   http.Header
	messages chan message // closed when the stream ends
	cancel   func()
}

// openStream follows the feed at an address until the test ends.
func openStream(t testing.TB, base, token, query string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req := feedRequest(t, base, token, query).WithContext(ctx)
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || kind != "text/event-stream" {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("%d %s %s", res.StatusCode, kind, body)
	}
	s := &stream{t: t, Header: res.Header, messages: make(chan message, 10_000), cancel: cancel}
	go func() {
		defer res.Body.Close()
		defer close(s.messages)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		var m message
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				m.name = value
			case "id":
				m.id = value
			case "data":
				m.data = value
			case "":
				s.messages <- m
				m = message{}
			default:
				t.Errorf("a line %q", lines.Text())
			}
		}
	}()
	return s
}

// patience is how long a test waits for what has to come on a busy machine.
const patience = 20 * time.Second

// next returns the next message of that name; others than beats may not come before.
func (s *stream) next(name string) message {
	s.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case m, ok := <-s.messages:
			switch {
			case !ok:
				s.t.Fatalf("the stream ended before %s", name)
			case m.name == name:
				return m
			case m.name != "beat":
				s.t.Fatalf("%s came, want %s: %s", m.name, name, m.data)
			}
		case <-timeout:
			s.t.Fatalf("%s did not come", name)
		}
	}
}

// ended waits until the stream has ended, and returns the reason that it told.
func (s *stream) ended() (reason string) {
	s.t.Helper()
	reason = s.next("bye").data
	select {
	case _, ok := <-s.messages:
		if ok {
			s.t.Error("something came after bye")
		}
	case <-time.After(patience):
		s.t.Fatal("the stream did not end")
	}
	return reason
}

// entries returns the entries of the next message that has any.
func (s *stream) entries() []entry {
	s.t.Helper()
	var list []entry
	if err := json.Unmarshal([]byte(s.next("entries").data), &list); err != nil || len(list) == 0 || len(list) > 1000 {
		s.t.Fatalf("%d entries: %v", len(list), err)
	}
	return list
}

// begin reads the backlog: hello, entries, ready.
func (s *stream) begin() (hello string, backlog []entry, ready message) {
	s.t.Helper()
	hello = s.next("hello").data
	for timeout := time.After(patience); ; {
		select {
		case m := <-s.messages:
			switch m.name {
			case "entries":
				var list []entry
				if err := json.Unmarshal([]byte(m.data), &list); err != nil {
					s.t.Fatal(err)
				}
				backlog = append(backlog, list...)
			case "ready":
				return hello, backlog, m
			default:
				s.t.Fatalf("%q came: %s", m.name, m.data)
			}
		case <-timeout:
			s.t.Fatal("the backlog did not end")
		}
	}
}

func following(t testing.TB, base, token string) *stream {
	t.Helper()
	s := openStream(t, base, token, "")
	s.begin()
	return s
}

// change runs fn in a transaction as an operator would.
func change(t testing.TB, h *servertest.House, fn func(*store.Tx) error) {
	t.Helper()
	err := h.Store.Update(context.Background(), func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: servertest.Operator, Action: "test.change"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// revoke puts out tokens of that name, for an API or for all of them.
func revokeTokens(t testing.TB, h *servertest.House, audiences []string, names ...string) {
	t.Helper()
	now := h.Clock.Now().Unix()
	change(t, h, func(tx *store.Tx) error {
		for _, name := range names {
			if err := tx.RevokeToken(name, audiences, store.Ending{Cause: model.CausePolicy, At: now, DropAt: now + 3600}); err != nil {
				return err
			}
		}
		return nil
	})
}

// known waits until a server knows all of its log.
func known(t testing.TB, h *servertest.House) {
	t.Helper()
	var end int64
	err := h.Store.View(context.Background(), func(tx *store.Tx) (err error) { end, err = tx.LastRevocation(); return err })
	for start := time.Now(); err != nil || h.Feed.State().End < end; time.Sleep(time.Millisecond) {
		if err != nil || time.Since(start) > patience {
			t.Fatalf("the server knows %+v of %d: %v", h.Feed.State(), end, err)
		}
	}
}

func texts(list []entry) string {
	all := make([]string, len(list))
	for i, e := range list {
		all[i] = e.String()
	}
	return strings.Join(all, ", ")
}

// TestFeedStream: what is told, how it looks, and that it comes at once.
func TestFeedStream(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		revokeTokens(t, h, []string{orders}, "before")
		known(t, h)
		s := openStream(t, h.Issuer, token, "")
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": ""} {
			if got := s.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		hello, backlog, ready := s.begin()
		log := poll(t, h, token, "").Log
		if want := fmt.Sprintf(`{"log":"%s","sequence":1,"resumed":false,"heartbeat":2}`, log); hello != want || len(log) < 20 {
			t.Errorf("hello %s, want %s", hello, want)
		}
		if texts(backlog) != "token before policy" || ready.data != `{"sequence":1}` || ready.id != log+":1" {
			t.Errorf("%v, then %v", backlog, ready)
		}
		start := time.Now()
		revokeTokens(t, h, nil, "one", "two")
		m := s.next("entries")
		if took := time.Since(start); took > 5*time.Second { // as a rule it is some milliseconds
			t.Errorf("it took %v", took)
		}
		now := h.Clock.Now().Unix()
		var raw []map[string]any
		if err := json.Unmarshal([]byte(m.data), &raw); err != nil || len(raw) != 2 || m.id != log+":3" {
			t.Fatalf("%+v %v", m, err)
		}
		e := raw[0]
		if len(e) != 6 || e["sequence"] != 2.0 || e["kind"] != "token" || e["value"] != "one" || e["cause"] != "policy" ||
			now-int64(e["at"].(float64)) > 60 || e["drop_at"].(float64) != e["at"].(float64)+3600 {
			t.Errorf("%v", e)
		}
		beat := s.next("beat")
		var b struct{ Sequence, At int64 }
		if err := json.Unmarshal([]byte(beat.data), &b); err != nil || b.Sequence != 3 || beat.id != log+":3" || h.Clock.Now().UnixMilli()-b.At > 10_000 {
			t.Errorf("%+v %v", beat, err)
		}
		change(t, h, func(tx *store.Tx) error {
			return tx.EndAll(store.Ending{Cause: model.CauseAdmin, At: 5_000_000_077, DropAt: 5_000_000_088})
		})
		if m := s.next("entries"); m.data != `[{"sequence":4,"kind":"all","cut_off":5000000077,"cause":"admin","at":5000000077,"drop_at":5000000088}]` {
			t.Error(m.data)
		}
	})
}

// TestFeedResume: where a reader goes on, and when it begins anew.
func TestFeedResume(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		now := h.Clock.Now().Unix()
		change(t, h, func(tx *store.Tx) error {
			return tx.RevokeToken("dead", nil, store.Ending{Cause: model.CausePolicy, At: now - 400, DropAt: now - 301})
		})
		revokeTokens(t, h, []string{orders}, "a", "b", "c")
		revokeTokens(t, h, []string{billing}, "not ours")
		known(t, h)
		log := poll(t, h, token, "").Log
		const all, later = "token a policy, token b policy, token c policy", "token c policy"
		for _, row := range []struct {
			name, query, last string
			resumed           bool
			want              string
		}{
			{"from nowhere", "", "", false, all},
			{"where it was", "?log=" + log + "&after=3", "", true, later},
			{"where it was, by the header", "", log + ":3", true, later},
			{"the header is the newer one", "?log=" + log + "&after=1", log + ":3", true, later},
			{"at the end", "?log=" + log + "&after=5", "", true, ""},
			{"from the beginning", "?log=" + log + "&after=0", "", true, "token dead policy, " + all},
			{"another log", "?log=another&after=3", "", false, all},
			{"another log by the header", "", "another:3", false, all},
			{"beyond the end", "?log=" + log + "&after=6", "", false, all},
		} {
			t.Run(row.name, func(t *testing.T) {
				var header []string
				if row.last != "" {
					header = []string{"Last-Event-ID", row.last}
				}
				s := openStream(t, h.Issuer, token, row.query, header...)
				hello, backlog, ready := s.begin()
				s.cancel()
				if !strings.Contains(hello, fmt.Sprintf(`"sequence":5,"resumed":%t,`, row.resumed)) || texts(backlog) != row.want || ready.id != log+":5" {
					t.Errorf("%s: %s; %s", hello, texts(backlog), ready.id)
				}
				if row.last == "" {
					p := poll(t, h, token, row.query)
					if p.Resumed != row.resumed || texts(p.Entries) != row.want || p.Sequence != 5 || p.Log != log || p.More {
						t.Errorf("%+v", p)
					}
				}
			})
		}
	})
}

// TestFeedResumeSeesMore: who was not there when its client came to stand for another
// API is told what concerns that one, too: its place in the log says nothing of it.
func TestFeedResumeSeesMore(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := api(h, "orders", orders)
		token := feedToken(t, h, c, secret)
		revokeTokens(t, h, []string{billing}, "before")
		revokeTokens(t, h, []string{orders}, "ours")
		known(t, h)
		place := func(p polled) string { return fmt.Sprintf("?log=%s&after=%d", p.Log, p.Sequence) }
		was := poll(t, h, token, "")
		if p := poll(t, h, token, place(was)); texts(was.Entries) != "token ours policy" || !p.Resumed || texts(p.Entries) != "" {
			t.Fatalf("%+v, then %+v", was, p)
		}
		stand := func(resources ...string) {
			t.Helper()
			settings := with(c.ClientSettings, func(s *model.ClientSettings) { s.Resources = resources })
			if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, settings); err != nil {
				t.Fatal(err)
			}
			token = feedToken(t, h, c, secret)
		}
		stand(orders, billing)
		const all = "token before policy, token ours policy"
		now := poll(t, h, token, place(was))
		if texts(now.Entries) != all || now.Resumed {
			t.Errorf("a poll: %+v", now)
		}
		s := openStream(t, h.Issuer, token, place(was))
		if hello, backlog, _ := s.begin(); texts(backlog) != all || !strings.Contains(hello, `"resumed":false`) {
			t.Errorf("a stream: %s %s", hello, texts(backlog))
		}
		s.cancel()
		if p := poll(t, h, token, place(now)); !p.Resumed || texts(p.Entries) != "" {
			t.Errorf("and then: %+v", p)
		}
		stand(billing, orders) // the same in another order
		if p := poll(t, h, token, place(now)); !p.Resumed || texts(p.Entries) != "" {
			t.Errorf("in another order: %+v", p)
		}
	})
}

// TestFeedLateSnapshot: an API that starts when a revoked token is about to be dead is
// told of it for as long as the token is good there: its clock may be ten seconds behind
// (docs/operate.md), and it allows ten more.
func TestFeedLateSnapshot(t *testing.T) {
	h := servertest.Start(t)
	c, secret := api(h, "orders", orders)
	robot, robotSecret := h.Client("robot", model.ClientSettings{Scopes: []string{"orders:read"}, Audiences: []string{orders}, AccessTokenLife: 60})
	token := h.Call("/token", robot, robotSecret, url.Values{"grant_type": {"client_credentials"}}).String("access_token")
	if a := h.Call("/revoke", robot, robotSecret, url.Values{"token": {token}}); a.Status != 200 {
		t.Fatal(a.Text)
	}
	known(t, h)
	h.Clock.Move(72 * time.Second)
	behind := func() time.Time { return h.Clock.Now().Add(-9 * time.Second) }
	feed, err := resource.NewFeed(resource.FeedConfig{Issuer: h.Issuer, ClientID: string(c.ID), ClientSecret: secret.Reveal(), Now: behind})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := resource.New(resource.Config{Issuer: h.Issuer, Audience: orders, Feed: feed, Now: behind})
	if err != nil {
		t.Fatal(err)
	}
	go feed.Run(t.Context())
	if err := feed.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Verify(t.Context(), token); !errors.Is(err, resource.ErrRevoked) {
		t.Errorf("a token that was revoked: %v", err)
	}
}
