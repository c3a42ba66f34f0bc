package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// ModeDevice is how the answer to the request of a device goes back: the browser stays
// here and is told what has become of it; the device asks by itself.
const ModeDevice = "device"

// deviceCodePrefix makes a leaked device code recognisable to scanners.
const deviceCodePrefix = "ost_dc_"

const (
	deviceCodeLife = 10 * 60 // seconds, in which the person finds the page and agrees
	devicePause    = 5       // seconds between two questions of a device, RFC 8628 §3.2
	devicePauseMax = 60
	// What is agreed to in the last second can still be fetched.
	deviceFetch = 2 * 60 // seconds
)

// userCodeLetters cannot be taken for one another and make no words, RFC 8628 §6.1.
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// userCodeLength: 20^8 codes, of which one in 250,000 waits at most, in ten minutes
// and with userCodeTries for each network (RFC 8628 §5.1).
const userCodeLength = 8

// userCodeTries bounds how often codes that do not exist come from one address within
// userCodeWindow seconds.
const (
	userCodeTries  = 20
	userCodeWindow = 10 * 60
)

// maxDenied bounds how many refusals from one address are written into the audit log
// within deniedWindow seconds.
const (
	maxDenied    = 20
	deniedWindow = 60 * 60
)

// DeviceAnswer is a successful answer of the device authorization endpoint, RFC 8628
// §3.2.
type DeviceAnswer struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds
}

// deviceChecks is the device authorization endpoint: what a request must satisfy
// there, in this order. Those about a way back through a browser are missing.
var deviceChecks = []check{
	{"each parameter once", checkParams}, // RFC 8628 §3.1
	{"scope", checkScope},                // RFC 6749 §3.3
	{"resource", checkResources},         // RFC 8707 §2.1
	{"max_age", checkMaxAge},             // of OpenID Connect Core §3.1.2.1
	{"acr_values", checkACRValues},       // likewise
}

// AuthorizeDevice is the device authorization endpoint, RFC 8628 §3.1: it keeps what a
// device asks for, and gives it a code to hold and one to show.
//
// Errors: *Error.
func (a *Authority) AuthorizeDevice(ctx context.Context, call Call) (DeviceAnswer, error) {
	ctx, span := trace.Start(ctx, "oauth.AuthorizeDevice")
	defer span.End()
	p, fault := parse(call.Form)
	c, e := a.authenticate(ctx, call, PathDeviceAuthorization, p)
	if e != nil {
		return DeviceAnswer{}, e
	}
	if !slices.Contains(c.GrantTypes, model.GrantDeviceCode) {
		return DeviceAnswer{}, fail(UnauthorizedClient, "The client is not registered for the %s grant", model.GrantDeviceCode)
	}
	d := &draft{Authority: a, ctx: ctx, form: call.Form, params: p, fault: fault, client: c}
	for _, row := range deviceChecks {
		if e := row.run(d); e != nil {
			return DeviceAnswer{}, e
		}
	}
	if err := a.room(ctx, call.Address); err != nil {
		return DeviceAnswer{}, err
	}
	now, secret, shown := a.unix(), model.NewSecret(deviceCodePrefix), newUserCode()
	row := model.DeviceCode{
		Hash: secret.Hash(), UserHash: a.userHash(shown), ClientID: c.ID, Asked: d.asked,
		Pause: devicePause, CreatedAt: now, ExpiresAt: now + deviceCodeLife,
	}
	// One bounded row that expires: all that a stranger can leave behind.
	if err := a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.InsertDeviceCode(row) }); err != nil {
		return DeviceAnswer{}, inner(err)
	}
	shown = shown[:userCodeLength/2] + "-" + shown[userCodeLength/2:]
	return DeviceAnswer{
		DeviceCode: secret.Reveal(), UserCode: shown, ExpiresIn: deviceCodeLife, Interval: devicePause,
		VerificationURI: a.Endpoint(PathDevice), VerificationURIComplete: a.Endpoint(PathDevice) + "?user_code=" + shown,
	}, nil
}

// newUserCode makes a code of userCodeLetters, each as likely as every other.
func newUserCode() string {
	out, b := make([]byte, 0, userCodeLength), make([]byte, 1)
	for len(out) < userCodeLength {
		rand.Read(b) // never fails
		if int(b[0]) < 256/len(userCodeLetters)*len(userCodeLetters) {
			out = append(out, userCodeLetters[int(b[0])%len(userCodeLetters)])
		}
	}
	return string(out)
}

// userCode is what somebody typed, without what does not count: case, and what is none
// of the letters (RFC 8628 §6.1). It is empty if it cannot be one.
func userCode(typed string) string {
	if len(typed) > limits["user_code"] {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if strings.ContainsRune(userCodeLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))
	if len(code) != userCodeLength {
		return ""
	}
	return code
}

// userHash is how a user code is stored: it is short, and a hash alone could be
// undone.
func (a *Authority) userHash(code string) string {
	mac := hmac.New(sha256.New, a.deviceKey)
	mac.Write([]byte(code))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ErrUserCode says that no device that waits shows such a code.
var ErrUserCode = errors.New("no device that waits shows this code")

// BeginDevice makes the request of the device that shows what somebody has typed, at
// an address. It then goes the way of every other, and always asks: RFC 8628 §5.4.
// Nothing is stored but a count of wrong codes.
//
// Errors: ErrUserCode; *Error, shown.
func (a *Authority) BeginDevice(ctx context.Context, typed, address string) (Authorization, error) {
	ctx, span := trace.Start(ctx, "oauth.BeginDevice")
	defer span.End()
	now, tries := a.unix(), "device codes of "+model.Neighbourhood(address)
	hash := a.userHash(userCode(typed))
	var d model.DeviceCode
	// Counted and looked up in one step, so that many at once are as many as one after
	// the other: every try counts, and a right one is taken back.
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		tried, err := tx.Tally(tries, now, now+userCodeWindow)
		if err != nil {
			return err
		}
		if tried > userCodeTries {
			return fail(TooManyRequests, "Too many wrong codes: try again in a few minutes").later(userCodeWindow)
		}
		d, err = tx.DeviceCodeShown(hash)
		if errors.Is(err, store.ErrNotFound) {
			d = model.DeviceCode{}
			return nil
		}
		if err != nil || !d.Open(now) {
			return err
		}
		return tx.Untally(tries)
	})
	switch {
	case err != nil:
		return Authorization{}, inner(err)
	case !d.Open(now):
		return Authorization{}, ErrUserCode
	}
	c, err := a.Registrar.Client(ctx, d.ClientID)
	if errors.Is(err, store.ErrNotFound) {
		return Authorization{}, fail(UnauthorizedClient, "The application is no longer registered here")
	}
	if err != nil {
		return Authorization{}, inner(err)
	}
	asked := d.Asked
	asked.Device, asked.Prompt = d.Hash, []string{"consent"}
	return Authorization{
		Request: model.Request{ID: model.RequestID(model.NewID()), ClientID: c.ID, CreatedAt: now, ExpiresAt: d.ExpiresAt, Asked: asked},
		Client:  c.Client, Logo: a.Registrar.ShownLogo(c), way: a.wayBack(asked),
	}, nil
}

// Device reports whether a device asks, and not the client in this browser.
func (z Authorization) Device() bool { return z.Request.Asked.Device != "" }

// letIn gives the device of a request its grant.
func (a *Authority) letIn(tx *store.Tx, z Authorization, i *issue) error {
	d, err := tx.DeviceCode(z.Request.Asked.Device)
	if err == nil {
		i.grant.ExpiresAt = max(d.ExpiresAt, a.unix()+deviceFetch)
		err = tx.ApproveDeviceCode(d.Hash, i.grant.ID, a.unix(), i.grant.ExpiresAt)
	}
	if errors.Is(err, store.ErrNotFound) {
		return errGone()
	}
	return err
}

// RefuseDevice tells the device of a request that its person said no. It does nothing
// where no device asks. Anybody can begin a device, type its code and refuse it, without
// an account: so not all of it is written down.
//
// Errors: *Error, shown.
func (a *Authority) RefuseDevice(ctx context.Context, z Authorization, address string) error {
	if !z.Device() {
		return nil
	}
	return inner(a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		now := a.unix()
		err := tx.DenyDeviceCode(z.Request.Asked.Device, now)
		if errors.Is(err, store.ErrNotFound) {
			return errGone()
		}
		if err != nil {
			return err
		}
		n, err := tx.Tally("devices refused at "+model.Neighbourhood(address), now, now+deniedWindow)
		if err != nil || n > maxDenied {
			return err
		}
		return tx.Record(model.Event{
			// Whoever has typed its code may refuse it, signed in or not.
			Actor:  model.Actor{Kind: model.ActorSystem, Address: address},
			Action: "device.refuse", ClientID: z.Client.ID,
		})
	}))
}

// errDeviceCode is the one answer to every device code that was never good, or is used.
func errDeviceCode(cause error) *Error {
	return &Error{Code: InvalidGrant, Description: "The device_code is not valid, or was used already", cause: cause}
}

// redeemDeviceCode answers a device that asks whether its person has agreed, RFC 8628
// §3.4 and §3.5.
func (a *Authority) redeemDeviceCode(ctx context.Context, c *registration.Client, p params) (issuance, *Error) {
	if !p.has("device_code") {
		return issuance{}, fail(InvalidRequest, "The parameter device_code is missing")
	}
	hash := model.Secret(p.get("device_code")).Hash()
	var d model.DeviceCode
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) { d, err = tx.DeviceCode(hash); return err })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return issuance{}, errDeviceCode(err)
	case err != nil:
		return issuance{}, inner(err).(*Error)
	case d.ClientID != c.ID: // RFC 6749 §5.2
		return issuance{}, errDeviceCode(errors.New("it was issued to another client"))
	case d.UsedAt != 0:
		return issuance{}, errDeviceCode(errors.New("it is used"))
	case d.Denied:
		return issuance{}, fail(AccessDenied, "The person refused")
	case a.unix() >= d.ExpiresAt:
		return issuance{}, fail(ExpiredToken, "The device_code has expired: begin anew")
	case d.GrantID == "":
		return issuance{}, a.pending(ctx, d)
	}
	return a.fetch(ctx, c, p, hash)
}

// pending lets a device wait: longer, where it does not.
func (a *Authority) pending(ctx context.Context, d model.DeviceCode) *Error {
	now := a.Now().UnixMilli()
	e := fail(AuthorizationPending, "The person has not agreed yet")
	// A second is for what happens on the way.
	if d.AskedAt != 0 && now-d.AskedAt < (d.Pause-1)*1000 {
		e = fail(SlowDown, "The device asks too often: it must wait five seconds longer from now on")
		d.Pause = min(d.Pause+devicePause, devicePauseMax) // RFC 8628 §3.5
	}
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.AskDeviceCode(d.Hash, now, d.Pause) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return inner(err).(*Error)
	}
	return e
}

// fetch gives a device what its person has agreed to, once.
func (a *Authority) fetch(ctx context.Context, c *registration.Client, p params, hash string) (issuance, *Error) {
	var out issuance
	var refused *Error
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		out, refused = issuance{}, nil
		d, err := tx.RedeemDeviceCode(hash, a.unix())
		if errors.Is(err, store.ErrNotFound) {
			return errDeviceCode(err)
		}
		if err != nil {
			return err
		}
		grant, err := tx.Grant(d.GrantID)
		if errors.Is(err, store.ErrNotFound) {
			return errDeviceCode(err)
		}
		if err != nil {
			return err
		}
		at, e := a.issuedAt(grant.NotBefore)
		if e != nil {
			return e // which leaves the code unused
		}
		session, user, e := a.checkFetch(tx, grant)
		if e == nil {
			out, e, err = a.firstIssue(tx, c, p, redeemed{grant, session, user, at})
		}
		if e != nil {
			refused = e
			return a.endGrant(tx, c, grant.ID, model.CausePolicy, "grant.refuse")
		}
		if err != nil {
			return err
		}
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: c.Address},
			Action: "device.redeem", UserID: grant.UserID, ClientID: c.ID, Detail: "grant=" + string(grant.ID),
		})
	})
	if err != nil {
		return issuance{}, inner(err).(*Error)
	}
	return out, refused
}

// checkFetch returns the session that a grant came from, and its person. The session
// may be over by now where the grant is to outlive it.
func (a *Authority) checkFetch(tx *store.Tx, grant model.Grant) (model.Session, model.User, *Error) {
	if !grant.Live(a.unix()) {
		return model.Session{}, model.User{}, errEnded(grant.EndCause)
	}
	session, err := tx.Session(grant.SessionID)
	if !grant.Offline && (err != nil || !session.Live(a.unix())) {
		return model.Session{}, model.User{}, errDeviceCode(errors.Join(errSessionOver, err))
	}
	user, e := person(tx, grant.UserID)
	return session, user, e
}
