package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
)

// decoded is what a token says. Claims are there if the payload is a JSON
// object, and otherwise Text or, in base64url, Bytes.
type decoded struct {
	Header json.RawMessage `json:"header"`
	Claims json.RawMessage `json:"claims,omitempty"`
	Text   string          `json:"text,omitempty"`
	Bytes  string          `json:"bytes,omitempty"`
}

func (sh shell) jwtDecode() *cli.Command {
	return &cli.Command{
		Name: "decode", ArgsUsage: "TOKEN", Usage: "print what a token says, without verifying anything",
		Description: "It prints JSON with the header and the claims. Anybody can have written them.\n" +
			"Exit codes: 0 when the token could be read, 1 when not, 2 when the command line was wrong.",
		Action: sh.inquire(func(_ context.Context, t *task) error {
			token, err := t.token()
			if err != nil {
				return err
			}
			header, payload, err := takeApart(token)
			if err != nil {
				return err
			}
			if kindOf(token) == encrypted {
				t.warn("NOTHING WAS VERIFIED, and the claims are encrypted: this is the header; read the rest with ostiary jwt decrypt")
			} else {
				t.warn("NOTHING WAS VERIFIED: anybody can have written this; use ostiary jwt verify before you believe it")
			}
			return t.printDocument(decode(header, payload))
		}),
	}
}

func decode(header json.RawMessage, payload []byte) decoded {
	d := decoded{Header: header}
	switch _, err := membersOf(payload); {
	case err == nil && json.Valid(payload):
		d.Claims = payload
	case utf8.Valid(payload):
		d.Text = string(payload)
	default:
		d.Bytes = base64.RawURLEncoding.EncodeToString(payload)
	}
	return d
}
