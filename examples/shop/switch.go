package shop

import (
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/client"
)

// switches are what a visitor can choose to see done another way.
type switches struct {
	Tokens    bool // sign in by "id_token token" and form_post, rather than by code
	Encrypted bool // encrypt the cart, rather than only sign it
}

// switchCookie keeps them. It says nothing that anybody may not say, so it is neither
// signed nor secret.
const switchCookie = "switches"

// responseType is what a sign-in asks for.
func (s switches) responseType() string {
	if s.Tokens {
		return client.ResponseTokens
	}
	return client.ResponseCode
}

func (s switches) String() string {
	var on []string
	if s.Tokens {
		on = append(on, "tokens")
	}
	if s.Encrypted {
		on = append(on, "encrypted")
	}
	return strings.Join(on, ".")
}

func (s *Shop) switches(r *http.Request) switches {
	cookie, err := r.Cookie(switchCookie)
	if err != nil {
		return s.normal
	}
	var out switches
	for word := range strings.SplitSeq(cookie.Value, ".") {
		switch word {
		case "tokens":
			out.Tokens = true
		case "encrypted":
			out.Encrypted = true
		}
	}
	return out
}

// turn turns a switch. The cart is written anew at once, in its other form.
func (s *Shop) turn(w http.ResponseWriter, r *http.Request) {
	to := s.switches(r)
	switch r.PostFormValue("turn") {
	case "code", "tokens":
		to.Tokens = r.PostForm.Get("turn") == "tokens"
	case "signed", "encrypted":
		to.Encrypted = r.PostForm.Get("turn") == "encrypted"
	default:
		s.message(w, r, notice{http.StatusBadRequest, "That did not work", "There is no such switch."})
		return
	}
	o := s.owner(r)
	if cart, err := s.carts.read(r, o); err == nil && len(cart.Items) > 0 {
		if err := s.carts.write(w, o, cart, to.Encrypted); err != nil {
			s.oops(w, r, err)
			return
		}
	}
	http.SetCookie(w, &http.Cookie{
		Name: switchCookie, Value: to.String(), Path: "/", MaxAge: 30 * 24 * 3600,
		HttpOnly: true, Secure: s.carts.secure, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/inside", http.StatusSeeOther)
}
