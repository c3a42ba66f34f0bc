package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) upstream() *cli.Command {
	return &cli.Command{
		Name: "upstream", Usage: "identity providers, whose people may sign in here", Flags: places(),
		Commands: []*cli.Command{
			sh.upstreamAdd(), sh.upstreamList(), sh.upstreamShow(), sh.upstreamUpdate(), sh.upstreamRemove(),
			sh.upstreamSwitch("disable", "let nobody sign in by one for now; sessions and connections stay", true),
			sh.upstreamSwitch("enable", "let people sign in by one again", false),
			sh.upstreamTest(), sh.upstreamPeople(),
		},
	}
}

// shownUpstream is a provider as the command tells of it. Of its secrets the names are
// told.
type shownUpstream struct {
	model.Upstream
	Status  string   `json:"status"`
	Secrets []string `json:"secrets"`
	federation.Addresses
}

// upstreamFlags are the settings of a provider, by their names in a file.
func upstreamFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`TEXT` on its button", DefaultText: "that of the kind, or the ID"},
		&cli.StringSliceFlag{Name: "set", Usage: "`MEMBER=VALUE` of its connection, such as client_id=shop; repeat for several; an empty value takes one away"},
		&cli.StringFlag{Name: "connection", Usage: "`FILE` with the connection as a whole, YAML or JSON; - is standard input", TakesFile: true},
		&cli.StringSliceFlag{Name: "secret-file", Usage: "`NAME=FILE` with a secret of its connection, such as client_secret=secret.txt; - is standard input"},
		&cli.Int64Flag{Name: "position", Usage: "`NUMBER` of its button, the lowest first", DefaultText: "0"},
		&cli.StringSliceFlag{Name: "domain", Usage: "`DOMAIN` of the mail addresses whose people belong there; repeat for several"},
		&cli.BoolFlag{Name: "default", Usage: "go there without showing the sign-in page"},
		&cli.BoolFlag{Name: "hidden", Usage: "show no button: it is reached by a hint or a domain"},
		&cli.BoolFlag{Name: "make-accounts", Usage: "make an account for whoever comes from there and has none"},
		&cli.BoolFlag{Name: "link-by-mail", Usage: "connect whoever comes with the account that has the same address, if both sides have made sure of it"},
		&cli.BoolFlag{Name: "trust-mail", Usage: "take its addresses for verified where it does not say"},
		&cli.StringSliceFlag{Name: "trust-acr", Usage: "`VALUE` of amr or acr by which it tells of two factors, and whose word is taken; repeat for several"},
		&cli.StringFlag{Name: "mapping", Usage: "`FILE` with what is made of its claims, YAML or JSON; - is standard input", DefaultText: "the standard claims, when the account is made", TakesFile: true},
		&cli.BoolFlag{Name: "keep-tokens", Usage: "keep its tokens, sealed"},
	}
}

// changedUpstream is a provider with what the flags say, and its new secrets.
func (sh shell) changedUpstream(c *cli.Command, u model.Upstream) (model.Upstream, map[string]model.Secret, error) {
	if c.IsSet("name") {
		u.Name = c.String("name")
	}
	if c.IsSet("position") {
		u.Position = c.Int64("position")
	}
	for name, to := range map[string]*bool{
		"default": &u.Default, "hidden": &u.Hidden, "make-accounts": &u.SignUp, "link-by-mail": &u.LinkByMail, "trust-mail": &u.TrustMail, "keep-tokens": &u.KeepTokens,
	} {
		if c.IsSet(name) {
			*to = c.Bool(name)
		}
	}
	for name, to := range map[string]*[]string{"domain": &u.Domains, "trust-acr": &u.TrustACR} {
		if c.IsSet(name) {
			*to = slices.DeleteFunc(c.StringSlice(name), func(v string) bool { return v == "" })
		}
	}
	if c.IsSet("mapping") {
		u.Mapping = nil
		if err := sh.readYAML(c, "mapping", &u.Mapping); err != nil {
			return u, nil, err
		}
	}
	if err := sh.changedConnection(c, &u); err != nil {
		return u, nil, err
	}
	secrets, err := sh.upstreamSecrets(c)
	return u, secrets, err
}

// changedConnection replaces the connection by a file, and members of it by flags.
func (sh shell) changedConnection(c *cli.Command, u *model.Upstream) error {
	members := map[string]json.RawMessage{}
	if c.IsSet("connection") {
		if err := sh.readYAML(c, "connection", &members); err != nil {
			return err
		}
	} else if len(u.Connection) > 0 {
		if err := json.Unmarshal(u.Connection, &members); err != nil {
			return err
		}
	}
	for _, pair := range c.StringSlice("set") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return usagef("--set: %q is not such as client_id=shop", pair)
		}
		if value == "" {
			delete(members, name)
			continue
		}
		members[name] = memberValue(value)
	}
	text, err := json.Marshal(members)
	u.Connection = text
	return err
}

// memberValue reads what stands behind a "=": true, false, a list or an object in JSON,
// or else a text.
func memberValue(value string) json.RawMessage {
	if value == "true" || value == "false" || strings.ContainsAny(value[:1], "[{") && json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // cannot be: texts always marshal
	}
	return text
}

// readYAML reads the file that a flag names.
func (sh shell) readYAML(c *cli.Command, flag string, into any) error {
	data, err := sh.readFileOrInput(c.String(flag))
	if err != nil {
		return usagef("--%s: %v", flag, err)
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		reason, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return usagef("--%s: %s", flag, reason)
	}
	if err := strict(text, into); err != nil {
		return usagef("--%s: %v", flag, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func (sh shell) upstreamSecrets(c *cli.Command) (map[string]model.Secret, error) {
	secrets := map[string]model.Secret{}
	for _, pair := range c.StringSlice("secret-file") {
		name, path, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--secret-file: %q is not such as client_secret=secret.txt", pair)
		}
		data, err := sh.readFileOrInput(path)
		if err != nil {
			return nil, usagef("--secret-file: %v", err)
		}
		secrets[name] = model.Secret(strings.TrimRight(string(data), "\r\n"))
	}
	return secrets, nil
}

// upstreamError says which flag is wrong, or what there is not.
func upstreamError(id string, err error) error {
	var invalid federation.ErrInvalid
	var no *federation.Refusal
	switch {
	case errors.As(err, &invalid):
		return usagef("%s: %s", upstreamFlag(invalid.Member), invalid.Reason)
	case errors.Is(err, federation.ErrNoUpstream):
		return fmt.Errorf("there is no identity provider %q: see ostiary upstream list", id)
	case errors.Is(err, federation.ErrUpstreamTaken):
		return fmt.Errorf("there is an identity provider %q already: choose another ID, or use ostiary upstream update", id)
	case errors.As(err, &no):
		return fmt.Errorf("%s: %s: %s", id, no.Code, no.Reason)
	}
	return err
}

// upstreamFlag is the flag or argument for a setting.
func upstreamFlag(member string) string {
	name, within, ok := strings.Cut(member, ": ")
	switch {
	case name == "id":
		return "ID"
	case name == "kind":
		return "KIND"
	case name == "connection" && ok:
		return "--set " + within
	case name == "secrets":
		return "--secret-file"
	case name == "domains":
		return "--domain"
	case strings.HasPrefix(name, "mapping"):
		return "--" + name
	}
	return "--" + strings.ReplaceAll(name, "_", "-")
}

func (sh shell) upstreamAdd() *cli.Command {
	return &cli.Command{
		Name: "add", ArgsUsage: "ID KIND", Usage: "let people sign in with an account that they have elsewhere",
		Description: "ID stands in the addresses that are registered over there, so it never changes. KIND is google, github, microsoft, apple,\n" +
			"facebook, x, oidc, oauth2, saml or ldap; docs/upstream.md has a recipe for each. It prints the addresses to register there.",
		Flags: upstreamFlags(),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			id := a.command.Args().First()
			u, secrets, err := sh.changedUpstream(a.command, model.Upstream{UpstreamSettings: model.UpstreamSettings{Kind: a.command.Args().Get(1)}})
			if err != nil {
				return err
			}
			return sh.changeUpstream(ctx, a, federation.Change{ID: model.UpstreamID(id), After: &u, Secrets: secrets})
		}),
	}
}

// changeUpstream makes a change and shows what came of it.
func (sh shell) changeUpstream(ctx context.Context, a admin, c federation.Change) error {
	u, err := a.Federation.Change(ctx, a.actor, c)
	if err != nil {
		return upstreamError(string(c.ID), err)
	}
	return sh.tellUpstream(ctx, a, u)
}

func (a admin) shownUpstream(ctx context.Context, u model.Upstream) (shownUpstream, error) {
	out := shownUpstream{Upstream: u, Status: a.Federation.Status(ctx, u), Addresses: a.Federation.Addresses(u.ID)}
	names, err := a.Federation.SecretsOf(u)
	out.Secrets = append([]string{}, names...)
	return out, err
}

func (sh shell) tellUpstream(ctx context.Context, a admin, u model.Upstream) error {
	out, err := a.shownUpstream(ctx, u)
	if err != nil {
		return err
	}
	mapping := ""
	if u.Mapping != nil {
		text, err := json.Marshal(u.Mapping)
		if err != nil {
			return err
		}
		mapping = string(text)
	}
	retry := ""
	if u.Health.RetryAt > 0 {
		retry = when(u.Health.RetryAt)
	}
	return sh.printRecord(a.command, out,
		field{"Provider", string(u.ID)}, field{"Kind", u.Kind}, field{"Name", u.Name}, field{"Status", out.Status},
		field{"Connection", string(u.Connection)}, field{"Secrets", strings.Join(out.Secrets, " ")}, field{"Domains", strings.Join(u.Domains, " ")},
		field{"Default", yes(u.Default)}, field{"Hidden", yes(u.Hidden)}, field{"Makes accounts", yes(u.SignUp)}, field{"Connects by mail", yes(u.LinkByMail)},
		field{"Trusted for mail", yes(u.TrustMail)}, field{"Trusted for two factors", strings.Join(u.TrustACR, " ")}, field{"Mapping", mapping},
		field{"Keeps tokens", yes(u.KeepTokens)}, field{"Callback", out.Callback}, field{"Logout", out.Logout}, field{"Back-channel logout", out.Backchannel},
		field{"Metadata", out.Metadata}, field{"Added", when(u.CreatedAt)}, field{"Last worked", when(u.Health.WorkedAt)}, field{"Problem", u.Health.Problem}, field{"Tried again", retry},
	)
}

func (sh shell) upstreamList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the identity providers, and how they fare",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			list, err := a.Federation.Upstreams(ctx)
			if err != nil {
				return err
			}
			all := []shownUpstream{}
			t := table{columns: []string{"PROVIDER", "KIND", "NAME", "STATUS", "LAST WORKED", "PROBLEM"}, empty: "There are no identity providers."}
			for _, u := range list {
				out, err := a.shownUpstream(ctx, u)
				if err != nil {
					return err
				}
				all = append(all, out)
				t.rows = append(t.rows, []string{string(u.ID), u.Kind, u.Name, out.Status, when(u.Health.WorkedAt), u.Health.Problem})
			}
			t.values = all
			return sh.printTable(a.command, t)
		}),
	}
}

// upstream is the provider that the first argument names.
func (a admin) upstream(ctx context.Context) (model.Upstream, error) {
	id := a.command.Args().First()
	u, err := a.Federation.Upstream(ctx, model.UpstreamID(id))
	return u, upstreamError(id, err)
}

func (sh shell) upstreamShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "ID", Usage: "show the settings of one, its addresses and how it fares",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			return sh.tellUpstream(ctx, a, u)
		}),
	}
}

func (sh shell) upstreamUpdate() *cli.Command {
	return &cli.Command{
		Name: "update", ArgsUsage: "ID", Usage: "change its settings; what is not named stays",
		Flags: upstreamFlags(),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			before, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			after, secrets, err := sh.changedUpstream(a.command, before)
			if err != nil {
				return err
			}
			return sh.changeUpstream(ctx, a, federation.Change{ID: before.ID, Before: &before, After: &after, Secrets: secrets})
		}),
	}
}

func (sh shell) upstreamSwitch(name, usage string, off bool) *cli.Command {
	return &cli.Command{
		Name: name, ArgsUsage: "ID", Usage: usage,
		Action: sh.administer(func(ctx context.Context, a admin) error {
			before, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			after := before
			after.Disabled = off
			return sh.changeUpstream(ctx, a, federation.Change{ID: before.ID, Before: &before, After: &after})
		}),
	}
}

func (sh shell) upstreamRemove() *cli.Command {
	return &cli.Command{
		Name: "remove", ArgsUsage: "ID", Usage: "remove one with the connections of everybody who came by it; their accounts stay",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			people, alone, err := a.Federation.People(ctx, u.ID)
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Remove %s? %d people have connected it, and %d of them have neither a password, nor a passkey, nor another provider.", u.ID, people, alone)
			if err := sh.confirm(a.command.Bool("yes"), question); err != nil {
				return err
			}
			if _, err := a.Federation.Change(ctx, a.actor, federation.Change{ID: u.ID, Before: &u}); err != nil {
				return upstreamError(string(u.ID), err)
			}
			return sh.say(a.command, map[string]any{"id": u.ID, "removed": true, "people": people, "without_another_way": alone},
				"Removed %s. %d people had connected it; %d of them have no other way to sign in.", u.ID, people, alone)
		}),
	}
}
