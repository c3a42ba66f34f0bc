package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/oauth"
)

func TestNamesAndHosts(t *testing.T) {
	for in, want := range map[string]string{
		"Shop": "Shop", "  a \n\t b ": "a b", "a\u202eb\u2066c\u200f": "abc", "\x00\x07": "",
		strings.Repeat("é", 80): strings.Repeat("é", 80), strings.Repeat("é", 81): strings.Repeat("é", 79) + "…",
	} {
		if got := tidy(in); got != want {
			t.Errorf("tidy(%q) = %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("shop.example.", 40) + "evil.test"
	for in, want := range map[string]string{
		"shop.example": "shop.example", "127.0.0.1:8080": "127.0.0.1:8080", "https://shop.example:8443/a?b": "shop.example:8443",
		"https://user@evil.test/shop.example": "evil.test", "com.example.app": "com.example.app",
		long: "…" + long[len(long)-260:], // the end of a host says whose it is
	} {
		if got := hostOf(in); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"shop": "S", "  ñ": "Ñ", "“7up”": "7", "متجر": "م", "🦊 fox": "F", "🦊": "🦊", "": "·", "\u202e": "·"} {
		if got := initial(in); got != want {
			t.Errorf("initial(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestScopesInWords(t *testing.T) {
	p := testPages(t, Theme{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, v := range p.scopes(r, []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access"}) {
		if v.Title == v.Name || v.Detail == "" {
			t.Errorf("the scope %s is not explained", v.Name)
		}
	}
	// What ends in .detail is ours to use, never a scope's name.
	for _, name := range []string{"orders:read", "openid.detail", "", "constructor"} {
		if v := p.scopes(r, []string{name})[0]; v != (scopeView{Name: name, Title: name}) {
			t.Errorf("scope %q became %+v", name, v)
		}
	}
}

// TestClaimsInWords: what an application asks to know one by one is one line of
// words.
func TestClaimsInWords(t *testing.T) {
	p := testPages(t, Theme{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	got := p.claims(r, []string{"birthdate", "phone_number"})
	if len(got) != 1 || got[0].Title != "See some details about you" || got[0].Detail != "Date of birth, phone number" {
		t.Errorf("%+v", got)
	}
	if got := p.claims(r, nil); got != nil {
		t.Errorf("no claims became %+v", got)
	}
	for _, name := range oauth.StandardClaims() {
		if v := p.claims(r, []string{name})[0]; v.Detail == "claim."+name {
			t.Errorf("the claim %s is not explained", name)
		}
	}
}

// TestDisplay: the look that a client asks for is a class of the page, and
// ordinary pages have none (OpenID Connect Core §3.1.2.1).
func TestDisplay(t *testing.T) {
	p := testPages(t, Theme{})
	for _, display := range []string{"", "popup", "touch"} {
		for _, page := range []any{loginPage{Display: display}, consentPage{Display: display}} {
			doc := parse(t, show(t, p, page).Body)
			if got := attr(named(doc, "body")[0], "class"); got != display {
				t.Errorf("%T with display %q: class %q", page, display, got)
			}
		}
	}
}
