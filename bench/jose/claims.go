package main

import (
	"time"

	josejwt "github.com/go-jose/go-jose/v4/jwt"
	golangjwt "github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/jwt"
)

// The claims are ten, and about 450 bytes of JSON; every library reads them into a
// struct and checks exp, nbf, iss and aud.
const (
	issuer   = "https://login.example.com/realms/production"
	audience = "https://api.example.com/orders"
	subject  = "f2c1a7de-4c1b-4df1-a8e1-6a8e8e4e0c11"
	tokenID  = "01HF9Z3J3X0Q7T6E3GQ6Y1M5VD"
)

var (
	issued  = time.Now().Truncate(time.Second)
	expires = issued.Add(24 * time.Hour)
)

// private are the claims that are not registered.
type private struct {
	Scope    string   `json:"scope"`
	ClientID string   `json:"client_id"`
	Roles    []string `json:"roles"`
}

var others = private{
	Scope:    "openid profile email orders:read orders:write",
	ClientID: "web-shop-frontend", Roles: []string{"customer", "beta-tester"},
}

type ourClaims struct {
	jwt.Registered
	private
}

type golangClaims struct {
	golangjwt.RegisteredClaims
	private
}

type joseClaims struct {
	josejwt.Claims
	private
}

func sampleOurs(id string) ourClaims {
	return ourClaims{jwt.Registered{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience}, ExpiresAt: jwt.At(expires),
		NotBefore: jwt.At(issued), IssuedAt: jwt.At(issued), ID: id,
	}, others}
}

func sampleGolang() golangClaims {
	return golangClaims{golangjwt.RegisteredClaims{
		Issuer: issuer, Subject: subject, Audience: golangjwt.ClaimStrings{audience}, ExpiresAt: golangjwt.NewNumericDate(expires),
		NotBefore: golangjwt.NewNumericDate(issued), IssuedAt: golangjwt.NewNumericDate(issued), ID: tokenID,
	}, others}
}

func sampleJose() joseClaims {
	return joseClaims{josejwt.Claims{
		Issuer: issuer, Subject: subject, Audience: josejwt.Audience{audience}, Expiry: josejwt.NewNumericDate(expires),
		NotBefore: josejwt.NewNumericDate(issued), IssuedAt: josejwt.NewNumericDate(issued), ID: tokenID,
	}, others}
}
