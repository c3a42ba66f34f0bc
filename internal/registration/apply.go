package registration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Change is what has to be done about one client so that it is as it shall be.
type Change struct {
	ID     model.ClientID
	Before *model.Client // nil: there is none, it is created
	After  *model.Client // nil: there shall be none, it is deleted
}

// ErrChanged says that a client was changed by somebody else after it was compared, for
// a plan, or read, for a change of it.
var ErrChanged = errors.New("somebody else has changed the clients meanwhile")

// Plan compares the clients that shall be with those that are, and returns the
// differences, by client id. A client that is not among those that shall be
// stays; if prune is set, only those that registered themselves do.
//
// Errors: *WrongClientError, for the first that cannot be registered.
func (r *Registrar) Plan(ctx context.Context, wanted []model.Client, prune bool) ([]Change, error) {
	are, err := r.allClients(ctx)
	if err != nil {
		return nil, err
	}
	var plan []Change
	seen := map[model.ClientID]bool{}
	for _, w := range wanted {
		is, known := are[w.ID]
		var err error
		switch {
		case !clientIDSyntax(string(w.ID)):
			err = invalid("client_id", clientIDReason)
		case seen[w.ID]:
			err = invalid("client_id", "it comes twice")
		default:
			if w.ClientSettings, err = r.settle(ctx, is.ClientSettings, w.ClientSettings); err == nil {
				err = keepSector(is.ClientSettings, w.ClientSettings)
			}
		}
		if err != nil {
			return nil, &WrongClientError{w.ID, err}
		}
		seen[w.ID] = true
		switch {
		case !known:
			plan = append(plan, Change{ID: w.ID, After: &w})
		case is.Disabled != w.Disabled || !sameSettings(is.ClientSettings, w.ClientSettings):
			w.CreatedAt, w.Origin = is.CreatedAt, is.Origin
			plan = append(plan, Change{ID: w.ID, Before: &is, After: &w})
		}
	}
	for id, is := range are {
		if prune && !seen[id] && is.Origin == model.OriginOperator {
			plan = append(plan, Change{ID: id, Before: &is})
		}
	}
	slices.SortFunc(plan, func(x, y Change) int { return cmp.Compare(x.ID, y.ID) })
	return plan, nil
}

// WrongClientError says which of several clients is wrong, and wraps why.
type WrongClientError struct {
	ID  model.ClientID
	err error
}

func (e *WrongClientError) Error() string { return fmt.Sprintf("client %q: %v", e.ID, e.err) }
func (e *WrongClientError) Unwrap() error { return e.err }

// Apply carries out a plan in one transaction, all of it or nothing, together with
// what else is given, and returns the secrets of the clients that now need one, once.
//
// Errors: ErrChanged.
func (r *Registrar) Apply(ctx context.Context, by model.Actor, plan []Change, also ...func(*store.Tx) error) (map[model.ClientID]model.Secret, error) {
	secrets, rows := map[model.ClientID]model.Secret{}, map[model.ClientID]model.ClientSecret{}
	told := map[model.ClientID]model.Secret{} // of those, which are its clients' now
	for _, c := range plan {
		if c.needsSecret() {
			row, secret, err := r.newSecret(*c.After)
			if err != nil {
				return nil, err
			}
			secrets[c.ID], rows[c.ID] = secret, row
		}
	}
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
		clear(told)
		for _, c := range plan {
			given, err := r.carryOut(tx, by, c, rows[c.ID])
			if err != nil {
				return err
			}
			if given {
				told[c.ID] = secrets[c.ID]
			}
		}
		for _, do := range also {
			if err := do(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range plan {
		r.clients.forget(c.ID)
	}
	if err != nil {
		return nil, err
	}
	return told, nil
}

// needsSecret reports whether a client comes to a secret of a kind that it did not
// have.
func (c Change) needsSecret() bool {
	if c.After == nil || !usesSecret(c.After.AuthMethod) {
		return false
	}
	signs := func(c *model.Client) bool { return c.AuthMethod == model.AuthSecretJWT }
	return c.Before == nil || !usesSecret(c.Before.AuthMethod) || signs(c.Before) != signs(c.After)
}

// carryOut makes one change, and reports whether the client has the secret now: one
// that has come back to a method for which it has a live one needs no other.
func (r *Registrar) carryOut(tx *store.Tx, by model.Actor, c Change, secret model.ClientSecret) (given bool, err error) {
	now := r.unix()
	if c.Before == nil {
		created := *c.After
		created.CreatedAt, created.UpdatedAt = now, now
		err := r.bear(tx, birth{by: by, action: "client.create"}, created, secret)
		if errors.Is(err, store.ErrConflict) {
			err = ErrChanged
		}
		return secret.ID != "", err
	}
	is, err := tx.Client(c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !reflect.DeepEqual(is, *c.Before) {
		return false, ErrChanged
	}
	if err != nil {
		return false, err
	}
	if c.After == nil {
		return false, r.bury(tx, by, c.ID, departure{cause: model.CauseAdmin, action: "client.delete"})
	}
	if secret.ID != "" {
		if given, err = r.fitSecrets(tx, *c.After, secret); err != nil {
			return false, err
		}
	}
	updated := *c.After
	updated.UpdatedAt = now
	return given, r.writeClient(tx, is, updated, model.Event{Actor: by, Action: "client.update", ClientID: c.ID})
}

func (r *Registrar) allClients(ctx context.Context) (map[model.ClientID]model.Client, error) {
	all := map[model.ClientID]model.Client{}
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		clear(all)
		for after := model.ClientID(""); ; {
			list, err := tx.Clients(after, 0)
			for _, c := range list {
				all[c.ID], after = c, c.ID
			}
			if err != nil || len(list) == 0 {
				return err
			}
		}
	})
	return all, err
}
