package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

// The keys of a command come from one of these flags.
const (
	fromFile       = "key"
	fromVariable   = "key-env"
	fromSecretFile = "secret-file"
	fromSecretEnv  = "secret-env"
	fromArgument   = "secret"
	fromAddress    = "jwks"
	fromIssuer     = "issued-by"
)

const (
	keyGroup       = "Keys"
	verifyKeyGroup = "Keys of a signed token inside"
	verifyPrefix   = "verify-"
)

// keyFlags returns the flags for a key of one's own: to sign, to decrypt.
func keyFlags(prefix, group string) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: prefix + fromFile, Category: group, Usage: "`FILE` with a key: JWK, JWK set, PEM or DER; - is standard input"},
		&cli.StringFlag{Name: prefix + fromVariable, Category: group, Usage: "environment variable `NAME` with a key: JWK, JWK set or PEM"},
		&cli.StringFlag{Name: prefix + fromSecretFile, Category: group, Usage: "`FILE` with a secret; one line end after a text is not part of it"},
		&cli.StringFlag{Name: prefix + fromSecretEnv, Category: group, Usage: "environment variable `NAME` with a secret"},
		&cli.StringFlag{Name: prefix + fromArgument, Category: group, Usage: "`SECRET` itself, which everybody on this machine then sees"},
	}, passphraseFlags(prefix, group)...)
}

// publishedKeyFlags returns those for keys that somebody publishes as well.
func publishedKeyFlags(prefix, group string) []cli.Flag {
	return append(keyFlags(prefix, group),
		&cli.StringFlag{Name: prefix + fromAddress, Category: group, Usage: "`URL` of a JWK set: https, or http on this machine"},
		&cli.StringFlag{Name: prefix + fromIssuer, Category: group, Usage: "`ISSUER` whose metadata tell the JWK set; a token must be from this issuer"})
}

// ring is the keys that a command was given.
type ring struct {
	source jwk.Source // nil if none was given
	keys   []*jwk.Key // nil if they are fetched
	set    bool       // they came as a set
	flag   string
	issuer string // that they belong to; "" if nothing is said about it
}

// wanted says what keys are for.
type wanted struct {
	prefix string        // of the flags
	use    string        // of a raw secret
	alg    jwa.Algorithm // that a raw secret is bound to
}

// ring reads the keys of the flags. Without any, its source is nil.
func (t *task) ring(ctx context.Context, w wanted) (ring, error) {
	var given []string
	for _, flag := range []string{fromFile, fromVariable, fromSecretFile, fromSecretEnv, fromArgument, fromAddress, fromIssuer} {
		if t.command.IsSet(w.prefix + flag) {
			given = append(given, flag)
		}
	}
	passphrase, err := t.givenPassphrase(w.prefix)
	switch {
	case err != nil:
		return ring{}, err
	case passphrase != "" && (len(given) == 0 || given[0] != fromFile && given[0] != fromVariable):
		return ring{}, usagef("--%s: only a private key has a passphrase: give the key with --%s%s or --%s%s", passphrase, w.prefix, fromFile, w.prefix, fromVariable)
	case len(given) == 0:
		return ring{}, nil
	case len(given) > 1:
		return ring{}, usagef("--%s%s and --%s%s: give one key, or one JWK set of all keys", w.prefix, given[0], w.prefix, given[1])
	}
	flag := w.prefix + given[0]
	r, err := t.ringFrom(ctx, given[0], w)
	var usage *usageError
	if err != nil && !errors.As(err, &usage) {
		err = usagef("--%s: %s", flag, keyProblem(err))
	}
	r.flag = "--" + flag
	return r, err
}

func (t *task) ringFrom(ctx context.Context, flag string, w wanted) (ring, error) {
	value := t.command.String(w.prefix + flag)
	switch flag {
	case fromFile:
		data, err := t.read("--"+w.prefix+flag, value)
		if err != nil {
			return ring{}, err
		}
		return t.readRing(data, w)
	case fromVariable:
		text, err := t.variable(value)
		if err != nil {
			return ring{}, err
		}
		return t.readRing([]byte(text), w)
	case fromSecretFile:
		data, err := t.read("--"+w.prefix+flag, value)
		if err != nil {
			return ring{}, err
		}
		return secretRing(withoutLineEnd(data), w)
	case fromSecretEnv:
		text, err := t.variable(value)
		if err != nil {
			return ring{}, err
		}
		return secretRing([]byte(text), w)
	case fromArgument:
		t.warn("warning: everybody on this machine can see the secret, and your shell keeps it: use --%s%s or --%s%s", w.prefix, fromSecretFile, w.prefix, fromSecretEnv)
		return secretRing([]byte(value), w)
	case fromAddress:
		return remoteRing(value)
	}
	return issuerRing(ctx, value)
}

func (t *task) variable(name string) (string, error) {
	if strings.ContainsAny(name, "{=\n") || strings.HasPrefix(name, "-----") { // it is not repeated
		return "", errors.New("this is a key and no name of an environment variable, and everybody on this machine can have seen it")
	}
	text, ok := t.getenv(name)
	if !ok || text == "" {
		return "", fmt.Errorf("the environment variable %q is not set or empty", name)
	}
	if len(text) > maxInput {
		return "", fmt.Errorf("the environment variable %q is longer than %d bytes", name, maxInput)
	}
	return text, nil
}

func secretRing(secret []byte, w wanted) (ring, error) {
	if bytes.Contains(secret, []byte("-----BEGIN ")) { // RFC 8725 §2.1: a public key as a secret lets everybody sign
		return ring{}, errors.New("this is a key in PEM and no secret: give it with --key")
	}
	key, err := jwk.New(secret, jwk.Params{Algorithm: w.alg, Use: w.use})
	if err != nil {
		return ring{}, err
	}
	return ring{source: key, keys: []*jwk.Key{key}}, nil
}

// withoutLineEnd takes off the line end that editors and echo write after a
// text. Bytes that are no text are a secret as they are.
func withoutLineEnd(data []byte) []byte {
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	control := func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' && r != '\n' && r != '\r' }
	if !utf8.Valid(line) || bytes.ContainsFunc(line, control) {
		return data
	}
	return line
}

// parseRing recognises the encoding of a key or a set of keys.
func parseRing(data []byte) (ring, error) {
	text := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return parseJSONRing(text)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return ringOf(jwk.ParsePEM(text, jwk.Params{}))
	case len(data) > 0 && data[0] == 0x30: // a sequence, as all of them are in DER
		return ringOf(parseDER(data))
	}
	return ring{}, errNoKey
}

var errNoKey = errors.New("this is neither a JWK, a JWK set, PEM nor DER; a secret is given with --secret-file or --secret-env")

func ringOf(key *jwk.Key, err error) (ring, error) {
	if err != nil {
		return ring{}, err
	}
	return ring{source: key, keys: []*jwk.Key{key}}, nil
}

func parseJSONRing(text []byte) (ring, error) {
	var form struct {
		Keys json.RawMessage `json:"keys"`
		Type json.RawMessage `json:"kty"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return ring{}, errors.New("this is not JSON") // its error may quote the key
	}
	if form.Keys == nil || form.Type != nil {
		return ringOf(jwk.Parse(text))
	}
	set, err := jwk.ParseSet(text)
	if err != nil {
		return ring{}, err
	}
	if set.Len() == 0 {
		if skipped := set.Skipped(); len(skipped) > 0 {
			return ring{}, skipped[0].Err
		}
		return ring{}, errors.New("the JWK set is empty")
	}
	return ring{source: set, keys: set.All(), set: true}, nil
}

// parseDER finds out which of the encodings of a key this is. Package jwk
// reads them by the label that they have in PEM.
func parseDER(data []byte) (*jwk.Key, error) {
	var problem error = errNoKey
	for _, label := range []string{"PRIVATE KEY", "PUBLIC KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "RSA PUBLIC KEY", "CERTIFICATE"} {
		key, err := jwk.ParsePEM(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: data}), jwk.Params{})
		if err == nil {
			return key, nil
		}
		if errors.Is(err, jwk.ErrWeak) || errors.Is(err, jwk.ErrUnsupported) {
			problem = err
		}
	}
	return nil, problem
}

// keyProblem is what is wrong with a key, and what to do.
func keyProblem(err error) string {
	text := strings.TrimPrefix(err.Error(), "jwk: ")
	if errors.Is(err, jwk.ErrWeak) {
		text += "; make a better one with ostiary jwk generate"
	}
	return text
}

// required returns an error if no key was given.
func (r ring) required(c *cli.Command) (ring, error) {
	if r.source == nil {
		return r, usagef("%s needs a key: give --%s, --%s, --%s or --%s", c.FullName(), fromFile, fromVariable, fromSecretFile, fromSecretEnv)
	}
	return r, nil
}

// all returns the keys, fetched if need be, in their order.
func (r ring) all(ctx context.Context) ([]*jwk.Key, error) {
	if r.keys != nil {
		return r.keys, nil
	}
	keys, err := r.source.Find(ctx, "")
	if err != nil {
		return nil, usagef("%s: %s", r.flag, keyProblem(err))
	}
	return keys, nil
}

// one returns the key that is meant: the only one, or that of --kid. A single
// key takes the name of --kid.
func (r ring) one(ctx context.Context, kid string) (*jwk.Key, error) {
	keys, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	if !r.set && r.keys != nil {
		if kid == "" || kid == keys[0].ID() {
			return keys[0], nil
		}
		return renamed(keys[0], textMember("kid", kid))
	}
	var names []string
	for _, k := range keys {
		if kid != "" && k.ID() == kid {
			return k, nil
		}
		names = append(names, fmt.Sprintf("%q", k.ID()))
	}
	switch {
	case kid == "" && len(keys) == 1:
		return keys[0], nil
	case kid == "":
		return nil, usagef("%s has %d keys: choose one with --kid, of %s", r.flag, len(keys), strings.Join(names, ", "))
	}
	return nil, usagef("%s has no key %q: choose one of %s", r.flag, kid, strings.Join(names, ", "))
}

// renamed returns the same key with other members beside its material. A member
// without a value is taken out.
func renamed(key *jwk.Key, changes ...member) (*jwk.Key, error) {
	text, err := wholeKey(key)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(text)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		var kept []member
		for _, m := range members {
			if m.name != change.name {
				kept = append(kept, m)
			}
		}
		if members = kept; change.value != nil {
			members = append(members, change)
		}
	}
	changed, err := jwk.Parse(objectOf(members))
	if err != nil {
		return nil, usagef("the key does not go with this: %s", keyProblem(err))
	}
	return changed, nil
}

// wholeKey returns a key as JSON, with its private half if it has one.
func wholeKey(key *jwk.Key) (json.RawMessage, error) {
	if key.Private() {
		return key.MarshalPrivateJSON()
	}
	return key.MarshalJSON()
}
