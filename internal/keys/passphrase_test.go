package keys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

func TestWrap(t *testing.T) {
	const text = model.Secret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
	m, err := LoadMaster(MasterConfig{Value: text})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Wrap("elevenchars"); err == nil {
		t.Error("a short passphrase was taken")
	}
	w, err := m.Wrap("twelve chars")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Unwrap("twelve chars"); err != nil || got.Reveal() != text.Reveal() {
		t.Errorf("%v", err)
	}
	for name, row := range map[string]struct {
		change func(*Wrapped)
		want   error
	}{
		"another passphrase":   {func(*Wrapped) {}, ErrPassphrase},
		"what is sealed":       {func(w *Wrapped) { w.Sealed[20] ^= 1 }, ErrPassphrase},
		"the salt":             {func(w *Wrapped) { w.Salt[0] ^= 1 }, ErrPassphrase},
		"less memory":          {func(w *Wrapped) { w.Memory /= 2 }, ErrPassphrase},
		"nothing sealed":       {func(w *Wrapped) { w.Sealed = nil }, ErrPassphrase},
		"all the memory":       {func(w *Wrapped) { w.Memory = 1 << 31 }, ErrMasterFormat},
		"passes without end":   {func(w *Wrapped) { w.Passes = 1 << 30 }, ErrMasterFormat},
		"no salt":              {func(w *Wrapped) { w.Salt = nil }, ErrMasterFormat},
		"another way of doing": {func(w *Wrapped) { w.Method = "rot13" }, ErrMasterFormat},
	} {
		t.Run(name, func(t *testing.T) {
			changed := w
			changed.Salt, changed.Sealed = append([]byte{}, w.Salt...), append([]byte{}, w.Sealed...)
			row.change(&changed)
			passphrase := model.Secret("twelve chars")
			if name == "another passphrase" {
				passphrase = "Twelve chars"
			}
			if _, err := changed.Unwrap(passphrase); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "master.key")
	if err := WriteMaster(path, text); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if again, err := LoadMaster(MasterConfig{Path: path}); err != nil || again.key() != m.key() {
		t.Error(err)
	}
}
