package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/theme"
)

// TestThemeOfClient: the theme of a client is on the pages of a sign-in to it and on
// no other, and there as long as its name is right.
func TestThemeOfClient(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		settings := model.ClientSettings{Name: "Shop", RedirectURIs: []string{"https://shop.example/callback"}}
		plain, _ := h.Client("plain", settings)
		settings.ThemeAccent, settings.ThemeSheet = "#8a1c1c", ".card { border-radius: 0 }"
		red, _ := h.Client("red", settings)
		settings.ThemeAccent = "#0b5cad"
		blue, _ := h.Client("blue", settings)

		sheets := func(b *servertest.Browser, path string) (found []string) {
			for _, part := range strings.Split(b.Get(path).Body, `<link rel="stylesheet" href="`)[1:] {
				name, _, _ := strings.Cut(part, `"`)
				found = append(found, name)
			}
			return found[1:] // after our own
		}
		b := h.Browser()
		for _, c := range []struct {
			client model.Client
			accent string
		}{{plain, ""}, {red, "--door: #8a1c1c"}, {blue, "--door: #0b5cad"}, {plain, ""}} {
			found := sheets(b, servertest.AuthorizePath(c.client))
			if c.accent == "" {
				if len(found) > 1 {
					t.Errorf("the pages of %s have the style sheets %q", c.client.ID, found)
				}
				continue
			}
			if len(found) != 2 || !strings.HasPrefix(found[1], "/theme/"+string(c.client.ID)+"/theme.") {
				t.Fatalf("the pages of %s have the style sheets %q", c.client.ID, found)
			}
			res := fetchTheme(t, h, found[1])
			if res.Status != http.StatusOK || !strings.Contains(res.Text, c.accent) || !strings.HasSuffix(res.Text, settings.ThemeSheet) ||
				res.Header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v\n%s", found[1], res.Status, res.Header, res.Text)
			}
			// Under another name it is not there, nor under that of another client.
			for _, path := range []string{strings.Replace(found[1], string(c.client.ID), "plain", 1), strings.Replace(found[1], "theme.", "theme.0", 1), "/theme/" + string(c.client.ID) + "/", "/theme/nobody/theme.css", "/theme/https%3A%2F%2Fx.test%2F/theme.css"} {
				if res := fetchTheme(t, h, path); res.Status != http.StatusNotFound {
					t.Errorf("%s: %d", path, res.Status)
				}
			}
		}
		if found := sheets(b, "/"); len(found) != 1 || !strings.HasPrefix(found[0], "/theme/theme.") {
			t.Errorf("the home page has the style sheets %q", found)
		}
		if found := sheets(b, "/logout?client_id=red"); len(found) != 1 { // nobody is signed in: it leads to the page of the end
			t.Errorf("signed out: %q", found)
		}
	}, func(c *server.Config) { c.Look = theme.Look{Colours: theme.Colours{Background: "#ffffff"}} })
}

func fetchTheme(t *testing.T, h *servertest.House, path string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.Issuer+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Do(t, req)
}

// TestThemeRefused: colours that people could not read, and style sheets that would
// load something, are refused; and a client that registers itself has no say in it.
func TestThemeRefused(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Registration.Mode = "open" })
	settings := model.ClientSettings{Name: "Shop", RedirectURIs: []string{"https://shop.example/callback"}}
	for name, change := range map[string]func(*model.ClientSettings){
		"theme_accent: #ffcc00 has a contrast of 1.51:1":               func(s *model.ClientSettings) { s.ThemeAccent = "#ffcc00" },
		"theme_accent_dark: #000000 has a contrast of":                 func(s *model.ClientSettings) { s.ThemeAccentDark = "#000000" },
		"theme_background: #000000 has a contrast of":                  func(s *model.ClientSettings) { s.ThemeBackground = "#000000" },
		`theme_background_dark: "red" is not a colour`:                 func(s *model.ClientSettings) { s.ThemeBackgroundDark = "red" },
		`theme_style_sheet: line 1: the address "https://evil.test/"`:  func(s *model.ClientSettings) { s.ThemeSheet = "a { background: url(https://evil.test/) }" },
		"theme_style_sheet: it is larger than 32 KiB":                  func(s *model.ClientSettings) { s.ThemeSheet = strings.Repeat(" ", theme.MaxSheet+1) },
		"theme_style_sheet: line 1: @import would load another style ": func(s *model.ClientSettings) { s.ThemeSheet = `@import "/x"` },
	} {
		s := settings
		change(&s)
		if _, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, ""); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}

	req, err := http.NewRequest(http.MethodPost, h.Issuer+"/register", strings.NewReader(`{"client_name":"Bank","redirect_uris":["https://shop.example/callback"],"token_endpoint_auth_method":"none",
		"theme_accent":"#8a1c1c","theme_accent_dark":"#ff9999","theme_background":"#ffffff","theme_background_dark":"#000000","theme_style_sheet":".card{display:none}","theme":{"accent":"#8a1c1c"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res := servertest.Do(t, req)
	if res.Status != http.StatusCreated {
		t.Fatalf("%d: %s", res.Status, res.Text)
	}
	for name := range res.JSON {
		if strings.HasPrefix(name, "theme") {
			t.Errorf("a client has given itself %s", name)
		}
	}
	c, err := h.Registrar.Client(t.Context(), model.ClientID(res.String("client_id")))
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{c.ThemeAccent, c.ThemeAccentDark, c.ThemeBackground, c.ThemeBackgroundDark, c.ThemeSheet}; slices.ContainsFunc(got, func(s string) bool { return s != "" }) {
		t.Errorf("a client has given itself %q", got)
	}
}
