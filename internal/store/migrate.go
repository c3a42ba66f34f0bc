package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date: up only, each migration in one
// transaction, so that a failed one leaves the schema as it was.
func migrate(ctx context.Context, d goose.Dialect, db *sql.DB, respell *strings.Replacer) error {
	return migrateTo(ctx, d, db, respell, 0)
}

// migrateTo is migrate up to a version; 0: the latest one.
func migrateTo(ctx context.Context, d goose.Dialect, db *sql.DB, respell *strings.Replacer, version int64) error {
	list, err := readMigrations(respell)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(d, db, nil,
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
	if current > target || version > target {
		return newerSchema(max(current, version), target)
	}
	if version == 0 {
		version = target
	}
	_, err = provider.UpTo(ctx, version)
	return err
}

func newerSchema(theirs, ours int64) error {
	return fmt.Errorf("%w: its schema is %d and this program knows %d: run the newer version of ostiary, or restore a backup from before the upgrade",
		ErrNewerSchema, theirs, ours)
}

// beside is what migrations do that SQL cannot say for both databases, in the same
// transaction and after their text.
var beside = map[int64]func(context.Context, *sql.Tx) error{20: indexEverybody}

func readMigrations(respell *strings.Replacer) ([]*goose.Migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var list []*goose.Migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		up := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, respell.Replace(string(text)))
			if also := beside[version]; err == nil && also != nil {
				err = also(ctx, tx)
			}
			return err
		}
		list = append(list, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return list, nil
}
