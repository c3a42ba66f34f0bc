package oauth

import (
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func pairwiseClient(redirectURIs ...string) model.ClientSettings {
	return model.ClientSettings{SubjectType: model.SubjectPairwise, RedirectURIs: redirectURIs, ApplicationType: "web"}
}

// TestSubject: OpenID Connect Core §8.1: never the same between sectors, always
// the same in one, and not reversible without the key.
func TestSubject(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := &Authority{Config: Config{Store: s}, subjectKey: []byte("one key of thirty-two bytes here")}
		err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
			for _, id := range []model.UserID{"ann", "bob"} {
				if err := tx.InsertUser(model.User{ID: id, Login: string(id)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		of := func(settings model.ClientSettings, user model.UserID) (sub string) {
			t.Helper()
			err := s.Upkeep(t.Context(), func(tx *store.Tx) (err error) {
				sub, err = a.subject(tx, model.Client{ClientSettings: settings}, user)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return sub
		}
		shop, other := pairwiseClient("https://shop.example/cb"), pairwiseClient("https://other.example/cb")
		sub := of(shop, "ann")
		if len(sub) != 43 || strings.Contains(sub, "ann") {
			t.Errorf("sub %q", sub)
		}
		if of(shop, "ann") != sub || of(pairwiseClient("https://SHOP.example/another", "https://shop.example:8443/"), "ann") != sub {
			t.Error("one sector has two subjects of one person")
		}
		if of(other, "ann") == sub || of(shop, "bob") == sub {
			t.Error("two sectors, or two people, have one subject")
		}
		if of(model.ClientSettings{RedirectURIs: shop.RedirectURIs}, "ann") != "" {
			t.Error("a public client has a pairwise subject")
		}
		if user, err := a.known(t.Context(), sub); err != nil || user != "ann" {
			t.Errorf("back to %q, %v", user, err)
		}
		if user, err := a.known(t.Context(), "ann"); err != nil || user != "ann" {
			t.Errorf("a public subject: %q, %v", user, err)
		}

		a.subjectKey = []byte("the key after the master key was") // lost and made anew
		if of(shop, "ann") != sub {
			t.Error("another master key makes strangers of all people")
		}
		if fresh := of(pairwiseClient("https://third.example/cb"), "ann"); fresh == sub || fresh == "" {
			t.Error("the new key names nobody")
		}
	})
}

// TestSubjectMissing: what forgot to find the subject of a pairwise client fails,
// and does not tell the account.
func TestSubjectMissing(t *testing.T) {
	i := issuance{client: &registration.Client{Client: model.Client{ClientSettings: pairwiseClient("https://shop.example/cb")}}, grant: model.Grant{ID: "g", UserID: "ann"}}
	if sub, _, err := i.sub(); err == nil || sub != "" {
		t.Errorf("told %q", sub)
	}
	i.client.SubjectType = ""
	if sub, pairwise, err := i.sub(); err != nil || sub != "ann" || pairwise {
		t.Errorf("a public client: %q, %v", sub, err)
	}
}
