package federation

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// The bounds of what an operator can say.
const (
	maxUpstreams  = 100
	maxConnection = 64 << 10 // bytes
	maxSecret     = 16 << 10 // bytes
	maxDomains    = 100
	maxMappings   = 50
	maxMapped     = 500 // values of one mapping
	maxTrust      = 20
	maxPosition   = 10_000
	maxText       = 256 // bytes
)

// Errors of the rules about providers, beside ErrInvalid.
var (
	// ErrNoUpstream says that there is no such provider.
	ErrNoUpstream = errors.New("there is no such identity provider")
	// ErrUpstreamTaken says that one of that ID exists.
	ErrUpstreamTaken = errors.New("there is an identity provider of that name already")
	// ErrChanged says that a provider was changed by somebody else meanwhile.
	ErrChanged = errors.New("the identity provider has changed meanwhile")
)

// ErrInvalid says what an operator said cannot be.
type ErrInvalid struct{ Member, Reason string }

func (e ErrInvalid) Error() string { return e.Member + ": " + e.Reason }

func wrong(member, format string, args ...any) error {
	return ErrInvalid{member, fmt.Sprintf(format, args...)}
}

var domain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$`)
})

// check holds a provider to what makes sense, but for its connection. It returns
// ErrInvalid.
func (f *Federation) check(id model.UpstreamID, s model.UpstreamSettings) error {
	_, kind := f.kind(s.Kind)
	switch {
	case !id.Valid():
		return wrong("id", `it must have 1 to 40 of a to z, 0 to 9 and "-", and begin with a letter or a digit`)
	case !kind:
		return wrong("kind", "it must be one of %s", strings.Join(f.KindNames(), ", "))
	case !line(s.Name):
		return wrong("name", "it must be one line of 1 to %d bytes", maxText)
	case s.Position < -maxPosition || s.Position > maxPosition:
		return wrong("position", "it must be between %d and %d", -maxPosition, maxPosition)
	case len(s.Connection) > maxConnection:
		return wrong("connection", "it must have %d bytes or less", maxConnection)
	case len(s.Domains) > maxDomains:
		return wrong("domains", "there may be %d", maxDomains)
	case len(s.TrustACR) > maxTrust || slices.ContainsFunc(s.TrustACR, func(v string) bool { return !line(v) }):
		return wrong("trust_acr", "it may have %d values of one line", maxTrust)
	case s.Default && s.Hidden:
		return wrong("default", "a provider without a button cannot be the default one")
	}
	for i, d := range s.Domains {
		if !domain().MatchString(d) || len(d) > 253 || slices.Contains(s.Domains[:i], d) {
			return wrong("domains", "%q is no domain in lower case, or comes twice", d)
		}
	}
	return checkMapping(s.Mapping)
}

// line reports whether a text is one line that is not empty.
func line(s string) bool {
	return s != "" && len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkMapping(list []model.Mapping) error {
	if len(list) > maxMappings {
		return wrong("mapping", "it may have %d lines", maxMappings)
	}
	for i, m := range list {
		at := fmt.Sprintf("mapping[%d]", i)
		switch {
		case texts[m.Claim] == nil && m.Claim != claimVerified && m.Claim != claimGroups:
			return wrong(at, "claim %q is none of %s", m.Claim, strings.Join(MappedClaims(), ", "))
		case m.Claim != claimGroups && slices.ContainsFunc(list[:i], func(o model.Mapping) bool { return o.Claim == m.Claim }):
			return wrong(at, "claim %q comes twice", m.Claim)
		case (m.From == "") == (m.Value == ""):
			return wrong(at, "it must have either from or value")
		case len(m.From) > maxText || len(m.Value) > maxText:
			return wrong(at, "from and value must have %d bytes or less", maxText)
		case len(m.Map) > maxMapped:
			return wrong(at, "map may have %d values", maxMapped)
		case m.Claim == claimGroups && m.Keep:
			return wrong(at, "groups are always those that the provider tells: leave keep out")
		case m.Claim == claimGroups && m.From != "" && m.Map == nil:
			// Else whoever makes groups over there would choose who rules here.
			return wrong(at, "groups need a map, from theirs to ours")
		}
		if m.Claim != claimGroups {
			continue
		}
		for _, g := range append(mapped(m), m.Value) {
			if g != "" && !line(g) {
				return wrong(at, "%q is no name of a group", g)
			}
		}
	}
	return nil
}

func mapped(m model.Mapping) []string {
	var list []string
	for _, v := range m.Map {
		list = append(list, v)
	}
	return list
}

// Change is what has to be done about one provider so that it is as it shall be.
type Change struct {
	ID     model.UpstreamID
	Before *model.Upstream // nil: there is none, it is added
	After  *model.Upstream // nil: there shall be none, it is removed
	// Secrets are those that are set anew; the others stay as they are, and an empty
	// one is taken away.
	Secrets map[string]model.Secret
}

// Prepare checks a change and seals its secrets, outside of the transaction that
// carries it out. It returns ErrInvalid.
func (f *Federation) Prepare(c Change) (Change, error) {
	if c.After == nil {
		return c, nil
	}
	u := *c.After
	u.ID, u.UpdatedAt = c.ID, f.unix()
	u.CreatedAt, u.Sealed, u.Health = u.UpdatedAt, "", model.Health{}
	if c.Before != nil {
		u.CreatedAt, u.Sealed, u.Health = c.Before.CreatedAt, c.Before.Sealed, c.Before.Health
	}
	if u.Name == "" {
		u.Name = nameOfKind(u)
	}
	compact := bytes.Buffer{}
	if err := json.Compact(&compact, u.Connection); err != nil || len(u.Connection) == 0 || compact.Bytes()[0] != '{' {
		return c, wrong("connection", "it must be an object")
	}
	u.Connection = compact.Bytes()
	if err := f.check(c.ID, u.UpstreamSettings); err != nil {
		return c, err
	}
	secrets, changed, err := f.secrets(c, u)
	if err != nil {
		return c, err
	}
	if _, err := f.open(u.ID, u.UpstreamSettings, secrets); err != nil {
		return c, err
	}
	if changed {
		if u.Sealed, err = f.seal(u.ID, secrets); err != nil {
			return c, err
		}
	}
	c.After = &u
	return c, nil
}

// nameOfKind is what the button of a well-known provider says.
func nameOfKind(u model.Upstream) string {
	known := map[string]string{"google": "Google", "github": "GitHub", "microsoft": "Microsoft", "apple": "Apple", "facebook": "Facebook", "x": "X"}
	if name := known[u.Kind]; name != "" {
		return name
	}
	return string(u.ID)
}

// secrets are those that a provider has after a change, and whether they are others
// than before.
func (f *Federation) secrets(c Change, after model.Upstream) (map[string]model.Secret, bool, error) {
	secrets := map[string]model.Secret{}
	k, _ := f.kind(after.Kind)
	changed := false
	if c.Before != nil {
		had, err := f.unseal(*c.Before)
		if err != nil {
			return nil, false, err
		}
		for name, secret := range had {
			if changed = changed || !slices.Contains(k.Secrets, name); slices.Contains(k.Secrets, name) {
				secrets[name] = secret
			}
		}
	}
	for name, secret := range c.Secrets {
		switch {
		case !slices.Contains(k.Secrets, name):
			return nil, false, wrong("secrets", "%q is none of those that %s has: %s", name, after.Kind, strings.Join(k.Secrets, ", "))
		case len(secret) > maxSecret:
			return nil, false, wrong("secrets", "%s must have %d bytes or less", name, maxSecret)
		case subtle.ConstantTimeCompare([]byte(secret.Reveal()), []byte(secrets[name].Reveal())) == 1:
			continue
		case secret == "":
			delete(secrets, name)
		default:
			secrets[name] = secret
		}
		changed = true
	}
	for name, make := range k.Makers {
		if secrets[name] != "" {
			continue
		}
		var err error
		if secrets[name], err = make(f.Now()); err != nil {
			return nil, false, err
		}
		changed = true
	}
	return secrets, changed, nil
}

func (f *Federation) seal(id model.UpstreamID, secrets map[string]model.Secret) (string, error) {
	if len(secrets) == 0 {
		return "", nil
	}
	plain := map[string]string{}
	for name, secret := range secrets {
		plain[name] = secret.Reveal()
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return "", err
	}
	return f.Keys.Seal(keys.PurposeUpstream, string(id), text)
}

// SecretsOf names the secrets that a provider has.
func (f *Federation) SecretsOf(u model.Upstream) ([]string, error) {
	secrets, err := f.unseal(u)
	var names []string
	for name := range secrets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, err
}

// CarryOut carries out changes that were prepared, in a transaction of the caller's. It
// fails with ErrUpstreamTaken, ErrChanged and ErrInvalid.
func (f *Federation) CarryOut(tx *store.Tx, actor model.Actor, changes []Change) error {
	for _, c := range changes {
		if err := f.carryOut(tx, actor, c); err != nil {
			return err
		}
	}
	all, err := tx.Upstreams()
	if err != nil {
		return err
	}
	return checkAll(all)
}

// checkAll holds the providers to what they have to agree on.
func checkAll(all []model.Upstream) error {
	if len(all) > maxUpstreams {
		return wrong("id", "there may be %d identity providers", maxUpstreams)
	}
	whose := map[string]model.UpstreamID{}
	usual := model.UpstreamID("")
	for _, u := range all {
		for _, d := range u.Domains {
			if whose[d] != "" {
				return wrong("domains", "%q belongs to %s and to %s", d, whose[d], u.ID)
			}
			whose[d] = u.ID
		}
		if u.Default && usual != "" {
			return wrong("default", "both %s and %s would be the default one", usual, u.ID)
		}
		if u.Default {
			usual = u.ID
		}
	}
	return nil
}

func (f *Federation) carryOut(tx *store.Tx, actor model.Actor, c Change) error {
	record := func(action string) error {
		return tx.Record(model.Event{Actor: actor, Action: action, Detail: "upstream=" + string(c.ID)})
	}
	if c.Before == nil {
		if err := tx.InsertUpstream(*c.After); errors.Is(err, store.ErrConflict) {
			return ErrUpstreamTaken
		} else if err != nil {
			return err
		}
		return record("upstream.add")
	}
	is, err := tx.Upstream(c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !unchanged(is, *c.Before) {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	if c.After == nil {
		if err := f.takeAllGroups(tx, actor, c.ID); err != nil {
			return err
		}
		if err := tx.DeleteUpstream(c.ID); err != nil {
			return err
		}
		return record("upstream.remove")
	}
	if err := tx.UpdateUpstream(*c.After); err != nil {
		return err
	}
	switch {
	case c.After.Disabled && !c.Before.Disabled:
		return record("upstream.disable")
	case !c.After.Disabled && c.Before.Disabled:
		return record("upstream.enable")
	}
	return record("upstream.update")
}

// unchanged compares all but how a provider fares.
func unchanged(a, b model.Upstream) bool {
	a.Health, b.Health = model.Health{}, model.Health{}
	return reflect.DeepEqual(a, b)
}

// takeAllGroups takes from people the groups that a provider has brought, which is about
// to be removed.
func (f *Federation) takeAllGroups(tx *store.Tx, actor model.Actor, id model.UpstreamID) error {
	for after := model.IdentityID(""); ; {
		list, err := tx.IdentitiesAt(id, after, 0)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, i := range list {
			if err := f.takeGroups(tx, actor, i); err != nil {
				return err
			}
		}
		after = list[len(list)-1].ID
	}
}

// Change prepares one change and carries it out; it returns the provider. It returns
// ErrInvalid and the errors of CarryOut.
func (f *Federation) Change(ctx context.Context, actor model.Actor, c Change) (model.Upstream, error) {
	c, err := f.Prepare(c)
	if err == nil {
		err = f.Store.Update(ctx, func(tx *store.Tx) error { return f.CarryOut(tx, actor, []Change{c}) })
	}
	f.LookAgain()
	if err != nil || c.After == nil {
		return model.Upstream{}, err
	}
	return *c.After, nil
}

// Wanted is a provider that shall be.
type Wanted struct {
	model.Upstream
	Secrets map[string]model.Secret // those that are said; the others stay
}

// Plan compares the providers that shall be with those that are, and returns the
// differences by ID. One that is not among those that shall be stays, unless prune is
// set. It returns ErrInvalid, wrapped with the ID.
func (f *Federation) Plan(ctx context.Context, wanted []Wanted, prune bool) ([]Change, error) {
	are, err := f.Upstreams(ctx)
	if err != nil {
		return nil, err
	}
	result := map[model.UpstreamID]model.Upstream{}
	for _, u := range are {
		result[u.ID] = u
	}
	var plan []Change
	seen := map[model.UpstreamID]bool{}
	for _, w := range wanted {
		if seen[w.ID] {
			return nil, fmt.Errorf("upstream %q: %w", w.ID, wrong("id", "it comes twice"))
		}
		seen[w.ID] = true
		c := Change{ID: w.ID, After: &w.Upstream, Secrets: w.Secrets}
		is, ok := result[w.ID]
		if ok {
			c.Before = &is
		}
		if c, err = f.Prepare(c); err != nil {
			return nil, fmt.Errorf("upstream %q: %w", w.ID, err)
		}
		result[w.ID] = *c.After
		if !ok || is.Disabled != c.After.Disabled || is.Sealed != c.After.Sealed || !reflect.DeepEqual(is.UpstreamSettings, c.After.UpstreamSettings) {
			plan = append(plan, c)
		}
	}
	for _, u := range are {
		if prune && !seen[u.ID] {
			plan = append(plan, Change{ID: u.ID, Before: &u})
			delete(result, u.ID)
		}
	}
	slices.SortFunc(plan, func(a, b Change) int { return strings.Compare(string(a.ID), string(b.ID)) })
	var all []model.Upstream
	for _, u := range result {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b model.Upstream) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return plan, checkAll(all)
}

// Upstreams lists them by their ID.
func (f *Federation) Upstreams(ctx context.Context) (list []model.Upstream, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Upstreams()
		return err
	})
	return list, err
}

// Upstream returns one, disabled or not, or ErrNoUpstream.
func (f *Federation) Upstream(ctx context.Context, id model.UpstreamID) (u model.Upstream, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		u, err = tx.Upstream(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoUpstream
	}
	return u, err
}

// People returns how many people are known by a provider, and how many of them have no
// other way to sign in.
func (f *Federation) People(ctx context.Context, id model.UpstreamID) (people, alone int64, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		people, alone, err = tx.CountPeopleOf(id)
		return err
	})
	return people, alone, err
}
