package federation

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

// Trial is what would come of what a provider tells of somebody: nothing is kept of it.
type Trial struct {
	Claims  map[string]any `json:"claims"`            // as the provider tells them
	Name    string         `json:"name,omitempty"`    // by which they would know the account over there
	Profile model.Profile  `json:"profile"`           // of the account that would be made, with its groups
	Always  []string       `json:"always,omitempty"`  // the claims that are set at every sign-in
	Left    []string       `json:"left,omitempty"`    // what is left out, and why
	Factors string         `json:"factors,omitempty"` // of a sign-in: "one", or "two" where its word counts
}

// Try applies the mapping of a provider to claims. It returns ErrInvalid if they are
// no object.
func Try(s model.UpstreamSettings, claims []byte) (Trial, error) {
	var all map[string]any
	if err := json.Unmarshal(claims, &all); err != nil || all == nil || len(claims) > maxClaims {
		return Trial{}, wrong("claims", "they must be one JSON object of %d bytes or less", maxClaims)
	}
	return tried(s, all), nil
}

func tried(s model.UpstreamSettings, claims map[string]any) Trial {
	t := read(s, claims)
	out := Trial{Claims: claims, Name: t.name, Profile: t.profile, Left: t.left}
	out.Profile.Groups = t.groups
	for _, claim := range slices.Sorted(maps.Keys(t.always)) {
		if t.always[claim] {
			out.Always = append(out.Always, claim)
		}
	}
	if t.grouped {
		out.Always = append(out.Always, claimGroups)
	}
	return out
}

// TryLogin asks a directory for somebody, by their password. It returns ErrNoUpstream,
// account.ErrCredentials, ErrInvalid if it is no directory, and a Refusal.
func (f *Federation) TryLogin(ctx context.Context, id model.UpstreamID, login string, password model.Secret) (Trial, error) {
	e, err := f.any(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	d, ok := e.connector.(upstream.Directory)
	if !ok {
		return Trial{}, wrong("login", "%s is no directory: people type their password over there", id)
	}
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	p, err := d.Password(within, login, password)
	if errors.Is(err, upstream.ErrWrongPassword) {
		return Trial{}, account.ErrCredentials
	}
	if err != nil {
		return Trial{}, refusal(err)
	}
	if err := checkPerson(p); err != nil {
		return Trial{}, err
	}
	t := tried(e.UpstreamSettings, p.Claims)
	t.Factors = map[bool]string{false: "one", true: "two"}[coming{entry: e, person: p}.factor(f.unix()).Verified]
	return t, nil
}

// any returns a provider, disabled or not, that can be spoken to; ErrNoUpstream or a
// Refusal.
func (f *Federation) any(ctx context.Context, id model.UpstreamID) (*entry, error) {
	u, err := f.Upstream(ctx, id)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	e := f.entry(ctx, u)
	f.mu.Unlock()
	if e.problem != nil {
		return nil, refuse(Misconfigured, e.problem.Error())
	}
	return e, nil
}

// Probe asks whether a provider, disabled or not, can be spoken to now, and notes how it
// fared. It returns ErrNoUpstream and a Refusal.
func (f *Federation) Probe(ctx context.Context, id model.UpstreamID) error {
	e, err := f.any(ctx, id)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err = e.connector.Probe(within); err != nil {
		err = refusal(err)
	}
	f.fared(ctx, e, err)
	return err
}

// Addresses are those of ours that are registered at a provider.
type Addresses struct {
	Callback    string `json:"callback_url"`
	Logout      string `json:"logout_url"`
	Backchannel string `json:"backchannel_logout_url"`
	Metadata    string `json:"metadata_url"`
}

// Addresses says where a provider finds us.
func (f *Federation) Addresses(id model.UpstreamID) Addresses {
	at := f.Issuer + "/upstream/" + string(id)
	return Addresses{Callback: at + "/callback", Logout: at + "/logout", Backchannel: at + "/backchannel", Metadata: at + "/metadata"}
}

// Status says in a word how a provider is: "disabled", "broken" (its settings are of no
// use), "failing" (nobody is sent there for a while), "working", or "new".
func (f *Federation) Status(ctx context.Context, u model.Upstream) string {
	_, err := f.any(ctx, u.ID)
	switch h := u.Health; {
	case u.Disabled:
		return "disabled"
	case err != nil:
		return "broken"
	case h.Failures > 0:
		return "failing"
	case h.WorkedAt == 0:
		return "new"
	}
	return "working"
}
