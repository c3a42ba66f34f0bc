package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// TestDebuggerKeyboard reads, changes, signs and encrypts without a pointer.
func TestDebuggerKeyboard(t *testing.T) {
	b := openBench(t, startDebugger(t))
	b.do("in front", browsertest.Front)
	b.tabTo("#example")
	b.press("\r")
	b.verdict("good", "Signature verified")

	// A kind of key is chosen by the arrows.
	b.tabTo("[name=kind][value=jwk]")
	b.press(kb.ArrowLeft)
	b.eventually("the field for PEM", `document.getElementById('pem').offsetParent !== null`)
	b.press(kb.ArrowRight)
	b.eventually("the field for a JWK", `document.getElementById('jwk').offsetParent !== null`)
	b.verdict("good", "Signature verified")

	b.tabTo("#claims-json")
	b.press(" ")
	b.tabTo("#claims-text")
	b.do("selecting all", chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.press(fmt.Sprintf(`{"sub":"bob","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	b.tabTo("#make")
	b.press("\r")
	b.expect(`#outcome`, "Signed with ES256")
	key := must[*jwk.Key](t)(jwk.Parse([]byte(b.value("jwk"))))
	got := must[jwt.Token[jwt.Registered]](t)(jwt.Verify[jwt.Registered](t.Context(), b.value("token"), key, jwt.VerifyOptions{}))
	if got.Claims.Subject != "bob" {
		t.Errorf("signed %v", got.Claims)
	}

	b.tabTo("#mode-encrypt")
	b.press(" ")
	b.tabTo("#enc-alg")
	b.press("E") // the first that begins with it
	b.tabTo("#generate")
	b.press("\r")
	b.expect(`#outcome`, "A new key is above")
	b.tabTo("#make")
	b.press("\r")
	b.expect(`#outcome`, "Encrypted with ECDH-ES")
	b.verdict("good", "Decrypted")
	b.screenshots("debugger-made")
	// What was said about one token is not said about the next.
	b.tabTo("#token")
	b.do("selecting all", chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.press("x")
	b.eventually("nothing is said of what was made", `document.getElementById('outcome').textContent === ''`)
	b.quiet()
}

func (b *bench) press(keys string) {
	b.t.Helper()
	b.do("pressing "+keys, chromedp.KeyEvent(keys))
}

// tabTo presses Tab until an element has the focus. Whatever has it on the way must
// be seen, and seen to have it (WCAG 2.2 §2.4.7).
func (b *bench) tabTo(selector string) {
	b.t.Helper()
	const most = 150 // stops on the page
	for range most {
		b.press("\t")
		there := ask(b.browser, "looking for the focus", chromedp.Evaluate[string](fmt.Sprintf(`(() => {
			const on = document.activeElement
			if (on === document.body) return ''
			const shown = [on, on.nextElementSibling, on.closest(".sheet")].filter(Boolean).some(e => {
				const style = getComputedStyle(e), box = e.getBoundingClientRect()
				return box.width > 0 && box.height > 0 && (style.outlineStyle !== 'none' || style.boxShadow !== 'none')
			})
			if (!shown) return 'nobody sees the focus on ' + on.outerHTML.slice(0, 100)
			return on.matches(%q) ? 'there' : ''
		})()`, selector)))
		switch there {
		case "there":
			return
		case "":
		default:
			b.t.Error(there)
		}
	}
	b.t.Fatalf("the keyboard does not come to %s", selector)
}
