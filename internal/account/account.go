// Package account owns people: their logins, passwords and profiles, and the
// sessions that they are signed in with.
//
// A password is hashed and compared outside of transactions, and only so many
// at once; an unknown login costs the same work as a wrong password. Whatever
// puts somebody out (sign-out, lock, deletion, a new password) goes through
// the store's End methods, which write the revocation log in the same
// transaction.
//
// It never speaks HTTP, writes no HTML and no SQL, and does not know what a
// token is. Who may do what to whom is for its caller to decide; the Actor that
// each change asks for is what the audit log tells.
package account

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// What a Config that leaves them out gets.
const (
	DefaultIdle             = 2 * time.Hour
	DefaultAbsolute         = 12 * time.Hour
	DefaultRememberIdle     = 14 * 24 * time.Hour
	DefaultRememberAbsolute = 90 * 24 * time.Hour
	DefaultHashWait         = 3 * time.Second
)

// Errors of this package, beside ErrInvalid.
var (
	// ErrCredentials says that login and password do not fit, and not which.
	ErrCredentials = errors.New("the login or the password is wrong")
	// ErrFactor says that what was proven is not enough for a session.
	ErrFactor = errors.New("a further factor is wanted")
	// ErrNoFactor says that the person has no such factor.
	ErrNoFactor = errors.New("no such factor")
	// ErrTooMany says that a person has as many of a kind as they can have.
	ErrTooMany = errors.New("there are too many already")
	// ErrLocked says that the account is locked; only who knows its password
	// is told.
	ErrLocked = errors.New("the account is locked")
	// ErrBusy says that too many passwords are being checked; later it works.
	ErrBusy = credential.ErrBusy
	// ErrElsewhere says that one login is tried from so many places that its
	// person has to take the way through the browser for a while.
	ErrElsewhere = errors.New("too many wrong passwords from everywhere")
	// ErrNoSession says that there is no live session of that cookie or name.
	ErrNoSession = errors.New("no such session")
	// ErrStale says that something was changed since somebody saw what they change.
	ErrStale = errors.New("it was changed meanwhile")
	// ErrNoUser says that there is no such person.
	ErrNoUser = errors.New("no such user")
	// ErrLastAdmin says that nobody would be left to administer the server; only
	// the command on the server's machine may do that.
	ErrLastAdmin = errors.New("there is no other administrator")
	// ErrLoginTaken says that somebody has that login already.
	ErrLoginTaken = errors.New("the login is taken")
	// ErrAddressTaken says that an address cannot be said to be confirmed, because
	// it is another account's.
	ErrAddressTaken = errors.New("the address is another account's")
	// ErrChanged says that somebody else has changed what was looked at.
	ErrChanged = errors.New("somebody else has changed the person meanwhile: look again")
	// ErrSignUpOff says that nobody gets an account by asking for one here.
	ErrSignUpOff = errors.New("sign-up is off")
	// ErrInvitesOff says that nobody is invited here.
	ErrInvitesOff = errors.New("invitations are off: set sign-up to invited or open")
	// ErrSignUpLimit says that an address has tried to sign up too often lately.
	ErrSignUpLimit = errors.New("too many sign-ups from one address")
	// ErrAlreadySetUp says that there is an account, so that none can be made
	// by a setup link.
	ErrAlreadySetUp = errors.New("the first account exists already")
	// ErrSetupLink says that a setup link is unknown, used, replaced or expired.
	ErrSetupLink = errors.New("the setup link is not valid")
)

// ErrInvalid says that a value from outside cannot be accepted.
type ErrInvalid struct {
	Field  string // "login", "password", or the name of a claim
	Reason Reason
}

func (e ErrInvalid) Error() string { return e.Field + " " + string(e.Reason) }

// Reason says in English what is wrong with a value: a sentence without its
// subject. Those with a name are of values that people type into pages, and are
// known by it to whoever says them in another language.
type Reason string

const (
	Missing       Reason = "is missing"
	TooLong       Reason = "is too long"
	NotText       Reason = "is not valid UTF-8"
	NotOneLine    Reason = "must be one line without control characters"
	NotLogin      Reason = "has characters that a login cannot have"
	NotEmailLogin Reason = `has an "@" but is not an e-mail address`
	PasswordShort Reason = "has too few characters"
	NotEmail      Reason = "must be an e-mail address such as ada@example.org"

	PasswordCommon   Reason = "is one that many people choose, so it is tried first"
	PasswordPersonal Reason = "is made of words about its person or this place, so it is tried first"
	NotLines         Reason = "must not have control characters but line breaks"
	NotWebAddress    Reason = "must be an address that begins with https:// or http://"
	NotDate          Reason = "must be a date as YYYY-MM-DD, or a year as YYYY"
	NotZone          Reason = "must be a time zone such as Europe/Kyiv"
	NotLocale        Reason = "must be a language tag such as uk-UA"
	NotPhone         Reason = "must be a number such as +380 44 123 4567"
	NotYours         Reason = "must not be an e-mail address that is not known to be its person's"
	Unseen           Reason = "has characters that cannot be seen, or that turn the direction of writing"
	Mixed            Reason = "mixes letters of two alphabets in one word"
)

// These tell a bound.
var (
	PasswordLong = Reason(fmt.Sprintf("must have %d bytes or less", credential.MaxPassword))
	ClaimLong    = Reason(fmt.Sprintf("must have %d bytes or less", maxClaim))
)

// ErrTooSoon says that there were too many wrong passwords to try the next one now.
type ErrTooSoon struct {
	Wait int64 // seconds
}

func (e ErrTooSoon) Error() string { return fmt.Sprintf("too many wrong passwords: wait %d s", e.Wait) }

// Config says where accounts are kept and how long people stay signed in.
type Config struct {
	Store *store.Store
	Keys  *keys.Ring       // seals the secrets of people's apps
	Now   func() time.Time // nil: time.Now

	// Password is the cost of a new password hash; zero:
	// credential.DefaultParams.
	// Passwords with another cost are hashed anew at the next sign-in.
	Password Params

	// PasswordLength is how many characters a new password has at least, from 8 to
	// 64; zero: DefaultPasswordLength. Words are those of this place, which nobody
	// may make a password of: its name, its host.
	PasswordLength int
	Words          []string

	// A session ends when it was not used for Idle (zero: DefaultIdle) and in
	// any case after Absolute (zero: DefaultAbsolute); one that is to be
	// remembered has RememberIdle and RememberAbsolute.
	Idle, Absolute, RememberIdle, RememberAbsolute time.Duration

	// TokenLife is the longest life of an access token and the leeway of
	// verifiers: so long is told that something has ended. It must be set.
	TokenLife time.Duration

	// Hashes is how many passwords are hashed at once; each takes
	// Password.Memory. Zero: one for each processor.
	Hashes int
	// HashWait is how long a sign-in waits for its turn before ErrBusy; zero:
	// DefaultHashWait.
	HashWait time.Duration

	// Tried is told of each attempt to prove who somebody is, by a method, and what
	// came of it, such as Proved; nil: nobody is.
	Tried func(model.Method, string)

	// Name is what authenticators call the installation. Passkeys are bound to the
	// host of Issuer; where that is empty, there are none.
	Name string

	// Methods are the ways in which people may prove who they are; nil: all.
	Methods []model.Method
	// SecondFactor says when a policy of the server's wants a second factor; empty:
	// model.SecondOptional.
	SecondFactor string
	// RememberDevice is how long a browser can be remembered in place of a second
	// factor that a policy wants; zero: it cannot.
	RememberDevice time.Duration

	// SignUp lets strangers make themselves an account.
	SignUp bool
	// SignUpLimit is how often one address may try in an hour; zero:
	// DefaultSignUpLimit.
	SignUpLimit int
	// NoInvites keeps operators from inviting people as well.
	NoInvites bool

	// Post sends letters; nil, or one without a server: what needs them is not
	// there. Issuer is what the addresses in them begin with.
	Post   *mail.Post
	Issuer string
	// DeviceMail writes to people who sign in at a browser that was not known.
	DeviceMail bool

	Logger *slog.Logger // nil: slog.Default
}

// Accounts is the rule book about people. Its methods may be called from many
// goroutines at once.
type Accounts struct {
	store     *store.Store
	keys      *keys.Ring
	now       func() time.Time
	passwords *credential.Passwords
	policy    credential.Policy
	life      map[bool]life // by "remember me"
	tokenLife int64         // seconds

	count          func(model.Method, string) // nil: nobody counts attempts
	alarm          alarm
	passkeys       *credential.Passkeys // nil: there are none
	methods        []model.Method
	second         string
	rememberDevice int64 // seconds

	signUp      bool
	signUpLimit int
	invites     bool

	post       *mail.Post
	issuer     string
	deviceMail bool
	logger     *slog.Logger
}

// life is how long a session lasts, in seconds.
type life struct{ idle, absolute int64 }

// New returns the accounts in c.Store. It fails when a setting makes no sense.
func New(c Config) (*Accounts, error) {
	if c.Store == nil {
		return nil, errors.New("account: Config.Store is missing")
	}
	if c.Keys == nil {
		return nil, errors.New("account: Config.Keys is missing")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Post.Ready() && c.Issuer == "" {
		return nil, errors.New("account: Issuer is missing, with which the addresses in letters begin")
	}
	if c.TokenLife < time.Second {
		return nil, errors.New("account: TokenLife must be a second or more: the longest life of an access token and the leeway")
	}
	lives, err := c.lives()
	if err != nil {
		return nil, err
	}
	if c.Hashes == 0 {
		c.Hashes = runtime.GOMAXPROCS(0)
	}
	if c.Password == (Params{}) {
		c.Password = credential.DefaultParams
	}
	passwords, err := credential.NewPasswords(c.Password, c.Hashes, orDefault(c.HashWait, DefaultHashWait))
	if err != nil {
		return nil, fmt.Errorf("account: Password: %w", err)
	}
	if c.PasswordLength == 0 {
		c.PasswordLength = DefaultPasswordLength
	}
	if c.PasswordLength < credential.MinLeast || c.PasswordLength > credential.MaxLeast {
		return nil, fmt.Errorf("account: PasswordLength is %d and must be from %d to %d", c.PasswordLength, credential.MinLeast, credential.MaxLeast)
	}
	if c.SignUpLimit == 0 {
		c.SignUpLimit = DefaultSignUpLimit
	}
	if c.SignUpLimit < 1 || c.SignUpLimit > maxSignUpLimit {
		return nil, fmt.Errorf("account: SignUpLimit is %d and must be from 1 to %d", c.SignUpLimit, maxSignUpLimit)
	}
	if err := c.checkSignIn(); err != nil {
		return nil, err
	}
	passkeys, err := c.openPasskeys()
	if err != nil {
		return nil, err
	}
	return &Accounts{
		passkeys: passkeys, methods: c.Methods, second: c.SecondFactor, rememberDevice: int64(c.RememberDevice / time.Second),
		store: c.Store, keys: c.Keys, now: c.Now, passwords: passwords, life: lives, tokenLife: int64(c.TokenLife / time.Second),
		policy: credential.Policy{Least: c.PasswordLength, Words: c.Words},
		signUp: c.SignUp, signUpLimit: c.SignUpLimit, invites: !c.NoInvites,
		post: c.Post, issuer: c.Issuer, deviceMail: c.DeviceMail, logger: c.Logger, count: c.Tried,
	}, nil
}

// Check returns what makes no sense in what an operator may say about sessions and
// signing in, as New does, in a sentence that names the setting.
func (c Config) Check() error {
	if _, err := c.lives(); err != nil {
		return err
	}
	return c.checkSignIn()
}

// lives returns how long sessions last, by whether they are to be remembered.
func (c Config) lives() (map[bool]life, error) {
	short, err := newLife("session", orDefault(c.Idle, DefaultIdle), orDefault(c.Absolute, DefaultAbsolute))
	if err != nil {
		return nil, err
	}
	long, err := newLife("remember", orDefault(c.RememberIdle, DefaultRememberIdle), orDefault(c.RememberAbsolute, DefaultRememberAbsolute))
	return map[bool]life{false: short, true: long}, err
}

func newLife(name string, idle, absolute time.Duration) (life, error) {
	if idle < 2*touchEvery {
		// Use is written down once a minute, so a shorter idle time would end
		// sessions that are in use.
		return life{}, fmt.Errorf("%s-idle is %v and must be %v or more", name, idle, 2*touchEvery)
	}
	if absolute < idle {
		return life{}, fmt.Errorf("%s-life is %v and must not be shorter than %s-idle, %v", name, absolute, name, idle)
	}
	return life{idle: int64(idle / time.Second), absolute: int64(absolute / time.Second)}, nil
}

func orDefault(d, fill time.Duration) time.Duration {
	if d == 0 {
		return fill
	}
	return d
}

func (a *Accounts) unix() int64 { return a.now().Unix() }
