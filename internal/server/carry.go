package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/backup"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// mayServe refuses a database that is not to be used, or not yet.
func (p *Parts) mayServe(ctx context.Context) error {
	moved, restoring := "", false
	err := p.Store.View(ctx, func(tx *store.Tx) (err error) {
		if restoring, err = tx.Restoring(); err != nil {
			return err
		}
		moved, err = tx.Moved()
		return err
	})
	switch {
	case err == nil:
		return fmt.Errorf("all that was in this database has been moved to %s: set --database to that", moved)
	case !errors.Is(err, store.ErrNotFound):
		return err
	case restoring && !p.Config.Restoring:
		return errors.New("this database was restored, and what must follow was not done: run ostiary restore finish")
	}
	return nil
}

// BackUp says how a backup is made.
type BackUp struct {
	Version    string       // of the program
	Passphrase model.Secret // seals the master key into it; empty: it stays out
	Progress   func(done, of int64)
}

// BackUp writes all that is in the database, as it is now; servers go on meanwhile.
func (p *Parts) BackUp(ctx context.Context, actor model.Actor, to io.Writer, b BackUp) (c backup.Contents, err error) {
	config := backup.Config{Version: b.Version, Derive: p.Keys.Derive, Now: p.Config.Now, Progress: b.Progress}
	if b.Passphrase != "" {
		key, err := p.Keys.Wrap(b.Passphrase)
		if err != nil {
			return c, err
		}
		config.Key = &key
	}
	// Before it is made, so that what somebody takes away is noted in it as well.
	if err := p.Accounts.BackedUp(ctx, actor, config.Key != nil); err != nil {
		return c, err
	}
	if _, err := p.Audit.Seal(ctx); err != nil {
		p.Config.Logger.WarnContext(ctx, "the audit log was not sealed", "error", err)
	}
	source, err := store.OpenSource(ctx, p.Config.databaseURL(), false)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return backup.Write(ctx, to, source, config)
}

// inspect opens a database that no server has yet, finishes it, and says whether its
// audit log is whole.
func (c Config) inspect(ctx context.Context, address string, finish func(*Parts) error) (entries int64, unsound error, err error) {
	c.Database, c.MustExist, c.Issuer = unhurried(address), true, ""
	c.Logger = slog.New(slog.DiscardHandler)
	p, err := Open(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	if err := finish(p); err != nil {
		return 0, nil, errors.Join(err, p.Close())
	}
	_, err = p.Audit.Seal(ctx)
	var report audit.Report
	if err == nil {
		report, err = p.Audit.Verify(ctx, audit.Check{})
	}
	if broken, ok := errors.AsType[audit.Broken](err); ok {
		unsound, err = broken, nil
	}
	return report.Entries, unsound, errors.Join(err, p.Close())
}

// unhurried takes the limit from statements on PostgreSQL: to end every session there
// is takes longer than what requests do.
func unhurried(address string) string {
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return address
	}
	q := u.Query()
	q.Set("statement_timeout", "0")
	u.RawQuery = q.Encode()
	return u.String()
}
