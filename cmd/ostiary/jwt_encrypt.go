package main

import (
	"context"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

func (sh shell) jwtEncrypt() *cli.Command {
	return &cli.Command{
		Name: "encrypt", Usage: "encrypt claims, a signed token or anything else",
		Description: "Encrypting does not tell the recipient who wrote it. Sign first, then encrypt the token:\n" +
			"ostiary jwt sign --key mine.jwk --sub alice --expires-in 10m | ostiary jwt encrypt --key theirs.jwk --payload -\n" +
			"Exit codes: 0 when there is a token, 2 when the command line or the key was wrong.",
		Flags: flags(publishedKeyFlags("", keyGroup), claimFlags(), headerFlags(), []cli.Flag{
			&cli.StringFlag{Name: "payload", Usage: "`FILE` to encrypt in place of claims; - is standard input"},
			&cli.StringFlag{Name: "alg", Usage: "`ALGORITHM` that encrypts the key, such as RSA-OAEP-256, ECDH-ES or dir", DefaultText: "the key's own"},
			&cli.StringFlag{Name: "enc", Usage: "`ALGORITHM` that encrypts the content", DefaultText: "A256GCM, or what fits the secret"},
			&cli.StringFlag{Name: "cty", Usage: "`TYPE` of the payload in the header", DefaultText: "JWT for a token"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			key, err := t.recipient(ctx)
			if err != nil {
				return err
			}
			plaintext, o, err := t.plaintext()
			if err != nil {
				return err
			}
			if o.Header, err = t.header(); err != nil {
				return err
			}
			o.Algorithm, o.Encryption = jwa.Algorithm(t.command.String("alg")), jwa.Encryption(t.command.String("enc"))
			token, err := jwe.Encrypt(plaintext, key, o)
			if err != nil {
				return refused(err)
			}
			if len(token) > jwe.DefaultMaxSize {
				return usagef("the token would have %d bytes, and nobody takes more than %d: encrypt less", len(token), jwe.DefaultMaxSize)
			}
			return t.printToken(token)
		}),
	}
}

// encryptionKeys reads the keys to encrypt or decrypt with. A raw secret is a
// password for the algorithms that take one.
func (t *task) encryptionKeys(ctx context.Context, algs []string) (ring, error) {
	w := wanted{use: jwk.UseEncryption}
	for _, name := range algs {
		row, ok := jwa.Algorithm(name).KeyManagement()
		if !ok {
			return ring{}, usagef("--alg: %q is no algorithm to encrypt a key with: write one of %s", name, join(managements()))
		}
		if row.Mode == jwa.Password {
			w.alg = row.Name
		}
	}
	return t.ring(ctx, w)
}

func managements() []jwa.Algorithm {
	var all []jwa.Algorithm
	for _, row := range jwa.KeyManagements() {
		all = append(all, row.Name)
	}
	return all
}

func (t *task) recipient(ctx context.Context) (*jwk.Key, error) {
	alg := t.command.String("alg")
	var algs []string
	if alg != "" {
		algs = []string{alg}
	}
	r, err := t.encryptionKeys(ctx, algs)
	if err != nil {
		return nil, err
	}
	if r, err = r.required(t.command); err != nil {
		return nil, err
	}
	if enc := t.command.String("enc"); enc != "" {
		if _, ok := jwa.Encryption(enc).Content(); !ok {
			return nil, usagef("--enc: %q is no algorithm to encrypt content with: write one such as A256GCM", enc)
		}
	}
	key, err := r.one(ctx, t.command.String("kid"))
	switch {
	case err != nil:
		return nil, err
	case len(key.KeyManagement()) == 0:
		return nil, usagef("%s: the key is not for encryption: make one by ostiary jwk generate", r.flag)
	case alg != "" && !slices.Contains(key.KeyManagement(), jwa.Algorithm(alg)):
		return nil, usagef("%s: the key does not do %s, but %s", r.flag, alg, join(key.KeyManagement()))
	}
	return key, nil
}

// plaintext returns what is encrypted, with the types that its header tells.
func (t *task) plaintext() ([]byte, jwe.EncryptOptions, error) {
	o := jwe.EncryptOptions{Type: t.command.String("typ"), ContentType: t.command.String("cty")}
	file := t.command.String("payload")
	if file == "" {
		claims, err := t.claims()
		if err != nil {
			return nil, o, err
		}
		t.eternal(claims)
		if o.Type == "" {
			o.Type = "JWT"
		}
		return claims, o, nil
	}
	for _, f := range claimFlags() {
		if name := f.Names()[0]; t.command.IsSet(name) {
			return nil, o, usagef("--payload is encrypted as it is: leave --%s out", name)
		}
	}
	data, err := t.read("--payload", file)
	if err != nil {
		return nil, o, err
	}
	token := strings.TrimSpace(string(data))
	if _, _, err := takeApart(token); err == nil {
		data = []byte(token)
		if o.ContentType == "" { // RFC 7519 §5.2
			o.ContentType = "JWT"
		}
	}
	return data, o, nil
}
