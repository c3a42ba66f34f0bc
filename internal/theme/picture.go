package theme

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"image"
	_ "image/gif" // the formats whose size DecodeConfig tells
	_ "image/jpeg"
	_ "image/png"
	"net/http"
	"strconv"
	"strings"
)

// MaxPicture bounds a logo, in bytes; maxSide its width and height, in pixels.
const (
	MaxPicture = 256 << 10
	maxSide    = 4096
)

// Picture is a logo or an icon of the installation.
type Picture struct {
	Type          string // media type
	Suffix        string // of a file name: ".png"
	Body          []byte
	Width, Height int // pixels, or units of a drawing
}

// wordmark is how much wider than high a logo is that has the name in it.
const wordmark = 1.6

// Wordmark reports whether the picture is so wide that it must be a name.
func (p Picture) Wordmark() bool { return float64(p.Width) >= wordmark*float64(p.Height) }

// ParsePicture reads a PNG, a JPEG, a GIF, a WebP, an SVG or, for an icon, an ICO,
// by what its bytes are. What a drawing could do besides is prevented where it is
// served: it is shown as a picture alone, and may load nothing.
func ParsePicture(data []byte) (Picture, error) {
	p := Picture{Type: http.DetectContentType(data), Body: data}
	switch {
	case len(data) > MaxPicture:
		return Picture{}, errors.New("it is larger than 256 KiB")
	case p.Type == "image/png", p.Type == "image/jpeg", p.Type == "image/gif":
		c, _, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return Picture{}, errors.New("it is a broken picture")
		}
		p.Suffix, p.Width, p.Height = "."+strings.TrimPrefix(p.Type, "image/"), c.Width, c.Height
	case p.Type == "image/webp":
		p.Suffix = ".webp"
		p.Width, p.Height = sizeOfWebP(data)
	case p.Type == "image/x-icon" && len(data) >= 8:
		p.Suffix, p.Width, p.Height = ".ico", int(data[6]), int(data[7])
		if p.Width == 0 { // so it is written for 256
			p.Width = 256
		}
		if p.Height == 0 {
			p.Height = 256
		}
	default:
		p.Type, p.Suffix = "image/svg+xml", ".svg"
		var ok bool
		if p.Width, p.Height, ok = sizeOfSVG(data); !ok {
			return Picture{}, errors.New("it is no PNG, JPEG, GIF, WebP or SVG (an SVG must say its size, by viewBox or by width and height)")
		}
	}
	if p.Width < 1 || p.Height < 1 || p.Width > maxSide || p.Height > maxSide {
		return Picture{}, errors.New("it must be 1 to 4096 pixels wide and high")
	}
	return p, nil
}

// sizeOfSVG reads the root of a drawing.
func sizeOfSVG(data []byte) (width, height int, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		t, err := d.Token()
		if err != nil {
			return 0, 0, false
		}
		root, is := t.(xml.StartElement)
		if !is {
			continue
		}
		if root.Name.Local != "svg" || root.Name.Space != "http://www.w3.org/2000/svg" {
			return 0, 0, false
		}
		attr := map[string]string{}
		for _, a := range root.Attr {
			attr[a.Name.Local] = a.Value
		}
		box := strings.FieldsFunc(attr["viewBox"], func(r rune) bool { return r == ' ' || r == ',' })
		if len(box) == 4 {
			attr["width"], attr["height"] = box[2], box[3]
		}
		w, err1 := strconv.ParseFloat(strings.TrimSuffix(attr["width"], "px"), 64)
		h, err2 := strconv.ParseFloat(strings.TrimSuffix(attr["height"], "px"), 64)
		if err1 != nil || err2 != nil || !(w > 0 && h > 0 && w <= maxSide && h <= maxSide) {
			return 0, 0, false
		}
		return max(int(w), 1), max(int(h), 1), true
	}
}

// sizeOfWebP reads the size of an image, RFC 9649 §2.5 to §2.7; zero for none.
func sizeOfWebP(b []byte) (width, height int) {
	if len(b) < 30 {
		return 0, 0
	}
	u24 := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	switch string(b[12:16]) {
	case "VP8X":
		return 1 + u24(b[24:]), 1 + u24(b[27:])
	case "VP8L":
		if n := binary.LittleEndian.Uint32(b[21:]); b[20] == 0x2f {
			return 1 + int(n&0x3fff), 1 + int(n>>14&0x3fff)
		}
	case "VP8 ":
		if bytes.Equal(b[23:26], []byte{0x9d, 0x01, 0x2a}) {
			return int(binary.LittleEndian.Uint16(b[26:]) & 0x3fff), int(binary.LittleEndian.Uint16(b[28:]) & 0x3fff)
		}
	}
	return 0, 0
}
