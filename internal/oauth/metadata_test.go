package oauth

import "testing"

// TestCheckIssuer: RFC 8414 §2.
func TestCheckIssuer(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://login.example": true, "https://login.example/auth": true, "http://localhost:8080": true, "http://127.0.0.1": true,
		"http://login.example": false, "https://login.example/": false, "https://login.example?x": false, "https://login.example#x": false,
		"login.example": false, "": false, "https://u@login.example": false, "ftp://login.example": false,
	} {
		if got := CheckIssuer(issuer) == nil; got != ok {
			t.Errorf("%q: %t", issuer, got)
		}
	}
}
