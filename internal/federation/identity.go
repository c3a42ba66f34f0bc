package federation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// ErrNoIdentity says that a person is not connected with that account elsewhere.
var ErrNoIdentity = errors.New("there is no such identity")

// Identity is an account that a person has elsewhere, with where that is.
type Identity struct {
	model.Identity
	Upstream Choice
	Disabled bool // nobody can sign in by it now
}

// Identities lists those of a person, the oldest first.
func (f *Federation) Identities(ctx context.Context, user model.UserID) (list []Identity, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) error {
		list = nil
		has, err := tx.IdentitiesOf(user)
		for i := 0; err == nil && i < len(has); i++ {
			var u model.Upstream
			u, err = tx.Upstream(has[i].UpstreamID)
			list = append(list, Identity{has[i], Choice{u.ID, u.Kind, u.Name}, u.Disabled})
		}
		return err
	})
	return list, err
}

// refresh gives a person what their provider tells of them now, as its mapping says,
// and notes that the identity was used. Groups that somebody here has put them into
// stay: only those go that the provider has brought.
func (f *Federation) refresh(tx *store.Tx, c coming, id model.Identity) error {
	user, err := tx.User(id.UserID)
	if err != nil {
		return err
	}
	mail := ""
	if c.told.always["email"] && c.told.mail != "" {
		if err := account.Free(tx, user.ID, c.told.mail); err == nil {
			mail = c.told.mail
		} else if !errors.Is(err, account.ErrLoginTaken) {
			return err
		}
	}
	id.Name, id.UsedAt, id.Tokens = c.told.name, f.unix(), c.tokens
	was := id.Groups
	if id.Groups = nil; c.told.grouped {
		id.Groups = brought(user.Profile.Groups, was, c.told.groups)
	}
	actor := model.Actor{Kind: model.ActorUpstream, ID: string(c.entry.ID), Address: c.address}
	_, err = f.Accounts.Revise(tx, actor, user.ID, func(p *model.Profile) {
		for claim, always := range c.told.always {
			if v := *texts[claim](&c.told.profile); always && claim != "email" && v != "" {
				*texts[claim](p) = v
			}
		}
		if p.PhoneNumber != user.Profile.PhoneNumber {
			p.PhoneNumberVerified = false
		}
		if mail != "" {
			p.Email, p.EmailVerified = mail, true
		}
		p.Groups = append(slices.DeleteFunc(p.Groups, func(g string) bool { return slices.Contains(was, g) }), id.Groups...)
	})
	if err != nil {
		return err
	}
	return tx.UseIdentity(id)
}

// brought are the groups that a person has by the word of a provider alone.
func brought(has, was, told []string) []string {
	own := slices.DeleteFunc(slices.Clone(has), func(g string) bool { return slices.Contains(was, g) })
	var list []string
	for _, g := range told {
		if !slices.Contains(own, g) && len(own)+len(list) < 2*maxGroups {
			list = append(list, g)
		}
	}
	return list
}

// Disconnecting is an identity that is to be taken from a person.
type Disconnecting struct {
	User model.UserID
	ID   model.IdentityID
}

// Disconnect takes an identity from a person, with the groups that it has brought. The
// sessions that were begun with it go on. It returns ErrNoIdentity; and
// account.ErrLastMethod if the person themselves would be left without a way to sign in.
func (f *Federation) Disconnect(ctx context.Context, actor model.Actor, d Disconnecting) error {
	err := f.Store.Update(ctx, func(tx *store.Tx) error {
		id, err := tx.Identity(d.ID)
		if err == nil && id.UserID != d.User {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return f.unlink(tx, actor, id)
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoIdentity
	}
	if err == nil {
		f.Accounts.IdentityChanged(ctx, d.User, false, actor.Address)
	}
	return err
}

func (f *Federation) unlink(tx *store.Tx, actor model.Actor, id model.Identity) error {
	if err := tx.DeleteIdentity(id.ID); err != nil {
		return err
	}
	if actor.Kind == model.ActorUser && actor.ID == string(id.UserID) {
		has, err := f.Accounts.HasWay(tx, id.UserID)
		if err == nil && !has {
			err = account.ErrLastMethod
		}
		if err != nil {
			return err
		}
	}
	if err := f.takeGroups(tx, actor, id); err != nil {
		return err
	}
	// What somebody has begun to prove with it leads no further.
	if err := tx.DeleteSignIns(id.UserID); err != nil {
		return err
	}
	if err := f.Accounts.TellIdentity(tx, actor, id.UserID, "delete"); err != nil {
		return err
	}
	return tx.Record(model.Event{
		Actor: actor, Action: "identity.unlink", UserID: id.UserID, Detail: "upstream=" + string(id.UpstreamID) + " identity=" + string(id.ID),
	})
}

// takeGroups takes from a person the groups that an identity has brought.
func (f *Federation) takeGroups(tx *store.Tx, actor model.Actor, id model.Identity) error {
	if len(id.Groups) == 0 {
		return nil
	}
	_, err := f.Accounts.Revise(tx, actor, id.UserID, func(p *model.Profile) {
		p.Groups = slices.DeleteFunc(p.Groups, func(g string) bool { return slices.Contains(id.Groups, g) })
	})
	return err
}

// sealTokens seals the provider's tokens, where they are to be kept.
func (f *Federation) sealTokens(c coming) (string, error) {
	if !c.entry.KeepTokens || c.person.Tokens == nil {
		return "", nil
	}
	text, err := json.Marshal(c.person.Tokens)
	if err != nil {
		return "", err
	}
	if len(text) > maxKept {
		return "", refuse(Untrusted, "the provider's tokens are too large to be kept")
	}
	return f.Keys.Seal(keys.PurposeTokens, placeOf(c.entry.ID, c.person.Issuer, c.person.Subject), text)
}

// placeOf is to what sealed tokens are bound: to who they are of, over there.
func placeOf(id model.UpstreamID, issuer, subject string) string {
	return model.Secret(strings.Join([]string{string(id), issuer, subject}, "\x00")).Hash()
}

// Tokens returns the tokens of a provider that are kept of a person, for whoever may
// have them: that they were looked at is written down. It returns ErrNoIdentity if there
// are none.
func (f *Federation) Tokens(ctx context.Context, actor model.Actor, d Disconnecting) (upstream.Tokens, error) {
	var id model.Identity
	err := f.Store.Update(ctx, func(tx *store.Tx) (err error) {
		id, err = tx.Identity(d.ID)
		if err == nil && (id.UserID != d.User || id.Tokens == "") {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return tx.Record(model.Event{
			Actor: actor, Action: "identity.tokens", UserID: id.UserID, Detail: "upstream=" + string(id.UpstreamID) + " identity=" + string(id.ID),
		})
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoIdentity
	}
	var t upstream.Tokens
	if err != nil {
		return t, err
	}
	text, err := f.Keys.Unseal(keys.PurposeTokens, placeOf(id.UpstreamID, id.Issuer, id.Subject), id.Tokens)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(text, &t)
}

// Assigning is an account elsewhere that an operator says is a person's.
type Assigning struct {
	User            model.UserID
	Upstream        model.UpstreamID
	Issuer, Subject string
}

// Assign connects a person with an account elsewhere because an operator knows that both
// are one: when people are brought over from another system. It returns
// account.ErrNoUser, ErrNoUpstream, ErrInvalid, and a Refusal that is Taken or TooMany.
func (f *Federation) Assign(ctx context.Context, actor model.Actor, n Assigning) (model.Identity, error) {
	if n.Subject == "" || len(n.Subject) > maxSubject {
		return model.Identity{}, wrong("subject", "it must have 1 to %d bytes", maxSubject)
	}
	if n.Issuer == "" || len(n.Issuer) > maxIssuer {
		return model.Identity{}, wrong("issuer", "it must have 1 to %d bytes", maxIssuer)
	}
	var id model.Identity
	err := f.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.User(n.User); errors.Is(err, store.ErrNotFound) {
			return account.ErrNoUser
		} else if err != nil {
			return err
		}
		u, err := tx.Upstream(n.Upstream)
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoUpstream
		}
		if err != nil {
			return err
		}
		c := coming{entry: &entry{Upstream: u}, person: upstream.Person{Issuer: n.Issuer, Subject: n.Subject}}
		id, err = f.link(tx, c, n.User, linking{by: "operator", actor: actor})
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		err = refuse(Taken, "it is connected with an account already")
	}
	if err != nil {
		return model.Identity{}, err
	}
	f.Accounts.IdentityChanged(ctx, n.User, true, actor.Address)
	return id, nil
}

// IdentitiesAt lists those of a provider by their ID, from the one that follows after.
func (f *Federation) IdentitiesAt(ctx context.Context, id model.UpstreamID, after model.IdentityID, limit int) (list []model.Identity, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.IdentitiesAt(id, after, limit)
		return err
	})
	return list, err
}
