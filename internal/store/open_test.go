package store_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// raw opens a database behind the store's back.
func raw(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver := "pgx"
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, address = "sqlite", path
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// refused checks that a database cannot be opened, and that the message holds
// those words.
func refused(t *testing.T, address string, want error, words ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: address})
	if err == nil { // what is damaged within is found meanwhile, and nothing is written
		defer s.Close()
		if write := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.PutSetting("x", "y") }); !errors.Is(write, want) {
			t.Errorf("written: %v, want %v", write, want)
		}
		if err = s.Sound(t.Context()); err == nil {
			t.Fatal("it was opened")
		}
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the message does not say %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the message tells the password: %v", err)
	}
}

func TestOpenRefusesAddress(t *testing.T) {
	for _, address := range []string{
		"", "sqlite:", "sqlite::memory:", "sqlite:file:x.db", "mysql://root:s3cret@localhost/db", "root:s3cret@localhost",
		"postgres://u:s3cret@host:port/db", "postgres://u:s3cret@[::1/db", "postgres://u:s3cret %zz@host/db",
		"postgres://u:s3cret@host/db?sslmode=sometimes", "postgres:\x00s3cret",
	} {
		t.Run(address, func(t *testing.T) { refused(t, address, store.ErrAddress) })
	}
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		storetest.Open(t, address).Close()
		exec(t, raw(t, address), `INSERT INTO ostiary_schema (version_id, is_applied) VALUES (9999, true)`)
		refused(t, address, store.ErrNewerSchema, "9999", "run the newer version")
	})
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	content, err := os.ReadFile(strings.TrimPrefix(filled(t), "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(from, to int) []byte {
		c := append([]byte(nil), content...)
		for i := from; i < to; i++ {
			c[i] = byte(i * 7)
		}
		return c
	}
	const page = 4096
	for _, row := range []struct {
		name    string
		content []byte
	}{
		{"another format", []byte(strings.Repeat("This is my diary. ", 100))},
		{"damaged head", damaged(0, 100)},
		{"damaged schema", damaged(100, page)},
		{"damaged middle", damaged(len(content)/page/2*page, (len(content)/page/2+3)*page)},
		{"cut short", content[:len(content)/2]},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			if err := os.WriteFile(path, row.content, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, "sqlite:"+path, store.ErrCorrupt, path, "restore a backup")
			left, err := os.ReadFile(path)
			if err != nil || len(left) != len(row.content) {
				t.Errorf("the file was changed: %d bytes, %v", len(left), err)
			}
		})
	}
}

// filled returns the address of a closed database with many people.
func filled(t *testing.T) string {
	t.Helper()
	address := storetest.SQLiteURL(t)
	s := storetest.Open(t, address)
	upkeep(t, s, func(tx *store.Tx) error {
		for i := range 500 {
			id := number("u", i)
			if err := tx.InsertUser(model.User{ID: model.UserID(id), Login: id, PasswordHash: strings.Repeat("x", 200)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func TestOpenRefusesAnotherProgramsDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.sqlite")
	exec(t, raw(t, "sqlite:"+path), `CREATE TABLE bookmarks (id INTEGER)`)
	refused(t, "sqlite:"+path, store.ErrCorrupt, path, "another program", "choose another file")
}

func TestOpenRefusesPlace(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "sqlite:"+filepath.Join(file, "x.db"), nil, filepath.Join(file, "x.db"), "choose another place")
	refused(t, "sqlite:"+folder, nil, folder)
}

func TestOpenMakesAPrivateFile(t *testing.T) {
	// Names that mean something in a URL are names like others.
	for _, name := range []string{"ostiary.db", "a b?c=d#e%41.db", "дані.db"} {
		path := filepath.Join(t.TempDir(), "new", "folder", name)
		if runtime.GOOS == "windows" && strings.Contains(name, "?") {
			continue // not a name there
		}
		s := storetest.Open(t, "sqlite:"+path)
		upkeep(t, s, put("a"))
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
				t.Errorf("%s has mode %o", name+suffix, mode)
			}
		}
	}
}

// An empty file is a new database: mktemp makes such files.
func TestOpenEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	upkeep(t, storetest.Open(t, "sqlite:"+path), put("a"))
}

func TestOpenRefusesPostgres(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // so that the port is free
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	listener.Close()
	t.Run("nobody there", func(t *testing.T) {
		refused(t, "postgres://u:s3cret@"+free+"/db", nil, free, "does not answer", "start it")
	})

	address, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("no such database", func(t *testing.T) {
		other := *address
		other.Path = "/nowhere"
		refused(t, other.String(), nil, address.Host, `"nowhere"`, "createdb")
	})
	t.Run("no such user", func(t *testing.T) {
		other := *address
		other.User = url.UserPassword("nobody", "s3cret")
		refused(t, other.String(), nil, address.Host, "correct the user or the password")
	})
}

// Several nodes start on an empty database at the same time.
func TestOpenTogether(t *testing.T) {
	open := func(t *testing.T, address string) {
		race(t, 6, nil, func(i int) error {
			s, err := store.Open(t.Context(), store.Config{URL: address})
			if err != nil {
				return err
			}
			defer s.Close()
			return s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.PutSetting(number("n", i), "1") })
		})
	}
	t.Run("sqlite", func(t *testing.T) { open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db")) })
	t.Run("postgres", func(t *testing.T) { open(t, storetest.EmptyPostgresURL(t)) })
}

func TestReopen(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s := storetest.Open(t, address)
		upkeep(t, s, put("a"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		equal(t, setting(t, storetest.Open(t, address), "a"), "1")
	})
}

// What was told to be done is in the files, however the process ends.
func TestDurableWithoutClose(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.Open(t, address)
	const writers = 8
	race(t, writers, nil, func(i int) error {
		return s.Upkeep(context.Background(), put(number("n", i)))
	})
	path := strings.TrimPrefix(address, "sqlite:")
	after := filepath.Join(t.TempDir(), "after.db")
	for _, suffix := range []string{"", "-wal"} { // what a killed process leaves
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(after+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := storetest.Open(t, "sqlite:"+after)
	for i := range writers {
		equal(t, setting(t, found, number("n", i)), "1")
	}
}
