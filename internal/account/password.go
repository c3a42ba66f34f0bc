package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Params is what a password hash by Argon2id costs, RFC 9106 §3.1.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over it
	Threads uint8
}

// DefaultParams is the first choice of the OWASP password storage cheat sheet.
var DefaultParams = Params{Memory: 19456, Time: 2, Threads: 1}

// The bounds of Params. They hold for stored hashes as well, so that nobody
// who can write to the database can make the server take all memory.
const (
	minMemory  = 7 * 1024    // KiB
	maxMemory  = 1024 * 1024 // KiB
	maxTime    = 32
	maxThreads = 16
)

// The length of a password after normalisation.
const (
	MinPassword = 8    // characters, NIST SP 800-63B §5.1.1.2
	maxPassword = 1024 // bytes
)

const (
	saltSize = 16 // bytes, RFC 9106 §3.1
	hashSize = 32 // bytes
)

func (p Params) check() error {
	switch {
	case p.Memory < minMemory || p.Memory > maxMemory:
		return fmt.Errorf("account: Password.Memory is %d KiB and must be from %d to %d", p.Memory, minMemory, maxMemory)
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("account: Password.Time is %d and must be from 1 to %d", p.Time, maxTime)
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("account: Password.Threads is %d and must be from 1 to %d", p.Threads, maxThreads)
	}
	return nil
}

// hasher hashes and compares passwords, a bounded number at once.
type hasher struct {
	params Params
	places chan struct{}
	wait   time.Duration
	dummy  phc // compared with when there is no hash to compare with

	// work is called with the cost of each hash computed; tests count it.
	work func(Params)
}

func newHasher(p Params, places int, wait time.Duration) (*hasher, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if places < 1 || places > 1024 {
		return nil, fmt.Errorf("account: Hashes is %d and must be from 1 to 1024", places)
	}
	if wait < time.Millisecond {
		return nil, fmt.Errorf("account: HashWait is %v and must be a millisecond or more", wait)
	}
	// Nothing hashes to this dummy: it is random, not computed.
	dummy := phc{params: p, salt: randomBytes(saltSize), hash: randomBytes(hashSize)}
	return &hasher{params: p, places: make(chan struct{}, places), wait: wait, dummy: dummy, work: func(Params) {}}, nil
}

// hash returns the PHC string of a new password. It returns ErrInvalid and
// ErrBusy.
func (h *hasher) hash(ctx context.Context, password model.Secret) (string, error) {
	text, err := newPassword(password)
	if err != nil {
		return "", err
	}
	p := phc{params: h.params, salt: randomBytes(saltSize), hash: make([]byte, hashSize)}
	if p.hash, err = h.compute(ctx, text, p); err != nil {
		return "", err
	}
	return p.String(), nil
}

// verify compares a password with a stored PHC string; an empty or unusable
// one costs the same work and never fits. stale says that the stored hash has
// another cost than a new one would. It returns ErrCredentials and ErrBusy.
func (h *hasher) verify(ctx context.Context, password model.Secret, stored string) (stale bool, err error) {
	text, err := typedPassword(password)
	if err != nil {
		return false, ErrCredentials
	}
	p, parseErr := parsePHC(stored)
	if parseErr != nil {
		p = h.dummy
	}
	hash, err := h.compute(ctx, text, p)
	if err != nil {
		return false, err
	}
	fits := subtle.ConstantTimeCompare(hash, p.hash) == 1
	switch {
	case parseErr != nil && stored != "":
		// To the person it is a wrong password; the log shows the cause.
		return false, fmt.Errorf("%w (%w)", ErrCredentials, parseErr)
	case parseErr != nil || !fits:
		return false, ErrCredentials
	}
	return p.params != h.params || len(p.salt) != saltSize || len(p.hash) != hashSize, nil
}

// compute runs Argon2id with the parameters, the salt and the size of p when there is a place for it. Each run takes the whole
// of its memory, so the places are what keeps a flood of sign-ins from taking
// all there is. The wait is by the real clock: it bounds a caller's patience.
func (h *hasher) compute(ctx context.Context, text []byte, p phc) ([]byte, error) {
	defer clear(text)
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, ErrBusy
	}
	defer func() { <-h.places }()
	h.work(p.params)
	return argon2.IDKey(text, p.salt, p.params.Time, p.params.Memory, p.params.Threads, uint32(len(p.hash))), nil
}

// newPassword checks a password that somebody chose.
func newPassword(s model.Secret) ([]byte, error) {
	text, err := typedPassword(s)
	if err != nil {
		return nil, err
	}
	if utf8.RuneCount(text) < MinPassword {
		return nil, ErrInvalid{"password", PasswordShort}
	}
	return text, nil
}

// typedPassword normalises a password, so that it fits however a keyboard
// composes its letters (RFC 8265 §4.2.2 rule 4), and bounds it.
func typedPassword(s model.Secret) ([]byte, error) {
	switch {
	case s == "":
		return nil, ErrInvalid{"password", Missing}
	case len(s) > maxPassword:
		return nil, ErrInvalid{"password", PasswordLong}
	case !utf8.ValidString(s.Reveal()):
		return nil, ErrInvalid{"password", NotText}
	}
	text := norm.NFC.Bytes([]byte(s.Reveal()))
	if len(text) > maxPassword {
		return nil, ErrInvalid{"password", PasswordLong}
	}
	return text, nil
}

// SetPassword gives a person a new password and ends what was begun with the
// old one: every session and grant, but for those of the session keep, if it is
// one of theirs. It returns ErrInvalid, ErrBusy and ErrNoUser.
func (a *Accounts) SetPassword(ctx context.Context, actor model.Actor, id model.UserID, c NewPassword) error {
	hash, err := a.passwords.hash(ctx, c.Password)
	if err != nil {
		return err
	}
	return a.update(ctx, func(tx *store.Tx) error {
		user, err := tx.User(id)
		if err != nil {
			return err
		}
		now := a.unix()
		if err := tx.SetPassword(id, hash, now); err != nil {
			return err
		}
		if err := a.tellPassword(tx, actor, user); err != nil {
			return err
		}
		if err := tx.Record(model.Event{Actor: actor, Action: "password.set", UserID: id}); err != nil {
			return err
		}
		return a.endOthers(tx, id, c.Keep)
	})
}

// NewPassword is what SetPassword sets.
type NewPassword struct {
	Password model.Secret
	Keep     model.SessionID // the session in which it is changed; empty: none
}

// endOthers ends everything of a person but the session keep and its grants.
func (a *Accounts) endOthers(tx *store.Tx, id model.UserID, keep model.SessionID) error {
	ending := a.ending(model.CauseCredentialChange)
	if err := tx.DeleteSignIns(id); err != nil { // what was half proven with it
		return err
	}
	if s, err := tx.Session(keep); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	} else if err != nil || s.UserID != id || !s.Live(ending.At) {
		return tx.EndUser(id, ending)
	}
	for more := true; more; { // the store lists a page at once
		more = false
		sessions, err := tx.SessionsOf(id)
		if err != nil {
			return err
		}
		for _, s := range sessions {
			if s.ID == keep {
				continue
			}
			if err := tx.EndSession(s.ID, ending); err != nil {
				return err
			}
			more = true
		}
	}
	// What is left are the grants that outlive their session.
	for more := true; more; {
		more = false
		grants, err := tx.GrantsOf(id)
		if err != nil {
			return err
		}
		for _, g := range grants {
			if g.SessionID == keep {
				continue
			}
			if err := tx.EndGrant(g.ID, ending); err != nil {
				return err
			}
			more = true
		}
	}
	return nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return b
}
