package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// auditRecord is an entry of the audit log in JSON; times are unix seconds.
type auditRecord struct {
	Position int64          `json:"position"`
	At       int64          `json:"at"`
	Actor    actorRecord    `json:"actor"`
	Action   string         `json:"action"`
	UserID   model.UserID   `json:"user_id,omitempty"`
	Login    string         `json:"login,omitempty"`
	ClientID model.ClientID `json:"client_id,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	Sequence int64          `json:"sequence"`
	Mark     string         `json:"mark,omitempty"`
	Seal     string         `json:"seal"`
}

type actorRecord struct {
	Kind    model.ActorKind `json:"kind"`
	ID      string          `json:"id,omitempty"`
	Login   string          `json:"login,omitempty"`
	Address string          `json:"address,omitempty"`
}

// maxAuditLimit bounds what is listed by --limit.
const maxAuditLimit = 1000

func (sh shell) auditList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list who did what to whom, the newest last; with --json one object in each line",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "user", Usage: "only what concerns the person with that `LOGIN` or ID"},
			&cli.StringFlag{Name: "client", Usage: "only what concerns the application with that `ID`"},
			&cli.StringFlag{Name: "action", Usage: "only that `ACTION`, such as session.start, or all of a noun: session"},
			&cli.StringFlag{Name: "actor", Usage: "only what was done by `WHOM`: a login, an ID, a user of the operating system; or user, client, operator, system, anonymous"},
			&cli.StringFlag{Name: "since", Usage: "only from that `TIME` on: 2026-11-30, \"2026-11-30 18:00\", 2026-11-30T18:00:00Z; or 2h, 30d: so long ago"},
			&cli.StringFlag{Name: "until", Usage: "only before that `TIME`"},
			&cli.IntFlag{Name: "limit", Usage: "the last `NUMBER` of entries, at most 1000; 0: all", Value: 100},
			&cli.BoolFlag{Name: "follow", Usage: "go on with what is being written, until you stop it"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			_, err := a.Audit.Seal(ctx)
			if err == nil {
				_, err = a.Audit.Head(ctx)
			}
			if err != nil {
				if !errors.As(err, new(audit.Broken)) {
					return err
				}
				fmt.Fprintln(sh.stderr, "ostiary:", err) // and yet there is a log to look into
			}
			filter, err := a.auditFilter(ctx)
			if err != nil {
				return err
			}
			p := &auditPrinter{shell: sh, admin: a, logins: map[model.UserID]string{}}
			return p.print(ctx, filter, a.command.Int("limit"), a.command.Bool("follow"))
		}),
	}
}

// auditFilter reads the flags that narrow the listing.
func (a admin) auditFilter(ctx context.Context) (f audit.Filter, err error) {
	c := a.command
	f.Client, f.Action = model.ClientID(c.String("client")), c.String("action")
	if n := c.Int("limit"); n < 0 || n > maxAuditLimit {
		return f, usagef("--limit: it must be from 0 to %d", maxAuditLimit)
	}
	if name := c.String("user"); name != "" {
		u, err := a.userNamed(ctx, name)
		f.User = u.ID
		if err != nil { // somebody who is gone, perhaps, of whom the log tells
			f.User = model.UserID(name)
			told, failed := a.Audit.Find(ctx, audit.Filter{User: f.User, Limit: 1})
			if failed != nil || len(told) == 0 {
				return f, cmp.Or(failed, err)
			}
		}
	}
	switch f.Actor = c.String("actor"); model.ActorKind(f.Actor) {
	case "", model.ActorUser, model.ActorClient, model.ActorShell, model.ActorSystem, model.ActorNobody:
	default:
		if u, err := a.userNamed(ctx, f.Actor); err == nil {
			f.Actor = string(u.ID)
		}
	}
	for name, to := range map[string]*int64{"since": &f.Since, "until": &f.Until} {
		if text := c.String(name); text != "" {
			if *to, err = pastTime(text, a.Config.Now()); err != nil {
				return f, usagef("--%s: %v", name, err)
			}
		}
	}
	return f, nil
}

// pastTime reads a time, or how long ago it was.
func pastTime(text string, now time.Time) (int64, error) {
	if ago, err := duration(text); err == nil {
		return now.Add(-ago).Unix(), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.Unix(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time: write one such as 2026-11-30, \"2026-11-30 18:00\" or 2026-11-30T18:00:00Z, or how long ago it was, such as 2h or 30d", text)
}

// auditPrinter prints the log page by page. Its columns only grow.
type auditPrinter struct {
	shell
	admin
	logins map[model.UserID]string
	widths []int
	any    bool
}

var auditColumns = []string{"POSITION", "TIME", "ACTION", "BY", "CONCERNS", "APPLICATION", "ADDRESS", "DETAIL"}

// followEvery is how often it is looked for what was written.
const followEvery = time.Second

func (p *auditPrinter) print(ctx context.Context, f audit.Filter, limit int, follow bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	head, err := p.Audit.Head(ctx)
	if err != nil && !errors.As(err, new(audit.Broken)) {
		return err
	}
	if f.Limit = limit; limit > 0 {
		f.Newest = true
		list, err := p.Audit.Find(ctx, f)
		if err != nil {
			return err
		}
		if err := p.page(ctx, list); err != nil {
			return err
		}
		f.After = after(list, head.End.Position)
	}
	f.Newest, f.Limit = false, maxAuditLimit
	for first := limit == 0; first || follow; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(followEvery):
			}
			if _, err := p.Audit.Seal(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if f.After, err = p.rest(ctx, f); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if !p.any && !p.command.Bool("json") {
		fmt.Fprintln(p.stdout, "There is nothing of that kind in the audit log.")
	}
	return nil
}

// rest prints all that fits after a position, and returns the position after which
// there can be more.
func (p *auditPrinter) rest(ctx context.Context, f audit.Filter) (int64, error) {
	head, err := p.Audit.Head(ctx)
	if err != nil && !errors.As(err, new(audit.Broken)) {
		return f.After, err
	}
	for {
		list, err := p.Audit.Find(ctx, f)
		if err != nil {
			return f.After, err
		}
		if err := p.page(ctx, list); err != nil {
			return f.After, err
		}
		f.After = after(list, f.After)
		if len(list) < maxAuditLimit {
			return max(f.After, head.End.Position), nil
		}
	}
}

func after(list []model.Event, before int64) int64 {
	if len(list) > 0 {
		return max(before, list[len(list)-1].Position)
	}
	return before
}

func (p *auditPrinter) page(ctx context.Context, list []model.Event) error {
	if len(list) == 0 {
		return nil
	}
	out := bufio.NewWriter(p.stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	var rows [][]string
	for _, e := range list {
		r, err := p.record(ctx, e)
		if err != nil {
			return err
		}
		if p.command.Bool("json") {
			if err := encoder.Encode(r); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{
			fmt.Sprint(r.Position), when(r.At), r.Action, r.Actor.name(), orText(r.Login, string(r.UserID)), string(r.ClientID), r.Actor.Address, r.Detail,
		})
	}
	if len(rows) > 0 {
		p.table(out, rows)
	}
	p.any = true
	return out.Flush()
}

func (p *auditPrinter) table(out *bufio.Writer, rows [][]string) {
	first := p.widths == nil
	if first {
		p.widths = make([]int, len(auditColumns))
	}
	for _, row := range append([][]string{auditColumns}, rows...) {
		for i, cell := range row {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	if first {
		writeRow(out, auditColumns, p.widths, p.bold)
	}
	for _, row := range rows {
		writeRow(out, row, p.widths, plain)
	}
}

func (p *auditPrinter) record(ctx context.Context, e model.Event) (auditRecord, error) {
	r := auditRecord{
		Position: e.Position, At: e.At, Actor: actorRecord{Kind: e.Actor.Kind, ID: e.Actor.ID, Address: e.Actor.Address},
		Action: e.Action, UserID: e.UserID, ClientID: e.ClientID, Detail: e.Detail, Sequence: e.Sequence, Mark: e.Mark, Seal: e.Seal,
	}
	var err error
	if e.UserID != "" {
		r.Login, err = p.login(ctx, p.logins, e.UserID)
	}
	if e.Actor.Kind == model.ActorUser && err == nil {
		r.Actor.Login, err = p.login(ctx, p.logins, model.UserID(e.Actor.ID))
	}
	return r, err
}

// name is how people know an actor.
func (a actorRecord) name() string {
	switch {
	case a.Kind == model.ActorUser:
		return orText(a.Login, a.ID)
	case a.ID == "":
		return string(a.Kind)
	}
	return string(a.Kind) + " " + a.ID
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
