package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
	"github.com/urfave/cli/v3"
)

func (sh shell) jwtDecrypt() *cli.Command {
	return &cli.Command{
		Name: "decrypt", ArgsUsage: "TOKEN", Usage: "decrypt a token, and verify a signed one inside it",
		Description: "Example: ostiary jwt decrypt --key mine.jwk --verify-key theirs.jwk --aud https://api.example TOKEN\n" + exitCodes,
		Flags: flags(decryptFlags(), publishedKeyFlags(verifyPrefix, verifyKeyGroup), checkFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: verifyPrefix + "alg", Category: verifyKeyGroup, Usage: "`ALGORITHM` of its signature that is accepted; repeatable", DefaultText: "those of the key's type"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			r, err := t.encryptionKeys(ctx, t.list("alg"))
			if err != nil {
				return err
			}
			if r, err = r.required(t.command); err != nil {
				return err
			}
			signers, err := t.signers(ctx)
			if err != nil {
				return err
			}
			token, err := t.token()
			if err != nil {
				return err
			}
			if signers.source != nil {
				return t.verifyNested(ctx, token, r, signers)
			}
			message, err := t.decrypt(ctx, token, r)
			if err != nil {
				return err
			}
			return t.printDecrypted(message)
		}),
	}
}

func decryptFlags() []cli.Flag {
	return flags(keyFlags("", keyGroup), []cli.Flag{
		&cli.StringSliceFlag{Name: "alg", Usage: "`ALGORITHM` for keys that is accepted; repeatable; needed for a password", DefaultText: "those of the key's type"},
		&cli.StringSliceFlag{Name: "enc", Usage: "`ALGORITHM` for content that is accepted; repeatable", DefaultText: "all"},
		&cli.BoolFlag{Name: "decompress", Usage: "accept a token that was compressed"},
	})
}

// signers reads the keys of whoever signed what is inside. Checks without them
// would look like checks that were made.
func (t *task) signers(ctx context.Context) (ring, error) {
	r, err := t.ring(ctx, wanted{prefix: verifyPrefix, use: jwk.UseSignature})
	if err != nil || r.source != nil {
		return r, err
	}
	for _, f := range checkFlags() {
		if name := f.Names()[0]; t.command.IsSet(name) {
			return r, usagef("--%s is checked in a signed token inside: give the key of its signature with --%s%s", name, verifyPrefix, fromFile)
		}
	}
	return r, nil
}

// verifyNested decrypts a token with some keys, verifies the one inside with others, and
// prints its claims.
func (t *task) verifyNested(ctx context.Context, token string, r, signers ring) error {
	o, err := t.verifyOptions(signers, verifyPrefix+"alg")
	if err != nil {
		return err
	}
	from := t.decryptOptions()
	result, err := jwt.VerifyNested[json.RawMessage](ctx, token, signers.source, o, jwt.DecryptOptions{
		Keys: r.source, Algorithms: from.Algorithms, Encryptions: from.Encryptions, Decompress: from.Decompress,
	})
	if err == nil {
		return t.printVerified(result.Token)
	}
	// It is refused. What follows only finds words for that.
	message, closed := t.decrypt(ctx, token, r)
	inside := string(message.Plaintext)
	switch {
	case closed != nil:
		return closed
	case kindOf(inside) != signed:
		return errors.New("the token is not valid: what is encrypted in it is not signed")
	case errors.Is(err, jwt.ErrType) && strings.TrimPrefix(strings.ToLower(message.Header.ContentType), "application/") != "jwt":
		return fmt.Errorf("the token is not valid: its content type (cty) is %q, and must be \"JWT\"", message.Header.ContentType)
	}
	return verdict(inside, err, o)
}

func (t *task) decryptOptions() jwe.DecryptOptions {
	o := jwe.DecryptOptions{Decompress: t.command.Bool("decompress")}
	for _, name := range t.list("alg") {
		o.Algorithms = append(o.Algorithms, jwa.Algorithm(name))
	}
	for _, name := range t.list("enc") {
		o.Encryptions = append(o.Encryptions, jwa.Encryption(name))
	}
	return o
}

// decrypt decrypts a token by the flags.
func (t *task) decrypt(ctx context.Context, token string, r ring) (jwe.Message, error) {
	switch kindOf(token) {
	case signed:
		return jwe.Message{}, errors.New("the token is not encrypted: verify it with ostiary jwt verify")
	case "":
		return jwe.Message{}, errNoToken
	}
	o := t.decryptOptions()
	message, err := jwe.Decrypt(ctx, token, r.source, o)
	switch {
	case err == nil:
		return message, nil
	case errors.Is(err, jwe.ErrOptions):
		return message, refused(err)
	case errors.Is(err, jwk.ErrUnavailable), errors.Is(err, context.Canceled):
		return message, usagef("the token was not judged: %s", plainCause(err))
	case errors.Is(err, jwe.ErrDecryption):
		return message, errors.New("the token does not decrypt: it was encrypted to another key, or changed")
	case errors.Is(err, jwe.ErrCompression) && !o.Decompress:
		return message, errors.New("the token was compressed before it was encrypted: --decompress accepts that")
	case errors.Is(err, jwe.ErrKey), errors.Is(err, jwe.ErrAlgorithm):
		h, _ := jwe.DecodeUnverified(token) // empty if it cannot be read, which err then says
		return message, fmt.Errorf("there is no key for the token: it names the key %q and the algorithms %q and %q", h.KeyID, h.Algorithm, h.Encryption)
	}
	return message, fmt.Errorf("the token cannot be decrypted: %s", plainCause(err))
}

// printDecrypted prints what was in a token, which nobody has signed for.
func (t *task) printDecrypted(message jwe.Message) error {
	header, err := message.Header.MarshalJSON()
	if err != nil {
		return err
	}
	d := decode(header, message.Plaintext)
	if kindOf(d.Text) == signed {
		t.warn("warning: the signed token inside was not verified: give the key of its signature with --%s%s", verifyPrefix, fromFile)
	}
	var c jwt.Registered
	if d.Claims != nil && json.Unmarshal(d.Claims, &c) == nil && !c.ExpiresAt.IsZero() && !t.now().Before(c.ExpiresAt.Time) {
		t.warn("warning: the token expired %s", relative(c.ExpiresAt.Time, t.now()))
	}
	switch {
	case t.command.Bool("json"):
		return t.printDocument(d)
	case d.Claims != nil:
		return t.printDocument(d.Claims)
	case kindOf(d.Text) != "":
		return t.say(t.command, nil, "%s", d.Text)
	case terminal(t.stdout):
		_, err = fmt.Fprintln(t.stdout, printable(string(message.Plaintext)))
	default:
		_, err = t.stdout.Write(message.Plaintext)
	}
	return err
}
