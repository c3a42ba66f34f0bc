package shop

import (
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// held is a token that the visitor's browser holds, as the page shows it. Of those that
// open doors it shows what they say, and never the whole: a page is no place for them.
type held struct {
	Name  string
	Where string
	For   string
	Text  string // shortened
	Says  string
}

// inside shows what the visitor's browser holds, and the switches.
func (s *Shop) inside(w http.ResponseWriter, r *http.Request) {
	var list []held
	person := client.SessionFrom(r.Context())
	if person != nil {
		list = append(list, held{"ID token", "inside the encrypted session cookie", "tells the shop who you are; verified when you sign in, and again when you buy", short(person.IDToken()), spell(person.IDToken())})
		if token, err := person.AccessToken(); err == nil {
			list = append(list, held{"Access token", "inside the encrypted session cookie", "lets the shop order at its API in your name; good for five minutes", short(token), spell(token)})
		}
	}
	if cookie, err := r.Cookie(s.carts.prefix + "cart"); err == nil && strings.Contains(cookie.Value, ".") {
		list = append(list, held{"Cart", "the cookie “" + cookie.Name + "”, which no script can read", "says what is in your cart, and whose cart it is", short(cookie.Value), spell(cookie.Value)})
	}
	if cookie, err := r.Cookie(copyName); err == nil {
		list = append(list, held{"Copy of the cart", "the cookie “" + copyName + "”, which scripts read", "lets the page’s script show a count; the shop never reads it", short(cookie.Value), spellPart(cookie.Value)})
	}
	s.render(w, http.StatusOK, "inside", page{
		Title: "What your browser holds", Person: nameOf(person), Held: list, Switches: s.switches(r),
	})
}
