package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

var colours = []string{"#0b6e4f", "#b3541e", "#27408b", "#8b1a5c", "#5c6b00", "#00687a", "#7a3b00", "#444444", "#a0001e"}

// plot draws throughput and the 99th percentile against the number of connections,
// both axes logarithmic, as SVG.
func plot(results []*result) string {
	series := map[string][]*result{}
	var order []string
	for _, r := range results {
		if series[r.Operation] == nil {
			order = append(order, r.Operation)
		}
		series[r.Operation] = append(series[r.Operation], r)
	}
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1080 420" font-family="system-ui, sans-serif" font-size="12">` + "\n" +
		`<rect width="1080" height="420" fill="#fff"/>` + "\n")
	for i, panel := range []struct {
		title, unit string
		value       func(*result) float64
	}{
		{"Operations in a second", "", func(r *result) float64 { return r.PerSecond }},
		{"99th percentile", " ms", func(r *result) float64 { return r.P99 }},
	} {
		area{left: 72 + float64(i)*440, top: 40, width: 360, height: 320}.draw(&b, panel.title, panel.unit, order, series, panel.value)
	}
	for i, name := range order {
		fmt.Fprintf(&b, `<rect x="900" y="%d" width="12" height="12" fill="%s"/><text x="918" y="%d" fill="#222">%s</text>`+"\n", 48+i*22, colours[i%len(colours)], 58+i*22, name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// area is where one panel is drawn.
type area struct{ left, top, width, height float64 }

func (a area) draw(b *strings.Builder, title, unit string, order []string, series map[string][]*result, value func(*result) float64) {
	all := slices.Concat(slicesOf(order, series)...)
	few, many := all[0].Connections, all[0].Connections
	low, high := value(all[0]), value(all[0])
	for _, r := range all {
		few, many = min(few, r.Connections), max(many, r.Connections)
		low, high = min(low, value(r)), max(high, value(r))
	}
	low, high = math.Pow(10, math.Floor(math.Log10(max(low, 0.01)))), math.Pow(10, math.Ceil(math.Log10(max(high, 0.02))))
	if low == high {
		high *= 10
	}
	x := func(n int) float64 {
		if few == many {
			return a.left + a.width/2
		}
		return a.left + a.width*math.Log(float64(n)/float64(few))/math.Log(float64(many)/float64(few))
	}
	y := func(v float64) float64 { return a.top + a.height*(1-math.Log(max(v, low)/low)/math.Log(high/low)) }
	fmt.Fprintf(b, `<text x="%.1f" y="24" fill="#222" font-weight="600">%s</text>`+"\n", a.left, title)
	for v := low; v <= high*1.01; v *= 10 {
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end" fill="#444">%g%s</text>`+"\n",
			a.left, y(v), a.width, a.left-8, y(v)+4, v, unit)
	}
	var seen []int
	for _, r := range all {
		if !slices.Contains(seen, r.Connections) {
			seen = append(seen, r.Connections)
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444">%d</text>`+"\n", x(r.Connections), a.top+a.height+20, r.Connections)
		}
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444">connections</text>`+"\n", a.left+a.width/2, a.top+a.height+40)
	for i, name := range order {
		points := slices.SortedFunc(slices.Values(series[name]), func(one, other *result) int { return cmp.Compare(one.Connections, other.Connections) })
		var path []string
		for _, r := range points {
			path = append(path, fmt.Sprintf("%.1f %.1f", x(r.Connections), y(value(r))))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(r.Connections), y(value(r)), colours[i%len(colours)])
		}
		fmt.Fprintf(b, `<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, "L"), colours[i%len(colours)])
	}
}

func slicesOf(order []string, series map[string][]*result) [][]*result {
	var all [][]*result
	for _, name := range order {
		all = append(all, series[name])
	}
	return all
}
