package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		u := model.User{
			ID: "u1", Login: "olena@example.com", PasswordHash: "$argon2id$…", Status: model.UserActive, Admin: true,
			Profile: model.Profile{
				Name: "Олена Пчілка", Email: "olena@example.com", EmailVerified: true, Birthdate: "1849-07-29",
				Address: &model.Address{Locality: "Гадяч", Country: "UA"}, Groups: []string{"staff", `a"b\c`},
			},
			CreatedAt: 1, UpdatedAt: 2, PasswordAt: 3,
		}
		byID := func(tx *store.Tx) (model.User, error) { return tx.User(u.ID) }
		byLogin := func(tx *store.Tx) (model.User, error) { return tx.UserByLogin(u.Login) }
		fails(t, s, store.ErrNotFound, missing(byID))
		fails(t, s, store.ErrNotFound, missing(byLogin))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.UpdateUser(u) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.SetPassword(u.ID, "x", 1) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteUser(u.ID) })

		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertUser(u) })
		equal(t, read(t, s, byID), u)
		equal(t, read(t, s, byLogin), u)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertUser(u) })
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error {
			return tx.InsertUser(model.User{ID: "u2", Login: u.Login})
		})

		changed := u
		changed.Login, changed.Status, changed.Admin = "pchilka", model.UserLocked, false
		changed.Profile, changed.UpdatedAt = model.Profile{Name: "O. P."}, 20
		changed.PasswordHash, changed.PasswordAt, changed.CreatedAt = "ignored", 99, 99
		upkeep(t, s, func(tx *store.Tx) error { return tx.UpdateUser(changed) })
		changed.PasswordHash, changed.PasswordAt, changed.CreatedAt = u.PasswordHash, u.PasswordAt, u.CreatedAt
		equal(t, read(t, s, byID), changed)

		upkeep(t, s, func(tx *store.Tx) error { return tx.SetPassword(u.ID, "new", 30) })
		changed.PasswordHash, changed.PasswordAt = "new", 30
		equal(t, read(t, s, byID), changed)

		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertUser(model.User{ID: "u2", Login: "taken"}) })
		changed.Login = "taken"
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateUser(changed) })
	})
}

func TestUsersPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const people = 1005 // more than the longest page
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range people {
				id := number("u", i)
				if err := tx.InsertUser(model.User{ID: model.UserID(id), Login: id}); err != nil {
					return err
				}
			}
			return nil
		})
		equal(t, read(t, s, (*store.Tx).CountUsers), int64(people))

		var seen []model.UserID
		for after := model.UserID(""); ; {
			list := read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.Users(after, 400) })
			if len(list) == 0 {
				break
			}
			for _, u := range list {
				seen = append(seen, u.ID)
			}
			after = list[len(list)-1].ID
		}
		if len(seen) != people {
			t.Fatalf("the pages show %d people, want %d", len(seen), people)
		}
		for i, id := range seen {
			if id != model.UserID(number("u", i)) {
				t.Fatalf("place %d has %s", i, id)
			}
		}
		for _, limit := range []int{-1, 0, 1001, 1 << 40} {
			list := read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.Users("", limit) })
			if len(list) != 1000 {
				t.Errorf("limit %d: %d people, want 1000", limit, len(list))
			}
		}
	})
}

func TestDeleteUserTakesTheirs(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			for _, user := range []model.UserID{"ann", "bob"} {
				give(t, tx, user)
			}
			return tx.DeleteUser("ann")
		})
		for user, want := range map[model.UserID]error{"ann": store.ErrNotFound, "bob": nil} {
			fails(t, s, want, missing(func(tx *store.Tx) (model.Session, error) { return tx.Session(model.SessionID("s-" + user)) }))
			fails(t, s, want, missing(func(tx *store.Tx) (model.Grant, error) { return tx.Grant(model.GrantID("g-" + user)) }))
			fails(t, s, want, missing(func(tx *store.Tx) (model.Code, error) { return tx.Code("c-" + string(user)) }))
			fails(t, s, want, missing(func(tx *store.Tx) (model.Consent, error) { return tx.Consent(user, "shop") }))
			fails(t, s, want, missing(func(tx *store.Tx) (store.Link, error) { return tx.Link("l-"+string(user), "recover", 0) }))
		}
	})
}

// give adds one of everything that belongs to a person.
func give(t *testing.T, tx *store.Tx, user model.UserID) {
	t.Helper()
	session := model.SessionID("s-" + user)
	grant := model.GrantID("g-" + user)
	for _, err := range []error{
		tx.InsertSession(model.Session{ID: session, CookieHash: string(session), UserID: user, IdleAt: now() + 60, ExpiresAt: now() + 60}),
		tx.InsertGrant(model.Grant{ID: grant, UserID: user, ClientID: "shop", SessionID: session, ExpiresAt: now() + 60}),
		tx.InsertCode(model.Code{Hash: "c-" + string(user), GrantID: grant, ClientID: "shop", ExpiresAt: now() + 60}),
		tx.PutConsent(model.Consent{UserID: user, ClientID: "shop"}),
		tx.InsertLink(store.Link{Hash: "l-" + string(user), Purpose: "recover", UserID: user, ExpiresAt: now() + 60}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Strangers choose what is looked for: PostgreSQL refuses a NUL and broken
// UTF-8 in a text, SQLite does not.
func TestTextThatCannotBeStored(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for _, text := range []string{"ann\x00", "\x00", "ann\xff", "\xed\xa0\x80"} {
			fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.User, error) { return tx.UserByLogin(text) }))
			fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.Client, error) { return tx.Client(model.ClientID(text)) }))
			upkeep(t, s, func(tx *store.Tx) error {
				return tx.Record(model.Event{Action: "session.start", Detail: "agent=" + text})
			})
			upkeep(t, s, func(tx *store.Tx) error {
				return tx.InsertRequest(model.Request{ID: model.RequestID(model.NewID()), Asked: model.Asked{State: text}})
			})
		}
	})
}
