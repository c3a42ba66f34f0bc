package store

import (
	"context"
	"database/sql"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

// MigrateNewer brings a database to the schema of a newer program, whose migrations
// are those of this one and more, by their file names.
func MigrateNewer(ctx context.Context, url string, more map[string]string) error {
	files := fstest.MapFS{}
	for name, text := range more {
		files["migrations/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		defer db.Close()
		list, err := readMigrations(files, respellSQLite)
		if err != nil {
			return err
		}
		return schema{goose.DialectSQLite3, db, respellSQLite, nil}.migrateBy(ctx, list, 0)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	list, err := readMigrations(files, respellPostgres)
	if err != nil {
		return err
	}
	return inTurn(ctx, config, func(db *sql.DB) error {
		return schema{goose.DialectPostgres, db, respellPostgres, nil}.migrateBy(ctx, list, 0)
	})
}

// Migrations are the texts of all migrations, by their numbers.
func Migrations() (map[int64]string, error) {
	all := map[int64]string{}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all[version] = string(text)
	}
	return all, err
}
