package registration

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

func pairwise(redirectURIs ...string) model.ClientSettings {
	return model.ClientSettings{SubjectType: model.SubjectPairwise, RedirectURIs: redirectURIs, ApplicationType: "web"}
}

// TestSector: OpenID Connect Core §8.1, OpenID Connect Dynamic Client Registration
// §5.
func TestSector(t *testing.T) {
	with := func(s model.ClientSettings, change func(*model.ClientSettings)) model.ClientSettings {
		change(&s)
		return s
	}
	for _, row := range []struct {
		name   string
		s      model.ClientSettings
		sector string // empty: refused
	}{
		{"one host", pairwise("https://Shop.Example:443/a", "https://shop.example/b"), "shop.example"},
		{"several hosts, no document", pairwise("https://shop.example/a", "https://www.shop.example/b"), ""},
		{"several hosts, a document", with(pairwise("https://shop.example/a", "https://www.shop.example/b"), func(s *model.ClientSettings) { s.SectorURI = "https://Group.example/sector.json" }), "group.example"},
		{"no redirect URI", pairwise(), ""},
		{"a document in clear", with(pairwise("https://shop.example/a"), func(s *model.ClientSettings) { s.SectorURI = "http://shop.example/sector.json" }), ""},
		{"a document that is none", with(pairwise("https://shop.example/a"), func(s *model.ClientSettings) { s.SectorURI = "https:sector" }), ""},
		{"a document behind a name", with(pairwise("https://shop.example/a"), func(s *model.ClientSettings) { s.SectorURI = "https://shop.example@evil.example/" }), ""},
		{"the loopback address of every native application (RFC 8252 §7.3)", with(pairwise("http://127.0.0.1/cb"), func(s *model.ClientSettings) { s.ApplicationType = "native" }), ""},
		{"a private scheme (RFC 8252 §7.1)", with(pairwise("com.example.app:/cb"), func(s *model.ClientSettings) { s.ApplicationType = "native" }), ""},
		{"a private scheme with a document", with(pairwise("com.example.app:/cb"), func(s *model.ClientSettings) {
			s.ApplicationType, s.SectorURI = "native", "https://app.example/sector.json"
		}), "app.example"},
		{"unknown type", with(pairwise("https://shop.example/a"), func(s *model.ClientSettings) { s.SubjectType = "secret" }), ""},
	} {
		err := checkClientSubject(row.s)
		if (err == nil) != (row.sector != "") {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if row.sector == "" {
			continue
		}
		if sector, err := SectorOf(row.s); err != nil || sector != row.sector {
			t.Errorf("%s: %q, %v", row.name, sector, err)
		}
	}
}
