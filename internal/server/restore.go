package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Restore says what is restored, and how.
type Restore struct {
	File io.ReadSeeker
	// Passphrase is asked for the master key in the backup, where there is none here.
	Passphrase func() (model.Secret, error)
	Keep       bool // see account.Restoring
	Force      bool // puts aside what is there
	Actor      model.Actor
	Progress   func(done, of int64) // of rows
}

// Restored is what came of it.
type Restored struct {
	backup.Contents
	Aside   string // the folder with the files that were there before; empty: none were
	Key     bool   // the master key came from the backup
	Entries int64  // of the audit log, which were verified
	Unsound error  // what is wrong with the audit log, as it was in the backup
}

// Restore makes the database of c what it was when a backup was made. Nothing is
// touched before all of the backup was read and found to be whole and genuine. On
// SQLite the file gets its name last, when it is finished; on PostgreSQL the database
// must be empty, and no server starts on it before it is finished.
func (c Config) Restore(ctx context.Context, r Restore) (Restored, error) {
	c = c.withDefaults()
	contents, err := backup.Verify(ctx, r.File)
	if err != nil {
		return Restored{}, err
	}
	out := Restored{Contents: contents}
	if err := c.prepare(); err != nil {
		return out, err
	}
	if out.Key, err = c.masterOf(contents, r); err != nil {
		return out, err
	}
	if err := c.vacant(ctx, r.Force); err != nil {
		return out, err
	}
	address := c.databaseURL()
	path, embedded := strings.CutPrefix(address, "sqlite:")
	if embedded {
		_ = os.Remove(path + restoring) // of one that was killed
		address += restoring
	}
	target, err := store.OpenTarget(ctx, address, contents.Schema)
	if err != nil {
		return out, err
	}
	if _, err := r.File.Seek(0, io.SeekStart); err != nil {
		return out, errors.Join(err, target.Undo(ctx))
	}
	target.Hold()
	if err := backup.Load(ctx, r.File, contents, target, r.Progress); err != nil { // which undoes it
		return out, err
	}
	err = target.Close()
	if err == nil {
		c.Restoring = true
		out.Entries, out.Unsound, err = c.inspect(ctx, address, func(p *Parts) error {
			return p.Accounts.Restored(ctx, r.Actor, account.Restoring{Made: contents.Time(), Keep: r.Keep})
		})
	}
	switch {
	case err == nil && embedded:
		out.Aside, err = c.install(ctx, path, out.Key)
	case err == nil && out.Key:
		out.Aside, err = c.installMaster()
	}
	if err != nil {
		return out, errors.Join(err, target.Undo(ctx))
	}
	return out, nil
}

// install gives a finished file of SQLite its name, and puts the master key beside it
// if that came along. It returns the folder with what was there before.
func (c Config) install(ctx context.Context, path string, key bool) (aside string, err error) {
	room, err := c.vacate(ctx, path, key)
	if err != nil {
		return "", err
	}
	master := filepath.Join(c.Data, masterFile)
	if key { // first: without it the file is of no use
		err = keys.WriteMaster(master, c.MasterKey)
	}
	if err == nil {
		err = store.Name(path+restoring, path)
	}
	if err == nil {
		return room.folder, nil
	}
	if key {
		_ = os.Remove(master) // what was there before comes back
	}
	return "", errors.Join(err, room.back())
}

// installMaster puts the master key into the data folder, and what is there aside.
func (c Config) installMaster() (aside string, err error) {
	path := filepath.Join(c.Data, masterFile)
	room, err := c.putAside(c.Data, path)
	if err != nil {
		return "", err
	}
	if err := keys.WriteMaster(path, c.MasterKey); err != nil {
		return "", errors.Join(err, room.back())
	}
	return room.folder, nil
}

// restoring ends the name of a file that is not finished.
const restoring = ".restoring"

// masterOf finds the master key of a backup: here, or in it. It reports whether it was
// in it, and then c.MasterKey is it.
func (c *Config) masterOf(b backup.Contents, r Restore) (fromBackup bool, err error) {
	from := c.Master()
	master, err := keys.LoadMaster(from)
	switch {
	case err == nil && b.Genuine(master.Derive) == nil:
		return false, nil
	case err == nil && (b.Key == nil || c.MasterKey != "" || from.Given || !r.Force):
		return false, fmt.Errorf("%w: put the master key in place that the server had, as %s or in %s", backup.ErrForeign, from.Path, keys.MasterVariable)
	case errors.Is(err, keys.ErrMasterMissing) && b.Key == nil:
		return false, fmt.Errorf("%w: it is not in this backup, so put the copy in place that was kept elsewhere, as %s with mode 0600 or in %s",
			keys.ErrMasterMissing, from.Path, keys.MasterVariable)
	case err != nil && !errors.Is(err, keys.ErrMasterMissing):
		return false, err
	}
	passphrase, err := r.Passphrase()
	if err != nil {
		return false, err
	}
	if c.MasterKey, err = b.Key.Unwrap(passphrase); err != nil {
		return false, err
	}
	master, err = keys.LoadMaster(keys.MasterConfig{Value: c.MasterKey})
	if err == nil {
		err = b.Genuine(master.Derive)
	}
	return true, err
}

// vacant refuses to put a database in place of one that is there.
func (c Config) vacant(ctx context.Context, force bool) error {
	path, embedded := strings.CutPrefix(c.databaseURL(), "sqlite:")
	if !embedded {
		return nil // which is looked into when it is filled
	}
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !force:
		return fmt.Errorf("there is a database at %s: choose another folder with --data, or let it be put aside with --force", path)
	}
	used, err := store.InUse(ctx, c.databaseURL())
	if err == nil && used {
		err = fmt.Errorf("a server is running on %s: stop it first", path)
	}
	return err
}

// vacated is a place from which files were put aside.
type vacated struct {
	folder string      // where they are; empty: there were none
	moved  [][2]string // from and to
}

// vacate makes room for a file: what is there goes into a folder beside it.
func (c Config) vacate(ctx context.Context, path string, key bool) (*vacated, error) {
	if err := c.vacant(ctx, true); err != nil { // somebody may have started one meanwhile
		return nil, err
	}
	old := []string{path, path + "-wal", path + "-shm"}
	if key {
		old = append(old, filepath.Join(c.Data, masterFile))
	}
	return c.putAside(filepath.Dir(path), old...)
}

// putAside moves those files that are there into a new folder.
func (c Config) putAside(beside string, old ...string) (*vacated, error) {
	v := &vacated{}
	for _, file := range old {
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if v.folder == "" {
			var err error
			name := filepath.Join(beside, "before-restore-"+c.Now().UTC().Format("20060102-150405"))
			if v.folder, err = newFolder(name); err != nil {
				return nil, err
			}
		}
		to := filepath.Join(v.folder, filepath.Base(file))
		if err := os.Rename(file, to); err != nil {
			return nil, errors.Join(err, v.back())
		}
		v.moved = append(v.moved, [2]string{file, to})
	}
	return v, nil
}

// newFolder makes a folder of that name, or, where there is one (of a restore in the
// same second), of the name with the next free number after it.
func newFolder(name string) (string, error) {
	for n, folder := 2, name; ; n++ {
		err := os.Mkdir(folder, 0o700)
		if err == nil || !errors.Is(err, os.ErrExist) {
			return folder, err
		}
		folder = fmt.Sprintf("%s-%d", name, n)
	}
}

// back puts everything where it was: nothing has come in its place.
func (v *vacated) back() (err error) {
	if v == nil {
		return nil
	}
	for _, m := range v.moved {
		err = errors.Join(err, os.Rename(m[1], m[0]))
	}
	if v.folder != "" {
		err = errors.Join(err, os.Remove(v.folder))
	}
	return err
}

// FinishRestore does what has to follow where a database was put back by other means.
func (p *Parts) FinishRestore(ctx context.Context, actor model.Actor, keep bool) error {
	return p.Accounts.Restored(ctx, actor, account.Restoring{Keep: keep})
}

// Move says what moves where.
type Move struct {
	From, To string // addresses of databases
	Progress func(done, of int64)
}

// Move copies a database into another one, and makes sure that a server can work
// there: with this master key, and with an audit log that is whole.
func (c Config) Move(ctx context.Context, m Move) (store.Moving, error) {
	c = c.withDefaults()
	check := func(ctx context.Context, address string) error {
		_, unsound, err := c.inspect(ctx, address, func(*Parts) error { return nil })
		if err == nil && unsound != nil {
			err = fmt.Errorf("%w; begin a new chain with ostiary audit begin before you move", unsound)
		}
		return err
	}
	// First where it is: what is wrong there is nothing that moving would cure.
	if err := check(ctx, m.From); err != nil {
		return store.Moving{}, err
	}
	return store.Move(ctx, store.MoveConfig{From: m.From, To: m.To, Progress: m.Progress, Check: check, Now: func() time.Time { return c.Now() }})
}

// Where says in words which database c names, without the password.
func Where(c Config) string { return store.Where(c.withDefaults().databaseURL()) }

// GenuineBackup holds a backup to the master key of c. It reports whether there is one.
func (c Config) GenuineBackup(b backup.Contents) (there bool, err error) {
	c = c.withDefaults()
	master, err := keys.LoadMaster(c.Master())
	if errors.Is(err, keys.ErrMasterMissing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Genuine(master.Derive)
}
