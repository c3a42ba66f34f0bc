package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// TestSoftwareStatement: RFC 7591 §2.3, §3.1.1 and §3.2.2.
func TestSoftwareStatement(t *testing.T) {
	key, set := signer(t)
	stranger, _ := signer(t)
	vendor := registration.Policy{Mode: registration.ModeOpen, Statements: map[string]registration.StatementKeys{"https://vendor.example": {JWKS: set}}}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		claims := meta{"iss": "https://vendor.example", "client_name": "Vouched", "software_id": "4NRB1", "iat": h.Clock.Now().Unix()}
		signed := func(m meta, key *jwk.Key, typ string) string {
			s, err := jwt.Sign(m, key, jwt.SignOptions{Type: typ})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for _, typ := range []string{"", "JWT"} {
			statement := signed(claims.and("aud", h.Issuer), key, typ)
			_, _, a := registered(t, h, suite.and("software_statement", statement))
			if a.JSON["client_name"] != "Vouched" || a.JSON["software_id"] != "4NRB1" || a.JSON["software_statement"] != statement {
				t.Error(a.Text)
			}
		}
		good := signed(claims, key, "")
		for name, row := range map[string]struct {
			statement any
			code      string
		}{
			"not a JWT":                {"x", "invalid_software_statement"},
			"a number":                 {1, "invalid_software_statement"},
			"no iss":                   {signed(claims.and("iss", nil), key, ""), "invalid_software_statement"},
			"an unknown iss":           {signed(claims.and("iss", "https://other.example"), stranger, ""), "unapproved_software_statement"},
			"another key":              {signed(claims, stranger, ""), "invalid_software_statement"},
			"changed":                  {good[:len(good)-4] + "AAAA", "invalid_software_statement"},
			"unsigned":                 {"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".", "invalid_software_statement"},
			"expired":                  {signed(claims.and("exp", h.Clock.Now().Add(-time.Hour).Unix()), key, ""), "invalid_software_statement"},
			"for somebody else":        {signed(claims.and("aud", "https://other.example"), key, ""), "invalid_software_statement"},
			"another kind of token":    {signed(claims, key, "at+jwt"), "invalid_software_statement"},
			"a member of another type": {signed(claims.and("client_name", 1), key, ""), "invalid_software_statement"},
			"longer than is read":      {signed(claims.and("x", strings.Repeat("x", 20_000)), key, ""), "invalid_software_statement"},
		} {
			t.Run(name, func(t *testing.T) {
				refused(t, register(t, h, suite.and("software_statement", row.statement)), 400, row.code)
			})
		}
		t.Run("cannot vouch for what an operator decides", func(t *testing.T) {
			c, _, _ := registered(t, h, suite.and("software_statement", signed(claims.and("first_party", true), key, "")))
			if view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }).FirstParty {
				t.Error("it did")
			}
		})
	}, policy(vendor))
	t.Run("ignored where nobody is trusted to make one", func(t *testing.T) {
		h := servertest.Start(t, openRegistration)
		_, _, a := registered(t, h, suite.and("software_statement", "x"))
		if a.JSON["software_statement"] != nil {
			t.Error(a.Text)
		}
	})
}
