package account

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Mark stands for a profile as it is: whoever changes it brings the mark of the one
// that they saw. The time of the last change would not do, since two changes can be
// of one second.
func Mark(p model.Profile) string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // no profile has a value that JSON cannot write
	}
	return model.Secret(text).Hash()
}

// Edit is what a person changes of their own profile.
type Edit struct {
	From    string // Mark of the profile that they changed
	Profile model.Profile
}

// Edit changes what a person may say of themselves: all but their e-mail address,
// which has to be proven, what is verified, and their groups. A phone number that
// has changed is not verified any more.
//
// It returns ErrInvalid, ErrStale, which changes nothing, and ErrNoUser.
func (a *Accounts) Edit(ctx context.Context, actor model.Actor, id model.UserID, e Edit) (model.User, error) {
	if err := checkProfile(e.Profile); err != nil {
		return model.User{}, err
	}
	var user model.User
	err := a.update(ctx, func(tx *store.Tx) (err error) {
		if user, err = tx.User(id); err != nil {
			return err
		}
		before := user.Profile
		if Mark(before) != e.From {
			return ErrStale
		}
		if err := checkEdit(before, e.Profile); err != nil {
			return err
		}
		user.Profile = e.Profile
		user.Profile.Email, user.Profile.EmailVerified, user.Profile.Groups = before.Email, before.EmailVerified, before.Groups
		user.Profile.PhoneNumberVerified = before.PhoneNumberVerified && before.PhoneNumber == e.Profile.PhoneNumber
		user.UpdatedAt = a.unix()
		if err := tx.UpdateUser(user); err != nil {
			return err
		}
		if err := tellProfile(tx, actor, before, user); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.update", UserID: id, Detail: "profile"})
	})
	if err != nil {
		return model.User{}, err
	}
	return outward(user), nil
}

// checkEdit holds what is new in a profile to what a person themselves may write: a
// name that shows as it is, and a zone that there is.
func checkEdit(before, after model.Profile) error {
	for _, c := range []struct{ claim, before, after string }{
		{"name", before.Name, after.Name},
		{"given_name", before.GivenName, after.GivenName},
		{"family_name", before.FamilyName, after.FamilyName},
		{"middle_name", before.MiddleName, after.MiddleName},
		{"nickname", before.Nickname, after.Nickname},
		{"preferred_username", before.PreferredUsername, after.PreferredUsername},
	} {
		if reason := nameReason(c.after); c.before != c.after && reason != "" {
			return ErrInvalid{c.claim, reason}
		}
	}
	if after.Zoneinfo != "" && after.Zoneinfo != before.Zoneinfo {
		if _, err := time.LoadLocation(after.Zoneinfo); err != nil {
			return ErrInvalid{"zoneinfo", NotZone}
		}
	}
	return nil
}
