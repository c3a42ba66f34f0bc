package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Whoever has locked a row of this table has the turn to do what the row names, until
// the end of the transaction. Nothing in a row ever changes, so that it can be locked
// in a serializable transaction as well. An advisory lock would do the same, in
// PostgreSQL alone and not behind every proxy.
//
// The table is there before the migrations, which need a turn themselves.
const (
	makeTurns  = `CREATE TABLE IF NOT EXISTS ostiary_turns (name TEXT COLLATE "C" NOT NULL PRIMARY KEY)`
	fillTurns  = `INSERT INTO ostiary_turns (name) VALUES ('migration'), ('revocation') ON CONFLICT (name) DO NOTHING`
	countTurns = `SELECT count(*) FROM ostiary_turns`
	turns      = 2

	takeMigration  = `SELECT name FROM ostiary_turns WHERE name = 'migration' FOR UPDATE`
	takeRevocation = `SELECT name FROM ostiary_turns WHERE name = 'revocation' FOR UPDATE`
)

const (
	// schemaTries and schemaPause bound how often a change of the schema is tried
	// that met another one, or a table that others were using.
	schemaTries = 60
	schemaPause = 500 * time.Millisecond
	// schemaLock is how long such a change waits for a table. Everybody who wants
	// that table stands behind it meanwhile: on a live cluster it rather comes again.
	schemaLock = "1s"
)

func (p *postgres) sound(context.Context) error { return nil }

func (p *postgres) inOrder() string { return takeRevocation }

// migrate lets one node after the other look at the schema, so that several can
// start at once.
func (p *postgres) migrate(ctx context.Context, config *pgx.ConnConfig) error {
	return inTurn(ctx, config, func(db *sql.DB) error {
		return schema{goose.DialectPostgres, db, respellPostgres, nil}.migrate(ctx)
	})
}

// inTurn changes the schema while nobody else does. It runs without the time limits of
// everyday statements.
func inTurn(ctx context.Context, config *pgx.ConnConfig, change func(*sql.DB) error) error {
	setDefault(config, "idle_in_transaction_session_timeout", "0")
	setDefault(config, "lock_timeout", schemaLock)
	db := stdlib.OpenDB(*config)
	defer db.Close()
	for try := 1; ; try++ {
		err := prepareTurns(ctx, db)
		if err == nil {
			err = takeTurn(ctx, db, change)
		}
		if err == nil || !collided(err) || try == schemaTries {
			return err
		}
		if err := sleep(ctx, schemaPause); err != nil {
			return err
		}
	}
}

// prepareTurns makes the table, unless it is there.
func prepareTurns(ctx context.Context, db *sql.DB) error {
	var n int
	err := db.QueryRowContext(ctx, countTurns).Scan(&n)
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok && failure.Code == codeNoTable {
		_, err = db.ExecContext(ctx, makeTurns)
	}
	if err == nil && n < turns {
		_, err = db.ExecContext(ctx, fillTurns)
	}
	return err
}

func takeTurn(ctx context.Context, db *sql.DB, change func(*sql.DB) error) error {
	turn, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer turn.Rollback() // which ends it
	for _, statement := range []string{`SET LOCAL lock_timeout = 0`, takeMigration} {
		if _, err := turn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return change(db)
}

// collided reports whether somebody else was in the way: whoever tries again finds
// their work done, or the table free.
func collided(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch failure.Code {
	case codeUnique, codeTableExists, codeTypeExists, codeSerialization, codeDeadlock, codeLockTimeout:
		return true
	}
	return false
}
