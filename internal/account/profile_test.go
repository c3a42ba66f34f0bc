package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

func TestProfileAccepts(t *testing.T) {
	groups := make([]string, maxGroups)
	for i := range groups {
		groups[i] = fmt.Sprintf("team %d", i)
	}
	for name, p := range map[string]model.Profile{
		"empty": {},
		"OpenID Connect Core §5.1: every claim": {
			Name: "Ада Лавлейс", GivenName: "Ада", FamilyName: "Лавлейс", MiddleName: "Б.", Nickname: "ada",
			PreferredUsername: "a.lovelace", Page: "https://example.org/ada", Picture: "https://example.org/ada.png?s=1",
			Website: "http://ada.example", Gender: "female", Birthdate: "1815-12-10", Zoneinfo: "Europe/London",
			Locale: "en-GB", Email: "ada@example.org", EmailVerified: true, PhoneNumber: "+1 (604) 555-1234;ext=5678",
			PhoneNumberVerified: true, Groups: groups,
			Address: &model.Address{
				Formatted: "12 St James's Square\r\nLondon", StreetAddress: "12 St James's\nSquare", Locality: "London",
				Region: "Greater London", PostalCode: "SW1Y", Country: "UK",
			},
		},
		"only the year":                        {Birthdate: "1815"},
		"the year is not told":                 {Birthdate: "0000-12-10"},
		"three parts":                          {Zoneinfo: "America/Argentina/Buenos_Aires"},
		"one part":                             {Zoneinfo: "UTC"},
		"OpenID Connect Core §5.1: underscore": {Locale: "en_US"},
		"a well-formed tag that nobody has":    {Locale: "xx-Zzzz"},
		"plus address":                         {Email: "ada+list@example.org"},
		"RFC 6531: letters of all languages":   {Email: "тарас@приклад.укр"},
		"2048 bytes":                           {Name: strings.Repeat("n", maxClaim)},
	} {
		if err := checkProfile(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProfileRefuses(t *testing.T) {
	for _, row := range []struct {
		name, field string
		profile     model.Profile
	}{
		{"2049 bytes", "name", model.Profile{Name: strings.Repeat("n", maxClaim+1)}},
		{"not UTF-8", "given_name", model.Profile{GivenName: "\xff"}},
		{"NUL", "family_name", model.Profile{FamilyName: "a\x00"}},
		{"line break", "middle_name", model.Profile{MiddleName: "a\nb"}},
		{"line break", "nickname", model.Profile{Nickname: "a\rb"}},
		{"escape", "preferred_username", model.Profile{PreferredUsername: "\x1b[1m"}},
		{"control", "gender", model.Profile{Gender: "\u0085"}},
		{"a script", "profile", model.Profile{Page: "javascript:alert(1)"}},
		{"data", "picture", model.Profile{Picture: "data:image/png;base64,AAAA"}},
		{"relative", "website", model.Profile{Website: "/ada"}},
		{"no host", "website", model.Profile{Website: "https://"}},
		{"with a user", "website", model.Profile{Website: "https://good.example@evil.example/"}},
		{"with a space", "website", model.Profile{Website: "https://a.example/ b"}},
		{"13th month", "birthdate", model.Profile{Birthdate: "1815-13-01"}},
		{"other order", "birthdate", model.Profile{Birthdate: "10.12.1815"}},
		{"path", "zoneinfo", model.Profile{Zoneinfo: "../../etc/passwd"}},
		{"not a tag", "locale", model.Profile{Locale: "english (british)"}},
		{"no at", "email", model.Profile{Email: "ada"}},
		{"two ats", "email", model.Profile{Email: "a@good.example@evil.example"}},
		{"quoted", "email", model.Profile{Email: `"a@b"@example.org`}},
		{"with a name", "email", model.Profile{Email: "Ada <ada@example.org>"}},
		{"header", "email", model.Profile{Email: "ada@example.org\r\nBcc: x"}},
		{"empty label", "email", model.Profile{Email: "ada@example..org"}},
		{"address literal", "email", model.Profile{Email: "ada@[192.0.2.1]"}},
		{"long local part", "email", model.Profile{Email: strings.Repeat("a", 65) + "@example.org"}},
		{"255 bytes", "email", model.Profile{Email: "a@" + strings.Repeat("a.", 126) + "b"}},
		{"verified nothing", "email_verified", model.Profile{EmailVerified: true}},
		{"no plus", "phone_number", model.Profile{PhoneNumber: "0441234567"}},
		{"letters", "phone_number", model.Profile{PhoneNumber: "+1 800 FLOWERS"}},
		{"verified nothing", "phone_number_verified", model.Profile{PhoneNumberVerified: true}},
		{"line break", "address.country", model.Profile{Address: &model.Address{Country: "U\nK"}}},
		{"escape", "address.formatted", model.Profile{Address: &model.Address{Formatted: "\x1b"}}},
		{"101 groups", "groups", model.Profile{Groups: make([]string, maxGroups+1)}},
		{"empty group", "groups", model.Profile{Groups: []string{""}}},
		{"long group", "groups", model.Profile{Groups: []string{strings.Repeat("g", maxGroup+1)}}},
		{"group twice", "groups", model.Profile{Groups: []string{"a", "a"}}},
		{"group not UTF-8", "groups", model.Profile{Groups: []string{"\xff"}}},
	} {
		err := checkProfile(row.profile)
		var invalid ErrInvalid
		if !errors.As(err, &invalid) || invalid.Field != row.field || invalid.Reason == "" {
			t.Errorf("%s of %s: error is %v", row.name, row.field, err)
		}
	}
}
