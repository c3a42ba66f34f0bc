package oauth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
)

// TestAcceptable compares claims with wanted values as JSON does, type and all.
func TestAcceptable(t *testing.T) {
	address := &model.Address{Locality: "Kyiv", Country: "Ukraine"}
	for _, row := range []struct {
		claim  any
		values string // a JSON array
		want   bool
	}{
		{"a", `[]`, true},
		{"a", `["a"]`, true},
		{"a", `["b", "a"]`, true},
		{"a", `["A", 1, null, ["a"]]`, false},
		{"a", `["\u0061"]`, true},
		{true, `[true]`, true},
		{true, `["true", 1]`, false},
		{int64(7), `[7]`, true},
		{int64(7), `["7"]`, false},
		{[]string{"staff"}, `[["staff"]]`, true},
		{[]string{"staff"}, `["staff", ["staff", "x"]]`, false},
		{address, `[{"country": "Ukraine", "locality": "Kyiv"}]`, true},
		{address, `[{"locality": "Kyiv"}]`, false},
		{int64(7), `[1e999]`, false},
	} {
		var values []json.RawMessage
		if err := json.Unmarshal([]byte(row.values), &values); err != nil {
			t.Fatal(err)
		}
		if got := acceptable(row.claim, values); got != row.want {
			t.Errorf("%v of %s: %t", row.claim, row.values, got)
		}
	}
}

// FuzzClaims: whatever is sent, reading it ends in an error or in bounded claims,
// and what was read is JSON that can be stored.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"userinfo":{"name":null,"phone_number":{"essential":true}},"id_token":{"acr":{"values":["a","b"]},"sub":{"value":"x"}}}`,
		`{"userinfo":{"name#ja":null},"unknown":[{}]}`, `{"id_token":{"a":{"value":1,"values":[1]}}}`, `{"a":1,"a":2}`, `[]`, ``, "{\n}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseClaims(text)
		if err != nil {
			if p.idToken != nil || p.userInfo != nil {
				t.Errorf("claims with an error: %+v", p)
			}
			return
		}
		if !json.Valid([]byte(text)) || !strings.Contains(text, "{") {
			t.Errorf("%q was taken", text)
		}
		d := &draft{client: &registration.Client{Client: model.Client{ClientSettings: model.ClientSettings{Scopes: registration.StandardScopes}}}}
		for _, claims := range []map[string]claimRequest{p.idToken, p.userInfo} {
			wanted := d.wanted(claims)
			if len(claims) > maxClaims || len(wanted) > len(StandardClaims()) {
				t.Errorf("%d claims, %d wanted", len(claims), len(wanted))
			}
			for name, values := range wanted {
				if len(values) > maxClaims || !slices.Contains(StandardClaims(), name) {
					t.Errorf("%s with %d values", name, len(values))
				}
			}
			if _, err := json.Marshal(wanted); err != nil {
				t.Error(err)
			}
		}
	})
}
