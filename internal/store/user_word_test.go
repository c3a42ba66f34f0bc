package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestSearchUsers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		people := []model.User{
			{ID: "ada", Login: "ada.lovelace@example.org", Admin: true, Profile: model.Profile{Name: "Augusta Ada King", Email: "Ada@Example.ORG", Groups: []string{"Engineering", "staff"}}},
			{ID: "bob", Login: "bob", Profile: model.Profile{Name: "Bob Ada-Maria Miller", Email: "bob@example.net", Groups: []string{"staff", "100%_\\"}}},
			{ID: "olena", Login: "olena", Status: model.UserLocked, Profile: model.Profile{Name: "Олена Пчілка"}},
			{ID: "taro", Login: "taro", Profile: model.Profile{Name: "山田太郎", Groups: []string{"スタッフ"}}},
			{ID: "long", Login: "long", Profile: model.Profile{Name: strings.Repeat("й", 1000), GivenName: "<script>", FamilyName: "O'Hara; DROP TABLE users"}},
		}
		upkeep(t, s, func(tx *store.Tx) error {
			for _, u := range people {
				if u.Status == "" {
					u.Status = model.UserActive
				}
				if err := tx.InsertUser(u); err != nil {
					return err
				}
			}
			return nil
		})
		found := func(f store.UserFilter) string {
			var ids []string
			for _, u := range read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.SearchUsers(f) }) {
				ids = append(ids, string(u.ID))
			}
			return strings.Join(ids, " ")
		}
		for _, row := range []struct {
			name string
			f    store.UserFilter
			want string
		}{
			{"nothing: everybody", store.UserFilter{}, "ada bob long olena taro"},
			{"space: everybody", store.UserFilter{Search: "  "}, "ada bob long olena taro"},
			{"a login", store.UserFilter{Search: "ada.lovelace@example.org"}, "ada"},
			{"the beginning of a login", store.UserFilter{Search: "ada.l"}, "ada"},
			{"a word of a login", store.UserFilter{Search: "LOVE"}, "ada"},
			{"a word of a name", store.UserFilter{Search: "ada"}, "ada bob"},
			{"two words", store.UserFilter{Search: "mil ADA"}, "bob"},
			{"two words of two people", store.UserFilter{Search: "lovelace miller"}, ""},
			{"an address in another case", store.UserFilter{Search: "aDa@example.org"}, "ada"},
			{"a part of an address", store.UserFilter{Search: "example"}, "ada bob"},
			{"another alphabet in another case", store.UserFilter{Search: "ПЧІЛ"}, "olena"},
			{"a given name without spaces before it", store.UserFilter{Search: "太郎"}, "taro"},
			{"a group", store.UserFilter{Search: "engin"}, "ada"},
			{"not the inside of a word", store.UserFilter{Search: "velace"}, ""},
			{"signs that mean something to a database", store.UserFilter{Search: "%"}, ""},
			{"more of them", store.UserFilter{Search: "_ob"}, ""},
			{"an apostrophe", store.UserFilter{Search: "o'hara;"}, "long"},
			{"its words", store.UserFilter{Search: "hara; drop"}, "long"},
			{"broken text", store.UserFilter{Search: "a\x00\xff"}, ""},
			{"a long word", store.UserFilter{Search: strings.Repeat("Й", 1000)}, "long"},
			{"many words", store.UserFilter{Search: strings.Repeat("ada ", 10_000)}, "ada bob"},
			{"exact group", store.UserFilter{Group: "staff"}, "ada bob"},
			{"group in another case", store.UserFilter{Group: "Staff"}, ""},
			{"group of signs", store.UserFilter{Group: "100%_\\"}, "bob"},
			{"group of another alphabet", store.UserFilter{Group: "スタッフ"}, "taro"},
			{"administrators", store.UserFilter{Admin: true}, "ada"},
			{"who is locked", store.UserFilter{Status: model.UserLocked}, "olena"},
			{"several at once", store.UserFilter{Search: "example", Group: "staff", Status: model.UserActive, After: "ada"}, "bob"},
			{"a page", store.UserFilter{After: "ada", Limit: 2}, "bob long"},
		} {
			if got := found(row.f); got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
		}

		bob := people[1]
		bob.Login, bob.Status, bob.Profile = "robert", model.UserLocked, model.Profile{Name: "Robert", Groups: []string{"guests"}}
		upkeep(t, s, func(tx *store.Tx) error { return tx.UpdateUser(bob) })
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteUser("taro") })
		for search, want := range map[string]string{"bob": "", "miller": "", "robert": "bob", "guests": "bob", "山田": ""} {
			if got := found(store.UserFilter{Search: search}); got != want {
				t.Errorf("after a change, %s: %q, want %q", search, got, want)
			}
		}
		groups := read(t, s, (*store.Tx).Groups)
		if got := fmt.Sprint(groups); got != "[{Engineering 1} {guests 1} {staff 1}]" {
			t.Errorf("groups are %s", got)
		}
	})
}

// Who is in many groups is found by each of them and by what they are called, however
// much that is; and no word stands for all who are in some group.
func TestSearchUsersOfManyWords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		many := model.User{ID: "many", Login: "zoe@example.org", Status: model.UserActive, Profile: model.Profile{Name: strings.Repeat("山田太郎 ", 40) + "Zoë"}}
		for i := range 100 {
			many.Profile.Groups = append(many.Profile.Groups, fmt.Sprintf("a%d b%d c%d", i, i, i))
		}
		one := model.User{ID: "one", Login: "one", Status: model.UserActive, Profile: model.Profile{Groups: []string{"staff"}}}
		upkeep(t, s, func(tx *store.Tx) error {
			if err := tx.InsertUser(one); err != nil {
				return err
			}
			return tx.InsertUser(many)
		})
		for _, row := range []struct {
			f    store.UserFilter
			want int
		}{
			{store.UserFilter{Group: "a0 b0 c0"}, 1}, {store.UserFilter{Group: "a99 b99 c99"}, 1}, {store.UserFilter{Search: "zoe@example.org"}, 1},
			{store.UserFilter{Search: "group"}, 0}, {store.UserFilter{Search: "Group staff"}, 0}, {store.UserFilter{Search: "staff"}, 1},
		} {
			if got := read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.SearchUsers(row.f) }); len(got) != row.want {
				t.Errorf("%+v finds %d", row.f, len(got))
			}
		}
		if groups := read(t, s, (*store.Tx).Groups); len(groups) != 101 {
			t.Errorf("%d groups", len(groups))
		}
	})
}

// Pages neither miss anybody nor show somebody twice, whatever happens between them.
func TestSearchUsersWhileTheyChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range 100 {
				if err := tx.InsertUser(model.User{ID: model.UserID(number("u", i)), Login: number("ann", i), Status: model.UserActive}); err != nil {
					return err
				}
			}
			return nil
		})
		var seen []model.UserID
		for f := (store.UserFilter{Search: "ann", Limit: 7}); ; {
			page := read(t, s, func(tx *store.Tx) ([]model.User, error) { return tx.SearchUsers(f) })
			for _, u := range page {
				seen = append(seen, u.ID)
			}
			if len(page) < 7 {
				break
			}
			f.After = page[6].ID
			upkeep(t, s, func(tx *store.Tx) error {
				// One who was shown goes away, one who was and one who will be get another login.
				last := page[5]
				last.Login = "ann-" + last.Login
				next, err := tx.SearchUsers(f)
				if err != nil {
					return err
				}
				if len(next) > 0 {
					next[0].Login = "ann--" + next[0].Login
					if err := tx.UpdateUser(next[0]); err != nil {
						return err
					}
				}
				if err := tx.UpdateUser(last); err != nil {
					return err
				}
				return tx.DeleteUser(page[0].ID)
			})
		}
		if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != 100 || len(seen) != 100 {
			t.Errorf("saw %d: %v", len(seen), seen)
		}
	})
}

// BenchmarkSearchUsers looks for people among 100,000.
func BenchmarkSearchUsers(b *testing.B) {
	for kind, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		s := open(b)
		given, family := strings.Fields("Ada Bob Olena Taro Maria Ivan Yuki Sofia Petro Hana"), strings.Fields("Miller Lovelace Koval Tanaka Sato Moroz Novak Rossi Silva Kim")
		begin := time.Now()
		for i := 0; i < 100_000; i += 500 {
			err := s.Upkeep(b.Context(), func(tx *store.Tx) error {
				for j := i; j < i+500; j++ {
					u := model.User{ID: model.UserID(model.NewID()), Login: fmt.Sprintf("person%06d@example.com", j), Status: model.UserActive}
					u.Profile = model.Profile{Name: given[j%10] + " " + family[j/10%10] + fmt.Sprint(j), Email: u.Login, Groups: []string{fmt.Sprintf("team-%d", j%1000)}}
					if err := tx.InsertUser(u); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Logf("%s: 100000 people entered in %v", kind, time.Since(begin).Round(time.Second))
		for name, f := range map[string]store.UserFilter{
			"one login": {Search: "person054321@example.com"}, "a rare name": {Search: "lovelace4321"}, "a tenth of all": {Search: "ada"},
			"two words": {Search: "ada miller100"}, "a group": {Group: "team-77"}, "administrators, none": {Admin: true}, "a page in the middle": {After: "k"}, "a tenth, in the middle": {Search: "ada", After: "k"}, "nobody": {Search: "zzz"},
		} {
			f.Limit = 100
			b.Run(kind+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if err := s.View(b.Context(), func(tx *store.Tx) error { _, err := tx.SearchUsers(f); return err }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// However many groups there are, all are listed.
func TestManyGroups(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const many = 1010
		upkeep(t, s, func(tx *store.Tx) error {
			for i := range many / 10 {
				u := model.User{ID: model.UserID(fmt.Sprint(i)), Login: fmt.Sprint("u", i), Status: model.UserActive, Profile: model.Profile{Groups: []string{"all"}}}
				for n := range 10 {
					u.Profile.Groups = append(u.Profile.Groups, fmt.Sprintf("g%04d", 10*i+n))
				}
				if err := tx.InsertUser(u); err != nil {
					return err
				}
			}
			return nil
		})
		list := read(t, s, func(tx *store.Tx) ([]store.Group, error) { return tx.Groups() })
		if len(list) != many+1 || list[0] != (store.Group{Name: "all", People: many / 10}) || list[many] != (store.Group{Name: fmt.Sprintf("g%04d", many-1), People: 1}) {
			t.Errorf("%d groups, from %v to %v", len(list), list[0], list[len(list)-1])
		}
	})
}
