package main

import (
	"context"
	"crypto"
	_ "crypto/sha512" // for --hash
	"encoding/base64"
	"slices"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

// thumbprintRecord is a thumbprint in JSON.
type thumbprintRecord struct {
	ID         string `json:"kid,omitempty"`
	Thumbprint string `json:"thumbprint"`
	URI        string `json:"uri"`
}

func (sh shell) jwkThumbprint() *cli.Command {
	return &cli.Command{
		Name: "thumbprint", Usage: "print the name that follows from a key alone (RFC 7638)",
		Description: "It is the same for both halves of a key, and however the key was encoded.\n" + keyExitCodes,
		Flags: flags(publishedKeyFlags("", keyGroup), []cli.Flag{
			&cli.StringFlag{Name: "kid", Usage: "only the key of this `NAME`"},
			&cli.StringFlag{Name: "hash", Value: "sha256", Usage: "`HASH`: sha256, sha384 or sha512"},
			&cli.BoolFlag{Name: "uri", Usage: "print it as a URI (RFC 9278)"},
		}),
		Action: sh.inquire(func(ctx context.Context, t *task) error {
			hash, ok := hashes[t.command.String("hash")]
			if !ok {
				return usagef("--hash: %q is not allowed: write sha256, sha384 or sha512", t.command.String("hash"))
			}
			r, err := t.someRing(ctx)
			if err != nil {
				return err
			}
			keys, err := r.all(ctx)
			if err != nil {
				return err
			}
			if kid := t.command.String("kid"); kid != "" {
				if keys = slices.DeleteFunc(slices.Clone(keys), func(k *jwk.Key) bool { return k.ID() != kid }); len(keys) == 0 {
					return usagef("%s has no key %q", r.flag, kid)
				}
			}
			return t.printThumbprints(keys, hash)
		}),
	}
}

// named is a hash with its name in a URI: RFC 9278 §4 takes the names of the
// registry of RFC 6920.
type named struct {
	hash crypto.Hash
	name string
}

var hashes = map[string]named{
	"sha256": {crypto.SHA256, "sha-256"},
	"sha384": {crypto.SHA384, "sha-384"},
	"sha512": {crypto.SHA512, "sha-512"},
}

func (t *task) printThumbprints(keys []*jwk.Key, with named) error {
	var records []thumbprintRecord
	for _, key := range keys {
		if key.Symmetric() { // RFC 7638 §7
			t.warn("warning: the thumbprint of a secret helps whoever wants to guess it: keep it to yourself")
		}
		text, err := thumbprint(key, with.hash)
		if err != nil {
			return err
		}
		records = append(records, thumbprintRecord{key.ID(), text, "urn:ietf:params:oauth:jwk-thumbprint:" + with.name + ":" + text})
	}
	if len(records) == 1 && t.command.Bool("json") {
		return t.printJSON(records[0])
	}
	list := table{columns: []string{"KEY", "THUMBPRINT"}, values: records}
	for _, r := range records {
		shown := r.Thumbprint
		if t.command.Bool("uri") {
			shown = r.URI
		}
		if len(records) == 1 {
			return t.say(t.command, nil, "%s", shown)
		}
		list.rows = append(list.rows, []string{r.ID, shown})
	}
	return t.printTable(t.command, list)
}

// required are the members that a thumbprint covers, RFC 7638 §3.2 and RFC 8037
// §2, in the order in which it does.
var required = map[jwa.KeyType][]string{
	jwa.RSA: {"e", "kty", "n"},
	jwa.EC:  {"crv", "kty", "x", "y"},
	jwa.OKP: {"crv", "kty", "x"},
	jwa.Oct: {"k", "kty"},
}

func thumbprint(key *jwk.Key, hash crypto.Hash) (string, error) {
	text, err := wholeKey(key)
	if err != nil {
		return "", err
	}
	members, err := membersOf(text)
	if err != nil {
		return "", err
	}
	var covered []member
	for _, name := range required[key.Type()] {
		at := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		covered = append(covered, members[at]) // every key has them
	}
	h := hash.New()
	h.Write(objectOf(covered))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}
