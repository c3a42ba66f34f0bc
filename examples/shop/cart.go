package shop

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
	key    *jwk.Key // signs
	secret *jwk.Key // encrypts
	reader *jwt.Verifier[Cart]
	opener *jwt.NestedVerifier[Cart]
	now    func() time.Time
	secure bool
	prefix string

	// verify returns what a good cart says. That it can be replaced is for the tests of
	// the page of attacks, which must see it say that an attack worked.
	verify func(ctx context.Context, text string) (Cart, error)
}

func newCarts(secret []byte, secure bool, now func() time.Time) (*carts, error) {
	key, err := jwk.New(secret, jwk.Params{Algorithm: jwa.HS256, Use: "sig"})
	if err != nil {
		return nil, fmt.Errorf("shop: CartKey: %w", err)
	}
	// Keys of different purposes are different keys.
	derived, err := hkdf.Key(sha256.New, secret, nil, "shop: encryption of carts", 32)
	if err != nil {
		return nil, fmt.Errorf("shop: CartKey: %w", err)
	}
	c := &carts{key: key, now: now, secure: secure}
	if c.secret, err = jwk.New(derived, jwk.Params{Algorithm: jwa.Dir, Use: "enc"}); err != nil {
		return nil, fmt.Errorf("shop: CartKey: %w", err)
	}
	// The algorithm is the key's and is not asked of the token, so "none" and
	// a public key used as a secret have no way in.
	o := jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.HS256}, Types: []string{cartType},
		Issuers: []string{cartName}, Audiences: []string{cartName}, MaxSize: 4096, Now: now,
	}
	if c.reader, err = jwt.NewVerifier[Cart](key, o); err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	c.opener, err = jwt.NewNestedVerifier[Cart](key, o, jwt.DecryptOptions{
		Keys: c.secret, Algorithms: []jwa.Algorithm{jwa.Dir}, Encryptions: []jwa.Encryption{jwa.A256GCM}, MaxSize: 4096,
	})
	if err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	if secure {
		c.prefix = "__Host-"
	}
	c.verify = c.verifyEither
	return c, nil
}

// verifyEither verifies a signed cart, or one that is encrypted besides (RFC 7516 §9:
// five parts). Both are signed, so both are as good, and a person who turns the switch
// keeps their cart.
func (c *carts) verifyEither(ctx context.Context, text string) (Cart, error) {
	if strings.Count(text, ".") == 4 {
		token, err := c.opener.Verify(ctx, text)
		return token.Claims, err
	}
	token, err := c.reader.Verify(ctx, text)
	return token.Claims, err
}

// errOthers says that a cart is good, and somebody else's.
var errOthers = errors.New("shop: somebody else's cart")

// read returns the cart of a request. One that is tampered with, unsigned,
// expired or somebody else's is as good as none; the error says why, for people.
func (c *carts) read(r *http.Request, o owner) (Cart, error) {
	empty := Cart{Items: map[string]int{}}
	cookie, err := r.Cookie(c.prefix + "cart")
	if err != nil {
		return empty, nil
	}
	cart, err := c.verify(r.Context(), cookie.Value)
	switch {
	case err != nil:
		return empty, err
	case !o.may(cart.Subject):
		return empty, errOthers
	case cart.Items == nil:
		return empty, nil
	}
	return cart, nil
}

// refusals tell a person why a cart is not used; the first that matches.
var refusals = []struct {
	err    error
	reason string
}{
	{errOthers, "It is somebody else's."},
	{jwt.ErrExpired, "It is more than an hour old."},
	{jwt.ErrAlgorithm, "It is signed in another way than this shop signs, or not at all."},
	{jwt.ErrSignature, "Its signature is missing, or is not that of this shop."},
	{jwt.ErrDecryption, "It cannot be decrypted: it was changed, or is encrypted to somebody else."},
}

func refusal(err error) string {
	if err == nil {
		return ""
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return "It is not a cart of this shop."
}

// write makes the cart anew for its owner and hands it to the browser.
func (c *carts) write(w http.ResponseWriter, o owner, cart Cart, encrypted bool) error {
	if len(cart.Items) == 0 {
		c.clear(w)
		return nil
	}
	if o == (owner{}) { // the first thing in the cart names the browser
		o.browser = rand.Text() // 26 characters, 130 bits
		c.cookie(w, "browser", o.browser, 0)
	}
	token, err := c.make(o, cart, encrypted, c.now())
	if err != nil {
		return err
	}
	c.cookie(w, "cart", token, int(cartLife/time.Second))
	c.writeCopy(w, cart)
	return nil
}

// make signs a cart, and encrypts it if that is wanted. A changed cart has a new ID: it
// is a new order if it is bought.
func (c *carts) make(o owner, cart Cart, encrypted bool, at time.Time) (string, error) {
	claims := Cart{Items: cart.Items}
	options := jwt.SignOptions{
		Type: cartType, Issuer: cartName, Audience: []string{cartName}, Subject: o.name(), ID: rand.Text(),
		ExpiresIn: cartLife, Now: func() time.Time { return at },
	}
	sign := func() (string, error) { return jwt.Sign(claims, c.key, options) }
	if encrypted {
		sign = func() (string, error) {
			return jwt.SignNested(claims, c.key, options, jwt.EncryptOptions{Recipient: c.secret})
		}
	}
	token, err := sign()
	if err != nil {
		return "", fmt.Errorf("shop: cart: %w", err)
	}
	return token, nil
}

func (c *carts) clear(w http.ResponseWriter) {
	c.cookie(w, "cart", "", -1)
	http.SetCookie(w, &http.Cookie{Name: copyName, Path: "/", MaxAge: -1, Secure: c.secure, SameSite: http.SameSiteLaxMode})
}

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
