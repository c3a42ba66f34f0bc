package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
	"github.com/urfave/cli/v3"
)

func (sh shell) jwtInspect() *cli.Command {
	return &cli.Command{
		Name: "inspect", ArgsUsage: "TOKEN", Usage: "explain a token: header, claims, times, and what is wrong with it",
		Description: "With a key it checks the signature too, or decrypts the token. It explains and does not judge: scripts use ostiary jwt verify.\n" +
			"Exit codes: 0 when there was a token to explain, whatever is wrong with it, 1 when there was not, 2 when the command line or a key was wrong.",
		Flags: flags(publishedKeyFlags("", keyGroup), publishedKeyFlags(verifyPrefix, verifyKeyGroup), []cli.Flag{
			&cli.StringSliceFlag{Name: "alg", Usage: "`ALGORITHM` that encrypts the key; needed for a password", DefaultText: "those of the key's type"},
			atFlag(),
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			clock, err := t.clock()
			if err != nil {
				return err
			}
			token, err := t.token()
			if err != nil {
				return err
			}
			i, err := inspect(token, clock())
			if err != nil {
				return err
			}
			if len(token) > jwt.MaxInHeader {
				i.warning("long", "RFC 9110 §5.4", "it %s", tooLong(token))
			}
			if i.Kind == encrypted {
				err = t.open(ctx, token, i)
			} else {
				err = t.checkSignature(ctx, token, i)
			}
			switch {
			case err != nil:
				return err
			case t.command.Bool("json"):
				return t.printDocument(i)
			}
			return t.printPage(i)
		}),
	}
}

// inspection is all that can be told of a token.
type inspection struct {
	Kind string `json:"kind"` // "signed" or "encrypted"
	Size int    `json:"size"` // in bytes
	decoded
	Times      map[string]moment `json:"times,omitempty"` // by claim
	Signature  *check            `json:"signature,omitempty"`
	Encryption *check            `json:"encryption,omitempty"`
	Findings   []finding         `json:"findings"`
	Inside     *inspection       `json:"inside,omitempty"` // what was encrypted, if it is a token itself

	now time.Time
}

// check is what came of the cryptography.
type check struct {
	Status string `json:"status"` // "valid", "invalid", "missing", "unchecked"; "opened", "failed", "closed"
	Detail string `json:"detail"` // in words
}

// moment is a date among the claims.
type moment struct {
	Unix     int64  `json:"unix"`
	UTC      string `json:"utc"`
	Relative string `json:"relative"` // "in 4 minutes", "3 days ago"
}

// finding is something that is wrong or worth knowing.
type finding struct {
	Level  string `json:"level"` // "problem" or "warning"
	Code   string `json:"code"`
	Text   string `json:"text"`
	Clause string `json:"clause,omitempty"`
}

func inspect(token string, now time.Time) (*inspection, error) {
	header, payload, err := takeApart(token)
	if err != nil {
		return nil, err
	}
	i := &inspection{Kind: kindOf(token), Size: len(token), Findings: []finding{}, now: now}
	i.Header = header
	i.findInHeader()
	if i.Kind == signed {
		i.explainPayload(payload)
	}
	return i, nil
}

// explainPayload looks at the claims.
func (i *inspection) explainPayload(payload []byte) {
	members, err := membersOf(payload)
	i.decoded = decode(i.Header, payload)
	if errors.Is(err, errTwice) {
		i.Claims, i.Text = payload, ""
		i.problem("duplicate", "RFC 7519 §4", "a claim is there twice, and readers will not agree upon which counts")
	} else if err != nil {
		i.warning("no_claims", "RFC 7519 §7.2", "the payload is no JSON object, so it holds no claims")
		return
	}
	i.Times = map[string]moment{}
	for _, m := range members {
		var at jwt.Time
		if _, ok := dates[m.name]; ok && json.Unmarshal(m.value, &at) == nil && !at.IsZero() {
			i.Times[m.name] = moment{at.Unix(), utc(at.Time), relative(at.Time, i.now)}
		}
	}
	i.findInClaims(members)
}

// checkSignature verifies a signed token, if there is a key for that.
func (t *task) checkSignature(ctx context.Context, token string, i *inspection) error {
	r, err := t.ring(ctx, wanted{use: jwk.UseSignature})
	if err != nil {
		return err
	}
	if r.source == nil {
		if r, err = t.ring(ctx, wanted{prefix: verifyPrefix, use: jwk.UseSignature}); err != nil {
			return err
		}
	}
	return i.verify(ctx, token, r)
}

func (i *inspection) verify(ctx context.Context, token string, r ring) error {
	header, _, err := jws.DecodeUnverified(token)
	if err != nil {
		return unreadable(err)
	}
	if r.source == nil {
		i.Signature = &check{"unchecked", fmt.Sprintf("nobody has vouched for this token: give the key with --%s, --%s, --%s or --%s", fromFile, fromSecretFile, fromAddress, fromIssuer)}
		if header.Algorithm == "none" {
			i.Signature = &check{"missing", "there is none"}
		}
		return nil
	}
	message, err := jws.Verify(ctx, token, r.source, jws.VerifyOptions{})
	words := ""
	switch {
	case err == nil:
		i.Signature = &check{"valid", fmt.Sprintf("made with the key that was given (%v)", publicly(message.Key))}
		i.checkIssuer(r.issuer)
		return nil
	case errors.Is(err, jws.ErrUnsigned):
		words = "there is no signature"
	case errors.Is(err, jws.ErrSignature):
		words = "it does not match: the token was changed, or signed with another key"
	case errors.Is(err, jws.ErrKey), errors.Is(err, jws.ErrAlgorithm):
		words = fmt.Sprintf("the key that was given is not for it: the token names the key %q and the algorithm %q", header.KeyID, header.Algorithm)
	case errors.Is(err, jws.ErrCritical), errors.Is(err, jws.ErrMalformed):
		words = plainCause(err)
	default:
		return usagef("%s: %s", r.flag, plainCause(err))
	}
	i.Signature = &check{"invalid", words}
	return nil
}

// publicly is the half of a key that can be spoken of, where there is one.
func publicly(key *jwk.Key) *jwk.Key {
	if half, err := key.Public(); err == nil {
		return half
	}
	return key
}

func (i *inspection) checkIssuer(issuer string) {
	var c struct {
		Issuer any `json:"iss"`
	}
	_ = json.Unmarshal(i.Claims, &c) // without claims there is no issuer
	if issuer != "" && c.Issuer != issuer {
		i.problem("issuer", "RFC 8725 §3.8", "it is not from the issuer whose key signed it")
	}
}

// open decrypts an encrypted token, if there is a key for that, and looks at
// what is inside.
func (t *task) open(ctx context.Context, token string, i *inspection) error {
	i.Encryption = &check{"closed", fmt.Sprintf("the claims are encrypted: give the key with --%s or --%s to see them", fromFile, fromSecretFile)}
	r, err := t.encryptionKeys(ctx, t.list("alg"))
	if err != nil || r.source == nil {
		return err
	}
	message, err := t.decrypt(ctx, token, r)
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	if err != nil {
		i.Encryption = &check{"failed", err.Error()}
		return nil
	}
	i.Encryption = &check{"opened", fmt.Sprintf("with the key that was given (%s)", strings.Replace(message.Key.String(), " [redacted]", "", 1))}
	return t.lookInside(ctx, i, message)
}

func (t *task) lookInside(ctx context.Context, i *inspection, message jwe.Message) error {
	nested := string(message.Plaintext)
	inside, err := inspect(nested, i.now)
	if err != nil {
		i.explainPayload(message.Plaintext)
		if !message.Key.Symmetric() {
			i.warning("unsigned", "RFC 8725 §3.3", "nobody signed what is inside: whoever has the public key can have written it")
		}
		return nil
	}
	i.Inside = inside
	if inside.Kind == encrypted {
		inside.Encryption = &check{"closed", "encrypted once more: decrypt it by itself"}
		return nil
	}
	r, err := t.ring(ctx, wanted{prefix: verifyPrefix, use: jwk.UseSignature})
	if err != nil {
		return err
	}
	return inside.verify(ctx, nested, r)
}
