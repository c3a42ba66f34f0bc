package server_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// A secret that a plan tells is one that works: also where its client comes back to a
// method for which it has one.
func TestApplyTellsSecrets(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		_, keys := signer(t)
		basic := model.Client{ID: "shop", ClientSettings: model.ClientSettings{RedirectURIs: []string{"https://shop.example/cb"}, AuthMethod: model.AuthBasic}}
		signing, post := basic, basic
		signing.AuthMethod, signing.JWKS = model.AuthPrivateKey, []byte(keys)
		post.AuthMethod = model.AuthPost
		var first model.Secret
		for i, wanted := range []model.Client{basic, signing, basic, post} {
			plan, err := h.Registrar.Plan(t.Context(), []model.Client{wanted}, false)
			if err != nil || len(plan) != 1 {
				t.Fatalf("%d: %v %v", i, plan, err)
			}
			secrets, err := h.Registrar.Apply(t.Context(), servertest.Operator, plan)
			if err != nil {
				t.Fatal(err)
			}
			c, err := h.Registrar.Client(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = secrets["shop"]
			}
			if told := secrets["shop"]; told != "" && c.CheckSecret(told, h.Clock.Now().Unix()) != nil {
				t.Errorf("%d: what is told does not work", i)
			}
			if err := c.CheckSecret(first, h.Clock.Now().Unix()); c.UsesSecret() && err != nil {
				t.Errorf("%d: nor does what was told first: %v", i, err)
			}
		}
	})
}
