package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
	"golang.org/x/text/unicode/norm"
)

// The bounds of what stands of one person in the index, and of what is looked for.
const (
	maxWords    = 200
	maxWord     = 64       // bytes
	maxSought   = 5        // words of one search
	groupPrefix = "Group " // what is looked for is folded, and so never begins like this
)

// userWords returns by which words a person is found.
func userWords(u model.User) []string {
	p := u.Profile
	// Where it is too much, the groups and the texts as they stand are kept.
	var first, parts []string
	for _, group := range p.Groups {
		first = append(first, groupPrefix+group)
	}
	texts := []string{u.Login, p.Email, p.Name, p.GivenName, p.FamilyName, p.Nickname, p.PreferredUsername}
	for _, text := range texts {
		first = append(first, cutWord(folded(text)))
	}
	for _, text := range append(texts, p.Groups...) {
		parts = append(parts, words(text)...)
	}
	for _, text := range texts {
		for _, word := range append(words(text), cutWord(folded(text))) {
			parts = append(parts, tails(word)...)
		}
	}
	seen := map[string]bool{"": true}
	all := slices.DeleteFunc(append(first, parts...), func(w string) bool {
		before := seen[w]
		seen[w] = true
		return before
	})
	all = all[:min(len(all), maxWords)]
	slices.Sort(all)
	return all
}

func folded(text string) string { return strings.ToLower(norm.NFKC.String(text)) }

// words returns the words of a text, folded.
func words(text string) []string {
	list := strings.FieldsFunc(folded(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) })
	for i := range list {
		list[i] = cutWord(list[i])
	}
	return list
}

// tails returns the ends of a word of a script without spaces: whoever looks for a
// given name does not begin with the family's.
func tails(word string) (list []string) {
	if !strings.ContainsFunc(word, func(r rune) bool { return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) }) {
		return nil
	}
	for i := range word {
		list = append(list, word[i:])
	}
	return list[:min(len(list), 16)]
}

func cutWord(word string) string {
	for len(word) > maxWord {
		_, size := utf8.DecodeLastRuneInString(word)
		word = word[:len(word)-size]
	}
	return word
}

// indexUser enters a person's words.
func (tx *Tx) indexUser(u model.User) error {
	list := userWords(u)
	if len(list) == 0 {
		return nil
	}
	query, args := wordsInsert(u.ID, list)
	_, err := tx.exec(query, args...)
	return err
}

func wordsInsert(id model.UserID, list []string) (string, []any) {
	args := []any{string(id)}
	var rows []string
	for i, word := range list {
		args = append(args, word)
		rows = append(rows, "($"+strconv.Itoa(i+2)+", $1)")
	}
	return `INSERT INTO user_words (word, user_id) VALUES ` + strings.Join(rows, ", ") + ` ON CONFLICT DO NOTHING`, args
}

// indexAgain puts a person's words in the place of those that were true before.
func (tx *Tx) indexAgain(before, after model.User) error {
	if slices.Equal(userWords(before), userWords(after)) {
		return nil // most changes are about something else
	}
	if _, err := tx.exec(`DELETE FROM user_words WHERE user_id = $1`, string(after.ID)); err != nil {
		return err
	}
	return tx.indexUser(after)
}

// indexEverybody is part of migration 20: it enters those who were there before.
func indexEverybody(ctx context.Context, tx *sql.Tx) error {
	for after, more := "", true; more; {
		rows, err := tx.QueryContext(ctx, `SELECT id, login, profile FROM users WHERE id > $1 ORDER BY id LIMIT 500`, after)
		if err != nil {
			return err
		}
		var page []model.User
		for rows.Next() {
			var u model.User
			if err := rows.Scan((*string)(&u.ID), &u.Login, document{&u.Profile}); err != nil {
				return err
			}
			page = append(page, u)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, u := range page {
			after = string(u.ID)
			list := userWords(u)
			if len(list) == 0 {
				continue
			}
			query, args := wordsInsert(u.ID, list)
			if _, err := tx.ExecContext(ctx, query, storable(args)...); err != nil {
				return err
			}
		}
		more = len(page) > 0
	}
	return nil
}

// UserFilter narrows a listing of people; what is empty does not.
type UserFilter struct {
	Search string // the beginning of one or more words of login, name, address and groups, in whichever case
	Group  string // by its exact name
	Status model.UserStatus
	Admin  bool         // administrators alone
	After  model.UserID // the last one of the page before
	Limit  int          // 1000 at most
}

// SearchUsers lists people by their ID.
func (tx *Tx) SearchUsers(f UserFilter) ([]model.User, error) {
	query := `SELECT ` + userColumns + ` FROM users WHERE id > $1`
	args := []any{string(f.After)}
	next := func(arg any) string {
		args = append(args, arg)
		return "$" + strconv.Itoa(len(args))
	}
	for _, word := range sought(f.Search) {
		// U+10FFFF sorts behind whatever a word may go on with.
		query += ` AND id IN (SELECT user_id FROM user_words WHERE word >= ` + next(word) + ` AND word < ` + next(word+"\U0010FFFF") + `)`
	}
	if f.Group != "" {
		query += ` AND id IN (SELECT user_id FROM user_words WHERE word = ` + next(groupPrefix+f.Group) + `)`
	}
	if f.Status != "" {
		query += ` AND status = ` + next(string(f.Status))
	}
	if f.Admin {
		query += ` AND admin = 1`
	}
	return many(tx, scanUser, query+` ORDER BY id LIMIT `+next(page(f.Limit)), args...)
}

// sought returns the words of a search: a login or an address as it stands, and what
// it is made of.
func sought(search string) []string {
	whole := folded(strings.TrimSpace(search))
	if whole == "" {
		return nil
	}
	if !strings.ContainsFunc(whole, unicode.IsSpace) {
		return []string{cutWord(whole)}
	}
	list := words(search)
	if len(list) == 0 {
		return []string{cutWord(whole)} // signs alone: nobody has them, and not everybody
	}
	return list[:min(len(list), maxSought)]
}

// Groups lists the groups that people are in, all of them, each with how many there
// are.
func (tx *Tx) Groups() ([]Group, error) {
	var all []Group
	for after := groupPrefix; ; {
		some, err := many(tx, func(row scanner) (g Group, err error) {
			err = row.Scan(&g.Name, &g.People)
			g.Name = strings.TrimPrefix(g.Name, groupPrefix)
			return g, err
		}, `SELECT word, count(*) FROM user_words WHERE word > $1 AND word < $2 GROUP BY word ORDER BY word LIMIT $3`,
			after, groupPrefix+"\U0010FFFF", page(0))
		if all = append(all, some...); err != nil || len(some) < maxPage {
			return all, err
		}
		after = groupPrefix + some[len(some)-1].Name
	}
}

// Group is a group and how many people are in it.
type Group struct {
	Name   string `json:"name"`
	People int64  `json:"people"`
}
