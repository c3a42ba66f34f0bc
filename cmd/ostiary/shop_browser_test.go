package main

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// TestShopInBrowser clicks through the sample shop: both ways to sign in, both forms of
// the cart, comments, buying, and every button of the page of attacks.
func TestShopInBrowser(t *testing.T) {
	demo := startDemo(t)
	b := openBrowser(t)
	t.Run("the cart", func(t *testing.T) { shopCart(&browser{t, b.ctx}, demo) })
	t.Run("attacks", func(t *testing.T) { shopAttacks(&browser{t, b.ctx}, demo) })
	t.Run("signing in", func(t *testing.T) { shopSignIn(&browser{t, b.ctx}, demo) })
	t.Run("a stolen token", func(t *testing.T) { shopStolenToken(&browser{t, b.ctx}, demo) })
}

// shopCart fills the cart, turns its switch, and empties it, before anybody signs in.
func shopCart(b *browser, demo addresses) {
	b.do("the shop", browsertest.Visit(demo.Shop), browsertest.Click(`button[value="lantern"]`), browsertest.Visible(`#buy`))
	b.expect(`#badge`, "1 in the cart, €48.00")
	b.do("another tab of the same browser", browsertest.Click(`button[value="bell"]`))
	b.expect(`#cart-count`, "2")
	b.do("removing", browsertest.Click(`button[name="remove"][value="bell"]`))
	b.expect(`#cart-count`, "1")
	checkCookies(b, "browser", "cart", "cart-copy")

	b.do("the tokens", browsertest.Click(`#to-inside`), browsertest.Visible(`#cart-encrypted`))
	b.expect(`main`, `"alg": "HS256"`)
	b.do("encrypting", browsertest.Click(`#cart-encrypted`), browsertest.Visible(`#cart-encrypted[aria-pressed="true"]`))
	b.expect(`main`, `"enc": "A256GCM"`)
	b.screenshots("shop-inside")
	b.do("the cart is still there", browsertest.Visit(demo.Shop), browsertest.Visible(`#buy`))
	b.expect(`#cart-count`, "1")
	b.do("what the page's script reads can be changed", chromedp.Evaluate[chromedp.Void](`document.cookie = "cart-copy=" + btoa(JSON.stringify({pieces: 1, total: "EUR 0.01"})) + "; path=/; secure"`), browsertest.Visit(demo.Shop), browsertest.Visible(`#buy`))
	b.expect(`#badge`, "EUR 0.01")
	b.expect(`#cart-total`, "€48.00")
	b.do("emptying", browsertest.Click(`#clear`))
	b.expect(`.cart`, "Nothing in it yet")
	if hidden := ask(b, "the badge", chromedp.Evaluate[bool](`document.getElementById("badge").hidden`)); !hidden {
		b.t.Error("the badge still counts")
	}
	b.do("a comment", browsertest.Type(`#comment`, `<b onclick="alert(1)">Bold</b> & <script>document.title = "robbed"</script>`), browsertest.Click(`#say`), browsertest.Visible(`.said`))
	b.expect(`.said blockquote`, `<script>document.title = "robbed"</script>`)
	if title := ask(b, "the title", chromedp.Evaluate[string](`document.title`)); strings.Contains(title, "robbed") {
		b.t.Error("a script in a comment ran")
	}
	b.screenshots("shop-comments")
}

// shopAttacks presses every button but that of the stolen token, for both forms of the
// cart.
func shopAttacks(b *browser, demo addresses) {
	for _, form := range []string{"signed", "encrypted"} {
		b.do("the form of the cart", browsertest.Visit(demo.Shop+"/inside"), browsertest.Click(`#cart-`+form), browsertest.Visible(`#cart-`+form+`[aria-pressed="true"]`))
		for _, row := range []struct{ name, reason string }{
			{"strip", map[string]string{"signed": "Its signature is missing", "encrypted": "not a cart of this shop"}[form]},
			{"none", "or not at all"},
			{"price", "the lantern costs €48.00"},
			{"swap", "It is somebody else's"},
			{"expired", "more than an hour old"},
			{"image", "Your cart had 0 pieces before the visit, and has 0 now"},
			{"script", "a text to read"},
		} {
			b.do("the attacks", browsertest.Visit(demo.Shop+"/attacks"), browsertest.Visible(`#attack-token`))
			if form == "signed" && row.name == "strip" {
				b.screenshots("shop-attacks")
			}
			b.do("attack "+row.name, browsertest.Click(`#attack-`+row.name), browsertest.Visible(`#verdict`))
			b.expect(`#verdict`, "It failed.")
			b.expect(`#reason`, row.reason)
			switch row.name {
			case "script":
				b.expect(`#policy`, "Your browser refused to run it: script-src-elem")
				b.screenshots("shop-attack-script")
			case "image":
				b.expect(`main`, "404 Not Found")
				b.expect(`main`, "403 Forbidden")
				b.expect(`main`, "Sec-Fetch-Site: cross-site")
				b.expect(`main`, "(no cookie)") // SameSite
				b.screenshots("shop-attack-image")
			case "strip":
				b.screenshots("shop-attack-strip-" + form)
			}
		}
	}
	b.do("the line that stopped it", browsertest.Click(`.stop`), browsertest.Visible(`.source li:target`))
	b.expect(`.source li:target`, "<blockquote>{{.Text}}</blockquote>")
	b.screenshots("shop-source")
}

// shopSignIn signs in by a form that posts itself, buys, and signs out.
func shopSignIn(b *browser, demo addresses) {
	b.do("the switch", browsertest.Visit(demo.Shop+"/inside"), browsertest.Click(`#by-tokens`), browsertest.Visible(`#by-tokens[aria-pressed="true"]`))
	b.do("to the sign-in", browsertest.Click(`#try-sign-in`), browsertest.Visible(`input[name="password"]`))
	if address := ask(b, "its cookies", chromedp.Location()); !strings.Contains(address, demo.Server) {
		b.t.Fatalf("at %s", address)
	}
	b.do("the password",
		browsertest.Type(`input[name="login"]`, demo.Users[0].Login), browsertest.Type(`input[name="password"]`, demo.Users[0].Password),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
	b.do("consent", browsertest.Click(`button.primary`), browsertest.Visible(`#sign-out`))
	b.expect(`main`, "Access token")
	if address := ask(b, "where it ends", chromedp.Location()); address != demo.Shop+"/inside" {
		b.t.Errorf("the sign-in ends at %s", address)
	}
	checkCookies(b, "browser", "switches", "session")
	b.screenshots("shop-inside-signed-in")
	b.do("buying", browsertest.Visit(demo.Shop), browsertest.Click(`button[value="knocker"]`), browsertest.Visible(`#buy`), browsertest.Click(`#buy`), browsertest.Visible(`#receipt`))
	b.expect(`#buyer`, "Alice Liddell")
	b.expect(`#receipt-total`, "€35.00")
	b.do("signing out", browsertest.Click(`#sign-out`), browsertest.Visible(`#sign-in`))
	b.do("by code again", browsertest.Visit(demo.Shop+"/inside"), browsertest.Click(`#by-code`), browsertest.Visible(`#by-code[aria-pressed="true"]`))
}

// shopStolenToken signs in and lets the thief use the access token after the sign-out:
// the API refuses it, because it follows the revocation feed.
func shopStolenToken(b *browser, demo addresses) {
	b.do("not without a token", browsertest.Visit(demo.Shop+"/attacks"), browsertest.Click(`#attack-token`), browsertest.Visible(`input[name="password"]`))
	b.do("signing in",
		browsertest.Type(`input[name="login"]`, demo.Users[0].Login), browsertest.Type(`input[name="password"]`, demo.Users[0].Password),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#sign-out`), browsertest.Visible(`#attack-token`))
	b.do("stealing", browsertest.Click(`#attack-token`), browsertest.Visible(`#verdict`), browsertest.Visible(`#sign-in`))
	b.expect(`#verdict`, "It failed.")
	b.expect(`#reason`, "The API says: The session has ended. By its own word the token is good for another 4m")
	b.expect(`main`, "401 Unauthorized")
	b.expect(`main`, "200 OK")
	b.screenshots("shop-attack-token")
	b.do("and the shop goes on", browsertest.Visit(demo.Shop), browsertest.Visible(`#sign-in`))
	b.expect(`h1`, "Everything for the door")
}

// checkCookies holds cookies of the shop to what they must be: Secure, SameSite, and
// hidden from scripts, all but the copy of the cart. Those of the server are in the same
// jar, which knows no ports; the name of the session has more after a hyphen.
func checkCookies(b *browser, names ...string) {
	b.t.Helper()
	found := ask(b, "the cookies", func(ctx context.Context, t *chromedp.Target) ([]*network.Cookie, error) {
		r, err := cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{})
		return r.Cookies, err
	})
	for _, name := range names {
		seen := false
		for _, c := range found {
			if c.Name != name && !(name == "session" && strings.HasPrefix(c.Name, "session-")) {
				continue
			}
			seen = true
			if !c.Secure || c.SameSite != network.CookieSameSiteLax || c.HTTPOnly == (c.Name == "cart-copy") {
				b.t.Errorf("cookie %s: Secure %t, SameSite %s, HttpOnly %t", c.Name, c.Secure, c.SameSite, c.HTTPOnly)
			}
		}
		if !seen {
			b.t.Errorf("the browser keeps no cookie %s", name)
		}
	}
}
