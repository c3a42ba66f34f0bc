// Package doctor looks at an installation as it is, and says in plain sentences what
// is well, what is not, and what to do next: the database and its files, the issuer as
// others reach it through whatever proxies there are, clocks, keys, mail, what waits,
// identity providers, and settings that are risky.
//
// It cures nothing, and works whether a server runs or not: what it could not look at
// it says, with the reason. Every look has its time.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/store"
)

// State is how something is.
type State string

const (
	Good    State = "good"
	Warning State = "warning" // it works, and may not for long, or is not as it should be
	Wrong   State = "wrong"
	Unknown State = "unknown" // it could not be looked at
)

// Finding is a sentence about something.
type Finding struct {
	About string `json:"about"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // what to do
}

// Config is the installation.
type Config struct {
	Server server.Config // its Database must be set
	// SettingsFile is that which the settings come from; empty: none.
	SettingsFile string
}

// lookTime bounds each look; damageTime that through all of a file.
const (
	lookTime   = 15 * time.Second
	damageTime = 30 * time.Second
)

// visit is what is known while looking around.
type visit struct {
	Config
	now      func() time.Time
	database store.Examination
	seen     bool          // database is known
	parts    *server.Parts // nil: they could not be opened
	closed   string        // why not
	base     string        // the issuer, as far as it is known
	answers  bool          // the issuer answers
	notSaid  string        // why it does not
	runs     bool          // a server answers here
}

// check is one look.
type check struct {
	about string
	look  func(*visit, context.Context) []Finding
}

// first are those that others build upon, one after the other; then come the rest, all
// at once.
var (
	first = []check{{"files", (*visit).files}, {"database", (*visit).lookAtDatabase}, {"server", (*visit).running}, {"issuer", (*visit).issuer}}
	rest  = []check{
		{"tls", (*visit).tls}, {"proxy", (*visit).proxy}, {"clocks", (*visit).clocks}, {"feed", (*visit).feed}, {"keys", (*visit).keys},
		{"mail", (*visit).mail}, {"waiting", (*visit).waiting}, {"upstreams", (*visit).upstreams}, {"settings", (*visit).settings}, {"damage", (*visit).damage},
	}
)

// Examine looks at everything, and returns what it finds in the same order always.
func Examine(ctx context.Context, c Config) []Finding {
	v := &visit{Config: c, now: c.Server.Now}
	if v.now == nil {
		v.now = time.Now
	}
	var all []Finding
	for _, k := range first {
		all = append(all, v.run(ctx, k)...)
	}
	if v.parts != nil {
		defer v.parts.Close()
	}
	found := make([][]Finding, len(rest))
	var looking sync.WaitGroup
	for i, k := range rest {
		looking.Go(func() { found[i] = v.run(ctx, k) })
	}
	looking.Wait()
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}

func (v *visit) run(ctx context.Context, k check) []Finding {
	limit := lookTime
	if k.about == "damage" {
		limit = damageTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := k.look(v, ctx)
	for i := range found {
		if found[i].About == "" {
			found[i].About = k.about
		}
	}
	return found
}

func good(text string, args ...any) Finding {
	return Finding{State: Good, Text: fmt.Sprintf(text, args...)}
}

func unknown(text string, args ...any) Finding {
	return Finding{State: Unknown, Text: fmt.Sprintf(text, args...)}
}

func warning(next, text string, args ...any) Finding {
	return Finding{State: Warning, Text: fmt.Sprintf(text, args...), Next: next}
}

func wrong(next, text string, args ...any) Finding {
	return Finding{State: Wrong, Text: fmt.Sprintf(text, args...), Next: next}
}

// late reports whether a look has taken all of its time.
func late(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// days is a length of time as people say it.
func days(d time.Duration) string {
	switch {
	case d < 0:
		return "less than nothing"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
