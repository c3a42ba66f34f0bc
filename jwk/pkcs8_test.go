package jwk_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// keysFolder has keys that OpenSSL wrote; those of the recorded cases of package jwt.
const keysFolder = "../jwt/testdata/jsonwebtoken/keys/"

const passphrase = "open sesame"

func keyFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(keysFolder + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseEncryptedPEM(t *testing.T) {
	text := keyFile(t, "rsa-2048.private.encrypted.pem")
	key, err := jwk.ParseEncryptedPEM(text, []byte(passphrase), jwk.Params{ID: "k"})
	if err != nil || !key.Private() || key.ID() != "k" {
		t.Fatal(key, err)
	}
	plain, err := jwk.ParsePEM(keyFile(t, "rsa-2048.private.pem"), jwk.Params{})
	if err != nil || plain.Thumbprint() != key.Thumbprint() {
		t.Error("another key", err)
	}
	block, _ := pem.Decode(text)
	huge := bytes.Replace(block.Bytes, []byte{2, 2, 8, 0}, []byte{2, 2, 0x7f, 0xff}, 1) // still bounded
	for name, row := range map[string]struct {
		text, passphrase []byte
		want             error
	}{
		"no passphrase":    {text, nil, nil},
		"wrong passphrase": {text, []byte("wrong"), nil},
		"not encrypted":    {keyFile(t, "rsa-2048.private.pem"), []byte(passphrase), jwk.ErrInvalid},
		"not PEM":          {[]byte("x"), nil, jwk.ErrInvalid},
		"cut":              {encrypted(block.Bytes[:len(block.Bytes)-1]), []byte(passphrase), jwk.ErrUnsupported},
		"other count":      {encrypted(huge), []byte(passphrase), nil},
		"empty":            {encrypted(nil), nil, jwk.ErrUnsupported},
	} {
		if key, err := jwk.ParseEncryptedPEM(row.text, row.passphrase, jwk.Params{}); err == nil || row.want != nil && !errors.Is(err, row.want) || key != nil {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), passphrase) {
			t.Errorf("%s: the error has the passphrase", name)
		}
	}
	if _, err := jwk.ParsePEM(text, jwk.Params{}); !errors.Is(err, jwk.ErrUnsupported) {
		t.Error(err)
	}
}

// J29: more iterations than are taken cost nothing.
func TestParseEncryptedPEMBoundsIterations(t *testing.T) {
	block, _ := pem.Decode(keyFile(t, "rsa-2048.private.encrypted.pem"))
	// The count is the INTEGER 2048 behind the salt. Making it longer by two bytes
	// moves four lengths; all of them are on the way to it.
	der := bytes.Replace(block.Bytes, []byte{2, 2, 8, 0}, []byte{2, 4, 0x7f, 0, 0, 0}, 1)
	for _, at := range []int{5, 18, 20, 33} {
		der[at] += 2
	}
	der[3] += 2
	if _, err := jwk.ParseEncryptedPEM(encrypted(der), []byte(passphrase), jwk.Params{}); !errors.Is(err, jwk.ErrUnsupported) || !strings.Contains(err.Error(), "iterations") {
		t.Error(err)
	}
}

func encrypted(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
}

func FuzzParseEncryptedPEM(f *testing.F) {
	block, _ := pem.Decode(keyFile(f, "rsa-2048.private.encrypted.pem"))
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, der []byte) {
		if bytes.Contains(der, []byte{2, 3}) {
			return // a large count is slow, and nothing else
		}
		key, err := jwk.ParseEncryptedPEM(encrypted(der), []byte(passphrase), jwk.Params{})
		if (key == nil) == (err == nil) {
			t.Fatal(key, err)
		}
	})
}

func TestParsePEMOrSecret(t *testing.T) {
	pemKey := keyFile(t, "rsa-2048.public.pem")
	if key, err := jwk.ParsePEMOrSecret(pemKey, jwk.Params{}); err != nil || key.Symmetric() {
		t.Error(key, err)
	}
	if key, err := jwk.ParsePEMOrSecret(bytes.Repeat([]byte("s"), 32), jwk.Params{}); err != nil || !key.Symmetric() {
		t.Error(key, err)
	}
	// J2: a PEM that lost its line breaks is no secret.
	for _, text := range []string{strings.ReplaceAll(string(pemKey), "\n", `\n`), strings.ReplaceAll(string(pemKey), "\n", " "), string(pemKey[:200]), " " + strings.TrimSpace(string(pemKey))[:90]} {
		if key, err := jwk.ParsePEMOrSecret([]byte(text), jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) {
			t.Error(key, err)
		}
	}
}

// RFC 4055 §1.2: a key that is for RSASSA-PSS only.
func TestPSSKeys(t *testing.T) {
	for _, row := range []struct {
		file string
		want []jwa.Algorithm
	}{
		{"pss-plain", []jwa.Algorithm{jwa.PS256, jwa.PS384, jwa.PS512}}, {"pss-sha256", []jwa.Algorithm{jwa.PS256}}, {"pss-sha384", []jwa.Algorithm{jwa.PS384}},
		{"pss-sha512", []jwa.Algorithm{jwa.PS512}}, {"pss-sha256-mgf-sha1", nil}, {"pss-sha256-salt64", nil}, {"pss-sha256-salt16", []jwa.Algorithm{jwa.PS256}},
	} {
		for _, half := range []string{".private.pem", ".public.pem"} {
			key, err := jwk.ParsePEM(keyFile(t, row.file+half), jwk.Params{})
			if err != nil {
				t.Errorf("%s: %v", row.file+half, err)
				continue
			}
			names := key.Algorithms()
			if len(names) != len(row.want) {
				t.Errorf("%s: %v", row.file+half, names)
			}
			for i := range row.want {
				if names[i] != row.want[i] {
					t.Errorf("%s: %v", row.file+half, names)
				}
			}
			restriction, _ := key.PSS()
			texts := [][]byte{must(key.MarshalPEM())}
			if key.Private() {
				texts = append(texts, must(key.MarshalPrivatePEM()))
			}
			for _, written := range texts {
				again, err := jwk.ParsePEM(written, jwk.Params{})
				if err != nil {
					t.Fatal(err)
				}
				if kept, ok := again.PSS(); !ok || kept != restriction || !slices.Equal(again.Algorithms(), key.Algorithms()) {
					t.Errorf("%s: written and read again: %+v, %v", row.file, kept, again.Algorithms())
				}
			}
			if _, ok := key.PSS(); !ok {
				t.Errorf("%s: no restriction", row.file)
			}
		}
	}
	if _, err := jwk.ParsePEM(keyFile(t, "pss-sha256.private.pem"), jwk.Params{Algorithm: jwa.RS256}); !errors.Is(err, jwk.ErrInvalid) {
		t.Error(err)
	}
	key, err := jwk.ParsePEM(keyFile(t, "pss-sha256.private.pem"), jwk.Params{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"alg":"PS256"`) {
		t.Errorf("the restriction is lost: %s %v", text, err)
	}
	for _, name := range []string{"dsa-2048", "ed448", "secp256k1"} {
		for _, half := range []string{".private.pem", ".public.pem"} {
			if _, err := jwk.ParsePEM(keyFile(t, name+half), jwk.Params{}); !errors.Is(err, jwk.ErrUnsupported) {
				t.Errorf("%s: %v", name+half, err)
			}
		}
	}
}
