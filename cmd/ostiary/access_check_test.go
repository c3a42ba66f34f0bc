package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

//go:embed testdata/axe/axe.min.js
var axeScript string

//go:embed testdata/access/page.js
var accessScript string

// fieldTokens are the autocomplete tokens of all fields by their names, WCAG 2.2
// §1.3.5; "off" is for what is no matter of the person.
var fieldTokens = map[string][]string{
	"login":     {"username", "username webauthn"},
	"password":  {"current-password", "new-password"},
	"name":      {"name", "off"}, // of a person; or of a passkey or an app
	"email":     {"email"},
	"code":      {"one-time-code", "current-password", "off"}, // a recovery code is for no browser to keep
	"user_code": {"off"},                                      // of a device, for once
	"current":   {"current-password"},
	"username":  {"username"}, // this and the next are not sent: they are for whoever keeps passwords
	"":          {"username"},

	// The profile; what is not about the person, and for what there is no token, is off.
	"given_name": {"given-name"}, "family_name": {"family-name"}, "middle_name": {"additional-name"}, "nickname": {"nickname"}, "preferred_username": {"off"},
	"birthdate": {"bday"}, "gender": {"sex"}, "locale": {"language"}, "zoneinfo": {"off"},
	"phone_number": {"tel"}, "website": {"url"}, "profile": {"off"}, "picture": {"photo"},
	"address.formatted": {"off"}, "address.street_address": {"street-address"}, "address.locality": {"address-level2"}, "address.region": {"address-level1"},
	"address.postal_code": {"postal-code"}, "address.country": {"country-name"},
}

// check looks at the page that the browser shows in every way that keeps people out.
func (v *visitor) check(row accessRow) {
	v.t.Helper()
	v.measure()
	v.says("its language", `document.documentElement.lang === "en" ? [] : [document.documentElement.lang]`)
	if title := v.title(row); title != "" {
		v.t.Error(title)
	}
	if row.wrong != "" {
		v.says("an error", fmt.Sprintf(`access.announced(%q)`, row.wrong))
	}
	if frame := ask(v.browser, "looking at the frame", chromedp.Evaluate[string](`access.frame()`)); row.view != "" && !slices.Contains([]string{"header main footer", "header main", "header nav main footer", "header nav main"}, frame) {
		v.t.Errorf("the page consists of %q", frame)
	}
	tokens, err := json.Marshal(fieldTokens)
	if err != nil {
		v.t.Fatal(err)
	}
	if row.view != "" {
		v.says("its fields", "access.fields("+string(tokens)+")")
	}
	v.do("in front", browsertest.Front) // elsewhere nothing has the focus
	// Each width and each theme once, and colours in all four: nothing else of what axe
	// looks at hangs on both.
	text, full := "", map[string]bool{"narrow-light": true, "desktop-dark": true}
	for _, l := range narrow {
		v.do("looking at "+l.name, chromedp.EmulateViewport(l.width, l.height), features("prefers-color-scheme", l.scheme, "prefers-reduced-motion", "reduce"))
		if full[l.name] {
			v.says(l.name+", axe", `access.axe()`)
		} else {
			v.says(l.name+", axe, colours", `access.colours()`)
		}
		v.says(l.name+", its box", `access.overflow()`)
		v.says(l.name+", the focus", `access.focus()`)
		v.keep(row.name, l.name)
		// WCAG 2.2 §1.4.10: a narrow page says the same as a wide one.
		if got := ask(v.browser, "reading", chromedp.Evaluate[string](`access.text()`)); text == "" {
			text = got
		} else if got != text && row.view != "" {
			v.t.Errorf("%s: it says\n%s\nand elsewhere\n%s", l.name, got, text)
		}
	}
	v.says("what moves", `access.moving()`)
	v.zoomed()
	v.keyboard()
	v.do("colours of the system", features("forced-colors", "active", "prefers-color-scheme", "dark"))
	v.says("in forced colours", `access.forced()`)
	v.says("the focus in forced colours", `access.focus()`)
	v.keep(row.name, "forced")
	v.do("back to a desktop", features("prefers-color-scheme", "light"), chromedp.EmulateViewport(1280, 860))
}

// zoomed looks at the page at 200 % (WCAG 2.2 §1.4.4), by zooming and by larger
// letters, and with wider spaces (§1.4.12).
func (v *visitor) zoomed() {
	v.t.Helper()
	v.do("zooming to 200 %", chromedp.EmulateViewport(640, 430, chromedp.EmulateScale(2)))
	v.says("at 200 %", `access.overflow()`)
	v.do("letters of 200 %", chromedp.EmulateViewport(1280, 860))
	v.says("with letters of 200 %", `(document.documentElement.style.fontSize = "200%", access.overflow())`)
	v.says("with wide spaces", `(document.documentElement.style.fontSize = "", access.space(), access.overflow())`)
	v.do("narrow", chromedp.EmulateViewport(320, 860))
	v.says("with wide spaces, narrow", `access.overflow()`)
	v.says("as before", `(access.unspace(), [])`)
}

// keyboard goes through the page by Tab: it comes to everything, in the order of the
// page, is seen wherever it is, and comes out again (WCAG 2.2 §2.1.1, §2.1.2, §2.4.3).
func (v *visitor) keyboard() {
	v.t.Helper()
	n := ask(v.browser, "counting stops", chromedp.Evaluate[int](`access.follow()`))
	// Into a frame one by one: that the focus is there is remembered a moment later, when
	// on a busy machine the next key would have moved it on.
	tab := func() {
		v.t.Helper()
		v.do("Tab", chromedp.KeyEvent("\t"))
		v.says("where the focus is", `new Promise(done => setTimeout(done, 0, []))`)
	}
	if ask(v.browser, "looking for frames", chromedp.Evaluate[bool](`document.querySelector("iframe") !== null`)) {
		for range n {
			tab()
		}
	} else {
		v.do("Tab", chromedp.KeyEvent(strings.Repeat("\t", n)))
	}
	// Out of the page and into it again, which takes the browser a moment. A frame has
	// stops of its own, of which nothing is seen here, as soon as it is loaded.
	missing := fmt.Sprintf(`%d - new Set(access.trail().map(s => s.index).filter(i => i >= 0)).size`, n)
	const within = 10
	for more := 0; more < 3 || more < 3+within && ask(v.browser, "counting what is left", chromedp.Evaluate[int](missing)) > 0; more++ {
		tab()
	}
	v.do("in front", browsertest.Front)
	type stop struct {
		Index  int      `json:"index"`
		Faults []string `json:"faults"`
	}
	var reached []int
	last := -1
	for _, at := range ask(v.browser, "looking where the focus was", chromedp.Evaluate[[]stop](`access.trail()`)) {
		for _, f := range at.Faults {
			v.t.Errorf("by keyboard: %s", f)
		}
		if at.Index < 0 { // the end of the page: it goes on at the beginning
			last = -1
			continue
		}
		if last >= 0 && at.Index != last+1 && at.Index != 0 && at.Index != last { // a frame has stops of its own
			v.t.Errorf("by keyboard: from stop %d to stop %d", last, at.Index)
		}
		last = at.Index
		if !slices.Contains(reached, last) {
			reached = append(reached, last)
		}
	}
	for i := range n {
		if !slices.Contains(reached, i) {
			v.t.Errorf("the keyboard does not come to %s", ask(v.browser, "naming a stop", chromedp.Evaluate[string](fmt.Sprintf("access.name(%d)", i))))
		}
	}
}

// title holds titles to be different, and to say when something is wrong.
func (v *visitor) title(row accessRow) string {
	title := ask(v.browser, "reading the title", chromedp.Evaluate[string](`document.title`))
	key, _, _ := strings.Cut(row.name, ",")
	if row.wrong != "" {
		key += ", wrong"
		if !strings.HasPrefix(title, "Error: ") {
			return fmt.Sprintf("the title %q does not say that something is wrong", title)
		}
	}
	if other, known := v.titles[title]; known && other != key {
		return fmt.Sprintf("the title %q is that of %s as well", title, other)
	}
	v.titles[title] = key
	return ""
}

// measure puts what measures into the page.
func (v *visitor) measure() {
	v.t.Helper()
	ask(v.browser, "putting axe into the page", chromedp.Evaluate[bool](axeScript+";\n"+accessScript+";\ntrue"))
}

// says reports the faults that an expression finds.
func (v *visitor) says(what, expression string) {
	v.t.Helper()
	for _, fault := range ask(v.browser, what, chromedp.Evaluate[[]string](expression, chromedp.EvalAwaitPromise)) {
		v.t.Errorf("%s: %s", what, fault)
	}
}

// keep photographs the page as it is.
func (v *visitor) keep(name, look string) {
	v.t.Helper()
	v.photograph("access-" + strings.ReplaceAll(strings.ReplaceAll(name, ", ", "-"), " ", "-") + "-" + look)
}

// features makes the page believe what the person prefers: pairs of a media feature
// and its value.
func features(pairs ...string) chromedp.Action[chromedp.Void] {
	var list []*emulation.MediaFeature
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &emulation.MediaFeature{Name: pairs[i], Value: pairs[i+1]})
	}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: list})
		return err
	})
}

// js runs a script on the page.
func js(script string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[bool](script+"; true")(ctx, t)
		return chromedp.Void{}, err
	}
}
