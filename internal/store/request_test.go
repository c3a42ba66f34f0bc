package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		age := int64(0)
		r := model.Request{
			ID: "r1", BrowserHash: "b", ClientID: "shop", CreatedAt: 1, ExpiresAt: 2,
			Asked: model.Asked{
				RedirectURI: "https://a.example/cb?x=<1>&y", ResponseType: "code", Scope: []string{"openid"},
				State: "a b\u2028", MaxAge: &age, Prompt: []string{"login"}, ACRRequired: []string{"x"}, Resources: []string{"https://api.example"},
				Claims: model.ClaimsRequest{IDToken: model.WantedClaims{"name": nil}},
			},
		}
		get := func(tx *store.Tx) (model.Request, error) { return tx.Request("r1") }
		fails(t, s, store.ErrNotFound, missing(get))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.UpdateRequest(r) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteRequest("r1") })

		upkeep(t, s, func(tx *store.Tx) error { return tx.InsertRequest(r) })
		equal(t, read(t, s, get), r)
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error { return tx.InsertRequest(r) })

		// To agree to nothing is not the same as not to have answered.
		for _, approved := range [][]string{{}, {"openid"}, {"a", `b"`, "c<d"}, {"", ""}, {`","`}, nil} {
			r.SessionID, r.Chosen, r.Approved, r.ExpiresAt = "s1", "s2", approved, r.ExpiresAt+1
			upkeep(t, s, func(tx *store.Tx) error { return tx.UpdateRequest(r) })
			equal(t, read(t, s, get), r)
		}

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteRequest("r1") })
		fails(t, s, store.ErrNotFound, missing(get))
	})
}

func TestConsent(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		get := func(tx *store.Tx) (model.Consent, error) { return tx.Consent("ann", "shop") }
		fails(t, s, store.ErrNotFound, missing(get))
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteConsent("ann", "shop") })

		bank := model.Consent{UserID: "ann", ClientID: "bank", GrantedAt: 1}
		shop := model.Consent{UserID: "ann", ClientID: "shop", Scope: []string{"openid"}, GrantedAt: 1}
		for _, c := range []model.Consent{shop, bank, {UserID: "bob", ClientID: "shop"}} {
			upkeep(t, s, func(tx *store.Tx) error { return tx.PutConsent(c) })
		}
		shop.Scope, shop.Claims, shop.GrantedAt = []string{"openid", "email"}, []string{"name"}, 2
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutConsent(shop) })
		equal(t, read(t, s, get), shop)
		of := func(tx *store.Tx) ([]model.Consent, error) { return tx.ConsentsOf("ann") }
		equal(t, read(t, s, of), []model.Consent{bank, shop})

		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteConsent("ann", "shop") })
		equal(t, read(t, s, of), []model.Consent{bank})
	})
}
