package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

func (s values) with(pairs ...string) url.Values {
	v := url.Values{}
	for name, list := range s {
		v[name] = slices.Clone(list)
	}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

type values url.Values

func TestProfilePage(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		b, p := atAccount(t, h, "olena", "/account/profile")
		for _, shown := range []string{"Olena olena", "olena@example.com", "staff", "1990-02-28", `value="Europe/Kyiv" selected`, `value="en-GB" selected`, "Kyiv"} {
			if !strings.Contains(p.Body, shown) {
				t.Errorf("%q is not on the page", shown)
			}
		}
		form := values(p.Form().Values)
		// Everything that may be changed, and some of what may not.
		p = b.Post("/account/profile", form.with("name", "Олена Ковальчук", "birthdate", "1991", "zoneinfo", "Asia/Tokyo", "locale", "uk", "phone_number", "+380 50 123 4567",
			"address.street_address", "вул. Хрещатик, 1\r\nкв. 2", "email", "admin@example.com", "groups", "admins", "email_verified", "true"))
		if p.Status != 200 || !strings.Contains(p.Body, "Профіль збережено.") || !strings.Contains(p.Body, "Олена Ковальчук") {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		now, err := h.Accounts.User(t.Context(), user.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := user.Profile
		want.Name, want.Birthdate, want.Zoneinfo, want.Locale, want.PhoneNumber = "Олена Ковальчук", "1991", "Asia/Tokyo", "uk", "+380 50 123 4567"
		address := *want.Address
		address.StreetAddress = "вул. Хрещатик, 1\nкв. 2"
		want.Address = &address
		if account.Mark(now.Profile) != account.Mark(want) {
			t.Errorf("stored is %+v, want %+v", now.Profile, want)
		}
		// It was drawn before that change: nothing is overwritten, and nothing typed is lost.
		p = b.Post("/account/profile", form.with("nickname", "Леся"))
		if p.Status != 422 || !strings.Contains(p.Body, `value="Леся"`) || !strings.Contains(p.Body, "Зараз збережено: Олена Ковальчук") {
			t.Errorf("a stale form: %d %s", p.Status, p.Body)
		}
		if again, _ := h.Accounts.User(t.Context(), user.ID); account.Mark(again.Profile) != account.Mark(now.Profile) {
			t.Error("a stale form changed something")
		}
		// Whoever has been told may send it again, with the language that it had.
		if p = p.Submit("primary", "name", "Олена Ковальчук"); p.Status != 200 || !strings.Contains(p.Body, `value="Леся"`) {
			t.Errorf("sent again: %d", p.Status)
		}
		eventually(t, "the change is among the activity", func() bool { return strings.Contains(b.Get("/account/activity").Body, "The profile was changed") })
	})
}

// TestProfileRefused: each field keeps its bounds, and what was typed stays.
func TestProfileRefused(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	b, p := atAccount(t, h, "olena", "/account/profile")
	form := values(p.Form().Values)
	for _, c := range []struct{ field, value, says string }{
		{"name", strings.Repeat("a", 3000), "The name is too long."},
		{"address.formatted", strings.Repeat("a", 3000), "This is too long."},
		{"name", "Ada\u202eecalps", "cannot be seen"},
		{"nickname", "A\u200bda", "cannot be seen"},
		{"preferred_username", "аdmin", "mixes letters of two alphabets"},
		{"website", "javascript:alert(1)", "begins with https://"},
		{"picture", "ftp://x.example", "begins with https://"},
		{"birthdate", "yesterday", "Write a date"},
		{"zoneinfo", "Europe/Atlantis", "There is no such time zone."},
		{"zoneinfo", "../../etc/passwd", "There is no such time zone."},
		{"locale", "not a language", "This is not a language."},
		{"phone_number", "call me", "Write a number"},
	} {
		p := b.Post("/account/profile", form.with(c.field, c.value))
		if p.Status != 422 || !strings.Contains(p.Body, c.says) || !strings.Contains(p.Body, `aria-invalid="true"`) {
			t.Errorf("%s=%q: %d, does not say %q", c.field, c.value, p.Status, c.says)
		}
		if got := p.Form().Values.Get(c.field); c.field != "address.formatted" && got != c.value {
			t.Errorf("%s=%q is lost: %q", c.field, c.value, got)
		}
	}
	if p := b.Post("/account/profile", form.with("name", strings.Repeat("a", 1<<20))); p.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("1 MB: %d", p.Status)
	}
	if now, _ := h.Accounts.User(t.Context(), user.ID); account.Mark(now.Profile) != account.Mark(user.Profile) {
		t.Error("something was changed")
	}
}

// TestScriptInEveryField: what people write of themselves is text, on every page on
// which it stands (attack row P15).
func TestScriptInEveryField(t *testing.T) {
	h := servertest.Start(t)
	const evil = `"'><script>alert(1)</script>`
	h.User("olena", password)
	c, _ := h.Client("shop", model.ClientSettings{Name: evil, RedirectURIs: []string{"https://shop.example/cb"}, Scopes: []string{"openid", "profile", "email"}, AuthMethod: model.AuthNone})
	b, p := atAccount(t, h, "olena", "/account/profile")
	form := p.Form().Values
	for _, name := range strings.Fields("name given_name family_name middle_name nickname preferred_username gender address.street_address address.locality address.region address.postal_code address.country address.formatted") {
		form.Set(name, evil)
	}
	if p = b.Post("/account/profile", form); p.Status != 200 || strings.Count(p.Body, "alert(1)") < 13 {
		t.Fatalf("%d: it is stored as it is: %s", p.Status, p.Body)
	}
	for _, name := range strings.Fields("website profile picture birthdate zoneinfo locale phone_number from unknown") {
		if p := b.Post("/account/profile", values(form).with(name, evil)); strings.Contains(p.Body, "<script") || p.Status == 500 {
			t.Errorf("%s: %d", name, p.Status)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, h.Issuer+servertest.AuthorizePath(c), nil)
	b.Do(req).Submit("primary") // consents
	mallory := h.Browser()
	req, _ = http.NewRequest(http.MethodGet, h.Issuer+"/account/profile", nil)
	login := mallory.Do(req)
	form = login.Form().Values
	form.Set("login", "olena")
	form.Set("password", password)
	req, _ = http.NewRequest(http.MethodPost, login.URL.String(), strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("User-Agent", "Firefox/1 "+evil)
	mallory.Do(req)
	for _, page := range strings.Fields("/ /account /account/profile /account/sign-in /account/sessions /account/applications /account/activity /account/data /account/delete") {
		p := b.Get(page)
		if p.Status != 200 || strings.Contains(p.Body, "<script") || strings.Contains(p.Body, evil) {
			t.Errorf("%s: %d %s", page, p.Status, p.Body)
		}
	}
	if p := b.Get("/account/activity?before=" + url.QueryEscape(evil) + "&done=" + url.QueryEscape(evil)); p.Status != 200 || strings.Contains(p.Body, "alert") && strings.Contains(p.Body, "<script") {
		t.Errorf("in an address: %d", p.Status)
	}
}

func TestPasswordPage(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		b, _ := atAccount(t, h, "olena", "/account/sign-in")
		elsewhere, _ := atAccount(t, h, "olena", "/account")
		const anew = "four words that rhyme"
		change := func(current, new string) *servertest.Page {
			return b.Get("/account/sign-in").Submit("primary", "current", current, "password", new)
		}
		if p := change("wrong password", anew); p.Status != 422 || !strings.Contains(p.Body, "This is not your present password.") || strings.Contains(p.Body, anew) {
			t.Errorf("a wrong one: %d", p.Status)
		}
		if p := change(password, "short"); p.Status != 422 || !strings.Contains(p.Body, "must have") {
			t.Errorf("a short one: %d", p.Status)
		}
		if p := elsewhere.Get("/account/sessions"); p.Status != 200 || p.URL.Path != "/account/sessions" {
			t.Fatalf("nothing has ended yet: %s", p.URL)
		}
		if p := change(password, anew); p.Status != 200 || !strings.Contains(p.Body, "Your password is changed") {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if p := elsewhere.Get("/account/sessions"); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("the other session goes on: %s", p.URL)
		}
		if p := h.Browser().Get("/account/profile").Submit("primary", "login", "olena", "password", password); p.Status != 422 {
			t.Errorf("the old password still opens: %d", p.Status)
		}
		if log := h.Log.String(); strings.Contains(log, anew) {
			t.Error("a password is in the log")
		}
		// Nobody sends it from another site, nor in an address.
		req, _ := http.NewRequest(http.MethodPost, h.Issuer+"/account/sign-in", strings.NewReader("current="+url.QueryEscape(anew)+"&password="+url.QueryEscape(password)))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://evil.test")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Do(req); p.Status != 403 {
			t.Errorf("from another site: %d", p.Status)
		}
		if p := b.Post("/account/sign-in?current="+url.QueryEscape(anew)+"&password="+url.QueryEscape(password), url.Values{}); p.Status != 422 {
			t.Errorf("in an address: %d", p.Status)
		}
		// Who guesses it there has to wait.
		var p *servertest.Page
		for range 7 {
			p = change("wrong password", password)
		}
		if p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, "Too many attempts. Try again in ") {
			t.Errorf("guesses: %d %s", p.Status, p.Body)
		}
	})
}

func TestSessionsPage(t *testing.T) {
	places, err := device.ReadPlaces(strings.NewReader("127.0.0.0/8,Loopback\n"))
	if err != nil {
		t.Fatal(err)
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.User("bohdan", password)
		b, p := atAccount(t, h, "olena", "/account/sessions")
		second, _ := atAccount(t, h, "olena", "/account")
		third, _ := atAccount(t, h, "olena", "/account")
		his, hisPage := atAccount(t, h, "bohdan", "/account/sessions")
		if strings.Contains(hisPage.Body, `name="end"`) || !strings.Contains(p.Body, "This browser") {
			t.Errorf("one session: %s", hisPage.Body)
		}
		p = b.Get("/account/sessions")
		ends := slices.DeleteFunc(p.Attributes("button", "value"), func(v string) bool { return len(v) != 22 })
		if len(ends) != 2 || !strings.Contains(p.Body, "127.0.0.1") || !strings.Contains(p.Body, "Loopback") {
			t.Fatalf("%v %s", ends, p.Body)
		}
		// He cannot end hers, and is told nothing of it.
		if q := his.Post("/account/sessions", url.Values{"end": {ends[0]}}); q.Status != 200 {
			t.Errorf("%d", q.Status)
		}
		signedIn := func(b *servertest.Browser) bool { return b.Get("/account/profile").URL.Path == "/account/profile" }
		if !signedIn(second) || !signedIn(third) {
			t.Fatal("somebody else has ended a session")
		}
		if p = b.Post("/account/sessions", url.Values{"end": {ends[0]}}); !strings.Contains(p.Body, "The session is ended.") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		if signedIn(third) == signedIn(second) {
			t.Error("one of the two has ended, and the other not")
		}
		if p = p.Submit("danger"); !strings.Contains(p.Body, "All other sessions are ended.") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		if signedIn(second) || signedIn(third) || !signedIn(b) || !signedIn(his) {
			t.Error("all others, this one and nobody else's")
		}
	}, func(c *server.Config) { c.Places = places })
}

// TestApplicationsPage: what a person withdraws is over at an API within a second, and
// the log says that they did it.
func TestApplicationsPage(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		settings := web
		settings.Name = "Shop"
		settings.Scopes = append(slices.Clone(settings.Scopes), "offline_access")
		settings.GrantTypes = []string{"authorization_code", "refresh_token"}
		c, secret := h.Client("shop", settings)
		b := h.Browser()
		held := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c, "scope", "openid profile email offline_access"), "olena", password))
		userinfo := func() int {
			return get(t, h.Issuer+"/userinfo", "Authorization", "Bearer "+held.String("access_token")).Status
		}
		if userinfo() != 200 {
			t.Fatal("the token is good")
		}
		p := b.Get("/account/applications")
		for _, shown := range []string{"Shop", "See your profile", "See your email address", "Stay connected while you are away", "Last used:"} {
			if !strings.Contains(p.Body, shown) {
				t.Errorf("%q is not on the page: %s", shown, p.Body)
			}
		}
		if q := b.Get("/account/sessions"); !strings.Contains(q.Body, "Applications: <bdi>Shop</bdi>") {
			t.Errorf("the session does not name the application: %s", q.Body)
		}
		h.Client("other", front())
		for _, one := range []string{"nobody", "other"} { // that there is not, and that she has nothing to do with
			if q := b.Post("/account/applications", url.Values{"withdraw": {one}}); q.Status != 200 || userinfo() != 200 {
				t.Errorf("%s: %d", one, q.Status)
			}
		}
		if got := actions(t, h, user.ID); strings.Contains(got, "withdraw") {
			t.Errorf("the audit log says that something was withdrawn: %s", got)
		}
		if p = p.Submit("small-button"); !strings.Contains(p.Body, "No application can use your account now.") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		eventually(t, "the token is refused", func() bool { return userinfo() == 401 })
		a := h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {held.String("refresh_token")}})
		if a.Status != 400 || a.String("error") != "invalid_grant" || a.String("ostiary_cause") != "revoked" {
			t.Errorf("renewed: %d %s", a.Status, a.Text)
		}
		// The session goes on, and consent is asked for anew.
		if q := b.Get(servertest.AuthorizePath(c)); !strings.HasSuffix(q.URL.Path, "/consent") {
			t.Errorf("what was withdrawn is not asked for: %s", q.URL)
		}
		eventually(t, "the person reads of it", func() bool {
			return strings.Contains(b.Get("/account/activity").Body, "You withdrew what you had allowed Shop")
		})
		events, err := h.Accounts.Activity(t.Context(), user.ID, 0, 1)
		if err != nil || len(events) != 1 || events[0].Action != "consent.withdraw" || events[0].Actor.ID != string(user.ID) {
			t.Errorf("%+v %v", events, err)
		}
	})
}

func TestActivityPage(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	h.User("bohdan", password)
	atAccount(t, h, "olena", "/account")
	for range 30 {
		if err := h.Accounts.Lock(t.Context(), model.Actor{Kind: model.ActorUser, ID: "an-admin", Address: "198.51.100.7"}, user.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.Unlock(t.Context(), servertest.Operator, user.ID); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := atAccount(t, h, "olena", "/account")
	eventually(t, "all is sealed", func() bool {
		list, err := h.Accounts.Activity(t.Context(), user.ID, 0, 100)
		return err == nil && len(list) == 63
	})
	pages, seen := 0, 0
	for p := b.Get("/account/activity"); ; pages++ {
		seen += strings.Count(p.Body, `<li class="thing`)
		if strings.Contains(p.Body, "198.51.100.7") || strings.Contains(p.Body, "an-admin") {
			t.Error("it tells where an administrator was")
		}
		var older string
		for _, to := range p.Attributes("a", "href") {
			if strings.Contains(to, "before=") {
				older = to
			}
		}
		if older == "" {
			if !strings.Contains(p.Body, "The account was created") {
				t.Error("the last page has the beginning")
			}
			break
		}
		p = b.Get(older)
	}
	if seen != 63 || pages != 2 {
		t.Errorf("%d events on %d pages, want 63 on 3", seen, pages+1)
	}
	for _, before := range []string{"-1", "x", "99999999999999999999", "0"} {
		if p := b.Get("/account/activity?before=" + before); p.Status != 200 || !strings.Contains(p.Body, "<h2>Signed in</h2>") {
			t.Errorf("before=%s: %d", before, p.Status)
		}
	}
	his, _ := atAccount(t, h, "bohdan", "/account")
	if p := his.Get("/account/activity"); strings.Contains(p.Body, "locked") {
		t.Error("he reads of her account")
	}
}

func TestExport(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	corp := model.Upstream{UpstreamSettings: model.UpstreamSettings{Kind: "oidc", Connection: []byte(`{"issuer":"https://corp.example","client_id":"us","token_endpoint_auth_method":"none"}`)}}
	if _, err := h.Federation.Change(t.Context(), servertest.Operator, federation.Change{ID: "corp", After: &corp}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Federation.Assign(t.Context(), servertest.Operator, federation.Assigning{User: user.ID, Upstream: "corp", Issuer: "https://corp.example", Subject: "4711"}); err != nil {
		t.Fatal(err)
	}
	c, _ := h.Client("shop", web)
	b, _ := atAccount(t, h, "olena", "/account/data")
	b.Get(servertest.AuthorizePath(c)).SubmitIf("primary")
	eventually(t, "all is sealed", func() bool { return strings.Contains(b.Get("/account/activity").Body, "You allowed") })
	p := b.Get("/account/data").Submit("primary")
	if p.Status != 200 || p.Header.Get("Content-Type") != "application/json" || p.Header.Get("Content-Disposition") != `attachment; filename="account.json"` || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", p.Status, p.Header)
	}
	var file struct {
		Account      model.User
		Sessions     []struct{ ID, Address string }
		Applications []struct {
			ClientID string `json:"client_id"`
			Scope    []string
		}
		Methods  map[string]any `json:"sign_in_methods"`
		Browsers []struct {
			Since int64
		} `json:"known_browsers"`
		Events []struct{ Action string }
	}
	if err := json.Unmarshal([]byte(p.Body), &file); err != nil {
		t.Fatal(err)
	}
	if file.Account.ID != user.ID || account.Mark(file.Account.Profile) != account.Mark(user.Profile) || len(file.Sessions) != 1 || file.Sessions[0].Address == "" ||
		len(file.Applications) != 1 || file.Applications[0].ClientID != "shop" || file.Methods["password"] == nil || file.Methods["identities"] == nil || len(file.Browsers) != 1 || file.Browsers[0].Since == 0 || len(file.Events) < 3 {
		t.Errorf("%s", p.Body)
	}
	for _, secret := range []string{"argon2", "cookie", "hash", "ost_", "mark", "seal"} {
		if strings.Contains(strings.ToLower(p.Body), secret) {
			t.Errorf("%q is in the file", secret)
		}
	}
}

func TestDeleteAccount(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		c, secret := h.Client("shop", web)
		b, _ := atAccount(t, h, "olena", "/account/delete")
		at := b.Get(servertest.AuthorizePath(c)).SubmitIf("primary").Left
		held := h.Redeem(c, secret, at)
		for _, wrong := range []string{"", "bohdan", "olena2", "<script>"} {
			if p := b.Get("/account/delete").Submit("primary", "login", wrong); p.Status != 422 || !strings.Contains(p.Body, "This is not your username.") {
				t.Errorf("%q: %d", wrong, p.Status)
			}
		}
		p := b.Get("/account/delete").Submit("primary", "login", " OLENA ")
		if p.Status != 200 || !strings.Contains(p.Body, "The account is deleted") {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if _, err := h.Accounts.User(t.Context(), user.ID); err != account.ErrNoUser {
			t.Errorf("%v", err)
		}
		eventually(t, "the token is refused", func() bool {
			return get(t, h.Issuer+"/userinfo", "Authorization", "Bearer "+held.String("access_token")).Status != 200
		})
		if p := b.Get("/account/profile"); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("still signed in at %s", p.URL)
		}
		// The only administrator stays.
		admin := true
		boss := h.User("boss", password)
		if _, err := h.Accounts.Update(t.Context(), servertest.Operator, boss.ID, account.Change{Admin: &admin}); err != nil {
			t.Fatal(err)
		}
		b, _ = atAccount(t, h, "boss", "/account/delete")
		if p := b.Get("/account/delete").Submit("primary", "login", "boss"); p.Status != 409 || !strings.Contains(p.Body, "You are the only administrator") {
			t.Errorf("the last administrator: %d %s", p.Status, p.Body)
		}
	})
}
