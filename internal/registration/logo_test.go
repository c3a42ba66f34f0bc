package registration

import "testing"

// Sizes of WebP images, by the three kinds of RFC 9649.
func TestPicture(t *testing.T) {
	webp := func(kind string, data ...byte) []byte {
		b := append([]byte("RIFF\x00\x00\x00\x00WEBP"+kind+"\x00\x00\x00\x00"), data...)
		return append(b, make([]byte, 40)...)
	}
	for name, row := range map[string]struct {
		body []byte
		ok   bool
	}{
		"VP8X":         {webp("VP8X", 0, 0, 0, 0, 99, 0, 0, 49, 0, 0), true},
		"VP8X, huge":   {webp("VP8X", 0, 0, 0, 0, 0xff, 0x3f, 0, 49, 0, 0), false},
		"VP8L":         {webp("VP8L", 0x2f, 99, 0xc0, 12, 0), true},
		"VP8L, huge":   {webp("VP8L", 0x2f, 0xff, 0xff, 0xff, 0x0f), false},
		"VP8":          {webp("VP8 ", 0, 0, 0, 0x9d, 1, 0x2a, 100, 0, 50, 0), true},
		"VP8, nothing": {webp("VP8 ", 0, 0, 0, 0, 0, 0, 100, 0, 50, 0), false},
		"short":        {[]byte("RIFF\x00\x00\x00\x00WEBPVP8X"), false},
		"empty":        {nil, false},
		"BMP":          {append([]byte("BM"), make([]byte, 60)...), false},
		"SVG":          {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), false},
		"HTML":         {[]byte(`<html>`), false},
		"broken PNG":   {[]byte("\x89PNG\x0D\x0A\x1A\x0Axxxxxxxxxxxxxxxxx"), false},
	} {
		if kind, err := picture(row.body); (err == nil) != row.ok {
			t.Errorf("%s: %s %v", name, kind, err)
		}
	}
}
