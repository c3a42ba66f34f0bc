// Package keys owns the server's signing keys: it creates them, seals them at
// rest under the master key, publishes them, rotates them and signs with them.
//
// The keys in use are an immutable snapshot in memory, so signing neither waits
// for the database nor takes a lock. What another node or the command changed
// arrives with Reload, which Tick calls.
//
// It never speaks HTTP, never hands out a private key and never decides what a
// token says.
package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// What a Config that leaves them out gets.
const (
	DefaultRotate = 30 * 24 * time.Hour
	DefaultAhead  = 24 * time.Hour
	DefaultKeep   = 25 * time.Hour
)

// MinAhead is what Ahead is at least: twice as long as the published set may be cached.
const MinAhead = 10 * time.Minute

var defaultAlgorithms = []jwa.Algorithm{jwa.ES256, jwa.EdDSA, jwa.PS256, jwa.RS256}

// Errors of this package. Those about the master key are in master.go.
var (
	// ErrNoKey says that the ring holds no key for what was asked.
	ErrNoKey = errors.New("no signing key")
	// ErrInUse says that a key cannot be dropped because it signs.
	ErrInUse = errors.New("the key is in use for signing: rotate first")
	// ErrCorrupt says that a stored key cannot be opened or understood.
	ErrCorrupt = errors.New("a stored signing key is damaged: restore the database from a backup")
)

// Config says where a Ring keeps its keys and how long they live.
type Config struct {
	Store  *store.Store
	Master Master
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: silent

	// Generate makes a key that nobody else has; nil: jwk.Generate.
	Generate func(jwa.Algorithm) (*jwk.Key, error)

	// Algorithms are those of which the server always has a key; empty: ES256,
	// EdDSA, PS256 and RS256. They must be asymmetric, because the keys are
	// published. No two share a key, though RS256 and PS256 could: a key that says
	// which algorithm it is for cannot be turned to another (RFC 8725 §3.1).
	Algorithms []jwa.Algorithm

	// Rotate is how long a key signs, so that no more keys are published than verifiers
	// take; zero: DefaultRotate.
	Rotate time.Duration
	// Ahead is how long a key is published before it signs: at least as long
	// as anybody may cache the published set, and MinAhead; zero: DefaultAhead.
	Ahead time.Duration
	// Keep is how long a key is published after it last signed: at least the
	// longest life of what it signs and the leeway of verifiers; zero:
	// DefaultKeep.
	Keep time.Duration
}

// Exist reports whether the database holds sealed keys already. When it does, a
// new master key would be of no use, and LoadMaster must not create one.
func Exist(ctx context.Context, s *store.Store) (bool, error) {
	found := false
	err := s.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Setting(checkSetting)
		if err == nil {
			found = true
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		stored, err := tx.SigningKeys()
		found = len(stored) > 0
		return err
	})
	return found, err
}

// Open returns the ring of the server's keys, making what is missing of them:
// all at the first start, one for each algorithm that is newly configured. It
// may be called on several nodes at once; they end with the same keys. It
// returns ErrMasterMismatch and ErrCorrupt.
func Open(ctx context.Context, c Config) (*Ring, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	r := &Ring{
		store: c.Store, master: c.Master, now: c.Now, log: c.Logger, make: c.Generate,
		algorithms: c.Algorithms, rotate: seconds(c.Rotate), ahead: seconds(c.Ahead), keep: seconds(c.Keep),
	}
	c.Store.Mark(audit.Marker(r.Derive)) // before the first entry is written, which is of this package
	if err := r.checkMaster(ctx); err != nil {
		return nil, err
	}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	if err := r.fill(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (c Config) complete() (Config, error) {
	if c.Store == nil {
		return c, errors.New("keys: Config.Store is missing")
	}
	if c.Master.key == nil {
		return c, errors.New("keys: Config.Master is missing: use LoadMaster")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Generate == nil {
		c.Generate = jwk.Generate
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = slices.Clone(defaultAlgorithms)
	}
	for _, a := range c.Algorithms {
		if s, ok := a.Signature(); !ok || s.KeyType == jwa.Oct {
			return c, fmt.Errorf("keys: %q cannot be used for the server's signing keys: name a public-key algorithm such as ES256 or RS256", a)
		}
	}
	c.Algorithms = slices.Compact(slices.Sorted(slices.Values(c.Algorithms)))
	return c, c.settle()
}

// Check returns what makes no sense in the times of the keys, as Open does, in a
// sentence that names the setting.
func (c Config) Check() error { return c.settle() }

// settle fills in and checks how long keys do what.
func (c *Config) settle() error {
	for _, d := range []struct {
		value *time.Duration
		fill  time.Duration
		name  string
	}{{&c.Rotate, DefaultRotate, "Rotate"}, {&c.Ahead, DefaultAhead, "Ahead"}, {&c.Keep, DefaultKeep, "Keep"}} {
		if *d.value == 0 {
			*d.value = d.fill
		}
		if *d.value < time.Second {
			return fmt.Errorf("keys: %s must be a second or more", d.name)
		}
	}
	if c.Ahead < MinAhead {
		return fmt.Errorf("key-ahead is %v and must be %v or more: those who verify may keep the published keys for five minutes", c.Ahead, MinAhead)
	}
	if c.Ahead >= c.Rotate {
		return fmt.Errorf("key-ahead is %v and must be shorter than key-rotate, %v: a key is published before its predecessor's time is over", c.Ahead, c.Rotate)
	}
	// Of each algorithm one waits, one signs, and the others are kept.
	each := time.Duration(maxPublished / cmp.Or(len(c.Algorithms), len(defaultAlgorithms)))
	if kept := c.Keep/c.Rotate + 1; kept+2 > each {
		return fmt.Errorf("key-rotate is %v and must be %v or more: a key is published for %v after it has signed, and those who verify take %d keys at most",
			c.Rotate, (c.Keep/max(each-2, 1)).Truncate(time.Minute)+time.Minute, c.Keep, maxPublished)
	}
	return nil
}

// checkMaster compares the master key with the check value in the database,
// or stores one at the first start. Without it a wrong master key would show
// only when a sealed key is opened, and could add keys that no other node can
// read.
func (r *Ring) checkMaster(ctx context.Context) error {
	known := func(tx *store.Tx) error {
		sealed, err := tx.Setting(checkSetting)
		if err != nil {
			return err
		}
		return r.compareCheck(sealed)
	}
	// As a rule it is there, and nobody waits until something may be written.
	if err := r.store.Ask(ctx, known); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	fresh, err := r.master.seal(purposeCheck, checkSetting, []byte(checkText))
	if err != nil {
		return err
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertSetting(checkSetting, fresh); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: system, Action: "master.use", Detail: "the first start with this database"})
	})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	// Another node was first in this very moment: it must be of one key with us.
	return r.store.Ask(ctx, known)
}

func (r *Ring) compareCheck(sealed string) error {
	text, err := r.master.open(purposeCheck, checkSetting, sealed)
	if err != nil || string(text) != checkText {
		return fmt.Errorf("%w: %s is not the key that sealed the signing keys in this database; restore the right one, or set %s to it",
			ErrMasterMismatch, r.master.origin, MasterVariable)
	}
	return nil
}

var system = model.Actor{Kind: model.ActorSystem}

const (
	checkSetting = "keys.master-check"
	checkText    = "ostiary"
)

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
