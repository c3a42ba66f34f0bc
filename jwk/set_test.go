package jwk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func TestParseSetVectors(t *testing.T) {
	for _, row := range []struct {
		file          string
		keys, skipped int
	}{
		{"rfc7517_A.1.jwkset", 2, 0},
		{"rfc7517_A.2.jwkset", 2, 0},
		{"rfc7517_A.3.jwkset", 2, 0},
	} {
		s, err := jwk.ParseSet(vector(t, row.file))
		if err != nil || s.Len() != row.keys || len(s.Skipped()) != row.skipped {
			t.Errorf("%s: %v, %v, %v", row.file, s, s.Skipped(), err)
		}
	}
}

func publicText(alg jwa.Algorithm) string {
	return string(must(generated()[alg].MarshalJSON()))
}

// withMember puts a member in front of a key's own.
func withMember(key, member string) string { return "{" + member + "," + key[1:] }

// J40: RFC 7517 §5; a bad key takes nothing but itself away.
func attackBadKey(t *testing.T) {
	good := publicText(jwa.ES256)
	id := generated()[jwa.ES256].ID()
	for _, row := range []struct {
		name, bad string
		why       error
	}{
		{"RFC 7517 §5: unknown kty", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","kid":"bad"}`, jwk.ErrUnsupported},
		{"RFC 7517 §5: unknown curve", `{"kty":"OKP","crv":"Ed448","x":"AA","kid":"bad"}`, jwk.ErrUnsupported},
		{"unknown alg", `{"kty":"RSA","alg":"RSA1_5","use":"enc","n":"` + modulus(2048) + `","e":"AQAB","kid":"bad"}`, jwk.ErrUnsupported},
		{"weak RSA", `{"kty":"RSA","n":"` + modulus(1024) + `","e":"AQAB","kid":"bad"}`, jwk.ErrWeak},
		{"RFC 7517 §5: missing member", `{"kty":"RSA","e":"AQAB","kid":"bad"}`, jwk.ErrInvalid},
		{"empty secret", `{"kty":"oct","k":"","kid":"bad"}`, jwk.ErrWeak},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := jwk.ParseSet([]byte(`{"keys":[` + row.bad + `,` + good + `],"more":1}`))
			if err != nil || s.Len() != 1 || len(s.Skipped()) != 1 {
				t.Fatal(s, err)
			}
			if skip := s.Skipped()[0]; skip.Index != 0 || skip.ID != "bad" || !errors.Is(skip.Err, row.why) {
				t.Errorf("skipped %+v", skip)
			}
			keys, err := s.Find(context.Background(), id)
			accepted(t, "good twin beside it", len(keys) == 1, err)
			// Why a key is not there is said when somebody asks for it.
			keys, err = s.Find(context.Background(), "bad")
			refused(t, row.name, keys == nil && errors.Is(err, row.why), err, jwk.ErrNotFound)
		})
	}
}

// J40: RFC 7517 §4.5; keys that conflict spoil the set.
func attackConflicts(t *testing.T) {
	es, rs := publicText(jwa.ES256), publicText(jwa.RS256)
	secret := string(must(generated()[jwa.HS256].MarshalPrivateJSON()))
	s, err := jwk.ParseSet([]byte(`{"keys":[` + es + `,` + rs + `]}`))
	accepted(t, "good twin", err == nil && s.Len() == 2, err)
	for _, row := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", jwk.ErrInvalid},
		{"a key", es, jwk.ErrInvalid},
		{"keys no list", `{"keys":{}}`, jwk.ErrInvalid},
		{"keys null", `{"keys":null}`, jwk.ErrInvalid},
		{"keys twice", `{"keys":[],"keys":[]}`, jwk.ErrInvalid},
		{"Keys", `{"Keys":[` + es + `]}`, jwk.ErrInvalid},
		{"trailing data", `{"keys":[]}{}`, jwk.ErrInvalid},
		{"a member of a key twice", `{"keys":[` + withMember(es, `"kty":"EC"`) + `]}`, jwk.ErrInvalid},
		{"RFC 7517 §4.5: the same kid twice", `{"keys":[` + es + `,` + es + `]}`, jwk.ErrConflict},
		{"the kid of a broken key", `{"keys":[` + es + `,{"kty":"RSA","kid":"` + generated()[jwa.ES256].ID() + `"}]}`, jwk.ErrConflict},
		{"a secret among public keys", `{"keys":[` + es + `,` + secret + `]}`, jwk.ErrConflict},
		{"129 keys", `{"keys":[` + strings.Repeat("{},", 128) + `{}]}`, jwk.ErrInvalid},
		{"a million keys", `{"keys":[` + strings.Repeat("0,", 400_000) + `0]}`, jwk.ErrInvalid},
		{"2 MB", strings.Repeat(" ", 2<<20) + `{"keys":[]}`, jwk.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := jwk.ParseSet([]byte(row.text))
			refused(t, row.name, s == nil, err, row.want)
		})
	}
}

// RFC 7517 §4.5: an equivalent of another kind may have the same kid.
func TestSameKidOfUnknownKind(t *testing.T) {
	id := generated()[jwa.ES256].ID()
	s, err := jwk.ParseSet([]byte(`{"keys":[{"kty":"AKP","kid":"` + id + `"},` + publicText(jwa.ES256) + `]}`))
	if err != nil || s.Len() != 1 {
		t.Error(s, err)
	}
}

func TestNewSet(t *testing.T) {
	es, rs, hs := generated()[jwa.ES256], generated()[jwa.RS256], generated()[jwa.HS256]
	if s, err := jwk.NewSet(es, rs); err != nil || s.Len() != 2 || !equal(s.All(), []*jwk.Key{es, rs}) {
		t.Error(s, err)
	}
	for name, keys := range map[string][]*jwk.Key{
		"twice": {es, rs, es}, "two halves of one": {es, must(es.Public())}, "mixed": {es, hs}, "mixed the other way": {hs, es},
	} {
		if s, err := jwk.NewSet(keys...); !errors.Is(err, jwk.ErrConflict) || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := jwk.NewSet(es, nil); !errors.Is(err, jwk.ErrInvalid) {
		t.Error(err)
	}
}

func TestSetFind(t *testing.T) {
	ctx := context.Background()
	es, rs := generated()[jwa.ES256], generated()[jwa.RS256]
	unnamed := must(jwk.New(generated()[jwa.ES384].PublicKey(), jwk.Params{}))
	named, mixed, none := must(jwk.NewSet(es, rs)), must(jwk.NewSet(es, unnamed, rs)), must(jwk.NewSet())
	for _, row := range []struct {
		name string
		set  *jwk.Set
		kid  string
		want []*jwk.Key
	}{
		{"by name", named, rs.ID(), []*jwk.Key{rs}},
		{"no name: all", named, "", []*jwk.Key{es, rs}},
		{"unknown name", named, "x", nil},
		{"by name beside an unnamed one", mixed, rs.ID(), []*jwk.Key{rs}},
		{"unknown name beside an unnamed one", mixed, "x", []*jwk.Key{unnamed}},
		{"empty set", none, "", nil},
		{"empty set by name", none, "x", nil},
		{"nil set", nil, "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys, err := row.set.Find(ctx, row.kid)
			if !equal(keys, row.want) || (err != nil) != (row.want == nil) || err != nil && !errors.Is(err, jwk.ErrNotFound) {
				t.Errorf("got %v, %v", keys, err)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestSetMarshal(t *testing.T) {
	s := must(jwk.NewSet(generated()[jwa.ES256], generated()[jwa.RS256]))
	published := must(json.Marshal(s))
	if strings.Contains(string(published), `"d"`) {
		t.Error("a private half is published")
	}
	again := must(jwk.ParseSet(published))
	if again.Len() != 2 || again.All()[0].Private() || fmt.Sprint(again) != strings.ReplaceAll(fmt.Sprint(s), "private key [redacted]", "public key") {
		t.Error(again)
	}
	if empty := must(json.Marshal(must(jwk.NewSet()))); string(empty) != `{"keys":[]}` {
		t.Errorf("%s", empty)
	}
	if _, err := json.Marshal(must(jwk.NewSet(generated()[jwa.HS256]))); !errors.Is(err, jwk.ErrPrivate) {
		t.Error("a secret is published:", err)
	}
}

func FuzzParseSet(f *testing.F) {
	for _, name := range []string{"rfc7517_A.1.jwkset", "rfc7517_A.2.jwkset", "rfc7517_A.3.jwkset"} {
		f.Add(vector(f, name))
	}
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := jwk.ParseSet(data)
		if err != nil {
			return
		}
		for _, k := range s.All() {
			roundTrip(t, k)
		}
		for _, skip := range s.Skipped() {
			if skip.Err == nil {
				t.Fatal("skipped without a reason")
			}
		}
	})
}
