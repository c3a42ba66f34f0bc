package registration

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// operatorAlone are the settings that a client cannot have by saying so.
// "scopes" is there by another name, "software_statement" comes with its
// signature.
var operatorAlone = []string{
	"scopes", "audiences", "resources", "first_party", "challenge", "access_token_life", "refresh_token_idle", "refresh_token_life", "software_statement",
	"assertion_audience", "offline_access_policy", "groups_claim", "groups_prefix", "group_roles", "groups_in",
	"sign_in_methods", "required_acr", "identity_providers", "idp_hint",
	"theme_accent", "theme_accent_dark", "theme_background", "theme_background_dark", "theme_style_sheet",
}

// Every setting is either on the list of what a client can say, or on the other:
// a new one must be put on one of them by somebody who has thought about it.
func TestMembers(t *testing.T) {
	var s model.ClientSettings
	known := map[any]string{}
	for name, field := range members {
		p := field(&s)
		if text, ok := p.(*scopeText); ok {
			p = (*[]string)(text)
		}
		if known[p] != "" {
			t.Errorf("%s and %s are one setting", name, known[p])
		}
		known[p] = name
	}
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		name, listed := known[v.Field(i).Addr().Interface()]
		switch alone := slices.Contains(operatorAlone, tag); {
		case tag == "scopes":
			if name != "scope" {
				t.Error("the scopes cannot be asked for")
			}
		case listed == alone:
			t.Errorf("%s must be on one of the two lists", tag)
		case listed && name != tag:
			t.Errorf("%s is called %s", tag, name)
		}
	}
}
