package oauth

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// desk is the rules of renewal on a real database, without what signs and serves.
type desk struct {
	*Authority
	t     *testing.T
	clock atomic.Int64
	fast  atomic.Bool // the clock goes on by a second whenever somebody looks at it
	shop  *registration.Client
}

func eachDesk(t *testing.T, fn func(t *testing.T, d *desk)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := &desk{t: t}
		d.clock.Store(time.Now().Unix())
		d.Authority = &Authority{
			Config: Config{
				Store: s, Logger: slog.New(slog.DiscardHandler), Now: d.now,
				Issuer: "https://id.example", AccessLife: 5 * time.Minute, RefreshIdle: time.Hour, RefreshLife: 24 * time.Hour, RefreshRace: 20 * time.Second,
			},
			refreshKey: make([]byte, 32),
		}
		rand.Read(d.refreshKey)
		d.shop = d.client(model.ClientSettings{Scopes: []string{"openid", "orders"}, GrantTypes: []string{model.GrantAuthorizationCode, model.GrantRefreshToken}})
		fn(t, d)
	})
}

func (d *desk) now() time.Time {
	if d.fast.Load() {
		return time.Unix(d.clock.Add(1), 0)
	}
	return time.Unix(d.clock.Load(), 0)
}

func (d *desk) do(fn func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.Store.Upkeep(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) client(s model.ClientSettings) *registration.Client {
	d.t.Helper()
	c := &registration.Client{Client: model.Client{ID: model.ClientID(model.NewID()), ClientSettings: s}}
	d.do(func(tx *store.Tx) error { return tx.InsertClient(c.Client) })
	return c
}

// family is a person, their session, and a grant of it with its first refresh token.
type family struct {
	user    model.UserID
	session model.SessionID
	grant   model.GrantID
	first   model.Secret
}

func (d *desk) family(c *registration.Client, offline bool) family {
	d.t.Helper()
	f := family{user: model.UserID(model.NewID()), session: model.SessionID(model.NewID()), grant: model.GrantID(model.NewID())}
	now := d.unix()
	session := model.Session{ID: f.session, CookieHash: string(f.session), UserID: f.user, SeenAt: now, IdleAt: now + 3600, ExpiresAt: now + 40000}
	g := model.Grant{ID: f.grant, UserID: f.user, ClientID: c.ID, SessionID: f.session, Scope: []string{"openid", "orders"}, Offline: offline, CreatedAt: now}
	g.ExpiresAt = d.grantEnd(c, g, session)
	d.do(func(tx *store.Tx) (err error) {
		if err := tx.InsertUser(model.User{ID: f.user, Login: string(f.user), Status: model.UserActive}); err != nil {
			return err
		}
		if err := errors.Join(tx.InsertSession(session), tx.InsertGrant(g)); err != nil {
			return err
		}
		own := g // the function may run twice
		f.first, err = d.startRefresh(tx, c, &own, own.ExpiresAt)
		return err
	})
	return f
}

func (d *desk) renew(c *registration.Client, token model.Secret) (issuance, *Error) {
	p, e := parse(url.Values{"refresh_token": {token.Reveal()}})
	if e != nil {
		return issuance{}, e
	}
	return d.redeemRefresh(d.t.Context(), c, p)
}

func (d *desk) good(token model.Secret) model.Secret {
	d.t.Helper()
	i, e := d.renew(d.shop, token)
	if e != nil {
		d.t.Fatal(e)
	}
	return i.refresh
}

func (d *desk) bad(token model.Secret, code Code, ended model.Cause) {
	d.t.Helper()
	if _, e := d.renew(d.shop, token); e == nil || e.Code != code || e.Ended != ended {
		d.t.Errorf("renewing: %v, want %s because of %q", e, code, ended)
	}
}

func (d *desk) log() (list []model.Revocation) {
	d.t.Helper()
	err := d.Store.View(d.t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Revocations(0, 0); return err })
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// putOut reports whether the log puts out the access token of a renewal.
func (d *desk) putOut(i issuance, f family) (ended bool) {
	d.t.Helper()
	token := store.TokenRef{SessionID: f.session, GrantID: f.grant, UserID: f.user, ClientID: d.shop.ID, IssuedAt: i.at}
	if i.grant.Offline {
		token.SessionID = model.SessionID(f.grant)
	}
	err := d.Store.View(d.t.Context(), func(tx *store.Tx) (err error) { _, ended, err = tx.TokenEnded(token); return err })
	if err != nil {
		d.t.Fatal(err)
	}
	return ended
}

// at runs fn n times at the same moment.
func at(n int, fn func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	all.Wait()
}

// A hundred renewals with one token at once: one family, and nobody is signed out.
func TestRenewalsAtOnce(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		const many = 100
		f := d.family(d.shop, false)
		got, failed := make([]issuance, many), make([]*Error, many)
		at(many, func(i int) { got[i], failed[i] = d.renew(d.shop, f.first) })
		for i := range many {
			if failed[i] != nil || got[i].refresh != got[0].refresh || got[i].refresh == f.first || got[i].grant.ID != f.grant {
				t.Fatalf("renewal %d: %v, of grant %s", i, failed[i], got[i].grant.ID)
			}
		}
		if g := got[0].grant; g.Generation != 2 {
			t.Errorf("generation %d", g.Generation)
		}
		if log := d.log(); len(log) != 0 {
			t.Errorf("something ended: %+v", log)
		}
		d.good(got[0].refresh)
	})
}

// Whoever asks more often than that is told to go on with the successor. It ends
// nothing, inside the window.
func TestRenewalsTooMany(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		f := d.family(d.shop, false)
		next := d.good(f.first)
		for range maxReplays {
			if d.good(f.first) != next {
				t.Fatal("another successor")
			}
		}
		for range 3 {
			_, e := d.renew(d.shop, f.first)
			if e == nil || e.Code != TooManyRequests || e.RetryAfter < 1 || e.Busy || e.Ended != "" {
				t.Fatalf("%+v", e)
			}
		}
		third := d.good(next) // and the count begins anew
		if d.good(next) != third || len(d.log()) != 0 {
			t.Errorf("the log has %+v", d.log())
		}
	})
}

// A stolen token does not live: RFC 9700 §4.14.2.
func TestRenewalTheft(t *testing.T) {
	thefts := map[string]func(d *desk, f family) (old, live model.Secret){
		"after the window": func(d *desk, f family) (model.Secret, model.Secret) {
			next := d.good(f.first)
			d.clock.Add(21)
			return f.first, next
		},
		"inside the window, when the successor was used": func(d *desk, f family) (model.Secret, model.Secret) {
			return f.first, d.good(d.good(f.first))
		},
		"a clock that was put back opens no window": func(d *desk, f family) (model.Secret, model.Secret) {
			next := d.good(f.first)
			d.clock.Add(-21)
			return f.first, next
		},
	}
	eachDesk(t, func(t *testing.T, d *desk) {
		for name, theft := range thefts {
			t.Run(name, func(t *testing.T) {
				before := len(d.log())
				f := d.family(d.shop, false)
				old, live := theft(d, f)
				d.bad(old, InvalidGrant, model.CauseReuseDetected)
				d.bad(live, InvalidGrant, model.CauseReuseDetected)
				d.bad(old, InvalidGrant, model.CauseReuseDetected)
				log := d.log()[before:]
				if len(log) != 1 || log[0].Kind != model.KindGrant || log[0].Value != string(f.grant) || log[0].Cause != model.CauseReuseDetected {
					t.Errorf("the log has %+v", log)
				}
			})
		}
		// At the last second of the window it is a race still.
		f := d.family(d.shop, false)
		next := d.good(f.first)
		d.clock.Add(20)
		if d.good(f.first) != next {
			t.Error("another successor")
		}
	})
}

// Whatever ends a grant while it is being renewed leaves no refresh token that
// lives, and no access token that the log does not put out.
func TestEndAgainstRenewal(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		for _, row := range []struct {
			name    string
			offline bool
			end     func(tx *store.Tx, f family, e store.Ending) error
		}{
			{"the session ends", false, func(tx *store.Tx, f family, e store.Ending) error { return tx.EndSession(f.session, e) }},
			{"the person is locked", false, func(tx *store.Tx, f family, e store.Ending) error { return tx.EndUser(f.user, e) }},
			{"the person is locked, offline", true, func(tx *store.Tx, f family, e store.Ending) error { return tx.EndUser(f.user, e) }},
			{"the grant ends", true, func(tx *store.Tx, f family, e store.Ending) error { return tx.EndGrant(f.grant, e) }},
			{"everything ends", true, func(tx *store.Tx, _ family, e store.Ending) error { return tx.EndAll(e) }},
		} {
			t.Run(row.name, func(t *testing.T) {
				for round := range 4 {
					d.fast.Store(false)
					f := d.family(d.shop, row.offline)
					d.fast.Store(true) // so that a second off shows
					d.endWhileRenewing(t, f, round, row.end)
				}
			})
		}
	})
}

func (d *desk) endWhileRenewing(t *testing.T, f family, round int, end func(tx *store.Tx, f family, e store.Ending) error) {
	got := []issuance{{refresh: f.first}}
	under := make(chan struct{}) // closed when the renewals are under way
	at(2, func(i int) {
		if i == 0 {
			<-under
			err := d.update(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.Grant(f.grant); err != nil { // the time of the end comes after (store.Ending)
					return err
				}
				if err := end(tx, f, d.ending(model.CauseAdmin)); err != nil {
					return err
				}
				return tx.Record(model.Event{Action: "test.end"})
			})
			if err != nil {
				t.Error(err)
			}
			return
		}
		for token := f.first; ; {
			if len(got) == round+1 {
				close(under)
			}
			i, e := d.renew(d.shop, token)
			if e != nil {
				if e.Code != InvalidGrant || e.Ended != model.CauseAdmin {
					t.Error(e)
				}
				return
			}
			token = i.refresh
			got = append(got, i)
		}
	})
	for _, i := range got[max(0, len(got)-3):] { // what came last before the end
		if _, e := d.renew(d.shop, i.refresh); e == nil || e.Code != InvalidGrant {
			t.Fatalf("a refresh token lives: %v", e)
		}
		if i.at != 0 && !d.putOut(i, f) {
			t.Fatalf("an access token of %d lives after %+v", i.at, d.log())
		}
	}
}

// What becomes of a grant with offline_access when its session ends is the
// operator's to say: OpenID Connect Core §11, OpenID Connect Back-Channel Logout
// §2.7. A lock, or signing out everywhere, ends it in any case.
func TestOfflinePolicy(t *testing.T) {
	ends := map[string]func(tx *store.Tx, f family, e store.Ending) error{
		"the session ends":    func(tx *store.Tx, f family, e store.Ending) error { return tx.EndSession(f.session, e) },
		"the session expires": func(*store.Tx, family, store.Ending) error { return nil }, // and nobody has noticed
		"signed out everywhere": func(tx *store.Tx, f family, e store.Ending) error {
			return tx.EndUser(f.user, e)
		},
	}
	for _, row := range []struct {
		name, server, client string
		offline, survives    bool
	}{
		{"by default it survives", "", "", true, true},
		{"without the scope it never does", "", model.OfflineSurvives, false, false},
		{"the server says that it ends", model.OfflineEnds, "", true, false},
		{"the client says that it ends", model.OfflineSurvives, model.OfflineEnds, true, false},
		{"the client says that it survives", model.OfflineEnds, model.OfflineSurvives, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachDesk(t, func(t *testing.T, d *desk) {
				d.OfflineAccess, d.shop.OfflinePolicy = row.server, row.client
				d.RefreshIdle = 2 * time.Hour // longer than the session
				for how, end := range ends {
					f := d.family(d.shop, row.offline)
					token := d.good(f.first)
					d.do(func(tx *store.Tx) error { return end(tx, f, d.ending(model.CauseSignedOut)) })
					if how == "the session expires" {
						d.clock.Add(3600)
					}
					_, e := d.renew(d.shop, token)
					if want := row.survives && how != "signed out everywhere"; (e == nil) != want || e != nil && e.Code != InvalidGrant {
						t.Errorf("%s: %v, want it to live: %t", how, e, want)
					}
				}
			})
		})
	}
}

// The lives of refresh tokens, of the server or of the client: one that slides, and
// one that does not.
func TestRefreshLives(t *testing.T) {
	for _, row := range []struct {
		name           string
		settings       model.ClientSettings
		idle, absolute int64
	}{
		{"the server's", model.ClientSettings{}, 3600, 24 * 3600},
		{"the client's", model.ClientSettings{RefreshIdle: 600, RefreshLife: 1500}, 600, 1500},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachDesk(t, func(t *testing.T, d *desk) {
				row.settings.GrantTypes = []string{model.GrantRefreshToken}
				c := d.client(row.settings)
				renew := func(token model.Secret, good bool) model.Secret {
					t.Helper()
					i, e := d.renew(c, token)
					if (e == nil) != good || e != nil && (e.Code != InvalidGrant || e.Ended != model.CauseExpired) {
						t.Fatalf("%v, want it to be good: %t", e, good)
					}
					return i.refresh
				}
				unused := d.family(c, true)
				d.clock.Add(row.idle - 1)
				token := renew(unused.first, true) // and so it slides
				d.clock.Add(row.idle)
				renew(token, false)

				busy := d.family(c, true)
				token = busy.first
				left := row.absolute
				for ; left > row.idle; left -= row.idle - 1 {
					d.clock.Add(row.idle - 1)
					token = renew(token, true)
				}
				d.clock.Add(left - 1)
				token = renew(token, true)
				d.clock.Add(1)
				renew(token, false)
			})
		})
	}
}
