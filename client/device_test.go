package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/ostiary/client"
)

// direct asks the fake without a network, so that time can be a test's.
type direct struct{ http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	return w.Result(), nil
}

// device is the part of a server that devices talk to: it answers their questions one
// after the other, "" being the tokens.
type device struct {
	*fake
	told    map[string]any
	answers []string
	asked   []time.Time
	scope   string
}

func newDevice(t *testing.T, answers ...string) *device {
	f := newFake(t)
	d := &device{fake: f, answers: answers, told: map[string]any{
		"device_code": "secret-1", "user_code": "BCDF-GHJK", "verification_uri": f.URL + "/device",
		"verification_uri_complete": f.URL + "/device?user_code=BCDF-GHJK", "expires_in": 600, "interval": 5,
	}}
	f.metadata = func(m map[string]any) { m["device_authorization_endpoint"] = f.URL + "/device-authorization" }
	f.intercept = d.serve
	return d
}

func (d *device) serve(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/device-authorization":
		d.scope = r.PostFormValue("scope")
		if !d.authenticated(r) {
			refuse(w, "invalid_client", "")
			return true
		}
		writeJSON(w, http.StatusOK, d.told)
		return true
	case "/token":
		if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || r.PostFormValue("device_code") != "secret-1" || !d.authenticated(r) {
			refuse(w, "invalid_request", "")
			return true
		}
		d.asked = append(d.asked, time.Now())
		answer := d.answers[min(len(d.asked), len(d.answers))-1]
		switch answer {
		case "":
			family := &fakeFamily{request: url.Values{}, live: rand.Text(), began: d.clock.Now()}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.grant(w, d.withIdentity(family, map[string]any{"refresh_token": family.live}), d.subject)
		case "503":
			http.Error(w, "down", http.StatusServiceUnavailable)
		default:
			refuse(w, answer, "")
		}
		return true
	}
	return false
}

func (d *device) client(t *testing.T) *client.Client {
	return newClient(t, d.fake, func(c *client.Config) {
		c.RedirectURI, c.Now, c.HTTP = "", time.Now, &http.Client{Transport: direct{d.Server.Config.Handler}}
	})
}

// RFC 8628 §3.5: what each answer means for the next question.
func TestDevice(t *testing.T) {
	for name, row := range map[string]struct {
		answers []string
		code    string // of the error; empty: signed in
		after   time.Duration
	}{
		"the person agrees at once":                              {[]string{""}, "", 5 * time.Second},
		"authorization_pending: the interval":                    {[]string{"authorization_pending", "authorization_pending", ""}, "", 15 * time.Second},
		"slow_down: five seconds more for this and all the next": {[]string{"slow_down", "authorization_pending", ""}, "", 25 * time.Second},
		"no answer: an exponential backoff":                      {[]string{"503", "503", ""}, "", 35 * time.Second},
		"access_denied: the end":                                 {[]string{"authorization_pending", "access_denied"}, "access_denied", 10 * time.Second},
		"expired_token: the end":                                 {[]string{"expired_token"}, "expired_token", 5 * time.Second},
		"any other error: the end":                               {[]string{"invalid_grant"}, "invalid_grant", 5 * time.Second},
		"nobody answers, and the server does not say so":         {[]string{"authorization_pending"}, "expired_token", 600 * time.Second},
		"the server is away for as long as the code lives":       {[]string{"503"}, "expired_token", 615 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, row.answers...)
			synctest.Test(t, func(t *testing.T) {
				d.clock = &clock{now: time.Now()}
				began, c := time.Now(), d.client(t)
				code, err := c.Device(t.Context(), client.DeviceOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if code.UserCode != "BCDF-GHJK" || code.VerificationURI != d.URL+"/device" || d.scope != "openid profile" || !code.ExpiresAt.Equal(began.Add(10*time.Minute)) {
					t.Errorf("the code is %s at %s, the scope %s", code.UserCode, code.VerificationURI, d.scope)
				}
				tokens, id, err := c.DeviceTokens(t.Context(), code)
				named, _ := errors.AsType[*client.Error](err)
				switch {
				case row.code == "" && (err != nil || id.Subject != fakePerson || tokens.Refresh == ""):
					t.Errorf("signed in as %q, %v", id.Subject, err)
				case row.code != "" && (named == nil || named.Code != row.code || tokens.Access != ""):
					t.Errorf("the error is %v", err)
				}
				if after := time.Since(began); after != row.after {
					t.Errorf("it took %s and %d questions", after, len(d.asked))
				}
			})
		})
	}
}

func TestDeviceEnds(t *testing.T) {
	d := newDevice(t, "authorization_pending")
	synctest.Test(t, func(t *testing.T) {
		c := d.client(t)
		code, err := c.Device(t.Context(), client.DeviceOptions{Scopes: []string{"profile"}, Extra: url.Values{"scope": {"admin"}}})
		if err != nil || d.scope != "profile" {
			t.Fatalf("%v, scope %q", err, d.scope)
		}
		if text := code.String() + code.GoString() + code.LogValue().String(); strings.Contains(text, "secret") || strings.Contains(text, "BCDF") {
			t.Error("a code prints its content")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.DeviceTokens(ctx, code); !errors.Is(err, context.DeadlineExceeded) || len(d.asked) != 0 {
			t.Errorf("%v after %d questions", err, len(d.asked))
		}
		if _, _, err := c.DeviceTokens(t.Context(), client.DeviceCode{}); err == nil {
			t.Error("a code of nobody's is asked about")
		}
	})
}

// RFC 8628 §3.2: what cannot be shown or waited for is refused.
func TestDeviceAnswers(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"device_code REQUIRED":                 func(m map[string]any) { delete(m, "device_code") },
		"user_code REQUIRED":                   func(m map[string]any) { delete(m, "user_code") },
		"user_code with a line end":            func(m map[string]any) { m["user_code"] = "A\nB" },
		"verification_uri REQUIRED":            func(m map[string]any) { delete(m, "verification_uri") },
		"verification_uri of another kind":     func(m map[string]any) { m["verification_uri"] = "javascript:alert(1)" },
		"verification_uri without TLS":         func(m map[string]any) { m["verification_uri"] = "http://evil.example/" },
		"verification_uri_complete with bytes": func(m map[string]any) { m["verification_uri_complete"] = "https://a.example/\x1b[2J" },
		"expires_in REQUIRED":                  func(m map[string]any) { delete(m, "expires_in") },
		"expires_in of a year":                 func(m map[string]any) { m["expires_in"] = 31536000 },
		"interval of none":                     func(m map[string]any) { m["interval"] = 0 },
		"interval of a day":                    func(m map[string]any) { m["interval"] = 86400 },
	} {
		d := newDevice(t, "")
		change(d.told)
		if _, err := d.client(t).Device(t.Context(), client.DeviceOptions{}); !errors.Is(err, client.ErrResponse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newFake(t)
	if _, err := newClient(t, f).Device(t.Context(), client.DeviceOptions{}); !errors.Is(err, client.ErrUnsupported) {
		t.Errorf("a server without devices: %v", err)
	}
}
