package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// plot draws, for each setting, which share of the ends had reached every API after
// how many milliseconds, as SVG.
func plot(path string, results []*result) error {
	const width, height, left, bottom = 720.0, 360.0, 56.0, 40.0
	longest := 1.0
	for _, r := range results {
		longest = max(longest, r.Last.Max)
	}
	x := func(ms float64) float64 { return left + max(ms, 0)/longest*(width-left-32) }
	y := func(share float64) float64 { return height - bottom - share*(height-bottom-24) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="system-ui, sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#fff"/>`+"\n", width, height)
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 0.99} {
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end" fill="#444">%.0f %%</text>`+"\n",
			left, y(share), width-32, left-8, y(share)+4, share*100)
	}
	for i := range 6 {
		ms := longest * float64(i) / 5
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444">%.0f ms</text>`+"\n", x(ms), height-bottom+18, ms)
	}
	colours := []string{"#0b6e4f", "#b3541e", "#27408b"}
	for i, r := range results {
		sorted := slices.Sorted(slices.Values(r.all))
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="2" d="M%.1f %.1f`, colours[i%len(colours)], x(0), y(0))
		for n, ms := range sorted {
			fmt.Fprintf(&b, "L%.1f %.1f", x(ms), y(float64(n+1)/float64(len(sorted))))
		}
		fmt.Fprintf(&b, `"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", width-200, y(0.3)+float64(i)*18, colours[i%len(colours)], r.Name)
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="16" fill="#222">From "end this session" until the last API refuses: share of ends</text>`+"\n</svg>\n", left)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
