package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestRegisteredInBrowser: an application that registered itself brings a logo,
// which comes from our own address, and links; people see that nobody vouches for
// it.
func TestRegisteredInBrowser(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Registration = registration.Policy{Mode: registration.ModeOpen} })
	h.User("olena", "correct horse battery")
	var logo bytes.Buffer
	img := image.NewRGBA(image.Rect(0, 0, 96, 96))
	for y := range 96 {
		for x := range 96 {
			img.Set(x, y, color.RGBA{uint8(40 + x), 90, uint8(250 - y), 255})
		}
	}
	if err := png.Encode(&logo, img); err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(logo.Bytes()) }))
	t.Cleanup(site.Close)
	body, err := json.Marshal(map[string]any{
		"client_name": "Notebook for everybody", "redirect_uris": []string{"https://notebook.example/callback"}, "logo_uri": site.URL + "/logo.png",
		"client_uri": "https://notebook.example", "policy_uri": "https://notebook.example/privacy", "tos_uri": "https://notebook.example/terms",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, h.Issuer+"/register", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	a := servertest.Do(t, req)
	c := model.Client{ID: model.ClientID(a.String("client_id"))}
	c.RedirectURIs = []string{"https://notebook.example/callback"}
	path := servertest.AuthorizePath(c)
	for deadline := time.Now().Add(browsertest.Patience); !strings.Contains(h.Browser().Get(path).Body, "<img"); h.Clock.Move(2 * time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the logo does not come")
		}
		time.Sleep(50 * time.Millisecond)
	}

	b := openBrowser(t)
	b.do("opening", browsertest.Visit(h.Issuer+path), browsertest.Visible(`.tile img`), browsertest.Visible(`.links`))
	if !ask(b, "looking at the logo", chromedp.Evaluate[bool](`document.querySelector(".tile img").naturalWidth === 96 && new URL(document.querySelector(".tile img").src).origin === location.origin`)) {
		t.Error("the logo is not shown, or not from here")
	}
	b.screenshots("sign-in-registered")
	b.do("signing in", browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
	b.expect(`.caution`, "Not verified by Ostiary")
	b.screenshots("consent-registered")
}
