package store_test

import (
	"slices"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestSession(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session := model.Session{
			ID: "s1", CookieHash: "hash", UserID: "ann", AuthTime: 1, ACR: "urn:x", AMR: []string{"pwd", "otp"}, Remember: true,
			CreatedAt: 2, SeenAt: 3, IdleAt: now() + 60, ExpiresAt: now() + 600, UserAgent: "Mozilla/5.0 «x»", Address: "2001:db8::1",
		}
		byID := func(tx *store.Tx) (model.Session, error) { return tx.Session("s1") }
		byCookie := func(tx *store.Tx) (model.Session, error) { return tx.SessionByCookie("hash") }
		fails(t, s, store.ErrNotFound, missing(byID))
		fails(t, s, store.ErrNotFound, missing(byCookie))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.TouchSession("s1", 1, 2) })

		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertSession(session) })
		equal(t, read(t, s, byID), session)
		equal(t, read(t, s, byCookie), session)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertSession(session) })
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error {
			return tx.InsertSession(model.Session{ID: "s2", CookieHash: "hash", UserID: "ann"})
		})
		if err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
			return tx.InsertSession(model.Session{ID: "s2", CookieHash: "other", UserID: "nobody"})
		}); err == nil {
			t.Error("a session of nobody was stored")
		}

		lives := func(at int64) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.SessionLives("s1", at) }
		}
		view(t, s, lives(session.IdleAt-1))
		fails(t, s, store.ErrNotFound, lives(session.IdleAt))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.SessionLives("s2", 1) })

		session.SeenAt, session.IdleAt = 50, now()+90
		upkeep(t, s, func(tx *store.Tx) error { return tx.TouchSession("s1", session.SeenAt, session.IdleAt) })
		equal(t, read(t, s, byID), session)

		renewed := model.Session{
			ID: "s1", CookieHash: "new", UserID: session.UserID, AuthTime: 60, ACR: "urn:y", AMR: []string{"hwk"},
			CreatedAt: session.CreatedAt, SeenAt: 60, IdleAt: now() + 120, ExpiresAt: now() + 700, UserAgent: "y", Address: "192.0.2.1",
		}
		upkeep(t, s, func(tx *store.Tx) error { return tx.RenewSession(renewed) })
		equal(t, read(t, s, byID), renewed)
		fails(t, s, store.ErrNotFound, missing(byCookie))
		session = renewed

		upkeep(t, s, func(tx *store.Tx) error { return tx.EndSession("s1", store.Ending{At: 70}) })
		session.EndedAt = 70
		fails(t, s, store.ErrNotFound, lives(1))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.RenewSession(renewed) })
		equal(t, read(t, s, byID), session)
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.TouchSession("s1", 1, 2) })
	})
}

func TestSessionsOf(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		soon, past := now()+60, now()-60
		upkeep(t, s, func(tx *store.Tx) error {
			for _, x := range []model.Session{
				{ID: "old", UserID: "ann", CreatedAt: 1, IdleAt: soon, ExpiresAt: soon},
				{ID: "young", UserID: "ann", CreatedAt: 2, IdleAt: soon, ExpiresAt: soon},
				{ID: "idle", UserID: "ann", IdleAt: past, ExpiresAt: soon},
				{ID: "expired", UserID: "ann", IdleAt: soon, ExpiresAt: past},
				{ID: "ended", UserID: "ann", IdleAt: soon, ExpiresAt: soon, EndedAt: past},
				{ID: "other", UserID: "bob", IdleAt: soon, ExpiresAt: soon},
			} {
				x.CookieHash = string(x.ID)
				if err := tx.InsertSession(x); err != nil {
					return err
				}
			}
			return nil
		})
		var got []model.SessionID
		for _, x := range read(t, s, func(tx *store.Tx) ([]model.Session, error) { return tx.SessionsOf("ann") }) {
			got = append(got, x.ID)
		}
		equal(t, got, []model.SessionID{"young", "old"})
		// Whoever ends them ends what somebody may be using this moment, too.
		for name, list := range map[string]func(*store.Tx) ([]model.Session, error){
			"beside": func(tx *store.Tx) ([]model.Session, error) { return tx.SessionsBeside("ann", "old") },
			"begun":  func(tx *store.Tx) ([]model.Session, error) { return tx.SessionsBegun("ann", 0) },
		} {
			var got []model.SessionID
			for _, x := range read(t, s, list) {
				got = append(got, x.ID)
			}
			if want := map[string][]model.SessionID{"beside": {"young", "expired", "idle"}, "begun": {"young", "old", "expired", "idle"}}[name]; !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}
