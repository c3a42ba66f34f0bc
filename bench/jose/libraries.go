package main

import (
	"context"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	golangjwt "github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	ourjwa "github.com/ostiary/ostiary/jwa"

	"github.com/ostiary/ostiary/jwt"
)

var errMismatch = errors.New("does not verify")

// Each library is used as its manual says, with everything that it lets one build
// once built once.

func ourVerifier(k *keyPair, cacheSize int) *jwt.Verifier[ourClaims] {
	v, err := jwt.NewVerifier[ourClaims](k.set, jwt.VerifyOptions{
		Algorithms: []ourjwa.Algorithm{ourjwa.Algorithm(k.alg)}, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: cacheSize,
	})
	if err != nil {
		panic(err)
	}
	return v
}

func ourVerify(k *keyPair, token string) func() error {
	v, ctx := ourVerifier(k, 0), context.Background()
	return func() error {
		_, err := v.Verify(ctx, token)
		return err
	}
}

func ourSign(k *keyPair) func() error {
	s, err := jwt.NewSigner(k.key, jwt.SignOptions{})
	if err != nil {
		panic(err)
	}
	claims := sampleOurs(tokenID)
	return func() error {
		kept, err = s.Sign(&claims)
		return err
	}
}

func (k *keyPair) verifying() any {
	if k.secret != nil {
		return k.secret
	}
	return k.public
}

func (k *keyPair) signing() any {
	if k.secret != nil {
		return k.secret
	}
	return k.private
}

func golangVerify(k *keyPair, token string) func() error {
	parser := golangjwt.NewParser(golangjwt.WithValidMethods([]string{k.alg}), golangjwt.WithIssuer(issuer), golangjwt.WithAudience(audience), golangjwt.WithExpirationRequired())
	keys := func(*golangjwt.Token) (any, error) { return k.verifying(), nil }
	return func() error {
		var claims golangClaims
		_, err := parser.ParseWithClaims(token, &claims, keys)
		return err
	}
}

func golangSign(k *keyPair) func() error {
	method, claims := golangjwt.GetSigningMethod(k.alg), sampleGolang()
	return func() (err error) {
		kept, err = golangjwt.NewWithClaims(method, claims).SignedString(k.signing())
		return err
	}
}

func joseVerify(k *keyPair, token string) func() error {
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.alg)}
	return func() error {
		parsed, err := josejwt.ParseSigned(token, algorithms)
		if err != nil {
			return err
		}
		var claims joseClaims
		if err := parsed.Claims(k.verifying(), &claims); err != nil {
			return err
		}
		return claims.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{audience}, Time: time.Now()}, 0)
	}
}

func joseSign(k *keyPair) func() error {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.alg), Key: k.signing()}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	claims := sampleJose()
	return func() (err error) {
		kept, err = josejwt.Signed(signer).Claims(claims).Serialize()
		return err
	}
}

func jwxAlgorithm(k *keyPair) jwa.SignatureAlgorithm {
	alg, ok := jwa.LookupSignatureAlgorithm(k.alg)
	if !ok {
		panic(k.alg)
	}
	return alg
}

func jwxVerify(k *keyPair, token string) func() error {
	alg, text := jwxAlgorithm(k), []byte(token)
	return func() error {
		_, err := jwxjwt.Parse(text, jwxjwt.WithKey(alg, k.verifying()), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience))
		return err
	}
}

func jwxSign(k *keyPair) func() error {
	alg := jwxAlgorithm(k)
	return func() error {
		claims, err := jwxjwt.NewBuilder().Issuer(issuer).Subject(subject).Audience([]string{audience}).Expiration(expires).NotBefore(issued).
			IssuedAt(issued).JwtID(tokenID).Claim("scope", others.Scope).Claim("client_id", others.ClientID).Claim("roles", others.Roles).Build()
		if err != nil {
			return err
		}
		text, err := jwxjwt.Sign(claims, jwxjwt.WithKey(alg, k.signing()))
		kept = string(text)
		return err
	}
}
