package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func newGrant(t *testing.T, s *store.Store, g model.Grant) {
	t.Helper()
	upkeep(t, s, func(tx *store.Tx) error { return tx.InsertGrant(g) })
}

func TestGrant(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g := model.Grant{
			ID: "g1", UserID: "ann", Subject: "someone", ClientID: "shop", SessionID: "s1", Scope: []string{"openid", "a"}, Audience: []string{"https://api.example"},
			Claims: model.ClaimsRequest{UserInfo: model.WantedClaims{"name": nil, "email": {json.RawMessage(`"a b"`), json.RawMessage("1")}}},
			Nonce:  "n", AuthTime: 1, ACR: "x", AMR: []string{"pwd"}, Offline: true, CreatedAt: 2, ExpiresAt: now() + 60,
			Salt: "salt", Generation: 4, RotatedAt: 5, Replays: 6, IdleAt: 7, NotBefore: 8,
		}
		get := func(tx *store.Tx) (model.Grant, error) { return tx.Grant("g1") }
		fails(t, s, store.ErrNotFound, missing(get))
		newGrant(t, s, g)
		equal(t, read(t, s, get), g)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertGrant(g) })

		upkeep(t, s, func(tx *store.Tx) error {
			return tx.EndGrant("g1", store.Ending{Cause: model.CauseAdmin, At: 9})
		})
		g.EndedAt, g.EndCause = 9, model.CauseAdmin
		equal(t, read(t, s, get), g)
	})
}

// A grant is issued in a session that is live, and to a client that is not disabled.
func TestIssueGrant(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			return errors.Join(
				tx.InsertClient(model.Client{ID: "off", Disabled: true}),
				tx.InsertSession(model.Session{ID: "live", CookieHash: "1", UserID: "ann", IdleAt: 100, ExpiresAt: 200}),
				tx.InsertSession(model.Session{ID: "short", CookieHash: "2", UserID: "ann", IdleAt: 200, ExpiresAt: 100}),
				tx.InsertSession(model.Session{ID: "over", CookieHash: "3", UserID: "ann", IdleAt: 100, ExpiresAt: 200, EndedAt: 50}),
			)
		})
		for _, test := range []struct {
			session model.SessionID
			client  model.ClientID
			now     int64
			want    error
		}{
			{"live", "shop", 99, nil},
			{"live", "shop", 100, store.ErrLapsed},
			{"short", "shop", 99, nil},
			{"short", "shop", 100, store.ErrLapsed},
			{"over", "shop", 10, store.ErrLapsed},
			{"none", "shop", 10, store.ErrLapsed},
			{"live", "off", 10, store.ErrLapsed},
			{"live", "none", 10, store.ErrLapsed},
		} {
			g := model.Grant{ID: model.GrantID(model.NewID()), UserID: "ann", ClientID: test.client, SessionID: test.session, ExpiresAt: now() + 60}
			setting := string(g.ID)
			err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
				return errors.Join(tx.IssueGrant(g, test.now), tx.PutSetting(setting, "x"))
			})
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("in %s to %s at %d: %v, want %v", test.session, test.client, test.now, err, test.want)
			}
			get := func(tx *store.Tx) (model.Grant, error) { return tx.Grant(g.ID) }
			beside := func(tx *store.Tx) (string, error) { return tx.Setting(setting) }
			if test.want == nil {
				equal(t, read(t, s, get), g)
				equal(t, read(t, s, beside), "x")
			} else {
				fails(t, s, store.ErrNotFound, missing(get))
				fails(t, s, store.ErrNotFound, missing(beside))
			}
		}
	})
}

func TestGrantsOf(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		soon := now() + 60
		newGrant(t, s, model.Grant{ID: "old", UserID: "ann", ClientID: "shop", CreatedAt: 1, ExpiresAt: soon})
		newGrant(t, s, model.Grant{ID: "young", UserID: "ann", ClientID: "shop", CreatedAt: 2, ExpiresAt: soon})
		newGrant(t, s, model.Grant{ID: "ended", UserID: "ann", ClientID: "shop", ExpiresAt: soon, EndedAt: 1})
		newGrant(t, s, model.Grant{ID: "expired", UserID: "ann", ClientID: "shop", ExpiresAt: now()})
		newGrant(t, s, model.Grant{ID: "other", UserID: "bob", ClientID: "shop", ExpiresAt: soon})
		var got []model.GrantID
		for _, g := range read(t, s, func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsOf("ann") }) {
			got = append(got, g.ID)
		}
		equal(t, got, []model.GrantID{"young", "old"})
	})
}

func TestUsesOf(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		soon := now() + 60
		newGrant(t, s, model.Grant{ID: "old", UserID: "ann", ClientID: "shop", CreatedAt: 1, ExpiresAt: 2})
		newGrant(t, s, model.Grant{ID: "young", UserID: "ann", ClientID: "shop", CreatedAt: 3, RotatedAt: 9, ExpiresAt: soon})
		newGrant(t, s, model.Grant{ID: "last", UserID: "ann", ClientID: "shop", CreatedAt: 5, ExpiresAt: soon, EndedAt: 6})
		newGrant(t, s, model.Grant{ID: "other", UserID: "bob", ClientID: "shop", CreatedAt: 99, ExpiresAt: soon})
		equal(t, read(t, s, func(tx *store.Tx) ([]store.Use, error) { return tx.UsesOf("ann") }), []store.Use{{ClientID: "shop", Since: 1, Last: 9}})
		// Whoever ends them ends what somebody may be extending, too.
		newGrant(t, s, model.Grant{ID: "late", UserID: "ann", ClientID: "shop", SessionID: "s", CreatedAt: 2, ExpiresAt: now() - 30})
		newGrant(t, s, model.Grant{ID: "dead", UserID: "ann", ClientID: "shop", SessionID: "s", CreatedAt: 2, ExpiresAt: now() - 60})
		for name, list := range map[string]func(*store.Tx) ([]model.Grant, error){
			"to":     func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsTo("ann", "shop") },
			"beside": func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsBeside("ann", "another") },
			"begun":  func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsBegun("ann", 3) },
		} {
			var got []model.GrantID
			for _, g := range read(t, s, list) {
				got = append(got, g.ID)
			}
			if want := []model.GrantID{"young", "late"}; !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		if nothing := read(t, s, func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsTo("ann", "nobody") }); len(nothing) != 0 {
			t.Errorf("%v", nothing)
		}
	})
}

func startRefresh(id model.GrantID, at, idleAt, until int64) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		g, err := tx.Grant(id)
		if err == nil {
			_, err = tx.StartRefresh(g, "salt", at, idleAt, until)
		}
		return err
	}
}

func rotateRefresh(id model.GrantID, generation, at, idleAt int64) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		g, err := tx.Grant(id)
		if err == nil {
			_, err = tx.RotateRefresh(g, generation, at, idleAt)
		}
		return err
	}
}

func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const idle = 200
		rotate := func(id model.GrantID, generation, at int64) func(*store.Tx) (model.Grant, error) {
			return func(tx *store.Tx) (model.Grant, error) {
				g, err := tx.Grant(id)
				if err != nil {
					return g, err
				}
				return tx.RotateRefresh(g, generation, at, at+idle)
			}
		}
		replay := func(generation int64) func(*store.Tx) (model.Grant, error) {
			return func(tx *store.Tx) (model.Grant, error) { return tx.ReplayRefresh("g1", generation, 2) }
		}
		start := func(id model.GrantID, at, until int64) func(*store.Tx) error {
			return startRefresh(id, at, at+idle, until)
		}
		g := model.Grant{ID: "g1", UserID: "ann", ClientID: "shop", ExpiresAt: 2000}
		newGrant(t, s, g)
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 0, 1000))) // no family yet
		fails(t, s, store.ErrNotFound, missing(replay(0)))
		fails(t, s, store.ErrNotFound, start("g1", 2000, 3000)) // expired

		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ExtendGrant("g2", 3000) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.ExtendGrant("g1", 3000) })
		g.ExpiresAt = 3000
		upkeep(t, s, start("g1", 1000, 3000))
		g.Salt, g.Generation, g.RotatedAt, g.IdleAt = "salt", 1, 1000, 1000+idle
		equal(t, read(t, s, func(tx *store.Tx) (model.Grant, error) { return tx.Grant("g1") }), g)
		fails(t, s, store.ErrNotFound, start("g1", 1000, 3000)) // one family

		fails(t, s, store.ErrNotFound, missing(rotate("g2", 1, 1100)))
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 0, 1100)))
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 2, 1100)))
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 1, 1000+idle))) // idle
		upkeep(t, s, func(tx *store.Tx) error {
			got, err := rotate("g1", 1, 1100)(tx)
			g.Generation, g.RotatedAt, g.IdleAt = 2, 1100, 1300
			equal(t, got, g)
			return err
		})
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 1, 1100))) // used

		fails(t, s, store.ErrNotFound, missing(replay(1)))
		upkeep(t, s, missing(replay(2)))
		upkeep(t, s, func(tx *store.Tx) error {
			got, err := tx.ReplayRefresh("g1", 2, 2)
			g.Replays = 2
			equal(t, got, g)
			return err
		})
		fails(t, s, store.ErrNotFound, missing(replay(2))) // twice is the most

		upkeep(t, s, missing(rotate("g1", 2, 1200))) // and the count begins anew
		upkeep(t, s, missing(replay(3)))
		upkeep(t, s, func(tx *store.Tx) error { return tx.EndGrant("g1", store.Ending{At: 1250}) })
		fails(t, s, store.ErrNotFound, missing(rotate("g1", 3, 1260)))
		fails(t, s, store.ErrNotFound, missing(replay(3)))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ExtendGrant("g1", 4000) })

		newGrant(t, s, model.Grant{ID: "g3", UserID: "ann", ClientID: "shop", ExpiresAt: 1100})
		upkeep(t, s, start("g3", 1000, 1100))
		fails(t, s, store.ErrNotFound, missing(rotate("g3", 1, 1100))) // the grant has expired
	})
}

func TestCode(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		newGrant(t, s, model.Grant{ID: "g1", UserID: "ann", ClientID: "shop", ExpiresAt: 2000})
		c := model.Code{
			Hash: "h1", GrantID: "g1", ClientID: "shop", RedirectURI: "https://a.example/cb", RedirectSent: true,
			CodeChallenge: "cc", CreatedAt: 1000, ExpiresAt: 1060,
		}
		get := func(tx *store.Tx) (model.Code, error) { return tx.Code("h1") }
		redeem := func(at int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				_, _, err := tx.RedeemCode("h1", at)
				return err
			}
		}
		fails(t, s, store.ErrNotFound, missing(get))
		fails(t, s, store.ErrNotFound, redeem(1000))
		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertCode(c) })
		equal(t, read(t, s, get), c)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertCode(c) })
		if err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
			return tx.InsertCode(model.Code{Hash: "h2", GrantID: "none"})
		}); err == nil {
			t.Error("a code of no grant was stored")
		}

		fails(t, s, store.ErrNotFound, redeem(1060)) // expired
		upkeep(t, s, func(tx *store.Tx) error {
			got, held, err := tx.RedeemCode("h1", 1059)
			c.UsedAt = 1059
			equal(t, got, c)
			if h, err := tx.Holding("g1"); err != nil || held.Grant.ID != "g1" {
				t.Errorf("%+v %v", held, err)
			} else {
				equal(t, held, h)
			}
			return err
		})
		fails(t, s, store.ErrNotFound, redeem(1059)) // RFC 6749 §4.1.2: "MUST NOT use the authorization code more than once"
		equal(t, read(t, s, get), c)
	})
}

func TestOneOfManyWins(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		newGrant(t, s, model.Grant{ID: "g1", UserID: "ann", ClientID: "shop", ExpiresAt: 2000})
		upkeep(t, s, func(tx *store.Tx) error {
			if err := tx.InsertCode(model.Code{Hash: "h1", GrantID: "g1", ExpiresAt: 2000}); err != nil {
				return err
			}
			if err := tx.InsertLink(store.Link{Hash: "l1", Purpose: "setup", ExpiresAt: 2000}); err != nil {
				return err
			}
			return startRefresh("g1", 1000, 2000, 3000)(tx)
		})
		for _, row := range []struct {
			name string
			fn   func(*store.Tx) error
		}{
			{"redeem", func(tx *store.Tx) error { _, _, err := tx.RedeemCode("h1", 1000); return err }},
			{"rotate", rotateRefresh("g1", 1, 1000, 2000)},
			{"link", missing(func(tx *store.Tx) (store.Link, error) { return tx.UseLink("l1", "setup", 1000) })},
			{"end", func(tx *store.Tx) error { return tx.EndGrant("g1", store.Ending{At: 1}) }},
		} {
			won := race(t, 50, store.ErrNotFound, func(int) error {
				return s.Update(t.Context(), func(tx *store.Tx) error {
					if err := row.fn(tx); err != nil {
						return err
					}
					return tx.Record(event)
				})
			})
			if won != 1 {
				t.Errorf("%s: %d of 50 succeeded, want 1", row.name, won)
			}
		}
		if n := len(read(t, s, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 0) })); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
	})
}

// Many families that rotate at the same time do not stand in each other's way.
func TestRotateManyFamilies(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const families, rounds = 16, 10
		for i := range families {
			id := model.GrantID(number("g", i))
			newGrant(t, s, model.Grant{ID: id, UserID: "ann", ClientID: "shop", ExpiresAt: 2000})
			upkeep(t, s, startRefresh(id, 1000, 2000, 2000))
		}
		race(t, families, nil, func(i int) error {
			for generation := range int64(rounds) {
				err := s.Update(t.Context(), func(tx *store.Tx) error {
					if err := rotateRefresh(model.GrantID(number("g", i)), generation+1, 1000, 2000)(tx); err != nil {
						return err
					}
					return tx.Record(event)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		for i := range families {
			g := read(t, s, func(tx *store.Tx) (model.Grant, error) { return tx.Grant(model.GrantID(number("g", i))) })
			equal(t, g.Generation, int64(rounds+1))
		}
	})
}
