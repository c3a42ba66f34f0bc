package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

func serverBackUp(tell func(done, of int64)) server.BackUp {
	return server.BackUp{Version: build().Version, Progress: tell}
}

// restoredRecord is what came of a restore in JSON.
type restoredRecord struct {
	backupRecord
	To           string `json:"restored_to"`
	SessionsKept bool   `json:"sessions_kept"`
	KeyWritten   bool   `json:"master_key_written,omitempty"`
	Aside        string `json:"put_aside,omitempty"`
	AuditSound   bool   `json:"audit_sound"`
	AuditReason  string `json:"audit_reason,omitempty"`
	AuditEntries int64  `json:"audit_entries"`
}

const keepSessions = "keep-sessions"

func keepFlag() cli.Flag {
	return &cli.BoolFlag{Name: keepSessions, Usage: "let sessions and tokens go on as they were; what was put out after the backup is in again"}
}

func (sh shell) restore() *cli.Command {
	return &cli.Command{
		Name: "restore", ArgsUsage: "FILE", Usage: "make the database what it was when a backup was made; the server must be stopped. - is standard input",
		Description: "Everybody is signed out, because nobody knows any more who had been put out since. Accounts, clients, passwords\n" +
			"and rights are as they were then: what was locked, changed or taken away since has to be done again.",
		Flags: append(places(),
			keepFlag(),
			&cli.BoolFlag{Name: "force", Usage: "where there is a database already, put it aside"},
			passphraseFlag("opens the master key in the backup")),
		Commands: []*cli.Command{sh.restoreFinish()},
		Action:   sh.restoreFile,
	}
}

func (sh shell) restoreFile(ctx context.Context, c *cli.Command) error {
	s, err := sh.read(c)
	if err != nil {
		return err
	}
	f, size, err := sh.backupFile(c.Args().First(), s.Data)
	if err != nil {
		return err
	}
	defer f.Close()
	tell, done := sh.gauge("rows")
	out, err := s.Config.Restore(ctx, server.Restore{
		File: f, Keep: c.Bool(keepSessions), Force: c.Bool("force"), Actor: operator(), Progress: tell,
		Passphrase: func() (model.Secret, error) { return sh.givenPassphrase(c) },
	})
	done()
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	r := restoredRecord{backupRecord: newBackupRecord(c.Args().First(), size, out.Contents), To: server.Where(s.Config), SessionsKept: c.Bool(keepSessions),
		KeyWritten: out.Key, Aside: out.Aside, AuditSound: out.Unsound == nil, AuditEntries: out.Entries}
	if out.Unsound != nil {
		r.AuditReason = out.Unsound.Error()
	}
	return sh.say(c, r, "%s", restoredText(r, sh.dataFlag(c)))
}

// dataFlag repeats --data for another command, which needs the master key there; what
// the environment and the file say, it knows.
func (sh shell) dataFlag(c *cli.Command) string {
	if !sh.flagged("data") {
		return ""
	}
	return " --data " + c.String("data")
}

// restoredText says what was done, and what is left to do.
func restoredText(r restoredRecord, data string) string {
	lines := []string{fmt.Sprintf("Restored %d rows of %s to %s, as they were on %s.", r.Rows, r.Issuer, r.To, when(r.CreatedAt))}
	if r.SessionsKept {
		lines = append(lines, "Sessions and tokens go on as they were then: what was put out since is in again.")
	} else {
		lines = append(lines, "Everybody is signed out, and no token is good that was issued until now.")
	}
	if r.AuditSound {
		lines = append(lines, fmt.Sprintf("Nobody has changed the audit log: %d entries.", r.AuditEntries))
	} else {
		lines = append(lines, "The audit log is not sound, and was not when the backup was made: "+r.AuditReason+".")
	}
	if r.KeyWritten {
		lines = append(lines, "The master key was in the backup, and is in the data folder now.")
	}
	if r.Aside != "" {
		lines = append(lines, "What was there before is in "+r.Aside+".")
	}
	lines = append(lines, "Accounts locked, passwords, rights and secrets changed, and keys dropped since then are as they were: do that again, before you start the server.")
	if r.Aside != "" && filepath.IsAbs(r.To) { // of PostgreSQL only the master key is put aside
		lines = append(lines, fmt.Sprintf("What that was: ostiary audit list --since %q%s --database sqlite:%s", when(r.CreatedAt)[:16], data, filepath.Join(r.Aside, filepath.Base(r.To))))
	}
	return strings.Join(lines, "\n")
}

// backupFile opens a backup. One that comes by standard input is kept meanwhile in a
// file that nobody else reads, because it is read twice.
func (sh shell) backupFile(name, folder string) (*os.File, int64, error) {
	if name != "-" {
		return openBackup(name)
	}
	if terminal(sh.stdin) {
		return nil, 0, usagef("standard input is a terminal: send the backup to it, or name a file")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp(folder, ".restore-*") // mode 0600
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(f.Name()) // gone when it is closed; where that cannot be, it is left
	size, err := io.Copy(f, sh.stdin)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("the backup cannot be read from standard input: %w", err), f.Close())
	}
	return f, size, nil
}

func (sh shell) restoreFinish() *cli.Command {
	return &cli.Command{
		Name: "finish", Usage: "do what must follow where a database was put back by other means, such as pg_restore; before a server is started",
		Flags: append(places(), keepFlag(), &cli.BoolFlag{Name: "yes", Usage: "do not ask"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			return sh.administerWith(func(s *settings) { s.Restoring = true }, func(ctx context.Context, a admin) error {
				question := "Sign everybody out, revoke every token, and give the revocation log another name?"
				if err := sh.confirm(c.Bool("yes") || c.Bool(keepSessions), question); err != nil {
					return err
				}
				if err := a.FinishRestore(ctx, a.actor, c.Bool(keepSessions)); err != nil {
					return err
				}
				text := "Everybody is signed out, and no token is good that was issued until now. The server can be started."
				if c.Bool(keepSessions) {
					text = "Sessions and tokens go on as they were. The server can be started."
				}
				return sh.say(c, map[string]bool{"finished": true, "sessions_kept": c.Bool(keepSessions)}, "%s", text)
			})(ctx, c)
		},
	}
}
