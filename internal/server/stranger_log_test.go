package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/servertest"
)

// What strangers begin and take back themselves is no way to fill the audit log: it
// keeps what it holds for more than a year.
func TestStrangersInTheLog(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("television", television())
		a := newApp(h, "app", nil)
		times := func(action string) (n int) {
			for _, did := range eventsAbout(t, h) {
				if did == action {
					n++
				}
			}
			return n
		}
		b := h.Browser()
		for range 30 {
			d := beginDevice(t, h, c)
			p := b.Get("/device").Submit("primary", "user_code", d.String("user_code"))
			if !strings.HasSuffix(p.URL.Path, "/login") {
				t.Fatalf("%s: %s", p.URL, p.Body)
			}
			if p = p.Submit("cancel"); p.URL.Path != "/device/refused" {
				t.Fatalf("%s: %s", p.URL, p.Body)
			}
			refused(t, fetchDevice(h, c, d.String("device_code")), http.StatusBadRequest, "access_denied")
		}
		if n := times("device.refuse"); n == 0 || n > 20 {
			t.Errorf("%d entries of devices that somebody refused who never signed in", n)
		}
		for range 30 {
			pending := insufficient(t, a.ask("username", "", "password", ""))
			if answer := h.Call("/revoke", a.c, a.secret, url.Values{"token": {pending}}); answer.Status != http.StatusOK {
				t.Fatalf("%d %s", answer.Status, answer.Text)
			}
			refusedBy(t, "it was given back", a.goOn(pending), http.StatusBadRequest, "invalid_session")
		}
		if n := times("auth_session.revoke"); n > 0 {
			t.Errorf("%d entries of auth sessions under which nobody has signed in", n)
		}
	})
}
