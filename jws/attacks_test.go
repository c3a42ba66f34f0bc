package jws_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// attacks are the known ones that concern this package, under their numbers in the
// catalogue; the packages jwk, jwe and jwt have the others. That none is missing is
// tested in package jwt.
var attacks = []struct {
	name string
	try  func(t *testing.T)
}{
	{"J1 alg none: in every spelling, without and with a signature; no alg at all", attackNone},
	{"J2 key confusion: the public key as HMAC secret", attackConfusion},
	{"J3 key confusion: an RSA key without alg, and an empty HMAC secret", attackEmptySecret},
	{"J5 weak HMAC secrets", attackWeakSecrets},
	{"J6 no signature: empty, blank, zeros, the dot missing", attackNoSignature},
	{"J7 signature not checked: a bit changed in the payload, and in the signature", attackChanged},
	{"J8 embedded key: jwk in the header", attackEmbeddedKey},
	{"J9 addresses in the header: jku and x5u are not fetched", attackAddresses},
	{"J10 embedded certificate: x5c in the header", attackCertificate},
	{"J11 kid as path, SQL, command, address; 1 MB; no text", attackKeyID},
	{"J12 psychic signature: r=s=0, and all that is out of 1 to n-1", attackPsychic},
	{"J13 ECDSA signatures in DER, and of another length", attackDER},
	{"J14 ECDSA malleability: n-s verifies too, and makes another text", attackMalleability},
	{"J15 every key with the alg of every other", attackCurves},
	{"J16 crit: unknown, empty, registered, missing", attackCritical},
	{"J16 crit: in the unprotected header", attackUnprotectedCritical},
	{"J17 b64 without crit, unasked, with dots, unprotected", attackUnencoded},
	{"J18 duplicate members of the header", attackHeaderMembers},
	{"J19 JSON where compact is expected", attackSerializations},
	{"J19 polyglots: compact in JSON, both forms at once, no signatures", attackPolyglots},
	{"J30 50 MB of dots", attackDots},
	{"J32 odd messages in JSON: no protected header, null, lists", attackOddJSON},
	{"J38 lenient base64url", attackBase64URL},
	{"J39 the header is not strict JSON", attackHeaderJSON},
	{"J40 a set with keys for something else", attackMixedSet},
	{"J46 a hundred signatures, one of them good", attackManySignatures},
	{"J47 a detached payload, and one that is there too", attackDetached},
	{"J48 alg in the unprotected header", attackUnprotected},
}

// tally counts what was refused and what was accepted: an attack without its good twin
// proves nothing.
var tally struct{ refused, accepted int }

func TestAttacks(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			before := tally
			attack.try(t)
			if tally.refused == before.refused || tally.accepted == before.accepted {
				t.Errorf("%d were refused and %d good twins accepted", tally.refused-before.refused, tally.accepted-before.accepted)
			}
		})
	}
}

// key returns a generated key for an algorithm, the same one each time.
func key(alg jwa.Algorithm) *jwk.Key { return generated()[alg] }

var generated = sync.OnceValue(func() map[jwa.Algorithm]*jwk.Key {
	keys := map[jwa.Algorithm]*jwk.Key{}
	for _, row := range jwa.Signatures() {
		keys[row.Name] = must(jwk.Generate(row.Name))
	}
	return keys
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// forge signs any header and payload with a key's own algorithm, whatever the
// header says: what an attacker who has a key can make.
func forge(k *jwk.Key, header, payload string) string {
	return forgeRaw(k, b64(header), b64(payload))
}

func forgeRaw(k *jwk.Key, header, payload string) string {
	signed := header + "." + payload
	return signed + "." + base64.RawURLEncoding.EncodeToString(must(k.AppendSignature(nil, "", []byte(signed))))
}

func accepts(t *testing.T, what, token string, source jwk.Source, o jws.VerifyOptions) {
	t.Helper()
	_, err := jws.Verify(ctx, token, source, o)
	accepted(t, what, err)
}

func accepted(t *testing.T, what string, err error) {
	t.Helper()
	tally.accepted++
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func refuses(t *testing.T, what, token string, source jwk.Source, o jws.VerifyOptions, want error) {
	t.Helper()
	m, err := jws.Verify(ctx, token, source, o)
	refused(t, what, m, err, want)
}

func refused(t *testing.T, what string, m jws.Message, err, want error) {
	t.Helper()
	tally.refused++
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if m.Payload != nil || m.Key != nil || m.Header.Algorithm != "" || m.Signature != "" || m.Unprotected != nil {
		t.Errorf("%s: something was returned: %+v", what, m)
	}
}

// A token that names no key costs a bounded number of verifications.
func TestManyCandidates(t *testing.T) {
	var keys []*jwk.Key
	for i := range 17 {
		keys = append(keys, must(jwk.New(bytes.Repeat([]byte{byte(i)}, 32), jwk.Params{ID: fmt.Sprint(i)})))
	}
	last := keys[15]
	accepts(t, "16 keys", forge(last, `{"alg":"HS256"}`, "x"), must(jwk.NewSet(keys[:16]...)), jws.VerifyOptions{})
	refuses(t, "17 keys", forge(last, `{"alg":"HS256"}`, "x"), must(jwk.NewSet(keys...)), jws.VerifyOptions{}, jws.ErrKey)
	accepts(t, "17 keys by name", forge(last, `{"alg":"HS256","kid":"15"}`, "x"), must(jwk.NewSet(keys...)), jws.VerifyOptions{})
}

// Errors of a source: what it does not know is the token's fault, what it cannot
// tell is not.
func TestSourceErrors(t *testing.T) {
	token := forge(key(jwa.HS256), `{"alg":"HS256"}`, "x")
	source := func(keys []*jwk.Key, err error) jwk.Source {
		return jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return keys, err })
	}
	refuses(t, "not found", token, source(nil, jwk.ErrNotFound), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nothing", token, source(nil, nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil key", token, source([]*jwk.Key{nil}, nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil *Key", token, (*jwk.Key)(nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil *Set", token, (*jwk.Set)(nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil", token, nil, jws.VerifyOptions{}, jws.ErrOptions)
	refuses(t, "unavailable", token, source(nil, jwk.ErrUnavailable), jws.VerifyOptions{}, jwk.ErrUnavailable)
	accepts(t, "a nil key beside a good one", token, source([]*jwk.Key{nil, key(jwa.HS256)}, nil), jws.VerifyOptions{})
	if _, err := jws.Verify(ctx, token, source(nil, jwk.ErrUnavailable), jws.VerifyOptions{}); errors.Is(err, jws.ErrKey) {
		t.Error("an outage is blamed on the token")
	}
}

// Neither a bad signature nor a bad form is looked at for long.
func TestRefusalIsQuick(t *testing.T) {
	hs := key(jwa.HS256)
	start := time.Now()
	for range 100 {
		refuses(t, "members", forge(hs, `{"alg":"HS256"`+strings.Repeat(`,"x":1`, 7000)+`}`, ""), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("100 refusals took %v", took)
	}
}
