package keys

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func mustDecode(t *testing.T, sealed string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(sealed, sealPrefix))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSeal(t *testing.T) {
	m, other := newMaster(t), newMaster(t)
	sealed, err := m.seal("purpose", "id", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.seal("purpose", "id", []byte("text"))
	if err != nil || again == sealed {
		t.Errorf("sealed twice with one nonce: %v", err)
	}
	if text, err := m.open("purpose", "id", sealed); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	flipped := mustDecode(t, sealed)
	flipped[len(flipped)-1] ^= 1
	for _, row := range []struct {
		name    string
		by      Master
		purpose Purpose
		id, in  string
	}{
		{"another master key", other, "purpose", "id", sealed},
		{"another purpose", m, "other", "id", sealed},
		{"another place", m, "purpose", "other", sealed},
		{"the border moved", m, "purposei", "d", sealed},
		{"a changed bit", m, "purpose", "id", sealPrefix + base64.RawURLEncoding.EncodeToString(flipped)},
		{"cut", m, "purpose", "id", sealed[:10]},
		{"no scheme", m, "purpose", "id", strings.TrimPrefix(sealed, sealPrefix)},
		{"another scheme", m, "purpose", "id", "v2." + strings.TrimPrefix(sealed, sealPrefix)},
		{"not base64url", m, "purpose", "id", sealPrefix + "!"},
		{"empty", m, "purpose", "id", ""},
	} {
		if text, err := row.by.open(row.purpose, row.id, row.in); err == nil || text != nil {
			t.Errorf("%s: opened", row.name)
		}
	}
}

// TestSealForOthers: what the ring seals for other packages opens on every node
// with the master key, in its place, and nowhere else.
func TestSealForOthers(t *testing.T) {
	eachPair(t, func(a, b node) {
		sealed, err := a.Seal(PurposeClientSecret, "id", []byte("text"))
		if err != nil || strings.Contains(string(mustDecode(a.t, sealed)), "text") {
			a.t.Fatalf("%q, %v", sealed, err)
		}
		if text, err := b.Unseal(PurposeClientSecret, "id", sealed); err != nil || string(text) != "text" {
			a.t.Errorf("%q, %v", text, err)
		}
		for name, open := range map[string]func() ([]byte, error){
			"another purpose": func() ([]byte, error) { return b.Unseal(purposeSigningKey, "id", sealed) },
			"another row":     func() ([]byte, error) { return b.Unseal(PurposeClientSecret, "other", sealed) },
		} {
			if text, err := open(); !errors.Is(err, ErrSealed) || text != nil {
				a.t.Errorf("%s: %q, %v", name, text, err)
			}
		}
	})
}
