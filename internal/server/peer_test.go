package server

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// Who called is whom the nearest proxy of ours was called by; all else in the header is
// what a stranger wrote.
func TestAddress(t *testing.T) {
	ours := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, row := range []struct {
		name, peer string
		forwarded  []string
		trusted    []netip.Prefix
		want       string
	}{
		{"nobody is believed unless told", "127.0.0.1:5000", []string{"198.51.100.7"}, nil, "127.0.0.1"},
		{"a stranger is not believed", "203.0.113.9:5000", []string{"198.51.100.7"}, ours, "203.0.113.9"},
		{"a proxy of ours is", "127.0.0.1:5000", []string{"198.51.100.7"}, ours, "198.51.100.7"},
		{"but not what the caller sent along", "127.0.0.1:5000", []string{"192.0.2.1, 198.51.100.7"}, ours, "198.51.100.7"},
		{"nor in a header of its own", "127.0.0.1:5000", []string{"192.0.2.1", "198.51.100.7"}, ours, "198.51.100.7"},
		{"nor if it looks like ours", "127.0.0.1:5000", []string{"10.9.9.9, 198.51.100.7"}, ours, "198.51.100.7"},
		{"two of ours, one before the other", "127.0.0.1:5000", []string{"198.51.100.7, 10.1.2.3"}, ours, "198.51.100.7"},
		{"ours alone", "127.0.0.1:5000", []string{"10.1.2.3"}, ours, "10.1.2.3"},
		{"it says nothing", "127.0.0.1:5000", nil, ours, "127.0.0.1"},
		{"it says something else", "127.0.0.1:5000", []string{"unknown"}, ours, "127.0.0.1"},
		{"what is left of nonsense does not count", "127.0.0.1:5000", []string{"198.51.100.7, _hidden"}, ours, "127.0.0.1"},
		{"nor what is left of nothing", "127.0.0.1:5000", []string{"198.51.100.7,"}, ours, "127.0.0.1"},
		{"with a port", "127.0.0.1:5000", []string{"198.51.100.7:4711"}, ours, "198.51.100.7"},
		{"IPv6", "[fd00::1]:5000", []string{"2001:db8::5"}, ours, "2001:db8::5"},
		{"IPv6 with a port", "[fd00::1]:5000", []string{"[2001:db8::5]:4711"}, ours, "2001:db8::5"},
		{"IPv4 in IPv6 is IPv4", "[::ffff:127.0.0.1]:5000", []string{"::ffff:198.51.100.7"}, ours, "198.51.100.7"},
		{"a zone means nothing here", "127.0.0.1:5000", []string{"fe80::1%eth0"}, ours, "fe80::1"},
		{"so many and no more", "127.0.0.1:5000", []string{"198.51.100.7" + strings.Repeat(", 10.1.2.3", maxHops)}, ours, "10.1.2.3"},
	} {
		p := &Parts{Config: Config{TrustedProxies: row.trusted}}
		r := &http.Request{RemoteAddr: row.peer, Header: http.Header{"X-Forwarded-For": row.forwarded}}
		if got := p.address(r); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
