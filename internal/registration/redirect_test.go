package registration

import "testing"

// TestCheckRedirectURI: what may be registered. RFC 6749 §3.1.2, RFC 8252 §7,
// RFC 9700 §2.1 and §4.1.
func TestCheckRedirectURI(t *testing.T) {
	for _, row := range []struct {
		uri         string
		web, native bool
	}{
		{"https://app.example/cb", true, true},
		{"https://app.example/cb?a=b", true, true},
		{"https://app.example", true, true},
		{"http://localhost:3000/cb", true, true},
		{"http://app1.localhost:3000/cb", true, true},
		{"http://127.0.0.1/cb", true, true},
		{"http://[::1]/cb", true, true},
		{"com.example.app:/cb", false, true},

		{"http://app.example/cb", false, false},
		{"http://localhost.evil.example/cb", false, false},
		{"https://app.example/cb#", false, false},
		{"https://app.example/cb#x", false, false},
		{"https://user@app.example/cb", false, false},
		{"https://*.example/cb", false, false},
		{"https://app.example/../cb", false, false},
		{"https://app.example/%2e%2e/cb", false, false},
		{"https://app.example/x/..;/cb", false, false},
		{"https://app.example/a%2fb", false, false},
		{`https://app.example\@evil.example/cb`, false, false},
		{"https://app.example/c b", false, false},
		{"https:///cb", false, false},
		{"//app.example/cb", false, false},
		{"/cb", false, false},
		{"", false, false},
		{"javascript:alert(1)", false, false},
		{"javascript.x:alert(1)", false, false},
		{"data:text/html,x", false, false},
		{"file:///etc/passwd", false, false},
		{"blob:https://app.example/x", false, false},
		{"myapp:/cb", false, false}, // RFC 8252 §7.1: a scheme with a dot
		{"com.example.app://host/cb", false, false},
		{"https://app.example/cb\r\n", false, false},
	} {
		if ok := checkRedirectURI(row.uri, false) == nil; ok != row.web {
			t.Errorf("%q for a web client: %t", row.uri, ok)
		}
		if ok := checkRedirectURI(row.uri, true) == nil; ok != row.native {
			t.Errorf("%q for a native client: %t", row.uri, ok)
		}
	}
}
