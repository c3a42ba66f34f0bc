package keys

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
)

const testKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestMasterCreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "master.key")
	first, err := LoadMaster(MasterConfig{Path: path, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	for _, create := range []bool{true, false} {
		again, err := LoadMaster(MasterConfig{Path: path, Create: create})
		if err != nil || again.key() != first.key() {
			t.Errorf("create %v: another key, %v", create, err)
		}
	}
	rest, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(rest) != 1 {
		t.Errorf("left behind: %v, %v", rest, err)
	}
}

func TestMasterCreatedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	var keys [8]Master
	var group sync.WaitGroup
	for i := range keys {
		group.Go(func() {
			var err error
			if keys[i], err = LoadMaster(MasterConfig{Path: path, Create: true}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, m := range keys {
		if !t.Failed() && m.key() != keys[0].key() {
			t.Fatal("two processes made two keys")
		}
	}
}

func TestMasterForms(t *testing.T) {
	raw, err := hex.DecodeString(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"hexadecimal":            testKey,
		"upper case":             strings.ToUpper(testKey),
		"base64url":              base64.RawURLEncoding.EncodeToString(raw),
		"base64url with padding": base64.URLEncoding.EncodeToString(raw),
		"space around it":        " " + testKey + "\r\n",
	} {
		path := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []MasterConfig{{Value: model.Secret(text)}, {Path: path}, {Value: model.Secret(text), Path: "/nowhere"}} {
			m, err := LoadMaster(c)
			if err != nil || m.key() != [masterSize]byte(raw) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestMasterRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	absent := filepath.Join(dir, "absent")
	for _, row := range []struct {
		name   string
		config MasterConfig
		err    error
		says   []string
	}{
		{"missing, with sealed keys", MasterConfig{Path: absent}, ErrMasterMissing, []string{absent, MasterVariable, "restore"}},
		{"no file named", MasterConfig{}, ErrMasterMissing, []string{MasterVariable}},
		{"readable by the group", MasterConfig{Path: write("group", testKey, 0o640)}, ErrMasterMode, []string{"0640", "chmod 600 " + filepath.Join(dir, "group")}},
		{"readable by all", MasterConfig{Path: write("all", testKey, 0o644)}, ErrMasterMode, []string{"0644", "chmod 600"}},
		{"writable by others", MasterConfig{Path: write("others", testKey, 0o602)}, ErrMasterMode, []string{"0602", "chmod 600"}},
		{"empty", MasterConfig{Path: write("empty", "", 0o600), Create: true}, ErrMasterFormat, []string{"empty", "restore"}},
		{"16 bytes", MasterConfig{Path: write("short", testKey[:32], 0o600)}, ErrMasterFormat, []string{"short"}},
		{"33 bytes", MasterConfig{Path: write("long", testKey+"00", 0o600)}, ErrMasterFormat, []string{"long"}},
		{"a large file", MasterConfig{Path: write("large", strings.Repeat("0", 1<<20), 0o600)}, ErrMasterFormat, []string{"large"}},
		{"not hexadecimal", MasterConfig{Path: write("bad", testKey[:63]+"g", 0o600)}, ErrMasterFormat, []string{"bad"}},
		{"a folder", MasterConfig{Path: dir}, ErrMasterFormat, []string{dir}},
		{"in the environment", MasterConfig{Value: model.Secret(testKey[:63] + "g")}, ErrMasterFormat, []string{MasterVariable}},
		{"space in the environment", MasterConfig{Value: "  "}, ErrMasterFormat, []string{MasterVariable}},
	} {
		if runtime.GOOS == "windows" && row.err == ErrMasterMode {
			continue // such bits are not kept there
		}
		m, err := LoadMaster(row.config)
		if !errors.Is(err, row.err) || m.key != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		for _, part := range row.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", row.name, err, part)
			}
		}
		if strings.Contains(err.Error(), testKey[:16]) || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: the error is %q", row.name, err)
		}
	}
}

func TestMasterOfAnotherDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		n := openNode(t, s, newMaster(t), newClock())
		path := filepath.Join(t.TempDir(), "other.key")
		other, err := LoadMaster(MasterConfig{Path: path, Create: true})
		n.ok(err)
		env, err := LoadMaster(MasterConfig{Value: testKey})
		n.ok(err)
		for origin, m := range map[string]Master{path: other, MasterVariable: env} {
			r, err := Open(t.Context(), Config{Store: s, Master: m, Now: n.now, Algorithms: []jwa.Algorithm{jwa.ES256}})
			if !errors.Is(err, ErrMasterMismatch) || r != nil {
				t.Fatalf("%s: %v", origin, err)
			}
			if !strings.Contains(err.Error(), origin) || strings.Contains(err.Error(), testKey) {
				t.Errorf("the error is %q", err)
			}
		}
		if len(n.rows()) != 1 || len(n.events()) != 2 {
			t.Error("a wrong master key left something behind")
		}
	})
}

func TestMasterIsNotPrinted(t *testing.T) {
	m, err := LoadMaster(MasterConfig{Value: testKey})
	if err != nil {
		t.Fatal(err)
	}
	r := openWith(t, newClock(), Config{Store: storetest.SQLite(t), Master: m, Algorithms: []jwa.Algorithm{jwa.ES256}}).Ring
	var printed strings.Builder
	log := slog.New(slog.NewTextHandler(&printed, nil))
	for _, v := range []any{m, &m, Config{Master: m}, struct{ m Master }{m}, r} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&printed, verb, v)
		}
		log.Info("a line", "value", v)
	}
	key := m.key()
	for _, form := range []string{
		testKey, string(key[:]), fmt.Sprint(key)[1:20], base64.RawURLEncoding.EncodeToString(key[:]), "0x1, 0x23, 0x45",
	} {
		if strings.Contains(strings.ToLower(printed.String()), strings.ToLower(form)) {
			t.Errorf("printed as %q", form)
		}
	}
}
