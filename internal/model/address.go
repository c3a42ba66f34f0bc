package model

import (
	"net/netip"
	"strings"
)

// Neighbourhood is what is counted as one network address: an IPv4 address, or of
// IPv6 the /64, of which one customer has a whole one. What is no address stands
// for itself, without what does not belong into a text of 64 bytes.
func Neighbourhood(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return strings.ToValidUTF8(address[:min(len(address), 64)], "")
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}
