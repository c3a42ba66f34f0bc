package shop

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

const (
	cartLife = time.Hour
	// Its own type, so that no other token signed with the same key is a cart,
	// and a cart is nothing else (RFC 8725 §3.11).
	cartType = "cart+jwt"
	cartName = "shop"
)

// Cart is what somebody means to buy: numbers of items, never prices.
type Cart struct {
	jwt.Registered
	Items map[string]int `json:"items"`
}

// owner is to whom a cart belongs: a person, or before signing in a browser.
type owner struct {
	subject string // who is signed in; empty: nobody
	browser string // random, in a cookie of its own
}

// name is the "sub" of a cart.
func (o owner) name() string {
	if o.subject != "" {
		return "person:" + o.subject
	}
	return "browser:" + o.browser
}

// may reports whether the owner may use a cart of that "sub": their own, and
// what they put together before signing in.
func (o owner) may(sub string) bool {
	if o == (owner{}) {
		return false
	}
	return sub == o.name() || o.browser != "" && sub == "browser:"+o.browser
}

// carts reads and writes carts.
type carts struct {
	key    *jwk.Key
	reader *jwt.Verifier[Cart]
	now    func() time.Time
	secure bool
	prefix string
}

func newCarts(secret []byte, secure bool, now func() time.Time) (*carts, error) {
	key, err := jwk.New(secret, jwk.Params{Algorithm: jwa.HS256, Use: "sig"})
	if err != nil {
		return nil, fmt.Errorf("shop: CartKey: %w", err)
	}
	// The algorithm is the key's and is not asked of the token, so "none" and
	// a public key used as a secret have no way in.
	reader, err := jwt.NewVerifier[Cart](key, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.HS256}, Types: []string{cartType},
		Issuers: []string{cartName}, Audiences: []string{cartName}, MaxSize: 4096, Now: now,
	})
	if err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	c := &carts{key: key, reader: reader, now: now, secure: secure}
	if secure {
		c.prefix = "__Host-"
	}
	return c, nil
}

// read returns the cart of a request. One that is tampered with, unsigned,
// expired or somebody else's is as good as none.
func (c *carts) read(r *http.Request, o owner) Cart {
	empty := Cart{Items: map[string]int{}}
	cookie, err := r.Cookie(c.prefix + "cart")
	if err != nil {
		return empty
	}
	token, err := c.reader.Verify(r.Context(), cookie.Value)
	if err != nil || token.Claims.Items == nil || !o.may(token.Claims.Subject) {
		return empty
	}
	return token.Claims
}

// write signs the cart for its owner and hands it to the browser.
func (c *carts) write(w http.ResponseWriter, o owner, cart Cart) error {
	if len(cart.Items) == 0 {
		c.clear(w)
		return nil
	}
	if o == (owner{}) { // the first thing in the cart names the browser
		o.browser = rand.Text() // 26 characters, 130 bits
		c.cookie(w, "browser", o.browser, 0)
	}
	// A changed cart has a new ID: it is a new order if it is bought.
	token, err := jwt.Sign(Cart{Items: cart.Items}, c.key, jwt.SignOptions{
		Type: cartType, Issuer: cartName, Audience: []string{cartName}, Subject: o.name(), ID: rand.Text(),
		ExpiresIn: cartLife, Now: c.now,
	})
	if err != nil {
		return fmt.Errorf("shop: cart: %w", err)
	}
	c.cookie(w, "cart", token, int(cartLife/time.Second))
	return nil
}

func (c *carts) clear(w http.ResponseWriter) { c.cookie(w, "cart", "", -1) }

// browser returns the random name of the browser; empty if it has none yet.
func (c *carts) browser(r *http.Request) string {
	cookie, err := r.Cookie(c.prefix + "browser")
	if err != nil || len(cookie.Value) != 26 {
		return ""
	}
	return cookie.Value
}

// cookie sets a cookie that scripts cannot read and other sites cannot send
// along with a form.
func (c *carts) cookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: c.prefix + name, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	})
}
