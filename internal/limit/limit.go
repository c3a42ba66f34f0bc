// Package limit bounds how much is asked of the server: by a network address, by
// what strangers leave in the database, by a client and by an account. All nodes
// count together.
//
// Every node counts in memory, in a table of a fixed size, so that a request costs
// no look into the database. Once in a second Share puts what it has counted for
// the busy ones into the row that they have there, and learns what the other nodes
// have counted. What is quiet is never stored. While the database is away every
// node goes on with what it knows: nobody is refused for that, and nobody is let
// through without being counted.
//
// It never decides what a refusal looks like, and it guards no secret: guesses at
// passwords and codes are counted one by one in the database (account.Accounts).
package limit

import (
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Kind is what is counted.
type Kind int

const (
	// Address counts requests of a network address by a caller who has not proven
	// who they are.
	Address Kind = iota
	// Begun counts what such a caller leaves in the database: sign-ins that wait for
	// their person, devices that wait for their code.
	Begun
	// Client counts requests of a client that has proven who it is.
	Client
	// Account counts requests of a person who has, for each client by itself.
	Account

	kinds
)

var words = [kinds]string{"address", "begun", "client", "account"}

func (k Kind) String() string { return words[k] }

// Off in place of a number is no limit.
const Off = -1

// Rates are how many requests there may be in a minute; 0 is the default given
// beside it, Off none. Who was quiet for a minute may spend all of it at once.
type Rates struct {
	Address int // 6,000: an office of some thousand people, signing in within ten minutes
	Begun   int // 600
	Client  int // 60,000
	Account int // 600
}

// maxRate keeps the sums far from the end of 64 bits.
const maxRate = 10_000_000

// Config says what a Limits works with; Store is required.
type Config struct {
	Store  *store.Store
	Rates  Rates
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// Limits counts. It is safe for concurrent use.
type Limits struct {
	store  *store.Store
	now    func() time.Time
	logger *slog.Logger
	rates  [kinds]int64
	table  table
	counts [kinds]struct{ admitted, refused atomic.Int64 }
	lost   atomic.Int64
}

// New checks the rates and returns a Limits that has counted nothing.
func New(c Config) (*Limits, error) {
	if c.Store == nil {
		return nil, errors.New("limit: Store is required")
	}
	l := &Limits{store: c.Store, now: c.Now, logger: c.Logger}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = slog.Default()
	}
	for k, r := range [kinds]struct{ set, standard int }{
		Address: {c.Rates.Address, 6000}, Begun: {c.Rates.Begun, 600}, Client: {c.Rates.Client, 60_000}, Account: {c.Rates.Account, 600},
	} {
		if r.set == 0 {
			r.set = r.standard
		}
		if r.set != Off && (r.set < 1 || r.set > maxRate) {
			return nil, errors.New("limit: the rate of " + Kind(k).String() + " must be 1 to 10,000,000 a minute, or Off")
		}
		l.rates[k] = int64(r.set)
	}
	l.table.init()
	return l, nil
}

// Levels are in sixty-thousandths of a request. So a rate of n requests in a minute
// is n of these in a millisecond, and all is in whole numbers.
const one = 60_000

// Visit counts a request of somebody unknown at a network address. It returns how
// many seconds they have to wait; 0: they need not.
func (l *Limits) Visit(address string) (wait int64) { return l.take(Address, address, "", 1) }

// Begin counts a row that somebody unknown at a network address leaves in the
// database. Where there is little room left it counts tenfold, so that one address
// does not take it all. It returns how many seconds they have to wait.
func (l *Limits) Begin(address string, crowded bool) (wait int64) {
	if crowded {
		return l.take(Begun, address, "", 10)
	}
	return l.take(Begun, address, "", 1)
}

// Client counts a request of a client that has proven who it is, and no more as one
// of somebody unknown at the network address that it came from: many who share an
// address do not hold each other up, and nobody can use up the share of a client
// without being it. It returns how many seconds it has to wait.
func (l *Limits) Client(id model.ClientID, address string) (wait int64) {
	l.giveBack(address)
	return l.take(Client, address, string(id), 1)
}

// Account is Client for a person, and what they do through one client; through none,
// on the pages of this server.
func (l *Limits) Account(id model.UserID, through model.ClientID, address string) (wait int64) {
	l.giveBack(address)
	return l.take(Account, address, string(id)+" "+string(through), 1)
}

// Home reports whether a network address is this machine, which is not limited: a
// reverse proxy there that nobody has named would make everybody one caller.
func Home(address string) bool {
	at, err := netip.ParseAddr(address)
	return err == nil && at.Unmap().IsLoopback()
}

func (l *Limits) take(k Kind, address, who string, weight int64) (wait int64) {
	rate := l.rates[k]
	if rate == Off || Home(address) {
		l.counts[k].admitted.Add(1)
		return 0
	}
	if k == Address || k == Begun {
		who = model.Neighbourhood(address)
	}
	// One that weighs more than all there is waits for all there is.
	cost := min(weight, rate) * one
	ms, first := l.table.take(key{k, who}, use{cost: cost, rate: rate, now: l.now().UnixMilli()})
	if ms == 0 {
		l.counts[k].admitted.Add(1)
		return 0
	}
	l.counts[k].refused.Add(1)
	if first {
		l.logger.Warn("too many requests: they are refused for now", "limit", k.String(), "of", who, "per_minute", rate, "address", address)
	}
	return int64(math.Ceil(float64(ms) / 1000))
}

func (l *Limits) giveBack(address string) {
	if rate := l.rates[Address]; rate != Off && !Home(address) {
		l.table.giveBack(key{Address, model.Neighbourhood(address)}, one)
	}
}

// Count is what was counted of a kind since the start, at this node.
type Count struct {
	Kind              Kind
	Admitted, Refused int64
}

// Counts lists all kinds.
func (l *Limits) Counts() []Count {
	var all []Count
	for k := range kinds {
		all = append(all, Count{k, l.counts[k].admitted.Load(), l.counts[k].refused.Load()})
	}
	return all
}

// Held is how many callers this node remembers, and Unshared how often it could not
// share with the others what it has counted.
func (l *Limits) Held() int       { return l.table.size() }
func (l *Limits) Unshared() int64 { return l.lost.Load() }
