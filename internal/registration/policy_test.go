package registration

import "testing"

func TestRedirectHosts(t *testing.T) {
	for _, host := range []string{"", "*", "*.com", "*.", "https://a.example", "a.example/", "a.example:443", "A.example", "*.*.example.com", "a@b.example", "app:", "Com.example:", "a b", "*.example.com:"} {
		if CheckRedirectHost(host) == nil {
			t.Errorf("%q is taken", host)
		}
	}
	for _, host := range []string{"a.example", "localhost", "127.0.0.1", "[::1]", "*.example.com", "com.example.app:"} {
		if err := CheckRedirectHost(host); err != nil {
			t.Error(err)
		}
	}
	r := Policy{RedirectHosts: []string{"a.example", "*.example.com", "[::1]", "com.example.app:"}}
	for uri, want := range map[string]bool{
		"https://a.example/cb": true, "https://A.EXAMPLE:8443/cb": true, "https://b.a.example/": false, "https://x.example.com/": true, "https://x.y.example.com/": true,
		"https://example.com/": false, "https://badexample.com/": false, "https://.example.com/": false, "http://[::1]:99/": true, "http://127.0.0.1/": false,
		"com.example.app:/cb": true, "com.evil.app:/cb": false, "https://a.example.evil.example/": false,
	} {
		if r.allowsRedirect(uri) != want {
			t.Errorf("%s: %v", uri, !want)
		}
	}
}
