package registration

import "testing"

func TestDocumentID(t *testing.T) {
	for id, want := range map[string]bool{
		"https://a.example/client": true, "https://a.example:8443/": true, "https://a.example/c?x=1": true, // CIMD §3: SHOULD NOT, MAY
		"https://a.example": false, "http://a.example/c": false, "https://u@a.example/c": false, "https://a.example/c#": false, "https://a.example/./c": false,
		"https://a.example/../c": false, "https://a.example/%2E%2e/c": false, "https:///c": false, "https://a.example?x": false, "https://a.example/\u00e9": false,
		"shop": false, "": false,
	} {
		if documentID(id) != want {
			t.Errorf("%s: %v", id, !want)
		}
	}
}
