package main

import (
	"context"
	"encoding/pem"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

func (sh shell) jwkConvert() *cli.Command {
	return &cli.Command{
		Name: "convert", Usage: "convert a key between JWK, PEM and DER",
		Description: "It reads a JWK, a JWK set, PEM or DER (PKCS #8, PKCS #1, SEC 1, SubjectPublicKeyInfo, a certificate)\n" +
			"and writes a JWK, or PKCS #8 for a private key and SubjectPublicKeyInfo for a public one.\n" +
			"Example: ostiary jwk convert --key server.pem --to jwk --kid 2026 --out server.jwk\n" + keyExitCodes,
		Flags: flags(publishedKeyFlags("", keyGroup), []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`FORM` that is written: jwk, pem or der"},
			&cli.StringFlag{Name: "alg", Usage: "`ALGORITHM` that a JWK is bound to"},
		}, memberFlags(), outFlags()),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			r, err := t.someRing(ctx)
			if err != nil {
				return err
			}
			switch form := t.command.String("to"); form {
			case "jwk":
				return t.convertToJWK(ctx, r)
			case "pem", "der":
				return t.convertToDER(ctx, r, form)
			case "":
				return usagef("into what? add --to jwk, --to pem or --to der")
			default:
				return usagef("--to: %q is not allowed: write jwk, pem or der", form)
			}
		}),
	}
}

// someRing reads the keys that a command about keys is given.
func (t *task) someRing(ctx context.Context) (ring, error) {
	r, err := t.ring(ctx, wanted{alg: jwa.Algorithm(t.command.String("alg"))})
	if err != nil {
		return r, err
	}
	return r.required(t.command)
}

func (t *task) convertToJWK(ctx context.Context, r ring) error {
	keys, err := r.all(ctx)
	if err != nil {
		return err
	}
	set := t.command.Bool("set")
	changes := t.command.IsSet("kid") || t.command.IsSet("use") || t.command.IsSet("alg")
	switch {
	case len(keys) > 1 && !changes:
		set = true
	default:
		key, err := r.one(ctx, t.command.String("kid"))
		if err != nil {
			return err
		}
		if alg := t.command.String("alg"); alg != "" {
			if key, err = renamed(key, textMember("alg", alg)); err != nil {
				return err
			}
		}
		if key, err = t.relabel(key); err != nil {
			return err
		}
		keys = []*jwk.Key{key}
	}
	text, err := t.document(keys, set)
	if err != nil {
		return err
	}
	return t.deliver(text, keys...)
}

func (t *task) convertToDER(ctx context.Context, r ring, form string) error {
	for _, name := range []string{"alg", "use", "set"} {
		if t.command.IsSet(name) {
			return usagef("--%s: only a JWK has room for that: leave it out, or write --to jwk", name)
		}
	}
	key, err := r.one(ctx, t.command.String("kid"))
	if err != nil {
		return err
	}
	if key.Symmetric() {
		return usagef("%s: a secret has no form in PEM or DER: write --to jwk", r.flag)
	}
	label, data, err := encoded(key)
	if err != nil {
		return err
	}
	if form == "pem" {
		return t.deliver(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: data}), key)
	}
	if t.command.String("out") == "" && terminal(t.stdout) {
		return usagef("DER is binary, and nothing for a terminal: write it to a file with --out")
	}
	return t.deliver(data, key)
}

// encoded returns a key in DER, and the label that it has in PEM.
func encoded(key *jwk.Key) (label string, der []byte, err error) {
	marshal := key.MarshalPEM // RFC 5280 §4.1
	if key.Private() {
		marshal = key.MarshalPrivatePEM // RFC 5958
	}
	text, err := marshal()
	if err != nil {
		return "", nil, err
	}
	block, _ := pem.Decode(text) // it was written a moment ago
	return block.Type, block.Bytes, nil
}
