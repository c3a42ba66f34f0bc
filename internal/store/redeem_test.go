package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// stock is a code of ann's in a session, with its grant, and a grant that has refresh
// tokens.
func stock(t *testing.T, s *store.Store) {
	t.Helper()
	furnish(t, s)
	soon := now() + 60
	upkeep(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertSession(model.Session{ID: "s", CookieHash: "s", UserID: "ann", IdleAt: soon, ExpiresAt: soon}),
			tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop", SessionID: "s", ExpiresAt: soon}),
			tx.InsertCode(model.Code{Hash: "h", GrantID: "g", ClientID: "shop", ExpiresAt: soon}),
			tx.InsertGrant(model.Grant{ID: "r", UserID: "ann", ClientID: "shop", SessionID: "s", Salt: "x", Generation: 1, IdleAt: soon, ExpiresAt: soon}))
	})
}

// redemption uses up a code or a refresh token: it reads what that stands for, and then
// changes it.
type redemption struct {
	name   string
	grant  model.GrantID
	read   func(*store.Tx) (store.Holding, error)
	change func(*store.Tx, model.Grant) error
}

var redemptions = []redemption{
	{"a code, and begins a family", "g", readCode, func(tx *store.Tx, g model.Grant) error {
		_, err := tx.StartRefresh(g, "y", now(), now()+60, now()+60)
		return err
	}},
	{"a code, and has no family", "g", readCode, func(tx *store.Tx, g model.Grant) error { return tx.ExtendGrant(g.ID, now()+60) }},
	{"a refresh token", "r", readGrant, func(tx *store.Tx, g model.Grant) error {
		_, err := tx.RotateRefresh(g, g.Generation, now(), now()+60)
		return err
	}},
	{"a refresh token once more", "r", readGrant, func(tx *store.Tx, g model.Grant) error {
		_, err := tx.ReplayRefresh(g.ID, g.Generation, 9)
		return err
	}},
}

func readCode(tx *store.Tx) (store.Holding, error) {
	_, h, err := tx.RedeemCode("h", now())
	return h, err
}

func readGrant(tx *store.Tx) (store.Holding, error) { return tx.Holding("r") }

// ending takes away what a redemption relies on.
type ending struct {
	name string
	end  func(*store.Tx, model.GrantID, store.Ending) error
}

var endings = []ending{
	{"the grant", func(tx *store.Tx, id model.GrantID, e store.Ending) error { return tx.EndGrant(id, e) }},
	{"the session", func(tx *store.Tx, _ model.GrantID, e store.Ending) error { return tx.EndSession("s", e) }},
	{"the person", func(tx *store.Tx, _ model.GrantID, e store.Ending) error { return tx.EndUser("ann", e) }},
	{"the client", func(tx *store.Tx, _ model.GrantID, e store.Ending) error { return tx.EndClient("shop", e) }},
	{"everything", func(tx *store.Tx, _ model.GrantID, e store.Ending) error { return tx.EndAll(e) }},
}

var deletions = []ending{
	{"the person deleted", func(tx *store.Tx, _ model.GrantID, _ store.Ending) error { return tx.DeleteUser("ann") }},
	{"the client deleted", func(tx *store.Tx, _ model.GrantID, _ store.Ending) error { return tx.DeleteClient("shop") }},
}

// What relies on something that has been ended since it was read begins again, and finds
// it ended. PostgreSQL alone: on SQLite nothing happens beside a transaction that writes.
func TestRedeemBesideEnding(t *testing.T) {
	for _, r := range redemptions {
		for _, row := range slices.Concat(endings, deletions) {
			t.Run(r.name+", "+row.name, func(t *testing.T) {
				s := storetest.Postgres(t)
				stock(t, s)
				runs := 0
				err := s.Redeem(t.Context(), func(tx *store.Tx) error {
					h, err := r.read(tx)
					if runs++; runs == 1 {
						if err != nil || h.Grant.EndedAt != 0 {
							t.Fatal(h, err)
						}
						upkeep(t, s, func(tx *store.Tx) error { return row.end(tx, r.grant, store.NewEnding(model.CauseAdmin, now())) })
					}
					if h.Grant.EndedAt != 0 || errors.Is(err, store.ErrNotFound) {
						return errOver
					}
					return errors.Join(err, r.change(tx, h.Grant), tx.Record(event))
				})
				if !errors.Is(err, errOver) || runs != 2 {
					t.Errorf("it ran %d times: %v", runs, err)
				}
			})
		}
	}
}

var errOver = errors.New("the grant has ended")

// What ends something that has been redeemed since it was read begins again, and ends that.
func TestEndingBesideRedeem(t *testing.T) {
	for _, r := range redemptions {
		for _, row := range endings {
			t.Run(row.name+", "+r.name, func(t *testing.T) {
				s := storetest.Postgres(t)
				stock(t, s)
				runs := 0
				upkeep(t, s, func(tx *store.Tx) error {
					if _, err := tx.Grant(r.grant); err != nil { // which begins the transaction
						return err
					}
					if runs++; runs == 1 {
						err := s.Redeem(t.Context(), func(tx *store.Tx) error {
							h, err := r.read(tx)
							return errors.Join(err, r.change(tx, h.Grant), tx.Record(event))
						})
						if err != nil {
							t.Fatal(err)
						}
					}
					return row.end(tx, r.grant, store.NewEnding(model.CauseAdmin, now()))
				})
				if g := read(t, s, func(tx *store.Tx) (model.Grant, error) { return tx.Grant(r.grant) }); g.EndedAt == 0 || runs != 2 {
					t.Errorf("it ran %d times, and left %+v", runs, g)
				}
			})
		}
	}
}

// Of two who use up the same, one comes after the other and sees that.
func TestRedeemBesideRedeem(t *testing.T) {
	for _, r := range redemptions {
		t.Run(r.name, func(t *testing.T) {
			s := storetest.Postgres(t)
			stock(t, s)
			redeem := func(beside func()) (runs int, err error) {
				err = s.Redeem(t.Context(), func(tx *store.Tx) error {
					h, err := r.read(tx)
					if runs++; runs == 1 && beside != nil {
						beside()
					}
					if err == nil && h.Grant.Generation == 2 || h.Grant.Replays == 1 {
						return errOver
					}
					return errors.Join(err, r.change(tx, h.Grant), tx.Record(event))
				})
				return runs, err
			}
			runs, err := redeem(func() {
				if _, err := redeem(nil); err != nil {
					t.Fatal(err)
				}
			})
			if runs != 2 || !errors.Is(err, errOver) && !errors.Is(err, store.ErrNotFound) { // a code that is used up
				t.Errorf("it ran %d times: %v", runs, err)
			}
		})
	}
}

// A grant is not issued beside what ends its session: one of both comes after the other.
func TestIssueBesideEnding(t *testing.T) {
	for _, row := range endings[1:] {
		if row.name == "the client" {
			continue // may issue grants after it, until it is disabled
		}
		t.Run(row.name, func(t *testing.T) {
			s := storetest.Postgres(t)
			stock(t, s)
			runs := 0
			upkeep(t, s, func(tx *store.Tx) error {
				if err := row.end(tx, "", store.NewEnding(model.CauseAdmin, now())); err != nil {
					return err
				}
				if runs++; runs > 1 {
					return nil
				}
				err := s.Update(t.Context(), func(tx *store.Tx) error {
					g := model.Grant{ID: "new", UserID: "ann", ClientID: "shop", SessionID: "s", ExpiresAt: now() + 60}
					return errors.Join(tx.IssueGrant(g, now()), tx.Record(event))
				})
				if err != nil {
					t.Fatal(err)
				}
				return nil
			})
			if g := read(t, s, func(tx *store.Tx) (model.Grant, error) { return tx.Grant("new") }); g.EndedAt == 0 || runs != 2 {
				t.Errorf("it ran %d times, and left %+v", runs, g)
			}
		})
	}
}

// To redeem is to be accounted for.
func TestRedeemUnaudited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.Redeem(t.Context(), put("a")); !errors.Is(err, store.ErrUnaudited) {
			t.Errorf("got error %v", err)
		}
		if v := setting(t, s, "a"); v != "" {
			t.Errorf("it left %q", v)
		}
	})
}
