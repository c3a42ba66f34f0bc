package jwe_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

var background = context.Background()

func read(tb testing.TB, path ...string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func readJSON(tb testing.TB, into any, path ...string) {
	tb.Helper()
	if err := json.Unmarshal(read(tb, path...), into); err != nil {
		tb.Fatal(err)
	}
}

// generous accepts what RFC 7516 permits and strict defaults refuse.
var generous = jwe.DecryptOptions{UnprotectedHeader: true, MaxRecipients: 3, Decompress: true}

func TestRFC7516(t *testing.T) {
	var suite struct {
		Vectors []struct {
			ID, Alg, Plaintext, Compact string
			JWK                         json.RawMessage
			JWKs                        []json.RawMessage
			JSON                        json.RawMessage
		}
	}
	readJSON(t, &suite, "rfc7516", "rfc7516-appendix-a.json")
	run := 0
	for _, v := range suite.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			run++
			if v.JWK != nil {
				v.JWKs = []json.RawMessage{v.JWK}
			}
			for i, text := range v.JWKs {
				key := must(jwk.Parse(text))
				var m jwe.Message
				var err error
				if v.Compact != "" {
					m, err = jwe.Decrypt(background, v.Compact, key, jwe.DecryptOptions{})
				} else {
					m, err = jwe.DecryptJSON(background, v.JSON, key, generous)
				}
				// RSA1_5 is not offered: A.2, and the first recipient of A.4.
				if v.Alg == "RSA1_5" || key.Type() == jwa.RSA && v.JSON != nil {
					if !errors.Is(err, jwe.ErrAlgorithm) || m.Plaintext != nil {
						t.Errorf("RSA1_5: got %q, %v", m.Plaintext, err)
					}
					continue
				}
				if err != nil || string(m.Plaintext) != v.Plaintext || m.Recipient != i {
					t.Errorf("got %q for recipient %d, %v", m.Plaintext, m.Recipient, err)
				}
			}
		})
	}
	if run != 5 {
		t.Errorf("%d vectors were run of 5", run)
	}
}

// cookbook is an example of RFC 7520 §5.
type cookbook struct {
	Title string
	Input struct {
		Plaintext string
		Key       json.RawMessage // one or a list
		Pwd       string
		Alg       json.RawMessage
		Zip, AAD  string
	}
	Output struct {
		Compact  string
		JSON     json.RawMessage
		JSONFlat json.RawMessage `json:"json_flat"`
	}
}

func (c *cookbook) keys(t *testing.T) []*jwk.Key {
	t.Helper()
	if c.Input.Pwd != "" {
		var alg jwa.Algorithm
		if err := json.Unmarshal(c.Input.Alg, &alg); err != nil {
			t.Fatal(err)
		}
		return []*jwk.Key{must(jwk.New([]byte(c.Input.Pwd), jwk.Params{Algorithm: alg}))}
	}
	texts := []json.RawMessage{c.Input.Key}
	if c.Input.Key[0] == '[' {
		if err := json.Unmarshal(c.Input.Key, &texts); err != nil {
			t.Fatal(err)
		}
	}
	var keys []*jwk.Key
	for _, text := range texts {
		keys = append(keys, must(jwk.Parse(text)))
	}
	return keys
}

func TestRFC7520(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "rfc7520", "*.json"))
	if err != nil || len(files) != 14 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			var c cookbook
			readJSON(t, &c, "rfc7520", name)
			for i, key := range c.keys(t) {
				check := func(form string, m jwe.Message, err error) {
					t.Helper()
					// §5.1 and the first recipient of §5.13 are RSA1_5, which is not offered.
					if strings.Contains(string(c.Input.Alg), "RSA1_5") && key.Type() == jwa.RSA {
						if !errors.Is(err, jwe.ErrAlgorithm) || m.Plaintext != nil {
							t.Errorf("%s: RSA1_5: got %q, %v", form, m.Plaintext, err)
						}
						return
					}
					if err != nil || string(m.Plaintext) != c.Input.Plaintext || m.Recipient != i || string(m.AdditionalData) != c.Input.AAD {
						t.Errorf("%s: got %q, %q for recipient %d, %v", form, m.Plaintext, m.AdditionalData, m.Recipient, err)
					}
				}
				if c.Output.Compact != "" {
					m, err := jwe.Decrypt(background, c.Output.Compact, key, generous)
					check("compact", m, err)
				}
				for form, text := range map[string][]byte{"general": c.Output.JSON, "flattened": c.Output.JSONFlat} {
					if text != nil {
						m, err := jwe.DecryptJSON(background, text, key, generous)
						check(form, m, err)
					}
				}
			}
		})
	}
}

// The same examples as another project keeps them, in files by serialization.
func TestRFC7520Compact(t *testing.T) {
	run := 0
	for _, extension := range []string{"jwec", "jwef", "jweg"} {
		files, err := filepath.Glob(filepath.Join("testdata", "rfc7520-compact", "*."+extension))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			run++
			example := strings.TrimSuffix(filepath.Base(file), "."+extension)
			message, want := read(t, "rfc7520-compact", filepath.Base(file)), read(t, "rfc7520-compact", example+".pt")
			for _, key := range compactKeys(t, example) {
				var m jwe.Message
				var err error
				if extension == "jwec" {
					m, err = jwe.Decrypt(background, strings.TrimSpace(string(message)), key, generous)
				} else {
					m, err = jwe.DecryptJSON(background, message, key, generous)
				}
				if example == "rfc7520_5.1" || example == "rfc7520_5.13" && key.Type() == jwa.RSA { // RSA1_5
					if !errors.Is(err, jwe.ErrAlgorithm) {
						t.Errorf("%s: RSA1_5: %v", file, err)
					}
				} else if err != nil || string(m.Plaintext) != string(want) {
					t.Errorf("%s: got %q, %v", file, m.Plaintext, err)
				}
			}
		}
	}
	if run != 32 {
		t.Errorf("%d files were run", run)
	}
}

func compactKeys(t *testing.T, example string) []*jwk.Key {
	t.Helper()
	if example == "rfc7520_5.3" {
		var password string
		readJSON(t, &password, "rfc7520-compact", example+".pwd")
		return []*jwk.Key{must(jwk.New([]byte(password), jwk.Params{Algorithm: jwa.PBES2HS512A256KW}))}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "rfc7520-compact", example+"*.jwk"))
	if err != nil || len(files) == 0 {
		t.Fatal(example, err)
	}
	var keys []*jwk.Key
	for _, file := range files {
		keys = append(keys, must(jwk.Parse(read(t, "rfc7520-compact", filepath.Base(file)))))
	}
	return keys
}
