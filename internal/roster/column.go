package roster

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// column is one column of a table.
type column struct {
	name string
	get  func(account.ImportRow) string
	set  func(*account.ImportRow, string) error
}

func text(name string, field func(*account.ImportRow) *string) column {
	return column{name,
		func(r account.ImportRow) string { return *field(&r) },
		func(r *account.ImportRow, v string) error { *field(r) = v; return nil }}
}

func claim(name string, field func(*model.Profile) *string) column {
	return text(name, func(r *account.ImportRow) *string { return field(&r.Profile) })
}

func inAddress(name string, field func(*model.Address) *string) column {
	return column{"address." + name,
		func(r account.ImportRow) string {
			if r.Profile.Address == nil {
				return ""
			}
			return *field(r.Profile.Address)
		},
		func(r *account.ImportRow, v string) error {
			if r.Profile.Address == nil {
				r.Profile.Address = &model.Address{}
			}
			*field(r.Profile.Address) = v
			return nil
		}}
}

func truth(name string, field func(*account.ImportRow) *bool) column {
	return column{name,
		func(r account.ImportRow) string {
			if !*field(&r) {
				return ""
			}
			return "true"
		},
		func(r *account.ImportRow, v string) error {
			b, err := strconv.ParseBool(strings.ToLower(v))
			if err != nil {
				return fmt.Errorf("%s must be true or false", name)
			}
			*field(r) = b
			return nil
		}}
}

// columns are those that a table can have, named as in OpenID Connect. What is empty
// says nothing.
var columns = []column{
	text("login", func(r *account.ImportRow) *string { return &r.Login }),
	text("id", func(r *account.ImportRow) *string { return &r.ID }),
	text("password_hash", func(r *account.ImportRow) *string { return &r.PasswordHash }),
	text("status", func(r *account.ImportRow) *string { return (*string)(&r.Status) }),
	{"created_at", func(r account.ImportRow) string {
		if r.CreatedAt == 0 {
			return ""
		}
		return strconv.FormatInt(r.CreatedAt, 10)
	}, func(r *account.ImportRow, v string) (err error) {
		if r.CreatedAt, err = strconv.ParseInt(v, 10, 64); err != nil {
			err = errors.New("created_at must be a number of seconds since 1970")
		}
		return err
	}},
	{"groups", func(r account.ImportRow) string { return joinGroups(r.Profile.Groups) }, func(r *account.ImportRow, v string) error {
		r.Profile.Groups = splitGroups(v)
		return nil
	}},
	truth("admin", func(r *account.ImportRow) *bool { return &r.Admin }),
	truth("email_verified", func(r *account.ImportRow) *bool { return &r.Profile.EmailVerified }),
	truth("phone_number_verified", func(r *account.ImportRow) *bool { return &r.Profile.PhoneNumberVerified }),
	claim("name", func(p *model.Profile) *string { return &p.Name }),
	claim("given_name", func(p *model.Profile) *string { return &p.GivenName }),
	claim("family_name", func(p *model.Profile) *string { return &p.FamilyName }),
	claim("middle_name", func(p *model.Profile) *string { return &p.MiddleName }),
	claim("nickname", func(p *model.Profile) *string { return &p.Nickname }),
	claim("preferred_username", func(p *model.Profile) *string { return &p.PreferredUsername }),
	claim("profile", func(p *model.Profile) *string { return &p.Page }),
	claim("picture", func(p *model.Profile) *string { return &p.Picture }),
	claim("website", func(p *model.Profile) *string { return &p.Website }),
	claim("gender", func(p *model.Profile) *string { return &p.Gender }),
	claim("birthdate", func(p *model.Profile) *string { return &p.Birthdate }),
	claim("zoneinfo", func(p *model.Profile) *string { return &p.Zoneinfo }),
	claim("locale", func(p *model.Profile) *string { return &p.Locale }),
	claim("email", func(p *model.Profile) *string { return &p.Email }),
	claim("phone_number", func(p *model.Profile) *string { return &p.PhoneNumber }),
	inAddress("formatted", func(a *model.Address) *string { return &a.Formatted }),
	inAddress("street_address", func(a *model.Address) *string { return &a.StreetAddress }),
	inAddress("locality", func(a *model.Address) *string { return &a.Locality }),
	inAddress("region", func(a *model.Address) *string { return &a.Region }),
	inAddress("postal_code", func(a *model.Address) *string { return &a.PostalCode }),
	inAddress("country", func(a *model.Address) *string { return &a.Country }),
}

func names() (list []string) {
	for _, c := range columns {
		list = append(list, c.name)
	}
	return list
}

func join(names []string) string { return strings.Join(names, ", ") }

func named(list []column, name string) int {
	return slices.IndexFunc(list, func(c column) bool { return c.name == name })
}

// separator stands between groups; with a backslash before it, it is a part of one.
var separator = strings.NewReplacer(`\`, `\\`, ";", `\;`)

func joinGroups(groups []string) string {
	var list []string
	for _, g := range groups {
		list = append(list, separator.Replace(g))
	}
	return strings.Join(list, ";")
}

func splitGroups(v string) (groups []string) {
	var group strings.Builder
	end := func() {
		if g := strings.TrimSpace(group.String()); g != "" {
			groups = append(groups, g)
		}
		group.Reset()
	}
	escaped := false
	for _, c := range v {
		switch {
		case !escaped && c == '\\':
			escaped = true
			continue
		case !escaped && c == ';':
			end()
		default:
			group.WriteRune(c)
		}
		escaped = false
	}
	end()
	return groups
}

// formula reports whether a spreadsheet would run a value instead of showing it, or
// one that is marked. A phone number begins in such a way and cannot do anything.
func formula(c column, v string) bool {
	return c.name != "phone_number" && strings.IndexAny(strings.TrimLeft(v, "'"), "=+-@\t\r") == 0
}

// mark keeps a spreadsheet from running a value, and unmark gives back what it was.
func mark(c column, v string) string {
	if formula(c, v) {
		return "'" + v
	}
	return v
}

func unmark(c column, v string) string {
	if formula(c, v) {
		return strings.TrimPrefix(v, "'")
	}
	return v
}
