package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestFeedPoll: a poll waits for what concerns the API, and no longer than it may.
func TestFeedPoll(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		first := poll(t, h, token, "?wait=25") // the snapshot, which is not waited for
		if first.Resumed || first.More || first.Sequence != 0 || len(first.Entries) != 0 {
			t.Errorf("%+v", first)
		}
		at := func(sequence int64, wait string) string {
			return fmt.Sprintf("?log=%s&after=%d&wait=%s", first.Log, sequence, wait)
		}
		t.Run("nothing happens", func(t *testing.T) {
			start := time.Now()
			p := poll(t, h, token, at(0, "1"))
			if took := time.Since(start); !p.Resumed || len(p.Entries) != 0 || took < 900*time.Millisecond || took > 10*time.Second {
				t.Errorf("%+v after %v", p, took)
			}
		})
		waiting := func(query string) <-chan polled {
			answer := make(chan polled, 1)
			go func() { answer <- poll(t, h, token, query) }()
			return answer
		}
		t.Run("something does", func(t *testing.T) {
			answer := waiting(at(0, "25"))
			time.Sleep(100 * time.Millisecond)
			revokeTokens(t, h, []string{billing}, "not ours")
			revokeTokens(t, h, []string{orders}, "ours")
			select {
			case p := <-answer:
				if !p.Resumed || p.Sequence != 2 || texts(p.Entries) != "token ours policy" {
					t.Errorf("%+v", p)
				}
			case <-time.After(patience):
				t.Fatal("no answer")
			}
		})
		t.Run("only what is not ours", func(t *testing.T) {
			revokeTokens(t, h, []string{billing}, "not ours")
			known(t, h)
			if p := poll(t, h, token, at(2, "0")); p.Sequence != 3 || len(p.Entries) != 0 || p.More {
				t.Errorf("%+v", p)
			}
		})
		t.Run("the token is revoked meanwhile", func(t *testing.T) {
			c, secret := api(h, "fickle", orders)
			token := feedToken(t, h, c, secret)
			status := make(chan int, 1)
			go func() {
				res, err := http.DefaultClient.Do(feedRequest(t, h.Issuer, token, at(3, "25")))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				status <- res.StatusCode
			}()
			time.Sleep(100 * time.Millisecond)
			h.Call("/revoke", c, secret, url.Values{"token": {token}})
			select {
			case got := <-status:
				if got != 401 {
					t.Errorf("%d", got)
				}
			case <-time.After(patience):
				t.Error("it waits on")
			}
		})
	})
}

// TestFeedPollPages: much is told in several answers, all of it once and in order.
func TestFeedPollPages(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		const total = 5500
		for i := 0; i < total; i += 500 {
			names := make([]string, 500)
			for j := range names {
				names[j] = fmt.Sprint(i + j)
			}
			revokeTokens(t, h, []string{orders}, names...)
			revokeTokens(t, h, []string{billing}, "not ours")
		}
		known(t, h)
		for _, query := range []string{"", "resumed"} {
			if query != "" {
				query = "?log=" + poll(t, h, token, "").Log + "&after=0"
			}
			n, answers := 0, 0
			for more := true; more; answers++ {
				p := poll(t, h, token, query)
				if len(p.Entries) > 5000 {
					t.Fatalf("%d entries at once", len(p.Entries))
				}
				for _, e := range p.Entries {
					if e.Value != fmt.Sprint(n) {
						t.Fatalf("%s came as number %d", e.Value, n)
					}
					n++
				}
				more, query = p.More, fmt.Sprintf("?log=%s&after=%d", p.Log, p.Sequence)
			}
			if n != total || answers != 2 {
				t.Errorf("%d entries in %d answers", n, answers)
			}
		}
		s := openStream(t, h.Issuer, token, "")
		if _, backlog, _ := s.begin(); len(backlog) != total || backlog[total-1].Value != fmt.Sprint(total-1) {
			t.Errorf("the stream has %d", len(backlog))
		}
	})
}

// TestFeedFollowers: one client may follow so many times and no more; when one of
// them goes, another may come.
func TestFeedFollowers(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		first := following(t, h.Issuer, token)
		following(t, h.Issuer, token)
		a := servertest.Do(t, feedRequest(t, h.Issuer, token, ""))
		if a.Status != 429 || a.Header.Get("Retry-After") == "" || a.String("error") != string(oauth.TooManyRequests) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		poll(t, h, follower(t, h, "another", orders), "")
		first.cancel()
		for start := time.Now(); servertest.Do(t, feedRequest(t, h.Issuer, token, "")).Status != 200; time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > patience {
				t.Fatal("the place of one that has gone is not free")
			}
		}
	}, func(c *server.Config) { c.Followers = 2 })
}

// TestFeedNothingSecret: the log of the server holds no token of those who follow.
func TestFeedNothingSecret(t *testing.T) {
	h := servertest.Start(t)
	c, secret := api(h, "orders", orders)
	token := feedToken(t, h, c, secret)
	s := following(t, h.Issuer, token)
	servertest.Do(t, feedRequest(t, h.Issuer, token, "?log=x"))
	servertest.Do(t, feedRequest(t, h.Issuer, token+"x", ""))
	if _, err := h.Authority.DisableClient(t.Context(), servertest.Operator, c.ID, true); err != nil {
		t.Fatal(err)
	}
	for range s.messages {
	}
	if signature := token[strings.LastIndex(token, ".")+1:]; strings.Contains(h.Log.String(), signature) || strings.Contains(h.Log.String(), secret.Reveal()) {
		t.Error("it does")
	}
}
