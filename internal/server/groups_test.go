package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// told is what a client learns of a person's groups, by where.
func toldGroups(t *testing.T, h *servertest.House, c model.Client, tokens servertest.Answer, claim string) string {
	t.Helper()
	var all []string
	for _, where := range []string{"access_token", "id_token"} {
		if v, ok := claimsOf(t, tokens.String(where))[claim]; ok {
			all = append(all, fmt.Sprintf("%s%v", where, v))
		}
	}
	if v, ok := info(t, h, tokens.String("access_token")).JSON[claim]; ok {
		all = append(all, fmt.Sprintf("userinfo%v", v))
	}
	return strings.Join(all, " ")
}

// TestGroups: what a client is told of groups, and when it is told no more.
func TestGroups(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		set := func(groups ...string) {
			t.Helper()
			if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &model.Profile{Groups: groups}}); err != nil {
				t.Fatal(err)
			}
		}
		set("shop-ops", "shop-staff", "hr", "a=b")
		b := h.Browser()
		for n, row := range []struct {
			name   string
			change func(*model.ClientSettings)
			scope  string
			claims string // the parameter
			claim  string
			want   string
		}{
			{"as before", func(*model.ClientSettings) {}, "openid groups", "", "groups", "userinfo[shop-ops shop-staff hr a=b]"},
			{"without the scope", func(s *model.ClientSettings) { s.GroupsIn = []string{"id_token", "access_token"} }, "openid", "", "groups", ""},
			{"RFC 9068 §2.2.3.1: in tokens", func(s *model.ClientSettings) { s.GroupsIn = []string{"id_token", "access_token"} }, "openid groups", "", "groups",
				"access_token[shop-ops shop-staff hr a=b] id_token[shop-ops shop-staff hr a=b] userinfo[shop-ops shop-staff hr a=b]"},
			{"its own groups", func(s *model.ClientSettings) { s.GroupsPrefix = "shop-" }, "openid groups", "", "groups", "userinfo[ops staff]"},
			{"as roles", func(s *model.ClientSettings) {
				s.GroupsClaim, s.GroupsIn = "roles", []string{"access_token"}
				s.GroupRoles = []string{"shop-staff=seller", "shop-ops=admin", "shop-ops=seller", "nobody=root", "a=b=odd"}
			}, "openid groups", "", "roles", "access_token[admin odd seller] userinfo[admin odd seller]"},
			{"not under the other name", func(s *model.ClientSettings) { s.GroupsClaim = "roles" }, "openid groups", "", "groups", ""},
			{"prefix and roles", func(s *model.ClientSettings) {
				s.GroupsClaim, s.GroupsPrefix, s.GroupRoles = "https://shop.example/roles", "shop-", []string{"ops=admin", "hr=root"}
			}, "openid groups", "", "https://shop.example/roles", "userinfo[admin]"},
			{"OpenID Connect Core §5.5: asked for by its name", func(s *model.ClientSettings) { s.GroupsClaim = "roles" }, "openid",
				`{"id_token":{"roles":null},"userinfo":{"roles":{"essential":true}}}`, "roles", "id_token[shop-ops shop-staff hr a=b] userinfo[shop-ops shop-staff hr a=b]"},
			{"asked for by the name that is not its own", func(s *model.ClientSettings) { s.GroupsClaim = "roles" }, "openid", `{"id_token":{"groups":null}}`, "roles", ""},
		} {
			settings := web
			settings.FirstParty = true
			row.change(&settings)
			c, secret := h.Client(fmt.Sprintf("client-%d", n), settings)
			parameters := []string{"scope", row.scope}
			if row.claims != "" {
				parameters = append(parameters, "claims", row.claims)
			}
			path := servertest.AuthorizePath(c, parameters...)
			var at *url.URL
			if n == 0 {
				at = b.SignIn(path, "olena", "correct horse battery")
			} else {
				at = b.Get(path).Left
			}
			if got := toldGroups(t, h, c, h.Redeem(c, secret, at), row.claim); got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
		}

		// Attack row T4, after a group was removed: no token says it after the next renewal,
		// and what is in a token stays there for its minutes.
		settings := web
		settings.FirstParty, settings.GroupsIn, settings.GroupRoles, settings.GroupsClaim = true, []string{"access_token"}, []string{"shop-ops=admin"}, "roles"
		c, secret := h.Client("last", settings)
		first := h.Redeem(c, secret, b.Get(servertest.AuthorizePath(c, "scope", "openid groups offline_access")).Left)
		if got := toldGroups(t, h, c, first, "roles"); got != "access_token[admin] userinfo[admin]" {
			t.Errorf("before: %s", got)
		}
		if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{RemoveGroups: []string{"shop-ops"}}); err != nil {
			t.Fatal(err)
		}
		if got := toldGroups(t, h, c, first, "roles"); got != "access_token[admin]" {
			t.Errorf("at once: %s", got)
		}
		if got := toldGroups(t, h, c, renew(h, c, secret, first.String("refresh_token")), "roles"); got != "" {
			t.Errorf("after a renewal: %s", got)
		}

		// More than a token carries is in userinfo alone.
		var many []string
		for n := range 100 {
			many = append(many, fmt.Sprintf("group-%03d-%s", n, strings.Repeat("x", 50)))
		}
		set(many...)
		settings = web
		settings.FirstParty, settings.GroupsIn = true, []string{"access_token", "id_token"}
		c, secret = h.Client("many", settings)
		got := toldGroups(t, h, c, h.Redeem(c, secret, b.Get(servertest.AuthorizePath(c, "scope", "openid groups")).Left), "groups")
		if !strings.HasPrefix(got, "userinfo[group-000") {
			t.Errorf("many: %s", got)
		}
	})
}

// What happens to a grant tells whose it is and from where.
func TestGrantEvents(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
		first := h.Redeem(c, secret, at)
		renew(h, c, secret, first.String("refresh_token"))
		h.Call("/token", c, secret, url.Values{"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]}})
		seen := map[string]model.Event{}
		err := h.Store.View(t.Context(), func(tx *store.Tx) error {
			events, err := tx.Events(0, 1000)
			for _, e := range events {
				seen[e.Action] = e
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"code.redeem", "grant.renew", "code.replay"} {
			if e := seen[action]; e.UserID != u.ID || e.ClientID != c.ID || e.Actor.Kind != model.ActorClient || e.Actor.Address == "" {
				t.Errorf("%s: %+v", action, e)
			}
		}
	})
}

func TestGroupsSettings(t *testing.T) {
	servertest.Each(t, groupsSettings, policy(registration.Policy{Mode: registration.ModeOpen, PerHour: 100}))
}

func groupsSettings(t *testing.T, h *servertest.House) {
	for name, change := range map[string]func(*model.ClientSettings){
		"a claim that is the token's": func(s *model.ClientSettings) { s.GroupsClaim = "sub" },
		"a claim of a person":         func(s *model.ClientSettings) { s.GroupsClaim = "email" },
		"a scope for a claim":         func(s *model.ClientSettings) { s.GroupsClaim = "scope" },
		"no role":                     func(s *model.ClientSettings) { s.GroupRoles = []string{"ops="} },
		"no group":                    func(s *model.ClientSettings) { s.GroupRoles = []string{"=admin"} },
		"no pair":                     func(s *model.ClientSettings) { s.GroupRoles = []string{"ops"} },
		"101 roles":                   func(s *model.ClientSettings) { s.GroupRoles = slices.Repeat([]string{"ops=admin"}, 101) },
		"a role of 1 MB":              func(s *model.ClientSettings) { s.GroupRoles = []string{"ops=" + strings.Repeat("x", 1<<20)} },
		"two lines":                   func(s *model.ClientSettings) { s.GroupsPrefix = "a\nb" },
		"another token":               func(s *model.ClientSettings) { s.GroupsIn = []string{"refresh_token"} },
	} {
		settings := web
		change(&settings)
		if _, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, settings, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// Only an operator decides what a client is told.
	a := send(t, "POST", h.Issuer+"/register", "", meta{"redirect_uris": []string{"https://a.example/cb"}, "groups_claim": "roles", "group_roles": []string{"hr=admin"}, "groups_in": []string{"access_token"}})
	if a.Status != http.StatusCreated || (strings.Contains(a.Text, "group_roles") || strings.Contains(a.Text, "groups_claim")) {
		t.Errorf("a client gave itself roles: %s", a.Text)
	}
}
