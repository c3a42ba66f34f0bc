package mail

import (
	"bytes"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/theme"
)

// TestLogoOfLetters: a letter brings the logo of the installation in place of our mark,
// and no picture where it is one that mail programs do not show.
func TestLogoOfLetters(t *testing.T) {
	picture := func(width, height int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, c := range []struct {
		name       string
		logo       []byte
		image      string // what stands in the letter
		nameBeside bool
	}{
		{"none", nil, `width="24" height="24" alt=""`, true},
		{"square", picture(64, 64), `width="24" height="24" alt=""`, true},
		{"wordmark", picture(120, 40), `width="108" height="36" alt="Example"`, false},
		{"a very wide one", picture(1000, 10), `width="240" height="2" alt="Example"`, false},
		{"drawing", []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"/>`), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := take(t, "starttls")
			config, brought := k.config("smtp"), mark
			if c.logo != nil {
				logo, err := theme.ParsePicture(c.logo)
				if err != nil {
					t.Fatal(err)
				}
				config.Logo, brought = &logo, c.logo
			}
			if err := open(t, config).Deliver(t.Context(), sample); err != nil {
				t.Fatal(err)
			}
			_, parts := read(t, k.letters()[0])
			html := parts["text/html"]
			if strings.Contains(html, `vertical-align:middle"><bdi>Example</bdi>`) != c.nameBeside {
				t.Errorf("the name stands there: %t", !c.nameBeside)
			}
			if c.image == "" {
				if strings.Contains(html, "<img") || len(parts) != 2 {
					t.Errorf("there are a picture, or %d parts", len(parts))
				}
				return
			}
			if !strings.Contains(html, `src="cid:logo" `+c.image) || parts["image/png"] != string(brought) {
				t.Errorf("the logo is not there: %s", html)
			}
			box := &Box{}
			config.Server, config.User, config.Password, config.Box = "", "", "", box
			if err := open(t, config).Deliver(t.Context(), sample); err != nil {
				t.Fatal(err)
			}
			if got := box.Letters()[0].HTML; !strings.Contains(got, `src="data:image/png;base64,`) || strings.Contains(got, "cid:") {
				t.Error("a browser does not see the logo")
			}
		})
	}
}

// TestZoneOfLetters: times are told in the zone of whoever reads them.
func TestZoneOfLetters(t *testing.T) {
	w, err := newWriter(Config{Name: "Example", Issuer: "https://login.example.org", Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	for zone, want := range map[string]string{
		"": "7 March 2026, 09:05 UTC", "Europe/Kyiv": "7 March 2026, 11:05 Europe/Kyiv", "Asia/Tokyo": "7 March 2026, 18:05 Asia/Tokyo", "Nowhere/Land": "7 March 2026, 09:05 UTC",
	} {
		got, err := w.write(Letter{Kind: Changed, What: Password, To: "olena@example.org", Language: "en", Login: "olena", At: 1772874300, Zone: zone})
		if err != nil || !strings.Contains(got.Text, want) || !strings.Contains(got.HTML, want) {
			t.Errorf("%q: %v, %s", zone, err, got.Text)
		}
	}
}
