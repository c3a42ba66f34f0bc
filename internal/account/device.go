package account

import (
	"context"
	"errors"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// DeviceLife is how long a browser is known to a person after they have signed in
// with it.
const DeviceLife = 400 * 24 * time.Hour // browsers keep a cookie no longer

// maxDevices is how many browsers of a person are known.
const maxDevices = 20

// devicePrefix lets secret scanners find a leaked cookie.
const devicePrefix = "ost_de_"

// deviceOf returns a person's device of this browser, or the zero one.
func (a *Accounts) deviceOf(tx *store.Tx, user model.UserID, cookies map[model.UserID]model.Secret) (model.Device, error) {
	cookie := cookies[user] // nobody's is looked for as well, and not found
	if len(cookie) > maxCookie {
		cookie = ""
	}
	d, err := tx.Device(user, cookie.Hash(), a.unix())
	if errors.Is(err, store.ErrNotFound) {
		return model.Device{}, nil
	}
	return d, err
}

// Devices lists the browsers that are known to be a person's, the one that was seen
// last first.
func (a *Accounts) Devices(ctx context.Context, user model.UserID) (list []model.Device, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.DevicesOf(user, a.unix())
		return err
	})
	return list, err
}

// keepDevice notes that a person has signed in with a browser. It returns the new
// cookie of one that was not known: no value is taken that somebody may have
// planted there.
func (a *Accounts) keepDevice(tx *store.Tx, user model.UserID, cookies map[model.UserID]model.Secret, fresh model.Secret, trust bool) (model.Secret, error) {
	d, err := a.deviceOf(tx, user, cookies)
	if err != nil {
		return "", err
	}
	cookie := model.Secret("")
	now := a.unix()
	if d.Hash == "" {
		cookie = fresh
		d = model.Device{Hash: fresh.Hash(), UserID: user, CreatedAt: now}
	}
	d.SeenAt, d.ExpiresAt = now, now+int64(DeviceLife/time.Second)
	if trust && a.rememberDevice > 0 {
		d.TrustedTo = now + a.rememberDevice
	}
	if err := tx.PutDevice(d); err != nil {
		return "", err
	}
	return cookie, tx.DropDevices(user, maxDevices)
}

// distrust makes every browser ask for a second factor again, and forgets what is
// half proven.
func (a *Accounts) distrust(tx *store.Tx, user model.UserID) error {
	if err := tx.DistrustDevices(user); err != nil {
		return err
	}
	return tx.DeleteSignIns(user)
}

// TrustDays is for how many days a browser can be remembered in place of a second
// factor; 0: it cannot.
func (a *Accounts) TrustDays() int { return int(a.rememberDevice / int64(24*time.Hour/time.Second)) }
