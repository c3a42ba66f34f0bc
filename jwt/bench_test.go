package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// benchmarkClaims are ten claims of about 450 bytes.
type benchmarkClaims struct {
	jwt.Registered
	Scope    string `json:"scope"`
	ClientID string `json:"client_id"`
	Session  string `json:"sid"`
	AuthTime int64  `json:"auth_time"`
}

var benchmarkNow = time.Unix(1_700_000_000, 0)

func sampleClaims() benchmarkClaims {
	return benchmarkClaims{
		Registered: jwt.Registered{
			Issuer: "https://login.example.com/realms/production", Subject: "f2c1a7de-4c1b-4df1-a8e1-6a8e8e4e0c11",
			Audience:  jwt.Audience{"https://api.example.com/orders"},
			ExpiresAt: jwt.At(benchmarkNow.Add(5 * time.Minute)), IssuedAt: jwt.At(benchmarkNow), NotBefore: jwt.At(benchmarkNow),
			ID: "01HF9Z3J3X0Q7T6E3GQ6Y1M5VD",
		},
		Scope:    "openid profile email orders:read orders:write invoices:read",
		ClientID: "web-shop-frontend", Session: "6f1b0c9e5d5f4a1c8d0f9b7a", AuthTime: benchmarkNow.Unix() - 60,
	}
}

var benchmarkAlgorithms = []jwa.Algorithm{jwa.HS256, jwa.RS256, jwa.PS256, jwa.ES256, jwa.EdDSA}

func benchmarkKey(b *testing.B, alg jwa.Algorithm) *jwk.Key {
	b.Helper()
	key, err := jwk.Generate(alg)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range benchmarkAlgorithms {
		key := benchmarkKey(b, alg)
		token, err := jwt.Sign(sampleClaims(), key, jwt.SignOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+"/floor", func(b *testing.B) { benchmarkFloor(b, key, token) })
		b.Run(string(alg)+"/jwt", func(b *testing.B) {
			set, err := jwk.NewSet(key)
			if err != nil {
				b.Fatal(err)
			}
			v, err := jwt.NewVerifier[benchmarkClaims](set, jwt.VerifyOptions{
				Algorithms: []jwa.Algorithm{alg}, Issuers: []string{sampleClaims().Issuer}, Audiences: sampleClaims().Audience,
				Now: func() time.Time { return benchmarkNow },
			})
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(ctx, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchmarkFloor is what no library can go below: a copy of the token, base64,
// hash, signature.
func benchmarkFloor(b *testing.B, key *jwk.Key, token string) {
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	verify := floorVerify(b, key)
	signature := make([]byte, 0, 512)
	var err error
	b.ReportAllocs()
	for b.Loop() {
		message := []byte(token)
		if signature, err = base64.RawURLEncoding.AppendDecode(signature[:0], message[last+1:]); err != nil {
			b.Fatal(err)
		}
		if !verify(message[:last], signature) {
			b.Fatal("does not verify")
		}
		if _, err := base64.RawURLEncoding.AppendDecode(nil, message[first+1:last]); err != nil {
			b.Fatal(err)
		}
	}
}

func floorVerify(b *testing.B, key *jwk.Key) func(signed, signature []byte) bool {
	switch public := key.PublicKey().(type) {
	case *rsa.PublicKey:
		return func(signed, signature []byte) bool {
			sum := sha256.Sum256(signed)
			if key.Algorithm() == jwa.PS256 {
				return rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: 32}) == nil
			}
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
		}
	case *ecdsa.PublicKey:
		return func(signed, signature []byte) bool {
			sum := sha256.Sum256(signed)
			return ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		}
	case ed25519.PublicKey:
		return func(signed, signature []byte) bool { return ed25519.Verify(public, signed, signature) }
	}
	mac, sum := keyedHash(b, key), make([]byte, 0, 32)
	return func(signed, signature []byte) bool {
		mac.Reset()
		mac.Write(signed)
		return hmac.Equal(mac.Sum(sum), signature)
	}
}

// keyedHash is an HMAC state that is set up once, the fastest there is.
func keyedHash(b *testing.B, key *jwk.Key) hash.Hash {
	b.Helper()
	text, err := key.MarshalPrivateJSON()
	if err != nil {
		b.Fatal(err)
	}
	var secret struct {
		K string `json:"k"`
	}
	if err := json.Unmarshal(text, &secret); err != nil {
		b.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(secret.K)
	if err != nil {
		b.Fatal(err)
	}
	return hmac.New(sha256.New, raw)
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range benchmarkAlgorithms {
		key := benchmarkKey(b, alg)
		b.Run(string(alg)+"/floor", func(b *testing.B) { benchmarkFloorSign(b, key) })
		b.Run(string(alg)+"/jwt", func(b *testing.B) {
			signer, err := jwt.NewSigner(key, jwt.SignOptions{})
			if err != nil {
				b.Fatal(err)
			}
			claims := sampleClaims()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Sign(&claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchmarkFloorSign encodes and signs a payload that is there already.
func benchmarkFloorSign(b *testing.B, key *jwk.Key) {
	payload, err := json.Marshal(sampleClaims())
	if err != nil {
		b.Fatal(err)
	}
	sign := floorSign(b, key)
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."
	b.ReportAllocs()
	for b.Loop() {
		message := make([]byte, 0, 1024)
		message = base64.RawURLEncoding.AppendEncode(append(message, header...), payload)
		signature, err := sign(message)
		if err != nil {
			b.Fatal(err)
		}
		_ = string(base64.RawURLEncoding.AppendEncode(append(message, '.'), signature))
	}
}

func floorSign(b *testing.B, key *jwk.Key) func(message []byte) ([]byte, error) {
	if key.Symmetric() {
		mac := keyedHash(b, key)
		sum := make([]byte, 0, 32)
		return func(message []byte) ([]byte, error) {
			mac.Reset()
			mac.Write(message)
			return mac.Sum(sum), nil
		}
	}
	signer := benchmarkSigner(b, key)
	return func(message []byte) ([]byte, error) {
		switch {
		case key.Type() == jwa.OKP:
			return signer.Sign(rand.Reader, message, crypto.Hash(0))
		case key.Algorithm() == jwa.PS256:
			sum := sha256.Sum256(message)
			return signer.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
		}
		sum := sha256.Sum256(message)
		return signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
}

// benchmarkSigner makes a Go key of the same kind as key.
func benchmarkSigner(b *testing.B, key *jwk.Key) crypto.Signer {
	b.Helper()
	var signer crypto.Signer
	var err error
	switch public := key.PublicKey().(type) {
	case *rsa.PublicKey:
		signer, err = rsa.GenerateKey(rand.Reader, public.N.BitLen())
	case *ecdsa.PublicKey:
		signer, err = ecdsa.GenerateKey(public.Curve, rand.Reader)
	default:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		b.Fatal(err)
	}
	return signer
}
