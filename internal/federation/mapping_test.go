package federation

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

func TestRead(t *testing.T) {
	for _, row := range []struct {
		name    string
		mapping []model.Mapping
		claims  string
		want    model.Profile
		groups  []string
	}{
		{"the standard claims", nil, `{"name":"Ada","email":"a@b.example","email_verified":true,"locale":"en"}`,
			model.Profile{Name: "Ada", Email: "a@b.example", EmailVerified: true, Locale: "en"}, nil},
		{"Apple says true as a text", nil, `{"email":"a@b.example","email_verified":"true"}`, model.Profile{Email: "a@b.example", EmailVerified: true}, nil},
		{"an address of which nobody has made sure is left out", nil, `{"email":"a@b.example"}`, model.Profile{}, nil},
		{"what is no boolean is not a yes", nil, `{"email":"a@b.example","email_verified":{}}`, model.Profile{}, nil},
		{"groups are nobody's without a mapping", nil, `{"groups":["admin"]}`, model.Profile{}, nil},
		{"what no profile may have is left out", nil, `{"name":"a\u202eb","picture":"javascript:alert(1)","nickname":"n"}`, model.Profile{Nickname: "n"}, nil},
		{"a member of another name", []model.Mapping{{Claim: "nickname", From: "login"}}, `{"login":"ada","nickname":"no"}`, model.Profile{Nickname: "ada"}, nil},
		{"a member within", []model.Mapping{{Claim: "picture", From: "picture.data.url"}}, `{"picture":{"data":{"url":"https://p.example/a.png"}}}`, model.Profile{Picture: "https://p.example/a.png"}, nil},
		{"a name with dots", []model.Mapping{{Claim: "name", From: "urn:oid:2.5.4.3"}}, `{"urn:oid:2.5.4.3":["Ada","Other"]}`, model.Profile{Name: "Ada"}, nil},
		{"a fixed value", []model.Mapping{{Claim: "zoneinfo", Value: "Europe/Kyiv"}}, `{}`, model.Profile{Zoneinfo: "Europe/Kyiv"}, nil},
		{"a number", []model.Mapping{{Claim: "nickname", From: "id"}}, `{"id":12345678901}`, model.Profile{Nickname: "12345678901"}, nil},
		{"values are translated", []model.Mapping{{Claim: "locale", From: "lang", Map: map[string]string{"ukr": "uk"}}}, `{"lang":"ukr"}`, model.Profile{Locale: "uk"}, nil},
		{"what is not in the map is left out", []model.Mapping{{Claim: "locale", From: "lang", Map: map[string]string{"ukr": "uk"}}}, `{"lang":"eng"}`, model.Profile{}, nil},
		{"groups by a map", []model.Mapping{{Claim: "groups", From: "memberOf", Map: map[string]string{"cn=admins": "ops", "cn=all": "staff"}}},
			`{"memberOf":["cn=all","cn=admins","cn=other","ops"]}`, model.Profile{}, []string{"staff", "ops"}},
		{"one group for everybody", []model.Mapping{{Claim: "groups", Value: "partner"}}, `{}`, model.Profile{}, []string{"partner"}},
		{"verified by another member", []model.Mapping{{Claim: "email", From: "mail"}, {Claim: "email_verified", From: "mail_ok"}}, `{"mail":"a@b.example","mail_ok":true}`,
			model.Profile{Email: "a@b.example", EmailVerified: true}, nil},
		{"nothing of what is said", []model.Mapping{}, `{"name":"Ada"}`, model.Profile{}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var claims map[string]any
			d := json.NewDecoder(strings.NewReader(row.claims))
			d.UseNumber()
			if err := d.Decode(&claims); err != nil {
				t.Fatal(err)
			}
			if err := checkMapping(row.mapping); err != nil {
				t.Fatal(err)
			}
			got := read(model.UpstreamSettings{Mapping: row.mapping}, claims)
			if !reflect.DeepEqual(got.profile, row.want) || !slices.Equal(got.groups, row.groups) {
				t.Errorf("made %+v %q", got.profile, got.groups)
			}
		})
	}
}

func TestTry(t *testing.T) {
	s := model.UpstreamSettings{Mapping: []model.Mapping{{Claim: "name", From: "cn"}, {Claim: "email", From: "mail", Keep: true}, {Claim: "groups", Value: "partner"}}}
	got, err := Try(s, []byte(`{"cn":"Ada","mail":"a@b.example"}`))
	if err != nil || got.Profile.Name != "Ada" || got.Profile.Email != "" || !slices.Equal(got.Profile.Groups, []string{"partner"}) ||
		!slices.Equal(got.Always, []string{"name", "groups"}) || !slices.Equal(got.Left, []string{"email is not verified over there"}) {
		t.Errorf("%+v %v", got, err)
	}
	var invalid ErrInvalid
	for _, claims := range []string{"", "[]", "null", `{"a":"` + strings.Repeat("a", maxClaims) + `"}`} {
		if _, err := Try(s, []byte(claims)); !errors.As(err, &invalid) {
			t.Errorf("%.20s: %v", claims, err)
		}
	}
}

// What the provider tells is set again at every sign-in, where the mapping says so;
// what people and administrators have made here stays.
func TestRefresh(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true, Mapping: []model.Mapping{
			{Claim: "name", From: "name"}, {Claim: "nickname", From: "nick", Keep: true}, {Claim: "email", From: "email"},
			{Claim: "groups", From: "roles", Map: map[string]string{"a": "ours-a", "b": "ours-b", "c": "local"}},
		}})
		h.user("first", "taken@example.org")
		p := person("s1", "ada@example.org")
		p.Claims["nick"], p.Claims["roles"] = "ada", []any{"a", "b", "unknown"}
		h.there.people["c"] = p
		_, err := h.visit("corp", "r0", "c")
		h.ok(err)
		h.ok(h.Join(h.ctx(), Joining{Holder: "r0", Login: "ada"}))
		user := h.begin("r0").User
		now := func() model.User {
			u, err := h.Accounts.User(h.ctx(), user.ID)
			h.ok(err)
			return u
		}
		if u := now(); u.Profile.Nickname != "ada" || !slices.Equal(u.Profile.Groups, []string{"ours-a", "ours-b"}) {
			t.Fatalf("made: %+v", u.Profile)
		}

		profile := now().Profile
		profile.Nickname, profile.Name = "own", "Own Name"
		profile.Groups = append(profile.Groups, "local")
		_, err = h.Accounts.Update(h.ctx(), operator, user.ID, account.Change{Profile: &profile})
		h.ok(err)
		p.Claims["roles"], p.Claims["name"], p.Claims["email"] = []any{"b", "c"}, "Ada King", "king@example.org"
		// What waits for an answer from the address that she leaves is void, and not what
		// she proves with this.
		h.ok(h.Store.Upkeep(h.ctx(), func(tx *store.Tx) error {
			return tx.InsertConfirmation(model.Confirmation{ID: "reset", Purpose: model.ConfirmReset, UserID: user.ID, Address: "ada@example.org", LinkHash: "l", ExpiresAt: 1 << 40})
		}))
		before := len(h.events("user.update"))
		_, err = h.visit("corp", "r1", "c")
		h.ok(err)
		if in := h.begin("r1"); in.User.ID != user.ID {
			t.Errorf("%s came in", in.User.ID)
		}
		if err := h.Store.View(h.ctx(), func(tx *store.Tx) error { _, err := tx.Confirmation("reset", 1); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a letter to the former address: %v", err)
		}
		u := now()
		if u.Profile.Name != "Ada King" || u.Profile.Nickname != "own" || u.Profile.Email != "king@example.org" || !u.Profile.EmailVerified ||
			!slices.Equal(u.Profile.Groups, []string{"local", "ours-b"}) {
			t.Errorf("then: %+v", u.Profile)
		}
		if changes := h.events("user.update")[before:]; len(changes) != 1 || changes[0].Actor.Kind != model.ActorUpstream || changes[0].Actor.ID != "corp" {
			t.Errorf("written down: %+v", changes)
		}

		// Nothing has changed: nothing is written. An address that is somebody else's is
		// not taken, nor one that is not verified; and what an administrator gave stays.
		p.Claims["email"], p.Claims["roles"] = "taken@example.org", []any{}
		_, err = h.visit("corp", "r2", "c")
		h.ok(err)
		if u := now(); u.Profile.Email != "king@example.org" || !slices.Equal(u.Profile.Groups, []string{"local"}) {
			t.Errorf("taken: %+v", u.Profile)
		}
		p.Claims["email"], p.Claims["email_verified"] = "new@example.org", false
		before = len(h.events("user.update"))
		_, err = h.visit("corp", "r3", "c")
		h.ok(err)
		if u := now(); u.Profile.Email != "king@example.org" || len(h.events("user.update")) != before {
			t.Errorf("not verified: %+v", u.Profile)
		}

		// What a provider has brought goes with it.
		p.Claims["roles"] = []any{"a", "c"}
		_, err = h.visit("corp", "r4", "c")
		h.ok(err)
		if u := now(); !slices.Equal(u.Profile.Groups, []string{"local", "ours-a"}) {
			t.Fatalf("again: %+v", u.Profile)
		}
		is, err := h.Upstream(h.ctx(), "corp")
		h.ok(err)
		_, err = h.Change(h.ctx(), operator, Change{ID: "corp", Before: &is})
		h.ok(err)
		if u := now(); !slices.Equal(u.Profile.Groups, []string{"local"}) || len(h.identities(user)) != 0 {
			t.Errorf("after the provider: %+v", u.Profile)
		}
	})
}

func TestFactor(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{TrustACR: []string{"mfa", "urn:strong"}})
		ada := h.user("ada", "")
		now := h.clock.now().Unix()
		for _, row := range []struct {
			name   string
			change func(p *upstream.Person)
			acr    string
			amr    []string
			at     int64
		}{
			{"nothing is told", func(*upstream.Person) {}, account.ACRPassword, nil, now},
			{"one factor", func(p *upstream.Person) { p.AMR = []string{"pwd"} }, account.ACRPassword, nil, now},
			{"two, by amr", func(p *upstream.Person) { p.AMR = []string{"pwd", "mfa", "bad value"} }, account.ACRMulti, []string{"pwd", "mfa"}, now},
			{"two, by acr", func(p *upstream.Person) { p.ACR = "urn:strong" }, account.ACRMulti, []string{"mfa"}, now},
			{"a word that is not taken", func(p *upstream.Person) { p.ACR = "urn:other" }, account.ACRPassword, nil, now},
			{"who was signed in there has not proven anew who they are", func(p *upstream.Person) { p.AuthTime = now - 3600 }, account.ACRPassword, nil, now - 3600},
			{"a clock that is ahead", func(p *upstream.Person) { p.AuthTime = now + 5 }, account.ACRPassword, nil, now},
		} {
			p := person("s1", "")
			row.change(&p)
			h.there.people["c"] = p
			if len(h.identities(ada)) == 0 {
				_, err := h.connectAs(ada, "corp", "c")
				h.ok(err)
			}
			_, err := h.visit("corp", row.name, "c")
			h.ok(err)
			s := h.begin(row.name).Session
			if s.ACR != row.acr || !slices.Equal(s.AMR, row.amr) || s.AuthTime != row.at {
				t.Errorf("%s: acr=%s amr=%q at=%d", row.name, s.ACR, s.AMR, s.AuthTime-now)
			}
		}

		// max_age is carried there, and what comes back has to be as young.
		age := int64(60)
		for _, row := range []struct {
			at   int64
			code Code
		}{{now - 60, ""}, {now - 3600, TooOld}, {0, ""}} {
			p := person("s1", "")
			p.AuthTime = row.at
			h.there.people["c"] = p
			l, err := h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "aged", Wish: Wish{MaxAge: &age}})
			h.ok(err)
			if _, err = h.come(l, "corp", "c"); row.code == "" {
				h.ok(err)
			} else {
				h.refuses(err, row.code)
			}
		}
		if w := h.there.wishes[len(h.there.wishes)-1]; w.MaxAge == nil || *w.MaxAge != 60 {
			t.Errorf("carried: %+v", w)
		}
	})
}

// The provider's tokens are kept where an operator wants it, sealed, and are told to
// nobody without a word in the audit log.
func TestTokens(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{KeepTokens: true})
		h.add("other", model.UpstreamSettings{})
		ada := h.user("ada", "")
		p := person("s1", "")
		p.Tokens = &upstream.Tokens{Access: "access-secret", Refresh: "refresh-secret", Type: "Bearer", ExpiresAt: 7}
		h.there.people["c"] = p
		for _, id := range []string{"corp", "other"} {
			_, err := h.connectAs(ada, id, "c")
			h.ok(err)
			h.clock.advance(time.Second)
		}
		has := h.identities(ada)
		if strings.Contains(has[0].Tokens, "secret") || has[0].Tokens == "" || has[1].Tokens != "" {
			t.Fatalf("kept: %q %q", has[0].Tokens, has[1].Tokens)
		}
		got, err := h.Tokens(h.ctx(), operator, Disconnecting{ada.ID, has[0].ID})
		h.ok(err)
		if got != *p.Tokens || len(h.events("identity.tokens")) != 1 {
			t.Errorf("%+v, %+v", got, h.events("identity"))
		}
		for _, d := range []Disconnecting{{ada.ID, has[1].ID}, {"somebody", has[0].ID}, {ada.ID, "none"}} {
			if _, err := h.Tokens(h.ctx(), operator, d); !errors.Is(err, ErrNoIdentity) {
				t.Errorf("%+v: %v", d, err)
			}
		}
		// Sealed tokens are worth nothing in the place of others.
		h.ok(h.Store.Upkeep(h.ctx(), func(tx *store.Tx) error {
			other := has[1].Identity
			other.Tokens = has[0].Tokens
			return tx.UseIdentity(other)
		}))
		if _, err := h.Tokens(h.ctx(), operator, Disconnecting{ada.ID, has[1].ID}); err == nil {
			t.Error("tokens were moved")
		}
	})
}

// A session does not outlive the one that it stands on, where that is told; and an
// assertion counts once, whichever visit it is brought to.
func TestUntil(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada := h.user("ada", "")
		p := person("s1", "")
		h.there.people["c"] = p
		_, err := h.connectAs(ada, "corp", "c")
		h.ok(err)
		p.Stay = upstream.Stay{Issuer: "i", Subject: "s", ExpiresAt: h.clock.now().Unix() + 600}
		p.Message = upstream.Message{ID: "assertion-1", ExpiresAt: h.clock.now().Unix() + 600}
		h.there.people["c"] = p
		_, err = h.visit("corp", "r1", "c")
		h.ok(err)
		if s := h.begin("r1").Session; s.ExpiresAt != p.Stay.ExpiresAt || s.IdleAt > s.ExpiresAt {
			t.Errorf("the session lives until %d, not %d", s.ExpiresAt, p.Stay.ExpiresAt)
		}
		_, err = h.visit("corp", "r2", "c")
		h.refuses(err, Untrusted)
		h.clock.advance(time.Second)
		p.Message.ID = "assertion-2"
		h.there.people["c"] = p
		_, err = h.visit("corp", "r3", "c")
		h.ok(err)
	})
}
