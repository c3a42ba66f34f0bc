package oauth

import (
	"testing"

	"github.com/ostiary/ostiary/jwa"
)

// TestSealToNobody: what was to be encrypted never goes out in clear.
func TestSealToNobody(t *testing.T) {
	if text, err := (recipient{alg: jwa.ECDHES, enc: jwa.A128GCM}).seal("token"); err == nil || text != "" {
		t.Error("sealed to nobody")
	}
}
