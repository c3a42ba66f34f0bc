package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// tooLong returns what the log says of tokens that are too long, in order.
func tooLong(t *testing.T, h *servertest.House) (said []string) {
	t.Helper()
	for line := range strings.Lines(h.Log.String()) {
		var l struct {
			Level, Msg, Client, Kind string
			Bytes, Most              int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Msg == "a token is longer than common servers take in a header" {
			if l.Level != "WARN" || l.Most != jwt.MaxInHeader || l.Bytes <= l.Most {
				t.Errorf("the log says %s", line)
			}
			said = append(said, l.Client+" "+l.Kind)
		}
	}
	return said
}

// TestTooLong: RFC 9110 §5.4, a server may refuse a header that is larger than it wishes. A
// token that is likely to meet one is told of in the log, once in an hour for each client
// and kind, and issued all the same.
func TestTooLong(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		wide := machine
		wide.Audiences = nil
		for n := range 100 {
			wide.Audiences = append(wide.Audiences, fmt.Sprintf("https://api-%03d.%s.example", n, strings.Repeat("x", 60)))
		}
		one, oneSecret := h.Client("one", wide)
		two, twoSecret := h.Client("two", wide)
		small, smallSecret := h.Client("small", machine)
		expect := func(what string, want ...string) {
			t.Helper()
			if got := tooLong(t, h); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: the log says %v, want %v", what, got, want)
			}
		}
		token := func(c model.Client, secret model.Secret) string {
			t.Helper()
			a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
			if a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			return a.String("access_token")
		}
		token(small, smallSecret)
		expect("one that fits")
		long := token(one, oneSecret)
		token(one, oneSecret)
		expect("said once", "one access_token")
		for part := range strings.SplitSeq(long, ".") {
			if strings.Contains(h.Log.String(), part) {
				t.Error("the log has a part of the token")
			}
		}
		token(two, twoSecret)
		expect("of each client", "one access_token", "two access_token")
		h.Clock.Move(time.Hour)
		token(one, oneSecret)
		expect("and after an hour again", "one access_token", "two access_token", "one access_token")

		// What people are given makes a token grow as well; encrypting adds a third. It is
		// told of where it grows too long, which the signed token is not.
		var groups []string
		for n := range 80 {
			groups = append(groups, fmt.Sprintf("group-%03d-%s", n, strings.Repeat("x", 40)))
		}
		if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &model.Profile{Groups: groups}}); err != nil {
			t.Fatal(err)
		}
		settings := web
		settings.FirstParty, settings.GroupsIn = true, []string{"id_token"}
		signed, signedSecret := h.Client("signed", settings)
		settings.JWKS, settings.IDTokenEncryption = setOf(t, generate(t, jwa.ECDHES)), "ECDH-ES"
		sealed, sealedSecret := h.Client("sealed", settings)
		b := h.Browser()
		at := b.SignIn(servertest.AuthorizePath(signed, "scope", "openid groups"), "olena", "correct horse battery")
		if id := h.Redeem(signed, signedSecret, at).String("id_token"); len(id) <= jwt.MaxInCookie || len(id) > jwt.MaxInHeader {
			t.Errorf("the signed one has %d bytes", len(id))
		}
		h.Redeem(sealed, sealedSecret, b.Get(servertest.AuthorizePath(sealed, "scope", "openid groups")).Left)
		expect("encrypted", "one access_token", "two access_token", "one access_token", "sealed id_token")
	})
}
