package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) user() *cli.Command {
	return &cli.Command{
		Name: "user", Usage: "people who can sign in", Flags: places(),
		Commands: []*cli.Command{
			sh.userCreate(), sh.userList(), sh.userShow(), sh.userUpdate(), sh.userSetPassword(),
			sh.userInvite(), sh.userReset(), sh.userLock(), sh.userUnlock(), sh.userResetFactors(), sh.userPasskey(), sh.userSignOut(), sh.userDelete(), sh.userGroups(),
			sh.userImport(), sh.userExport(), sh.userIdentities(), sh.userConnect(), sh.userDisconnect(),
		},
	}
}

func (sh shell) userCreate() *cli.Command {
	return &cli.Command{
		Name: "create", ArgsUsage: "LOGIN", Usage: "create a person; the password is asked for, or read from standard input",
		Flags: append(userFlags(),
			&cli.BoolFlag{Name: "no-password", Usage: "without a password: they cannot sign in until they are given one"}),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			profile, err := changedProfile(c, model.Profile{})
			if err != nil {
				return err
			}
			var password model.Secret
			if !c.Bool("no-password") {
				if password, err = sh.password(); err != nil {
					return err
				}
			}
			u, err := a.Accounts.Create(ctx, a.actor, account.NewUser{
				Login: c.Args().First(), Password: password, Admin: c.Bool("admin"), Profile: profile,
			})
			if err != nil {
				return userError(c, err)
			}
			return sh.say(c, u, "Created %s (%s).", u.Login, u.ID)
		}),
	}
}

func (sh shell) userUpdate() *cli.Command {
	return &cli.Command{
		Name: "update", ArgsUsage: "LOGIN", Usage: "change what is known about a person: what is given, the rest stays",
		Flags: append(userFlags(),
			&cli.StringFlag{Name: "login", Usage: "their new `LOGIN`"},
			&cli.StringSliceFlag{Name: "add-group", Usage: "`GROUP` that they belong to as well; may be repeated"},
			&cli.StringSliceFlag{Name: "remove-group", Usage: "`GROUP` that they belong to no more; may be repeated"},
			&cli.StringFlag{Name: "ask-second-factor", Usage: "`POLICY` for them: required, or default for what everybody is asked"},
			&cli.StringSliceFlag{Name: "sign-in-method", Usage: "`METHOD` by which they may sign in, or all; may be repeated"}),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			var u model.User
			err := account.ErrChanged
			for attempt := 0; errors.Is(err, account.ErrChanged) && attempt < 10; attempt++ {
				if u, err = a.user(ctx); err != nil {
					return err
				}
				change, wrong := changeOf(c, u)
				if wrong != nil {
					return wrong
				}
				u, err = a.Accounts.Update(ctx, a.actor, u.ID, change)
			}
			if err != nil {
				return userError(c, err)
			}
			return sh.say(c, u, "Changed %s (%s).", u.Login, u.ID)
		}),
	}
}

// changeOf is what the flags change of a person.
func changeOf(c *cli.Command, u model.User) (account.Change, error) {
	change := account.Change{AddGroups: c.StringSlice("add-group"), RemoveGroups: c.StringSlice("remove-group"), Before: &u}
	profile, err := changedProfile(c, u.Profile)
	if err != nil {
		return change, err
	}
	if !reflect.DeepEqual(profile, u.Profile) {
		change.Profile = &profile
	}
	if c.IsSet("login") {
		login := c.String("login")
		change.Login = &login
	}
	if c.IsSet("admin") {
		admin := c.Bool("admin")
		change.Admin = &admin
	}
	if c.IsSet("ask-second-factor") || c.IsSet("sign-in-method") {
		policy, err := changedPolicy(c, u.SignIn)
		if err != nil {
			return change, err
		}
		change.SignIn = &policy
	}
	return change, nil
}

// changedPolicy returns what is asked of a person at sign-in, with what the command
// line says about it.
func changedPolicy(c *cli.Command, p model.SignInPolicy) (model.SignInPolicy, error) {
	if c.IsSet("ask-second-factor") {
		switch v := c.String("ask-second-factor"); v {
		case model.SecondRequired:
			p.SecondFactor = v
		case "default":
			p.SecondFactor = ""
		default:
			return p, usagef("--ask-second-factor: %q is neither required nor default", v)
		}
	}
	if c.IsSet("sign-in-method") {
		p.Methods = nil
		for _, m := range c.StringSlice("sign-in-method") {
			if m == "all" {
				continue
			}
			if !slices.Contains(model.Methods(), model.Method(m)) {
				return p, usagef("--sign-in-method: %q is none of %s, all", m, methodNames(model.Methods()))
			}
			p.Methods = append(p.Methods, model.Method(m))
		}
	}
	return p, nil
}

// userFlags are what can be said about a person. The claims that have no flag
// of their own stand in the file of --profile.
func userFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "admin", Usage: "they are an administrator; --admin=false takes it back"},
		&cli.StringFlag{Name: "profile", Usage: "JSON `FILE` with their claims, named as in OpenID Connect; it replaces those that are known", TakesFile: true},
		&cli.StringFlag{Name: "name", Usage: "their full `NAME`"},
		&cli.StringFlag{Name: "email", Usage: "their `ADDRESS`"},
		&cli.BoolFlag{Name: "email-verified", Usage: "the address is known to be theirs"},
		&cli.StringSliceFlag{Name: "group", Usage: "`GROUP` that they belong to; may be repeated"},
	}
}

// changedProfile returns a profile with what the command line says about it: the
// file first, and the flags over it.
func changedProfile(c *cli.Command, p model.Profile) (model.Profile, error) {
	if path := c.String("profile"); path != "" {
		data, err := readBounded(path)
		if err != nil {
			return p, usagef("--profile: %v", err)
		}
		p = model.Profile{}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return p, usagef("--profile: %s must be one JSON object of claims such as {\"phone_number\": \"+380441234567\"}: %v", path, err)
		}
	}
	if c.IsSet("name") {
		p.Name = c.String("name")
	}
	if c.IsSet("email") {
		if p.Email != c.String("email") {
			p.EmailVerified = false // another address is not known to be theirs
		}
		p.Email = c.String("email")
	}
	if c.IsSet("email-verified") {
		p.EmailVerified = c.Bool("email-verified")
	}
	if c.IsSet("group") {
		p.Groups = slices.DeleteFunc(slices.Clone(c.StringSlice("group")), func(g string) bool { return g == "" })
	}
	return p, nil
}

func (sh shell) userList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list people, all of them or those that are looked for",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "search", Usage: "the beginning of `WORDS` of their login, name, address or groups, in whichever case"},
			&cli.StringFlag{Name: "group", Usage: "who is in that `GROUP`"},
			&cli.StringFlag{Name: "status", Usage: "who is in that `STATE`: active or locked"},
			&cli.BoolFlag{Name: "admin", Usage: "administrators alone"},
			&cli.IntFlag{Name: "limit", Usage: "so many at most, a `NUMBER`; 0: all"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			t := table{columns: []string{"LOGIN", "NAME", "EMAIL", "STATUS", "ADMIN", "CREATED", "ID"}, empty: "There are no users."}
			limit := a.command.Int("limit")
			if limit < 0 {
				return usagef("--limit: %d is not a number of people", limit)
			}
			people, err := a.everybody(ctx)
			if err != nil {
				return err
			}
			slices.SortFunc(people, func(a, b model.User) int { return strings.Compare(a.Login, b.Login) })
			if limit > 0 { // the first by what the list is sorted by
				people = people[:min(limit, len(people))]
			}
			for _, u := range people {
				t.rows = append(t.rows, []string{u.Login, u.Profile.Name, u.Profile.Email, string(u.Status), yes(u.Admin), when(u.CreatedAt), string(u.ID)})
			}
			t.values = people
			return sh.printTable(a.command, t)
		}),
	}
}

// everybody returns those whom the flags of a listing name.
func (a admin) everybody(ctx context.Context) ([]model.User, error) {
	people := []model.User{}
	f, err := filterOf(a.command)
	for err == nil {
		var page []model.User
		page, err = a.Accounts.List(ctx, f)
		people = append(people, page...)
		if len(page) < pageSize {
			break
		}
		f.After = page[len(page)-1].ID
	}
	return people, err
}

// pageSize is how many rows a listing asks for at a time.
const pageSize = 500

func (sh shell) userShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "LOGIN", Usage: "show what is known about a person",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			return sh.printRecord(a.command, u,
				field{"Login", u.Login}, field{"ID", string(u.ID)}, field{"Status", string(u.Status)}, field{"Administrator", yes(u.Admin)},
				field{"Name", u.Profile.Name}, field{"E-mail", u.Profile.Email}, field{"E-mail verified", yes(u.Profile.EmailVerified)},
				field{"Groups", strings.Join(u.Profile.Groups, ", ")},
				field{"Second factor", u.SignIn.SecondFactor}, field{"Sign-in methods", methodNames(u.SignIn.Methods)},
				field{"Created", when(u.CreatedAt)}, field{"Changed", when(u.UpdatedAt)}, field{"Password set", when(u.PasswordAt)})
		}),
	}
}

func (sh shell) userSetPassword() *cli.Command {
	return &cli.Command{
		Name: "set-password", ArgsUsage: "LOGIN", Usage: "give a person a new password and end their sessions",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			password, err := sh.password()
			if err != nil {
				return err
			}
			if err := a.Accounts.SetPassword(ctx, a.actor, u.ID, account.NewPassword{Password: password}); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID}, "%s has a new password and is signed out everywhere.", u.Login)
		}),
	}
}

func (sh shell) userLock() *cli.Command {
	return &cli.Command{
		Name: "lock", ArgsUsage: "LOGIN", Usage: "put a person out now, and keep them out",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			if err := a.Accounts.Lock(ctx, a.actor, u.ID); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID, "status": model.UserLocked}, "%s is locked and signed out everywhere.", u.Login)
		}),
	}
}

func (sh shell) userResetFactors() *cli.Command {
	return &cli.Command{
		Name: "reset-factors", ArgsUsage: "LOGIN", Usage: "take away the apps, recovery codes and passkeys of somebody who has lost them, and sign them out",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			if err := a.Accounts.ResetFactors(ctx, a.actor, u.ID); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID}, "%s has no second factor and no passkey any more, and is signed out everywhere.", u.Login)
		}),
	}
}

// methodNames lists sign-in methods.
func methodNames(methods []model.Method) string {
	var names []string
	for _, m := range methods {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

func (sh shell) userUnlock() *cli.Command {
	return &cli.Command{
		Name: "unlock", ArgsUsage: "LOGIN", Usage: "let a locked person sign in again",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			if err := a.Accounts.Unlock(ctx, a.actor, u.ID); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID, "status": model.UserActive}, "%s can sign in again.", u.Login)
		}),
	}
}

func (sh shell) userSignOut() *cli.Command {
	return &cli.Command{
		Name: "sign-out", ArgsUsage: "LOGIN", Usage: "end all sessions of a person now; they can sign in again",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			if err := a.Accounts.SignOutEverywhere(ctx, a.actor, u.ID); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID, "signed_out": true}, "%s is signed out everywhere.", u.Login)
		}),
	}
}

func (sh shell) userDelete() *cli.Command {
	return &cli.Command{
		Name: "delete", ArgsUsage: "LOGIN", Usage: "delete a person with everything that is theirs",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Delete %s (%s) with all sessions and consents?", u.Login, u.ID)); err != nil {
				return err
			}
			if err := a.Accounts.Delete(ctx, a.actor, u.ID); err != nil {
				return userError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID, "deleted": true}, "Deleted %s.", u.Login)
		}),
	}
}

// user finds the person that the argument names.
func (a admin) user(ctx context.Context) (model.User, error) {
	return a.userNamed(ctx, a.command.Args().First())
}

// userNamed finds a person by ID or by login. The ID goes first: people choose
// logins, and nobody must be able to stand in for somebody else by choosing
// theirs.
func (a admin) userNamed(ctx context.Context, name string) (model.User, error) {
	u, err := a.Accounts.User(ctx, model.UserID(name))
	if errors.Is(err, account.ErrNoUser) {
		u, err = a.Accounts.ByLogin(ctx, name)
	}
	if errors.Is(err, account.ErrNoUser) {
		return model.User{}, noUser(name)
	}
	return u, err
}

func noUser(name string) error { return fmt.Errorf("there is no user %q: see ostiary user list", name) }

// userError says whom an error is about, and what to do.
func userError(c *cli.Command, err error) error {
	name := c.Args().First()
	var wrong account.ErrInvalid
	switch {
	case errors.Is(err, account.ErrNoUser):
		return noUser(name)
	case errors.Is(err, account.ErrLoginTaken):
		return fmt.Errorf("there is a user %q already: choose another login", name)
	case errors.Is(err, account.ErrAddressTaken):
		return errors.New("the address is another account's: leave out --email-verified, or give that account another one first")
	case errors.As(err, &wrong) && wrong.Field == "methods":
		return usagef("--sign-in-method: the methods %s", wrong.Reason)
	case errors.As(err, &wrong):
		return usagef("the %v", err)
	}
	return err
}
