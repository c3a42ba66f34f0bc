package jwk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Defaults of RemoteConfig.
const (
	defaultMinInterval = time.Minute
	defaultMaxAge      = time.Hour
	defaultMaxStale    = 24 * time.Hour
	defaultTimeout     = 10 * time.Second
	defaultMaxBytes    = 512 << 10

	// lifetimeUnsaid is how long a set is fresh if the server does not say.
	lifetimeUnsaid = 10 * time.Minute

	// firstRetry is the pause after a first failure. It doubles with every
	// further one, up to MinInterval.
	firstRetry = time.Second
)

// RemoteConfig says where a remote set is and how it is kept. URL is required;
// the rest has defaults.
type RemoteConfig struct {
	// URL of the JSON Web Key Set. It must be https, or http on the loopback
	// interface, unless InsecureHTTP is set: whoever can change the answer on
	// its way can sign tokens.
	URL string

	// InsecureHTTP permits plain http to any host, for a network that is
	// secured by other means.
	InsecureHTTP bool

	// Client makes the requests. It is copied; redirects to another host are
	// refused whatever it says. Nil means a client with the defaults of net/http.
	Client *http.Client

	// MinInterval is the least time between two fetches that unknown
	// identifiers cause, and the least lifetime of a set. Default 1 minute.
	MinInterval time.Duration

	// MaxAge bounds the lifetime that the server gives the set by Cache-Control.
	// A key that was withdrawn is trusted no longer than this while the server
	// answers. Default 1 hour.
	MaxAge time.Duration

	// MaxStale is how long after its lifetime a set is still used if the
	// server does not answer. Default 24 hours.
	MaxStale time.Duration

	// Timeout bounds one fetch. Default 10 seconds.
	Timeout time.Duration

	// MaxBytes bounds the answer. Default 512 KiB, at most 1 MiB.
	MaxBytes int64

	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Remote is a key set at an address, and a [Source]. It fetches the set when a
// key is first asked for and keeps it for as long as the server says, within
// MinInterval and MaxAge; when four fifths of that time have passed it fetches
// anew in the background. An identifier that is not in the set causes one fetch,
// at most one per MinInterval, and is remembered: strangers who invent
// identifiers cannot turn the verifier against the server. If the server does not
// answer, the set is kept, for up to MaxStale.
//
// At most one fetch is on its way at any time. A Remote has no permanent
// goroutine and needs no closing. It is safe for concurrent use.
type Remote struct {
	config RemoteConfig
	origin *url.URL
	client *http.Client

	mu      sync.Mutex
	set     *Set      // nil until the first answer
	etag    string    // of the set
	fresh   time.Time // until when the set is
	early   time.Time // when to fetch anew in the background
	retry   time.Time // no fetch before, after a failure
	fetched time.Time // when the last fetch was started
	failed  int       // fetches that failed since the last that did not
	err     error     // of the last fetch
	flight  *flight   // the fetch on its way
	unknown unknownIDs
}

// flight is one fetch that any number of callers wait for.
type flight struct{ done chan struct{} }

// NewRemote makes a remote set. It fetches nothing yet. It returns ErrInvalid for
// a configuration that makes no sense.
func NewRemote(c RemoteConfig) (*Remote, error) {
	origin, err := url.Parse(c.URL)
	if err != nil || origin.Host == "" || origin.User != nil {
		return nil, fmt.Errorf("%w: the address of a key set must be an absolute URL", ErrInvalid)
	}
	secure := origin.Scheme == "https" || origin.Scheme == "http" && (c.InsecureHTTP || isLoopback(origin.Hostname()))
	if !secure {
		return nil, fmt.Errorf("%w: the address of a key set must be https: %s", ErrInvalid, origin.Redacted())
	}
	if c.MinInterval < 0 || c.MaxAge < 0 || c.MaxStale < 0 || c.Timeout < 0 || c.MaxBytes < 0 || c.MaxBytes > maxSetBytes {
		return nil, fmt.Errorf("%w: a limit of the remote set is out of range", ErrInvalid)
	}
	setDefault(&c.MinInterval, defaultMinInterval)
	setDefault(&c.MaxAge, max(defaultMaxAge, c.MinInterval))
	setDefault(&c.MaxStale, defaultMaxStale)
	setDefault(&c.Timeout, defaultTimeout)
	setDefault(&c.MaxBytes, defaultMaxBytes)
	if c.MaxAge < c.MinInterval {
		return nil, fmt.Errorf("%w: MaxAge of the remote set is below MinInterval", ErrInvalid)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Remote{config: c, origin: origin, client: guardedClient(c.Client, origin)}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Find returns the keys for an identifier, from the cache if it may. It waits
// for a fetch only if there is no set, or none that is fresh, or if the identifier
// is new. It returns an error that wraps ErrNotFound if the set has no such key,
// ErrUnavailable if there is no set to look in, and the context's error if that
// ends first; the fetch goes on for others.
func (r *Remote) Find(ctx context.Context, kid string) ([]*Key, error) {
	set, wait := r.look(kid)
	if wait != nil {
		select {
		case <-wait.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		set = r.current()
	}
	if set == nil {
		return nil, r.unavailable()
	}
	keys, err := set.Find(ctx, kid)
	if err != nil && wait != nil && !r.remember(kid) {
		return nil, r.unavailable() // whether there is such a key by now is not known
	}
	return keys, err
}

// look decides what to do: use the set as it is, or wait for a fetch. A fetch
// that is only early is started and not waited for.
func (r *Remote) look(kid string) (*Set, *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.config.Now()
	switch {
	case r.set == nil, r.dead(now):
		return nil, r.start(now)
	case !now.Before(r.fresh):
		// After a first failure the outage is known: let nobody wait for
		// the next attempts.
		if f := r.start(now); r.failed == 0 {
			return r.set, f
		}
		return r.set, nil
	case kid != "" && !r.set.holds(kid):
		if r.unknown.mayAsk(kid, now) && !now.Before(r.fetched.Add(r.config.MinInterval)) {
			return r.set, r.start(now)
		}
		if r.flight != nil && !r.unknown.has(kid) {
			return r.set, r.flight
		}
	case !now.Before(r.early):
		r.start(now)
	}
	return r.set, nil
}

// holds reports whether Find would find the identifier.
func (s *Set) holds(kid string) bool { return s.byID[kid] != nil || len(s.unnamed) > 0 }

// dead reports whether the set is too old to be used even in an outage.
func (r *Remote) dead(now time.Time) bool { return !now.Before(r.fresh.Add(r.config.MaxStale)) }

// current returns the set that may be used now, or nil.
func (r *Remote) current() *Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil || r.dead(r.config.Now()) {
		return nil
	}
	return r.set
}

func (r *Remote) unavailable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, r.err)
	}
	return ErrUnavailable
}

// remember notes that the server does not know an identifier; false if the
// last fetch failed and so says nothing.
func (r *Remote) remember(kid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false
	}
	r.unknown.add(kid, r.config.Now(), r.config.MinInterval, r.config.MaxAge)
	return true
}

// start returns the fetch that is on its way, or starts one; nil if it is too
// early after a failure. The caller holds the lock.
func (r *Remote) start(now time.Time) *flight {
	if r.flight != nil {
		return r.flight
	}
	if now.Before(r.retry) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	r.flight, r.fetched = f, now
	etag := ""
	if r.set != nil {
		etag = r.etag
	}
	// The fetch belongs to all who wait for it, so no caller's context can
	// end it; Timeout does.
	go func() {
		defer close(f.done)
		ctx, cancel := context.WithTimeout(context.Background(), r.config.Timeout)
		defer cancel()
		r.finish(r.fetch(ctx, etag))
	}()
	return f
}

// errSame is the answer of fetch if the server says that nothing has changed.
var errSame = errors.New("not modified")

// finish takes the answer of a fetch in.
func (r *Remote) finish(a answer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.config.Now()
	r.flight = nil
	if err != nil && !errors.Is(err, errSame) {
		r.err = err
		pause := min(firstRetry<<min(r.failed, 16), r.config.MinInterval)
		r.failed++
		r.retry = now.Add(pause)
		return
	}
	if err == nil {
		r.set, r.etag = a.set, a.etag
	}
	life := min(max(a.life, r.config.MinInterval), r.config.MaxAge)
	r.fresh, r.early = now.Add(life), now.Add(life/5*4)
	r.failed, r.err, r.retry = 0, nil, time.Time{}
}

// maxUnknown bounds how many unknown identifiers are remembered.
const maxUnknown = 256

// unknownIDs are identifiers that were asked for and were not in the set.
type unknownIDs map[string]unknownID

type unknownID struct {
	until time.Time     // no fetch for it before
	pause time.Duration // doubles each time, for a key may be published late
}

func (u unknownIDs) has(kid string) bool { _, ok := u[kid]; return ok }

func (u unknownIDs) mayAsk(kid string, now time.Time) bool { return !now.Before(u[kid].until) }

func (u *unknownIDs) add(kid string, now time.Time, least, most time.Duration) {
	if kid == "" || len(kid) > maxIDBytes {
		return
	}
	if *u == nil {
		*u = make(unknownIDs)
	}
	entry := (*u)[kid]
	if now.Before(entry.until) {
		return // somebody else who waited for the same fetch was here
	}
	entry.pause = min(max(2*entry.pause, least), most)
	entry.until = now.Add(entry.pause)
	for other := range *u {
		if len(*u) < maxUnknown {
			break
		}
		delete(*u, other)
	}
	(*u)[kid] = entry
}
