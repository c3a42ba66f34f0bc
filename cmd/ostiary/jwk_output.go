package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/ostiary/ostiary/jwk"
)

// document makes JSON of keys, with their private halves where they have them.
func (t *task) document(keys []*jwk.Key, set bool) ([]byte, error) {
	var all []json.RawMessage
	for _, key := range keys {
		text, err := wholeKey(key)
		if err != nil {
			return nil, usagef("%s", plainCause(err))
		}
		all = append(all, text)
	}
	var value any = map[string][]json.RawMessage{"keys": all}
	if !set {
		value = all[0]
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return []byte(escaped(text.String())), err
}

// written is a file with keys, for programs.
type written struct {
	File       string   `json:"file"`
	Keys       []string `json:"keys"` // their names
	Thumbprint string   `json:"thumbprint,omitempty"`
	Private    bool     `json:"private"`
}

// deliver writes keys to the file of --out, or prints them. A terminal is seen
// over shoulders and kept by recorders: private keys are shown there on request.
func (t *task) deliver(data []byte, keys ...*jwk.Key) error {
	w := written{File: t.command.String("out")}
	for _, key := range keys {
		w.Private = w.Private || key.Private()
		w.Keys = append(w.Keys, key.ID())
	}
	if len(keys) == 1 && !keys[0].Symmetric() {
		w.Thumbprint = keys[0].Thumbprint()
	}
	if w.File == "" {
		if w.Private && !t.command.Bool("private") && terminal(t.stdout) {
			return usagef("this would show a private key on the terminal: write it to a file with --out, or add --private to see it")
		}
		_, err := t.stdout.Write(data)
		return err
	}
	if err := create(w.File, data, w.Private); err != nil {
		return err
	}
	what := fmt.Sprintf("%d keys", len(keys))
	if len(keys) == 1 {
		what = fmt.Sprintf("the %v", keys[0])
	}
	return t.say(t.command, w, "Wrote %s to %s.", what, w.File)
}

// create writes a new file. It replaces none: a key that is gone is gone.
func create(name string, data []byte, private bool) (err error) {
	mode := os.FileMode(0o644)
	if private {
		mode = 0o600
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("there is a file %s already, and it is not replaced: choose another --out, or remove it first", name)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
