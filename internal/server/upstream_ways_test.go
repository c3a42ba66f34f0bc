package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

// TestWhereToSignIn: a hint of the request or the client, a mail domain and the default
// lead to a provider without a page; what the request says of pages is heeded.
func TestWhereToSignIn(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h, func(s *model.UpstreamSettings, _ map[string]any) { s.Domains = []string{"second.example"} })
	third := secondHouse(t, h, "third", func(s *model.UpstreamSettings, _ map[string]any) { s.Name, s.Hidden = "Third House", true })
	hinting := web
	hinting.IDPHint = "second"
	hints, _ := h.Client("hints", hinting)
	limited := web
	limited.IdentityProviders = []string{"third"}
	only, _ := h.Client("only", limited)
	without := web
	without.SignInMethods = []string{"password"}
	none, _ := h.Client("none", without)

	for _, row := range []struct {
		why  string
		path string
		to   *servertest.House // nil: our own page
		says string            // on our page
		not  string
	}{
		{"nothing said", servertest.AuthorizePath(two.c), nil, "Second House", "Third House"},
		{"a hint", servertest.AuthorizePath(two.c, "idp_hint", "second"), two.u.House, "", ""},
		{"a hint at one without a button", servertest.AuthorizePath(two.c, "idp_hint", "third"), third.House, "", ""},
		{"a hint at nobody", servertest.AuthorizePath(two.c, "idp_hint", "nobody"), nil, "Second House", ""},
		{"a hint, and a sign-in wanted", servertest.AuthorizePath(two.c, "idp_hint", "second", "prompt", "login"), two.u.House, "", ""},
		{"the client's hint", servertest.AuthorizePath(hints), two.u.House, "", ""},
		{"another one than the client's", servertest.AuthorizePath(hints, "idp_hint", "third"), third.House, "", ""},
		{"the client's hint, and a page wanted", servertest.AuthorizePath(hints, "prompt", "select_account"), two.u.House, "", ""},
		{"a domain", servertest.AuthorizePath(two.c, "login_hint", "Olena@Second.Example"), two.u.House, "", ""},
		{"a domain, and a sign-in wanted", servertest.AuthorizePath(two.c, "login_hint", "olena@second.example", "prompt", "login"), nil, "olena@second.example", ""},
		{"another domain", servertest.AuthorizePath(two.c, "login_hint", "olena@not.second.example"), nil, "Second House", ""},
		{"a client that takes others alone", servertest.AuthorizePath(only, "idp_hint", "second"), nil, "Username", "Second House"},
		{"a client that takes no provider", servertest.AuthorizePath(none, "idp_hint", "second"), nil, "Username", "Second House"},
	} {
		page := traveller(h, two.u, third).Get(row.path)
		at := page.URL.Scheme + "://" + page.URL.Host
		want := h
		if row.to != nil {
			want = row.to
		}
		if at != want.Issuer || !strings.Contains(page.Body, row.says) || row.not != "" && strings.Contains(page.Body, row.not) {
			t.Errorf("%s: at %s: %d %s", row.why, page.URL, page.Status, page.Body)
		}
	}
	// What a page does not offer cannot be asked for past it.
	b := traveller(h, two.u)
	if p := choose(b.Get(servertest.AuthorizePath(none)), b, "second"); p.Status != http.StatusNotFound {
		t.Errorf("a client that takes no provider: %d", p.Status)
	}
	says(t, choose(b.Get(servertest.AuthorizePath(only)), b, "second"), "You cannot sign in with that provider here")

	// A login alone is enough where it belongs to a provider.
	page := b.Get(servertest.AuthorizePath(two.c))
	if there := page.Submit("primary", "login", "olena@second.example"); there.URL.Hostname() != "127.0.0.1" {
		t.Errorf("a login of theirs leads to %s", there.URL)
	} else if got := there.Form().Values.Get("login"); got != "olena@second.example" {
		t.Errorf("the other house proposes %q", got)
	}
	page = b.Get(servertest.AuthorizePath(two.c)).Submit("primary", "login", "olena@second.example", "password", "wrong words all along")
	if page.Status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong password: %d", page.Status)
	}
	says(t, page, "Check both, or sign in with Second House")
	if p := b.Get(servertest.AuthorizePath(two.c)).Submit("primary", "login", "olena"); p.Status != http.StatusUnprocessableEntity {
		t.Errorf("no password: %d %s", p.Status, p.URL)
	}

	// The default is gone to, unless the request wants a page.
	two.u.known(t, h, linksByMail, func(s *model.UpstreamSettings, _ map[string]any) { s.Default = true })
	if p := traveller(h, two.u).Get(servertest.AuthorizePath(two.c)); p.URL.Hostname() != "127.0.0.1" {
		t.Errorf("the default leads to %s", p.URL)
	}
	for _, prompt := range []string{"login", "select_account"} {
		if p := traveller(h, two.u).Get(servertest.AuthorizePath(two.c, "prompt", prompt)); p.URL.Hostname() != "localhost" {
			t.Errorf("prompt=%s leads to %s", prompt, p.URL)
		}
	}
	// OpenID Connect Core §3.1.2.1: none shows no page, and goes nowhere that could.
	two.nobody(t, traveller(h, two.u), "prompt=none")
}

// TestWishesElsewhere: what a request wants of the sign-in goes along, as far as it is
// about that.
func TestWishesElsewhere(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	b := traveller(h, two.u)
	stopsAt(b, two.u.Issuer)
	page := b.Get(servertest.AuthorizePath(two.c, "prompt", "login consent", "max_age", "300", "login_hint", "olena", "acr_values", "gold", "ui_locales", "uk"))
	to, err := url.Parse(choose(page, b, "second").Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"prompt": "login", "max_age": "290", "login_hint": "olena", "acr_values": "gold", "ui_locales": "uk", "response_type": "code",
		"redirect_uri": h.Issuer + "/upstream/second/callback", "code_challenge_method": "S256",
	} {
		if got := to.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if to.Query().Get("state") == "" || to.Query().Get("nonce") == "" {
		t.Errorf("the request is %s", to)
	}
}

// TestOldSignInElsewhere: a sign-in over there that is older than was asked for is none.
func TestOldSignInElsewhere(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	b := traveller(h, two.u)
	answer, _ := two.answered(t, b, "olena")
	leftWith(t, b.Get(answer))
	h.Clock.Move(time.Hour)
	two.u.Clock.Move(time.Hour)
	// The house over there heeds max_age, and asks.
	page := choose(b.Get(servertest.AuthorizePath(two.c, "max_age", "60")), b, "second")
	leftWith(t, signInThere(t, page, "olena"))
	// To one with a slow clock the sign-in would be fresh.
	h.Clock.Move(5 * time.Minute)
	page = choose(b.Get(servertest.AuthorizePath(two.c, "max_age", "60")), b, "second")
	if page.Left != nil || !strings.HasSuffix(page.URL.Path, "/login") || !page.URL.Query().Has("refused") {
		t.Errorf("an old sign-in leads to %s: %d %v", page.URL, page.Status, page.Left)
	}
}

// TestConnectedAccounts: people connect accounts that they have elsewhere, and
// disconnect them, on a page of theirs; never the last way in, and never one of
// somebody else.
func TestConnectedAccounts(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("admin", "our own long words")
		ours, other := h.User("olena", "our own long words"), h.User("taras", "our own long words")
		u := secondHouse(t, h, "second")
		u.User("work", "four words that rhyme")
		ctx, path := context.Background(), "/account/sign-in/elsewhere"

		b := traveller(h, u)
		page := b.Get(path).Submit("primary", "login", "olena", "password", "our own long words")
		says(t, page, "No account is connected yet")
		page = signInThere(t, b.Post(path, url.Values{"connect": {"second"}}), "work")
		says(t, page, "The account is connected")
		says(t, page, "Second House")
		list, err := h.Federation.Identities(ctx, ours.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("connected is %v (%v)", list, err)
		}
		says(t, b.Get("/account/sign-in"), "1 account is connected")
		// The same once more changes nothing.
		b.Post(path, url.Values{"connect": {"second"}})
		if list, _ := h.Federation.Identities(ctx, ours.ID); len(list) != 1 {
			t.Errorf("connected twice: %v", list)
		}

		// Somebody else cannot have it as well, nor take it away.
		thief := traveller(h, u)
		thief.Get(path).Submit("primary", "login", "taras", "password", "our own long words")
		page = signInThere(t, thief.Post(path, url.Values{"connect": {"second"}}), "work")
		says(t, page, "is connected with another account here")
		page = thief.Post(path+"/"+string(list[0].ID), url.Values{"do": {"disconnect"}})
		says(t, page, "not connected any more")
		if list, _ := h.Federation.Identities(ctx, other.ID); len(list) != 0 {
			t.Errorf("somebody else has %v", list)
		}
		if p := b.Post(path+"/"+string(list[0].ID), url.Values{}); p.Status != http.StatusBadRequest {
			t.Errorf("without a word: %d", p.Status)
		}
		says(t, b.Post(path, url.Values{"connect": {"nobody"}}), "cannot sign in with that provider")

		page = b.Post(path+"/"+string(list[0].ID), url.Values{"do": {"disconnect"}})
		says(t, page, "The account is disconnected")
		says(t, page, "No account is connected yet")
		// What has happened is told as soon as it is sealed.
		told := func() bool {
			return strings.Contains(b.Get("/account/activity").Body, "An account elsewhere was disconnected")
		}
		for i := 0; i < 100 && !told(); i++ {
			time.Sleep(100 * time.Millisecond)
		}
		if !told() {
			t.Error("the person is not told that it was disconnected")
		}
	})
}

// TestLastWayElsewhere: whoever can sign in by a provider alone does not lose that.
func TestLastWayElsewhere(t *testing.T) {
	h := servertest.Start(t)
	h.User("admin", "our own long words")
	u := secondHouse(t, h, "second", signsUp)
	u.User("olena", "four words that rhyme")
	c, _ := h.Client("shop", web)
	b := traveller(h, u)
	page := signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
	leftWith(t, page.Submit("primary"))
	user, err := h.Accounts.ByLogin(context.Background(), "olena")
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.Federation.Identities(context.Background(), user.ID)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	at := "/account/sign-in/elsewhere/" + string(list[0].ID)
	says(t, b.Post(at, url.Values{"do": {"disconnect"}}), "This is your last way to sign in")
	if list, _ := h.Federation.Identities(context.Background(), user.ID); len(list) != 1 {
		t.Error("it is gone")
	}
	b.Post("/account/sign-in", url.Values{"password": {"our own long words"}})
	says(t, b.Post(at, url.Values{"do": {"disconnect"}}), "The account is disconnected")
}

// TestConnectWantsProof: the page asks who one is, freshly, before it changes what
// others could use to get in.
func TestConnectWantsProof(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	b := traveller(h, two.u)
	leftWith(t, b.Get(servertest.AuthorizePath(two.c)).Submit("primary", "login", "olena", "password", "our own long words"))
	h.Clock.Move(time.Hour)
	page := b.Post("/account/sign-in/elsewhere", url.Values{"connect": {"second"}})
	if page.URL.Hostname() != "localhost" || !strings.HasSuffix(page.URL.Path, "/login") {
		t.Errorf("they are at %s", page.URL)
	}
	// Whoever has signed out since is not connected, whatever comes back.
	page.Submit("primary", "login", "olena", "password", "our own long words")
	goOn := stopsAt(b, h.Issuer+"/upstream/")
	answer := signInThere(t, b.Post("/account/sign-in/elsewhere", url.Values{"connect": {"second"}}), "mallory").Header.Get("Location")
	goOn()
	if err := h.Accounts.SignOutEverywhere(context.Background(), servertest.Operator, two.ours.ID); err != nil {
		t.Fatal(err)
	}
	b.Get(answer)
	if list, _ := h.Federation.Identities(context.Background(), two.ours.ID); len(list) != 0 {
		t.Errorf("connected is %v", list)
	}
}

// TestSecondFactorElsewhere: a sign-in elsewhere is a first factor: the second one of
// ours is asked for on top of it.
func TestSecondFactorElsewhere(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	wanted := model.SignInPolicy{SecondFactor: model.SecondRequired}
	if _, err := h.Accounts.Update(context.Background(), servertest.Operator, two.ours.ID, account.Change{SignIn: &wanted}); err != nil {
		t.Fatal(err)
	}
	b := traveller(h, two.u)
	answer, request := two.answered(t, b, "olena")
	page := b.Get(answer)
	if page.Left != nil || !slices.Contains([]string{request + "/factor", request + "/enrol"}, page.URL.Path) {
		t.Errorf("they are at %s: %d %v", page.URL, page.Status, page.Left)
	}
	two.nobody(t, b, "one factor alone")
}

// TestSignOutElsewhere: after the sign-out here the person is offered one over there,
// and is back at the application after it.
func TestSignOutElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		two := connectedHouses(t, h)
		b := traveller(h, two.u)
		answer, _ := two.answered(t, b, "olena")
		leftWith(t, b.Get(answer))
		page := b.Get("/logout?" + url.Values{"client_id": {string(two.c.ID)}, "post_logout_redirect_uri": {two.c.PostLogoutRedirectURIs[0]}, "state": {"s-1"}}.Encode())
		page = page.Submit("primary")
		says(t, page, "You are still signed in at Second House")
		two.nobody(t, b, "after the sign-out")
		var out string
		for _, link := range page.Attributes("a", "href") {
			if strings.HasPrefix(link, two.u.Issuer+"/logout?") {
				out = link
			}
		}
		if out == "" {
			t.Fatalf("there is no way out over there: %s", page.Body)
		}
		thief := traveller(h, two.u)
		if p := thief.Get(h.Issuer + "/signed-out?state=" + url.QueryEscape(parameter(t, out, "state"))); p.Left != nil {
			t.Errorf("another browser is sent to %s", p.Left)
		}
		page = b.Get(out)
		if page.Left == nil || page.Left.String() != two.c.PostLogoutRedirectURIs[0]+"?state=s-1" {
			t.Errorf("they end at %s: %d %v %s", page.URL, page.Status, page.Left, page.Body)
		}
		// Over there they are asked again.
		if p := choose(b.Get(servertest.AuthorizePath(two.c)), b, "second"); !strings.HasSuffix(p.URL.Path, "/login") || p.URL.Hostname() != "127.0.0.1" {
			t.Errorf("over there they are at %s", p.URL)
		}
		if log := h.Log.String(); strings.Contains(log, parameter(t, out, "id_token_hint")) {
			t.Error("the log has the ID token")
		}
	})
}

// TestSignedOutElsewhere: a sign-out over there ends the sessions here that stand on
// it, by the back channel; nobody else can say so.
func TestSignedOutElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		two := connectedHouses(t, h)
		b, beside := traveller(h, two.u), traveller(h, two.u)
		answer, _ := two.answered(t, b, "olena")
		leftWith(t, b.Get(answer))
		leftWith(t, beside.Get(servertest.AuthorizePath(two.c)).Submit("primary", "login", "olena", "password", "our own long words"))
		for why, form := range map[string]url.Values{
			"nothing": {}, "no token": {"logout_token": {"x"}}, "two": {"logout_token": {"x", "y"}},
		} {
			got := h.Call("/upstream/second/backchannel", model.Client{}, "", form)
			if got.Status != http.StatusBadRequest || got.String("error") != "invalid_request" {
				t.Errorf("%s: %d %s", why, got.Status, got.Text)
			}
		}
		if got := h.Call("/upstream/nobody/backchannel", model.Client{}, "", url.Values{"logout_token": {"x"}}); got.Status != http.StatusBadRequest {
			t.Errorf("a provider that is none: %d", got.Status)
		}
		if p := b.Get(servertest.AuthorizePath(two.c, "prompt", "none")); p.Left == nil || p.Left.Query().Get("code") == "" {
			t.Fatalf("the session has ended: %v", p.Left)
		}
		b.Get(two.u.Issuer + "/logout").Submit("primary")
		ended := func() bool {
			p := b.Get(servertest.AuthorizePath(two.c, "prompt", "none"))
			return p.Left != nil && p.Left.Query().Get("error") == "login_required"
		}
		for i := 0; i < 100 && !ended(); i++ {
			time.Sleep(100 * time.Millisecond)
		}
		if !ended() {
			t.Fatalf("the session goes on: %s", h.Log.String())
		}
		if p := beside.Get(servertest.AuthorizePath(two.c, "prompt", "none")); p.Left == nil || p.Left.Query().Get("code") == "" {
			t.Errorf("a session that does not stand on it has ended: %v", p.Left)
		}
	})
}

// TestUpstreamMetadata: a provider that wants none gets none.
func TestUpstreamMetadata(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	for _, id := range []string{string(two.u.id), "nobody"} {
		res, err := http.Get(h.Issuer + "/upstream/" + id + "/metadata")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", id, res.StatusCode)
		}
	}
}

// TestSignedOutElsewhereInFrame: the front channel says so by the browser (OpenID
// Connect Front-Channel Logout §2): the session that is named ends, and no other.
func TestSignedOutElsewhereInFrame(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	c := two.u.client.ClientSettings
	c.FrontchannelURI, c.FrontchannelSession = h.Issuer+"/upstream/second/logout", true
	if _, err := two.u.Registrar.UpdateClient(context.Background(), servertest.Operator, two.u.client.ID, c); err != nil {
		t.Fatal(err)
	}
	b := traveller(h, two.u)
	answer, _ := two.answered(t, b, "olena")
	leftWith(t, b.Get(answer))
	goOn := func() bool {
		p := b.Get(servertest.AuthorizePath(two.c, "prompt", "none"))
		return p.Left != nil && p.Left.Query().Get("code") != ""
	}
	for why, query := range map[string]url.Values{
		"nothing":         {},
		"another session": {"iss": {two.u.Issuer}, "sid": {"x"}},
		"another issuer":  {"iss": {"https://evil.example"}, "sid": {"x"}},
	} {
		p := traveller(h).Get("/upstream/second/logout?" + query.Encode())
		if why != "another session" && p.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", why, p.Status)
		}
	}
	if !goOn() {
		t.Fatal("the session has ended")
	}
	out := b.Get(two.u.Issuer + "/logout").Submit("primary")
	frames := out.Attributes("iframe", "src")
	if len(frames) != 1 || !strings.HasPrefix(frames[0], h.Issuer+"/upstream/second/logout?") {
		t.Fatalf("the other house has the frames %v", frames)
	}
	p := traveller(h).Get(frames[0]) // in a frame of another site there are no cookies
	if p.Status != http.StatusOK || p.Body != "" || p.Header.Get("X-Frame-Options") != "" || !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors *") {
		t.Errorf("the frame has %d %q %v", p.Status, p.Body, p.Header)
	}
	if goOn() {
		t.Error("the session goes on")
	}
}

// TestDirectoryElsewhere signs in with a directory's password, which is typed on a page
// of ours.
func TestDirectoryElsewhere(t *testing.T) {
	d := upstreamtest.NewDirectory(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("admin", "our own long words")
		connection, err := json.Marshal(map[string]any{
			"servers": []string{d.LDAPS}, "ca": d.CA, "bind_dn": d.ReaderDN,
			"search": map[string]any{"base": "ou=people," + d.Base, "filter": "(uid={login})"},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Federation.Change(context.Background(), servertest.Operator, federation.Change{
			ID: "staff", Secrets: map[string]model.Secret{"bind_password": model.Secret(d.ReaderPassword)},
			After: &model.Upstream{UpstreamSettings: model.UpstreamSettings{
				Kind: "ldap", Name: "Staff", SignUp: true, TrustMail: true, Domains: []string{"staff.example"}, Connection: connection,
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c, secret := h.Client("shop", web)
		b := traveller(h)
		page := b.Get(servertest.AuthorizePath(c))
		says(t, page, "Continue with Staff")
		// A login of theirs leads there, and so does a hint.
		at := strings.TrimSuffix(page.URL.Path, "/login") + "/directory/staff"
		if page = page.Submit("primary", "login", "alice@staff.example"); page.URL.Path != at {
			t.Fatalf("a login of theirs leads to %s", page.URL)
		}
		if p := traveller(h).Get(servertest.AuthorizePath(c, "idp_hint", "staff")); !strings.HasSuffix(p.URL.Path, "/directory/staff") {
			t.Errorf("a hint leads to %s", p.URL)
		}
		for why, typed := range map[string][]string{
			"a wrong password":   {"login", "alice", "password", "guessed"},
			"nobody":             {"login", "mallory", "password", "alice's password"},
			"a filter (LDAP §3)": {"login", "*", "password", "alice's password"},
			"no password":        {"login", "alice", "password", ""}, // RFC 4513 §5.1.2
		} {
			p := page.Submit("primary", typed...)
			if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Body, "do not match") {
				t.Errorf("%s: %d %s", why, p.Status, p.URL)
			}
		}
		if p := choose(b.Get(servertest.AuthorizePath(c)), b, "staff"); p.Left != nil || !strings.Contains(p.Body, "cannot sign in with that provider") {
			t.Errorf("a directory is no place to visit: %d %s", p.Status, p.URL)
		}
		join := page.Submit("primary", "login", "alice", "password", "alice's password")
		says(t, join, "alice@example.com")
		who := identity(t, h, c, secret, leftWith(t, join.Submit("primary")))
		again := traveller(h)
		page = again.Get(servertest.AuthorizePath(c, "idp_hint", "staff"))
		if got := identity(t, h, c, secret, leftWith(t, page.Submit("primary", "login", "alice", "password", "alice's password"))); got.Subject != who.Subject {
			t.Errorf("the second time it is %s", got.Subject)
		}
		if strings.Contains(h.Log.String(), "alice's password") {
			t.Error("the log has the password")
		}

		// Somebody who is signed in connects an account there.
		ours := h.User("robert", "our own long words")
		robert := traveller(h)
		robert.Get("/account/sign-in/elsewhere").Submit("primary", "login", "robert", "password", "our own long words")
		page = robert.Post("/account/sign-in/elsewhere", url.Values{"connect": {"staff"}})
		if p := page.Submit("primary", "login", "bob", "password", "guessed"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong password: %d", p.Status)
		}
		says(t, page.Submit("primary", "login", "alice", "password", "alice's password"), "is connected with another account here")
		says(t, page.Submit("primary", "login", "bob", "password", "bob's password"), "The account is connected")
		if list, _ := h.Federation.Identities(context.Background(), ours.ID); len(list) != 1 {
			t.Errorf("connected is %v", list)
		}
	})
}
