package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
	"github.com/urfave/cli/v3"
)

// checkFlags returns the flags that say which tokens are accepted.
func checkFlags() []cli.Flag {
	const group = "What is accepted"
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "aud", Category: group, Usage: "`AUDIENCE` that the token must be for; repeatable: one of them"},
		&cli.StringSliceFlag{Name: "iss", Category: group, Usage: "`ISSUER` that it must be from; repeatable: one of them"},
		&cli.StringFlag{Name: "sub", Category: group, Usage: "`SUBJECT` that it must be about"},
		&cli.StringFlag{Name: "nonce", Category: group, Usage: "`NONCE` that it must carry"},
		&cli.StringSliceFlag{Name: "typ", Category: group, Usage: "`TYPE` in the header, such as at+jwt; repeatable: one of them"},
		&cli.StringFlag{Name: "leeway", Category: group, Usage: "`TIME` that clocks may be apart", DefaultText: "none"},
		&cli.StringFlag{Name: "max-age", Category: group, Usage: "`TIME` since the token was made, at most", DefaultText: "any"},
		&cli.BoolFlag{Name: "allow-no-expiry", Category: group, Usage: "accept a token that never expires"},
		atFlag(),
	}
}

func (sh shell) jwtVerify() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "TOKEN", Usage: "verify a token and print its claims",
		Description: "Example: ostiary jwt verify --issued-by https://login.example.com --aud https://api.example TOKEN\n" +
			"Say whom the token must be for and from, or one meant for somebody else is as good.\n" + exitCodes,
		Flags: flags(publishedKeyFlags("", keyGroup), checkFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "alg", Usage: "`ALGORITHM` that is accepted; repeatable", DefaultText: "those of the key's type"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			r, err := t.ring(ctx, wanted{use: jwk.UseSignature})
			if err != nil {
				return err
			}
			if r, err = r.required(t.command); err != nil {
				return err
			}
			token, err := t.token()
			if err != nil {
				return err
			}
			return t.verify(ctx, token, r, "alg")
		}),
	}
}

// verified is a token that was verified, for programs.
type verified struct {
	Valid  bool            `json:"valid"` // always true: otherwise there is an error
	Header json.RawMessage `json:"header"`
	Claims json.RawMessage `json:"claims"`
}

// verify judges a token by the flags and prints its claims. The algorithms that are
// accepted stand in the flag that is named.
func (t *task) verify(ctx context.Context, token string, r ring, algFlag string) error {
	o, err := t.verifyOptions(r, algFlag)
	if err != nil {
		return err
	}
	switch kindOf(token) {
	case encrypted:
		return errors.New("the token is encrypted: decrypt it with ostiary jwt decrypt, which verifies what is inside with --verify-key")
	case "":
		return errNoToken
	}
	result, err := jwt.Verify[json.RawMessage](ctx, token, r.source, o)
	if err != nil {
		return verdict(token, err, o)
	}
	return t.printVerified(result)
}

func (t *task) printVerified(result jwt.Token[json.RawMessage]) error {
	if !t.command.Bool("json") {
		return t.printDocument(result.Claims)
	}
	header, err := result.Header.MarshalJSON()
	if err != nil {
		return err
	}
	return t.printDocument(verified{true, header, result.Claims})
}

func (t *task) verifyOptions(r ring, algFlag string) (jwt.VerifyOptions, error) {
	o := jwt.VerifyOptions{
		Types: t.list("typ"), Audiences: t.list("aud"), Issuers: t.list("iss"),
		Subject: t.command.String("sub"), Nonce: t.command.String("nonce"),
		AllowMissingExpiration: t.command.Bool("allow-no-expiry"),
	}
	if r.issuer != "" {
		if len(o.Issuers) > 0 {
			return o, usagef("--iss and --%s both name the issuer: leave one out", fromIssuer)
		}
		o.Issuers = []string{r.issuer}
	}
	for _, name := range t.list(algFlag) {
		if err := jwa.Algorithm(name).Check(); err != nil {
			return o, usagef("--%s: %q is no algorithm of signatures: write one such as ES256, RS256, EdDSA or HS256", algFlag, name)
		}
		o.Algorithms = append(o.Algorithms, jwa.Algorithm(name))
	}
	var err error
	if o.Leeway, err = t.span("leeway"); err != nil {
		return o, err
	}
	if o.MaxAge, err = t.span("max-age"); err != nil {
		return o, err
	}
	o.Now, err = t.clock()
	return o, err
}

// verdict says in one sentence why a token is not valid. It returns a
// *usageError if that is not known.
func verdict(token string, err error, o jwt.VerifyOptions) error {
	var invalid *jwt.JSONWebTokenError
	if !errors.As(err, &invalid) {
		return usagef("the token was not judged: %s", plainCause(err))
	}
	if errors.Is(err, jwt.ErrOptions) {
		return refused(err)
	}
	said, _ := jwt.DecodeUnverified[jwt.Registered](token) // empty if it cannot be read, which err then says
	if words := timeVerdict(err, said.Claims, o.Now()); words != "" {
		return errors.New("the token is not valid: " + words)
	}
	for _, row := range []struct {
		of    error
		words string
	}{
		{jws.ErrUnsigned, "it has no signature"},
		{jwt.ErrSignature, "its signature does not match: it was changed, or signed with another key"},
		{jwt.ErrType, fmt.Sprintf("its type is %q, and must be %s", said.Header.Type, anyOf(o.Types))},
		{jwt.ErrMissing, missing(said.Claims, o)},
		{jwt.ErrAudience, fmt.Sprintf("it is for %s, and must be for %s", anyOf(said.Claims.Audience), anyOf(o.Audiences))},
		{jwt.ErrIssuer, fmt.Sprintf("it is from %q, and must be from %s", said.Claims.Issuer, anyOf(o.Issuers))},
		{jwt.ErrSubject, fmt.Sprintf("it is about %q, and must be about %q", said.Claims.Subject, o.Subject)},
		{jwt.ErrNonce, "its nonce is another one"},
		{jwt.ErrAlgorithm, fmt.Sprintf("its algorithm %q is not accepted", said.Header.Algorithm)},
		{jwt.ErrKey, fmt.Sprintf("there is no key for it: it names the key %q and the algorithm %q", said.Header.KeyID, said.Header.Algorithm)},
	} {
		if errors.Is(err, row.of) {
			return errors.New("the token is not valid: " + row.words)
		}
	}
	words := invalid.Message
	if invalid.Cause != nil {
		words = plainCause(invalid.Cause)
	}
	return errors.New("the token is not valid: " + words)
}

func timeVerdict(err error, said jwt.Registered, now time.Time) string {
	var expired *jwt.TokenExpiredError
	var early *jwt.NotBeforeError
	switch {
	case errors.As(err, &expired) && !expired.ExpiredAt.Equal(said.ExpiresAt.Time):
		return fmt.Sprintf("it is too old for --max-age since %s", utc(expired.ExpiredAt))
	case errors.As(err, &expired):
		return fmt.Sprintf("it expired %s, at %s", relative(expired.ExpiredAt, now), utc(expired.ExpiredAt))
	case errors.As(err, &early):
		return fmt.Sprintf("it is not good before %s, %s", utc(early.Date), relative(early.Date, now))
	}
	return ""
}

func missing(c jwt.Registered, o jwt.VerifyOptions) string {
	if c.ExpiresAt.IsZero() && !o.AllowMissingExpiration {
		return "it has no expiry (exp) and would be good for ever: --allow-no-expiry accepts that"
	}
	return "it does not tell when it was made (iat), which --max-age needs"
}

// anyOf lists names in words.
func anyOf(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, " or ")
}

// join lists names of algorithms.
func join[T ~string](names []T) string {
	var all []string
	for _, name := range names {
		all = append(all, string(name))
	}
	return strings.Join(all, ", ")
}
