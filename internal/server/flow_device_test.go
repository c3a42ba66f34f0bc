package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// television is a public client without a browser.
func television() model.ClientSettings {
	return model.ClientSettings{
		Name: "Television", AuthMethod: model.AuthNone, GrantTypes: []string{deviceGrant, "refresh_token"},
		Scopes: []string{"openid", "profile", "offline_access", "films:watch"}, Audiences: []string{"https://films.example"},
	}
}

// beginDevice asks for a code, as a device does.
func beginDevice(t *testing.T, h *servertest.House, c model.Client, extra ...string) servertest.Answer {
	t.Helper()
	return h.Call("/device-authorization", c, "", formWith(url.Values{"scope": {"openid films:watch"}}, extra...))
}

// fetchDevice asks whether the person has answered.
func fetchDevice(h *servertest.House, c model.Client, code string) servertest.Answer {
	return h.Call("/token", c, "", url.Values{"grant_type": {deviceGrant}, "device_code": {code}})
}

// typeCode types a code and signs in, where that is asked for, up to the question.
func typeCode(b *servertest.Browser, code string) *servertest.Page {
	p := b.Get("/device").Submit("primary", "user_code", code)
	if strings.HasSuffix(p.URL.Path, "/login") {
		p = p.Submit("primary", "login", "olena", "password", password)
	}
	return p
}

// TestDeviceFlow walks RFC 8628 from the code on the screen to tokens that are
// renewed and end with their session.
func TestDeviceFlow(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		c, _ := h.Client("television", television())
		d := beginDevice(t, h, c)
		// RFC 8628 §3.2, §6.1.
		if d.Status != http.StatusOK || d.Header.Get("Cache-Control") != "no-store" || d.JSON["expires_in"] != 600.0 || d.JSON["interval"] != 5.0 ||
			!regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(d.String("user_code")) ||
			d.String("verification_uri") != h.Issuer+"/device" || d.String("verification_uri_complete") != h.Issuer+"/device?user_code="+d.String("user_code") {
			t.Fatalf("%d %s", d.Status, d.Text)
		}
		code := d.String("device_code")
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "authorization_pending")
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "slow_down") // at once again
		h.Clock.Move(6 * time.Second)
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "slow_down") // 10 seconds now
		h.Clock.Move(16 * time.Second)
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "authorization_pending")

		b := h.Browser()
		// RFC 8628 §3.3.1: the code in the address is filled in and not sent.
		if p := b.Get("/device?user_code=" + d.String("user_code")); p.Form().Values.Get("user_code") != d.String("user_code") {
			t.Errorf("the page holds %v", p.Form().Values)
		}
		p := typeCode(b, strings.ToLower(strings.ReplaceAll(d.String("user_code"), "-", " ")))
		if !strings.Contains(p.Body, "Television") || !strings.Contains(p.Body, "a device that is not this one") {
			t.Fatalf("the question is %s", p.Body)
		}
		h.Clock.Move(20 * time.Second)
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "authorization_pending")
		if p = p.Submit("primary"); p.URL.Path != "/device/done" || !strings.Contains(p.Body, "The device is let in") {
			t.Fatalf("%s says %s", p.URL, p.Body)
		}
		a := fetchDevice(h, c, code)
		if a.Status != http.StatusOK || a.String("scope") != "openid films:watch" || a.String("refresh_token") == "" ||
			claimsOf(t, a.String("id_token"))["sub"] != string(u.ID) {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		refused(t, fetchDevice(h, c, code), http.StatusBadRequest, "invalid_grant")
		next := h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.String("refresh_token")}})
		if next.Status != http.StatusOK {
			t.Errorf("renewal: %d %s", next.Status, next.Text)
		}
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		refused(t, h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.String("refresh_token")}}), http.StatusBadRequest, "invalid_grant")
		if strings.Contains(h.Log.String(), code) || strings.Contains(h.Log.String(), d.String("user_code")) {
			t.Error("a code is in the log")
		}
	})
}

// RFC 8628 §3.5 and §5: how it ends otherwise.
func TestDeviceRefused(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("television", television())
		other, _ := h.Client("radio", television())
		b := h.Browser()

		denied := beginDevice(t, h, c)
		if p := typeCode(b, denied.String("user_code")).Submit("cancel"); p.URL.Path != "/device/refused" {
			t.Errorf("who refuses is sent to %s", p.URL)
		}
		refused(t, fetchDevice(h, c, denied.String("device_code")), http.StatusBadRequest, "access_denied")
		// §5.4: asked each time, and what was decided is not decided again.
		if p := typeCode(b, denied.String("user_code")); p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Body, "No device that is waiting") {
			t.Errorf("an answered code: %d %s", p.Status, p.Body)
		}
		again := beginDevice(t, h, c)
		first, second := typeCode(b, again.String("user_code")), typeCode(b, again.String("user_code"))
		first.Submit("primary")
		if p := second.Submit("primary"); p.URL.Path != "/device/refused" {
			t.Errorf("the second answer leads to %s", p.URL)
		}
		refused(t, fetchDevice(h, other, again.String("device_code")), http.StatusBadRequest, "invalid_grant") // RFC 6749 §5.2
		if a := fetchDevice(h, c, again.String("device_code")); a.Status != http.StatusOK {
			t.Errorf("the first answer: %d %s", a.Status, a.Text)
		}
		// A device code is no authorization code, nor the other way round.
		a := h.Call("/token", c, "", url.Values{"grant_type": {"authorization_code"}, "code": {again.String("device_code")}})
		refused(t, a, http.StatusBadRequest, "unauthorized_client")

		late := beginDevice(t, h, c)
		h.Clock.Move(10 * time.Minute)
		refused(t, fetchDevice(h, c, late.String("device_code")), http.StatusBadRequest, "expired_token")
		if p := typeCode(b, late.String("user_code")); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("an old code: %d", p.Status)
		}
		refused(t, fetchDevice(h, c, "ost_dc_unknown"), http.StatusBadRequest, "invalid_grant")
		refused(t, fetchDevice(h, c, ""), http.StatusBadRequest, "invalid_request")
	})
}

// What the device authorization endpoint refuses, RFC 8628 §3.1.
func TestDeviceAuthorizationRefused(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("television", television())
	shop, secret := h.Client("shop", web)
	refused(t, beginDevice(t, h, c, "scope", "orders:write"), http.StatusBadRequest, "invalid_scope")
	refused(t, beginDevice(t, h, c, "scope", ""), http.StatusBadRequest, "invalid_scope")
	refused(t, beginDevice(t, h, c, "resource", "https://other.example"), http.StatusBadRequest, "invalid_target")
	refused(t, beginDevice(t, h, c, "max_age", "soon"), http.StatusBadRequest, "invalid_request")
	refused(t, beginDevice(t, h, c, "client_id", "nobody"), http.StatusUnauthorized, "invalid_client")
	refused(t, h.Call("/device-authorization", shop, secret, url.Values{"scope": {"openid"}}), http.StatusBadRequest, "unauthorized_client")
	refused(t, h.Call("/device-authorization", shop, "wrong", url.Values{"scope": {"openid"}}), http.StatusUnauthorized, "invalid_client")
	refused(t, h.Call("/token", shop, secret, url.Values{"grant_type": {deviceGrant}, "device_code": {"a"}}), http.StatusBadRequest, "unauthorized_client")
}

// RFC 8628 §5.1: codes cannot be guessed one after the other.
func TestDeviceCodesAreNotGuessed(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("television", television())
		d := beginDevice(t, h, c)
		b := h.Browser()
		for i := range 20 {
			if p := typeCode(b, "BBBB-BBBB"); p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("wrong code %d: %d", i, p.Status)
			}
		}
		if p := typeCode(b, d.String("user_code")); p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" {
			t.Errorf("after twenty wrong codes: %d", p.Status)
		}
		h.Clock.Move(11 * time.Minute)
		if p := typeCode(b, beginDevice(t, h, c).String("user_code")); p.Status != http.StatusOK {
			t.Errorf("later: %d", p.Status)
		}
	})
}

// Of many who fetch at the same time, one gets tokens.
func TestDeviceFetchedOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("television", television())
		d := beginDevice(t, h, c)
		typeCode(h.Browser(), d.String("user_code")).Submit("primary")
		var wg sync.WaitGroup
		answers := make([]int, 8)
		for i := range answers {
			wg.Go(func() { answers[i] = fetchDevice(h, c, d.String("device_code")).Status })
		}
		wg.Wait()
		good := 0
		for _, status := range answers {
			if status == http.StatusOK {
				good++
			}
		}
		if good != 1 {
			t.Errorf("the answers are %v", answers)
		}
	})
}
