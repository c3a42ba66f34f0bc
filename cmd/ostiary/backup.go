package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// backupRecord is a backup in JSON; times are unix seconds.
type backupRecord struct {
	File      string `json:"file"`
	Version   string `json:"version"`
	Schema    int64  `json:"schema"`
	Database  string `json:"database"`
	Issuer    string `json:"issuer"`
	CreatedAt int64  `json:"created_at"`
	Rows      int64  `json:"rows"`
	Tables    int    `json:"tables"`
	Bytes     int64  `json:"bytes"`
	HasKey    bool   `json:"has_master_key"`
	Genuine   *bool  `json:"genuine,omitempty"` // not there: there was no master key to tell by
}

func newBackupRecord(file string, size int64, c backup.Contents) backupRecord {
	return backupRecord{
		File: file, Version: c.Version, Schema: c.Schema, Database: c.Database, Issuer: c.Issuer, CreatedAt: c.CreatedAt,
		Rows: c.Rows(), Tables: len(c.Tables), Bytes: size, HasKey: c.Key != nil,
	}
}

func (sh shell) backup() *cli.Command {
	return &cli.Command{
		Name: "backup", ArgsUsage: "FILE", Usage: "write all that is in the database to one file, while servers run; - is standard output",
		Description: "Secrets in it are sealed under the master key, which is not in it: keep a copy of that elsewhere, or\n" +
			"seal it into the file under a passphrase with --with-key.",
		Flags: append(places(),
			&cli.BoolFlag{Name: "with-key", Usage: "put the master key into the file, under a passphrase, so that the file is enough"},
			passphraseFlag("seals the master key"),
			&cli.BoolFlag{Name: "overwrite", Usage: "replace a file that is there"}),
		Commands: []*cli.Command{sh.backupVerify()},
		Action:   sh.administer(sh.makeBackup),
	}
}

const passphraseFile = "key-passphrase-file"

func passphraseFlag(does string) cli.Flag {
	return &cli.StringFlag{Name: passphraseFile, Usage: "`FILE` with the passphrase that " + does, DefaultText: "asked for on a terminal", TakesFile: true}
}

func (sh shell) makeBackup(ctx context.Context, a admin) error {
	c := a.command
	tell, done := sh.gauge("rows")
	defer done()
	b := serverBackUp(tell)
	if c.Bool("with-key") {
		var err error
		if b.Passphrase, err = sh.newPassphrase(c); err != nil {
			return err
		}
	} else if c.IsSet(passphraseFile) {
		return usagef("--%s is for --with-key", passphraseFile)
	}
	file := c.Args().First()
	if file == "-" {
		if terminal(sh.stdout) {
			return usagef("a backup is not text: send it to a file or to another program")
		}
		if c.Bool("json") {
			return usagef("--json would be written where the backup goes: name a file")
		}
		out := bufio.NewWriterSize(sh.stdout, 1<<20)
		_, err := a.BackUp(ctx, a.actor, out, b)
		return errors.Join(err, out.Flush())
	}
	// Whoever ends the command ends it in order: what was written so far is people's
	// names and hashes, under a name that nobody looks for.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process on the spot
	var contents backup.Contents
	size, err := writeWhole(file, c.Bool("overwrite"), func(w io.Writer) (err error) {
		contents, err = a.BackUp(ctx, a.actor, w, b)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return errors.New("nothing was backed up: the command was interrupted")
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("nothing was backed up: the disk that holds %s is full: make room, or choose another folder", file)
	}
	if err != nil {
		return err
	}
	done()
	r := newBackupRecord(file, size, contents)
	key := "\nThe master key is not in it: keep a copy of that elsewhere."
	if r.HasKey {
		key = "\nThe master key is in it, under the passphrase. Without the passphrase nothing of it can be used."
	}
	return sh.say(c, r, "Backed up %d rows in %d tables to %s (%s).%s", r.Rows, r.Tables, file, bytesText(size), key)
}

// writeWhole writes a file for its owner only, so that it is there whole or not at
// all, and returns its size.
func writeWhole(path string, overwrite bool, write func(io.Writer) error) (size int64, err error) {
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return 0, fmt.Errorf("there is a file %s already: choose another name, or replace it with --overwrite", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("the backup cannot be written there: %w", err)
	}
	defer os.Remove(f.Name()) // which is not there any more if all went well
	out := bufio.NewWriterSize(f, 1<<20)
	err = write(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if info, fault := f.Stat(); err == nil && fault == nil {
		size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if overwrite {
		err = os.Rename(f.Name(), path)
	} else if err = os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		err = os.Rename(f.Name(), path) // a file system without links
	}
	return size, errors.Join(err, syncFolder(filepath.Dir(path)))
}

// syncFolder makes a new name durable, where folders can be flushed.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync() // not on every system
	return d.Close()
}

// newPassphrase asks for one that is new.
func (sh shell) newPassphrase(c *cli.Command) (model.Secret, error) {
	if c.IsSet(passphraseFile) || !terminal(sh.stdin) {
		return sh.givenPassphrase(c)
	}
	first, err := sh.prompt("New passphrase for the master key: ")
	if err != nil {
		return "", err
	}
	second, err := sh.prompt("Again: ")
	if err == nil && first != second {
		err = errors.New("the two passphrases differ: nothing was written")
	}
	return first, err
}

// givenPassphrase asks for one that there is.
func (sh shell) givenPassphrase(c *cli.Command) (model.Secret, error) {
	switch {
	case c.IsSet(passphraseFile):
		data, err := readBounded(c.String(passphraseFile))
		if err != nil {
			return "", usagef("--%s: %v", passphraseFile, err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		return model.Secret(strings.TrimRight(line, "\r")), nil
	case terminal(sh.stdin):
		return sh.prompt("Passphrase of the master key: ")
	}
	return "", usagef("there is no passphrase: name a file with it by --%s, or run the command on a terminal", passphraseFile)
}

func (sh shell) backupVerify() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "FILE", Usage: "read a backup and say whether it is whole; where there is the master key, also whether it is genuine",
		Flags: append(places(), passphraseFlag("opens the master key in it")),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.read(c)
			if err != nil {
				return err
			}
			f, size, err := openBackup(c.Args().First())
			if err != nil {
				return err
			}
			defer f.Close()
			tell, done := sh.gauge("bytes")
			contents, err := backup.Verify(ctx, &counted{f, 0, func(n int64) { tell(n, size) }})
			done()
			if err != nil {
				return fmt.Errorf("%s: %w", c.Args().First(), err)
			}
			r := newBackupRecord(c.Args().First(), size, contents)
			how, err := sh.genuine(c, s, contents)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Args().First(), err)
			}
			if how != "" {
				r.Genuine = new(bool)
				*r.Genuine = true
			} else {
				how = "There is no master key here, so it was not found out whether somebody has made it up."
			}
			return sh.say(c, r, "The backup is whole: %d rows in %d tables of %s, made on %s by ostiary %s.\n%s",
				r.Rows, r.Tables, r.Issuer, when(r.CreatedAt), r.Version, how)
		},
	}
}

// genuine holds a backup to the master key that is here, or else to the one that is in
// it, if its passphrase is given; it returns in words by which, or nothing.
func (sh shell) genuine(c *cli.Command, s settings, b backup.Contents) (how string, err error) {
	if c.IsSet(passphraseFile) {
		if b.Key == nil {
			return "", errors.New("there is no master key in it that a passphrase could open")
		}
		passphrase, err := sh.givenPassphrase(c)
		if err != nil {
			return "", err
		}
		return "The passphrase opens the master key in it, and nobody has changed it since.", b.GenuineBy(passphrase)
	}
	there, err := s.Config.GenuineBackup(b)
	if !there {
		return "", err
	}
	return "It was made under the master key that is here, and nobody has changed it since.", err
}

// counted tells how much of a file was read.
type counted struct {
	io.Reader
	n    int64
	tell func(int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// openBackup opens a file and returns its size.
func openBackup(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("the backup cannot be read: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("the backup must be a file: it is read twice")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// bytesText is a size as people say it.
func bytesText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
