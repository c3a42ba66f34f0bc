package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
	"github.com/urfave/cli/v3"
)

// exitCodes ends the help of each command that judges a token.
const exitCodes = "Exit codes: 0 when it worked, 1 when the token is not valid or cannot be read, 2 when the command line or a key was wrong " +
	"and nothing is known about the token."

// jwt is the group of the commands about tokens.
func (sh shell) jwt() *cli.Command {
	return &cli.Command{
		Name: "jwt", Usage: "make, check and read tokens (JSON Web Tokens)",
		Description: "These commands need no server. A TOKEN is the text itself, - for standard input, or @FILE.\n" + exitCodes,
		Commands:    []*cli.Command{sh.jwtSign(), sh.jwtVerify(), sh.jwtDecode(), sh.jwtEncrypt(), sh.jwtDecrypt(), sh.jwtInspect()},
	}
}

func (sh shell) jwtSign() *cli.Command {
	return &cli.Command{
		Name: "sign", Usage: "sign claims and print the token",
		Description: "Example: ostiary jwt sign --key key.jwk --sub alice --aud https://api.example --expires-in 10m\n" +
			"Exit codes: 0 when there is a token, 2 when the command line or the key was wrong.",
		Flags: flags(keyFlags("", keyGroup), claimFlags(), headerFlags(), []cli.Flag{
			&cli.StringFlag{Name: "alg", Usage: "`ALGORITHM`", DefaultText: "the key's own; HS256 for a secret"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			key, err := t.signingKey(ctx)
			if err != nil {
				return err
			}
			claims, err := t.claims()
			if err != nil {
				return err
			}
			header, err := t.header()
			if err != nil {
				return err
			}
			token, err := jwt.Sign(claims, key, jwt.SignOptions{
				Algorithm: jwa.Algorithm(t.command.String("alg")), Type: t.command.String("typ"), Header: header,
				NoTimestamp: t.command.Bool("no-timestamp"),
			})
			if err != nil {
				return refused(err)
			}
			t.eternal(claims)
			return t.printToken(token)
		}),
	}
}

func (t *task) signingKey(ctx context.Context) (*jwk.Key, error) {
	alg := jwa.Algorithm(t.command.String("alg"))
	if alg != "" {
		if err := alg.Check(); err != nil {
			return nil, usagef("--alg: %q is no algorithm to sign with: write one such as ES256, RS256, EdDSA or HS256", alg)
		}
	}
	bound := alg
	if bound == "" {
		bound = jwa.HS256
	}
	r, err := t.ring(ctx, wanted{use: jwk.UseSignature, alg: bound})
	if err != nil {
		return nil, err
	}
	if r, err = r.required(t.command); err != nil {
		return nil, err
	}
	key, err := r.one(ctx, t.command.String("kid"))
	switch {
	case err != nil:
		return nil, err
	case !key.Private():
		return nil, usagef("%s: a public key cannot sign: give the private one", r.flag)
	case len(key.Algorithms()) == 0:
		return nil, usagef("%s: the key is for encryption: make one to sign with by ostiary jwk generate", r.flag)
	case alg != "" && !key.Does(alg):
		return nil, usagef("%s: the key does not do %s, but %s", r.flag, alg, join(key.Algorithms()))
	}
	return key, nil
}

// printToken prints a token that was made; as JSON with its header.
func (t *task) printToken(token string) error {
	if len(token) > jwt.MaxInHeader {
		t.warn("warning: the token %s", tooLong(token))
	}
	if !t.command.Bool("json") {
		return t.say(t.command, nil, "%s", token)
	}
	header, _, err := takeApart(token)
	if err != nil {
		return err
	}
	return t.printDocument(struct {
		Token  string          `json:"token"`
		Header json.RawMessage `json:"header"`
	}{token, header})
}

// tooLong says what a token that common servers refuse will meet.
func tooLong(token string) string {
	return fmt.Sprintf("has %d bytes: many servers and proxies take %d in the Authorization header, and browsers %d in a cookie", len(token), jwt.MaxInHeader, jwt.MaxInCookie)
}
