package shop

import (
	"net/http"
	"strings"
)

// outgoing remembers the status of an answer, and makes the cookies that leave with it
// Secure on http://localhost as well: on https they are so anyway.
type outgoing struct {
	http.ResponseWriter
	secure bool
	status int
}

func (a *outgoing) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
		for i, cookie := range a.Header()["Set-Cookie"] {
			if a.secure && !strings.Contains(cookie, "; Secure") {
				a.Header()["Set-Cookie"][i] = cookie + "; Secure"
			}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *outgoing) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *outgoing) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// keepsSecure reports whether a browser keeps Secure cookies of http://localhost.
// Chromium and Firefox do. Safari does not, and could not even hold a cart: there, and
// on this machine alone, cookies go without.
func keepsSecure(userAgent string) bool {
	webKit := strings.Contains(userAgent, "AppleWebKit/")
	chromium := strings.Contains(userAgent, "Chrome/") || strings.Contains(userAgent, "Edg/")
	return !webKit || chromium
}
