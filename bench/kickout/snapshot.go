package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"
)

// snapshot is what an API takes to load a long log.
type snapshot struct {
	Entries       int
	Seconds       float64 // from its start until it knows everything
	Before, After float64 // its heap without the log and with it, MiB
}

// load has an API load a log that is as long as for a day on which very many people
// signed out within the life of a token.
func load(ctx context.Context, o options) (*snapshot, error) {
	h, err := settle(ctx, o, setting{Nodes: 1})
	if err != nil {
		return nil, err
	}
	defer h.close()
	small, err := h.apis(ctx, 1)
	if err != nil {
		return nil, err
	}
	before, err := small[0].ask(order{Do: "size"})
	if err != nil {
		return nil, err
	}
	small[0].end()
	h.apps = nil
	h.Stop()
	if err := fill(ctx, filepath.Join(h.Folder, "data", "ostiary.db"), o.Entries); err != nil {
		return nil, err
	}
	if err := h.Start(ctx, h.Nodes[0]); err != nil {
		return nil, err
	}
	large, err := h.apis(ctx, 1)
	if err != nil {
		return nil, err
	}
	after, err := large[0].ask(order{Do: "size"})
	if err != nil {
		return nil, err
	}
	if after.Entries < o.Entries {
		return nil, fmt.Errorf("the API holds %d of %d entries", after.Entries, o.Entries)
	}
	return &snapshot{Entries: after.Entries, Seconds: large[0].opened, Before: before.Heap, After: after.Heap}, nil
}

// fill writes entries as sign-outs leave them, behind the server's back.
func fill(ctx context.Context, path string, n int) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	now := time.Now().Unix()
	_, err = db.ExecContext(ctx, `INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at, audiences, subjects)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 'session', substr(hex(randomblob(16)), 1, 22), 0, 'signed_out', $2, $3, '["' || $4 || '"]', '' FROM n`,
		n, now, now+3600, audience)
	return err
}
