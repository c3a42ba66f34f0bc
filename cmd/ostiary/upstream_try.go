package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// triedUpstream is the answer of ostiary upstream test in JSON.
type triedUpstream struct {
	ID   model.UpstreamID `json:"id"`
	Good bool             `json:"good"`
	federation.Addresses
	Trial *federation.Trial `json:"trial,omitempty"`
}

func (sh shell) upstreamTest() *cli.Command {
	return &cli.Command{
		Name: "test", ArgsUsage: "ID", Usage: "ask whether it can be spoken to, and show what its mapping makes of somebody; nothing is kept",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "claims", Usage: "`FILE` with what it tells of somebody, JSON; - is standard input. It is not asked then", TakesFile: true},
			&cli.StringFlag{Name: "login", Usage: "`LOGIN` of somebody in a directory; their password is asked for"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			out := triedUpstream{ID: u.ID, Good: true, Addresses: a.Federation.Addresses(u.ID)}
			switch c := a.command; {
			case c.IsSet("claims"):
				out.Trial, err = sh.tryClaims(c, u)
			case c.IsSet("login"):
				out.Trial, err = sh.tryLogin(ctx, a, u)
			default:
				err = a.Federation.Probe(ctx, u.ID)
			}
			if err != nil {
				return upstreamError(string(u.ID), err)
			}
			if out.Trial != nil {
				return sh.tellTrial(a.command, out)
			}
			return sh.say(a.command, out, "%s can be spoken to. Its answers come to %s.", u.ID, out.Callback)
		}),
	}
}

func (sh shell) tryClaims(c *cli.Command, u model.Upstream) (*federation.Trial, error) {
	data, err := sh.readFileOrInput(c.String("claims"))
	if err != nil {
		return nil, usagef("--claims: %v", err)
	}
	t, err := federation.Try(u.UpstreamSettings, data)
	return &t, err
}

func (sh shell) tryLogin(ctx context.Context, a admin, u model.Upstream) (*federation.Trial, error) {
	password, err := sh.presentPassword()
	if err != nil {
		return nil, err
	}
	t, err := a.Federation.TryLogin(ctx, u.ID, a.command.String("login"), password)
	if errors.Is(err, account.ErrCredentials) {
		return nil, fmt.Errorf("%s does not know that login with that password", u.ID)
	}
	return &t, err
}

// presentPassword asks for a password that there is, once.
func (sh shell) presentPassword() (model.Secret, error) {
	if !terminal(sh.stdin) {
		return sh.passwordLine()
	}
	return sh.prompt("Password: ")
}

// tellTrial shows what somebody would be here.
func (sh shell) tellTrial(c *cli.Command, out triedUpstream) error {
	t := out.Trial
	text, err := json.Marshal(t.Profile)
	if err != nil {
		return err
	}
	profile := map[string]any{}
	if err := json.Unmarshal(text, &profile); err != nil {
		return err
	}
	fields := []field{{"Known there as", t.Name}}
	for _, claim := range federation.MappedClaims() {
		if v, ok := profile[claim]; ok {
			fields = append(fields, field{claim, settingText(v)})
			delete(profile, claim)
		}
	}
	fields = append(fields, field{"Set at every sign-in", strings.Join(t.Always, " ")}, field{"Factors", t.Factors}, field{"Left out", strings.Join(t.Left, "; ")})
	return sh.printRecord(c, out, fields...)
}

func (sh shell) upstreamPeople() *cli.Command {
	return &cli.Command{
		Name: "people", ArgsUsage: "ID", Usage: "list who is connected with whom over there",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.upstream(ctx)
			if err != nil {
				return err
			}
			all := []model.Identity{}
			t := table{columns: []string{"IDENTITY", "USER", "NAME THERE", "SUBJECT", "LAST USED"}, empty: "Nobody is connected."}
			for after := model.IdentityID(""); ; {
				list, err := a.Federation.IdentitiesAt(ctx, u.ID, after, 0)
				if err != nil {
					return err
				}
				if len(list) == 0 {
					break
				}
				all, after = append(all, list...), list[len(list)-1].ID
			}
			for _, i := range all {
				t.rows = append(t.rows, []string{string(i.ID), string(i.UserID), i.Name, i.Subject, when(i.UsedAt)})
			}
			t.values = all
			return sh.printTable(a.command, t)
		}),
	}
}
