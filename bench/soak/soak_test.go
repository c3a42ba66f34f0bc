// Package soak runs a server at full load for a time in which months pass for it, and
// looks for what only grows: memory, goroutines, file handles, rows.
package soak

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

var (
	duration    = flag.Duration("soak", 6*time.Second, "how long the load lasts, on each database")
	connections = flag.Int("connections", 4, "on how many connections")
)

const password = "correct horse battery"

// pace is how much time passes in the house with each beat, which is a real tenth of a
// second: two hours. So sessions begin, end and are swept while it runs, and keys rotate.
const (
	pace = 2 * time.Hour
	beat = 100 * time.Millisecond
)

// TestSoak: six seconds as a rule, ten minutes by scripts/soak.
func TestSoak(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		folder := t.TempDir()
		soak(t, "sqlite", filepath.Join(folder, "ostiary.db"), func(c *server.Config) { c.Data = folder })
	})
	t.Run("postgres", func(t *testing.T) {
		database := storetest.PostgresURL(t)
		soak(t, "pgx", database, func(c *server.Config) { c.Database = database })
	})
}

// house is a server under load.
type house struct {
	*servertest.House
	shop   model.Client
	robot  model.Client
	secret model.Secret
	// time passes between two operations, never within one.
	time sync.RWMutex
	done atomic.Int64
}

func soak(t *testing.T, driver, source string, where servertest.Option) {
	h := &house{House: servertest.Start(t, where, func(c *server.Config) {
		c.Logger = slog.New(slog.DiscardHandler) // the log of a test is kept in memory
		c.SessionIdle, c.SessionLife = 3*time.Hour, 6*time.Hour
		c.RefreshIdle, c.RefreshLife = 6*time.Hour, 12*time.Hour
		c.AuditKeep = 6 * time.Hour
		c.KeyRotation, c.KeyAhead = 48*time.Hour, 8*time.Hour
	})}
	h.shop, _ = h.Client("shop", model.ClientSettings{
		Name: "Shop", AuthMethod: model.AuthNone, RedirectURIs: []string{"https://shop.example/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"}, Scopes: []string{"openid", "profile", "email", "offline_access"}, FirstParty: true, IDTokenAlgorithm: "ES256",
	})
	h.robot, h.secret = h.Client("robot", model.ClientSettings{
		Name: "Robot", AuthMethod: model.AuthBasic, GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{"read"}, Audiences: []string{h.Issuer},
	})
	for i := range *connections {
		h.User(login(i), password)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	begun := h.take(t, db)
	h.load(t, *duration*2/5)
	middle := h.take(t, db)
	h.load(t, *duration*3/5)
	end := h.take(t, db)
	for range 3 { // what is over is ended, and stays a day after that; a browser is known for a year
		h.Clock.Move(200 * 24 * time.Hour)
		h.sweep(t)
	}
	rest := h.take(t, db)
	t.Logf("%d operations in %v, %.0f days for the server", h.done.Load(), *duration, (duration.Seconds()/beat.Seconds())*pace.Hours()/24)
	for _, s := range []struct {
		when string
		sample
	}{{"at first", begun}, {"in the middle", middle}, {"at the end", end}, {"a year later", rest}} {
		t.Logf("%-15s heap %5.1f MiB, %3d goroutines, %3d files, database %5.1f MiB, rows: %v", s.when, s.heap, s.goroutines, s.files, s.size, s.rows)
	}
	// What lives is not growth: in the middle the server has lived for longer than
	// anything of it does, so from then on as much goes as comes. A run of minutes has
	// more to even out than one of seconds, which may have met a slow moment.
	if end.heap > middle.heap*1.5+16 {
		t.Errorf("the heap grew from %.1f to %.1f MiB", middle.heap, end.heap)
	}
	if end.goroutines > middle.goroutines+20 {
		t.Errorf("goroutines grew from %d to %d", middle.goroutines, end.goroutines)
	}
	if end.files > middle.files+20 {
		t.Errorf("open files grew from %d to %d", middle.files, end.files)
	}
	// When all that lived is over nothing is left of it.
	for name, n := range rest.rows {
		if n > begun.rows[name]+left[name] {
			t.Errorf("%s: %d rows are left when nothing is alive, and there were %d at first", name, n, begun.rows[name])
		}
	}
}

// left are the rows that stay when all is over: keys wait for their turn and stay
// published, the audit log is kept for hours, a place in it and the log's name are
// settings.
var left = map[string]int64{"signing_keys": 12, "settings": 8, "events": 40, "goose_db_version": 0, "sqlite_sequence": 20, "sqlite_stat1": 200}

func login(i int) string { return fmt.Sprintf("olena%d", i) }

// load works on all connections for a time, while time passes.
func (h *house) load(t *testing.T, d time.Duration) {
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var work sync.WaitGroup
	for i := range *connections {
		work.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				h.time.RLock()
				h.person(t, login(i))
				h.time.RUnlock()
			}
		})
	}
	work.Go(func() {
		for tick := time.NewTicker(beat); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			h.time.Lock()
			h.Clock.Move(pace)
			h.time.Unlock()
			h.sweep(t)
		}
	})
	work.Wait()
}

// sweep does what the server does by itself once in a minute, or a second, of real
// time, of which there are few here.
func (h *house) sweep(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	for range 20 {
		if err := h.Accounts.Expire(ctx); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.Store.Sweep(ctx, h.Clock.Now().Unix(), 0); err != nil {
		t.Error(err)
	}
	if _, err := h.Audit.Seal(ctx); err != nil {
		t.Error(err)
	}
	if _, err := h.Registrar.SweepClients(ctx); err != nil {
		t.Error(err)
	}
	if _, err := h.Audit.Sweep(ctx); err != nil {
		t.Error(err)
	}
}

// person signs in, has tokens, asks about them, renews them, and mostly forgets to sign
// out.
func (h *house) person(t *testing.T, login string) {
	b := h.Browser()
	p := b.Get(servertest.AuthorizePath(h.shop))
	p = p.Submit("primary", "login", login, "password", password)
	if p.Status == http.StatusServiceUnavailable {
		return // a machine that is too busy for one more password, which is said so
	}
	if p.Left == nil {
		t.Errorf("no code: %d %s", p.Status, p.Body)
		return
	}
	for range 5 {
		said := h.ask(t, "/token", h.shop, "", url.Values{
			"grant_type": {"authorization_code"}, "code": {p.Left.Query().Get("code")}, "redirect_uri": {h.shop.RedirectURIs[0]}, "code_verifier": {servertest.Verifier},
		}, http.StatusOK)
		for range 3 {
			said = h.ask(t, "/token", h.shop, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {said.String("refresh_token")}}, http.StatusOK)
		}
		h.ask(t, "/userinfo", model.Client{}, "", url.Values{"access_token": {said.String("access_token")}}, http.StatusOK)
		h.ask(t, "/introspect", h.robot, h.secret, url.Values{"token": {said.String("access_token")}}, http.StatusOK)
		robot := h.ask(t, "/token", h.robot, h.secret, url.Values{"grant_type": {"client_credentials"}}, http.StatusOK)
		h.ask(t, "/revoke", h.robot, h.secret, url.Values{"token": {robot.String("access_token")}}, http.StatusOK)
		if p = b.Get(servertest.AuthorizePath(h.shop)); p.Left == nil {
			t.Errorf("no code with a session: %d %s", p.Status, p.Body)
			return
		}
	}
	// Some are left half way.
	h.Browser().Get("/sign-in")
}

func (h *house) ask(t *testing.T, path string, c model.Client, secret model.Secret, form url.Values, want int) servertest.Answer {
	a := h.Call(path, c, secret, form)
	if a.Status != want {
		t.Errorf("%s: %d %s", path, a.Status, a.Text)
	}
	h.done.Add(1)
	return a
}

// sample is what there is at a moment at which nobody asks for anything.
type sample struct {
	heap       float64 // MiB
	goroutines int
	files      int
	size       float64 // of the database's file, MiB
	rows       map[string]int64
}

func (h *house) take(t *testing.T, db *sql.DB) sample {
	t.Helper()
	h.sweep(t)
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // those that are closed go
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := sample{heap: float64(m.HeapAlloc) / (1 << 20), goroutines: runtime.NumGoroutine(), rows: map[string]int64{}}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.files = len(list)
	}
	tables := `SELECT name FROM sqlite_schema WHERE type = 'table'`
	if h.Config.Database != "" {
		tables = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`
	} else if info, err := os.Stat(filepath.Join(h.Config.Data, "ostiary.db")); err == nil {
		s.size = float64(info.Size()) / (1 << 20)
	}
	var names []string
	list, err := db.Query(tables)
	if err != nil {
		t.Fatal(err)
	}
	for list.Next() {
		var name string
		if err := list.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := list.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var n int64
		if err := db.QueryRow("SELECT count(*) FROM " + name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 && !strings.HasPrefix(name, "sqlite_stat") {
			s.rows[name] = n
		}
	}
	return s
}
