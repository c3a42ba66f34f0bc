// Package theme is what an operator may say about the look of the pages: colours,
// pictures and a style sheet, of the installation and of single applications. It
// reads them, refuses what people could not read or what would load something from
// elsewhere, and writes the style sheet that carries them.
//
// It never reads a file, serves anything or decides whose theme a page has.
package theme

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Colour is an opaque colour of sRGB.
type Colour struct{ R, G, B uint8 }

// ParseColour reads a colour as style sheets write it: #rgb or #rrggbb.
func ParseColour(text string) (Colour, error) {
	digits, ok := strings.CutPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || len(digits) != 6 || err != nil {
		return Colour{}, fmt.Errorf("%q is not a colour: write one as #rrggbb, such as #1b664d", clip(text))
	}
	return Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func (c Colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// Luminance is the relative luminance that WCAG 2.2 defines, from 0 (black) to 1.
func (c Colour) Luminance() float64 {
	return .2126*linear(c.R) + .7152*linear(c.G) + .0722*linear(c.B)
}

// Contrast is the contrast ratio that WCAG 2.2 defines, from 1 to 21.
func Contrast(a, b Colour) float64 {
	x, y := a.Luminance(), b.Luminance()
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// linear takes the gamma out of a channel.
func linear(v uint8) float64 {
	c := float64(v) / 255
	if c <= .04045 {
		return c / 12.92
	}
	return math.Pow((c+.055)/1.055, 2.4)
}

// encoded is the reverse of linear, not rounded.
func encoded(c float64) float64 {
	if c <= .0031308 {
		return 255 * 12.92 * c
	}
	return 255 * (1.055*math.Pow(c, 1/2.4) - .055)
}

// darkened is c with at most the given luminance: less light, of the same hue.
func (c Colour) darkened(luminance float64) Colour {
	is := c.Luminance()
	if is <= luminance {
		return c
	}
	k := max(luminance, 0) / is
	down := func(v uint8) uint8 { return uint8(math.Floor(encoded(linear(v) * k))) }
	return Colour{down(c.R), down(c.G), down(c.B)}
}

// lightened is c with at least the given luminance: white light added.
func (c Colour) lightened(luminance float64) Colour {
	is := c.Luminance()
	if is >= luminance {
		return c
	}
	m := min((luminance-is)/(1-is), 1)
	up := func(v uint8) uint8 { return uint8(math.Ceil(encoded(linear(v) + (1-linear(v))*m))) }
	return Colour{up(c.R), up(c.G), up(c.B)}
}

// mixed is c with a share of another colour, as paints are.
func (c Colour) mixed(other Colour, share float64) Colour {
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-share) + float64(b)*share)) }
	return Colour{mix(c.R, other.R), mix(c.G, other.G), mix(c.B, other.B)}
}

// clip bounds what is repeated of a text in an error.
func clip(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}
