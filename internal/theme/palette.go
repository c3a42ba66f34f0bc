package theme

import (
	"fmt"
	"strings"
)

// Contrasts that text and what has to be seen must have.
const (
	ofText  = 4.5 // WCAG 2.2 §1.4.3
	ofParts = 3   // WCAG 2.2 §1.4.11: edges of fields, focus, icons
)

// Colours are those that an operator may choose; an empty one is not chosen. Accent
// is that of links, of the main button and of the focus; Background is around the
// card. A dark theme without an accent of its own has that of the light one, made
// as light as it must be.
type Colours struct {
	Accent, AccentDark         string
	Background, BackgroundDark string
}

// scheme is the light or the dark theme: the colours of the style sheet
// (web/static/style.css) that meet those which are chosen. A test of web holds the
// two together.
type scheme struct {
	name             string
	dark             bool
	page, card, fill Colour // what text stands on
	ink, muted, edge Colour // what stands on these
	accent           Colour
	onAccent         Colour // what stands on the accent
}

var (
	light = scheme{
		name: "light", page: rgb(0xf6f5f1), card: rgb(0xffffff), fill: rgb(0xf4f3ef),
		ink: rgb(0x191d1b), muted: rgb(0x5a625d), edge: rgb(0x858d87), accent: rgb(0x1b664d), onAccent: rgb(0xffffff),
	}
	dark = scheme{
		name: "dark", dark: true, page: rgb(0x0e1110), card: rgb(0x161a18), fill: rgb(0x1e2421),
		ink: rgb(0xeceeea), muted: rgb(0xa0a9a3), edge: rgb(0x707a74), accent: rgb(0x68c49f), onAccent: rgb(0x06130e),
	}
)

func rgb(n uint32) Colour { return Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)} }

// ContrastError says that a colour cannot be seen well enough, and which can.
type ContrastError struct {
	Colour, Against Colour
	What            string // that Against is
	Ratio, Least    float64
	Nearest         Colour
}

func (e *ContrastError) Error() string {
	// Rounded down: a ratio that is too low must not look as if it were enough.
	ratio := float64(int(e.Ratio*100)) / 100
	return fmt.Sprintf("%v has a contrast of %.2f:1 with %s (%v), and text needs %g:1 (WCAG 2.2 §1.4.3): the nearest that has it is %v",
		e.Colour, ratio, e.What, e.Against, e.Least, e.Nearest)
}

// surface is something that a colour is seen on or with.
type surface struct {
	Colour
	what  string
	least float64
}

// grounds are what the accent is seen on.
func (s scheme) grounds() []surface {
	return []surface{
		{s.card, "the card", ofText}, {s.fill, "the fill of a row", ofText}, {s.page, "the background", ofText}, {s.onAccent, "the text of a button", ofText},
	}
}

// signs are what is seen on the background.
func (s scheme) signs() []surface {
	return []surface{{s.ink, "the text", ofText}, {s.muted, "the quiet text", ofText}}
}

// ofEdge is the colour of the edges of fields, seen wherever a field may stand.
func (s scheme) ofEdge() Colour {
	return nearest(s.edge, []surface{{s.card, "", ofParts}, {s.fill, "", ofParts}, {s.page, "", ofParts}}, s.dark)
}

// ofAccent is a's nearest that is seen well on all of the scheme.
func (s scheme) ofAccent(a Colour) Colour { return nearest(a, s.grounds(), s.dark) }

// ofBackground is b's nearest on which everything is seen well. What is light
// in the dark theme stands on something dark, so the directions are the other way
// round.
func (s scheme) ofBackground(b Colour) Colour { return nearest(b, s.signs(), !s.dark) }

func nearest(c Colour, others []surface, lighter bool) Colour {
	for _, o := range others {
		least := o.least + 1e-9 // what is computed in floating point must not fall short of it
		if lighter {
			c = c.lightened(least*(o.Luminance()+.05) - .05)
		} else {
			c = c.darkened((o.Luminance()+.05)/least - .05)
		}
	}
	return c
}

// hold returns a *ContrastError for the first surface on which c is not seen well.
func hold(c Colour, others []surface, near Colour) error {
	for _, o := range others {
		if ratio := Contrast(c, o.Colour); ratio < o.least {
			return &ContrastError{Colour: c, Against: o.Colour, What: o.what, Ratio: ratio, Least: o.least, Nearest: near}
		}
	}
	return nil
}

// PartError says which of the Colours is wrong, and wraps why.
type PartError struct {
	Part string // "accent", "accent-dark", "background" or "background-dark"
	err  error
}

func (e *PartError) Error() string { return e.err.Error() }
func (e *PartError) Unwrap() error { return e.err }

// Check returns a *PartError for the first colour that is none, or that cannot be
// seen well enough: it then wraps a *ContrastError.
func (c Colours) Check() error {
	for _, one := range []struct {
		s                  scheme
		accent, background string
		suffix             string
	}{{light, c.Accent, c.Background, ""}, {dark, c.AccentDark, c.BackgroundDark, "-dark"}} {
		if one.background != "" {
			page, err := ParseColour(one.background)
			if err == nil {
				err = hold(page, one.s.signs(), one.s.ofBackground(page))
			}
			if err != nil {
				return &PartError{"background" + one.suffix, err}
			}
			one.s.page = page
		}
		if one.accent != "" {
			accent, err := ParseColour(one.accent)
			if err == nil {
				err = hold(accent, one.s.grounds(), one.s.ofAccent(accent))
			}
			if err != nil {
				return &PartError{"accent" + one.suffix, err}
			}
		}
	}
	return nil
}

// Over is c with what it leaves open as others have it.
func (c Colours) Over(others Colours) Colours {
	if c.Accent == "" && c.AccentDark == "" {
		c.Accent, c.AccentDark = others.Accent, others.AccentDark
	}
	if c.Background == "" && c.BackgroundDark == "" {
		c.Background, c.BackgroundDark = others.Background, others.BackgroundDark
	}
	return c
}

// Style is the style sheet of the colours, empty for none. What stood the test
// alone and does not beside others is mended: whatever is chosen where, people
// can read the pages.
func (c Colours) Style() string {
	if c == (Colours{}) {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, ":root {%s }\n", light.declarations(c.Accent, c.Background))
	if accent := c.AccentDark; accent != "" || c.Accent != "" || c.BackgroundDark != "" {
		if accent == "" {
			accent = c.Accent
		}
		fmt.Fprintf(&b, "@media (prefers-color-scheme: dark) {\n:root {%s }\n}\n", dark.declarations(accent, c.BackgroundDark))
	}
	return b.String()
}

// declarations are the variables of a style sheet that a scheme with these colours
// has other than the usual.
func (s scheme) declarations(accent, background string) string {
	var b strings.Builder
	say := func(name string, c Colour) { fmt.Fprintf(&b, " --%s: %v;", name, c) }
	if page, err := ParseColour(background); err == nil {
		s.page = s.ofBackground(page)
		say("page", s.page)
		say("glow", s.page)
		say("edge", s.ofEdge())
	}
	chosen, err := ParseColour(accent)
	if err != nil { // none: the usual one, as it is seen on this background
		chosen = s.accent
	}
	if c := s.ofAccent(chosen); c != s.accent {
		say("door", c)
		say("door-hover", s.hover(c))
		say("ring", c)
		say("tint", s.tint(c))
	}
	return b.String()
}

// hover is the accent under a pointer: further from what it stands on.
func (s scheme) hover(accent Colour) Colour {
	if s.dark {
		return accent.mixed(rgb(0xffffff), .25)
	}
	return accent.mixed(rgb(0), .2)
}

// tint is a breath of the accent on the card, on which the accent is read.
func (s scheme) tint(accent Colour) Colour {
	for share := .1; share > 0; share -= .01 {
		if c := s.card.mixed(accent, share); Contrast(accent, c) >= ofText {
			return c
		}
	}
	return s.card
}
