package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
)

// The floor is what no library can go below: base64, hash and signature with the
// standard library, the HMAC state set up once.

var url = base64.RawURLEncoding

func floorVerify(k *keyPair, token string) func() error {
	message := []byte(token)
	first, last := bytes.IndexByte(message, '.'), bytes.LastIndexByte(message, '.')
	check := checker(k)
	return func() error {
		signature := make([]byte, url.DecodedLen(len(message)-last-1))
		if _, err := url.Decode(signature, message[last+1:]); err != nil {
			return err
		}
		if !check(message[:last], signature) {
			return errMismatch
		}
		payload := make([]byte, url.DecodedLen(last-first-1))
		_, err := url.Decode(payload, message[first+1:last])
		return err
	}
}

func checker(k *keyPair) func(signed, signature []byte) bool {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return func(signed, signature []byte) bool {
			sum := sha256.Sum256(signed)
			if k.alg == "PS256" {
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
	mac, sum := hmac.New(sha256.New, k.secret), make([]byte, 0, 32)
	return func(signed, signature []byte) bool {
		mac.Reset()
		mac.Write(signed)
		return hmac.Equal(mac.Sum(sum), signature)
	}
}

// floorSign signs a payload that is there already, so the writing of JSON is not
// part of it.
func floorSign(k *keyPair, token string) func() error {
	first, last := bytes.IndexByte([]byte(token), '.'), bytes.LastIndexByte([]byte(token), '.')
	payload, err := url.DecodeString(token[first+1 : last])
	if err != nil {
		panic(err)
	}
	header := token[:first+1]
	sign := signerOf(k)
	return func() error {
		message := make([]byte, 0, len(token))
		message = url.AppendEncode(append(message, header...), payload)
		signature, err := sign(message)
		if err != nil {
			return err
		}
		kept = string(url.AppendEncode(append(message, '.'), signature))
		return nil
	}
}

// kept keeps the compiler from leaving the work out.
//
//lint:ignore U1000 it is written, and that is enough
var kept string

func signerOf(k *keyPair) func(message []byte) ([]byte, error) {
	if k.secret != nil {
		mac, sum := hmac.New(sha256.New, k.secret), make([]byte, 0, 32)
		return func(message []byte) ([]byte, error) {
			mac.Reset()
			mac.Write(message)
			return mac.Sum(sum), nil
		}
	}
	signer := k.private.(crypto.Signer)
	return func(message []byte) ([]byte, error) {
		sum := sha256.Sum256(message)
		switch k.alg {
		case "EdDSA":
			return signer.Sign(rand.Reader, message, crypto.Hash(0))
		case "PS256":
			return signer.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
		}
		return signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
}
