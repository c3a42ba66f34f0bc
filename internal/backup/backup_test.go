package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

const masterText = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func master(t *testing.T, text string) keys.Master {
	t.Helper()
	m, err := keys.LoadMaster(keys.MasterConfig{Value: model.Secret(text)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// made returns a backup of a small database.
func made(t *testing.T, key *keys.Wrapped) []byte {
	t.Helper()
	address := storetest.SQLiteURL(t)
	s := storetest.Open(t, address)
	err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
		for name, value := range map[string]string{"issuer": "https://login.example.com", "x": "tab\t\"quotes\" <é🙂>", "y": strings.Repeat("z", 1<<20)} {
			if err := tx.PutSetting(name, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	source, err := store.OpenSource(t.Context(), address, false)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var b bytes.Buffer
	c := backup.Config{Version: "test", Derive: master(t, masterText).Derive, Key: key, Now: time.Now}
	if _, err := backup.Write(t.Context(), &b, source, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file is one of the tar.
type file struct {
	name string
	data []byte
}

func unpack(t *testing.T, b []byte) (all []file) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file{h.Name, data})
	}
}

func pack(t *testing.T, all []file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range all {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		w.Write(f.data)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// What was written is read, in parts, and is the same.
func TestRoundTrip(t *testing.T) {
	b := made(t, nil)
	c, err := backup.Verify(t.Context(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "https://login.example.com" || c.Version != "test" || c.Rows() < 3 || c.Database != "sqlite" {
		t.Errorf("%s %s %s %d", c.Issuer, c.Version, c.Database, c.Rows())
	}
	if err := c.Genuine(master(t, masterText).Derive); err != nil {
		t.Error(err)
	}
	if err := c.Genuine(master(t, strings.Replace(masterText, "A", "B", 1)).Derive); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("by another key: %v", err)
	}
	path := filepath.Join(t.TempDir(), "new.db")
	target, err := store.OpenTarget(t.Context(), "sqlite:"+path, c.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Load(t.Context(), bytes.NewReader(b), c, target, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, "sqlite:"+path)
	err = s.View(t.Context(), func(tx *store.Tx) error {
		x, _ := tx.Setting("x")
		y, _ := tx.Setting("y")
		if x != "tab\t\"quotes\" <é🙂>" || len(y) != 1<<20 {
			t.Errorf("%q, %d", x, len(y))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Each row is a backup to which something has happened.
func TestDamaged(t *testing.T) {
	whole := made(t, nil)
	all := unpack(t, whole)
	at := func(name string) int {
		for i, f := range all {
			if strings.HasPrefix(f.name, name) {
				return i
			}
		}
		t.Fatalf("there is no %s", name)
		return 0
	}
	changed := func(name, old, new string) []byte {
		i := at(name)
		files := append([]file{}, all...)
		files[i].data = bytes.Replace(files[i].data, []byte(old), []byte(new), 1)
		if bytes.Equal(files[i].data, all[i].data) {
			t.Fatalf("%q is not in %s", old, name)
		}
		return pack(t, files)
	}
	without := func(name string) []byte {
		i := at(name)
		return pack(t, append(append([]file{}, all[:i]...), all[i+1:]...))
	}
	for name, row := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":             {nil, backup.ErrDamaged},
		"something else":      {[]byte("hello"), backup.ErrDamaged},
		"cut off":             {whole[:len(whole)/2], backup.ErrDamaged},
		"the last byte":       {whole[:len(whole)-1], backup.ErrDamaged},
		"something follows":   {append(bytes.Clone(whole), 'x'), backup.ErrDamaged},
		"a second one":        {append(bytes.Clone(whole), whole...), backup.ErrDamaged},
		"a row changed":       {changed("rows/settings", "login.example.com", "login.example.org"), backup.ErrDamaged},
		"a row too short":     {changed("rows/settings", `["x",`, `[`), backup.ErrDamaged},
		"a row of null":       {changed("rows/settings", `["x",`, `[null,`), backup.ErrDamaged},
		"a part missing":      {without("rows/settings"), backup.ErrDamaged},
		"no manifest":         {without("manifest.json"), backup.ErrDamaged},
		"no seal":             {without("manifest.mac"), backup.ErrDamaged},
		"no header":           {without("ostiary-backup.json"), backup.ErrDamaged},
		"the header changed":  {changed("ostiary-backup.json", "login.example.com", "login.example.org"), backup.ErrDamaged},
		"a table of others":   {changed("ostiary-backup.json", `"name":"settings"`, `"name":"strange"`), backup.ErrDamaged},
		"SQL for a name":      {changed("ostiary-backup.json", `"name":"settings"`, `"name":"x\" (y) --"`), backup.ErrDamaged},
		"a newer form":        {changed("ostiary-backup.json", `"format":1`, `"format":2,"more":true`), backup.ErrNewer},
		"a newer schema":      {changed("ostiary-backup.json", `"schema":`, `"schema":9`), backup.ErrNewer},
		"a file of others":    {pack(t, append([]file{all[0], {"../../etc/passwd", []byte("x")}}, all[1:]...)), backup.ErrDamaged},
		"a part in disorder":  {pack(t, append([]file{all[0], {"rows/settings/000002.jsonl", nil}}, all[1:]...)), backup.ErrDamaged},
		"a manifest of fewer": {changed("manifest.json", `"name":"settings","rows":`, `"name":"settings","rows":1`), backup.ErrDamaged},
		"a key unlike one":    {pack(t, append([]file{all[0], {"master-key.json", []byte("[]")}}, all[1:]...)), backup.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := backup.Verify(t.Context(), bytes.NewReader(row.data)); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
}

// A file that is small and unpacks to parts without end is not read to its end: what is
// remembered of each would fill the memory.
func TestManyParts(t *testing.T) {
	const enough = 20_000
	backup.LimitParts(t, enough)
	all := unpack(t, made(t, nil))
	endless := func(row string) error {
		reading, writing := io.Pipe()
		defer reading.Close()
		go func() {
			z, _ := gzip.NewWriterLevel(writing, gzip.BestSpeed)
			w := tar.NewWriter(z)
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: all[0].name, Size: int64(len(all[0].data)), Mode: 0o600})
			w.Write(all[0].data)
			var err error
			for n := 1; err == nil && n <= 2*enough; n++ {
				err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("rows/settings/%06d.jsonl", n), Size: int64(len(row)), Mode: 0o600})
				io.WriteString(w, row)
			}
			w.Close()
			z.Close()
			writing.Close()
		}()
		_, err := backup.Verify(t.Context(), reading)
		return err
	}
	for row, want := range map[string]string{"": "nothing in it", `["x","y"]` + "\n": "too many parts"} {
		if err := endless(row); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", row, err)
		}
	}
}

// Somebody who changes rows and all hashes with them is found by the seal.
func TestForged(t *testing.T) {
	all := unpack(t, made(t, nil))
	// The last number given to a table is in the manifest alone.
	i := len(all) - 2
	all[i].data = bytes.Replace(all[i].data, []byte(`"name":"events","rows":0`), []byte(`"name":"events","last":5,"rows":0`), 1)
	c, err := backup.Verify(t.Context(), bytes.NewReader(pack(t, all)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Genuine(master(t, masterText).Derive); !errors.Is(err, backup.ErrForeign) {
		t.Error(err)
	}
}

// The master key is in it where that was asked for, and its passphrase opens it.
func TestKey(t *testing.T) {
	m := master(t, masterText)
	w, err := m.Wrap("a passphrase that is long")
	if err != nil {
		t.Fatal(err)
	}
	b := made(t, &w)
	if bytes.Contains(b, []byte(masterText)) {
		t.Error("the key is in clear")
	}
	c, err := backup.Verify(t.Context(), bytes.NewReader(b))
	if err != nil || c.Key == nil {
		t.Fatal(err)
	}
	if err := c.GenuineBy("a passphrase that is long"); err != nil {
		t.Error(err)
	}
	if err := c.GenuineBy("another passphrase"); !errors.Is(err, keys.ErrPassphrase) {
		t.Error(err)
	}
}
