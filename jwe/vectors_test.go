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

// excused are the vectors of this package that are refused here.
var excused = map[string]string{
	"RSA1_5": "RFC 7516 A.2, A.4 and RFC 7520 §5.1, §5.13: PKCS #1 v1.5 is not offered (attack J24)",
	"HPKE":   "a draft: a clear error until it is a standard",
}

// HPKE, a draft: neither a key for it nor a message is taken for something else.
func TestHPKE(t *testing.T) {
	var vectors []struct {
		Alg       jwa.Algorithm
		JWK       json.RawMessage
		Flattened json.RawMessage
		Compact   string
	}
	readJSON(t, &vectors, "hpke", "jose-hpke-vectors.json")
	if len(vectors) != 11 {
		t.Errorf("%d vectors", len(vectors))
	}
	others := must(jwk.NewSet(must(jwk.Generate(jwa.ECDHES)), must(jwk.Generate(jwa.RSAOAEP256))))
	for _, v := range vectors {
		if key, err := jwk.Parse(v.JWK); key != nil || !errors.Is(err, jwk.ErrUnsupported) {
			t.Errorf("%s: %s: %v, %v", v.Alg, excused["HPKE"], key, err)
		}
		// The same key without its alg is one for ECDH-ES, and opens nothing of this.
		var members map[string]any
		if err := json.Unmarshal(v.JWK, &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "alg")
		source := jwk.Source(others)
		if key, err := jwk.Parse(must(json.Marshal(members))); err == nil {
			source = key
		} else if !errors.Is(err, jwk.ErrUnsupported) { // X25519 and the NIST curves are, X448 is not
			t.Errorf("%s: %v", v.Alg, err)
		}
		for name, err := range map[string]error{
			"compact": errorOf(jwe.Decrypt(background, v.Compact, source, jwe.DecryptOptions{})),
			"JSON":    errorOf(jwe.DecryptJSON(background, v.Flattened, source, generous)),
		} {
			if !errors.Is(err, jwe.ErrAlgorithm) && !errors.Is(err, jwe.ErrMalformed) {
				t.Errorf("%s, %s: %v", v.Alg, name, err)
			}
		}
		if _, err := jwe.NewDecrypter(others, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{v.Alg}}); !errors.Is(err, jwe.ErrOptions) {
			t.Errorf("%s can be allowed: %v", v.Alg, err)
		}
	}
}

func errorOf(_ jwe.Message, err error) error { return err }

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
				if v.Alg == "RSA1_5" || key.Type() == jwa.RSA && v.JSON != nil {
					if !errors.Is(err, jwe.ErrAlgorithm) || m.Plaintext != nil {
						t.Errorf("%s: got %q, %v", excused["RSA1_5"], m.Plaintext, err)
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
					if strings.Contains(string(c.Input.Alg), "RSA1_5") && key.Type() == jwa.RSA {
						if !errors.Is(err, jwe.ErrAlgorithm) || m.Plaintext != nil {
							t.Errorf("%s: %s: got %q, %v", form, excused["RSA1_5"], m.Plaintext, err)
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
				if example == "rfc7520_5.1" || example == "rfc7520_5.13" && key.Type() == jwa.RSA {
					if !errors.Is(err, jwe.ErrAlgorithm) {
						t.Errorf("%s: %s: %v", file, excused["RSA1_5"], err)
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
