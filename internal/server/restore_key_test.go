package server_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

const passphrase = "correct horse battery staple"

// putBack restores a backup that has the master key in it, in place of what is there.
func putBack(t *testing.T, c server.Config, file []byte) (server.Restored, error) {
	t.Helper()
	return c.Restore(t.Context(), server.Restore{
		File: bytes.NewReader(file), Force: true, Actor: servertest.Operator, Progress: func(int64, int64) {},
		Passphrase: func() (model.Secret, error) { return passphrase, nil },
	})
}

func backUpWithKey(t *testing.T, h *servertest.House) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := h.BackUp(t.Context(), servertest.Operator, &b, server.BackUp{Version: "test", Passphrase: passphrase}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func otherMaster(t *testing.T, path string) string {
	t.Helper()
	key := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return key
}

// The master key that is restored is the one that the next start finds, also where
// there is another: that is put aside.
func TestRestoreOverMaster(t *testing.T) {
	for name, database := range map[string]string{"sqlite": "", "postgres": storetest.EmptyPostgresURL(t)} {
		t.Run(name, func(t *testing.T) {
			h := servertest.Start(t)
			file := backUpWithKey(t, h)
			h.Stop()
			c := h.Config
			c.Data, c.Database = t.TempDir(), database
			other := otherMaster(t, filepath.Join(c.Data, "master.key"))
			out, err := putBack(t, c, file)
			if err != nil || !out.Key || out.Aside == "" {
				t.Fatalf("the key came along: %t, aside is %q, %v", out.Key, out.Aside, err)
			}
			if kept, err := os.ReadFile(filepath.Join(out.Aside, "master.key")); err != nil || string(kept) != other {
				t.Errorf("what was there: %q, %v", kept, err)
			}
			p, err := server.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A backup is held to the master key that the operator has put into a file of its own,
// which nobody writes to.
func TestRestoreGivenMaster(t *testing.T) {
	h := servertest.Start(t)
	plain, withKey := backUp(t, h), backUpWithKey(t, h)
	h.Stop()
	c := h.Config
	c.MasterKeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.Rename(filepath.Join(c.Data, "master.key"), c.MasterKeyFile); err != nil {
		t.Fatal(err)
	}
	contents, err := backup.Verify(t.Context(), bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := c.GenuineBackup(contents); !there || err != nil {
		t.Errorf("the backup: %t, %v", there, err)
	}
	if out, err := putBack(t, c, withKey); err != nil || out.Key {
		t.Errorf("the key came along: %t, %v", out.Key, err)
	}
	otherMaster(t, c.MasterKeyFile)
	for name, file := range map[string][]byte{"alone": plain, "with the key": withKey} {
		if _, err := putBack(t, c, file); !errors.Is(err, backup.ErrForeign) || !strings.Contains(err.Error(), c.MasterKeyFile) {
			t.Errorf("%s, over another: %v", name, err)
		}
	}
	if _, err := keys.LoadMaster(keys.MasterConfig{Path: filepath.Join(c.Data, "master.key")}); !errors.Is(err, keys.ErrMasterMissing) {
		t.Errorf("the data folder: %v", err)
	}
}

// What was there is kept by each of several restores in one second.
func TestRestoreTwiceInASecond(t *testing.T) {
	h := servertest.Start(t)
	file := backUpWithKey(t, h)
	h.Stop()
	c, now := h.Config, time.Now()
	c.Now = func() time.Time { return now }
	kept := map[string]bool{}
	for range 3 {
		out, err := putBack(t, c, file)
		if err != nil {
			t.Fatal(err)
		}
		if kept[out.Aside] {
			t.Errorf("what was there went to %s once more", out.Aside)
		}
		kept[out.Aside] = true
		if _, err := os.Stat(filepath.Join(out.Aside, "ostiary.db")); err != nil {
			t.Error(err)
		}
	}
}
