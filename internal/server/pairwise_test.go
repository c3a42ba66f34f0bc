package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jws"
)

// pairwise is a client on a host of its own that may not know the account.
func pairwise(host string) model.ClientSettings {
	s := front()
	s.SubjectType = model.SubjectPairwise
	s.RedirectURIs = []string{"https://" + host + "/callback"}
	s.PostLogoutRedirectURIs = []string{"https://" + host + "/bye"}
	return s
}

// claimsOf decodes a token of ours without verifying it.
func claimsOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	_, text, err := jws.DecodeUnverified(token)
	if err != nil {
		t.Fatalf("%v in %q", err, token)
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// everything is all that a client can be told about one person: the subjects, by
// where they were told, and every text.
type everything struct {
	subjects map[string]string
	texts    []string
	access   string
	refresh  string
	id       string
}

func (e *everything) add(t *testing.T, where, text, sub string) {
	t.Helper()
	if sub == "" {
		t.Errorf("%s tells no sub: %s", where, text)
	}
	e.subjects[where] = sub
	e.texts = append(e.texts, text)
	for part := range strings.SplitSeq(text, ".") {
		if plain, err := base64.RawURLEncoding.DecodeString(part); err == nil {
			e.texts = append(e.texts, string(plain))
		}
	}
}

func (e *everything) token(t *testing.T, where, token string) {
	t.Helper()
	sub, _ := claimsOf(t, token)["sub"].(string)
	e.add(t, where, token, sub)
}

// tell signs a person in and gathers what a client is told by every flow and at
// every endpoint.
func tell(t *testing.T, h *servertest.House, b *servertest.Browser, c model.Client, secret model.Secret) everything {
	t.Helper()
	e := everything{subjects: map[string]string{}}
	for _, responseType := range []string{"id_token", "code id_token token"} {
		v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", responseType, "response_mode", "form_post")), c.RedirectURIs[0])
		e.token(t, "the ID token of "+responseType, v.Get("id_token"))
		if v.Has("access_token") {
			e.token(t, "the access token of "+responseType, v.Get("access_token"))
		}
	}
	at := b.Get(servertest.AuthorizePath(c, "scope", "openid profile email address phone groups")).Left
	a := h.Redeem(c, secret, at)
	e.access, e.refresh, e.id = a.String("access_token"), a.String("refresh_token"), a.String("id_token")
	e.token(t, "the ID token", e.id)
	e.token(t, "the access token", e.access)
	again := renew(h, c, secret, e.refresh)
	e.access, e.refresh = again.String("access_token"), again.String("refresh_token")
	e.token(t, "the ID token after a renewal", again.String("id_token"))
	e.token(t, "the access token after a renewal", e.access)
	e.add(t, "the token response", again.Text, claimsOf(t, e.access)["sub"].(string))
	told := info(t, h, e.access)
	e.add(t, "userinfo", told.Text, told.String("sub"))
	for where, token := range map[string]string{"introspection": e.access, "introspection of the refresh token": e.refresh} {
		told := h.Call("/introspect", c, secret, url.Values{"token": {token}})
		e.add(t, where, told.Text, told.String("sub"))
	}
	return e
}

// TestPairwise: OpenID Connect Core §8.1 (attack T24): one subject for one sector
// in all that is told, another for another sector, and the account to no pairwise
// client at all.
func TestPairwise(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		public, publicSecret := h.Client("public", front())
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(public), "olena", "correct horse battery")
		if known := tell(t, h, b, public, publicSecret); known.subjects["userinfo"] != string(u.ID) {
			t.Fatalf("the good twin, a public client, is told %v", known.subjects)
		}
		seen := map[string]string{}
		for _, row := range []struct{ id, host, sector string }{
			{"shop", "shop.example", "shop"}, {"shop-2", "SHOP.example", "shop"}, {"other", "other.example", "other"},
		} {
			s := pairwise(row.host)
			s.UserInfoAlgorithm = ""
			c, secret := h.Client(row.id, s)
			e := tell(t, h, b, c, secret)
			sub := e.subjects["userinfo"]
			for where, other := range e.subjects {
				if other != sub {
					t.Errorf("%s: %s tells %s, and userinfo %s", row.id, where, other, sub)
				}
			}
			for _, text := range e.texts {
				if strings.Contains(text, string(u.ID)) {
					t.Errorf("%s is told the account: %s", row.id, text)
				}
			}
			if was, ok := seen[row.sector]; ok && was != sub {
				t.Errorf("%s: two subjects in one sector", row.id)
			}
			for sector, was := range seen {
				if sector != row.sector && was == sub {
					t.Errorf("%s: one subject in two sectors", row.id)
				}
			}
			seen[row.sector] = sub
		}
	})
}

// TestPairwiseSignedUserInfo: the account is not in a signed answer either.
func TestPairwiseSignedUserInfo(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", "correct horse battery")
	s := pairwise("shop.example")
	s.UserInfoAlgorithm = "ES256"
	c, secret := h.Client("shop", s)
	a := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
	told := claimsOf(t, info(t, h, a.String("access_token")).Text)
	if told["sub"] != claimsOf(t, a.String("id_token"))["sub"] || told["sub"] == string(u.ID) {
		t.Errorf("%v", told)
	}
}

// TestPairwiseHint: a hint leads back to the person, at the authorization endpoint
// and at logout, for its own client and for nobody else.
func TestPairwiseHint(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		h.User("taras", "correct horse battery")
		shop, secret := h.Client("shop", pairwise("shop.example"))
		other, otherSecret := h.Client("other", pairwise("other.example"))
		b, taras := h.Browser(), h.Browser()
		mine := h.Redeem(shop, secret, b.SignIn(servertest.AuthorizePath(shop), "olena", "correct horse battery")).String("id_token")
		foreign := h.Redeem(other, otherSecret, b.SignIn(servertest.AuthorizePath(other), "olena", "correct horse battery")).String("id_token")
		his := h.Redeem(shop, secret, taras.SignIn(servertest.AuthorizePath(shop), "taras", "correct horse battery")).String("id_token")
		silent := func(hint string) url.Values {
			return b.Get(servertest.AuthorizePath(shop, "prompt", "none", "id_token_hint", hint)).Left.Query()
		}
		if v := silent(mine); !v.Has("code") {
			t.Errorf("her own hint: %v", v)
		}
		if v := silent(his); v.Get("error") != "login_required" {
			t.Errorf("another person's hint: %v", v)
		}
		// Whoever has the subject of one sector must not find out whose it is in
		// another.
		if v := silent(foreign); v.Get("error") != "invalid_request" {
			t.Errorf("another client's hint: %v", v)
		}
		if p := b.Get("/logout?id_token_hint=" + his); p.Status != http.StatusOK || !strings.Contains(p.Body, "<form method") {
			t.Errorf("another person's hint signs out: %d", p.Status)
		}
		bye := "&post_logout_redirect_uri=" + url.QueryEscape("https://shop.example/bye")
		if p := b.Get("/logout?id_token_hint=" + mine + bye); p.Left == nil || p.Left.Host != "shop.example" {
			t.Errorf("her own hint does not sign out: %d %s", p.Status, p.Body)
		}
		if v := silent(mine); v.Get("error") != "login_required" {
			t.Errorf("after signing out: %v", v)
		}
		if p := b.Get("/logout?id_token_hint=" + mine + bye); p.Left == nil {
			t.Errorf("a hint of a session that is gone: %d", p.Status)
		}
	})
}

// TestPairwiseEnds: what puts a person out puts their pairwise tokens out as well,
// and nobody else's.
func TestPairwiseEnds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("shop", pairwise("shop.example"))
		taras := h.User("taras", "correct horse battery")
		b := h.Browser()
		his := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "taras", "correct horse battery")).String("access_token")
		for _, row := range []struct {
			name string
			end  func(u model.User, b *servertest.Browser, access string) error
		}{
			{"locked", func(u model.User, _ *servertest.Browser, _ string) error {
				return h.Accounts.Lock(t.Context(), servertest.Operator, u.ID)
			}},
			{"deleted", func(u model.User, _ *servertest.Browser, _ string) error {
				return h.Accounts.Delete(t.Context(), servertest.Operator, u.ID)
			}},
			{"every token up to now", func(u model.User, _ *servertest.Browser, _ string) error {
				return h.Store.Upkeep(t.Context(), func(tx *store.Tx) error {
					now := h.Clock.Now().Unix()
					return tx.EndUser(u.ID, store.Ending{Cause: model.CauseAdmin, At: now, DropAt: now + 3600})
				})
			}},
			{"signed out", func(_ model.User, b *servertest.Browser, _ string) error {
				b.Get("/logout").Submit("primary")
				return nil
			}},
			{"revoked", func(_ model.User, _ *servertest.Browser, access string) error {
				if a := h.Call("/revoke", c, secret, url.Values{"token": {access}}); a.Status != http.StatusOK {
					return errors.New(a.Text)
				}
				return nil
			}},
		} {
			t.Run(row.name, func(t *testing.T) {
				login := "p" + strings.ReplaceAll(row.name, " ", "")
				u, b := h.User(login, "correct horse battery"), h.Browser()
				access := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), login, "correct horse battery")).String("access_token")
				if !active(h, c, secret, access) || info(t, h, access).Status != http.StatusOK {
					t.Fatal("the token is not good to begin with")
				}
				if err := row.end(u, b, access); err != nil {
					t.Fatal(err)
				}
				if a := info(t, h, access); active(h, c, secret, access) || a.Status != http.StatusUnauthorized {
					t.Errorf("the token lives: %d %s", a.Status, a.Text)
				}
			})
		}
		if !active(h, c, secret, his) || info(t, h, his).Status != http.StatusOK {
			t.Errorf("the token of %s died with somebody else's", taras.Login)
		}
	})
}

// TestSubjectNeverReused (attack T25): an ID token is for its client alone and
// echoes its nonce, and who comes after a deleted account is somebody else.
func TestSubjectNeverReused(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		public, publicSecret := h.Client("public", front())
		shop, shopSecret := h.Client("shop", pairwise("shop.example"))
		subjects := func() (list []string) {
			t.Helper()
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(public), "olena", "correct horse battery")
			for _, row := range []struct {
				c      model.Client
				secret model.Secret
			}{{public, publicSecret}, {shop, shopSecret}} {
				nonce := model.NewID()
				id := h.Redeem(row.c, row.secret, b.Get(servertest.AuthorizePath(row.c, "nonce", nonce)).Left).String("id_token")
				claims := readID(t, h, row.c, jwa.RS256, id) // its audience is the client
				if claims.Nonce != nonce || len(claims.Audience) != 1 {
					t.Errorf("%+v", claims)
				}
				if azp, ok := claimsOf(t, id)["azp"]; ok && azp != string(row.c.ID) {
					t.Errorf("azp %v", azp)
				}
				list = append(list, claims.Subject)
			}
			return list
		}
		u := h.User("olena", "correct horse battery")
		before := subjects()
		if again := subjects(); again[0] != before[0] || again[1] != before[1] {
			t.Errorf("not stable: %v, then %v", before, again)
		}
		if err := h.Accounts.Delete(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		h.User("olena", "correct horse battery")
		if after := subjects(); after[0] == before[0] || after[1] == before[1] {
			t.Errorf("used again: %v, then %v", before, after)
		}
	})
}

// TestSubjectChange: the subjects that a client knows never change in silence.
func TestSubjectChange(t *testing.T) {
	document, roots := sectorServer(t)
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		s := pairwise("127.0.0.1")
		c, secret := h.Client("shop", s)
		b := h.Browser()
		a := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
		sub := claimsOf(t, a.String("id_token"))["sub"]

		change := func(change func(*model.ClientSettings)) error {
			next := s
			change(&next)
			_, err := h.Registrar.UpdateClient(context.Background(), servertest.Operator, c.ID, next)
			if err == nil {
				s = next
			}
			return err
		}
		moved := []string{"https://moved.example/callback"}
		var invalid *registration.InvalidClientError
		if err := change(func(s *model.ClientSettings) { s.RedirectURIs = moved }); !errors.As(err, &invalid) || invalid.Setting != "sector_identifier_uri" {
			t.Errorf("moved to another sector: %v", err)
		}
		document.set(`["https://moved.example/callback"]`)
		if err := change(func(s *model.ClientSettings) { s.RedirectURIs, s.SectorURI = moved, document.url }); err != nil {
			t.Fatalf("moved with a document on the old host: %v", err)
		}
		document.set(`[]`) // need not stay
		if err := change(func(s *model.ClientSettings) { s.Name = "Another name" }); err != nil {
			t.Errorf("something else is changed: %v", err)
		}
		if err := change(func(s *model.ClientSettings) { s.SectorURI = "" }); err == nil {
			t.Error("the document taken away moves the sector")
		}
		if again := renew(h, c, secret, a.String("refresh_token")); claimsOf(t, again.String("id_token"))["sub"] != sub {
			t.Errorf("another sub after the move: %s", again.Text)
		}
		fresh := h.Redeem(model.Client{ID: c.ID, ClientSettings: s}, secret, b.Get(servertest.AuthorizePath(model.Client{ID: c.ID, ClientSettings: s})).Left)
		if claimsOf(t, fresh.String("id_token"))["sub"] != sub {
			t.Errorf("another sub after the move: %s", fresh.Text)
		}

		// Another kind of subject is another person to the application: nothing
		// lives that would tell both.
		if err := change(func(s *model.ClientSettings) { s.SubjectType = "" }); err != nil {
			t.Fatal(err)
		}
		if active(h, c, secret, fresh.String("access_token")) || renew(h, c, secret, fresh.String("refresh_token")).Status == http.StatusOK {
			t.Error("what was issued under the old subject lives")
		}
	}, roots)
}
