package federation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// maxIdentities is how many accounts elsewhere one person can connect.
const maxIdentities = 20

// Result is what came of somebody's coming back from a provider.
type Result int

const (
	// SignedIn: the factor is noted under the holder, and the dispatcher goes on.
	SignedIn Result = iota + 1
	// Known: there is an account with their address. They sign in to it by other means,
	// under the same holder, and then Settle connects both.
	Known
	// Newcomer: there is no account. They see what would be made, and Join makes it.
	Newcomer
	// Connected: the account elsewhere is connected with theirs.
	Connected
)

// Outcome is that, and where it began.
type Outcome struct {
	Result     Result
	Holder     string
	Connecting bool // it began at the account page
	Upstream   Choice
	Linked     bool // it was just connected with an account that was there
}

// coming is somebody of whom a provider has told, and what is made of that outside of
// transactions.
type coming struct {
	entry    *entry
	person   upstream.Person
	told     told
	holder   string
	address  string
	remember bool
	user     model.UserID    // who connects; empty: nobody
	session  model.SessionID // in which they do
	stay     model.Stay      // zero: none is known
	tokens   string          // sealed; empty: none are kept
	stranger model.Stranger  // in case they are one
}

// waiting is what is kept of a stranger.
type waiting struct {
	Person   upstream.Person `json:"person"`
	Remember bool            `json:"remember,omitempty"`
}

// prepare seals what is to be kept of somebody.
func (f *Federation) prepare(c coming) (coming, error) {
	c.told = read(c.entry.UpstreamSettings, c.person.Claims)
	var err error
	if c.stay, err = f.stayOf(c); err != nil {
		return c, err
	}
	if c.tokens, err = f.sealTokens(c); err != nil {
		return c, err
	}
	text, err := json.Marshal(waiting{c.person, c.remember})
	if err != nil {
		return c, err
	}
	sealed, err := f.Keys.Seal(keys.PurposeStranger, c.holder, text)
	c.stranger = model.Stranger{Holder: c.holder, UpstreamID: c.entry.ID, Content: sealed, ExpiresAt: f.unix() + visitLife}
	return c, err
}

// stayOf makes a row of the session over there, if there is one to end or to hear of.
func (f *Federation) stayOf(c coming) (model.Stay, error) {
	s := c.person.Stay
	if s.Session == "" && s.Hint == "" && s.Subject == "" {
		return model.Stay{}, nil
	}
	if len(s.Subject) > maxSubject || len(s.Session) > maxSubject || len(s.Issuer) > maxIssuer || len(s.Hint) > maxKept {
		return model.Stay{}, refuse(Untrusted, "the session over there has a name that is too long")
	}
	row := model.Stay{
		ID: model.NewID(), UpstreamID: c.entry.ID, Holder: c.holder, Issuer: s.Issuer, Subject: s.Subject, Session: s.Session,
		ExpiresAt: f.unix() + visitLife,
	}
	var err error
	if s.Hint != "" {
		row.Hint, err = f.Keys.Seal(keys.PurposeStay, row.ID, []byte(s.Hint))
	}
	return row, err
}

// settle says what comes of somebody who has come back.
func (f *Federation) settle(ctx context.Context, c coming, out Outcome) (Outcome, error) {
	c, err := f.prepare(c)
	if err == nil {
		step := f.signIn
		if c.session != "" {
			step = f.connect
		}
		var to model.Identity
		err = f.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
			if err := f.once(tx, c); err != nil {
				return err
			}
			out.Result, to, err = step(tx, c)
			return err
		})
		if out.Linked = err == nil && to.ID != ""; out.Linked {
			f.Accounts.IdentityChanged(ctx, to.UserID, true, c.address)
		}
	}
	err = named(err)
	var no *Refusal
	if errors.As(err, &no) {
		out.Result = 0
		err = f.refused(ctx, c.entry.ID, c.address, no)
	}
	return out, err
}

// once takes the message that tells of somebody, where it is one that could be brought
// again: to another visit, by whoever has read it.
func (f *Federation) once(tx *store.Tx, c coming) error {
	m := c.person.Message
	if m.ID == "" {
		return nil
	}
	err := tx.TakeMessage(c.entry.ID, model.Secret(m.ID).Hash(), m.ExpiresAt)
	if errors.Is(err, store.ErrConflict) {
		return refuse(Untrusted, "the message was taken before")
	}
	return err
}

// named gives errors of other packages the names that they have here.
func named(err error) error {
	switch {
	case errors.Is(err, account.ErrLocked):
		return &Refusal{Code: Locked, Reason: "the account is locked", cause: err}
	case errors.Is(err, account.ErrCredentials), errors.Is(err, store.ErrConflict):
		return &Refusal{Code: Stale, Reason: "something has changed meanwhile", cause: err}
	}
	return err
}

// signIn finds out who somebody is here. It returns the identity that was just made, if
// one was.
func (f *Federation) signIn(tx *store.Tx, c coming) (Result, model.Identity, error) {
	var none model.Identity
	id, err := tx.IdentityAt(c.entry.ID, c.person.Issuer, c.person.Subject)
	if err == nil {
		return SignedIn, none, f.enter(tx, c, id)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return 0, none, err
	}
	owner, err := f.owner(tx, c)
	switch {
	case err != nil:
		return 0, none, err
	case owner.ID != "" && owner.link:
		id, err := f.link(tx, c, owner.ID, linking{by: "mail", actor: model.Actor{Kind: model.ActorUpstream, ID: string(c.entry.ID), Address: c.address}})
		if err == nil {
			err = f.enter(tx, c, id)
		}
		return SignedIn, id, err
	case owner.ID != "":
		c.stranger.UserID = owner.ID
		return Known, none, tx.PutStranger(c.stranger)
	case c.entry.SignUp && !owner.nobody:
		return Newcomer, none, tx.PutStranger(c.stranger)
	}
	return 0, none, refuse(NoAccount, "nobody here is known by it, and no account is made")
}

// owner is who has the address here that a provider has told of.
type owner struct {
	model.User      // zero: nobody, or one cannot say
	link       bool // the address is enough to connect them
	nobody     bool // there is no account at all yet: the first is the administrator's
}

// owner finds them. An address counts if both sides have made sure of it: whoever typed
// somebody else's address here, or there, gets nothing by it.
func (f *Federation) owner(tx *store.Tx, c coming) (o owner, err error) {
	anybody, err := tx.Users("", 1)
	if err != nil || len(anybody) == 0 {
		return owner{nobody: true}, err
	}
	if c.told.mail == "" {
		return o, nil
	}
	list, err := tx.UsersByEmail(c.told.mail)
	if err != nil {
		return o, err
	}
	list = slices.DeleteFunc(list, func(u model.User) bool { return !u.Profile.EmailVerified })
	switch len(list) {
	case 0:
		return o, nil
	case 1:
		o.User = list[0]
	default:
		return o, refuse(NoAccount, "several accounts have the address")
	}
	// Whoever rules here is not made known by a letter box; and an address that has come
	// to somebody else over there does not bring the account of who had it before.
	o.link = c.entry.LinkByMail && !o.Admin
	if o.link {
		has, err := tx.IdentitiesOf(o.ID)
		if err != nil {
			return o, err
		}
		o.link = !slices.ContainsFunc(has, func(i model.Identity) bool { return i.UpstreamID == c.entry.ID })
	}
	return o, nil
}

// linking is who connects an identity, and by what right.
type linking struct {
	by    string // "mail", "proof", "sign_up"
	actor model.Actor
}

// link connects somebody over there with a person. It fails with store.ErrConflict if
// they are connected with anybody already.
func (f *Federation) link(tx *store.Tx, c coming, user model.UserID, l linking) (model.Identity, error) {
	has, err := tx.IdentitiesOf(user)
	if err != nil {
		return model.Identity{}, err
	}
	if len(has) >= maxIdentities {
		return model.Identity{}, refuse(TooMany, "the person has as many as they can have")
	}
	id := model.Identity{
		ID: model.IdentityID(model.NewID()), UpstreamID: c.entry.ID, Issuer: c.person.Issuer, Subject: c.person.Subject,
		UserID: user, Name: c.told.name, CreatedAt: f.unix(), Tokens: c.tokens,
	}
	if err := tx.InsertIdentity(id); err != nil {
		return id, err
	}
	if l.by != "sign_up" { // of an account that was there, somebody may know
		if err := f.Accounts.TellIdentity(tx, l.actor, user, "create"); err != nil {
			return id, err
		}
	}
	return id, tx.Record(model.Event{
		Actor: l.actor, Action: "identity.link", UserID: user,
		Detail: "upstream=" + string(id.UpstreamID) + " identity=" + string(id.ID) + " by=" + l.by,
	})
}

// enter notes that somebody who is known has proven who they are.
func (f *Federation) enter(tx *store.Tx, c coming, id model.Identity) error {
	if err := f.refresh(tx, c, id); err != nil { // first: with another address, what was proven is void
		return err
	}
	factor := c.factor(f.unix())
	if err := f.Accounts.Note(tx, c.holder, account.Proven{User: id.UserID, Factor: factor, Remember: c.remember}); err != nil {
		return err
	}
	if factor.Stay != "" {
		if err := tx.InsertStay(c.stay); err != nil {
			return err
		}
	}
	return tx.DropStranger(c.holder)
}

// factor is what a sign-in over there counts as. It is as old as the provider says: who
// was signed in there has not proven anew who they are.
func (c coming) factor(now int64) model.Factor {
	p, s := c.person, c.entry.UpstreamSettings
	factor := model.Factor{Method: model.MethodUpstream, At: now, Upstream: c.entry.ID, Stay: c.stay.ID}
	if p.Stay.ExpiresAt > now {
		factor.Until = p.Stay.ExpiresAt
	}
	if p.AuthTime > 0 && p.AuthTime < now {
		factor.At = p.AuthTime
	}
	trusts := func(v string) bool { return slices.Contains(s.TrustACR, v) }
	if factor.Verified = p.ACR != "" && trusts(p.ACR) || slices.ContainsFunc(p.AMR, trusts); factor.Verified {
		for _, v := range p.AMR[:min(len(p.AMR), maxAMR)] {
			if methodWord().MatchString(v) {
				factor.AMR = append(factor.AMR, v)
			}
		}
	}
	return factor
}

// connect connects somebody over there with who is signed in here.
func (f *Federation) connect(tx *store.Tx, c coming) (Result, model.Identity, error) {
	var none model.Identity
	if err := tx.SessionLives(c.session, f.unix()); errors.Is(err, store.ErrNotFound) {
		return 0, none, refuse(Stale, "the session in which it began is over")
	} else if err != nil {
		return 0, none, err
	}
	id, err := tx.IdentityAt(c.entry.ID, c.person.Issuer, c.person.Subject)
	switch {
	case err == nil && id.UserID == c.user:
		return Connected, none, f.refresh(tx, c, id)
	case err == nil:
		return 0, none, refuse(Taken, "it is connected with another account")
	case !errors.Is(err, store.ErrNotFound):
		return 0, none, err
	}
	if id, err = f.link(tx, c, c.user, linking{by: "proof", actor: account.Themselves(c.user, c.address)}); err != nil {
		return 0, none, err
	}
	return Connected, id, f.refresh(tx, c, id)
}
