package account

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func (h house) imported(o ImportOptions, rows ...ImportRow) (outcomes []string, told []Imported) {
	h.t.Helper()
	in, err := h.NewImport(o)
	h.ok(err)
	for n := range rows {
		rows[n].Line = n + 1
	}
	told, err = in.Batch(h.ctx(), admin, rows)
	h.ok(err)
	for _, one := range told {
		outcomes = append(outcomes, one.Outcome)
	}
	return outcomes, told
}

func TestImport(t *testing.T) {
	each(t, func(h house) {
		_, err := h.Create(h.ctx(), admin, NewUser{Login: "ada", Password: goodPassword, Profile: model.Profile{Email: "ada@example.org", EmailVerified: true}})
		h.ok(err)
		row := ImportRow{Login: "Bob", PasswordHash: bcryptHash, Profile: model.Profile{Name: "Bob", Email: "bob@example.org", EmailVerified: true, Groups: []string{"staff"}}}
		taken := ImportRow{Login: "ada", PasswordHash: scryptHash, Admin: true, Profile: model.Profile{Name: "Another Ada", Email: "mallory@example.net", EmailVerified: true}}
		admins := ImportOptions{Admins: true}

		if got, told := h.imported(admins, row, taken); fmt.Sprint(got) != "[created failed]" || told[1].Error != "login is somebody's already" {
			h.t.Errorf("all or nothing: %v %v", got, told)
		}
		if _, err := h.ByLogin(h.ctx(), "bob"); err == nil {
			h.t.Error("a batch that failed left somebody")
		}
		if got, _ := h.imported(ImportOptions{DryRun: true}, row); fmt.Sprint(got) != "[created]" {
			h.t.Errorf("dry run: %v", got)
		}
		if _, err := h.ByLogin(h.ctx(), "bob"); err == nil {
			h.t.Error("a dry run left somebody")
		}
		if got, _ := h.imported(ImportOptions{Admins: true, KeepGoing: true}, taken, row); fmt.Sprint(got) != "[failed created]" {
			h.t.Errorf("keep going: %v", got)
		}
		if got, _ := h.imported(ImportOptions{Admins: true, Existing: ExistingStays}, taken, row); fmt.Sprint(got) != "[skipped skipped]" {
			h.t.Errorf("again: %v", got)
		}
		// To update lets nobody in who was not, and makes nobody more than they were.
		if got, _ := h.imported(ImportOptions{Admins: true, Existing: ExistingChange}, taken); fmt.Sprint(got) != "[updated]" {
			h.t.Errorf("update: %v", got)
		}
		ada, err := h.ByLogin(h.ctx(), "ada")
		h.ok(err)
		if ada.Admin || ada.Profile.Name != "Another Ada" || ada.Profile.Email != "ada@example.org" || !ada.Profile.EmailVerified {
			h.t.Errorf("updated to %+v", ada)
		}
		h.signedIn("ada")
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "pleaseletmein"})
		h.is(err, ErrCredentials)
		_, err = h.SignIn(h.ctx(), Attempt{Login: "bob", Password: "U*U"})
		h.ok(err)

		imports := 0
		h.view(func(tx *store.Tx) error {
			events, err := tx.Events(0, 1000)
			for _, e := range events {
				if e.Action == "user.import" {
					imports++
					if strings.Contains(fmt.Sprint(e), "$2a$") || e.UserID == "" || e.Actor != admin {
						h.t.Errorf("event %+v", e)
					}
				}
			}
			return err
		})
		if imports != 2 { // bob came, ada changed
			h.t.Errorf("%d events", imports)
		}
	})
}

func TestImportRefuses(t *testing.T) {
	each(t, func(h house) {
		bob := h.user("bob")
		_, err := h.Update(h.ctx(), admin, bob.ID, Change{Profile: &model.Profile{Email: "bob@example.org", EmailVerified: true}})
		h.ok(err)
		for name, row := range map[string]struct {
			row  ImportRow
			want string
		}{
			"no login":                     {ImportRow{}, "login is missing"},
			"a login of 1 MB":              {ImportRow{Login: strings.Repeat("x", 1<<20)}, "login is too long"},
			"a homograph of nothing":       {ImportRow{Login: "b\u200bob"}, "login has characters"},
			"a costly hash":                {ImportRow{Login: "x", PasswordHash: "$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}, "password_hash costs too much"},
			"a password":                   {ImportRow{Login: "x", PasswordHash: "hunter2"}, "password_hash is not a password hash"},
			"a broken hash":                {ImportRow{Login: "x", PasswordHash: "$2b$10$short"}, "password_hash is damaged"},
			"an administrator":             {ImportRow{Login: "x", Admin: true}, "admin is not allowed in this import"},
			"another state":                {ImportRow{Login: "x", Status: "deleted"}, "status must be active or locked"},
			"an id that is a flag":         {ImportRow{Login: "x", ID: "--yes"}, "id must be"},
			"an id that begins with a bar": {ImportRow{Login: "x", ID: "|x"}, "id must be"},
			"an id no cookie can have":     {ImportRow{Login: "x", ID: "samlp|corp|x@example.org"}, "id must be"},
			"an id of 1 MB":                {ImportRow{Login: "x", ID: strings.Repeat("x", 1<<20)}, "id must be"},
			"an id that is taken":          {ImportRow{Login: "x", ID: string(bob.ID)}, "id is somebody's already"},
			"a time to come":               {ImportRow{Login: "x", CreatedAt: h.unix() + 60}, "created_at must be"},
			"a broken profile":             {ImportRow{Login: "x", Profile: model.Profile{Email: "nonsense"}}, "email must be an e-mail address"},
			"a verified nothing":           {ImportRow{Login: "x", Profile: model.Profile{EmailVerified: true}}, "email_verified is said of no address"},
			"a script for an address":      {ImportRow{Login: "x", Profile: model.Profile{Website: "javascript:alert(1)"}}, "website must be an address"},
			"a profile of 1 MB":            {ImportRow{Login: "x", Profile: model.Profile{Name: strings.Repeat("x", 1<<20)}}, "name must have"},
			"a thousand groups":            {ImportRow{Login: "x", Profile: model.Profile{Groups: make([]string, 1000)}}, "groups must be"},
			"a login that is in twice":     {ImportRow{Login: "FIRST"}, "login is that of line 1 already"},
			"an address of another":        {ImportRow{Login: "x", Profile: model.Profile{Email: "BOB@example.org", EmailVerified: true}}, "email is somebody's already"},
			"an address that is in twice":  {ImportRow{Login: "x", Profile: model.Profile{Email: "First@example.org", EmailVerified: true}}, "email is that of line 1 already"},
			"an id that is in twice":       {ImportRow{Login: "x", ID: "first-1"}, "id is that of line 1 already"},
		} {
			if strings.Contains(name, "homograph") {
				row.want = "login"
			}
			_, told := h.imported(ImportOptions{KeepGoing: true, DryRun: true}, ImportRow{Login: "first", ID: "first-1", Profile: model.Profile{Email: "first@example.org", EmailVerified: true}}, row.row)
			if told[0].Outcome != ImportCreated || told[1].Outcome != ImportFailed || !strings.HasPrefix(told[1].Error, row.want) {
				h.t.Errorf("%s: %+v", name, told)
			}
		}
		in, err := h.NewImport(ImportOptions{})
		h.ok(err)
		if _, err := in.Batch(h.ctx(), admin, make([]ImportRow, MaxImportBatch+1)); err == nil {
			h.t.Error("a batch too large is taken")
		}
		if _, err := h.NewImport(ImportOptions{Existing: "overwrite"}); err == nil {
			h.t.Error("an unknown way with those who exist is taken")
		}
	})
}

// BenchmarkImport brings 10,000 people.
func BenchmarkImport(b *testing.B) {
	for name, s := range map[string]*store.Store{"sqlite": storetest.SQLite(b), "postgres": storetest.Postgres(b)} {
		b.Run(name, func(b *testing.B) {
			a, err := New(Config{Store: s, Keys: ring(b, s), Password: cheap, TokenLife: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			for round := 0; b.Loop(); round++ {
				in, err := a.NewImport(ImportOptions{})
				if err != nil {
					b.Fatal(err)
				}
				var rows []ImportRow
				for n := range 10_000 {
					login := fmt.Sprintf("person%d-%d@example.com", round, n)
					rows = append(rows, ImportRow{Login: login, PasswordHash: bcryptHash, Profile: model.Profile{Name: "Ada Lovelace", Email: login, Groups: []string{"staff"}}})
					if len(rows) == MaxImportBatch {
						told, err := in.Batch(b.Context(), admin, rows)
						if err != nil || told[0].Outcome != ImportCreated {
							b.Fatal(told, err)
						}
						rows = rows[:0]
					}
				}
			}
		})
	}
}
