package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// ImportRow is a person from elsewhere; in JSON, as export writes them.
type ImportRow struct {
	ID           string           `json:"id,omitempty"` // their "sub"; empty: a new one
	Login        string           `json:"login"`
	PasswordHash string           `json:"password_hash,omitempty"` // of another program or this one; empty: none
	Status       model.UserStatus `json:"status,omitempty"`        // empty: active
	Admin        bool             `json:"admin,omitempty"`
	Profile      model.Profile    `json:"profile,omitzero"`
	CreatedAt    int64            `json:"created_at,omitempty"`

	Line  int   `json:"-"` // where it stands
	Wrong error `json:"-"` // why it could not be read; nil: it could
}

// What becomes of a row whose login is somebody's already.
const (
	ExistingFails  = "fail"
	ExistingStays  = "skip"
	ExistingChange = "update" // the profile but for the address, and nothing that lets anybody in
)

// MaxImportBatch is how many people go into one transaction.
const MaxImportBatch = 200

// ImportOptions says how to import.
type ImportOptions struct {
	Existing  string // one of the above; empty: ExistingFails
	Admins    bool   // rows may make administrators
	KeepGoing bool   // a row that fails does not keep the others of its batch out
	DryRun    bool   // nothing is written
}

// The outcomes of a row.
const (
	ImportCreated = "created"
	ImportUpdated = "updated"
	ImportSkipped = "skipped"
	ImportFailed  = "failed"
)

// Imported is what became of a row.
type Imported struct {
	Line    int    `json:"line"`
	Login   string `json:"login"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// Import is an import that is going on: it knows which logins it has seen.
type Import struct {
	accounts *Accounts
	options  ImportOptions
	seen     map[string]int // login or ID, where it stood
}

// ErrExisting says that there is no such way with people who exist.
var ErrExisting = errors.New("is not what can become of people who exist")

// NewImport begins an import. It returns ErrExisting.
func (a *Accounts) NewImport(o ImportOptions) (*Import, error) {
	if o.Existing == "" {
		o.Existing = ExistingFails
	}
	if !slices.Contains([]string{ExistingFails, ExistingStays, ExistingChange}, o.Existing) {
		return nil, fmt.Errorf("%q %w: write fail, skip or update", printable(o.Existing, maxLogin), ErrExisting)
	}
	return &Import{a, o, map[string]int{}}, nil
}

// errRows undoes a batch of which a row failed.
var errRows = errors.New("rows failed")

// Batch imports at most MaxImportBatch people in one transaction, each with an event.
// It tells of each what became of them; if one failed, and the import does not keep
// going, then nobody of the batch was written.
func (i *Import) Batch(ctx context.Context, actor model.Actor, rows []ImportRow) ([]Imported, error) {
	if len(rows) > MaxImportBatch {
		return nil, fmt.Errorf("a batch has %d people, and may have %d", len(rows), MaxImportBatch)
	}
	drafts := make([]model.User, len(rows))
	told := make([]Imported, len(rows))
	for n, row := range rows {
		var err error
		told[n] = Imported{Line: row.Line, Login: printable(row.Login, maxLogin)}
		if drafts[n], err = i.draft(row); err != nil {
			told[n].Outcome, told[n].Error = ImportFailed, err.Error()
		}
	}
	checked := slices.Clone(told)
	run := i.accounts.store.Update
	if i.options.DryRun {
		run = i.accounts.store.View
	}
	err := run(ctx, func(tx *store.Tx) error {
		copy(told, checked) // this may run twice
		failed := false
		for n := range told {
			if told[n].Outcome == "" {
				if err := i.write(tx, actor, drafts[n], &told[n]); err != nil {
					return err
				}
			}
			failed = failed || told[n].Outcome == ImportFailed
		}
		if failed && !i.options.KeepGoing && !i.options.DryRun {
			return errRows
		}
		return nil
	})
	if errors.Is(err, errRows) {
		err = nil
	}
	return told, err
}

// importedID is what an identifier from elsewhere may be: it becomes a "sub", an argument
// of commands, and a part of the names of cookies (RFC 9110 §5.6.2). The bar is for the
// subjects of Auth0.
var importedID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._|-]{0,127}$`) })

// draft checks a row by itself and against those before it.
func (i *Import) draft(row ImportRow) (model.User, error) {
	if row.Wrong != nil {
		return model.User{}, row.Wrong
	}
	u, err := i.accounts.draft(NewUser{Login: row.Login, Admin: row.Admin, Profile: row.Profile})
	if err != nil {
		return model.User{}, err
	}
	switch {
	case row.Admin && !i.options.Admins:
		return model.User{}, ErrInvalid{"admin", "is not allowed in this import"}
	case row.Status != "" && row.Status != model.UserActive && row.Status != model.UserLocked:
		return model.User{}, ErrInvalid{"status", "must be active or locked"}
	case row.ID != "" && !importedID().MatchString(row.ID):
		return model.User{}, ErrInvalid{"id", "must be 1 to 128 letters, digits, dots, hyphens, underscores and bars of ASCII, and not begin with a dot, a hyphen or a bar"}
	case row.CreatedAt < 0 || row.CreatedAt > u.CreatedAt:
		return model.User{}, ErrInvalid{"created_at", "must be a time in the past, in seconds since 1970"}
	}
	if row.PasswordHash != "" {
		if err := credential.CheckForeign(row.PasswordHash); err != nil {
			return model.User{}, ErrInvalid{"password_hash", Reason(err.Error())}
		}
		u.PasswordHash, u.PasswordAt = row.PasswordHash, u.CreatedAt
	}
	if err := i.see(row, u); err != nil {
		return model.User{}, err
	}
	if row.ID != "" {
		u.ID = model.UserID(row.ID)
	}
	if row.Status != "" {
		u.Status = row.Status
	}
	if row.CreatedAt != 0 {
		u.CreatedAt = row.CreatedAt
	}
	return u, nil
}

// see notes what can be only one person's, or says that another row has it.
func (i *Import) see(row ImportRow, u model.User) error {
	unique := [][2]string{{"login", u.Login}, {"id", row.ID}, {"email", ""}}
	if u.Profile.EmailVerified {
		unique[2][1] = strings.ToLower(u.Profile.Email)
	}
	for _, one := range unique {
		if before, taken := i.seen[one[0]+" "+one[1]]; taken && one[1] != "" {
			return ErrInvalid{one[0], Reason(fmt.Sprintf("is that of line %d already", before))}
		}
	}
	for _, one := range unique {
		if one[1] != "" {
			i.seen[one[0]+" "+one[1]] = row.Line
		}
	}
	return nil
}

// write enters one person, or says why not.
func (i *Import) write(tx *store.Tx, actor model.Actor, u model.User, told *Imported) error {
	fail := func(why string) error {
		told.Outcome, told.Error = ImportFailed, why
		return nil
	}
	old, err := tx.UserByLogin(u.Login)
	switch {
	case err == nil && i.options.Existing == ExistingStays:
		told.Outcome = ImportSkipped
		return nil
	case err == nil && i.options.Existing == ExistingChange:
		told.Outcome = ImportUpdated
		return i.change(tx, actor, old, u)
	case err == nil:
		return fail("login is somebody's already")
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if _, given := i.seen["id "+string(u.ID)]; given {
		switch _, err := tx.User(u.ID); {
		case err == nil:
			return fail("id is somebody's already, with another login")
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	switch err := vouched(tx, model.User{}, u); {
	case errors.Is(err, ErrAddressTaken):
		return fail("email is somebody's already, confirmed")
	case err != nil:
		return err
	}
	told.Outcome = ImportCreated
	if i.options.DryRun {
		return nil
	}
	if err := tx.InsertUser(u); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "user.import", UserID: u.ID, Detail: "login=" + u.Login})
}

// change gives somebody who exists the profile of a row. The password, the state, the
// rights and the address stay: they may have changed here since the row was written,
// and whoever has the address can let themselves in.
func (i *Import) change(tx *store.Tx, actor model.Actor, old, row model.User) error {
	if i.options.DryRun {
		return nil
	}
	before := old.Profile
	old.Profile, old.UpdatedAt = row.Profile, row.UpdatedAt
	old.Profile.Email, old.Profile.EmailVerified = before.Email, before.EmailVerified
	if err := tx.UpdateUser(old); err != nil {
		return err
	}
	if err := tellProfile(tx, actor, before, old); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "user.import", UserID: old.ID, Detail: "profile of login=" + old.Login})
}

// Export returns people as Import takes them, with what their passwords are compared
// with only if hashes is set: whoever has those can try passwords at leisure. Taking
// them is an event.
func (a *Accounts) Export(ctx context.Context, actor model.Actor, f UserFilter, hashes bool) ([]ImportRow, error) {
	var list []model.User
	read := func(tx *store.Tx) (err error) {
		list, err = tx.SearchUsers(f)
		if err == nil && hashes {
			err = tx.Record(model.Event{Actor: actor, Action: "password.export", Detail: fmt.Sprintf("password hashes of %d people", len(list))})
		}
		return err
	}
	run := a.store.View
	if hashes {
		run = a.store.Update
	}
	if err := run(ctx, read); err != nil {
		return nil, err
	}
	rows := make([]ImportRow, len(list))
	for n, u := range list {
		rows[n] = ImportRow{ID: string(u.ID), Login: u.Login, Status: u.Status, Admin: u.Admin, Profile: u.Profile, CreatedAt: u.CreatedAt}
		if hashes {
			rows[n].PasswordHash = u.PasswordHash
		}
	}
	return rows, nil
}
