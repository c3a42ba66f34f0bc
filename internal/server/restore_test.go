package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/resource"
)

// backUp returns a backup of a house.
func backUp(t *testing.T, h *servertest.House) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := h.BackUp(t.Context(), servertest.Operator, &b, server.BackUp{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// restore stops a house, puts a backup in place of its database, and starts it again.
func restore(t *testing.T, h *servertest.House, file []byte, keep bool) {
	t.Helper()
	h.Stop()
	c := h.Config
	if c.Database != "" {
		c.Database = storetest.EmptyPostgresURL(t)
	}
	out, err := c.Restore(t.Context(), server.Restore{
		File: bytes.NewReader(file), Force: true, Keep: keep, Actor: servertest.Operator, Progress: func(int64, int64) {},
		Passphrase: func() (model.Secret, error) { return "", errors.New("nobody asked for a passphrase") },
	})
	if err != nil || out.Unsound != nil || out.Entries == 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	h.Restart(func(s *server.Config) { s.Database = c.Database })
}

// TestRestore: an API that follows the feed goes through a restore, in which the
// numbers of the log go back. It forgets nothing that it knew, refuses what was issued
// before, and is told of what is ended afterwards, under numbers that it has seen.
func TestRestore(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(map[bool]string{false: "everybody signs in anew", true: "sessions kept"}[keep], func(t *testing.T) {
			servertest.Each(t, func(t *testing.T, h *servertest.House) { testRestore(t, h, keep) })
		})
	}
}

func testRestore(t *testing.T, h *servertest.House, keep bool) {
	user := h.User("olena", password)
	shop, secret := h.Client("shop", with(web, func(s *model.ClientSettings) { s.Audiences = []string{orders} }))
	follower, followerSecret := api(h, "orders", orders)
	feed, err := resource.NewFeed(resource.FeedConfig{Issuer: h.Issuer, ClientID: string(follower.ID), ClientSecret: followerSecret.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := resource.New(resource.Config{Issuer: h.Issuer, Audience: orders, Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	followed := make(chan error, 1)
	go func() { followed <- feed.Run(ctx) }()
	defer func() {
		stop()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	}()
	ask := func(token string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		guard.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})).ServeHTTP(w, r)
		return w.Code
	}
	becomes := func(name, token string, want int) {
		t.Helper()
		for until := time.Now().Add(time.Minute); ask(token) != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: %d, not %d; the feed: %+v", name, ask(token), want, feed.State())
			}
		}
	}
	signIn := func() servertest.Answer {
		a := h.Redeem(shop, secret, h.Browser().SignIn(servertest.AuthorizePath(shop, "scope", "orders:write offline_access"), "olena", password))
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		return a
	}
	end := func(a servertest.Answer) {
		t.Helper()
		id, _ := claimsOf(t, a.String("access_token"))["grant_id"].(string)
		err := h.Store.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.EndGrant(model.GrantID(id), store.NewEnding(model.CauseAdmin, time.Now().Unix())); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: servertest.Operator, Action: "grant.revoke"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	before, outAfter := signIn(), signIn()
	becomes("a token", before.String("access_token"), http.StatusOK)
	file := backUp(t, h)
	// What comes now is lost by the restore, with the numbers of its entries.
	for range 5 {
		end(signIn())
	}
	end(outAfter)
	becomes("a grant that was ended", outAfter.String("access_token"), http.StatusUnauthorized)
	was := feed.State()
	if was.Sequence < 6 {
		t.Fatalf("%+v", was)
	}

	restore(t, h, file, keep)
	for until := time.Now().Add(time.Minute); feed.State().Log == was.Log || feed.State().Mode == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the API still follows the old log: %+v", feed.State())
		}
	}
	if now := feed.State(); now.Sequence >= was.Sequence {
		t.Errorf("the numbers did not go back: %d after %d", now.Sequence, was.Sequence)
	}
	// Known from the old log, and in none of the new one where sessions were kept.
	becomes("a grant that was ended after the backup", outAfter.String("access_token"), http.StatusUnauthorized)
	if keep {
		becomes("a token from before", before.String("access_token"), http.StatusOK)
		if a := renew(h, shop, secret, before.String("refresh_token")); a.Status != http.StatusOK {
			t.Errorf("a refresh token from before: %d %s", a.Status, a.Text)
		}
	} else {
		becomes("a token from before", before.String("access_token"), http.StatusUnauthorized)
		for name, a := range map[string]servertest.Answer{"from before": before, "that was ended after the backup": outAfter} {
			if a := renew(h, shop, secret, a.String("refresh_token")); a.String("error") != "invalid_grant" {
				t.Errorf("a refresh token %s: %d %s", name, a.Status, a.Text)
			}
		}
	}
	time.Sleep(1100 * time.Millisecond) // a token says whole seconds, and everything up to that of the restore is out
	after := signIn()
	becomes("a token from after", after.String("access_token"), http.StatusOK)
	end(after)
	becomes("a token that was put out after the restore, under a number from before it", after.String("access_token"), http.StatusUnauthorized)
	if _, err := h.Accounts.ByLogin(t.Context(), user.Login); err != nil {
		t.Error(err)
	}
}

// TestBackUpUnderLoad: a backup is the state of one moment while a server writes, and
// writers do not wait for it.
func TestBackUpUnderLoad(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		// Pairs that are only ever written together.
		var pairs atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 4)
		for w := range cap(done) {
			go func() {
				for n := 0; ctx.Err() == nil; n++ {
					name := "pair." + string(rune('a'+w)) + "."
					err := h.Store.Upkeep(ctx, func(tx *store.Tx) error {
						if err := tx.PutSetting(name+"1", time.Unix(int64(n), 0).String()); err != nil {
							return err
						}
						return tx.PutSetting(name+"2", time.Unix(int64(n), 0).String())
					})
					if err != nil && ctx.Err() == nil {
						done <- err
						return
					}
					pairs.Add(1)
				}
				done <- nil
			}()
		}
		for range 5 {
			before := pairs.Load()
			file := backUp(t, h)
			for until := time.Now().Add(time.Minute); pairs.Load() == before && time.Now().Before(until); {
				time.Sleep(time.Millisecond)
			}
			if pairs.Load() == before {
				t.Fatal("nobody could write")
			}
			path := filepath.Join(t.TempDir(), "copy.db")
			loadInto(t, file, "sqlite:"+path)
			s := storetest.Open(t, "sqlite:"+path)
			err := s.View(t.Context(), func(tx *store.Tx) error {
				for _, w := range "abcd" {
					one, _ := tx.Setting("pair." + string(w) + ".1")
					two, _ := tx.Setting("pair." + string(w) + ".2")
					if one != two {
						t.Errorf("%q and %q", one, two)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		stop()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// loadInto puts a backup into a database as it is.
func loadInto(t *testing.T, file []byte, address string) {
	t.Helper()
	contents, err := backup.Verify(t.Context(), bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	target, err := store.OpenTarget(t.Context(), address, contents.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Load(t.Context(), bytes.NewReader(file), contents, target, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredOpen: what counts once does not come back, nor does the trust in a
// browser.
func TestRestoredOpen(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		change(t, h, func(tx *store.Tx) error {
			return tx.InsertLink(store.Link{Hash: "hash", Purpose: "test", ExpiresAt: time.Now().Add(time.Hour).Unix()})
		})
		if err := h.Accounts.Restored(t.Context(), servertest.Operator, account.Restoring{}); err != nil {
			t.Fatal(err)
		}
		err := h.Store.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Link("hash", "test", time.Now().Unix())
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the link: %v", err)
		}
	})
}

// TestMoveFlows: sessions, refresh tokens, keys, consents and the feed's numbers go on
// where a database has moved from SQLite to PostgreSQL, and back.
func TestMoveFlows(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	c, secret := h.Client("shop", with(web, func(s *model.ClientSettings) { s.Audiences = []string{orders} }))
	b := h.Browser()
	a := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c, "scope", "orders:write offline_access"), "olena", password))
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	token := follower(t, h, "orders", orders)
	revokeTokens(t, h, nil, "one")
	s := openStream(t, h.Issuer, token, "")
	hello, _, _ := s.begin()
	name := func(hello string) string {
		var h struct{ Log string }
		if err := json.Unmarshal([]byte(hello), &h); err != nil || h.Log == "" {
			t.Fatalf("%q: %v", hello, err)
		}
		return h.Log
	}
	known(t, h)
	access := a.String("access_token")
	places := []string{storetest.EmptyPostgresURL(t), "sqlite:" + filepath.Join(t.TempDir(), "back.db")}
	from := "sqlite:" + filepath.Join(h.Config.Data, "ostiary.db")
	for _, to := range places {
		h.Stop()
		if _, err := h.Config.Move(t.Context(), server.Move{From: from, To: to}); err != nil {
			t.Fatal(err)
		}
		h.Restart(func(s *server.Config) { s.Database = to })
		from = to
		if a = renew(h, c, secret, a.String("refresh_token")); a.Status != http.StatusOK {
			t.Fatalf("the refresh token: %d %s", a.Status, a.Text)
		}
		if got := h.Call("/introspect", c, secret, map[string][]string{"token": {access}}); got.JSON["active"] != true {
			t.Errorf("a token that the moved keys have signed: %s", got.Text)
		}
		// The session in the browser, and the consent: no page is shown.
		page := b.Get(servertest.AuthorizePath(c, "scope", "orders:write"))
		if page.Left == nil || page.Left.Query().Get("code") == "" {
			t.Errorf("the browser is at %s (%d)", page.URL, page.Status)
		}
		revokeTokens(t, h, nil, "two"+from)
		known(t, h)
		s = openStream(t, h.Issuer, token, "")
		again, backlog, _ := s.begin()
		if name(again) != name(hello) {
			t.Errorf("the log is another: %s, not %s", again, hello)
		}
		if len(backlog) < 2 {
			t.Errorf("the log was not moved: %v", backlog)
		}
	}
}
