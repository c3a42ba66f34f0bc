package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// Factors are read as what they are written as, whether they are in the common form or not.
func TestFactorsColumn(t *testing.T) {
	for _, want := range [][]model.Factor{
		nil,
		{},
		{{Method: "password", At: 1_800_000_000}},
		{{Method: "password", At: 1_800_000_000}, {Method: "totp", At: -1}},
		{{}},
		{{Method: `a"b\c<d>`, At: 1}},
		{{Method: `password","at":7},{"method":"x`, At: 1}},
		{{Method: "passkey", At: 1, Verified: true}, {Method: "password", At: 2}},
		{{Method: "upstream", At: 1, AMR: []string{"mfa", "},{"}, Upstream: "u", Stay: "s", Until: 5}},
	} {
		text, err := document{want}.text()
		if err != nil {
			t.Fatal(err)
		}
		got := factors{{Method: "left over"}}
		if text == "null" {
			got = nil // nobody reads it into anything else
		}
		if err := got.Scan(text); err != nil || !reflect.DeepEqual([]model.Factor(got), want) {
			t.Errorf("%s is read as %+v (%v)", text, got, err)
		}
		if list, plain := plainFactors(text); plain && !reflect.DeepEqual(list, want) {
			t.Errorf("%s is plainly %+v", text, list)
		}
	}
	if _, plain := plainFactors(`[{"method":"password","at":1},{"method":"totp","at":2}]`); !plain {
		t.Error("the common form is not read by hand")
	}
	for _, text := range []string{"", "[", "[{", "[{}", `[{"method":"a"}`, `[{"method":"a","at":1}`, `{"method":"a","at":1}]`, `[{"method":"a","at":1},]`,
		`[{"method":"a","at":1}{"method":"b","at":2}]`, `[{"method":"a","at":99999999999999999999}]`} {
		var got factors
		if err := got.Scan(text); err == nil && !json.Valid([]byte(text)) {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
	if err := new(factors).Scan(7); err == nil {
		t.Error("a number is read")
	}
}
