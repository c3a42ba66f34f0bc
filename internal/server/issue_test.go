package server_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// TestIssueTooLate: what ends between the question of a browser and the answer to it ends
// that as well. Nothing is issued, and the client is told why.
func TestIssueTooLate(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	for _, test := range []struct {
		name string
		end  func(model.Session, model.Client) error
		want oauth.Code
	}{
		{"session", func(s model.Session, _ model.Client) error {
			return h.Accounts.SignOut(t.Context(), servertest.Operator, s.ID)
		}, oauth.LoginRequired},
		{"client", func(_ model.Session, c model.Client) error {
			return disable(t, h, c)
		}, oauth.UnauthorizedClient},
		{"both", func(s model.Session, c model.Client) error {
			return errors.Join(h.Accounts.SignOut(t.Context(), servertest.Operator, s.ID), disable(t, h, c))
		}, oauth.LoginRequired},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := web
			s.FirstParty = true
			c, _ := h.Client(test.name, s)
			z, in := arrive(t, h, c, "olena")
			if err := test.end(in, c); err != nil {
				t.Fatal(err)
			}
			_, err := h.Authority.Issue(t.Context(), z, in, "")
			if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Code != test.want || refusal.To == nil {
				t.Errorf("%#v, want %s for the client", err, test.want)
			}
			err = h.Store.View(t.Context(), func(tx *store.Tx) error {
				grants, err := tx.GrantsOf(in.UserID)
				if len(grants) != 0 {
					t.Errorf("%v was issued", grants)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestIssueToNobody: a person is deleted while a code is made for them, after all that was
// asked before it. Nothing is issued, and the client is told to let somebody sign in: also
// one for which they first have to be given a name of their own.
func TestIssueToNobody(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		for _, subject := range []string{model.SubjectPublic, model.SubjectPairwise} {
			h.User(subject, "correct horse battery")
			s := web
			s.FirstParty, s.SubjectType = true, subject
			c, _ := h.Client(subject, s)
			z, in := arrive(t, h, c, subject)
			var asked atomic.Int64
			h.Store.Observe(func(x store.Transaction) {
				if x.Kind != "ask" || asked.Add(1) != 2 { // who they are, and from when their tokens are
					return
				}
				if err := h.Accounts.Delete(t.Context(), servertest.Operator, in.UserID); err != nil {
					t.Error(err)
				}
			})
			_, err := h.Authority.Issue(t.Context(), z, in, "")
			h.Store.Observe(func(store.Transaction) {})
			if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Code != oauth.LoginRequired || refusal.To == nil {
				t.Errorf("%s: %#v", subject, err)
			}
		}
	})
}

func disable(t *testing.T, h *servertest.House, c model.Client) error {
	t.Helper()
	_, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, true)
	return err
}

// TestIssuedTogether: the keys of what is issued at one time lie beside one another, and
// that of a code does not tell the code.
func TestIssuedTogether(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		s := web
		s.FirstParty = true
		c, _ := h.Client("together", s)
		z, in := arrive(t, h, c, "olena")
		answer, err := h.Authority.Issue(t.Context(), z, in, "")
		if err != nil {
			t.Fatal(err)
		}
		code, slot := answer.Params.Get("code"), model.Slot(h.Clock.Now().Unix())
		if !strings.HasPrefix(code, "ost_ac_"+slot) {
			t.Errorf("the code does not name its slot, %s", slot)
		}
		grants := view(t, h, func(tx *store.Tx) ([]model.Grant, error) { return tx.GrantsOf(in.UserID) })
		if len(grants) != 1 || !strings.HasPrefix(string(grants[0].ID), slot) || len(grants[0].ID) != 26 {
			t.Errorf("%+v, want one whose ID begins with %s", grants, slot)
		}
		view(t, h, func(tx *store.Tx) (model.Code, error) { return tx.Code(slot + model.Secret(code).Hash()) })
	})
}
