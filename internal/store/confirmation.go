package store

import "github.com/ostiary/ostiary/internal/model"

const confirmationColumns = `id, purpose, user_id, address, holder, browser_hash, code_hash, link_hash, data, tries, proven_at, created_at, expires_at`

func scanConfirmation(row scanner) (c model.Confirmation, err error) {
	err = row.Scan(&c.ID, &c.Purpose, (*string)(&c.UserID), &c.Address, &c.Holder, &c.BrowserHash, &c.CodeHash, &c.LinkHash,
		document{&c.Data}, &c.Tries, &c.ProvenAt, &c.CreatedAt, &c.ExpiresAt)
	return c, err
}

// InsertConfirmation adds a confirmation. It fails with ErrConflict if its ID or its
// link is known.
func (tx *Tx) InsertConfirmation(c model.Confirmation) error {
	data, err := document{c.Data}.text()
	if err != nil {
		return err
	}
	return tx.insert(`INSERT INTO confirmations (`+confirmationColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
		c.ID, c.Purpose, string(c.UserID), c.Address, c.Holder, c.BrowserHash, c.CodeHash, c.LinkHash,
		data, c.Tries, c.ProvenAt, c.CreatedAt, c.ExpiresAt)
}

// Confirmation returns one that has not expired at the time now, or ErrNotFound.
func (tx *Tx) Confirmation(id string, now int64) (model.Confirmation, error) {
	return one(tx, scanConfirmation, `SELECT `+confirmationColumns+` FROM confirmations WHERE id = $1 AND expires_at > $2`, id, now)
}

// ConfirmationOf is Confirmation for the latest of a holder.
func (tx *Tx) ConfirmationOf(holder string, now int64) (model.Confirmation, error) {
	return one(tx, scanConfirmation, `SELECT `+confirmationColumns+` FROM confirmations
		WHERE holder = $1 AND holder <> '' AND expires_at > $2 ORDER BY created_at DESC, id LIMIT 1`, holder, now)
}

// ConfirmationByLink is Confirmation by the hash of a link that was not used.
func (tx *Tx) ConfirmationByLink(hash string, now int64) (model.Confirmation, error) {
	return one(tx, scanConfirmation, `SELECT `+confirmationColumns+` FROM confirmations
		WHERE link_hash = $1 AND proven_at = 0 AND expires_at > $2`, hash, now)
}

// TryConfirmation counts a try at a code before it is looked at, so that many at once
// are as many as one after the other. It fails with ErrNotFound if there were most
// already, or the letter was answered.
func (tx *Tx) TryConfirmation(id string, most, now int64) (model.Confirmation, error) {
	return change(tx, scanConfirmation, `UPDATE confirmations SET tries = tries + 1
		WHERE id = $1 AND tries < $2 AND proven_at = 0 AND expires_at > $3 RETURNING `+confirmationColumns, id, most, now)
}

// ProveConfirmation notes that a letter was answered, so that neither its code nor
// its link is good again, and when what follows has to be done. Of many who try at
// the same time one succeeds; the others, ErrNotFound.
func (tx *Tx) ProveConfirmation(id string, now, expires int64) error {
	return tx.must(`UPDATE confirmations SET proven_at = $2, expires_at = $3, code_hash = ''
		WHERE id = $1 AND proven_at = 0 AND expires_at > $2`, id, now, expires)
}

// UseConfirmation uses one up, or fails with ErrNotFound: of many who try at the
// same time, one succeeds.
func (tx *Tx) UseConfirmation(id string, now int64) error {
	return tx.must(`DELETE FROM confirmations WHERE id = $1 AND expires_at > $2`, id, now)
}

// DropConfirmations removes what waits for a person for a purpose, or, with none,
// for all of them.
func (tx *Tx) DropConfirmations(id model.UserID, purpose string) error {
	if id == "" {
		return nil // those of nobody are nobody's
	}
	_, err := tx.exec(`DELETE FROM confirmations WHERE user_id = $1 AND ($2 = '' OR purpose = $2)`, string(id), purpose)
	return err
}

// DropLetters removes what waits for a person who answers a letter to that address,
// but the undoing of a change of it.
func (tx *Tx) DropLetters(id model.UserID, address string) error {
	if id == "" {
		return nil
	}
	_, err := tx.exec(`DELETE FROM confirmations WHERE user_id = $1 AND address = $2 AND purpose <> $3`, string(id), address, model.ConfirmUndo)
	return err
}

// DropConfirmationsSince removes what waits for a person and was not begun before one
// that waits for the same; and that one as well.
func (tx *Tx) DropConfirmationsSince(c model.Confirmation) error {
	if c.UserID == "" {
		return nil
	}
	_, err := tx.exec(`DELETE FROM confirmations WHERE user_id = $1 AND (purpose <> $2 OR created_at >= $3)`, string(c.UserID), c.Purpose, c.CreatedAt)
	return err
}

// LastConfirmation returns when the last of those was begun that wait for a person
// for a purpose; 0: none does.
func (tx *Tx) LastConfirmation(id model.UserID, purpose string) (int64, error) {
	return one(tx, scanInt, `SELECT COALESCE(MAX(created_at), 0) FROM confirmations WHERE user_id = $1 AND purpose = $2`, string(id), purpose)
}

// DropConfirmationsOf removes what waits for a holder.
func (tx *Tx) DropConfirmationsOf(holder string) error {
	if holder == "" {
		return nil
	}
	_, err := tx.exec(`DELETE FROM confirmations WHERE holder = $1`, holder)
	return err
}
