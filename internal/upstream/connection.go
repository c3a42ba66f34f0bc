package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Bounds on what an operator writes, and on what a provider tells, in bytes.
const (
	maxConnection = 256 << 10
	maxClaims     = 64 << 10
)

// decodeConnection reads a connection into what its kind knows. An unknown member is
// a mistake.
func decodeConnection(text []byte, into any) error {
	if len(text) > maxConnection {
		return ErrInvalid{"connection", "is longer than 256 KiB"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return ErrInvalid{"connection", "is not what its kind knows: " + err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return ErrInvalid{"connection", "must be one object"}
	}
	return nil
}

// boundClaims refuses claims that are longer than anybody's should be.
func boundClaims(claims map[string]any) error {
	if text, err := json.Marshal(claims); err != nil || len(text) > maxClaims {
		return failed(Untrusted, "the provider tells more than 64 KiB of somebody")
	}
	return nil
}

func failed(code Code, reason string) *Error { return &Error{Code: code, Reason: reason} }

// caused keeps the cause for errors.Is; its text is not told.
func caused(code Code, reason string, cause error) *Error {
	return &Error{Code: code, Reason: reason, cause: cause}
}
