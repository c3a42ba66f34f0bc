package house

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Rows counts the rows of every table, and tells how many bytes the database takes.
func (h *House) Rows(ctx context.Context) (rows map[string]int64, size int64, err error) {
	list, driver, source := `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`, "pgx", h.Database
	if path, ok := strings.CutPrefix(h.Database, "sqlite:"); ok {
		list, driver, source = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`, "sqlite", path+"?mode=ro"
		for _, end := range []string{"", "-wal"} {
			if info, err := os.Stat(path + end); err == nil {
				size += info.Size()
			}
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := column(ctx, db, list)
	if err != nil {
		return nil, 0, err
	}
	rows = map[string]int64{}
	for _, name := range names {
		var n int64
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			return nil, 0, err
		}
		rows[name] = n
	}
	if driver == "pgx" {
		err = db.QueryRowContext(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'`).Scan(&size)
	}
	return rows, size, err
}

func column(ctx context.Context, db *sql.DB, query string) (all []string, err error) {
	list, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer list.Close()
	for list.Next() {
		var one string
		if err := list.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, list.Err()
}
