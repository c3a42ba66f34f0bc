package account

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// about is an event about a person, at this moment.
func (a *Accounts) about(kind string, id model.UserID, d model.SignalDetail) model.Signal {
	return model.Signal{Type: kind, UserID: id, Detail: d, At: a.unix()}
}

// tellPassword tells those who know a person that they have a new password. user is
// the person before.
func (a *Accounts) tellPassword(tx *store.Tx, actor model.Actor, user model.User) error {
	change := "update"
	if user.PasswordHash == "" {
		change = "create"
	}
	return tx.Tell(a.about(model.EventCredentialChange, user.ID, model.SignalDetail{ChangeType: change, Initiator: initiator(actor, user.ID)}))
}

// tellFactor tells those who know a person that what they prove themselves with,
// beside a password, has changed.
func (a *Accounts) tellFactor(tx *store.Tx, actor model.Actor, id model.UserID, change string) error {
	return tx.Tell(a.about(model.EventCredentialChange, id, model.SignalDetail{CredentialType: model.CredentialApp, ChangeType: change, Initiator: initiator(actor, id)}))
}

// tellProfile tells of what has changed about a person those who were told it
// before, OpenID Shared Signals Framework §10.2: the groups of a token, and a
// verified address by which somebody may know them (RISC 1.0 §2.5).
func tellProfile(tx *store.Tx, actor model.Actor, before model.Profile, user model.User) error {
	g := model.Signal{UserID: user.ID, At: user.UpdatedAt}
	if !slices.Equal(before.Groups, user.Profile.Groups) {
		g.Type, g.Detail = model.EventTokenClaimsChange, model.SignalDetail{Initiator: initiator(actor, user.ID)}
		if err := tx.TellGranted(g, "groups"); err != nil {
			return err
		}
	}
	if before.EmailVerified && !strings.EqualFold(before.Email, user.Profile.Email) {
		g.Type, g.Detail = model.EventIdentifierChanged, model.SignalDetail{Email: before.Email}
		if user.Profile.EmailVerified {
			g.Detail.NewValue = user.Profile.Email
		}
		return tx.TellGranted(g, "email")
	}
	return nil
}

// initiator says who brought something about, in the words of CAEP 1.0 §2.
func initiator(actor model.Actor, user model.UserID) string {
	switch {
	case actor.Kind == model.ActorUser && actor.ID == string(user):
		return "user"
	case actor.Kind == model.ActorUser, actor.Kind == model.ActorShell:
		return "admin"
	}
	return "system"
}
