package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ProbeHeader marks a request by which ostiary doctor asks a server how it sees it,
// after whatever proxies there are. Whoever sends it proves that they have the master
// key, so nobody else learns anything.
const ProbeHeader = "Ostiary-Probe"

// probeLife is how long the proof is good. A clock may be wrong: that is one of the
// things to be found out.
const probeLife = 24 * time.Hour

const labelProbe = "doctor probe"

// Probe is how a server sees a request, and what it says in answer.
type Probe struct {
	Peer    string              `json:"peer"`    // of the connection
	Port    string              `json:"port"`    // likewise
	Address string              `json:"address"` // whom it takes for the caller
	Trusted bool                `json:"trusted"` // the peer is a proxy of ours
	Host    string              `json:"host"`
	Headers map[string][]string `json:"headers"` // of the request, those that proxies add
	Now     int64               `json:"now"`     // unix milliseconds
	Sent    map[string][]string `json:"sent"`    // headers of this answer
}

// forwarded are the headers by which proxies tell of a request.
var forwarded = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-Ip"}

// ProbeToken is what goes into the ProbeHeader.
func (p *Parts) ProbeToken() string {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	return at + "." + p.probeMAC(at)
}

func (p *Parts) probeMAC(at string) string {
	h := hmac.New(sha256.New, p.Keys.Derive(labelProbe))
	h.Write([]byte(at))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// probes reports whether a request may ask how it is seen.
func (p *Parts) probes(r *http.Request) bool {
	at, mac, _ := strings.Cut(r.Header.Get(ProbeHeader), ".")
	if !hmac.Equal([]byte(mac), []byte(p.probeMAC(at))) {
		return false
	}
	unix, err := strconv.ParseInt(at, 10, 64)
	return err == nil && time.Since(time.Unix(unix, 0)).Abs() < probeLife
}

// probed answers such requests, at whatever path.
func (p *Parts) probed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(ProbeHeader) == "" || !p.probes(r) {
			next.ServeHTTP(w, r)
			return
		}
		peer := hostOf(r.RemoteAddr)
		_, port, _ := net.SplitHostPort(r.RemoteAddr) // "" where it has none
		answer := Probe{Peer: peer, Port: port, Address: p.address(r), Trusted: p.trusts(peer), Host: r.Host, Now: p.Config.Now().UnixMilli(), Headers: map[string][]string{}}
		for _, name := range forwarded {
			if v := r.Header.Values(name); v != nil {
				answer.Headers[name] = v
			}
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Type", "application/json")
		// As the pages have them, and the cookies of sessions.
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("X-Frame-Options", "DENY")
		cookie := &http.Cookie{Name: "ostiary_probe", Value: "1", Path: "/", MaxAge: 1, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		if strings.HasPrefix(p.Config.Issuer, "https:") {
			cookie.Name, cookie.Secure = "__Host-ostiary_probe", true
		}
		http.SetCookie(w, cookie)
		answer.Sent = h.Clone()
		_ = json.NewEncoder(w).Encode(answer) // a peer that has gone cannot be told
	})
}
