package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

func (sh shell) serve() *cli.Command {
	return &cli.Command{
		Name: "serve", Usage: "run the server",
		Description: "Every setting is a flag, a variable in the environment, or a line of the file that --config names; the first of these wins.\n" +
			"The key that seals all secrets is the file master.key in the data folder, or the value of " + masterKey + ".",
		Flags: append(everySetting(),
			&cli.BoolFlag{Name: "change-issuer", Usage: "accept another --issuer than the one that the database was set up for"},
			&cli.BoolFlag{Name: "mailbox", Usage: "for development: keep all letters in memory and show them to everybody at /mailbox, in place of sending them; where the issuer is on loopback"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.read(c)
			if err != nil {
				return err
			}
			if s.Issuer == "" {
				if s.Issuer, err = issuerOf(s.Listen); err != nil {
					return err
				}
			}
			s.ChangeIssuer, s.Mailbox = c.Bool("change-issuer"), c.Bool("mailbox")
			s.Logger = sh.logger(s)
			return sh.runServer(ctx, c, s)
		},
	}
}

// issuerOf makes an address of the one to listen on, which is possible as long
// as nobody but this machine can reach it.
func issuerOf(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || !loopback(host) {
		return "", usagef("--issuer is missing: with --listen %s others can reach this server, so say under which address, such as https://login.example.com", listen)
	}
	return "http://localhost:" + port, nil
}

func (sh shell) runServer(ctx context.Context, c *cli.Command, s settings) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process on the spot
	keepWriting()
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		defer server.TuneMemory()()
	}

	srv, err := server.New(ctx, s.Config)
	if err != nil {
		return err
	}
	for _, name := range misspelt(os.Environ()) {
		s.Logger.Warn("a variable in the environment is no setting", "variable", name)
	}
	if strings.HasPrefix(s.Issuer, "http:") {
		s.Logger.Warn("plain http: only browsers on this machine can sign in, and their cookies are not protected", "issuer", s.Issuer)
	}
	switch {
	case s.Mailbox:
		s.Logger.Warn("letters are kept in memory and shown to everybody who reaches this server", "mailbox", s.Issuer+"/mailbox")
	case !srv.Mail.Ready():
		s.Logger.Info("there is no mail server: nobody can recover an account or confirm an address by themselves, and codes cannot be mailed; set mail-server")
	}
	if err := sh.offerSetup(ctx, c, srv); err != nil {
		return errors.Join(err, srv.Close())
	}
	if plain := srv.PlainAddr(); plain != nil {
		s.Logger.Info("plain listener", "address", plain.String())
	}
	s.Logger.Info("listening", "address", srv.Addr().String(), "issuer", s.Issuer, "version", build().Version)
	err = srv.Run(ctx)
	s.Logger.Info("stopped")
	return err
}

// offerSetup prints the link that creates the first account. It goes to
// standard output and not to the log, which is kept and shipped around.
func (sh shell) offerSetup(ctx context.Context, c *cli.Command, srv *server.Server) error {
	token, err := srv.Accounts.SetupLink(ctx)
	if errors.Is(err, account.ErrAlreadySetUp) {
		return nil
	}
	if err != nil {
		return err
	}
	if srv.Config.AuditOutput != nil { // standard output is kept and shipped around as well
		srv.Config.Logger.InfoContext(ctx, "there is no account yet: make the first one with ostiary user create --admin")
		return nil
	}
	link := srv.Config.Issuer + "/setup?token=" + url.QueryEscape(token.Reveal())
	if c.Bool("json") {
		return sh.printJSON(map[string]string{"setup_link": link})
	}
	_, err = fmt.Fprintf(sh.stdout, "\nThere is no account yet. This link creates the first one, an administrator. It is good once, for %s:\n\n    %s\n\n",
		hours(account.SetupLinkLife), sh.bold(link))
	return err
}
