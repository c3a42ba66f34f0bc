package jwk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// attacks are the known ones that concern this package, under their numbers in the
// catalogue; the packages jws, jwe and jwt have the others. That none is missing is
// tested in package jwt.
var attacks = []struct {
	name string
	try  func(t *testing.T)
}{
	{"J4 empty HMAC key: no bytes, k empty, k missing", attackEmptySecret},
	{"J11 kid is compared, and nothing else", attackKeyID},
	{"J40 one bad key in a set", attackBadKey},
	{"J40 keys that conflict: the same kid, a secret among public keys", attackConflicts},
	{"J41 weak keys: short, e=1, even e, ROCA, P-192, a huge modulus", attackWeakKeys},
	{"J42 a private key printed, logged, published, in an error", attackRedaction},
	{"J44 a flood of unknown kid", attackFlood},
	{"J45 comparisons in constant time", attackTiming},
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

func accepted(t *testing.T, what string, ok bool, err error) {
	t.Helper()
	tally.accepted++
	if !ok || err != nil {
		t.Errorf("%s: refused: %v", what, err)
	}
}

func refused(t *testing.T, what string, nothing bool, err, want error) {
	t.Helper()
	tally.refused++
	if !nothing || !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v; nothing was returned: %v", what, err, want, nothing)
	}
}

// J4: RFC 8725 §3.5; whoever knows nothing knows the empty secret.
func attackEmptySecret(t *testing.T) {
	k, err := jwk.New(bytes.Repeat([]byte("k"), 32), jwk.Params{})
	accepted(t, "good twin", k != nil && k.Does(jwa.HS256), err)
	for _, secret := range [][]byte{nil, {}} {
		for name, p := range map[string]jwk.Params{"": {}, " bound": {Algorithm: jwa.HS256}, " InsecureSize": {InsecureSize: true}} {
			k, err := jwk.New(secret, p)
			refused(t, fmt.Sprintf("%v%s", secret, name), k == nil, err, jwk.ErrWeak)
		}
	}
	k, err = jwk.Parse([]byte(`{"kty":"oct","k":"` + zeros(32) + `"}`))
	accepted(t, "good twin as a JWK", k != nil && k.Does(jwa.HS256), err)
	for text, want := range map[string]error{
		`{"kty":"oct","k":""}`: jwk.ErrWeak, `{"kty":"oct","k":"","alg":"HS256"}`: jwk.ErrWeak,
		`{"kty":"oct"}`: jwk.ErrInvalid, `{"kty":"oct","k":null}`: jwk.ErrInvalid, `{"kty":"oct","alg":"HS256"}`: jwk.ErrInvalid,
	} {
		k, err := jwk.Parse([]byte(text))
		refused(t, text, k == nil, err, want)
		s, err := jwk.ParseSet([]byte(`{"keys":[` + text + `]}`))
		if err != nil || s.Len() != 0 || len(s.Skipped()) != 1 {
			t.Errorf("%s in a set: %v, %v", text, s, err)
		}
	}
	// What a setting holds that was left out.
	k, err = jwk.ParsePEMOrSecret(nil, jwk.Params{})
	refused(t, "a setting", k == nil, err, jwk.ErrWeak)
	var none *jwk.Key
	if keys, err := none.Find(context.Background(), ""); err == nil || keys != nil {
		t.Error("a key that is nil finds", keys)
	}
}

// J11: RFC 8725 §3.10; what came in a token opens no file and asks no server.
func attackKeyID(t *testing.T) {
	ctx, es := context.Background(), generated()[jwa.ES256]
	named := must(jwk.NewSet(es, generated()[jwa.RS256]))
	keys, err := named.Find(ctx, es.ID())
	accepted(t, "good twin", equal(keys, []*jwk.Key{es}), err)
	for name, kid := range map[string]string{
		"a path": "../../dev/null", "SQL": "' UNION SELECT 'k", "a command": "|sleep 5", "LDAP": "*)(uid=*", "an address": "http://127.0.0.1:1/", "NUL": es.ID() + "\x00",
		"a prefix": es.ID()[:20], "another case": strings.ToUpper(es.ID()), "1 MB": strings.Repeat("k", 1<<20),
	} {
		keys, err := named.Find(ctx, kid)
		refused(t, name, keys == nil, err, jwk.ErrNotFound)
		if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// J41: RFC 7518 §3.3, §3.5; CVE-2017-15361.
func attackWeakKeys(t *testing.T) {
	// The modulus of a smart card that had the fault, as Wycheproof has it.
	const roca = "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r11CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOwz6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE"
	rsa := func(n, e string) []byte { return fmt.Appendf(nil, `{"kty":"RSA","n":%q,"e":%q}`, n, e) }
	good := members(t, "rfc7520_3.3.jwk")["n"].(string)
	k, err := jwk.Parse(rsa(good, "AQAB"))
	accepted(t, "good twin", k != nil, err)
	k, err = jwk.Parse(rsa(modulus(8192), "AQAB"))
	accepted(t, "good twin of 8192 bits", k != nil, err)
	even := new(big.Int).Lsh(big.NewInt(3), 2046)
	for name, row := range map[string]struct {
		key  []byte
		want error
	}{
		"512 bits": {rsa(modulus(512), "AQAB"), jwk.ErrWeak}, "1024 bits": {rsa(modulus(1024), "AQAB"), jwk.ErrWeak}, "2047 bits": {rsa(modulus(2047), "AQAB"), jwk.ErrWeak},
		"e=1": {rsa(good, "AQ"), jwk.ErrWeak}, "e=2": {rsa(good, "Ag"), jwk.ErrWeak}, "e=65536": {rsa(good, "AQAA"), jwk.ErrWeak}, "e=0": {rsa(good, "AA"), jwk.ErrInvalid},
		"an even modulus": {rsa(encodeInt(even), "AQAB"), jwk.ErrInvalid}, "ROCA": {rsa(roca, "AQAB"), jwk.ErrWeak},
		"P-192":      {[]byte(`{"kty":"EC","crv":"P-192","x":"` + zeros(24) + `","y":"` + zeros(24) + `"}`), jwk.ErrUnsupported},
		"P-224":      {[]byte(`{"kty":"EC","crv":"P-224","x":"` + zeros(28) + `","y":"` + zeros(28) + `"}`), jwk.ErrUnsupported},
		"8193 bits":  {rsa(modulus(8193), "AQAB"), jwk.ErrUnsupported},
		"16384 bits": {rsa(modulus(16384), "AQAB"), jwk.ErrUnsupported},
	} {
		k, err := jwk.Parse(row.key)
		refused(t, name, k == nil, err, row.want)
	}
	// A modulus that is huge costs no more than reading it; the fastest of three counts.
	huge, took := members(t, "rfc7520_3.4.jwk"), time.Hour
	huge["n"] = modulus(100_000)
	for range 3 {
		start := time.Now()
		k, err := jwk.Parse(text(t, huge))
		took = min(took, time.Since(start))
		refused(t, "100,000 bits", k == nil, err, jwk.ErrUnsupported)
	}
	if took > 100*time.Millisecond {
		t.Errorf("100,000 bits took %v", took)
	}
}

// J42: no way of printing a key shows its private half, and no error does.
func attackRedaction(t *testing.T) {
	for alg, k := range generated() {
		whole := must(k.MarshalPrivateJSON())
		var m map[string]any
		if err := json.Unmarshal(whole, &m); err != nil {
			t.Fatal(err)
		}
		again, err := jwk.Parse(whole)
		accepted(t, "good twin: asked for by name", again != nil && again.Private(), err)
		tally.refused++
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, k)
			fmt.Fprintf(&out, verb, []any{k, struct{ K *jwk.Key }{k}})
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k, "list", []*jwk.Key{})
		if public, err := json.Marshal(k); err == nil {
			out.Write(public)
		} else if !k.Symmetric() || !errors.Is(err, jwk.ErrPrivate) {
			t.Error(err)
		}
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if secret, ok := m[name].(string); ok && strings.Contains(out.String(), secret[:8]) {
				t.Errorf("%s: %s is shown", alg, name)
			}
		}
		if k.Symmetric() && strings.Contains(out.String(), `"k"`) || strings.Contains(out.String(), "(0x") {
			t.Errorf("%s: %s", alg, out.String())
		}
	}
	for file, name := range map[string]string{"rfc7520_3.2.jwk": "d", "rfc7520_3.4.jwk": "p", "rfc7520_3.5.jwk": "k"} {
		m := members(t, file)
		secret := m[name].(string)
		m[name] = secret + "!"
		k, err := jwk.Parse(text(t, m))
		refused(t, file, k == nil && !strings.Contains(fmt.Sprint(err), secret[:8]), err, jwk.ErrInvalid)
	}
	public, err := jwk.Parse(vector(t, "rfc7520_3.1.jwk"))
	accepted(t, "good twin: a public key", public != nil, err)
	_, err = public.MarshalPrivateJSON()
	refused(t, "the private half of a public key", true, err, jwk.ErrPrivate)
}

// inTheOpen are the places of the library that compare bytes or lists as they like, for
// nobody gains by the time that takes.
var inTheOpen = map[string]string{
	"jwk/exchange.go: slices.Equal": "the public half of a key against what its owner says it is",
	"jwk/pkcs8.go: bytes.Equal":     "the padding of our own file, which nobody sends us over and over",
	"jwt/fields.go: slices.Equal":   "the places of fields in a struct",
	"jwt/nested.go: slices.Equal":   "audiences, after the signature",
}

// J45: RFC 7518 §3.2; a MAC or a tag is compared in constant time. The time itself says
// nothing on a busy machine, so the source is read: whatever else compares bytes has its
// reason above.
func attackTiming(t *testing.T) {
	k := generated()[jwa.HS256]
	mac := must(k.AppendSignature(nil, jwa.HS256, []byte("x")))
	accepted(t, "good twin", true, k.Verify(jwa.HS256, []byte("x"), mac))
	for i := range mac {
		bad := bytes.Clone(mac)
		bad[i] ^= 0x80
		refused(t, fmt.Sprint("byte ", i), true, k.Verify(jwa.HS256, []byte("x"), bad), jwk.ErrSignature)
	}
	constant, open := map[string]bool{}, map[string]bool{}
	for _, pattern := range []string{"../jw?/*.go", "../internal/strictjson/*.go"} {
		for _, file := range must(filepath.Glob(pattern)) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			ast.Inspect(must(parser.ParseFile(token.NewFileSet(), file, nil, 0)), func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				owner, _ := call.X.(*ast.Ident)
				if owner == nil {
					return true
				}
				where := strings.TrimPrefix(filepath.ToSlash(file), "../") + ": " + owner.Name + "." + call.Sel.Name
				switch owner.Name + "." + call.Sel.Name {
				case "hmac.Equal", "subtle.ConstantTimeCompare":
					constant[where] = true
				case "bytes.Equal", "bytes.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual", "bytes.HasPrefix":
					open[where] = true
				}
				return true
			})
		}
	}
	for where := range open {
		if inTheOpen[where] == "" {
			t.Errorf("%s: in constant time, or with a reason", where)
		}
	}
	for where := range inTheOpen {
		if !open[where] {
			t.Errorf("%s is not there any more", where)
		}
	}
	for _, where := range []string{"jwk/mac.go: hmac.Equal", "jwe/content.go: subtle.ConstantTimeCompare", "jwe/keywrap.go: subtle.ConstantTimeCompare"} {
		if !constant[where] {
			t.Errorf("%s is missing", where)
		}
	}
}
