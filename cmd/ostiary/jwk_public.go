package main

import (
	"context"

	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

func (sh shell) jwkPublic() *cli.Command {
	return &cli.Command{
		Name: "public", Usage: "print the public half of a key or of a set, for others to have",
		Description: "Example: ostiary jwk public --key key.jwk --set --out jwks.json\n" + keyExitCodes,
		Flags: flags(publishedKeyFlags("", keyGroup), []cli.Flag{
			&cli.BoolFlag{Name: "set", Usage: "print a JWK set"},
			&cli.StringFlag{Name: "out", Usage: "new `FILE` to write to", DefaultText: "standard output"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			r, err := t.someRing(ctx)
			if err != nil {
				return err
			}
			keys, err := r.all(ctx)
			if err != nil {
				return err
			}
			var public []*jwk.Key
			for _, key := range keys {
				half, err := key.Public()
				if err != nil {
					return usagef("%s: a secret has no public half: everybody who verifies with it can sign with it", r.flag)
				}
				public = append(public, half)
			}
			text, err := t.document(public, r.set || t.command.Bool("set") || len(public) > 1)
			if err != nil {
				return err
			}
			return t.deliver(text, public...)
		}),
	}
}
