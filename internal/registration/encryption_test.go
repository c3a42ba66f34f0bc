package registration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func publicSet(t *testing.T, keys ...*jwk.Key) json.RawMessage {
	t.Helper()
	set, err := jwk.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestClientAnswers: OpenID Connect Dynamic Client Registration §2, what belongs
// together, and the allow-lists.
func TestClientAnswers(t *testing.T) {
	key, err := jwk.Generate(jwa.ECDHES)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := jwk.Generate(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	good, wrong := publicSet(t, key), publicSet(t, signing)
	for _, row := range []struct {
		name    string
		s       model.ClientSettings
		setting string // empty: accepted
	}{
		{"nothing", model.ClientSettings{}, ""},
		{"every algorithm of ours", model.ClientSettings{IDTokenAlgorithm: "PS256", UserInfoAlgorithm: "EdDSA"}, ""},
		{"ID tokens by none", model.ClientSettings{IDTokenAlgorithm: "none"}, "id_token_signed_response_alg"},
		{"ID tokens by a secret", model.ClientSettings{IDTokenAlgorithm: "HS256"}, "id_token_signed_response_alg"},
		{"userinfo by none", model.ClientSettings{UserInfoAlgorithm: "none"}, "userinfo_signed_response_alg"},
		{"encrypted ID tokens", model.ClientSettings{IDTokenEncryption: "ECDH-ES", IDTokenContent: "A128GCM", JWKS: good}, ""},
		{"the default content encryption", model.ClientSettings{IDTokenEncryption: "ECDH-ES", JWKS: good}, ""},
		{"enc without alg", model.ClientSettings{IDTokenContent: "A128GCM", JWKS: good}, "id_token_encrypted_response_enc"},
		{"userinfo: enc without alg", model.ClientSettings{UserInfoContent: "A128GCM", JWKS: good}, "userinfo_encrypted_response_enc"},
		{"alg without keys", model.ClientSettings{UserInfoEncryption: "ECDH-ES"}, "userinfo_encrypted_response_alg"},
		{"alg with keys elsewhere", model.ClientSettings{UserInfoEncryption: "ECDH-ES", JWKSURI: "https://shop.example/jwks"}, ""},
		{"alg with a key to verify with only", model.ClientSettings{IDTokenEncryption: "ECDH-ES", JWKS: wrong}, "jwks"},
		{"alg with a key of another type", model.ClientSettings{IDTokenEncryption: "RSA-OAEP-256", JWKS: good}, "jwks"},
		{"RSA1_5 (RFC 8725 §3.2)", model.ClientSettings{IDTokenEncryption: "RSA1_5", JWKS: good}, "id_token_encrypted_response_alg"},
		{"a secret", model.ClientSettings{IDTokenEncryption: "A128KW", JWKS: good}, "id_token_encrypted_response_alg"},
		{"a secret, directly", model.ClientSettings{UserInfoEncryption: "dir", JWKS: good}, "userinfo_encrypted_response_alg"},
		{"a signature as encryption", model.ClientSettings{IDTokenEncryption: "RS256", JWKS: good}, "id_token_encrypted_response_alg"},
		{"unknown content encryption", model.ClientSettings{IDTokenEncryption: "ECDH-ES", IDTokenContent: "A192GCM", JWKS: good}, "id_token_encrypted_response_enc"},
	} {
		err := checkClientAnswers(withEncryptionDefaults(row.s))
		e, _ := err.(*InvalidClientError)
		if row.setting == "" && err != nil || row.setting != "" && (e == nil || e.Setting != row.setting) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestClientKeys: a set with a private half is refused for it, and before the half is
// held against its public one: a skipped key would be none to say anything of.
func TestClientKeys(t *testing.T) {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	good := string(publicSet(t, key))
	public := strings.TrimSuffix(strings.TrimPrefix(good, `{"keys":[`), `]}`)
	private, err := key.MarshalPrivateJSON()
	if err != nil {
		t.Fatal(err)
	}
	const only = "it must hold public keys only"
	for name, row := range map[string]struct{ set, want string }{
		"public":                      {good, ""},
		"private":                     {`{"keys":[` + string(private) + `]}`, only},
		"a private half that is none": {`{"keys":[` + public + `,{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB","p":"AQ","q":"AQ"}]}`, only},
		"a secret":                    {`{"keys":[{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}]}`, only},
		"nothing":                     {`{"keys":[]}`, "it holds no key that can be used"},
		"of another kind, and public": {`{"keys":[` + public + `,{"kty":"new"},7]}`, ""},
	} {
		err := checkClientKeys(json.RawMessage(row.set))
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChoose: a key that is marked for encryption comes first, and one that is
// for something else never.
func TestChoose(t *testing.T) {
	key := func(p jwk.Params) *jwk.Key {
		t.Helper()
		k, err := jwk.Generate(jwa.ECDHES)
		if err != nil {
			t.Fatal(err)
		}
		if k, err = jwk.New(k.PublicKey(), p); err != nil {
			t.Fatal(err)
		}
		return k
	}
	sig := key(jwk.Params{ID: "sig", Use: jwk.UseSignature})
	bare := key(jwk.Params{ID: "bare"})
	enc := key(jwk.Params{ID: "enc", Use: jwk.UseEncryption})
	wrap := key(jwk.Params{ID: "wrap", Use: jwk.UseEncryption, Algorithm: jwa.ECDHESA256KW})
	secret, err := jwk.Generate(jwa.A128KW)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		keys []*jwk.Key
		alg  jwa.Algorithm
		want string
	}{
		{"marked before unmarked", []*jwk.Key{sig, bare, enc}, jwa.ECDHES, "enc"},
		{"unmarked", []*jwk.Key{sig, bare}, jwa.ECDHES, "bare"},
		{"bound to another algorithm", []*jwk.Key{wrap, bare}, jwa.ECDHES, "bare"},
		{"bound to this one", []*jwk.Key{sig, wrap}, jwa.ECDHESA256KW, "wrap"},
		{"for signatures only", []*jwk.Key{sig}, jwa.ECDHES, ""},
		{"a secret", []*jwk.Key{secret}, jwa.A128KW, ""},
		{"none", nil, jwa.ECDHES, ""},
	} {
		k, err := choose(row.keys, row.alg, jwa.A128GCM)
		if (err == nil) != (row.want != "") || err == nil && k.ID() != row.want {
			t.Errorf("%s: %v, %v", row.name, k, err)
		}
	}
}
