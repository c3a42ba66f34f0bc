package store

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// Migration 20 enters the people who were there before, more than one page of them.
func TestMigrationIndexesEverybody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ostiary.db")
	s, err := Open(t.Context(), Config{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const people = 1203
	err = s.Upkeep(t.Context(), func(tx *Tx) error {
		for range people {
			id := model.NewID()
			if err := tx.InsertUser(model.User{ID: model.UserID(id), Login: "login of " + id, Profile: model.Profile{Groups: []string{"staff"}}}); err != nil {
				return err
			}
		}
		_, err := tx.exec(`DELETE FROM user_words`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := indexEverybody(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx *Tx) error {
		groups, err := tx.Groups()
		if len(groups) != 1 || groups[0].People != people {
			t.Errorf("groups are %v", groups)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
