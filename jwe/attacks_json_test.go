package jwe_test

import (
	"crypto/aes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// J32: odd messages in JSON serialization.
func attackOddJSON(t *testing.T) {
	key := bound(secret32, jwa.A256KW)
	good := craftWrapped(secret32, `{"alg":"A256KW","enc":"A256GCM"}`, "text")
	acceptsJSON(t, "good twin", good.flattened(""), key, jwe.DecryptOptions{})
	for name, message := range map[string]string{
		"nothing":                 ``,
		"an empty object":         `{}`,
		"null":                    `null`,
		"a list":                  `[]`,
		"only a ciphertext":       `{"ciphertext":"AAAA"}`,
		"an empty recipient":      `{"ciphertext":"AAAA","recipients":[{}]}`,
		"no recipient":            `{"ciphertext":"AAAA","recipients":[]}`,
		"recipients null":         `{"ciphertext":"AAAA","recipients":null}`,
		"recipients an object":    `{"ciphertext":"AAAA","recipients":{}}`,
		"a recipient null":        `{"ciphertext":"AAAA","recipients":[null]}`,
		"a recipient in a list":   `{"ciphertext":"AAAA","recipients":[[{}]]}`,
		"protected null":          strings.Replace(string(good.flattened("")), `"protected":"`, `"protected":null,"x":"`, 1),
		"protected empty":         strings.Replace(string(good.flattened("")), `"protected":"`, `"protected":"","x":"`, 1),
		"protected an object":     strings.Replace(string(good.flattened("")), `"protected":"`, `"protected":{"alg":"A256KW","enc":"A256GCM"},"x":"`, 1),
		"protected is not base64": strings.Replace(string(good.flattened("")), `"protected":"`, `"protected":"*`, 1),
		"iv missing":              strings.Replace(string(good.flattened("")), `"iv"`, `"x"`, 1),
		"tag missing":             strings.Replace(string(good.flattened("")), `"tag"`, `"x"`, 1),
		"encrypted_key missing":   strings.Replace(string(good.flattened("")), `"encrypted_key"`, `"x"`, 1),
		"encrypted_key null":      strings.Replace(string(good.flattened("")), `"encrypted_key":"`, `"encrypted_key":null,"x":"`, 1),
		"text behind":             string(good.flattened("")) + "x",
		"line feed in a part":     strings.Replace(string(good.flattened("")), `"iv":"`, `"iv":"\n`, 1),
	} {
		refusesJSON(t, name, []byte(message), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	refusesJSON(t, "beyond 64 KiB", good.flattened(`,"x":"`+strings.Repeat("x", 64<<10)+`"`), key, jwe.DecryptOptions{}, jwe.ErrTooLong)
	empty := must(jwe.EncryptJSON(nil, nil, []*jwk.Key{key}, jwe.EncryptOptions{}))
	if m := acceptsJSON(t, "good twin: an empty text", empty, key, jwe.DecryptOptions{}); len(m.Plaintext) != 0 {
		t.Errorf("got %q", m.Plaintext)
	}
}

// J47, RFC 7516 §7.2.1: the ciphertext is there, under its name; there is no detached one.
func attackNoCiphertext(t *testing.T) {
	key := bound(secret32, jwa.A256KW)
	good := craftWrapped(secret32, `{"alg":"A256KW","enc":"A256GCM"}`, "text")
	acceptsJSON(t, "good twin", good.flattened(""), key, jwe.DecryptOptions{})
	for name, message := range map[string]string{
		"ciphertext missing":   strings.Replace(string(good.flattened("")), `"ciphertext"`, `"x"`, 1),
		"ciphertext null":      strings.Replace(string(good.flattened("")), `"ciphertext":"`, `"ciphertext":null,"x":"`, 1),
		"ciphertext elsewhere": strings.Replace(string(good.flattened("")), `"ciphertext"`, `"payload"`, 1),
		"twice":                string(good.flattened(`,"ciphertext":"AAAA"`)),
	} {
		refusesJSON(t, name, []byte(message), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	parts := strings.Split(good.compact(), ".")
	parts[3] = ""
	refuses(t, "compact", strings.Join(parts, "."), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
}

// general returns a message with these recipients, whose content is encrypted with
// one key that is wrapped under each secret.
func general(protected string, recipients int, secrets map[int][]byte) []byte {
	cek := randomBytes(32)
	c := craft(cek, protected, "text")
	var list []string
	for i := range recipients {
		secret := randomBytes(32)
		if known := secrets[i]; known != nil {
			secret = known
		}
		list = append(list, fmt.Sprintf(`{"header":{"alg":"A256KW","kid":"%d"},"encrypted_key":%q}`, i, encode(plainWrap(must(aes.NewCipher(secret)), cek))))
	}
	return fmt.Appendf(nil, `{"protected":%q,"recipients":[%s],"iv":%q,"ciphertext":%q,"tag":%q}`,
		encode([]byte(protected)), strings.Join(list, ","), encode(c.iv), encode(c.ciphertext), encode(c.tag))
}

// J46: any one of many recipients is a choice that the caller makes and sees.
func attackRecipients(t *testing.T) {
	key := must(jwk.New(secret32, jwk.Params{ID: "1", Algorithm: jwa.A256KW}))
	two := general(`{"enc":"A256GCM"}`, 2, map[int][]byte{1: secret32})
	open := jwe.DecryptOptions{MaxRecipients: 2, UnprotectedHeader: true}
	m := acceptsJSON(t, "good twin", two, key, open)
	if m.Recipient != 1 || m.Key != key || m.Header.KeyID != "1" || m.Header.Algorithm != jwa.A256KW {
		t.Errorf("recipient %d, %v, %+v", m.Recipient, m.Key, m.Header)
	}
	refusesJSON(t, "two by default", two, key, jwe.DecryptOptions{UnprotectedHeader: true}, jwe.ErrRecipients)
	refusesJSON(t, "unprotected by default", two, key, jwe.DecryptOptions{MaxRecipients: 2}, jwe.ErrUnprotected)
	refusesJSON(t, "three", general(`{"enc":"A256GCM"}`, 3, map[int][]byte{1: secret32}), key, open, jwe.ErrRecipients)
	acceptsJSON(t, "good twin: a hundred", general(`{"enc":"A256GCM"}`, 100, map[int][]byte{1: secret32}), key, jwe.DecryptOptions{MaxRecipients: 100, UnprotectedHeader: true})
	many := jwe.DecryptOptions{MaxRecipients: 100, UnprotectedHeader: true, MaxSize: 10 << 20}
	if cost := allocated(func() {
		refusesJSON(t, "10,000", general(`{"enc":"A256GCM"}`, 10_000, nil), key, many, jwe.ErrRecipients)
	}); cost > 64<<20 {
		t.Errorf("10,000 recipients took %d bytes", cost)
	}
	if _, err := jwe.NewDecrypter(key, jwe.DecryptOptions{MaxRecipients: 101}); err == nil {
		t.Error("101 recipients may be asked for")
	}
	// Nobody named: how many keys are tried is that of the message.
	anonymous := []byte(strings.ReplaceAll(string(general(`{"enc":"A256GCM"}`, 2, map[int][]byte{1: secret32})), `,"kid":"0"`, ``))
	anonymous = []byte(strings.ReplaceAll(string(anonymous), `,"kid":"1"`, ``))
	keys := []*jwk.Key{key}
	for range 7 {
		keys = append(keys, must(jwk.New(randomBytes(32), jwk.Params{Algorithm: jwa.A256KW})))
	}
	acceptsJSON(t, "good twin: eight keys for each of two", anonymous, must(jwk.NewSet(keys...)), open)
	keys = append(keys, must(jwk.New(randomBytes(32), jwk.Params{Algorithm: jwa.A256KW})))
	refusesJSON(t, "nine keys for each of two", anonymous, must(jwk.NewSet(append(keys[1:], key)...)), open, jwe.ErrTooCostly)
	refusesJSON(t, "RFC 7516 §7.2.1: two content encryptions", []byte(strings.Replace(string(general(`{}`, 2, nil)), `"kid":"0"`, `"enc":"A128GCM"`, 1)), key, open, jwe.ErrMalformed)
	refusesJSON(t, "RFC 7516 §5.1: dir for one of two", []byte(strings.Replace(string(two), `"alg":"A256KW"`, `"alg":"dir"`, 1)), key, open, jwe.ErrMalformed)
}

// J48, RFC 7516 §7.2.1: what nothing protects decides nothing unless asked.
func attackUnprotected(t *testing.T) {
	key := must(jwk.New(secret32, jwk.Params{ID: "1", Algorithm: jwa.A256KW}))
	o := jwe.DecryptOptions{UnprotectedHeader: true}
	full, half := `{"alg":"A256KW","enc":"A256GCM"}`, `{"enc":"A256GCM"}`
	acceptsJSON(t, "good twin", craftWrapped(secret32, full, "text").flattened(""), key, jwe.DecryptOptions{})
	for name, more := range map[string]string{
		"alg": `,"header":{"alg":"A256KW"}`, "alg, shared": `,"unprotected":{"alg":"A256KW"}`,
		"alg and kid": `,"header":{"alg":"A256KW"},"unprotected":{"kid":"1"}`,
	} {
		message := craftWrapped(secret32, half, "text").flattened(more)
		refusesJSON(t, name, message, key, jwe.DecryptOptions{}, jwe.ErrUnprotected)
		m := acceptsJSON(t, "good twin: "+name, message, key, o)
		if _, ok := m.Header.Member("alg"); ok {
			t.Errorf("%s: alg is said to be protected", name)
		}
		if alg, ok := m.Header.UnprotectedMember("alg"); !ok || string(alg) != `"A256KW"` {
			t.Errorf("%s: alg is %s", name, alg)
		}
	}
	for name, more := range map[string]string{
		"harmless": `,"header":{"x":1}`, "kid": `,"header":{"kid":"1"}`, "p2c": `,"unprotected":{"p2c":1000}`, "empty": `,"unprotected":{}`,
	} {
		refusesJSON(t, name+" unasked", craftWrapped(secret32, full, "text").flattened(more), key, jwe.DecryptOptions{}, jwe.ErrUnprotected)
	}
	for name, more := range map[string]string{
		"the same alg in two parts":     `,"header":{"alg":"A256KW"}`,
		"another alg in two parts":      `,"unprotected":{"alg":"dir"}`,
		"x in both unprotected parts":   `,"unprotected":{"x":1},"header":{"x":1}`,
		"RFC 7516 §4.1.3: zip":          `,"unprotected":{"zip":"DEF"}`,
		"RFC 7516 §4.1.13: crit":        `,"header":{"crit":["x"],"x":1}`,
		"a member twice within a part":  `,"header":{"x":1,"x":2}`,
		"a member twice, escaped":       `,"header":{"\u0065nc":"A256GCM"}`,
		"kid of another type":           `,"header":{"kid":["1"]}`,
		"epk that is none, not asked":   `,"header":{"epk":null}`,
		"p2c that is none, but present": `,"header":{"p2c":-1}`,
	} {
		refusesJSON(t, name, craftWrapped(secret32, full, "text").flattened(more), key, o, jwe.ErrMalformed)
	}
	c := craftWrapped(secret32, full, "text")
	c.header = half
	refusesJSON(t, "alg moved out of the protected part", c.flattened(`,"header":{"alg":"A256KW"}`), key, o, jwe.ErrDecryption)
	// The additional data are protected too.
	withData := must(jwe.EncryptJSON([]byte("text"), []byte("data"), []*jwk.Key{key}, jwe.EncryptOptions{}))
	if m := acceptsJSON(t, "good twin: additional data", withData, key, jwe.DecryptOptions{}); string(m.AdditionalData) != "data" {
		t.Errorf("got %q", m.AdditionalData)
	}
	changed := strings.Replace(string(withData), encode([]byte("data")), encode([]byte("date")), 1)
	refusesJSON(t, "additional data changed", []byte(changed), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
	without := strings.Replace(string(withData), `"aad"`, `"x"`, 1)
	refusesJSON(t, "additional data taken away", []byte(without), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
}

// J25, RFC 8725 §3.1 and RFC 7517 §4.2 to §4.4: a key does what it is for.
func attackBinding(t *testing.T) {
	materials := map[string]any{"RSA": rsaMaterial, "EC": ecMaterial, "X25519": xMaterial, "16": secret32[:16], "24": secret32[:24], "32": secret32, "48": append(slices.Clone(secret32), secret32[:16]...), "64": append(slices.Clone(secret32), secret32...)}
	for _, row := range jwa.KeyManagements() {
		for _, content := range jwa.ContentEncryptions() {
			for name, material := range materials {
				fits := fitting(row, content, name)
				key, err := jwk.New(material, jwk.Params{Use: jwk.UseEncryption})
				if err != nil {
					t.Fatal(name, err)
				}
				if got := key.Encrypts(row.Name, content.Name); got != fits {
					t.Errorf("%s with %s on %s: %v", row.Name, content.Name, name, got)
				}
				message, err := jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{Algorithm: row.Name, Encryption: content.Name})
				if (err == nil) != fits {
					t.Errorf("%s with %s on %s: %v", row.Name, content.Name, name, err)
				}
				if fits {
					accepts(t, fmt.Sprint("good twin: ", row.Name, content.Name, name), message, key, jwe.DecryptOptions{})
				} else {
					header := fmt.Sprintf(`{"alg":%q,"enc":%q,"epk":{"kty":"OKP","crv":"X25519","x":%q},"p2s":"AAAAAAAAAAA","p2c":1000,"iv":%q,"tag":%q}`,
						row.Name, content.Name, encode(randomBytes(32)), encode(make([]byte, 12)), encode(make([]byte, 16)))
					c := crafted{header: header, iv: make([]byte, content.IVSize), ciphertext: make([]byte, 16), tag: make([]byte, content.TagSize)}
					switch row.Mode {
					case jwa.Wrap, jwa.AgreementWrap, jwa.Password:
						c.encrypted = make([]byte, content.KeySize+8)
					case jwa.WrapGCM:
						c.encrypted = make([]byte, content.KeySize)
					case jwa.OAEP:
						c.encrypted = make([]byte, 256)
					}
					refuses(t, fmt.Sprint(row.Name, content.Name, name), c.compact(), key, jwe.DecryptOptions{}, jwe.ErrAlgorithm)
				}
			}
		}
	}
}

// fitting says which material does which pair of algorithms, RFC 7518 §4.
func fitting(row jwa.KeyManagement, content jwa.ContentEncryption, material string) bool {
	switch row.Mode {
	case jwa.Wrap, jwa.WrapGCM:
		return material == fmt.Sprint(row.WrapSize)
	case jwa.Direct:
		return material == fmt.Sprint(content.KeySize)
	case jwa.OAEP:
		return material == "RSA"
	case jwa.Agreement, jwa.AgreementWrap:
		return material == "EC" || material == "X25519"
	}
	return false // passwords say that they are
}

// J25: the members of a key bind.
func attackKeyMembers(t *testing.T) {
	k := encode(secret32)
	for _, row := range []struct {
		clause, members string
		encrypt         error
		decrypt         error
	}{
		{"nothing said", ``, nil, nil},
		{"RFC 7517 §4.2: use enc", `,"use":"enc"`, nil, nil},
		{"RFC 7517 §4.2: use sig", `,"use":"sig"`, jwe.ErrKey, jwe.ErrAlgorithm},
		{"RFC 7517 §4.3: wrapKey, unwrapKey", `,"key_ops":["wrapKey","unwrapKey"]`, nil, nil},
		{"RFC 7517 §4.3: wrapKey", `,"key_ops":["wrapKey"]`, nil, jwe.ErrKey},
		{"RFC 7517 §4.3: unwrapKey", `,"key_ops":["unwrapKey"]`, jwe.ErrKey, nil},
		{"RFC 7517 §4.3: encrypt, decrypt", `,"key_ops":["encrypt","decrypt"]`, jwe.ErrKey, jwe.ErrKey},
		{"RFC 7517 §4.3: sign, verify", `,"key_ops":["sign","verify"]`, jwe.ErrKey, jwe.ErrKey},
		{"RFC 7517 §4.3: nothing", `,"key_ops":[]`, jwe.ErrKey, jwe.ErrKey},
		{"RFC 7517 §4.4: alg", `,"alg":"A256KW"`, nil, nil},
		{"RFC 7517 §4.4: alg A256GCMKW", `,"alg":"A256GCMKW"`, jwe.ErrKey, jwe.ErrAlgorithm},
		{"RFC 7517 §4.4: alg dir", `,"alg":"dir"`, jwe.ErrKey, jwe.ErrAlgorithm},
		{"RFC 7517 §4.4: alg of a content encryption", `,"alg":"A256GCM"`, jwe.ErrKey, jwe.ErrAlgorithm},
		{"RFC 7517 §4.4: alg HS256", `,"alg":"HS256"`, jwe.ErrKey, jwe.ErrAlgorithm},
		{"RFC 7518 §4.8: alg PBES2", `,"alg":"PBES2-HS256+A128KW"`, jwe.ErrKey, jwe.ErrAlgorithm},
	} {
		key := must(jwk.Parse([]byte(`{"kty":"oct","k":"` + k + `"` + row.members + `}`)))
		_, err := jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{Algorithm: jwa.A256KW})
		refusedAs(t, row.clause+": encrypt", err, row.encrypt)
		message := craftWrapped(secret32, `{"alg":"A256KW","enc":"A256GCM"}`, "text").compact()
		_, err = jwe.Decrypt(background, message, key, jwe.DecryptOptions{})
		refusedAs(t, row.clause+": decrypt", err, row.decrypt)
	}
	bound := must(jwk.Parse([]byte(`{"kty":"oct","alg":"A256GCM","k":"` + k + `"}`)))
	accepts(t, "good twin: alg of a content encryption", craft(secret32, dirHeader, "text").compact(), bound, jwe.DecryptOptions{})
	cbc := seal(newPlainCBC(secret32), `{"alg":"dir","enc":"A128CBC-HS256"}`, "text").compact()
	refuses(t, "alg of another content encryption", cbc, bound, jwe.DecryptOptions{}, jwe.ErrAlgorithm)
	accepts(t, "good twin: dir by size", cbc, must(jwk.New(secret32, jwk.Params{})), jwe.DecryptOptions{})
	// A list of the caller narrows what the key permits, and never widens it.
	wrapped := craftWrapped(secret32, `{"alg":"A256KW","enc":"A256GCM"}`, "text").compact()
	free := must(jwk.New(secret32, jwk.Params{}))
	accepts(t, "good twin: listed", wrapped, free, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.A256KW}, Encryptions: []jwa.Encryption{jwa.A256GCM}})
	refuses(t, "alg not listed", wrapped, free, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.Dir, jwa.A256GCMKW}}, jwe.ErrAlgorithm)
	refuses(t, "enc not listed", wrapped, free, jwe.DecryptOptions{Encryptions: []jwa.Encryption{jwa.A128GCM}}, jwe.ErrAlgorithm)
	refuses(t, "listed, but not the key's", wrapped, bound, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.A256KW}}, jwe.ErrAlgorithm)
}
