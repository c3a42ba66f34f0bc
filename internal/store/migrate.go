package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// oldestSetting holds the schema of the database and the oldest one whose programs
// work beside it, with a space between them.
const oldestSetting = "oldest_schema"

// schema is that of a database.
type schema struct {
	dialect goose.Dialect
	db      *sql.DB
	respell *strings.Replacer               // of the migrations, into the words of the database
	sound   func(ctx context.Context) error // asked before anything is changed; nil: it is
}

// migrate brings the schema up to date: up only, each migration in one
// transaction, so that a failed one leaves the schema as it was. A newer schema is
// left as it is, if its migrations say that this program works beside it.
func (s schema) migrate(ctx context.Context) error {
	if s.upToDate(ctx) { // as at most starts, which this makes shorter
		return nil
	}
	return s.migrateTo(ctx, 0)
}

// schemaVersion asks for the version of a schema.
const schemaVersion = `SELECT COALESCE(MAX(version_id), 0) FROM ` + schemaTable + ` WHERE is_applied`

// upToDate reports whether the schema is known to be the latest one.
func (s schema) upToDate(ctx context.Context) bool {
	var version int64
	latest, err := latestSchema()
	if err == nil {
		err = s.db.QueryRowContext(ctx, schemaVersion).Scan(&version)
	}
	return err == nil && version == latest
}

// latestSchema is the version of the last migration that this program knows.
func latestSchema() (latest int64, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		latest = max(latest, version)
	}
	return latest, err
}

// migrateTo is migrate up to a version; 0: the latest one, or one that is newer and
// beside which this program works.
func (s schema) migrateTo(ctx context.Context, version int64) error {
	list, err := readMigrations(migrations, s.respell)
	if err != nil {
		return err
	}
	return s.migrateBy(ctx, list, version)
}

func (s schema) migrateBy(ctx context.Context, list []*goose.Migration, version int64) error {
	provider, err := goose.NewProvider(s.dialect, s.db, nil,
		goose.WithGoMigrations(list...),
		goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(schemaTable),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target && version == 0 {
		oldest, err := oldestSchema(ctx, s.db, current)
		if err != nil || oldest <= target {
			return err
		}
	}
	if current > target || version > target {
		return newerSchema(max(current, version), target)
	}
	if version == 0 {
		version = target
	}
	if current < version && s.sound != nil {
		if err := s.sound(ctx); err != nil {
			return err
		}
	}
	_, err = provider.UpTo(ctx, version)
	return err
}

func newerSchema(theirs, ours int64) error {
	return fmt.Errorf("%w: its schema is %d and this program knows %d: run the newer version of ostiary, or restore a backup from before the upgrade",
		ErrNewerSchema, theirs, ours)
}

// oldestSchema reads what programs work beside a schema; where nothing is said of it,
// none but its own.
func oldestSchema(ctx context.Context, db *sql.DB, current int64) (int64, error) {
	var text string
	err := db.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, oldestSetting).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	of, oldest, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(oldest, 10, 64)
	if err != nil || of != strconv.FormatInt(current, 10) {
		return current, nil
	}
	return n, nil
}

// also is what migrations do that SQL cannot say for both databases, in the same
// transaction and after their text.
var also = map[int64]func(context.Context, *sql.Tx) error{20: indexEverybody}

// besideLine begins a migration beside which programs go on that know the schema only
// up to a number: those of the release before.
const besideLine = "-- Beside: "

// works returns the oldest schema whose programs work beside what a migration makes:
// that which it says, or its own.
func works(version int64, text string) (int64, error) {
	line, _, _ := strings.Cut(text, "\n")
	said, ok := strings.CutPrefix(line, besideLine)
	if !ok {
		return version, nil
	}
	n, err := strconv.ParseInt(said, 10, 64)
	if err != nil || n < 1 || n >= version {
		return 0, fmt.Errorf("migration %d says %q, which is no older schema", version, line)
	}
	return n, nil
}

func readMigrations(from fs.FS, respell *strings.Replacer) ([]*goose.Migration, error) {
	names, err := fs.Glob(from, "migrations/*.sql") // in their order
	if err != nil {
		return nil, err
	}
	var list []*goose.Migration
	oldest := int64(0)
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, err
		}
		one, err := works(version, string(text))
		if err != nil {
			return nil, err
		}
		oldest = max(oldest, one)
		list = append(list, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up(version, oldest, respell.Replace(string(text)))}, nil))
	}
	return list, nil
}

// up runs a migration and writes down who works beside all of them up to this one.
func up(version, oldest int64, text string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, text)
		if more := also[version]; err == nil && more != nil {
			err = more(ctx, tx)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
				oldestSetting, fmt.Sprintf("%d %d", version, oldest))
		}
		return err
	}
}
