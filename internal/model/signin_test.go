package model_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// What methods are worth at most, when somebody has them all.
func TestBestACR(t *testing.T) {
	for _, c := range []struct {
		want    string
		methods []model.Method
	}{
		{"", nil},
		{"", []model.Method{model.MethodTOTP, model.MethodRecovery}},
		{model.ACRMail, []model.Method{model.MethodMail}},
		{model.ACRPassword, []model.Method{model.MethodPassword}},
		{model.ACRMulti, []model.Method{model.MethodPassword, model.MethodTOTP}},
		{model.ACRMulti, []model.Method{model.MethodPassword, model.MethodMail}},
		{model.ACRMulti, []model.Method{model.MethodUpstream}}, // one that is trusted to tell of two factors
		{model.ACRPhishingResistant, []model.Method{model.MethodPasskey}},
		{model.ACRPhishingResistant, model.Methods()},
	} {
		if got := model.BestACR(c.methods); got != c.want {
			t.Errorf("%v: %q, not %q", c.methods, got, c.want)
		}
	}
}
