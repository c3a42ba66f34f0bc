package jwe_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

var (
	rsaMaterial = must(rsa.GenerateKey(rand.Reader, 2048))
	ecMaterial  = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	xMaterial   = must(ecdh.X25519().GenerateKey(rand.Reader))
)

// materials returns all that an algorithm works with, by name.
func materials(row jwa.KeyManagement, content jwa.ContentEncryption) map[string]any {
	switch row.Mode {
	case jwa.Wrap, jwa.WrapGCM:
		return map[string]any{"secret": randomBytes(row.WrapSize)}
	case jwa.Direct:
		return map[string]any{"secret": randomBytes(content.KeySize)}
	case jwa.Password:
		return map[string]any{"password": []byte("pass-wörd")}
	case jwa.OAEP:
		return map[string]any{"RSA": rsaMaterial}
	}
	return map[string]any{
		"P-256": ecMaterial, "P-384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"P-521": must(ecdh.P521().GenerateKey(rand.Reader)), "X25519": xMaterial,
	}
}

// TestRoundTrip goes through every algorithm, curve and content encryption, in
// both serializations, with texts of different lengths.
func TestRoundTrip(t *testing.T) {
	for _, row := range jwa.KeyManagements() {
		for _, content := range jwa.ContentEncryptions() {
			for name, material := range materials(row, content) {
				o := jwe.EncryptOptions{Encryption: content.Name, Type: "JOSE", ContentType: "text/plain", Header: map[string]any{"x-a": 1}}
				if row.Mode == jwa.Password {
					o.Iterations = 1000
				}
				private := must(jwk.New(material, jwk.Params{ID: name, Algorithm: row.Name}))
				public := private
				if !private.Symmetric() {
					public = must(private.Public())
				}
				e := must(jwe.NewEncrypter(public, o))
				d := must(jwe.NewDecrypter(private, jwe.DecryptOptions{}))
				for _, length := range []int{0, 1, 15, 16, 1000} {
					text := randomBytes(length)
					m, err := d.Decrypt(background, must(e.Encrypt(text)))
					checkMessage(t, m, err, row.Name, content.Name, text, private)
					m, err = d.DecryptJSON(background, must(e.EncryptJSON(text, text)))
					checkMessage(t, m, err, row.Name, content.Name, text, private)
					if !bytes.Equal(m.AdditionalData, text) {
						t.Errorf("%s: additional data %x", row.Name, m.AdditionalData)
					}
				}
				if _, err := jwe.Decrypt(background, must(e.Encrypt(nil)), public, jwe.DecryptOptions{}); public != private && !errors.Is(err, jwe.ErrKey) {
					t.Errorf("%s: a public key decrypts: %v", row.Name, err)
				}
			}
		}
	}
}

func checkMessage(t *testing.T, m jwe.Message, err error, alg jwa.Algorithm, enc jwa.Encryption, text []byte, key *jwk.Key) {
	t.Helper()
	if err != nil || !bytes.Equal(m.Plaintext, text) || m.Key != key || m.Recipient != 0 {
		t.Fatalf("%s with %s: %x, %v, %v", alg, enc, m.Plaintext, m.Key, err)
	}
	h := m.Header
	if h.Algorithm != alg || h.Encryption != enc || h.KeyID != key.ID() || h.Type != "JOSE" || h.ContentType != "text/plain" || h.Compression != "" || h.Critical != nil {
		t.Errorf("%s with %s: header %+v", alg, enc, h)
	}
	if member, ok := h.Member("x-a"); !ok || string(member) != "1" {
		t.Errorf("%s with %s: x-a is %s", alg, enc, member)
	}
	if _, ok := h.UnprotectedMember("x-a"); ok {
		t.Errorf("%s with %s: x-a is unprotected", alg, enc)
	}
}

// Every message has its own key, IV and ephemeral key.
func TestMessagesDiffer(t *testing.T) {
	for _, f := range floors(t) {
		e := must(jwe.NewEncrypter(f.key, f.options()))
		first, second := strings.Split(must(e.Encrypt([]byte("text"))), "."), strings.Split(must(e.Encrypt([]byte("text"))), ".")
		for i, part := range []string{"header", "encrypted key", "IV", "ciphertext", "tag"} {
			constant := i == 0 && (f.alg == jwa.Dir || f.alg == jwa.A256KW || f.alg == jwa.RSAOAEP256)
			if first[i] != "" && (first[i] == second[i]) != constant {
				t.Errorf("%s: %s %s, %s", f.name, part, first[i], second[i])
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, row := range []struct {
		material any
		alg      jwa.Algorithm
		enc      jwa.Encryption
	}{
		{rsaMaterial, jwa.RSAOAEP256, jwa.A256GCM},
		{ecMaterial, jwa.ECDHES, jwa.A256GCM},
		{xMaterial, jwa.ECDHES, jwa.A256GCM},
		{randomBytes(16), jwa.A128KW, jwa.A256GCM},
		{randomBytes(24), jwa.A192KW, jwa.A256GCM},
		{randomBytes(32), jwa.A256KW, jwa.A256GCM},
		{randomBytes(48), jwa.Dir, jwa.A192CBCHS384},
		{randomBytes(64), jwa.Dir, jwa.A256CBCHS512},
	} {
		key := must(jwk.New(row.material, jwk.Params{}))
		h := must(jwe.DecodeUnverified(must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{}))))
		if h.Algorithm != row.alg || h.Encryption != row.enc {
			t.Errorf("%v: %s with %s", key, h.Algorithm, h.Encryption)
		}
	}
	for alg, iterations := range map[jwa.Algorithm]string{jwa.PBES2HS256A128KW: "600000", jwa.PBES2HS384A192KW: "310000", jwa.PBES2HS512A256KW: "310000"} {
		message := must(jwe.Encrypt([]byte("text"), bound([]byte("password"), alg), jwe.EncryptOptions{}))
		if p2c, _ := must(jwe.DecodeUnverified(message)).Member("p2c"); string(p2c) != iterations {
			t.Errorf("%s: p2c is %s", alg, p2c)
		}
		accepts(t, string(alg), message, bound([]byte("password"), alg), jwe.DecryptOptions{})
	}
}

func refusedAs(t *testing.T, name string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
}

func TestEncryptOptions(t *testing.T) {
	secret, ec := bound(secret32, jwa.A256KW), must(jwk.Generate(jwa.ECDHES))
	signing := must(jwk.Generate(jwa.ES256))
	for _, row := range []struct {
		name string
		key  *jwk.Key
		o    jwe.EncryptOptions
		want error
	}{
		{"good twin", secret, jwe.EncryptOptions{Header: map[string]any{"x": 1}, Critical: []string{"x"}}, nil},
		{"good twin: parties", ec, jwe.EncryptOptions{PartyU: []byte("Alice"), PartyV: []byte("Bob")}, nil},
		{"no key", nil, jwe.EncryptOptions{}, jwe.ErrKey},
		{"a key for signatures", signing, jwe.EncryptOptions{}, jwe.ErrKey},
		{"another algorithm", secret, jwe.EncryptOptions{Algorithm: jwa.Dir}, jwe.ErrKey},
		{"an algorithm that is none", secret, jwe.EncryptOptions{Algorithm: "none"}, jwe.ErrKey},
		{"RSA1_5", must(jwk.New(rsaMaterial, jwk.Params{})), jwe.EncryptOptions{Algorithm: jwa.RSA15}, jwe.ErrKey},
		{"an encryption that is none", secret, jwe.EncryptOptions{Encryption: "A256CBC"}, jwe.ErrKey},
		{"dir with a key of another size", bound(secret32, jwa.Dir), jwe.EncryptOptions{Encryption: jwa.A128GCM}, jwe.ErrKey},
		{"a member with an option", secret, jwe.EncryptOptions{Header: map[string]any{"zip": "DEF"}}, jwe.ErrOptions},
		{"a member of an algorithm", secret, jwe.EncryptOptions{Header: map[string]any{"p2c": 1}}, jwe.ErrOptions},
		{"a member that is no JSON", secret, jwe.EncryptOptions{Header: map[string]any{"x": make(chan int)}}, jwe.ErrOptions},
		{"an unprotected member with an option", secret, jwe.EncryptOptions{UnprotectedHeader: map[string]any{"alg": "dir"}}, jwe.ErrOptions},
		{"an unprotected member that is protected too", secret, jwe.EncryptOptions{Header: map[string]any{"x": 1}, UnprotectedHeader: map[string]any{"x": 1}}, jwe.ErrOptions},
		{"an unprotected member that is no JSON", secret, jwe.EncryptOptions{UnprotectedHeader: map[string]any{"x": make(chan int)}}, jwe.ErrOptions},
		{"critical and missing", secret, jwe.EncryptOptions{Critical: []string{"x"}}, jwe.ErrOptions},
		{"critical and of the specification", secret, jwe.EncryptOptions{Critical: []string{"alg"}}, jwe.ErrOptions},
		{"critical and empty", secret, jwe.EncryptOptions{Critical: []string{}}, jwe.ErrOptions},
		{"a type of 5 KB", secret, jwe.EncryptOptions{Type: strings.Repeat("x", 5000)}, jwe.ErrOptions},
		{"parties of no agreement", secret, jwe.EncryptOptions{PartyU: []byte("Alice")}, jwe.ErrOptions},
		{"iterations of no password", secret, jwe.EncryptOptions{Iterations: 1000}, jwe.ErrOptions},
		{"too few iterations", bound([]byte("password"), jwa.PBES2HS256A128KW), jwe.EncryptOptions{Iterations: 999}, jwe.ErrOptions},
		{"too many iterations", bound([]byte("password"), jwa.PBES2HS256A128KW), jwe.EncryptOptions{Iterations: 10_000_001}, jwe.ErrOptions},
	} {
		message, err := jwe.Encrypt([]byte("text"), row.key, row.o)
		refusedAs(t, row.name, err, row.want)
		if (message == "") != (row.want != nil) {
			t.Errorf("%s: %q", row.name, message)
		}
	}
}

func TestDecryptOptions(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	for _, row := range []struct {
		name string
		keys jwk.Source
		o    jwe.DecryptOptions
		want error
	}{
		{"good twin", key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.Dir}, Encryptions: []jwa.Encryption{jwa.A256GCM}}, nil},
		{"no keys", nil, jwe.DecryptOptions{}, jwe.ErrOptions},
		{"no algorithm at all", key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{}}, jwe.ErrOptions},
		{"no encryption at all", key, jwe.DecryptOptions{Encryptions: []jwa.Encryption{}}, jwe.ErrOptions},
		{"RSA1_5", key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.RSA15}}, jwe.ErrOptions},
		{"none", key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{"none"}}, jwe.ErrOptions},
		{"an algorithm for signatures", key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.HS256}}, jwe.ErrOptions},
		{"an unknown encryption", key, jwe.DecryptOptions{Encryptions: []jwa.Encryption{"A256CBC"}}, jwe.ErrOptions},
		{"a negative size", key, jwe.DecryptOptions{MaxSize: -1}, jwe.ErrOptions},
		{"a negative number of recipients", key, jwe.DecryptOptions{MaxRecipients: -1}, jwe.ErrOptions},
		{"a negative number of iterations", key, jwe.DecryptOptions{MaxIterations: -1}, jwe.ErrOptions},
		{"a negative length", key, jwe.DecryptOptions{MaxDecompressed: -1}, jwe.ErrOptions},
	} {
		_, err := jwe.Decrypt(background, craft(secret32, dirHeader, "text").compact(), row.keys, row.o)
		refusedAs(t, row.name, err, row.want)
		_, err = jwe.DecryptJSON(background, must(jwe.EncryptJSON(nil, nil, []*jwk.Key{key}, jwe.EncryptOptions{})), row.keys, row.o)
		refusedAs(t, row.name, err, row.want)
	}
	var nobody *jwk.Key
	refuses(t, "a nil key", craft(secret32, dirHeader, "text").compact(), nobody, jwe.DecryptOptions{}, jwe.ErrKey)
}

func TestSources(t *testing.T) {
	named := must(jwk.New(secret32, jwk.Params{ID: "1", Algorithm: jwa.A256KW}))
	message := must(jwe.Encrypt([]byte("text"), named, jwe.EncryptOptions{}))
	other := must(jwk.New(randomBytes(32), jwk.Params{ID: "2"}))
	set := must(jwk.NewSet(other, named))
	if m := accepts(t, "by name", message, set, jwe.DecryptOptions{}); m.Key != named {
		t.Errorf("with %v", m.Key)
	}
	refuses(t, "another name", message, other, jwe.DecryptOptions{}, jwe.ErrKey)
	answer := func(keys []*jwk.Key, err error) jwk.Source {
		return jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return keys, err })
	}
	refuses(t, "nothing found", message, answer(nil, nil), jwe.DecryptOptions{}, jwe.ErrKey)
	refuses(t, "only nil found", message, answer([]*jwk.Key{nil}, nil), jwe.DecryptOptions{}, jwe.ErrKey)
	refuses(t, "nil found", message, answer([]*jwk.Key{nil, other}, nil), jwe.DecryptOptions{}, jwe.ErrDecryption)
	accepts(t, "nil found too", message, answer([]*jwk.Key{nil, other, named}, nil), jwe.DecryptOptions{})
	refuses(t, "out of reach", message, answer(nil, jwk.ErrUnavailable), jwe.DecryptOptions{}, jwk.ErrUnavailable)
	_, err := jwe.Decrypt(background, message, answer(nil, jwk.ErrUnavailable), jwe.DecryptOptions{})
	for _, not := range []error{jwe.ErrKey, jwe.ErrDecryption, jwe.ErrMalformed, jwe.ErrAlgorithm} {
		if errors.Is(err, not) { // who is told so must not take the message for bad
			t.Errorf("out of reach is %v", not)
		}
	}
	many := make([]*jwk.Key, 17)
	for i := range many {
		many[i] = bound(randomBytes(32), jwa.A256KW)
	}
	refuses(t, "17 keys", message, answer(many, nil), jwe.DecryptOptions{}, jwe.ErrTooCostly)
	many[15] = named
	accepts(t, "good twin: 16 keys", message, answer(many[:16], nil), jwe.DecryptOptions{})
}

func TestGroup(t *testing.T) {
	keys := []*jwk.Key{
		must(jwk.New(rsaMaterial, jwk.Params{ID: "rsa"})), must(jwk.New(ecMaterial, jwk.Params{ID: "ec"})), must(jwk.New(xMaterial, jwk.Params{ID: "x"})),
		must(jwk.New(secret32, jwk.Params{ID: "kw"})), must(jwk.New(secret32[:16], jwk.Params{ID: "gcm", Algorithm: jwa.A128GCMKW})),
		must(jwk.New([]byte("password"), jwk.Params{ID: "password", Algorithm: jwa.PBES2HS256A128KW})),
	}
	o := jwe.EncryptOptions{
		Encryption: jwa.A128CBCHS256, Iterations: 1000, PartyU: []byte("Alice"), Compress: true, ContentType: "text/plain",
		UnprotectedHeader: map[string]any{"jku": "https://example.com/keys"},
	}
	message := must(jwe.EncryptJSON([]byte("text"), []byte("data"), keys, o))
	options := jwe.DecryptOptions{UnprotectedHeader: true, MaxRecipients: len(keys), Decompress: true}
	for i, key := range keys {
		m, err := jwe.DecryptJSON(background, message, key, options)
		if err != nil || string(m.Plaintext) != "text" || string(m.AdditionalData) != "data" || m.Recipient != i || m.Key != key || m.Header.KeyID != key.ID() {
			t.Errorf("%v: %q, recipient %d, %v", key, m.Plaintext, m.Recipient, err)
		}
		if jku, _ := m.Header.UnprotectedMember("jku"); string(jku) != `"https://example.com/keys"` {
			t.Errorf("%v: jku is %s", key, jku)
		}
	}
	// What one of the others was sent is not ours to understand.
	for name, epk := range map[string]string{"on X448": `{"kty":"OKP","crv":"X448","x":"AAAA"}`, "that is none": `{}`} {
		odd := must(withHeader(message, 1, "epk", epk))
		if m, err := jwe.DecryptJSON(background, odd, keys[3], options); err != nil || string(m.Plaintext) != "text" || m.Recipient != 3 {
			t.Errorf("beside an epk %s: %q, recipient %d, %v", name, m.Plaintext, m.Recipient, err)
		}
		refusesJSON(t, "an epk "+name, odd, keys[1], options, jwe.ErrMalformed)
	}
	stranger := must(jwk.New(randomBytes(32), jwk.Params{ID: "kw"}))
	refusesJSON(t, "another key of the name", message, stranger, options, jwe.ErrDecryption)
	refusesJSON(t, "a stranger", message, must(jwk.New(randomBytes(32), jwk.Params{ID: "stranger"})), options, jwe.ErrKey)
	for name, test := range map[string]struct {
		keys []*jwk.Key
		o    jwe.EncryptOptions
		want error
	}{
		"nobody":                       {nil, jwe.EncryptOptions{}, jwe.ErrOptions},
		"101 keys":                     {make([]*jwk.Key, 101), jwe.EncryptOptions{}, jwe.ErrOptions},
		"a nil key":                    {[]*jwk.Key{keys[0], nil}, jwe.EncryptOptions{}, jwe.ErrKey},
		"RFC 7516 §5.1: direct":        {[]*jwk.Key{keys[0], bound(secret32, jwa.Dir)}, jwe.EncryptOptions{}, jwe.ErrKey},
		"RFC 7516 §5.1: ECDH-ES":       {keys[1:3], jwe.EncryptOptions{Algorithm: jwa.ECDHES}, jwe.ErrOptions},
		"an algorithm that one has":    {keys[:2], jwe.EncryptOptions{Algorithm: jwa.RSAOAEP}, jwe.ErrKey},
		"a single key and its options": {keys[:1], jwe.EncryptOptions{PartyU: []byte("Alice")}, jwe.ErrOptions},
	} {
		_, err := jwe.EncryptJSON([]byte("text"), nil, test.keys, test.o)
		refusedAs(t, name, err, test.want)
	}
	group := must(jwe.NewGroupEncrypter(keys[:2], jwe.EncryptOptions{}))
	if _, err := group.Encrypt([]byte("text")); !errors.Is(err, jwe.ErrOptions) {
		t.Errorf("compact to two keys: %v", err)
	}
	shared := must(jwe.NewEncrypter(keys[0], jwe.EncryptOptions{UnprotectedHeader: map[string]any{"x": 1}}))
	if _, err := shared.Encrypt([]byte("text")); !errors.Is(err, jwe.ErrOptions) {
		t.Errorf("compact with an unprotected header: %v", err)
	}
}

// withHeader replaces a member of a recipient's header.
func withHeader(message []byte, recipient int, name, value string) ([]byte, error) {
	var m map[string]json.RawMessage
	var recipients []struct {
		Header map[string]json.RawMessage `json:"header"`
		Key    string                     `json:"encrypted_key"`
	}
	if err := errors.Join(json.Unmarshal(message, &m), json.Unmarshal(m["recipients"], &recipients)); err != nil {
		return nil, err
	}
	recipients[recipient].Header[name] = json.RawMessage(value)
	var err error
	if m["recipients"], err = json.Marshal(recipients); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

func TestCompression(t *testing.T) {
	key, text := bound(secret32, jwa.Dir), bytes.Repeat([]byte("text "), 1000)
	message := must(jwe.Encrypt(text, key, jwe.EncryptOptions{Compress: true}))
	if len(message) > 500 {
		t.Errorf("%d bytes", len(message))
	}
	m := accepts(t, "asked for", message, key, jwe.DecryptOptions{Decompress: true})
	if !bytes.Equal(m.Plaintext, text) || m.Header.Compression != "DEF" {
		t.Errorf("%q", m.Header.Compression)
	}
}

// Who the two sides are stands in the header; that it goes into the derived key
// too is what RFC 7518 appendix C tests.
func TestParties(t *testing.T) {
	key := must(jwk.Generate(jwa.ECDHESA256KW))
	message := must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{PartyU: []byte("Alice"), PartyV: []byte("Bob")}))
	m := accepts(t, "good twin", message, key, jwe.DecryptOptions{})
	for name, want := range map[string]string{"apu": `"QWxpY2U"`, "apv": `"Qm9i"`} {
		if member, _ := m.Header.Member(name); string(member) != want {
			t.Errorf("%s is %s", name, member)
		}
	}
}

func TestHeaderMarshal(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	m := accepts(t, "good twin", craft(secret32, dirHeader, "text").compact(), key, jwe.DecryptOptions{})
	if text := must(json.Marshal(m.Header)); string(text) != dirHeader {
		t.Errorf("%s", text)
	}
	if text := must(json.Marshal(jwe.Header{})); string(text) != "{}" {
		t.Errorf("%s", text)
	}
	if _, err := jwe.DecodeUnverified("a.b.c"); !errors.Is(err, jwe.ErrMalformed) {
		t.Error(err)
	}
	if _, err := jwe.DecodeUnverified(strings.Repeat("x", 70_000)); !errors.Is(err, jwe.ErrTooLong) {
		t.Error(err)
	}
}

// One encrypter and one decrypter, many at once.
func TestConcurrency(t *testing.T) {
	for _, f := range floors(t) {
		e, d := must(jwe.NewEncrypter(f.key, f.options())), must(jwe.NewDecrypter(f.key, jwe.DecryptOptions{}))
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range 10 {
					text := bytes.Repeat([]byte{byte(i)}, 100*i)
					if m, err := d.Decrypt(background, must(e.Encrypt(text))); err != nil || !bytes.Equal(m.Plaintext, text) {
						t.Errorf("%s: %v", f.name, err)
					}
					if m, err := d.DecryptJSON(background, must(e.EncryptJSON(text, nil))); err != nil || !bytes.Equal(m.Plaintext, text) {
						t.Errorf("%s: %v", f.name, err)
					}
				}
			})
		}
		group.Wait()
	}
}
