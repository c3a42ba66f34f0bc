package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// clientsFile is what ostiary apply reads and ostiary client export writes: the
// applications under the names of their registered metadata. The transmitters and the
// identity providers are read only.
type clientsFile struct {
	Clients      []json.RawMessage `json:"clients"`
	Transmitters []json.RawMessage `json:"transmitters,omitempty"`
	Upstreams    []json.RawMessage `json:"upstreams,omitempty"`
}

// fileClient is one of them.
type fileClient struct {
	ID       model.ClientID `json:"client_id"`
	Disabled bool           `json:"disabled,omitempty"`
	model.ClientSettings
}

// appliedClient is a line of the JSON answer of ostiary apply: a client, a transmitter,
// or an identity provider.
type appliedClient struct {
	ID          model.ClientID      `json:"client_id,omitempty"`
	Transmitter model.TransmitterID `json:"transmitter,omitempty"`
	Upstream    model.UpstreamID    `json:"upstream,omitempty"`

	Change string            `json:"change"` // "create", "update" or "delete"
	From   map[string]string `json:"from,omitempty"`
	To     map[string]string `json:"to,omitempty"`
	Secret string            `json:"client_secret,omitempty"`
}

func (sh shell) apply() *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "make the applications as a file says: shows the difference, then reconciles",
		Description: "The file is YAML (or JSON): clients: with a list of applications, each with its client_id and its\n" +
			"settings under the names of OpenID Connect (client_name, redirect_uris, …); ostiary client export writes one.\n" +
			"It may have transmitters: as well, other servers whose security events are acted on,\n" +
			"and upstreams:, identity providers whose people may sign in here.\n" +
			"All of it happens, or nothing. Doing it twice is the same as doing it once.",
		Flags: append(places(),
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`FILE` with the applications; - is standard input", Required: true, TakesFile: true},
			&cli.BoolFlag{Name: "prune", Usage: "delete the applications that are not in the file, but for those that registered themselves"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show the difference and change nothing"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			path := a.command.String("file")
			wanted, file, err := sh.readClients(path)
			if err != nil {
				return err
			}
			var p applying
			p.clients, err = a.Registrar.Plan(ctx, wanted, a.command.Bool("prune"))
			var wrong *registration.WrongClientError
			if errors.As(err, &wrong) {
				return usagef("%s: %v", path, err)
			}
			if err != nil {
				return err
			}
			if p.transmitters, err = sh.planTransmitters(ctx, a, path, file.Transmitters); err != nil {
				return err
			}
			if p.upstreams, err = sh.planUpstreams(ctx, a, path, file.Upstreams); err != nil {
				return err
			}
			return sh.carryOut(ctx, a, p)
		}),
	}
}

// applying is all that a file changes.
type applying struct {
	clients      []registration.Change
	transmitters []signal.TransmitterChange
	upstreams    []federation.Change
}

// carryOut shows a plan, asks, and does it.
func (sh shell) carryOut(ctx context.Context, a admin, p applying) error {
	plan := p.clients
	asJSON, dry := a.command.Bool("json"), a.command.Bool("dry-run")
	if !asJSON {
		if len(plan) > 0 || len(p.transmitters)+len(p.upstreams) == 0 {
			sh.showPlan(plan)
		}
		sh.showTransmitters(p.transmitters)
		sh.showUpstreams(p.upstreams)
	}
	secrets := map[model.ClientID]model.Secret{}
	if len(plan)+len(p.transmitters)+len(p.upstreams) > 0 && !dry {
		if err := sh.confirm(a.command.Bool("yes"), "Make these changes?"); err != nil {
			return err
		}
		var err error
		also := func(tx *store.Tx) error {
			if err := a.Receiver.CarryOut(tx, a.actor, p.transmitters); err != nil {
				return err
			}
			return a.Federation.CarryOut(tx, a.actor, p.upstreams)
		}
		secrets, err = a.Registrar.Apply(ctx, a.actor, plan, also)
		if errors.Is(err, registration.ErrChanged) || errors.Is(err, signal.ErrChanged) || errors.Is(err, signal.ErrTransmitterTaken) ||
			errors.Is(err, federation.ErrChanged) || errors.Is(err, federation.ErrUpstreamTaken) {
			return fmt.Errorf("%w: nothing was changed; run it again", err)
		}
		if err != nil {
			return err
		}
	}
	if asJSON {
		done := []appliedClient{}
		for _, c := range plan {
			from, to := differences(c)
			done = append(done, appliedClient{ID: c.ID, Change: verb(c.Before, c.After), From: from, To: to, Secret: secrets[c.ID].Reveal()})
		}
		for _, c := range p.transmitters {
			one := appliedClient{Transmitter: c.ID, Change: verb(c.Before, c.After)}
			if !dry && pushedAnew(c) {
				one.Secret = c.Secret.Reveal()
			}
			done = append(done, one)
		}
		for _, c := range p.upstreams {
			done = append(done, appliedClient{Upstream: c.ID, Change: verb(c.Before, c.After)})
		}
		return sh.printJSON(done)
	}
	if dry {
		return nil
	}
	return sh.tellSecrets(secrets, p.transmitters)
}

func (sh shell) tellSecrets(secrets map[model.ClientID]model.Secret, transmitters []signal.TransmitterChange) error {
	t := table{columns: []string{"CLIENT", "SECRET"}}
	for id, s := range secrets {
		t.rows = append(t.rows, []string{string(id), s.Reveal()})
	}
	for _, c := range transmitters {
		if pushedAnew(c) {
			t.rows = append(t.rows, []string{"transmitter " + string(c.ID), c.Secret.Reveal()})
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	slices.SortFunc(t.rows, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	fmt.Fprintln(sh.stdout)
	if err := sh.writeTable(t); err != nil {
		return err
	}
	fmt.Fprintln(sh.stderr, "The secrets are not shown again.")
	return nil
}

// verb names what a change of something does.
func verb[T any](before, after *T) string {
	switch {
	case before == nil:
		return "create"
	case after == nil:
		return "delete"
	}
	return "update"
}

// showChange prints the first line about a change, as verb names it, and those of the
// settings that differ.
func (sh shell) showChange(verb, what string, differences [][3]string) {
	mark := map[string]string{"create": "+", "update": "~", "delete": "-"}[verb]
	fmt.Fprintf(sh.stdout, "%s %s\n", sh.bold(mark), sh.bold(printable(what)))
	for _, d := range differences {
		fmt.Fprintf(sh.stdout, "    %s  %s -> %s\n", d[0], printable(d[1]), printable(d[2]))
	}
}

// differences lists the settings in which a client changes, by their registered
// names.
func differences(c registration.Change) (from, to map[string]string) {
	from, to = map[string]string{}, map[string]string{}
	for _, one := range shownSettings(c) {
		if one.before != "" {
			from[one.member] = one.before
		}
		if one.after != "" {
			to[one.member] = one.after
		}
	}
	return from, to
}

type shownSetting struct{ member, before, after string }

// shownSettings are the settings that differ, in the order of the table.
func shownSettings(c registration.Change) []shownSetting {
	var list []shownSetting
	add := func(member string, show func(model.Client) string) {
		one := shownSetting{member: member}
		if c.Before != nil {
			one.before = show(*c.Before)
		}
		if c.After != nil {
			one.after = show(*c.After)
		}
		if one.before != one.after {
			list = append(list, one)
		}
	}
	for _, s := range clientSettings {
		add(s.member, func(c model.Client) string { return s.value.show(c.ClientSettings) })
	}
	add("disabled", func(c model.Client) string { return yes(c.Disabled) })
	return list
}

// showPlan prints what will change: a client a line, and below one that stays
// each setting before and after.
func (sh shell) showPlan(plan []registration.Change) {
	count := map[string]int{}
	for _, c := range plan {
		done := verb(c.Before, c.After)
		count[done]++
		sh.showChange(done, string(c.ID), nil)
		if c.After == nil {
			continue
		}
		width := 0
		for _, s := range shownSettings(c) {
			width = max(width, len(s.member))
		}
		for _, s := range shownSettings(c) {
			gap := strings.Repeat(" ", width-len(s.member)+2)
			if s.before != "" {
				fmt.Fprintf(sh.stdout, "    %s%s- %s\n", s.member, gap, printable(s.before))
				s.member, gap = "", strings.Repeat(" ", width+2)
			}
			if s.after != "" {
				fmt.Fprintf(sh.stdout, "    %s%s+ %s\n", s.member, gap, printable(s.after))
			}
		}
	}
	if len(plan) == 0 {
		fmt.Fprintln(sh.stdout, "The applications are as the file says.")
		return
	}
	fmt.Fprintf(sh.stdout, "%d to create, %d to update, %d to delete.\n", count["create"], count["update"], count["delete"])
}

// readClients reads a file of applications. What it does not know is an error,
// for a misspelt setting would otherwise leave a default in its place.
func (sh shell) readClients(path string) (list []model.Client, file clientsFile, err error) {
	data, err := sh.readFileOrInput(path)
	if err != nil {
		return nil, file, usagef("--file: %v", err)
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		reason, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, file, usagef("%s: %s", path, reason)
	}
	if err := strict(text, &file); err != nil {
		return nil, file, usagef("%s must hold clients: and below it a list of applications (%v)", path, err)
	}
	for i, raw := range file.Clients {
		c, err := readClient(raw)
		if err != nil {
			return nil, file, usagef("%s: the application %s: %v", path, placeOf(raw, i), err)
		}
		list = append(list, c)
	}
	return list, file, nil
}

func (sh shell) readFileOrInput(path string) ([]byte, error) {
	if path != "-" {
		return readBounded(path)
	}
	data, err := io.ReadAll(io.LimitReader(sh.stdin, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("it is larger than %d bytes", maxConfig)
	}
	return data, err
}

func readClient(raw json.RawMessage) (model.Client, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return model.Client{}, errors.New("it must be a list of lines such as \"client_id: shop\"")
	}
	names := []string{"client_id", "disabled"}
	for _, s := range clientSettings {
		names = append(names, s.member)
	}
	var c fileClient
	for name, value := range members {
		if !slices.Contains(names, name) {
			return model.Client{}, fmt.Errorf("there is no setting %q%s", name, didYouMean(name, names))
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err != nil {
			return model.Client{}, err
		}
		if err := json.Unmarshal(one, &c); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				return model.Client{}, fmt.Errorf("%s: it must be a %s, not a %s", name, wordFor(kind.Type.String()), kind.Value)
			}
			return model.Client{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.ID == "" {
		return model.Client{}, errors.New("it has no client_id")
	}
	return model.Client{ID: c.ID, Disabled: c.Disabled, ClientSettings: c.ClientSettings}, nil
}

// wordFor says in words what Go calls a type.
func wordFor(goType string) string {
	switch goType {
	case "[]string":
		return "list of texts"
	case "int64":
		return "number"
	case "bool":
		return "true or false"
	}
	return "text"
}

// placeOf names an application of a file in an error.
func placeOf(raw json.RawMessage, i int) string {
	var c struct {
		ID string `json:"client_id"`
	}
	if json.Unmarshal(raw, &c) == nil && c.ID != "" {
		return fmt.Sprintf("%q", c.ID)
	}
	return fmt.Sprintf("number %d", i+1)
}

func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (sh shell) clientExport() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "print the applications that operators registered as a file for ostiary apply, without secrets",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			clients, err := a.clients(ctx)
			if err != nil {
				return err
			}
			file := clientsFile{Clients: []json.RawMessage{}}
			for _, c := range clients {
				if c.Origin != model.OriginOperator {
					continue // it says itself what it is
				}
				text, err := json.Marshal(fileClient{c.ID, c.Disabled, c.ClientSettings})
				if err != nil {
					return err
				}
				file.Clients = append(file.Clients, text)
			}
			if a.command.Bool("json") {
				return sh.printJSON(file)
			}
			text, err := json.Marshal(file)
			if err != nil {
				return err
			}
			if text, err = yaml.JSONToYAML(text); err != nil {
				return err
			}
			_, err = fmt.Fprintln(sh.stdout, strings.TrimRight(string(text), "\n"))
			return err
		}),
	}
}
