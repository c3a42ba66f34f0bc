package signal

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// PathEvents is where transmitters push events to, below the issuer; their ID
// follows.
const PathEvents = "/ssf/events/"

// What a transmitter's settings get where they say nothing.
const (
	defaultMaxAge = 7 * 24 * 60 * 60 // seconds: what it holds while we are away
	longestMaxAge = 30 * 24 * 60 * 60
	defaultScope  = "ssf.read" // CAEP Interoperability Profile §2.7.2
)

// maxTransmitters is how many there may be.
const maxTransmitters = 100

// secretPrefix lets secret scanners find a leaked secret of a transmitter.
const secretPrefix = "ost_tr_"

// Errors of the rules about transmitters, beside ErrInvalid.
var (
	// ErrNoTransmitter says that there is no such transmitter.
	ErrNoTransmitter = errors.New("there is no such transmitter")
	// ErrTransmitterTaken says that one of that ID exists.
	ErrTransmitterTaken = errors.New("there is a transmitter of that name already")
)

var transmitterID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._~][A-Za-z0-9._~-]{0,63}$`) })

// Matches are the ways in which a transmitter may name people.
var Matches = []string{model.MatchOwn, model.MatchLinked, model.MatchEmail, model.MatchLogin}

// defaultMatch is by what nobody can take another for themselves.
var defaultMatch = []string{model.MatchOwn, model.MatchLinked}

// withDefaults fills in what an operator left open.
func withDefaults(t model.Transmitter) model.Transmitter {
	if len(t.Match) == 0 {
		t.Match = slices.Clone(defaultMatch)
	}
	if t.MaxAge == 0 {
		t.MaxAge = defaultMaxAge
	}
	if t.Polled() && t.ClientID != "" && t.Scope == "" {
		t.Scope = defaultScope
	}
	return t
}

// check holds a transmitter to what makes sense. It returns ErrInvalid.
func (r *Receiver) check(t model.Transmitter) error {
	switch {
	case !transmitterID().MatchString(string(t.ID)):
		return wrong("id: it must have 1 to 64 letters, digits, dots, underscores and hyphens")
	case !httpsAddress(t.Issuer) || strings.ContainsAny(t.Issuer, "?#"):
		return wrong("issuer: it must be an https address without query and fragment")
	case t.Issuer == r.Issuer:
		return wrong("issuer: it is our own")
	case t.Audience == "" || len(t.Audience) > maxEndpoint:
		return wrong("audience: it must say whom its events are meant for: often the client_id that we have there")
	case len(t.StreamID) > maxEndpoint:
		return wrong("stream_id: it is too long")
	case t.MaxAge < 60 || t.MaxAge > longestMaxAge:
		return wrong("max_age: it must be between 60 and %d seconds", longestMaxAge)
	case !t.Polled() && (t.ClientID != "" || t.TokenEndpoint != "" || t.Scope != ""):
		return wrong("poll_url: client_id, token_endpoint and scope are for a transmitter that is polled")
	case t.ClientID == "" && (t.TokenEndpoint != "" || t.Scope != ""):
		return wrong("client_id: token_endpoint and scope are for an OAuth client of ours there")
	}
	for name, address := range map[string]string{"jwks_uri": t.JWKSURI, "poll_url": t.PollURL, "token_endpoint": t.TokenEndpoint} {
		if address != "" && !httpsAddress(address) {
			return wrong("%s: it must be an https address", name)
		}
	}
	for _, way := range t.Match {
		if !slices.Contains(Matches, way) {
			return wrong("match: %q is none of %s", way, strings.Join(Matches, ", "))
		}
	}
	return r.checkEvents(t.Events)
}

// checkEvents holds what shall follow from events to what can.
func (r *Receiver) checkEvents(events map[string]string) error {
	may := map[string][]string{}
	var names []string
	for kind, acts := range r.Acts {
		name := kind[strings.LastIndexByte(kind, '/')+1:]
		may[name] = acts
		names = append(names, name)
	}
	slices.Sort(names)
	for name, act := range events {
		switch acts, known := may[name]; {
		case !known:
			return wrong("events: %q is none of %s", name, strings.Join(names, ", "))
		case !slices.Contains(acts, act):
			return wrong("events: %s: %q is none of %s", name, act, strings.Join(acts, ", "))
		}
	}
	return nil
}

func httpsAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxEndpoint && u.Hostname() != "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

// TransmitterChange is what has to be done about one transmitter so that it is as
// it shall be.
type TransmitterChange struct {
	ID     model.TransmitterID
	Before *model.Transmitter // nil: there is none, it is added
	After  *model.Transmitter // nil: there shall be none, it is removed
	Secret model.Secret       // of one that is polled; "": as it was. Of one that pushes: it is told once
}

// Prepare checks a change and makes its secret, outside of the transaction that
// carries it out. It returns ErrInvalid.
func (r *Receiver) Prepare(c TransmitterChange) (TransmitterChange, error) {
	if c.After == nil {
		return c, nil
	}
	t := withDefaults(*c.After)
	t.UpdatedAt = r.unix()
	if err := r.check(t); err != nil {
		return c, err
	}
	if c.Before != nil {
		t.CreatedAt, t.SecretHash, t.Sealed = c.Before.CreatedAt, c.Before.SecretHash, c.Before.Sealed
	} else {
		t.CreatedAt = t.UpdatedAt
	}
	if !t.Polled() {
		t.Sealed = ""
		if t.SecretHash == "" {
			c.Secret = model.NewSecret(secretPrefix)
			t.SecretHash = c.Secret.Hash()
		}
		c.After = &t
		return c, nil
	}
	t.SecretHash = ""
	if c.Secret != "" && c.Before != nil && r.holds(*c.Before, c.Secret) {
		c.Secret = ""
	}
	if c.Secret != "" {
		if len(c.Secret) > maxHeader || strings.ContainsAny(c.Secret.Reveal(), "\r\n") {
			return c, wrong("secret: it must be one line of at most %d bytes", maxHeader)
		}
		var err error
		if t.Sealed, err = r.Keys.Seal(keys.PurposeTransmitter, string(t.ID), []byte(c.Secret.Reveal())); err != nil {
			return c, err
		}
	}
	if t.Sealed == "" {
		return c, wrong("secret: a transmitter that is polled needs a token, or the secret of our client there")
	}
	c.After = &t
	return c, nil
}

// holds reports whether a secret is the one that is sealed already.
func (r *Receiver) holds(t model.Transmitter, secret model.Secret) bool {
	text, err := r.Keys.Unseal(keys.PurposeTransmitter, string(t.ID), t.Sealed)
	return err == nil && subtle.ConstantTimeCompare(text, []byte(secret.Reveal())) == 1
}

// CarryOut carries out changes that were prepared, in a transaction of the
// caller's. It fails with ErrTransmitterTaken, and with ErrChanged if one was
// changed by somebody else meanwhile.
func (r *Receiver) CarryOut(tx *store.Tx, actor model.Actor, changes []TransmitterChange) error {
	for _, c := range changes {
		if err := carryOut(tx, actor, c); err != nil {
			return err
		}
	}
	return nil
}

// ErrChanged says that a transmitter was changed by somebody else meanwhile.
var ErrChanged = errors.New("the transmitter has changed meanwhile")

func carryOut(tx *store.Tx, actor model.Actor, c TransmitterChange) error {
	record := func(action string) error {
		return tx.Record(model.Event{Actor: actor, Action: action, Detail: "transmitter=" + string(c.ID)})
	}
	if c.Before == nil {
		all, err := tx.Transmitters()
		if err != nil {
			return err
		}
		if len(all) >= maxTransmitters {
			return wrong("id: there are %d transmitters already", maxTransmitters)
		}
		if err := tx.InsertTransmitter(*c.After); errors.Is(err, store.ErrConflict) {
			return ErrTransmitterTaken
		} else if err != nil {
			return err
		}
		return record("transmitter.add")
	}
	is, err := tx.Transmitter(c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !unchanged(is, *c.Before) {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	if c.After == nil {
		if err := tx.DeleteTransmitter(c.ID); err != nil {
			return err
		}
		return record("transmitter.remove")
	}
	if err := tx.UpdateTransmitter(*c.After); err != nil {
		return err
	}
	return record("transmitter.update")
}

// unchanged compares all but what a transmitter's use changes.
func unchanged(a, b model.Transmitter) bool {
	a.SeenAt, a.Problem, b.SeenAt, b.Problem = 0, "", 0, ""
	return reflect.DeepEqual(a, b)
}

// Change prepares one change and carries it out; it returns the transmitter and,
// of one that pushes and is new, the secret. It returns ErrInvalid and the errors
// of CarryOut.
func (r *Receiver) Change(ctx context.Context, actor model.Actor, c TransmitterChange) (model.Transmitter, model.Secret, error) {
	c, err := r.Prepare(c)
	if err == nil {
		err = r.Store.Update(ctx, func(tx *store.Tx) error { return carryOut(tx, actor, c) })
	}
	if err != nil || c.After == nil {
		return model.Transmitter{}, "", err
	}
	return *c.After, c.Secret, nil
}

// PlanTransmitters compares the transmitters that shall be with those that are, and
// returns the differences by ID. One that is not among those that shall be stays,
// unless prune is set. secrets has those of new ones that are polled. It returns
// ErrInvalid, wrapped with the ID.
func (r *Receiver) PlanTransmitters(ctx context.Context, wanted []model.Transmitter, secrets map[model.TransmitterID]model.Secret, prune bool) ([]TransmitterChange, error) {
	are, err := r.Transmitters(ctx)
	if err != nil {
		return nil, err
	}
	known := map[model.TransmitterID]model.Transmitter{}
	for _, t := range are {
		known[t.ID] = t
	}
	var plan []TransmitterChange
	seen := map[model.TransmitterID]bool{}
	for _, w := range wanted {
		if seen[w.ID] {
			return nil, fmt.Errorf("transmitter %q: %w", w.ID, wrong("id: it comes twice"))
		}
		seen[w.ID] = true
		c := TransmitterChange{ID: w.ID, After: &w, Secret: secrets[w.ID]}
		is, ok := known[w.ID]
		if ok {
			c.Before = &is
		}
		if c, err = r.Prepare(c); err != nil {
			return nil, fmt.Errorf("transmitter %q: %w", w.ID, err)
		}
		if !ok || is.Issuer != c.After.Issuer || c.Secret != "" || !reflect.DeepEqual(is.TransmitterSettings, c.After.TransmitterSettings) {
			plan = append(plan, c)
		}
	}
	for _, t := range are {
		if prune && !seen[t.ID] {
			plan = append(plan, TransmitterChange{ID: t.ID, Before: &t})
		}
	}
	slices.SortFunc(plan, func(a, b TransmitterChange) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return plan, nil
}

// Transmitters lists them by their ID.
func (r *Receiver) Transmitters(ctx context.Context) ([]model.Transmitter, error) {
	var list []model.Transmitter
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Transmitters()
		return err
	})
	return list, err
}

// Transmitter returns one, or ErrNoTransmitter.
func (r *Receiver) Transmitter(ctx context.Context, id model.TransmitterID) (model.Transmitter, error) {
	var t model.Transmitter
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		t, err = tx.Transmitter(id)
		return err
	})
	return t, missing(err)
}

func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoTransmitter
	}
	return err
}

// RenewSecret gives a transmitter that pushes another secret, which it returns
// once; the old one is worth nothing from now on. It returns ErrNoTransmitter and
// ErrInvalid.
func (r *Receiver) RenewSecret(ctx context.Context, actor model.Actor, id model.TransmitterID) (model.Secret, error) {
	secret := model.NewSecret(secretPrefix)
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
		t, err := tx.Transmitter(id)
		if err != nil {
			return err
		}
		if t.Polled() {
			return wrong("secret: the transmitter does not push: it is polled, with the secret that it gave us")
		}
		t.SecretHash, t.UpdatedAt = secret.Hash(), r.unix()
		if err := tx.UpdateTransmitter(t); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "transmitter.renew_secret", Detail: "transmitter=" + string(id)})
	})
	return secret, missing(err)
}

// Link says who of ours it is whom a transmitter calls how. It returns
// ErrNoTransmitter and ErrInvalid.
func (r *Receiver) Link(ctx context.Context, actor model.Actor, id model.TransmitterID, l store.SubjectLink) error {
	if l.Subject == "" || len(l.Subject) > 255 { // OpenID Connect Core §2: "sub" is at most that long
		return wrong("subject: it must have 1 to 255 bytes")
	}
	return missing(r.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Transmitter(id); err != nil {
			return err
		}
		if err := tx.LinkSubject(id, l.Subject, l.UserID); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "transmitter.link", UserID: l.UserID, Detail: fmt.Sprintf("transmitter=%s subject=%s", id, l.Subject)})
	}))
}

// Unlink forgets it. It fails with store.ErrNotFound.
func (r *Receiver) Unlink(ctx context.Context, actor model.Actor, id model.TransmitterID, subject string) error {
	return r.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.UnlinkSubject(id, subject); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "transmitter.unlink", Detail: fmt.Sprintf("transmitter=%s subject=%s", id, subject)})
	})
}

// Links lists them all, by subject.
func (r *Receiver) Links(ctx context.Context, id model.TransmitterID) ([]store.SubjectLink, error) {
	var all []store.SubjectLink
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		all = nil
		for after := ""; ; {
			some, err := tx.Links(id, after, 0)
			if err != nil || len(some) == 0 {
				return err
			}
			all, after = append(all, some...), some[len(some)-1].Subject
		}
	})
	return all, err
}
