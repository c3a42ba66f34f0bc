package main

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/jwk"
	"github.com/urfave/cli/v3"
)

// The passphrase of an encrypted key comes from one of these flags, or is asked
// for on a terminal. It is never an argument: those are seen by everybody on the
// machine.
const (
	fromPassphraseFile = "passphrase-file"
	fromPassphraseEnv  = "passphrase-env"
)

func passphraseFlags(prefix, group string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: prefix + fromPassphraseFile, Category: group, Usage: "`FILE` with the passphrase of an encrypted key; - is standard input", DefaultText: "asked for on a terminal"},
		&cli.StringFlag{Name: prefix + fromPassphraseEnv, Category: group, Usage: "environment variable `NAME` with the passphrase of an encrypted key"},
	}
}

// givenPassphrase returns the flag that a passphrase is given by; "" if none is.
func (t *task) givenPassphrase(prefix string) (string, error) {
	file, variable := prefix+fromPassphraseFile, prefix+fromPassphraseEnv
	switch {
	case t.command.IsSet(file) && t.command.IsSet(variable):
		return "", usagef("--%s and --%s: give one passphrase", file, variable)
	case t.command.IsSet(file):
		return file, nil
	case t.command.IsSet(variable):
		return variable, nil
	}
	return "", nil
}

// readRing recognises a key or a set of keys, and decrypts a key that needs it.
func (t *task) readRing(data []byte, w wanted) (ring, error) {
	flag, err := t.givenPassphrase(w.prefix)
	if err != nil {
		return ring{}, err
	}
	text, isEncrypted := encryptedKey(data)
	if !isEncrypted {
		r, err := parseRing(data)
		if err == nil && flag != "" { // who gave it believed that the key is safe in its file
			err = usagef("--%s: the key is not encrypted: leave the passphrase out", flag)
		}
		return r, err
	}
	passphrase, err := t.passphrase(flag, w.prefix)
	if err != nil {
		return ring{}, err
	}
	defer clear(passphrase)
	key, err := jwk.ParseEncryptedPEM(text, passphrase, jwk.Params{})
	switch {
	case errors.Is(err, jwk.ErrDecryption):
		return ring{}, errors.New("the key does not decrypt: is it the right passphrase?")
	case errors.Is(err, jwk.ErrInvalid): // one wrong passphrase in 256 leaves what looks like padding
		return ring{}, fmt.Errorf("%w; is it the right passphrase?", err)
	}
	return ringOf(key, err)
}

// encryptedKey returns a private key that is encrypted, in PEM, and false for
// anything else.
func encryptedKey(data []byte) ([]byte, bool) {
	const label = "ENCRYPTED PRIVATE KEY" // RFC 7468 §11
	if bytes.Contains(data, []byte("-----BEGIN "+label+"-----")) {
		return data, true
	}
	var der struct { // EncryptedPrivateKeyInfo, RFC 5958 §3
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if rest, err := asn1.Unmarshal(data, &der); err != nil || len(rest) != 0 {
		return nil, false
	}
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: data}), true
}

func (t *task) passphrase(flag, prefix string) ([]byte, error) {
	switch {
	case flag == prefix+fromPassphraseFile:
		data, err := t.read("--"+flag, t.command.String(flag))
		if err != nil {
			return nil, err
		}
		if data = withoutLineEnd(data); len(data) == 0 {
			return nil, usagef("--%s: the passphrase is empty", flag)
		}
		return data, nil
	case flag != "":
		text, err := t.variable(t.command.String(flag))
		if err != nil {
			return nil, usagef("--%s: %v", flag, err)
		}
		return []byte(text), nil
	case t.taken != "" || !terminal(t.stdin):
		return nil, fmt.Errorf("the key is encrypted: give its passphrase with --%s%s or --%s%s", prefix, fromPassphraseFile, prefix, fromPassphraseEnv)
	}
	answer, err := t.prompt("Passphrase of the key: ")
	if err == nil && answer == "" {
		err = errors.New("the key is encrypted, and no passphrase was given")
	}
	return []byte(answer), err
}
