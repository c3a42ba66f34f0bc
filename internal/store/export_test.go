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

// HoldQuestions lets all questions to PostgreSQL wait until release, and tells how many
// do. From then on one way is gone at a time. No question may be under way.
func HoldQuestions(s *Store) (waiting func() int, release func()) {
	q := &s.dialect.(*postgres).questions
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone, q.ways = 1, 1
	waiting = func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.queue)
	}
	return waiting, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.passOn()
	}
}

// Ways tells how many ways for questions are gone now, and how many connections were
// taken since the beginning.
func Ways(s *Store) (gone int, taken int64) {
	p := s.dialect.(*postgres)
	p.questions.mu.Lock()
	defer p.questions.mu.Unlock()
	return p.questions.gone, p.pool.Stat().AcquireCount()
}

// AskText asks a question whose answer is a text.
func AskText(ctx context.Context, s *Store, query string, args ...any) (text string, err error) {
	err = s.Ask(ctx, func(tx *Tx) (err error) {
		text, err = one(tx, scanString, query, args...)
		return err
	})
	return text, err
}
