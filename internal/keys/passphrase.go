package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
	"golang.org/x/crypto/argon2"
)

// What the master key can be sealed under beside a database: a passphrase, through
// Argon2id with the second choice of RFC 9106 §4.
const (
	wrapMemory  = 64 << 10 // KiB
	wrapPasses  = 3
	wrapThreads = 4
	wrapSalt    = 16 // bytes
)

// MinPassphrase is how many bytes a passphrase has at least. Whoever has the file can
// try as many as they like.
const MinPassphrase = 12

// ErrPassphrase says that a passphrase is wrong, or that what it shall open was changed.
var ErrPassphrase = errors.New("the passphrase is wrong, or what it opens was changed")

// Wrapped is a master key under a passphrase.
type Wrapped struct {
	Method  string `json:"method"` // "argon2id+aes-256-gcm"
	Memory  uint32 `json:"memory"` // KiB
	Passes  uint32 `json:"passes"`
	Threads uint8  `json:"threads"`
	Salt    []byte `json:"salt"`
	Sealed  []byte `json:"sealed"` // the nonce comes first
}

const wrapMethod = "argon2id+aes-256-gcm"

// Wrap seals the master key under a passphrase.
func (m Master) Wrap(passphrase model.Secret) (Wrapped, error) {
	if len(passphrase.Reveal()) < MinPassphrase {
		return Wrapped{}, fmt.Errorf("a passphrase has %d characters or more: whoever finds the file can try as many as they like", MinPassphrase)
	}
	w := Wrapped{Method: wrapMethod, Memory: wrapMemory, Passes: wrapPasses, Threads: wrapThreads, Salt: make([]byte, wrapSalt)}
	rand.Read(w.Salt)
	aead, err := w.aead(passphrase)
	if err != nil {
		return Wrapped{}, err
	}
	key := m.key()
	w.Sealed = aead.Seal(nil, nil, key[:], w.binding())
	return w, nil
}

// Unwrap returns the master key that Wrap was called on. It returns ErrPassphrase, and
// ErrMasterFormat for what asks for more than it may cost.
func (w Wrapped) Unwrap(passphrase model.Secret) (model.Secret, error) {
	if w.Method != wrapMethod || len(w.Salt) < wrapSalt || len(w.Salt) > 64 ||
		w.Memory < 8<<10 || w.Memory > 1<<20 || w.Passes < 1 || w.Passes > 32 || w.Threads < 1 || w.Threads > 64 {
		return "", fmt.Errorf("%w: how it is sealed is not known to this version of ostiary", ErrMasterFormat)
	}
	aead, err := w.aead(passphrase)
	if err != nil {
		return "", err
	}
	key, err := aead.Open(nil, nil, w.Sealed, w.binding())
	if err != nil || len(key) != masterSize {
		return "", ErrPassphrase
	}
	return model.Secret(base64.RawURLEncoding.EncodeToString(key)), nil
}

func (w Wrapped) aead(passphrase model.Secret) (cipher.AEAD, error) {
	key := argon2.IDKey([]byte(passphrase.Reveal()), w.Salt, w.Passes, w.Memory, w.Threads, masterSize)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// binding lets nobody turn what is sealed for this into something else.
func (w Wrapped) binding() []byte {
	return fmt.Appendf(nil, "ostiary/master/v1 %s %d %d %d", w.Method, w.Memory, w.Passes, w.Threads)
}

// Derive is Ring.Derive for those who have no ring, because there is no database yet.
func (m Master) Derive(label string) []byte { return m.derive(labelDerive + label) }

// WriteMaster writes a master key to a file, for its owner only, whole or not at all.
// It leaves one alone that is there already.
func WriteMaster(path string, key model.Secret) error {
	if _, err := parseMaster([]byte(key.Reveal()), ""); err != nil {
		return err
	}
	return placeMaster(path, key.Reveal())
}

// Wrap seals the master key of the ring under a passphrase.
func (r *Ring) Wrap(passphrase model.Secret) (Wrapped, error) { return r.master.Wrap(passphrase) }
