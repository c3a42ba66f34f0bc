package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// addedTransmitter is a transmitter in JSON together with what it needs to reach
// us, which is told once.
type addedTransmitter struct {
	model.Transmitter
	EndpointURL   string `json:"endpoint_url,omitempty"`
	Authorization string `json:"authorization_header,omitempty"`
}

func (sh shell) transmitter() *cli.Command {
	return &cli.Command{
		Name: "transmitter", Usage: "other servers, on whose security events people are put out", Flags: places(),
		Commands: []*cli.Command{
			sh.transmitterAdd(), sh.transmitterList(), sh.transmitterShow(), sh.transmitterUpdate(), sh.transmitterRemove(),
			sh.transmitterTest(), sh.transmitterLink(), sh.transmitterUnlink(), sh.transmitterLinks(),
		},
	}
}

// transmitterFlags are the settings of a transmitter, by their names in a file.
func transmitterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "audience", Usage: "`NAME` that they have for us (aud): often the client_id that we have there"},
		&cli.StringFlag{Name: "jwks-uri", Usage: "`URL` of its keys", DefaultText: "as its ssf-configuration says"},
		&cli.StringFlag{Name: "stream-id", Usage: "`ID` of its stream to us", DefaultText: "any"},
		&cli.StringSliceFlag{Name: "match", Usage: "`WAY` in which it may name people: own, linked, email, login; repeat for several", DefaultText: "own and linked"},
		&cli.StringSliceFlag{Name: "event", Usage: "`EVENT=ACT`: what follows (end, lock, unlock or ignore); repeat for several", DefaultText: "see docs/shared-signals.md"},
		&cli.StringFlag{Name: "max-age", Usage: "`TIME` after which an event is too old", DefaultText: "7d"},
		&cli.StringFlag{Name: "poll-url", Usage: "`URL` to poll; without it, it pushes to us"},
		&cli.StringFlag{Name: "client-id", Usage: "`ID` of our OAuth client there, to poll with", DefaultText: "the secret is itself the token"},
		&cli.StringFlag{Name: "token-endpoint", Usage: "`URL` where that client gets its token", DefaultText: "as the metadata of its authorization server says"},
		&cli.StringFlag{Name: "scope", Usage: "`SCOPE` to ask for", DefaultText: "ssf.read"},
		&cli.StringFlag{Name: "secret-file", Usage: "`FILE` with the secret to poll with, one line; - is standard input", TakesFile: true},
	}
}

// changedTransmitter is a transmitter with what the flags say.
func changedTransmitter(c *cli.Command, t model.Transmitter) (model.Transmitter, error) {
	for name, to := range map[string]*string{
		"audience": &t.Audience, "jwks-uri": &t.JWKSURI, "stream-id": &t.StreamID,
		"poll-url": &t.PollURL, "client-id": &t.ClientID, "token-endpoint": &t.TokenEndpoint, "scope": &t.Scope,
	} {
		if c.IsSet(name) {
			*to = c.String(name)
		}
	}
	if c.IsSet("match") {
		t.Match = c.StringSlice("match")
	}
	if c.IsSet("max-age") {
		d, err := duration(c.String("max-age"))
		if err != nil {
			return t, usagef("--max-age: %v", err)
		}
		t.MaxAge = int64(d / time.Second)
	}
	if c.IsSet("event") {
		t.Events = map[string]string{}
		for _, pair := range c.StringSlice("event") {
			event, act, ok := strings.Cut(pair, "=")
			if !ok {
				return t, usagef("--event: %q is not such as account-enabled=unlock", pair)
			}
			t.Events[event] = act
		}
	}
	return t, nil
}

func (sh shell) transmitterSecret(c *cli.Command) (model.Secret, error) {
	path := c.String("secret-file")
	if path == "" {
		return "", nil
	}
	data, err := sh.readFileOrInput(path)
	if err != nil {
		return "", usagef("--secret-file: %v", err)
	}
	return model.Secret(strings.TrimRight(string(data), "\r\n")), nil
}

// transmitterError says which flag is wrong, or what there is not.
func transmitterError(id string, err error) error {
	var invalid signal.ErrInvalid
	switch {
	case errors.As(err, &invalid):
		name, rest, ok := strings.Cut(invalid.Reason, ": ")
		if !ok {
			return usagef("%s", invalid.Reason)
		}
		return usagef("%s: %s", transmitterFlag(name), rest)
	case errors.Is(err, signal.ErrNoTransmitter):
		return fmt.Errorf("there is no transmitter %q: see ostiary transmitter list", id)
	case errors.Is(err, signal.ErrTransmitterTaken):
		return fmt.Errorf("there is a transmitter %q already: choose another name, or use ostiary transmitter update", id)
	}
	return err
}

// transmitterFlag is the flag or argument for a setting.
func transmitterFlag(name string) string {
	switch name {
	case "id":
		return "NAME"
	case "issuer":
		return "ISSUER"
	case "events":
		return "--event"
	case "secret":
		return "--secret-file"
	}
	return "--" + strings.ReplaceAll(name, "_", "-")
}

func (sh shell) transmitterAdd() *cli.Command {
	return &cli.Command{
		Name: "add", ArgsUsage: "NAME ISSUER", Usage: "act on the events of another server, which pushes them or is polled",
		Description: "ISSUER is the address that its events name as their issuer. Without --poll-url it prints, once, the address and the header with which the other server pushes.\n" +
			"With --poll-url it needs --secret-file: a token, or the secret of our client there (--client-id).",
		Flags: transmitterFlags(),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			id := a.command.Args().First()
			t, err := changedTransmitter(a.command, model.Transmitter{ID: model.TransmitterID(id), Issuer: a.command.Args().Get(1)})
			if err != nil {
				return err
			}
			secret, err := sh.transmitterSecret(a.command)
			if err != nil {
				return err
			}
			t, secret, err = a.Receiver.Change(ctx, a.actor, signal.TransmitterChange{ID: t.ID, After: &t, Secret: secret})
			if err != nil {
				return transmitterError(id, err)
			}
			return sh.tellTransmitter(a, t, secret)
		}),
	}
}

// tellTransmitter prints a transmitter and, where it is to push with a new secret,
// what it must be told.
func (sh shell) tellTransmitter(a admin, t model.Transmitter, secret model.Secret) error {
	out, fields := addedTransmitter{Transmitter: t}, transmitterFields(a, t)
	if !t.Polled() && secret != "" {
		out.EndpointURL, out.Authorization = a.eventsURL(t), "Bearer "+secret.Reveal()
		fields = append(fields, field{"Header", "Authorization: " + out.Authorization})
	}
	if err := sh.printRecord(a.command, out, fields...); err != nil {
		return err
	}
	if out.Authorization != "" {
		fmt.Fprintln(sh.stderr, "The header is not shown again.")
	}
	return nil
}

func (a admin) eventsURL(t model.Transmitter) string {
	return a.Authority.Endpoint(signal.PathEvents) + string(t.ID)
}

func transmitterFields(a admin, t model.Transmitter) []field {
	var events []string
	for _, name := range slices.Sorted(maps.Keys(t.Events)) {
		events = append(events, name+"="+t.Events[name])
	}
	pushed := ""
	if !t.Polled() {
		pushed = a.eventsURL(t)
	}
	return []field{
		{"Transmitter", string(t.ID)}, {"Status", transmitterStatus(t)}, {"Issuer", t.Issuer}, {"Keys", t.JWKSURI}, {"Audience", t.Audience}, {"Stream", t.StreamID},
		{"Names people by", strings.Join(t.Match, " ")}, {"Events", strings.Join(events, " ")}, {"Too old after", strconv.FormatInt(t.MaxAge, 10) + " seconds"},
		{"Pushes to", pushed}, {"Polled at", t.PollURL}, {"Our client there", t.ClientID}, {"Token endpoint", t.TokenEndpoint}, {"Scope", t.Scope},
		{"Added", when(t.CreatedAt)}, {"Last heard", when(t.SeenAt)}, {"Problem", t.Problem},
	}
}

func transmitterStatus(t model.Transmitter) string {
	switch {
	case t.Disabled:
		return "disabled"
	case t.Problem != "":
		return "problem"
	case t.SeenAt == 0:
		return "not heard yet"
	}
	return "heard"
}

func (sh shell) transmitterList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the servers whose events are acted on",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			all, err := a.Receiver.Transmitters(ctx)
			if err != nil {
				return err
			}
			if all == nil {
				all = []model.Transmitter{}
			}
			t := table{columns: []string{"TRANSMITTER", "ISSUER", "DELIVERY", "STATUS", "LAST HEARD"}, values: all, empty: "There are no transmitters."}
			for _, tr := range all {
				delivery := map[bool]string{true: "poll", false: "push"}[tr.Polled()]
				t.rows = append(t.rows, []string{string(tr.ID), tr.Issuer, delivery, transmitterStatus(tr), when(tr.SeenAt)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}

// transmitter is the one that the first argument names.
func (a admin) transmitter(ctx context.Context) (model.Transmitter, error) {
	id := a.command.Args().First()
	t, err := a.Receiver.Transmitter(ctx, model.TransmitterID(id))
	return t, transmitterError(id, err)
}

func (sh shell) transmitterShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "NAME", Usage: "show the settings of one, and how it goes with it",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			t, err := a.transmitter(ctx)
			if err != nil {
				return err
			}
			return sh.tellTransmitter(a, t, "")
		}),
	}
}

func (sh shell) transmitterUpdate() *cli.Command {
	return &cli.Command{
		Name: "update", ArgsUsage: "NAME", Usage: "change its settings; what is not named stays",
		Flags: append(transmitterFlags(),
			&cli.BoolFlag{Name: "disabled", Usage: "hear it no more; --disabled=false: again"},
			&cli.BoolFlag{Name: "new-secret", Usage: "make a new header for one that pushes; the old one is worth nothing at once"},
		),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			before, err := a.transmitter(ctx)
			if err != nil {
				return err
			}
			after, err := changedTransmitter(a.command, before)
			if err != nil {
				return err
			}
			if a.command.IsSet("disabled") {
				after.Disabled = a.command.Bool("disabled")
			}
			secret, err := sh.transmitterSecret(a.command)
			if err != nil {
				return err
			}
			t, secret, err := a.Receiver.Change(ctx, a.actor, signal.TransmitterChange{ID: before.ID, Before: &before, After: &after, Secret: secret})
			if err == nil && a.command.Bool("new-secret") {
				secret, err = a.Receiver.RenewSecret(ctx, a.actor, before.ID)
			}
			if err != nil {
				return transmitterError(string(before.ID), err)
			}
			return sh.tellTransmitter(a, t, secret)
		}),
	}
}

func (sh shell) transmitterRemove() *cli.Command {
	return &cli.Command{
		Name: "remove", ArgsUsage: "NAME", Usage: "forget one; whom it has locked stays locked",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			t, err := a.transmitter(ctx)
			if err != nil {
				return err
			}
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Remove the transmitter %s?", t.ID)); err != nil {
				return err
			}
			if _, _, err := a.Receiver.Change(ctx, a.actor, signal.TransmitterChange{ID: t.ID, Before: &t}); err != nil {
				return transmitterError(string(t.ID), err)
			}
			return sh.say(a.command, map[string]any{"id": t.ID, "removed": true}, "Removed %s.", t.ID)
		}),
	}
}

func (sh shell) transmitterTest() *cli.Command {
	return &cli.Command{
		Name: "test", ArgsUsage: "NAME", Usage: "fetch its keys and, if it is polled, ask it for nothing",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			t, err := a.transmitter(ctx)
			if err != nil {
				return err
			}
			if err := a.Receiver.Test(ctx, t.ID); err != nil {
				return fmt.Errorf("%s cannot be heard: %w", t.ID, err)
			}
			return sh.say(a.command, map[string]any{"id": t.ID, "good": true}, "%s can be heard.", t.ID)
		}),
	}
}

func (sh shell) transmitterLink() *cli.Command {
	return &cli.Command{
		Name: "link", ArgsUsage: "NAME SUBJECT LOGIN", Usage: "say who it is whom it calls SUBJECT (the sub of its events)",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			args := a.command.Args()
			u, err := a.Accounts.ByLogin(ctx, args.Get(2))
			if err != nil {
				return fmt.Errorf("there is no user %q: see ostiary user list", args.Get(2))
			}
			if err := a.Receiver.Link(ctx, a.actor, model.TransmitterID(args.First()), store.SubjectLink{Subject: args.Get(1), UserID: u.ID}); err != nil {
				return transmitterError(args.First(), err)
			}
			return sh.say(a.command, map[string]any{"id": args.First(), "subject": args.Get(1), "user_id": u.ID}, "%s calls %s %s.", args.First(), u.Login, args.Get(1))
		}),
	}
}

func (sh shell) transmitterUnlink() *cli.Command {
	return &cli.Command{
		Name: "unlink", ArgsUsage: "NAME SUBJECT", Usage: "forget that",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			args := a.command.Args()
			err := a.Receiver.Unlink(ctx, a.actor, model.TransmitterID(args.First()), args.Get(1))
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("nobody is linked to %q of %q: see ostiary transmitter links %s", args.Get(1), args.First(), args.First())
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"id": args.First(), "subject": args.Get(1), "unlinked": true}, "Unlinked %s.", args.Get(1))
		}),
	}
}

func (sh shell) transmitterLinks() *cli.Command {
	return &cli.Command{
		Name: "links", ArgsUsage: "NAME", Usage: "list whom it calls how",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			tr, err := a.transmitter(ctx)
			if err != nil {
				return err
			}
			links, err := a.Receiver.Links(ctx, tr.ID)
			if err != nil {
				return err
			}
			if links == nil {
				links = []store.SubjectLink{}
			}
			t := table{columns: []string{"SUBJECT", "USER"}, values: links, empty: "Nobody is linked."}
			for _, l := range links {
				t.rows = append(t.rows, []string{l.Subject, string(l.UserID)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}
