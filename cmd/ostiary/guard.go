package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/internal/guard"
	"github.com/urfave/cli/v3"
)

var ofGuard = catalogue{"OSTIARY_GUARD_", guardSettings}

var (
	groupGuarded = group{"What is guarded", "guard.md"}
	groupFeed    = group{"Out at once", "guard.md#while-the-feed-is-cut-off"}
	groupForward = group{"Forwarding", "guard.md#what-the-api-gets"}
)

// guardSettings is the list of all settings of a guard.
var guardSettings = []setting{
	{"issuer", groupGuarded, "`URL` of the server whose tokens are let through; required", "", "", text(func(s *settings) *string { return &s.Guard.Issuer })},
	{"audience", groupGuarded, "`URI` of the API: what \"aud\" of a token must name; required", "", "", text(func(s *settings) *string { return &s.Guard.Audience })},
	{"rules", groupGuarded, "YAML `FILE` that says what each path needs", "", "none: every request needs a good token", as(guardRules)},
	{"upstream", groupGuarded, "`URL` of the API, to which requests are forwarded", "", "none", as(guardUpstream)},
	{"verify", groupGuarded, "`PROXY` that asks at /verify about each request: nginx, caddy, traefik or envoy; this or upstream is required, and with both, /verify of the API is hidden", "", "none", as(guardAsker)},
	{"listen", groupGuarded, "`HOST:PORT` to listen on", "127.0.0.1:8090", "", guardAddress(func(s *settings) *string { return &s.Guard.Listen })},
	{"metrics-listen", groupGuarded, "`HOST:PORT` of /healthz, /readyz and /metrics, which must be another", "", "none", as(guardMetrics)},

	{"feed", groupFeed, "`STATE` of the revocation feed: on, or off, and then a token is good until it expires", "on", "", onOrOff(func(s *settings, on bool) { s.Guard.NoFeed = !on })},
	{"client-id", groupFeed, "`ID` of the client that follows the feed, with the scope ostiary:feed and the API among its --resource", "", "", text(func(s *settings) *string { return &s.Guard.ClientID })},
	{"client-secret-file", groupFeed, "`FILE` with the client's secret; or the secret itself in " + guardSecret + ", which wins", "", "", as(guardSecretFile)},
	{"stale", groupFeed, "`POLICY` for the time in which the feed is cut off: deny (503), introspect (ask the server), or allow; a rule may say another", "deny", "", as(guardPolicy)},
	{"max-lag", groupFeed, "`TIME` without news of the feed after which it counts as cut off; 5s or more", "10s", "", as(guardLag)},

	{"forward-token", groupForward, "`STATE` of the access token: on passes it to the API, off takes it out", "off", "", onOrOff(func(s *settings, on bool) { s.Guard.ForwardToken = on })},
	{"trusted-proxies", groupForward, "`NETWORKS` of proxies in front whose X-Forwarded-* headers are passed on, such as 127.0.0.1/32; separated by commas", "", "none", as(guardProxies)},
	{"upstream-timeout", groupForward, "`TIME` in which the API must begin to answer, or it is 504", "60s", "", life(func(s *settings) *time.Duration { return &s.Guard.UpstreamTimeout })},

	{"log-format", groupLog, "`FORMAT` of the log: text, json, or auto, which is text on a terminal and json otherwise", "auto", "", choice(func(s *settings) *string { return &s.LogFormat }, "auto", "text", "json")},
	{"log-level", groupLog, "least `LEVEL` that is logged: debug, info, warn or error; refusals tell their reason at debug", "info", "", choice(func(s *settings) *string { return &s.LogLevel }, "debug", "info", "warn", "error")},
}

// guardSecret is the variable that may hold the secret of the guard's client.
const guardSecret = "OSTIARY_GUARD_CLIENT_SECRET"

func (sh shell) guard() *cli.Command {
	return &cli.Command{
		Name: "guard", Usage: "stand before an API in any language, as a proxy or for one",
		Description: "Lets a request through if it carries a good access token for this API, as a reverse proxy (--upstream),\n" +
			"or as what nginx, Caddy, Traefik or Envoy asks about each request (--verify). An ended session, a locked account\n" +
			"or a revoked client is refused within a second. Every setting is a flag, a variable in the environment, or a line\n" +
			"of the file that --config names; the first of these wins.",
		Flags: ofGuard.flags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.gather(c, ofGuard)
			if err != nil {
				return err
			}
			if v, ok := sh.getenv(guardSecret); ok && v != "" {
				s.Guard.ClientSecret = v
			}
			if err := checkGuard(s.Guard); err != nil {
				return err
			}
			s.Guard.Logger = sh.logger(s)
			return sh.runGuard(ctx, s)
		},
	}
}

// checkGuard names what is missing, and the cure.
func checkGuard(c guard.Config) error {
	switch {
	case c.Issuer == "":
		return usagef("--issuer is missing: say whose tokens are let through, such as https://login.example.com")
	case c.Audience == "":
		return usagef("--audience is missing: say the name of the API, such as https://api.example.com, or tokens for other APIs would be let through")
	case c.Upstream == nil && c.Asker == "":
		return usagef("say where the API is, such as --upstream http://127.0.0.1:3000, or which proxy asks, such as --verify nginx")
	case !c.NoFeed && (c.ClientID == "" || c.ClientSecret == ""):
		return usagef("--client-id and --client-secret-file are needed to follow the revocation feed: make a client with " +
			"\"ostiary client create --grant-type client_credentials --scope ostiary:feed --resource AUDIENCE\", or say --feed off, and a token is good until it expires")
	}
	return nil
}

func (sh shell) runGuard(ctx context.Context, s settings) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process on the spot

	g, err := guard.New(ctx, s.Guard)
	if err != nil {
		return err
	}
	for _, name := range misspelt(os.Environ()) {
		s.Guard.Logger.Warn("a variable in the environment is no setting", "variable", name)
	}
	if host, _, _ := net.SplitHostPort(s.Guard.Listen); s.Guard.Asker != "" && !loopback(host) {
		s.Guard.Logger.Warn("others than the proxy can ask at /verify: let nobody else reach this address", "listen", s.Guard.Listen)
	}
	if s.Guard.NoFeed {
		s.Guard.Logger.Warn("the revocation feed is off: who is put out stays in until the token expires")
	}
	s.Guard.Logger.Info("listening", "address", g.Addr().String(), "issuer", s.Guard.Issuer, "audience", s.Guard.Audience, "version", build().Version)
	err = g.Run(ctx)
	s.Guard.Logger.Info("stopped")
	return err
}

func guardRules(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	s.Guard.Rules, err = guard.ParseRules(path, data)
	return err
}

func guardUpstream(s *settings, v string) (err error) {
	if v == "" {
		return nil
	}
	if s.Guard.Upstream, err = url.Parse(v); err != nil {
		return fmt.Errorf("%q is not an address: write one such as http://127.0.0.1:3000", v)
	}
	return guard.CheckUpstream(s.Guard.Upstream)
}

func guardAsker(s *settings, v string) error {
	var names []string
	for _, one := range guard.Askers {
		if v == "" || v == string(one) {
			s.Guard.Asker = guard.Asker(v)
			return nil
		}
		names = append(names, string(one))
	}
	return fmt.Errorf("%q is not a proxy that is known: write one of %s", v, strings.Join(names, ", "))
}

func guardAddress(field func(*settings) *string) value {
	return as(func(s *settings, v string) error {
		*field(s) = v
		return checkAddress(v)
	})
}

func guardMetrics(s *settings, v string) error {
	if v == "" {
		return nil
	}
	s.Guard.Metrics = v
	return checkAddress(v)
}

// guardSecretFile does not repeat what it read.
func guardSecretFile(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if s.Guard.ClientSecret = strings.TrimSpace(string(data)); s.Guard.ClientSecret == "" {
		return fmt.Errorf("%s is empty: it must hold the secret", path)
	}
	return nil
}

func guardPolicy(s *settings, v string) error {
	policy, ok := guard.Policies[v]
	if !ok {
		return fmt.Errorf("%q is not allowed: write one of deny, introspect, allow", v)
	}
	s.Guard.Stale = policy
	return nil
}

func guardLag(s *settings, v string) (err error) {
	s.Guard.MaxLag, err = duration(v)
	if err == nil && s.Guard.MaxLag < 5*time.Second {
		return fmt.Errorf("%q is too short: the server shows every two seconds that it is there, so write 5s or more", v)
	}
	return err
}

func guardProxies(s *settings, v string) (err error) {
	s.Guard.TrustedProxies, err = prefixes(v)
	return err
}
