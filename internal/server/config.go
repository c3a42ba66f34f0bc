package server

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/theme"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// Config is everything that can be set about a server. A zero field takes the
// default given beside it.
type Config struct {
	Listen   string       // host:port; 127.0.0.1:8080
	Listener net.Listener // instead of Listen
	Issuer   string       // the public URL; that of the database, or http://localhost:8080
	Name     string       // what people see; Ostiary
	Language string       // of the pages, for whoever wishes for none that there is; en
	Look     theme.Look   // of the pages; Ostiary's own

	Places device.Places // where networks are; nothing is known of it

	// TrustedProxies are the networks of the proxies in front, whose word counts for
	// where a request comes from (X-Forwarded-For); nobody's.
	TrustedProxies []netip.Prefix

	TLS TLS // what the server needs to speak TLS itself; nothing: a proxy does

	// HTTPListen is the host:port of a plain listener beside it, which sends people to
	// https, meets the challenge HTTP-01 and tells how the server is; none.
	HTTPListen   string
	HTTPListener net.Listener // instead of HTTPListen

	NoDebugger bool // leaves out the page at /debugger

	SignUp      bool // strangers can make themselves an account
	NoInvites   bool // operators cannot invite people
	SignUpLimit int  // see account.Config

	Mail       mail.Config // Name, Issuer, Language, Logger, Now and Roots come from here
	DeviceMail bool        // see account.Config
	// Mailbox keeps all letters in memory, to be seen at /mailbox by everybody who
	// reaches the server, in place of sending them: for development, where the issuer
	// is on loopback.
	Mailbox        bool
	SignInMethods  []model.Method // see account.Config for these
	SecondFactor   string
	RememberDevice time.Duration

	Data      string       // folder of the embedded database and the master key; ./data
	Database  string       // "postgres://…"; the embedded one in Data
	MasterKey model.Secret // 32 bytes, base64url or hex; the file master.key in Data

	// MasterKeyFile holds it in place of that file: one that the operator has made, and
	// that others of a group may read.
	MasterKeyFile string

	// Of PostgreSQL: how many connections each node has at most, and how long a
	// request waits for its turn, a connection and a database that comes back.
	Connections  int           // see store.Config
	DatabaseWait time.Duration // 5 seconds

	// MustExist refuses a database that no server was set up on, instead of
	// setting it up.
	MustExist bool
	// Restoring accepts a database whose restore was not finished, to finish it.
	Restoring bool
	// ChangeIssuer accepts an issuer other than the one that the database was
	// set up for.
	ChangeIssuer bool

	// OutgoingAllow names internal networks to which the server may go where a
	// client sends it: for key sets, request objects, logout. Loopback belongs to
	// them where the issuer is on loopback itself.
	OutgoingAllow []netip.Prefix
	// OutgoingRoots are the authorities that it trusts there; nil: the system's.
	OutgoingRoots *x509.CertPool

	Registration registration.Policy // who may register clients beside the operator

	AccessLife  time.Duration // see oauth.Config for these
	IDLife      time.Duration
	RefreshIdle time.Duration
	RefreshLife time.Duration
	RefreshRace time.Duration
	Waiting     int

	OfflineAccess string // see oauth.Config

	SessionIdle    time.Duration // see account.Config for these
	SessionLife    time.Duration
	RememberIdle   time.Duration
	RememberLife   time.Duration
	Password       account.Params
	PasswordLength int // characters of a new password, at least
	Hashes         int

	KeyRotation time.Duration // see keys.Config for these
	KeyAhead    time.Duration
	GenerateKey func(jwa.Algorithm) (*jwk.Key, error)

	Limits limit.Rates // how much may be asked of it in a minute

	Observation

	Followers int           // see api.Config
	AuditKeep time.Duration // how long entries of the audit log are kept; for ever

	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now

	serving bool // and not a command, which has time
}

// defaultIssuer is that of a new server that was told none.
const defaultIssuer = "http://localhost:8080"

// SQLite's file and the master key's, below Config.Data.
const (
	databaseFile = "ostiary.db"
	masterFile   = "master.key"
)

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.Name == "" {
		c.Name = "Ostiary"
	}
	if c.Language == "" {
		c.Language = "en"
	}
	if c.Data == "" {
		c.Data = "data"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// prepare makes the data folder, readable by nobody else.
func (c Config) prepare() error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("cannot make the data folder %s: %w: choose another with --data", c.Data, err)
	}
	return nil
}

// Master is where the master key is. It is never made there.
func (c Config) Master() keys.MasterConfig {
	c = c.withDefaults()
	from := keys.MasterConfig{Path: filepath.Join(c.Data, masterFile), Value: c.MasterKey}
	if c.MasterKeyFile != "" {
		from.Path, from.Given = c.MasterKeyFile, true
	}
	return from
}

// How long those who serve people wait for PostgreSQL: for their turn and for a
// connection, and for one statement. Commands take what the store says.
const (
	databaseWait  = 5 * time.Second
	statementTime = 8 * time.Second
)

func (c Config) database() store.Config {
	d := store.Config{URL: c.databaseURL(), Now: c.Now, Connections: c.Connections, Wait: c.DatabaseWait}
	if c.serving {
		d.Wait, d.Statement = cmp.Or(d.Wait, databaseWait), statementTime
	}
	return d
}

func (c Config) databaseURL() string {
	if c.Database != "" {
		return c.Database
	}
	return "sqlite:" + filepath.Join(c.Data, databaseFile)
}
