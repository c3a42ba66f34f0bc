package registration

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Prefixes by which scanners find leaked tokens of registration.
const (
	registrationPrefix = "ost_rat_" // registration access tokens, RFC 7592 §1.2
	initialPrefix      = "ost_iat_" // initial access tokens, RFC 7591 §1.2
)

// Call is a request to the endpoints of registration.
type Call struct {
	Token   model.Secret // from the Authorization header; empty: none
	Client  model.ClientID
	Body    []byte
	Address string // of the caller
}

// Information is what a client is told about itself, RFC 7591 §3.2.1.
type Information map[string]any

// hour is the span in which registrations are counted, in seconds.
const hour = 3600

// Register is the client registration endpoint, RFC 7591 §3 and OpenID Connect
// Dynamic Client Registration §3.
//
// Errors: *Error, among them AccessDenied where registration is off, InvalidToken
// and TooManyRequests.
func (r *Registrar) Register(ctx context.Context, call Call) (Information, error) {
	if r.Policy.Mode == ModeOff {
		return nil, fail(AccessDenied, "Clients cannot register themselves here")
	}
	if e := r.checkInitial(ctx, call.Token); e != nil {
		return nil, e
	}
	if e := r.countRegistration(ctx, call.Address); e != nil {
		return nil, e
	}
	s, _, e := r.described(ctx, call.Body)
	if e != nil {
		return nil, e
	}
	access := model.NewSecret(registrationPrefix)
	b := birth{
		by:       model.Actor{Kind: model.ActorNobody, Address: call.Address},
		settings: s, origin: model.OriginRegistered, action: "client.register", secretLife: int64(r.Policy.SecretLife / time.Second),
	}
	b.also = func(tx *store.Tx, c model.Client) (detail string, err error) {
		if call.Token != "" {
			t, err := tx.UseRegistrationToken(call.Token.Hash(), r.unix())
			if errors.Is(err, store.ErrNotFound) {
				return "", errInitial(err)
			}
			if err != nil {
				return "", err
			}
			detail = "token=" + t.ID
		}
		return detail, tx.InsertRegistration(model.Registration{
			ClientID: c.ID, TokenHash: access.Hash(), Address: call.Address, UsedAt: c.CreatedAt,
		})
	}
	born, err := r.createClient(ctx, b)
	if err != nil {
		return nil, refusal(err)
	}
	r.wantLogo(born.Client)
	return r.information(born, access), nil
}

// described reads what a body says about a client and holds it to the policy.
func (r *Registrar) described(ctx context.Context, body []byte) (model.ClientSettings, metadata, error) {
	var s model.ClientSettings
	all, e := readMetadata(string(body))
	if e != nil {
		return s, nil, e
	}
	if e := all.fill(&s); e != nil {
		return s, nil, e
	}
	if e := r.applyStatement(ctx, all, &s); e != nil {
		return s, nil, e
	}
	s, err := r.admit(s)
	if err != nil {
		return s, nil, refusal(err)
	}
	return s, all, nil
}

func (r *Registrar) information(b born, access model.Secret) Information {
	info := Information(describe(b.ClientSettings))
	info["client_id"] = b.ID
	info["client_id_issued_at"] = b.CreatedAt
	if b.secret != "" {
		info["client_secret"] = b.secret.Reveal()
		info["client_secret_expires_at"] = b.secretExpiresAt
	}
	// RFC 7592 §3
	info["registration_client_uri"] = r.Issuer + Path + "/" + string(b.ID)
	info["registration_access_token"] = access.Reveal()
	return info
}

// countRegistration bounds how often one address may try to register, or to
// change what is registered, in an hour, on all nodes together. Attempts count,
// not successes: those that fail cost the server almost as much.
func (r *Registrar) countRegistration(ctx context.Context, address string) error {
	now, name := r.unix(), "registration "+model.Neighbourhood(address)
	var tries, until int64
	err := r.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		if tries, err = tx.Tally(name, now, now+hour); err == nil && tries > int64(r.Policy.PerHour) {
			_, until, err = tx.Tallied(name, now)
		}
		return err
	})
	if err != nil {
		return err
	}
	if tries > int64(r.Policy.PerHour) {
		e := fail(TooManyRequests, "Too many registrations came from this address: try again later")
		e.RetryAfter = until - now
		return e
	}
	return nil
}

// errRegistration is the one answer to every registration access token that does
// not belong to the client, whether or not there is such a client (RFC 7592
// §2.1).
func errRegistration(cause error) *Error {
	return &Error{Code: InvalidToken, Description: "The registration access token is not one of this client", cause: cause}
}

// registered finds the client of a call to its configuration endpoint.
func (r *Registrar) registered(ctx context.Context, call Call) (model.Client, error) {
	var c model.Client
	var kept model.Registration
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Client(call.Client); err == nil {
			kept, err = tx.Registration(call.Client)
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return c, err
	}
	// An unknown client and one without a token cost the same comparison.
	hash := kept.TokenHash
	if hash == "" {
		hash = strings.Repeat("-", len(call.Token.Hash()))
	}
	known := call.Token.Matches(hash)
	switch {
	case err != nil || kept.TokenHash == "" || call.Token == "" || !known:
		return c, errRegistration(err)
	case c.Disabled:
		return c, fail(AccessDenied, "An operator has shut this client out") // RFC 7592 §2.1: 403
	}
	return c, nil
}

// Registered is the client's reading of its own registration, RFC 7592 §2.1. The
// secret is not told again: the server does not know it.
//
// Errors: *Error.
func (r *Registrar) Registered(ctx context.Context, call Call) (Information, error) {
	c, e := r.registered(ctx, call)
	if e != nil {
		return nil, e
	}
	return r.information(born{Client: c}, call.Token), nil
}

// unalterable are the members that a client is told and must not send back, RFC
// 7592 §2.2.
var unalterable = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// Reregister replaces all that a client has said about itself, RFC 7592 §2.2. The
// registration access token is replaced, too.
//
// Errors: *Error.
func (r *Registrar) Reregister(ctx context.Context, call Call) (Information, error) {
	c, e := r.registered(ctx, call)
	if e != nil {
		return nil, e
	}
	if e := r.countRegistration(ctx, call.Address); e != nil {
		return nil, e
	}
	s, all, e := r.described(ctx, call.Body)
	if e == nil {
		e = r.checkReplacement(ctx, c.ID, all)
	}
	if e != nil {
		return nil, e
	}
	s, err := r.settle(ctx, c.ClientSettings, renewed(c.ClientSettings, s))
	if err != nil {
		return nil, refusal(err)
	}
	// A secret that it may need is made before the transaction, which may run twice.
	row, secret, err := r.newSecret(model.Client{ID: c.ID, ClientSettings: s})
	if err != nil {
		return nil, err
	}
	row.ExpiresAt = r.secretEnd(int64(r.Policy.SecretLife / time.Second))
	access, out := model.NewSecret(registrationPrefix), born{}
	by := model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: call.Address}
	_, err = r.replaceClient(ctx, by, c.ID, s, func(tx *store.Tx, now model.Client) error {
		err := tx.RotateRegistration(c.ID, call.Token.Hash(), access.Hash())
		if errors.Is(err, store.ErrNotFound) {
			return errRegistration(err)
		}
		if err != nil {
			return err
		}
		out = born{Client: now}
		given, err := r.fitSecrets(tx, now, row)
		if given {
			out.secret, out.secretExpiresAt = secret, row.ExpiresAt
		}
		return err
	})
	if err != nil {
		return nil, refusal(err)
	}
	r.wantLogo(out.Client)
	return r.information(out, access), nil
}

// checkReplacement holds an update to RFC 7592 §2.2.
func (r *Registrar) checkReplacement(ctx context.Context, id model.ClientID, all metadata) error {
	if all.text("client_id") != string(id) {
		return fail(InvalidClientMetadata, "The member client_id must be there and name this client")
	}
	for _, name := range unalterable {
		if _, sent := all[name]; sent {
			return fail(InvalidClientMetadata, "The member %s must not be sent", name)
		}
	}
	if _, sent := all["client_secret"]; !sent {
		return nil
	}
	c, err := r.Client(ctx, id)
	if err != nil {
		return err
	}
	// "the client_secret MUST match the currently issued client secret": a client
	// cannot choose its own.
	if err := c.CheckSecret(model.Secret(all.text("client_secret")), r.unix()); err != nil {
		return fail(InvalidClientMetadata, "The member client_secret must be the one that was issued")
	}
	return nil
}

// fitSecrets gives a client that needs a secret and has no live one of its kind
// the one in row, and says so; it takes those of a client that needs none.
func (r *Registrar) fitSecrets(tx *store.Tx, c model.Client, row model.ClientSecret) (given bool, err error) {
	old, err := tx.ClientSecrets(c.ID)
	if err != nil {
		return false, err
	}
	need := usesSecret(c.AuthMethod)
	good := slices.ContainsFunc(old, func(s model.ClientSecret) bool {
		return clientSecret{ClientSecret: s}.live(r.unix()) && (s.Sealed != "") == (row.Sealed != "")
	})
	if need && good {
		return false, nil
	}
	for _, s := range old {
		if err := tx.DeleteClientSecret(s.ID); err != nil {
			return false, err
		}
	}
	if !need {
		return false, nil
	}
	return true, tx.InsertClientSecret(row)
}

// secretEnd is when a secret of that life, in seconds, expires; 0: never.
func (r *Registrar) secretEnd(life int64) int64 {
	if life == 0 {
		return 0
	}
	return r.unix() + life
}

// Deregister removes a client at its own wish, RFC 7592 §2.3.
//
// Errors: *Error.
func (r *Registrar) Deregister(ctx context.Context, call Call) error {
	c, e := r.registered(ctx, call)
	if e != nil {
		return e
	}
	by := model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: call.Address}
	err := r.endClient(ctx, by, c.ID, departure{cause: model.CauseRevoked, action: "client.delete"})
	if errors.Is(err, store.ErrNotFound) {
		return errRegistration(err)
	}
	return err
}

// replaceClient is UpdateClient for clients that no operator registered. The settings
// are settled; those that an operator decides are taken from what is stored by then.
func (r *Registrar) replaceClient(ctx context.Context, by model.Actor, id model.ClientID, s model.ClientSettings, also func(*store.Tx, model.Client) error) (model.Client, error) {
	return r.changeClient(ctx, by, id, "client.update", func(tx *store.Tx, c *model.Client) error {
		was := *c
		c.ClientSettings = renewed(was.ClientSettings, s)
		if err := r.askAgain(tx, was, *c); err != nil {
			return err
		}
		return also(tx, *c)
	})
}

// askAgain takes back what was given to a client that no operator registered, where it
// is not any more what it was given to: the people who let it in agreed to that.
func (r *Registrar) askAgain(tx *store.Tx, was, c model.Client) error {
	if another(was.ClientSettings, c.ClientSettings) {
		if err := tx.DeleteConsentsTo(c.ID); err != nil {
			return err
		}
	}
	if c.AuthMethod == was.AuthMethod {
		return nil
	}
	// What was given to a client that could prove itself is not for one that need not.
	return tx.EndClient(c.ID, store.NewEnding(model.CausePolicy, r.unix()))
}

// usedEvery is how often, at most, the use of a client is noted, in seconds.
const usedEvery = 24 * hour

// NoteUse keeps a client that no operator registered from being swept away. It
// comes after what the client wanted is done, and takes nothing from it when it
// fails.
func (r *Registrar) NoteUse(ctx context.Context, id model.ClientID) {
	c, err := r.clients.find(ctx, id)
	if err == nil && (c.Origin == model.OriginOperator || r.unix()-c.registration.UsedAt < usedEvery) {
		return
	}
	if err == nil {
		err = r.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.UseRegistration(id, r.unix()) })
		r.clients.forget(id)
	}
	if err != nil {
		r.Logger.ErrorContext(ctx, "the use of a client was not noted", "client", id, "error", err)
	}
}

// sweepPage is how many unused clients are listed at a time.
const sweepPage = 100

// SweepClients removes clients that no operator registered and that nobody uses,
// and returns how many.
func (r *Registrar) SweepClients(ctx context.Context) (int, error) {
	before := r.unix() - int64(r.Policy.Unused/time.Second)
	for all := 0; ; {
		n, err := r.sweepSome(ctx, before)
		if all += n; err != nil || n < sweepPage {
			return all, err
		}
	}
}

func (r *Registrar) sweepSome(ctx context.Context, before int64) (int, error) {
	var ids []model.ClientID
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		ids, err = tx.UnusedClients(before, sweepPage)
		return err
	})
	for i, id := range ids {
		unused := func(tx *store.Tx) (bool, error) {
			kept, err := tx.Registration(id)
			return err == nil && kept.UsedAt <= before, err
		}
		err := r.endClient(ctx, model.Actor{Kind: model.ActorSystem}, id, departure{model.CausePolicy, "client.expire", unused})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return i, err
		}
	}
	return len(ids), err
}

// sameSettings compares what is known of a client with what it says now.
func sameSettings(a, b model.ClientSettings) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
