package account

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// The hashes of "pleaseletmein" that people bring along, RFC 7914 §12 and bcrypt.
const (
	scryptHash = "scrypt:16384:8:1$SodiumChloride$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
	bcryptHash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // "U*U"
)

// With imported people, logins that nobody has must cost what people cost: not always
// the same, and for each always the same. Attack row T23.
func TestSameWorkAfterImport(t *testing.T) {
	each(t, func(h house) {
		for i := range 40 {
			u := h.user(fmt.Sprintf("person-%d", i))
			if i%2 == 0 {
				h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
					return errors.Join(tx.SetPassword(u.ID, bcryptHash, 1), tx.Record(model.Event{Actor: admin, Action: "test", UserID: u.ID}))
				}))
			}
		}
		var cost string
		h.passwords.Work = func(c string) { cost = c }
		count := map[string]int{}
		for i := range 60 {
			login := fmt.Sprintf("nobody-%d", i)
			first := ""
			for range 2 {
				_, err := h.SignIn(h.ctx(), Attempt{Login: login, Password: "U*U", Address: fmt.Sprintf("198.51.%d.7", i)})
				h.is(err, ErrCredentials) // also where the decoy has that very password
				if first != "" && first != cost {
					h.t.Errorf("%s costs %s, then %s", login, first, cost)
				}
				first = cost
			}
			count[first]++
		}
		if len(count) != 2 || count[cheap.String()] < 8 || count["bcrypt 05"] < 8 {
			h.t.Errorf("unknown logins cost %v", count)
		}
	})
}

// One login costs the same however it is written, as it does for who has it.
func TestSameWorkHoweverWritten(t *testing.T) {
	each(t, func(h house) {
		for i := range 20 {
			u := h.user(fmt.Sprintf("person-%d", i))
			if i%2 == 0 {
				h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
					return errors.Join(tx.SetPassword(u.ID, bcryptHash, 1), tx.Record(model.Event{Actor: admin, Action: "test", UserID: u.ID}))
				}))
			}
		}
		for i := range 20 {
			costs := map[string]bool{}
			h.passwords.Work = func(c string) { costs[c] = true }
			for j, form := range []string{"nobody-%d", "NOBODY-%d", " Nobody-%d ", "ｎobody-%d"} {
				_, err := h.SignIn(h.ctx(), Attempt{Login: fmt.Sprintf(form, i), Password: "wrong password", Address: fmt.Sprintf("198.51.%d.%d", i, j)})
				h.is(err, ErrCredentials)
			}
			if len(costs) != 1 {
				h.t.Errorf("nobody-%d costs %v", i, costs)
			}
		}
	})
}

func TestForeignHashIsRenewed(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
			return errors.Join(tx.SetPassword(user.ID, scryptHash, 1), tx.Record(model.Event{Actor: admin, Action: "test", UserID: user.ID}))
		}))
		_, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "pleaseletmeout"})
		h.is(err, ErrCredentials)
		// It is too short for today, and still theirs until they choose another.
		for range 2 {
			_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "pleaseletmein"})
			h.ok(err)
		}
		h.view(func(tx *store.Tx) error {
			u, err := tx.User(user.ID)
			if u.PasswordHash[:10] != "$argon2id$" || u.PasswordAt != 1 {
				h.t.Errorf("the hash is %s, of %d", u.PasswordHash, u.PasswordAt)
			}
			return err
		})
		rehashed := 0
		for _, action := range h.actions() {
			if action == "password.rehash" {
				rehashed++
			}
		}
		if rehashed != 1 {
			h.t.Errorf("hashed anew %d times", rehashed)
		}
	})
}

// Every way to a password goes by the policy.
func TestPasswordPolicyEverywhere(t *testing.T) {
	each(t, func(h house) {
		h.signUp = true
		token, err := h.SetupLink(h.ctx())
		h.ok(err)
		profile := model.Profile{Name: "Ada Lovelace-Byron"}
		refused := map[model.Secret]Reason{
			"fourteen chars": PasswordShort, "qwertyuiopasdfghjkl": PasswordCommon, "byron-lovelace-ada": PasswordPersonal, "": Missing,
		}
		var user model.User
		ways := []struct {
			name string
			way  func(model.Secret) error
		}{
			{"setup", func(p model.Secret) error {
				_, err := h.CompleteSetup(h.ctx(), token, NewUser{Login: "ada", Password: p, Profile: profile}, "")
				return err
			}},
			{"create", func(p model.Secret) error {
				if p == "" {
					p = "\xff" // without a password one may be created
				}
				var err error
				user, err = h.Create(h.ctx(), admin, NewUser{Login: "augusta", Password: p, Profile: profile})
				return err
			}},
			{"set", func(p model.Secret) error {
				return h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: p})
			}},
			{"sign-up", func(p model.Secret) error {
				_, err := h.SignUp(h.ctx(), profile.Name, Attempt{Login: "countess", Password: p})
				return err
			}},
		}
		for _, w := range ways {
			for password, want := range refused {
				var wrong ErrInvalid
				if err := w.way(password); !errors.As(err, &wrong) || wrong.Field != "password" || wrong.Reason != want && password != "" {
					h.t.Errorf("%s, %q: %v", w.name, string(password), err)
				}
			}
			h.ok(w.way("quietly blue mangroves"))
		}
	})
}
