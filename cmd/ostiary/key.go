package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// keyRecord is a signing key in JSON; times are unix seconds.
type keyRecord struct {
	ID        model.KeyID `json:"kid"`
	Algorithm string      `json:"alg"`
	State     string      `json:"state"` // "waiting", "signing" or "retired"
	CreatedAt int64       `json:"created_at"`
	ActiveAt  int64       `json:"active_at"`
	DropAt    int64       `json:"drop_at,omitempty"`
}

func (sh shell) keyList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the keys that are published",
		Action: sh.administer(func(_ context.Context, a admin) error { return sh.printKeys(a) }),
	}
}

func (sh shell) keyRotate() *cli.Command {
	return &cli.Command{
		Name: "rotate", Usage: "make new keys, and let them sign after they were published for a while",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "now", Usage: "let them sign at once: for keys that somebody may have stolen"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			if err := a.Keys.Rotate(ctx, a.actor, a.command.Bool("now")); err != nil {
				return err
			}
			return sh.printKeys(a)
		}),
	}
}

func (sh shell) keyDrop() *cli.Command {
	return &cli.Command{
		Name: "drop", Usage: "take retired keys out at once: what they signed stops working, genuine or forged",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "only this `KEY`"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			var drop []model.KeyID
			for _, k := range keyRecords(a.Keys.List(), a.Config.Now().Unix()) {
				if only := a.command.String("key"); only == "" && k.State == "retired" || only == string(k.ID) {
					drop = append(drop, k.ID)
				}
			}
			if len(drop) == 0 {
				return errors.New("there is no such key: see ostiary key list")
			}
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Drop %d keys with all the tokens that they signed?", len(drop))); err != nil {
				return err
			}
			for _, id := range drop {
				if err := a.Keys.Drop(ctx, a.actor, id); err != nil {
					return err
				}
			}
			return sh.printKeys(a)
		}),
	}
}

func (sh shell) printKeys(a admin) error {
	t := table{columns: []string{"KEY", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM", "PUBLISHED UNTIL"}, empty: "There are no keys."}
	records := keyRecords(a.Keys.List(), a.Config.Now().Unix())
	for _, k := range records {
		t.rows = append(t.rows, []string{string(k.ID), k.Algorithm, k.State, when(k.CreatedAt), when(k.ActiveAt), when(k.DropAt)})
	}
	t.values = records
	return sh.printTable(a.command, t)
}

// keyRecords tells the state of each key: the youngest of an algorithm whose
// time has come signs.
func keyRecords(keys []model.SigningKey, now int64) []keyRecord {
	signing := map[string]model.SigningKey{}
	for _, k := range keys {
		if s, ok := signing[k.Algorithm]; k.ActiveAt <= now && (!ok || k.ActiveAt >= s.ActiveAt) {
			signing[k.Algorithm] = k
		}
	}
	records := make([]keyRecord, 0, len(keys))
	for _, k := range keys {
		state := "retired"
		switch {
		case k.ActiveAt > now:
			state = "waiting"
		case signing[k.Algorithm].ID == k.ID:
			state = "signing"
		}
		records = append(records, keyRecord{k.ID, k.Algorithm, state, k.CreatedAt, k.ActiveAt, k.DropAt})
	}
	return records
}
