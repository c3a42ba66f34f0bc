package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DeviceOptions shapes one device authorization request. The zero value asks for what
// Config says.
type DeviceOptions struct {
	Scopes []string   // in place of Config.Scopes
	Extra  url.Values // further parameters, such as "resource"; they cannot replace those of the protocol
}

// DeviceCode is what a device without a browser shows to its person, RFC 8628 §3.2.
// It holds a secret, and prints as "[redacted]".
type DeviceCode struct {
	UserCode                string    // to show, as it is
	VerificationURI         string    // where the person types it, on another device
	VerificationURIComplete string    // the same with the code in it, for a QR code; empty: there is none
	ExpiresAt               time.Time // the person must have agreed by then

	code     string
	interval time.Duration
	scopes   []string
}

func (DeviceCode) String() string       { return redacted }
func (DeviceCode) GoString() string     { return redacted }
func (DeviceCode) LogValue() slog.Value { return slog.StringValue(redacted) }

// How long a device waits between two questions.
const (
	deviceInterval    = 5 * time.Second // RFC 8628 §3.5: where the server does not say
	deviceIntervalMax = 5 * time.Minute
	deviceLifeMax     = 24 * time.Hour
)

// Device begins the sign-in of a person at a device that has no browser or no
// keyboard, RFC 8628 §3.1: show them the code and the address, and call DeviceTokens.
// Errors: ErrUnsupported, ErrUnavailable, ErrIssuer, ErrResponse, *Error.
func (c *Client) Device(ctx context.Context, o DeviceOptions) (DeviceCode, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return DeviceCode{}, err
	}
	if up.DeviceEndpoint == "" {
		return DeviceCode{}, fmt.Errorf("client: device: %w", ErrUnsupported)
	}
	if len(o.Scopes) == 0 {
		o.Scopes = c.config.Scopes
	}
	form := url.Values{}
	for name, values := range o.Extra {
		form[name] = values
	}
	form.Set("scope", strings.Join(o.Scopes, " "))
	began := c.now()
	a, err := c.post(ctx, up.DeviceEndpoint, form)
	if err == nil && a.status != http.StatusOK {
		err = a.unexpected()
	}
	if err != nil {
		return DeviceCode{}, fmt.Errorf("client: device: %w", err)
	}
	d, err := readDevice(a.body, began)
	if err != nil {
		return DeviceCode{}, fmt.Errorf("client: device: %w", err)
	}
	d.scopes = slices.Clone(o.Scopes)
	return d, nil
}

// readDevice reads the answer of RFC 8628 §3.2. What is shown to a person is held to
// what can be shown.
func readDevice(body []byte, began time.Time) (DeviceCode, error) {
	var told struct {
		Code     string      `json:"device_code"`
		User     string      `json:"user_code"`
		URI      string      `json:"verification_uri"`
		Complete string      `json:"verification_uri_complete"`
		Expires  json.Number `json:"expires_in"`
		Interval json.Number `json:"interval"`
	}
	if err := json.Unmarshal(body, &told); err != nil || told.Code == "" || told.User == "" {
		return DeviceCode{}, fmt.Errorf("%w: no device_code or user_code", ErrResponse)
	}
	d := DeviceCode{UserCode: told.User, VerificationURI: told.URI, VerificationURIComplete: told.Complete, code: told.Code}
	if printable(d.UserCode, 100) != d.UserCode {
		return DeviceCode{}, fmt.Errorf("%w: user_code cannot be shown", ErrResponse)
	}
	for _, uri := range []string{d.VerificationURI, d.VerificationURIComplete} {
		if uri == "" && uri != d.VerificationURI {
			continue
		}
		if err := checkWebURL(uri, true); err != nil || printable(uri, 2000) != uri {
			return DeviceCode{}, fmt.Errorf("%w: verification_uri is not an address to show", ErrResponse)
		}
	}
	life, err := told.Expires.Int64()
	if err != nil || life <= 0 || time.Duration(life) > deviceLifeMax/time.Second {
		return DeviceCode{}, fmt.Errorf("%w: expires_in is not a number of seconds up to a day", ErrResponse)
	}
	d.ExpiresAt, d.interval = began.Add(time.Duration(life)*time.Second), deviceInterval
	if told.Interval != "" {
		seconds, err := told.Interval.Int64()
		if err != nil || seconds <= 0 || time.Duration(seconds) > deviceIntervalMax/time.Second {
			return DeviceCode{}, fmt.Errorf("%w: interval is not a number of seconds up to five minutes", ErrResponse)
		}
		d.interval = time.Duration(seconds) * time.Second
	}
	return d, nil
}

// DeviceTokens waits until the person has answered at the other device, and asks as
// often as the authorization server wants, RFC 8628 §3.4. A server that cannot be
// reached is asked again. The identity is the zero value when "openid" was not asked
// for.
//
// Errors: ErrIssuer, ErrResponse, ErrIdentity; *Error with the code "access_denied"
// when the person said no, and "expired_token" when nobody answered in time; that of
// ctx.
func (c *Client) DeviceTokens(ctx context.Context, d DeviceCode) (Tokens, Identity, error) {
	if d.code == "" {
		return Tokens{}, Identity{}, errors.New("client: device: the DeviceCode does not come from Device")
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.code}}
	for interval := d.interval; ; {
		if err := pause(ctx, interval); err != nil {
			return Tokens{}, Identity{}, fmt.Errorf("client: device: %w", err)
		}
		up, t, err := c.askDevice(ctx, form, d)
		switch {
		case err == nil:
			t, id, err := c.identified(ctx, up, Attempt{Scopes: d.scopes}, t)
			if err != nil {
				return Tokens{}, Identity{}, fmt.Errorf("client: device: %w", err)
			}
			return t, id, nil
		case reached(d.ExpiresAt, c.now()):
			if !hasCode(err, "access_denied") {
				err = &Error{Code: "expired_token", Description: "nobody has answered"}
			}
		case hasCode(err, "authorization_pending"):
			continue
		case hasCode(err, "slow_down"):
			interval = min(interval+5*time.Second, deviceIntervalMax) // for good
			continue
		case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			interval = min(2*interval, deviceIntervalMax) // RFC 8628 §3.5: back off
			continue
		}
		return Tokens{}, Identity{}, fmt.Errorf("client: device: %w", err)
	}
}

// askDevice asks once.
func (c *Client) askDevice(ctx context.Context, form url.Values, d DeviceCode) (*upstream, Tokens, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return nil, Tokens{}, err
	}
	t, err := c.request(ctx, up, maps.Clone(form), d.scopes) // which adds the client's proof
	return up, t, err
}

// pause waits for a time, or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
