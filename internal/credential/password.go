package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
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
	MinMemory  = 7 * 1024    // KiB
	MaxMemory  = 1024 * 1024 // KiB
	MaxTime    = 32
	MaxThreads = 16
)

// The length of a password after normalisation.
const (
	MinLeast    = 8    // characters: what Policy.Least must be. NIST SP 800-63B-4 §3.1.1.2, beside a second factor
	MaxLeast    = 64   // characters: NIST SP 800-63B-4 §3.1.1.2, what must be allowed must not be too short
	MaxPassword = 1024 // bytes
)

// ours is the kind of hash that is made here.
const ours = "argon2id"

const (
	saltSize = 16 // bytes, RFC 9106 §3.1
	hashSize = 32 // bytes
)

// What can be wrong with a password, whoever's it is.
var (
	ErrMissing = errors.New("the password is missing")
	ErrShort   = errors.New("the password is too short")
	ErrLong    = errors.New("the password is too long")
	ErrNotText = errors.New("the password is not valid UTF-8")

	// ErrCommon and ErrPersonal are of passwords that somebody would try first.
	ErrCommon   = errors.New("the password is one that many people choose")
	ErrPersonal = errors.New("the password is made of words about its person or this place")
)

func (p Params) check() error {
	switch {
	case p.Memory < MinMemory || p.Memory > MaxMemory:
		return fmt.Errorf("memory is %d KiB and must be from %d to %d", p.Memory, MinMemory, MaxMemory)
	case p.Time < 1 || p.Time > MaxTime:
		return fmt.Errorf("time is %d and must be from 1 to %d", p.Time, MaxTime)
	case p.Threads < 1 || p.Threads > MaxThreads:
		return fmt.Errorf("threads is %d and must be from 1 to %d", p.Threads, MaxThreads)
	}
	return nil
}

func (p Params) costs() string { return fmt.Sprintf("m=%d,t=%d,p=%d", p.Memory, p.Time, p.Threads) }

func (p Params) String() string { return ours + " " + p.costs() }

// Passwords hashes and compares passwords, a bounded number at once.
type Passwords struct {
	Params Params // what a new hash costs

	// Work is called with the cost of each hash that is computed; tests count it.
	Work func(cost string)

	places chan struct{}
	wait   time.Duration
	dummy  phc // compared with when there is no hash to compare with
}

// NewPasswords returns passwords whose hashes cost p, of which so many are computed
// at once, while others wait. It fails when one of these makes no sense.
func NewPasswords(p Params, places int, wait time.Duration) (*Passwords, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if places < 1 || places > 1024 {
		return nil, fmt.Errorf("the number of hashes at once is %d and must be from 1 to 1024", places)
	}
	if wait < time.Millisecond {
		return nil, fmt.Errorf("the wait for a hash is %v and must be a millisecond or more", wait)
	}
	// Nothing hashes to this dummy: it is random, not computed.
	dummy := phc{kind: ours, params: p, salt: randomBytes(saltSize), hash: randomBytes(hashSize)}
	return &Passwords{Params: p, places: make(chan struct{}, places), wait: wait, dummy: dummy, Work: func(string) {}}, nil
}

// Hash returns the PHC string of a password. It returns the errors of Normal, and
// ErrBusy.
func (h *Passwords) Hash(ctx context.Context, password model.Secret) (string, error) {
	text, err := Normal(password)
	if err != nil {
		return "", err
	}
	defer clear(text)
	p := phc{kind: ours, params: h.Params, salt: randomBytes(saltSize), hash: make([]byte, hashSize)}
	err = h.inPlace(ctx, h.Params.String(), func() { p.hash = p.key(text) })
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Verify compares a password with a stored hash of any kind that CheckForeign knows;
// an empty or unusable one costs the work of a new one and never fits. stale says that
// the stored hash is of another kind, or has another cost, than a new one would. It
// returns ErrWrong, which is wrapped with the cause if the stored hash is damaged, and
// ErrBusy.
func (h *Passwords) Verify(ctx context.Context, password model.Secret, hash string) (stale bool, err error) {
	normal, err := Normal(password)
	if err != nil {
		return false, ErrWrong
	}
	defer clear(normal)
	s, current, parseErr := h.parse(hash)
	fits := false
	// Other programs hash what was typed, and compose no letters anew.
	if err := h.inPlace(ctx, s.cost, func() { fits = s.fits([]byte(password.Reveal()), normal) }); err != nil {
		return false, err
	}
	switch {
	case parseErr != nil && hash != "":
		// To the person it is a wrong password; the log shows the cause.
		return false, fmt.Errorf("%w (%w)", ErrWrong, parseErr)
	case parseErr != nil || !fits:
		return false, ErrWrong
	}
	return !current, nil
}

// parse reads a stored hash, and says whether a new one would be like it. With an
// error comes what to compare with in its place.
func (h *Passwords) parse(hash string) (s stored, current bool, err error) {
	p, err := parsePHC(hash)
	if err == nil && p.kind == ours {
		current = p.params == h.Params && len(p.salt) == saltSize && len(p.hash) == hashSize
		return stored{p.params.String(), func(typed, normal []byte) bool {
			// Ours are of normal text; one that was brought along may be of what was typed.
			return p.fits(normal) || !current && !bytes.Equal(typed, normal) && p.fits(typed)
		}}, current, nil
	}
	if s, err = parseForeign(hash); err != nil {
		return stored{h.Params.String(), func(_, normal []byte) bool { return h.dummy.fits(normal) }}, false, errPHC
	}
	return s, false, nil
}

// inPlace does the work of one hash when there is a place for it. Each run may take
// much memory, so the places are what keeps a flood of sign-ins from taking all there
// is. The wait is by the real clock: it bounds a caller's patience.
func (h *Passwords) inPlace(ctx context.Context, cost string, do func()) error {
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrBusy
	}
	defer func() { <-h.places }()
	h.Work(cost)
	do()
	return nil
}

// Policy says what a password is like that somebody may choose. NIST SP 800-63B-4
// §3.1.1.2: its length, and that nobody would try it first; nothing about which
// characters it is made of.
type Policy struct {
	Least int      // characters
	Words []string // of the installation: its name, its host
}

// Check checks a password that somebody chose, whose words these are: the login, the
// name, the address. It returns ErrShort, ErrCommon, ErrPersonal and the errors of
// Normal.
func (p Policy) Check(s model.Secret, about ...string) error {
	text, err := Normal(s)
	if err != nil {
		return err
	}
	folded := Folded(string(text))
	switch {
	case utf8.RuneCount(text) < p.Least:
		return ErrShort
	case common(folded):
		return ErrCommon
	case personal(folded, append(about, p.Words...)):
		return ErrPersonal
	}
	return nil
}

// Normal normalises a password, so that it fits however a keyboard composes its
// letters (RFC 8265 §4.2.2 rule 4), and bounds it. It returns ErrMissing, ErrLong and
// ErrNotText.
func Normal(s model.Secret) ([]byte, error) {
	switch {
	case s == "":
		return nil, ErrMissing
	case len(s) > MaxPassword:
		return nil, ErrLong
	case !utf8.ValidString(s.Reveal()):
		return nil, ErrNotText
	}
	text := norm.NFC.Bytes([]byte(s.Reveal()))
	if len(text) > MaxPassword {
		return nil, ErrLong
	}
	return text, nil
}
