package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds how many proxies are believed one after the other.
const maxHops = 16

// address is where a request comes from. It is the peer of the connection; where that
// is a proxy of ours, it is whom the proxy names in X-Forwarded-For, and so on from the
// right, for each has added the one that it was called by. What stands left of the first
// address that is no proxy of ours is a claim of whoever called: anybody can send it.
func (p *Parts) address(r *http.Request) string {
	peer := hostOf(r.RemoteAddr)
	if !p.trusts(peer) {
		return peer
	}
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for hop := 0; len(named) > 0 && hop < maxHops; hop++ {
		at, err := netip.ParseAddr(hostOf(strings.TrimSpace(named[len(named)-1])))
		if err != nil {
			break // the proxy says nothing that can be used: it is known itself
		}
		peer, named = at.Unmap().WithZone("").String(), named[:len(named)-1]
		if !p.trusts(peer) {
			break
		}
	}
	return peer
}

// trusts reports whether an address is that of a proxy of ours.
func (p *Parts) trusts(peer string) bool {
	if len(p.Config.TrustedProxies) == 0 {
		return false
	}
	at, err := netip.ParseAddr(peer)
	return err == nil && slices.ContainsFunc(p.Config.TrustedProxies, func(n netip.Prefix) bool { return n.Contains(at.Unmap()) })
}

// hostOf cuts the port off an address, if it has one.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
}
