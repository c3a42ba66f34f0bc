package server_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestChangesBesideEachOther: who changes one thing undoes nothing that somebody else
// has changed while they thought.
func TestChangesBesideEachOther(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		c, _ := h.Client("shop", web)
		thought := 0
		revised, err := h.Registrar.ReviseClient(ctx, servertest.Operator, c.ID, func(s model.ClientSettings) (model.ClientSettings, error) {
			if thought++; thought == 1 {
				other := s
				other.Scopes = []string{"openid"}
				if _, err := h.Registrar.UpdateClient(ctx, servertest.Operator, c.ID, other); err != nil {
					t.Fatal(err)
				}
			}
			s.Name = "Revised"
			return s, nil
		})
		if err != nil || thought != 2 || revised.Name != "Revised" || len(revised.Scopes) != 1 {
			t.Errorf("thought of %d times: %q with %v, %v", thought, revised.Name, revised.Scopes, err)
		}

		thought = 0 // somebody is faster each time
		_, err = h.Registrar.ReviseClient(ctx, servertest.Operator, c.ID, func(s model.ClientSettings) (model.ClientSettings, error) {
			thought++
			other := s
			other.Name = strconv.Itoa(thought)
			if _, err := h.Registrar.UpdateClient(ctx, servertest.Operator, c.ID, other); err != nil {
				t.Fatal(err)
			}
			s.Name = "Revised again"
			return s, nil
		})
		if now, e := h.Registrar.Client(ctx, c.ID); !errors.Is(err, registration.ErrChanged) || e != nil || now.Name != strconv.Itoa(thought) {
			t.Errorf("thought of %d times: %v, and it is %q, %v", thought, err, now.Name, e)
		}

		before := h.User("olena", "correct horse battery")
		mail, name := before.Profile, before.Profile
		mail.Email, mail.EmailVerified = "olena@example.org", true
		if _, err := h.Accounts.Update(ctx, servertest.Operator, before.ID, account.Change{Profile: &mail, Before: &before}); err != nil {
			t.Fatal(err)
		}
		name.Name = "Olena"
		if _, err := h.Accounts.Update(ctx, servertest.Operator, before.ID, account.Change{Profile: &name, Before: &before}); !errors.Is(err, account.ErrChanged) {
			t.Errorf("a change of what is no more: %v", err)
		}
		if now, err := h.Accounts.User(ctx, before.ID); err != nil || now.Profile.Email != "olena@example.org" || now.Profile.Name == "Olena" {
			t.Errorf("%+v, %v", now.Profile, err)
		}
	})
}
