package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/certificate"
	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/theme"
	"github.com/urfave/cli/v3"
)

// settings is what an operator may say about a server, or about a guard.
type settings struct {
	server.Config
	Guard               guard.Config
	LogFormat, LogLevel string

	auditStdout bool

	databasePasswordFile string
}

// catalogue is the settings of one program.
type catalogue struct {
	prefix string // of their variables
	all    []setting
}

var ofServer = catalogue{"OSTIARY_", slices.Concat(known, observing)}

// setting is one of them. It has one name as a flag (--session-idle), as an
// environment variable (OSTIARY_SESSION_IDLE) and in the configuration file
// (session-idle:), and the first of these three that says something wins.
type setting struct {
	name     string
	group    group
	usage    string
	fallback string // what holds when nobody says anything
	shown    string // in place of fallback in the help
	value    value
}

// value is what may be said, and how it is read.
type value struct {
	form  string // in words; empty: the usage says it
	parse func(*settings, string) error
}

// group is some settings that belong together.
type group struct {
	title string
	told  string // where the manual says more
}

// configName is the setting that names the file, and so cannot stand in it.
const configName = "config"

var (
	groupPlace    = group{"Addresses and storage", "operate.md#first-start"}
	groupTLS      = group{"TLS", "deploy.md#tls"}
	groupTheme    = group{"Look of the pages", "people.md#themes"}
	groupPeople   = group{"People", "people.md#policies"}
	groupMail     = group{"Mail", "operate.md#mail"}
	groupOutgoing = group{"Requests to applications", "sign-out.md"}
	groupRegister = group{"Applications that register themselves", "register-applications.md"}
	groupLife     = group{"Lifetimes", "sign-people-in.md"}
	groupProtect  = group{"Passwords and keys", "operate.md#signing-keys"}
	groupLog      = group{"Logs", "operate.md#health-and-logs"}
)

// known is the list of all settings. The lives and costs that are empty here
// have their defaults where they are used; the help tells them.
var known = slices.Concat([]setting{
	{"data", groupPlace, "`FOLDER` of the database and the master key; made with mode 0700", "data", "", text(func(s *settings) *string { return &s.Data })},
	{"database", groupPlace, "`URL` of the database, postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH; a flag is seen by everybody on the machine, so give a password in the environment or the file", "", "ostiary.db in the data folder", as(database)},
	{"database-connections", groupPlace, "`NUMBER` of connections to PostgreSQL that each node has at most, beside one on which it listens; 0: four for each processor, 8 to 32", "0", "", number(0, 1000, func(s *settings, n int) { s.Connections = n })},
	{"database-wait", groupPlace, "`TIME` that a request waits for a connection to PostgreSQL, also in a failover, before it is answered with 503", "5s", "", life(func(s *settings) *time.Duration { return &s.DatabaseWait })},
	{"listen", groupPlace, "`HOST:PORT` to listen on", "127.0.0.1:8080", "", as(address)},
	{"issuer", groupPlace, "public `URL` of this server, https://…, without a query; it may have a path", "", "http://localhost and the port, when listening on loopback", as(issuer)},
	{"trusted-proxies", groupPlace, "`NETWORKS` of proxies in front whose X-Forwarded-For tells where a request comes from, such as 127.0.0.1/32; separated by commas", "", "none", as(func(s *settings, v string) (err error) { s.TrustedProxies, err = prefixes(v); return err })},
	{"title", groupPlace, "`NAME` that people see on the pages", "Ostiary", "", text(func(s *settings) *string { return &s.Name })},
	{"language", groupPlace, "`TAG` of the language of the pages for people who wish for none that there is, such as uk", "en", "", text(func(s *settings) *string { return &s.Language })},
	{"debugger", groupPlace, "`STATE` of the token debugger at /debugger: on or off", "on", "", onOrOff(func(s *settings, on bool) { s.NoDebugger = !on })},
	{"feed-followers", groupPlace, "`NUMBER` of connections at once on which one client may follow the revocation feed, at each node", "100", "", number(1, 100_000, func(s *settings, n int) { s.Followers = n })},

	{"master-key-file", groupPlace, "`FILE` with the master key in place of master.key in the data folder, which nobody but the server's user and group can read; it is never made", "", "none", text(func(s *settings) *string { return &s.MasterKeyFile })},
	{"database-password-file", groupPlace, "`FILE` with the password of the database's user, where the URL has none", "", "none", text(func(s *settings) *string { return &s.databasePasswordFile })},

	{"tls-certificate", groupTLS, "PEM `FILE` with the certificate, and those above it, with which the server speaks TLS itself; followed while it runs", "", "none: a proxy speaks TLS", text(func(s *settings) *string { return &s.TLS.Certificate })},
	{"tls-key", groupTLS, "PEM `FILE` with its key, which nobody but the server's user and group can read", "", "none", text(func(s *settings) *string { return &s.TLS.Key })},
	{"tls-acme", groupTLS, "`STATE` of certificates that the server gets by itself, for the host of the issuer: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.TLS.ACME = on })},
	{"tls-acme-agree", groupTLS, "`STATE` of your agreement to the terms of service of the authority that issues them: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.TLS.Agreed = on })},
	{"tls-acme-directory", groupTLS, "`URL` of that authority's ACME directory; outgoing-ca names who vouches for one of your own", certificate.LetsEncrypt, "", text(func(s *settings) *string { return &s.TLS.Directory })},
	{"tls-acme-mail", groupTLS, "`ADDRESS` where the authority reaches you", "", "none", as(acmeMail)},
	{"tls-acme-binding", groupTLS, "`ID` of the account that you have with the authority, where it asks for one (external account binding)", "", "none", text(func(s *settings) *string { return &s.TLS.BindingID })},
	{"tls-acme-binding-key-file", groupTLS, "`FILE` with the key of that account, as the authority gives it: base64url", "", "none", as(acmeBindingKey)},
	{"http-listen", groupTLS, "`HOST:PORT` of a plain listener beside the one that speaks TLS: it sends people to https, proves to the authority that the host is yours, and answers /healthz and /readyz", "", "none", as(plainAddress)},

	// The backgrounds come first: the accents are held against them.
	{"background", groupTheme, "`COLOUR` around the card, such as #f6f5f1", "", "Ostiary's own", colour(func(l *theme.Look) *string { return &l.Background })},
	{"background-dark", groupTheme, "`COLOUR` around the card in the dark theme", "", "Ostiary's own", colour(func(l *theme.Look) *string { return &l.BackgroundDark })},
	{"accent", groupTheme, "`COLOUR` of links, of the main button and of the focus, such as #1b664d", "", "Ostiary's own", colour(func(l *theme.Look) *string { return &l.Accent })},
	{"accent-dark", groupTheme, "`COLOUR` of the same in the dark theme", "", "that of --accent, as light as it must be", colour(func(l *theme.Look) *string { return &l.AccentDark })},
	{"logo", groupTheme, "`FILE` with the logo: a PNG, JPEG, GIF, WebP or SVG; 256 KiB at most; one that is much wider than high stands in place of the title", "", "Ostiary's mark", picture(func(l *theme.Look) **theme.Picture { return &l.Logo })},
	{"logo-dark", groupTheme, "`FILE` with the logo for the dark theme", "", "that of --logo", picture(func(l *theme.Look) **theme.Picture { return &l.LogoDark })},
	{"favicon", groupTheme, "`FILE` with the icon of browser tabs: such a picture, or an ICO", "", "the logo, unless it is wide", picture(func(l *theme.Look) **theme.Picture { return &l.Icon })},
	{"style-sheet", groupTheme, "`FILE` with a style sheet of 32 KiB at most that comes after our own", "", "none", as(styleSheet)},

	{"sign-up", groupPeople, "`WHO` gets an account beside those for whom operators choose a password: open (everybody who asks), invited (whom an operator invites) or off", "invited", "", as(signUp)},
	{"sign-up-limit", groupPeople, "`NUMBER` of sign-ups that one address may try in an hour", "60", "", number(1, 1_000_000, func(s *settings, n int) { s.SignUpLimit = n })},
	{"places", groupPeople, "CSV `FILE` of networks and the names of their places, such as 192.0.2.0/24,Kyiv office, for the page of sessions", "", "none", as(networkPlaces)},
	{"sign-in-methods", groupPeople, "`METHODS` by which people may prove who they are, of password, passkey, mail, totp, recovery_code and upstream, separated by commas", "", "all", as(signInMethods)},
	{"second-factor", groupPeople, "`WHEN` a second factor is asked: off, optional (of whoever has an app for codes) or required (of everybody)", model.SecondOptional, "", choice(func(s *settings) *string { return &s.SecondFactor }, model.SecondOff, model.SecondOptional, model.SecondRequired)},
	{"remember-device", groupPeople, "`TIME` for which people may have a browser remembered in place of a second factor, such as 30d, or off", "off", "", as(rememberDevice)},

	{"mail-server", groupMail, "`URL` of the server that takes letters, smtp://HOST:PORT with STARTTLS (587 where no port is said) or smtps://HOST:PORT (465); without it nothing that needs letters is offered", "", "none", text(func(s *settings) *string { return &s.Mail.Server })},
	{"mail-from", groupMail, "`ADDRESS` that letters come from, such as \"Example <sign-in@example.com>\"", "", "none", text(func(s *settings) *string { return &s.Mail.From })},
	{"mail-user", groupMail, "`NAME` to authenticate with there; its password is in " + mailPassword + " or in a file", "", "none", text(func(s *settings) *string { return &s.Mail.User })},
	{"mail-password-file", groupMail, "`FILE` with that password", "", "none", as(mailPasswordFile)},
	{"mail-insecure", groupMail, "`STATE` of mail without TLS, to a server on this machine: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.Mail.Insecure = on })},
	{"new-device-mail", groupMail, "`STATE` of letters to people who sign in at a browser that was not known: on or off", "on", "", onOrOff(func(s *settings, on bool) { s.DeviceMail = on })},

	{"outgoing-allow", groupOutgoing, "internal `NETWORKS` to which clients may send the server, for keys and logout, such as 10.1.0.0/16, separated by commas; else it goes to public addresses only", "", "none", as(networks)},
	{"outgoing-ca", groupOutgoing, "PEM `FILE` with certificate authorities to trust there beside the system's", "", "none", as(authorities)},

	{"registration", groupRegister, "`WHO` may register applications at /register: off, token (whoever holds an initial access token, see ostiary registration token) or open (everybody)", "off", "", choice(func(s *settings) *string { return &s.Registration.Mode }, registration.ModeOff, registration.ModeToken, registration.ModeOpen)},
	{"client-documents", groupRegister, "`STATE` of client IDs that are the address of a metadata document: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.Registration.Documents = on })},
	{"registration-redirect-hosts", groupRegister, "`HOSTS` that a sign-in may return to, such as shop.example.com, *.example.com for all below, or com.example.app: for a private scheme; separated by commas", "", "any", as(redirectHosts)},
	{"registration-scopes", groupRegister, "`SCOPES` that may be asked for, separated by commas or spaces", "", "openid, profile, email, address, phone, offline_access", words(func(s *settings) *[]string { return &s.Registration.Scopes })},
	{"registration-audiences", groupRegister, "`APIS` that their access tokens are for, URLs, separated by commas", "", "the issuer", words(func(s *settings) *[]string { return &s.Registration.Audiences })},
	{"registration-auth-methods", groupRegister, "`METHODS` by which they may prove themselves, separated by commas", "", "all", as(authMethods)},
	{"registration-per-hour", groupRegister, "`NUMBER` of registrations from one address in an hour; of IPv6, from one /64", "100", "", number(1, 1_000_000, func(s *settings, n int) { s.Registration.PerHour = n })},
	{"registration-secret-life", groupRegister, "`TIME` that their secrets live, or never", "never", "", lifeOrNever(func(s *settings) *time.Duration { return &s.Registration.SecretLife })},
	{"registration-unused", groupRegister, "`TIME` after which one that nobody uses is removed; 1h or more", "30d", "", life(func(s *settings) *time.Duration { return &s.Registration.Unused })},
	{"software-statements", groupRegister, "`ISSUERS` whose software statements are trusted, each with its keys, ISSUER=FILE or ISSUER=https://…; separated by commas", "", "none", as(statementIssuers)},

	{"access-token-life", groupLife, "`TIME` that an access token lives; 1h at most", "5m", "", life(func(s *settings) *time.Duration { return &s.AccessLife })},
	{"id-token-life", groupLife, "`TIME` that an ID token lives; 24h at most", "1h", "", life(func(s *settings) *time.Duration { return &s.IDLife })},
	{"refresh-token-idle", groupLife, "`TIME` that a refresh token lives unused", "14d", "", life(func(s *settings) *time.Duration { return &s.RefreshIdle })},
	{"refresh-token-life", groupLife, "`TIME` that a chain of refresh tokens lives, however often it is renewed", "90d", "", life(func(s *settings) *time.Duration { return &s.RefreshLife })},
	{"refresh-race", groupLife, "`TIME` in which a used refresh token yields its successor again, to requests that race; 5m at most", "20s", "", life(func(s *settings) *time.Duration { return &s.RefreshRace })},
	{"offline-access", groupLife, "`WHAT` becomes of a grant with offline_access when its session ends: survive, or end, unless the client says otherwise", "survive", "", choice(func(s *settings) *string { return &s.OfflineAccess }, model.OfflineSurvives, model.OfflineEnds)},
	{"session-idle", groupLife, "`TIME` that a session lives unused; 2m or more", "2h", "", life(func(s *settings) *time.Duration { return &s.SessionIdle })},
	{"session-life", groupLife, "`TIME` that a session lives at most", "12h", "", life(func(s *settings) *time.Duration { return &s.SessionLife })},
	{"remember-idle", groupLife, "`TIME` that a session lives unused of who chose to stay signed in on their device; 2m or more", "14d", "", life(func(s *settings) *time.Duration { return &s.RememberIdle })},
	{"remember-life", groupLife, "`TIME` that such a session lives at most", "90d", "", life(func(s *settings) *time.Duration { return &s.RememberLife })},

	{"password-length", groupProtect, "`NUMBER` of characters that a new password has at least, 8 to 64; 8 is for servers that want a second factor of everybody", "15", "", number(8, 64, func(s *settings, n int) { s.PasswordLength = n })},
	{"password-memory", groupProtect, "memory of one Argon2id hash in `KIB`", "19456", "", number(7*1024, 1024*1024, func(s *settings, n int) { s.Password.Memory = uint32(n) })},
	{"password-passes", groupProtect, "`NUMBER` of passes of an Argon2id hash over its memory", "2", "", number(1, 32, func(s *settings, n int) { s.Password.Time = uint32(n) })},
	{"password-threads", groupProtect, "`NUMBER` of threads of an Argon2id hash", "1", "", number(1, 16, func(s *settings, n int) { s.Password.Threads = uint8(n) })},
	{"password-hashes", groupProtect, "`NUMBER` of passwords hashed at once, each of which takes its memory; 0: one for each processor", "0", "", number(0, 1024, func(s *settings, n int) { s.Hashes = n })},
	{"key-rotate", groupProtect, "`TIME` that a key signs", "30d", "", life(func(s *settings) *time.Duration { return &s.KeyRotation })},
	{"key-ahead", groupProtect, "`TIME` that a key is published before it signs; 10 minutes or more, shorter than key-rotate", "24h", "", life(func(s *settings) *time.Duration { return &s.KeyAhead })},

	{"audit-retention", groupLog, "`TIME` that entries of the audit log are kept, an hour or more, or never: they are never deleted", "400d", "", lifeOrNever(func(s *settings) *time.Duration { return &s.AuditKeep })},
	{"log-format", groupLog, "`FORMAT` of the log: text, json, or auto, which is text on a terminal and json otherwise", "auto", "", choice(func(s *settings) *string { return &s.LogFormat }, "auto", "text", "json")},
	{"log-level", groupLog, "least `LEVEL` that is logged: debug, info, warn or error", "info", "", choice(func(s *settings) *string { return &s.LogLevel }, "debug", "info", "warn", "error")},
}, limitSettings)

// secretVariables are the settings without a flag: it would show them to everybody
// on the machine. They do not belong into a file with settings either.
var secretVariables = []struct{ name, usage string }{
	{masterKey, "the key that seals all others, in place of the file master.key in the data folder"},
	{mailPassword, "the password of the mail server's user, in place of the file that mail-password-file names"},
	{auditSecret, "the secret that signs what goes to the audit webhook, in place of the file that audit-webhook-secret-file names"},
	{guardSecret, "the secret of a guard's client, in place of the file that client-secret-file names"},
}

// masterKey is the variable that may hold the key which seals all others, in
// place of the file master.key in the data folder.
const masterKey = "OSTIARY_MASTER_KEY"

// mailPassword is the variable that may hold the password of the mail server's user.
const mailPassword = "OSTIARY_MAIL_PASSWORD"

func (c catalogue) variable(name string) string {
	return c.prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func (c catalogue) flag(s setting) cli.Flag {
	shown := s.shown
	if shown == "" {
		shown = s.fallback
	}
	return &cli.StringFlag{
		Name: s.name, Usage: s.usage, Category: s.group.title, DefaultText: shown, HideDefault: shown == "",
		Sources: cli.EnvVars(c.variable(s.name)),
	}
}

func (c catalogue) configFlag() cli.Flag {
	return c.flag(setting{name: configName, group: c.all[0].group, usage: "YAML `FILE` with settings under the names of these flags", shown: "none"})
}

// flags returns those of all settings.
func (c catalogue) flags() []cli.Flag {
	flags := []cli.Flag{c.configFlag()}
	for _, s := range c.all {
		flags = append(flags, c.flag(s))
	}
	return flags
}

func (c catalogue) names() []string {
	var names []string
	for _, s := range c.all {
		names = append(names, s.name)
	}
	return names
}

// everySetting returns the flags of a command that runs a server.
func everySetting() []cli.Flag { return ofServer.flags() }

// places returns the flags of a command that administers a server: it needs
// to find the server's database. All other settings still come from the
// environment and the file, where the server has them from.
func places() []cli.Flag {
	flags := []cli.Flag{ofServer.configFlag()}
	for _, s := range known {
		if slices.Contains([]string{"data", "database"}, s.name) {
			flags = append(flags, ofServer.flag(s))
		}
	}
	return flags
}

// read gathers the settings of a server, and returns a *usageError naming the one
// that is wrong.
func (sh shell) read(c *cli.Command) (settings, error) {
	s, err := sh.gather(c, ofServer)
	if err != nil {
		return s, err
	}
	if err := s.readDatabasePassword(); err != nil {
		return s, usagef("database-password-file: %v", err)
	}
	if s.Database == "" {
		s.Database = "sqlite:" + filepath.Join(s.Data, "ostiary.db")
	}
	if v, ok := sh.getenv(masterKey); ok {
		s.MasterKey = model.Secret(v)
	}
	if v, ok := sh.getenv(mailPassword); ok && v != "" {
		s.Mail.Password = model.Secret(v)
	}
	if err := sh.observe(&s); err != nil {
		return s, err
	}
	if err := s.Mail.Check(); err != nil {
		return s, usagef("%v", err)
	}
	return s, nil
}

// gather reads settings from the command line, the environment and the file.
func (sh shell) gather(c *cli.Command, from catalogue) (settings, error) {
	var s settings
	file, err := from.readConfig(c.String(configName))
	if err != nil {
		return s, err
	}
	for _, one := range from.all {
		value, origin := sh.lookup(c, from, one, file)
		if err := one.value.parse(&s, value); err != nil {
			return s, usagef("%s: %v", origin, err)
		}
	}
	return s, nil
}

// lookup returns what was said about a setting, and where, in words for an
// error. An empty variable says nothing: that is how a compose file passes on
// what it was not given.
func (sh shell) lookup(c *cli.Command, from catalogue, s setting, file map[string]entry) (value, origin string) {
	if sh.flagged(s.name) && c.IsSet(s.name) {
		return c.String(s.name), "--" + s.name
	}
	if v, ok := sh.getenv(from.variable(s.name)); ok && v != "" {
		return v, from.variable(s.name)
	}
	if e, ok := file[s.name]; ok {
		return e.value, e.origin
	}
	return s.fallback, s.name
}

// misspelt returns the variables of an environment that look like settings and
// are none, each with what it may have been meant to be.
func misspelt(environ []string) []string {
	var names []string
	for _, secret := range secretVariables {
		names = append(names, secret.name)
	}
	for _, c := range []catalogue{ofServer, ofGuard} {
		for _, name := range append(c.names(), configName) {
			names = append(names, c.variable(name))
		}
	}
	var found []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "OSTIARY_") && !slices.Contains(names, name) {
			found = append(found, name+didYouMean(name, names))
		}
	}
	return found
}

// flagged reports whether the command line has the flag, for the command's
// flags know their environment too.
func (sh shell) flagged(name string) bool {
	return slices.ContainsFunc(sh.args, func(a string) bool {
		given, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		return strings.HasPrefix(a, "-") && given == name
	})
}

func redirectHosts(s *settings, v string) error {
	s.Registration.RedirectHosts = list(v)
	for _, host := range s.Registration.RedirectHosts {
		if err := registration.CheckRedirectHost(host); err != nil {
			return err
		}
	}
	return nil
}

func authMethods(s *settings, v string) error {
	s.Registration.AuthMethods = list(v)
	for _, method := range s.Registration.AuthMethods {
		if !slices.Contains(registration.AuthMethods, method) {
			return fmt.Errorf("%q is not allowed: write some of %s", method, strings.Join(registration.AuthMethods, ", "))
		}
	}
	return nil
}

// statementIssuers reads who may vouch for software, and by which keys.
func statementIssuers(s *settings, v string) error {
	for _, text := range list(v) {
		// An issuer may hold an equals sign, a file or the address of keys hardly.
		i := strings.LastIndex(text, "=")
		if i < 1 || i == len(text)-1 {
			return fmt.Errorf("%q does not name an issuer and its keys: write ISSUER=FILE or ISSUER=https://…", text)
		}
		issuer, place := text[:i], text[i+1:]
		keys := registration.StatementKeys{URI: place}
		switch {
		case strings.HasPrefix(place, "https://"), strings.HasPrefix(place, "http://") && registration.Loopback(place):
		case strings.Contains(place, "://"):
			return fmt.Errorf("%q must be an https address, or a file", place)
		default:
			data, err := readBounded(place)
			if err != nil {
				return err
			}
			if !json.Valid(data) {
				return fmt.Errorf("%s is not JSON: it must hold a JWK set", place)
			}
			keys = registration.StatementKeys{JWKS: data}
		}
		if s.Registration.Statements == nil {
			s.Registration.Statements = map[string]registration.StatementKeys{}
		}
		s.Registration.Statements[issuer] = keys
	}
	return nil
}

// duration reads a length of time of a second or more: "90s", "30m", "12h",
// and days, "30d".
func duration(v string) (time.Duration, error) {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(v, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36500 {
			n = 36500
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(v)
	}
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("%q is not a length of time of a second or more: write one such as 90s, 30m, 12h or 30d", v)
	}
	return d, nil
}

// database does not repeat what it refuses, which may hold a password.
func database(s *settings, v string) error {
	if v != "" && !strings.HasPrefix(v, "sqlite:") && !strings.HasPrefix(v, "postgres://") && !strings.HasPrefix(v, "postgresql://") {
		return errors.New("it must begin with sqlite: or postgres://")
	}
	s.Database = v
	return nil
}

func address(s *settings, v string) error {
	s.Listen = v
	return checkAddress(v)
}

func checkAddress(v string) error {
	_, port, err := net.SplitHostPort(v)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 {
		return fmt.Errorf("%q is not an address to listen on: write HOST:PORT, such as 127.0.0.1:8080 or :8080", v)
	}
	return nil
}

func networks(s *settings, v string) (err error) {
	s.OutgoingAllow, err = prefixes(v)
	return err
}

// prefixes reads a list of address ranges.
func prefixes(v string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list(v) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network: write one such as 10.1.0.0/16 or fd00:1::/32", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func authorities(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if s.OutgoingRoots, err = x509.SystemCertPool(); err != nil {
		s.OutgoingRoots = x509.NewCertPool()
	}
	if !s.OutgoingRoots.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no certificate: it must be PEM", path)
	}
	return nil
}

// issuer accepts what nobody said; the command that runs a server fills it in.
// What is wrong must not get further, because the database keeps the issuer.
func issuer(s *settings, v string) error {
	if v == "" {
		return nil
	}
	s.Issuer = strings.TrimRight(v, "/")
	return oauth.CheckIssuer(s.Issuer)
}

// loopback reports whether nobody but this machine reaches a host to listen on.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
