package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

const keyExitCodes = "Exit codes: 0 when it worked, 1 when a file could not be written, 2 when the command line or a key was wrong."

// jwk is the group of the commands about keys.
func (sh shell) jwk() *cli.Command {
	return &cli.Command{
		Name: "jwk", Usage: "make and convert keys (JSON Web Keys)",
		Description: "These commands need no server, and have nothing to do with its own keys: those are under ostiary key.\n" + keyExitCodes,
		Commands:    []*cli.Command{sh.jwkGenerate(), sh.jwkConvert(), sh.jwkThumbprint(), sh.jwkPublic()},
	}
}

// outFlags returns the flags that say where a key goes.
func outFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "out", Usage: "new `FILE` to write to; a private key is for its owner's eyes only (mode 0600)", DefaultText: "standard output"},
		&cli.BoolFlag{Name: "private", Usage: "show a private key even on a terminal"},
	}
}

// memberFlags returns the flags for what a key has beside its material.
func memberFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "kid", Usage: "`NAME` of the key"},
		&cli.StringFlag{Name: "use", Usage: "what it is for, `USE`: sig or enc"},
		&cli.BoolFlag{Name: "set", Usage: "print a JWK set with the key in it"},
	}
}

func (sh shell) jwkGenerate() *cli.Command {
	return &cli.Command{
		Name: "generate", Usage: "make a private key or a secret, as a JWK",
		Description: "Example: ostiary jwk generate --alg ES256 --out key.jwk\n" +
			"Algorithms: " + join(signatures()) + ";\nto encrypt: " + join(generable()) + ";\nsecrets for dir: " + join(contents()) + ".\n" + keyExitCodes,
		Flags: flags([]cli.Flag{
			&cli.StringFlag{Name: "alg", Usage: "`ALGORITHM` that the key is for"},
			&cli.IntFlag{Name: "bits", Usage: "`SIZE` of an RSA key: 2048, 3072 or 4096", DefaultText: "2048"},
			&cli.StringFlag{Name: "curve", Usage: "`CURVE` of a key for ECDH-ES: P-256, P-384, P-521 or X25519", DefaultText: "P-256"},
		}, memberFlags(), outFlags()),
		Action: sh.inquire(func(_ context.Context, t *task) error {
			key, err := t.generate()
			if err != nil {
				return err
			}
			if use := t.command.String("use"); use != "" && use != key.Use() {
				return usagef("--use: a key for %s has the use %s", key.Algorithm(), key.Use())
			}
			if key, err = t.relabel(key); err != nil {
				return err
			}
			text, err := t.document([]*jwk.Key{key}, t.command.Bool("set"))
			if err != nil {
				return err
			}
			return t.deliver(text, key)
		}),
	}
}

func signatures() []jwa.Algorithm {
	var all []jwa.Algorithm
	for _, row := range jwa.Signatures() {
		all = append(all, row.Name)
	}
	return all
}

// generable returns the algorithms to encrypt a key with that have a key of their
// own: passwords are people's, and what "dir" needs depends on the content.
func generable() []jwa.Algorithm {
	var all []jwa.Algorithm
	for _, row := range jwa.KeyManagements() {
		if row.Mode != jwa.Direct && row.Mode != jwa.Password {
			all = append(all, row.Name)
		}
	}
	return all
}

func contents() []jwa.Encryption {
	var all []jwa.Encryption
	for _, row := range jwa.ContentEncryptions() {
		all = append(all, row.Name)
	}
	return all
}

// generate makes the key of the flags.
func (t *task) generate() (*jwk.Key, error) {
	alg := jwa.Algorithm(t.command.String("alg"))
	if alg == "" {
		return nil, usagef("for which algorithm? add --alg, such as ES256, RS256, EdDSA, HS256 or ECDH-ES")
	}
	if !t.command.IsSet("bits") && !t.command.IsSet("curve") {
		key, err := jwk.Generate(alg)
		if errors.Is(err, jwk.ErrUnsupported) {
			return nil, usagef("--alg: no key can be made for %q: write one of the algorithms in %s --help", alg, t.command.FullName())
		}
		return key, err
	}
	material, err := t.material(alg)
	if err != nil {
		return nil, err
	}
	use := jwk.UseSignature
	if _, ok := alg.KeyManagement(); ok {
		use = jwk.UseEncryption
	}
	key, err := jwk.New(material, jwk.Params{Algorithm: alg, Use: use})
	if err != nil {
		return nil, usagef("--alg: %s", keyProblem(err))
	}
	return renamed(key, textMember("kid", key.Thumbprint()))
}

// material makes a key of the size or on the curve that was asked for.
func (t *task) material(alg jwa.Algorithm) (any, error) {
	signature, _ := alg.Signature()
	management, _ := alg.KeyManagement()
	bits, curve := t.command.Int("bits"), t.command.String("curve")
	isRSA := signature.KeyType == jwa.RSA || management.KeyType == jwa.RSA
	agrees := management.Mode == jwa.Agreement || management.Mode == jwa.AgreementWrap
	switch {
	case t.command.IsSet("bits") && !isRSA:
		return nil, usagef("--bits: %s has no RSA key", alg)
	case t.command.IsSet("curve") && !agrees:
		return nil, usagef("--curve: only keys for ECDH-ES have a choice of curve; that of %s follows from its name", alg)
	case t.command.IsSet("bits"):
		if !slices.Contains([]int{2048, 3072, 4096}, bits) {
			return nil, usagef("--bits: %d is not allowed: write 2048, 3072 or 4096", bits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	}
	of, ok := map[string]ecdh.Curve{"P-256": ecdh.P256(), "P-384": ecdh.P384(), "P-521": ecdh.P521(), "X25519": ecdh.X25519()}[curve]
	if !ok {
		return nil, usagef("--curve: %q is not allowed: write P-256, P-384, P-521 or X25519", curve)
	}
	return of.GenerateKey(rand.Reader)
}

// relabel gives a key what the flags say that it has beside its material.
func (t *task) relabel(key *jwk.Key) (*jwk.Key, error) {
	var changes []member
	for _, name := range []string{"kid", "use"} {
		if value := t.command.String(name); value != "" {
			changes = append(changes, textMember(name, value))
		}
	}
	if use := t.command.String("use"); use != "" && use != jwk.UseSignature && use != jwk.UseEncryption {
		return nil, usagef("--use: %q is not allowed: write sig or enc", use)
	}
	if len(changes) == 0 {
		return key, nil
	}
	return renamed(key, changes...)
}
