package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keptFile is beside the database of a demo.
const keptFile = "demo.json"

// kept is what the next demo in the same folder needs to be the same: where
// everything was, and what its applications prove themselves with. It is written
// when all of it is true.
type kept struct {
	Ports   map[string]int    `json:"ports"`
	Secrets map[string]string `json:"secrets"` // by the ID of their client
	Seed    []byte            `json:"seed"`    // of the keys with which samples seal cookies

	furnished bool // it was read
}

// readKept returns what a folder keeps; an empty folder, or none, keeps nothing yet.
func readKept(folder string, port int) (kept, error) {
	k := kept{Ports: map[string]int{}, Secrets: map[string]string{}, Seed: make([]byte, 32)}
	rand.Read(k.Seed)
	text, err := os.ReadFile(filepath.Join(folder, keptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return k, emptyFolder(folder)
	}
	if err != nil {
		return kept{}, fmt.Errorf("cannot read what is kept: %w: choose another folder with --keep", err)
	}
	k = kept{furnished: true}
	if err := json.Unmarshal(text, &k); err != nil || k.Ports["server"] == 0 || k.Secrets == nil || len(k.Seed) < 32 {
		return kept{}, fmt.Errorf("%s is not what a demo keeps: choose another folder with --keep", filepath.Join(folder, keptFile))
	}
	if was := k.Ports["server"]; port != 0 && port != was {
		return kept{}, fmt.Errorf("the demo in %s has the server at port %d, and its applications know it there: leave --port out, or choose another folder with --keep", folder, was)
	}
	return k, nil
}

// emptyFolder makes the folder. It may be there, but it must be empty: it could be
// that of a server which is no demo.
func emptyFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder: %w: choose another with --keep", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("cannot read the folder: %w: choose another with --keep", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty, and no demo has made it: choose a new folder with --keep", folder)
	}
	return nil
}

// write keeps k, so that nobody else on the machine can read it.
func (k kept) write(folder string) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, keptFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("cannot keep what the next start needs: %w: choose another folder with --keep", err)
	}
	return os.Rename(path+".new", path)
}

// abandon empties a folder that was empty before this demo, which does not stand: half
// of one is of no use to the next start.
func (k kept) abandon(folder string) error {
	if k.furnished {
		return nil
	}
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(folder, e.Name())))
	}
	return err
}

// secret returns one that the demo makes up itself, the same at each start.
func (k kept) secret(name string) string {
	if k.Secrets[name] == "" {
		k.Secrets[name] = rand.Text()
	}
	return k.Secrets[name]
}

// key returns the key of a sample for one purpose, the same at each start.
func (k kept) key(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.Seed, nil, "ostiary demo "+purpose, 32)
}
