package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ostiary/ostiary/internal/model"
)

// MasterVariable is the environment variable that may hold the master key in
// place of the file. The command reads it; this package only names it in
// errors.
const MasterVariable = "OSTIARY_MASTER_KEY"

// What can be wrong with the master key. Each comes wrapped in a sentence that
// names the file or the variable, and the cure; never the key.
var (
	ErrMasterMissing  = errors.New("the master key is missing")
	ErrMasterFormat   = errors.New("the master key is not 32 bytes in base64url or hexadecimal")
	ErrMasterMode     = errors.New("the master key can be read by others")
	ErrMasterMismatch = errors.New("the master key does not fit the database")
)

const masterSize = 32 // bytes: AES-256

// Master is the key under which everything secret in the database is sealed.
type Master struct {
	// key is behind a function because package fmt, printing a struct that
	// holds a Master, looks into unexported fields and through pointers.
	key    func() [masterSize]byte
	origin string // where it came from, for errors
}

// MasterConfig says where the master key is.
type MasterConfig struct {
	// Value is the key itself, from the environment; it wins over Path.
	Value model.Secret
	// Path is the file that holds it, readable by its owner only.
	Path string
	// Create allows an absent file to be made, with a new key. Set it only
	// when Exist says that the database holds no sealed key yet.
	Create bool
	// Given says that the operator has put the file there, or what starts the server
	// has (systemd, Kubernetes, a container): then a group may read it, by which
	// those give it to the server's user.
	Given bool
}

// LoadMaster returns the master key. It returns ErrMasterMissing,
// ErrMasterFormat and ErrMasterMode.
func LoadMaster(c MasterConfig) (Master, error) {
	if c.Value != "" {
		m, err := parseMaster([]byte(c.Value.Reveal()), "the environment variable "+MasterVariable)
		if err != nil {
			return Master{}, fmt.Errorf("%w: correct the environment variable %s", err, MasterVariable)
		}
		return m, nil
	}
	if c.Path == "" {
		return Master{}, fmt.Errorf("%w: set %s, or name a file for it", ErrMasterMissing, MasterVariable)
	}
	others := fs.FileMode(0o077)
	if c.Given {
		others = 0o037
	}
	m, err := readMaster(c.Path, others)
	if !errors.Is(err, fs.ErrNotExist) || c.Given {
		return m, err
	}
	if !c.Create {
		return Master{}, fmt.Errorf("%w: the database holds keys sealed with it, but there is no file %s; restore the file from a backup, or set %s",
			ErrMasterMissing, c.Path, MasterVariable)
	}
	if err := createMaster(c.Path); err != nil {
		return Master{}, fmt.Errorf("the master key cannot be created at %s: %w; make its folder writable, or set %s", c.Path, err, MasterVariable)
	}
	// What counts is what is in the file now: another process may have been first.
	return readMaster(c.Path, others)
}

// readMaster reads a file that has none of the rights of others. It returns an error
// that wraps fs.ErrNotExist when there is no file.
func readMaster(path string, others fs.FileMode) (Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return Master{}, fmt.Errorf("the master key cannot be read: %w; give this user the right to read it, or set %s", err, MasterVariable)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Master{}, fmt.Errorf("the master key cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Master{}, fmt.Errorf("%w: %s is not a file; name the file, or set %s", ErrMasterFormat, path, MasterVariable)
	}
	// Windows has no such bits: there the rights of the folder decide.
	if mode := info.Mode().Perm(); mode&others != 0 && runtime.GOOS != "windows" {
		return Master{}, fmt.Errorf("%w: the file %s has mode %04o; run chmod 600 %s", ErrMasterMode, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return Master{}, fmt.Errorf("the master key cannot be read: %w", err)
	}
	m, err := parseMaster(text, "the file "+path)
	if err != nil {
		return Master{}, fmt.Errorf("%w: restore the file %s from a backup, or set %s", err, path, MasterVariable)
	}
	return m, nil
}

func parseMaster(text []byte, origin string) (Master, error) {
	text = bytes.TrimSpace(text)
	var key []byte
	var err error
	if len(text) == hex.EncodedLen(masterSize) {
		key, err = hex.DecodeString(string(text))
	} else {
		key, err = base64.RawURLEncoding.Strict().DecodeString(string(bytes.TrimRight(text, "=")))
	}
	if err != nil || len(key) != masterSize {
		return Master{}, ErrMasterFormat // and not err, which quotes a part of the key
	}
	fixed := [masterSize]byte(key)
	return Master{key: func() [masterSize]byte { return fixed }, origin: origin}, nil
}

// createMaster writes a new key.
func createMaster(path string) error {
	key := make([]byte, masterSize)
	rand.Read(key)
	return placeMaster(path, base64.RawURLEncoding.EncodeToString(key))
}

// placeMaster writes a key so that the file is there whole or not at all, and
// leaves one alone that is there already.
func placeMaster(path, key string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".master-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(key + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces the key of a process that was
	// faster. Without links on the file system the rename has to do.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// syncDir makes the new name durable: keys that are sealed under a master key
// that a power cut took away are lost.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be flushed there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Format hides the key, whatever the verb.
func (m Master) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // a formatter has nowhere to report to
}

// LogValue hides the key.
func (m Master) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"
